import copy
import pathlib
import warnings
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st
from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy

from sb3_reinforce import REINFORCE, FourierBasis, LinearSoftmaxPolicy, TileCoding
from sb3_reinforce.features.bounds import ENOUGH_OBSERVATIONS, BoundsCheck
from sb3_reinforce.features.fixed_features import unobserved

BOTH = pytest.mark.parametrize("features", [FourierBasis, TileCoding])
OUTSIDE, NARROW = "observations lie outside", "fill so little of them"


def told(recorded: list[warnings.WarningMessage]) -> list[str]:
    return [str(warning.message) for warning in recorded if "by the bounds of their space" in str(warning.message)]


def tellings(check: BoundsCheck, *batches: Any) -> list[str]:
    with warnings.catch_warnings(record=True) as recorded:
        warnings.simplefilter("always")
        for batch in batches:
            check.see(th.as_tensor(np.asarray(batch, np.float32)))
    assert all(warning.category is UserWarning for warning in recorded)
    return told(recorded)


def line(low: float, high: float, n: int = ENOUGH_OBSERVATIONS) -> np.ndarray:
    return np.linspace(low, high, n)[:, np.newaxis]


def check_of(low: float, high: float, n_dims: int = 1) -> BoundsCheck:
    return BoundsCheck("Basis", spaces.Box(np.float32(low), np.float32(high), (n_dims,)), np.ones(n_dims, bool))


ends = st.floats(-1000, 1000, width=32)


@given(ends, st.floats(0.125, 1000, width=32), ends, st.floats(0.125, 1000, width=32))
def test_equals_looking_at_the_ranges(low: float, width: float, seen_low: float, seen_width: float) -> None:
    high, seen_high = low + width, seen_low + seen_width
    messages = tellings(check_of(low, high), line(seen_low, seen_high))
    beyond = max(low - seen_low, seen_high - high)
    if abs(beyond - 0.001 * width) > 0.01:  # not on the edge
        assert any(OUTSIDE in message for message in messages) == (beyond > 0.001 * width)
    if not 0.009 < seen_width / width < 0.011:
        assert any(NARROW in message for message in messages) == (seen_width < 0.01 * width)


def test_what_is_seen_and_what_the_bounds_are_is_said_once() -> None:
    check = check_of(-1, 1, n_dims=2)
    (message,) = tellings(check, [[0.5, 20], [0.25, 15]], [[0.5, 30]], [[5, 5]])
    assert message.startswith("Basis scales observations by the bounds of their space, but observations lie outside")
    assert "observation[1] is from 15 to 20, its bounds are -1 and 1" in message
    assert "observation[0]" not in message


def test_a_narrow_range_is_said_when_enough_has_been_seen() -> None:
    check = check_of(-1e5, 1e5)
    assert tellings(check, line(15, 25, ENOUGH_OBSERVATIONS - 1)) == []
    (message,) = tellings(check, line(20, 21, 1), line(15, 25), line(15, 25))
    assert "the first 1,000 observations fill so little of them that features hardly differ" in message
    assert "observation[0] is from 15 to 25, its bounds are -100000 and 100000" in message


@pytest.mark.parametrize("seen", [(0.0, 1e-3), (5.0, 5.02), (-1e-4, 1e-4)])
def test_small_numbers_within_wide_bounds_vary(seen: tuple[float, float]) -> None:
    (message,) = tellings(check_of(-1e5, 1e5), line(*seen))
    assert NARROW in message


@pytest.mark.parametrize("value", [0.0, 7.0, 0.1])
def test_a_number_that_is_constant_is_no_fault_of_the_bounds(value: float) -> None:
    assert tellings(check_of(-1e5, 1e5), line(value, value)) == []


def test_rounding_is_not_outside() -> None:
    low, high = np.float32(-0.1), np.float32(0.7)
    assert tellings(check_of(low, high), line(np.nextafter(low, np.float32(-1)), np.nextafter(high, np.float32(1)))) == []
    assert tellings(check_of(5.0, 5.0), line(5.0, 5.0)) == []
    assert tellings(check_of(3e5, 3e5 + 1), line(3e5, 3e5 + 1)) == []


def test_many_numbers_are_not_all_listed() -> None:
    (message,) = tellings(check_of(0, 1, n_dims=20), np.full((3, 20), 9.0))
    assert message.count("is from 9 to 9") == 3
    assert "; and 17 more." in message


def test_numbers_of_a_matrix_are_named_by_row_and_column() -> None:
    check = BoundsCheck("Basis", spaces.Box(-1, 1, (2, 3)), np.ones(6, bool))
    (message,) = tellings(check, [[0, 0, 0, 0, 0, 2]])
    assert "observation[1, 2] is from 2 to 2" in message


def test_numbers_without_bounds_are_not_looked_at() -> None:
    space = spaces.Box(np.array([-np.inf, -1], np.float32), np.array([np.inf, 1], np.float32))
    check = BoundsCheck("Basis", space, np.array([False, True]))
    assert tellings(check, [[1e6, 0], [np.inf, 0.5]]) == []
    (message,) = tellings(check, [[0, 2]])
    assert "observation[1]" in message


def test_what_is_not_a_number_hides_nothing() -> None:
    (message,) = tellings(check_of(0, 1), [[np.nan], [0.5]], [[3.0]])
    assert "from 3 to 3" in message


# In training, and nowhere else


def extractor_seeing(features: Any, observations: np.ndarray, training: bool = True) -> list[str]:
    extractor = features(spaces.Box(-1, 1, (1,))).train(training)
    with warnings.catch_warnings(record=True) as recorded:
        warnings.simplefilter("always")
        extractor(th.as_tensor(observations, dtype=th.float32))
    return told(recorded)


@BOTH
def test_only_what_is_learned_from_counts(features: Any) -> None:
    assert extractor_seeing(features, line(15, 25), training=False) == []
    (message,) = extractor_seeing(features, line(15, 25))
    assert message.startswith(features.__name__)
    extractor = features(spaces.Box(-1, 1, (1,))).train()
    with warnings.catch_warnings(), unobserved(extractor):
        warnings.simplefilter("error")
        extractor(th.full((5, 1), 9.0))


class Room(gym.Env[np.ndarray, int]):
    """A temperature around 20 degrees; heating (1) is right below 20. The bounds are what somebody wrote."""

    def __init__(self, low: float = -1, high: float = 1, dtype: Any = np.float32) -> None:
        self.observation_space = spaces.Box(low, high, (1,), dtype)
        self.action_space = spaces.Discrete(2)  # type: ignore[assignment]

    def _obs(self) -> np.ndarray:
        self.x = self.np_random.uniform(15, 25)
        return np.array([self.x], self.observation_space.dtype)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.time = 0
        return self._obs(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        reward = float((self.x < 20) == bool(action))
        self.time += 1
        return self._obs(), reward, False, self.time >= 20, {}


# Large batches, to be quick
ARGUMENTS: dict[Any, dict[str, Any]] = {
    REINFORCE: {},
    A2C: {"n_steps": 100},
    PPO: {"n_steps": 256, "n_epochs": 1, "batch_size": 256},
    DQN: {"learning_starts": 100, "train_freq": 50, "batch_size": 100},
}


def learner(algorithm: Any, env: gym.Env, features: Any = FourierBasis, **arguments: Any) -> BaseAlgorithm:
    policy_kwargs = {"features_extractor_class": features}
    arguments = {"device": "cpu", "seed": 0, **ARGUMENTS[algorithm], **arguments}
    return algorithm("MlpPolicy", env, policy_kwargs=policy_kwargs, **arguments)


def told_while_learning(model: BaseAlgorithm, timesteps: int = 1_300) -> list[str]:
    with warnings.catch_warnings(record=True) as recorded:
        warnings.simplefilter("always")
        model.learn(timesteps, reset_num_timesteps=False)
    return told(recorded)


@pytest.mark.parametrize("algorithm", ARGUMENTS)
@pytest.mark.parametrize(("low", "high", "what"), [(-1, 1, OUTSIDE), (-1e5, 1e5, NARROW), (15, 25, None)])
def test_any_algorithm_is_told_once_a_model(algorithm: Any, low: float, high: float, what: str | None) -> None:
    model = learner(algorithm, Room(low, high))
    messages = told_while_learning(model)
    assert [what in message for message in messages] == ([] if what is None else [True])
    assert told_while_learning(model, 300) == []


@pytest.mark.parametrize("env", ["CartPole-v1", "MountainCar-v0", "Acrobot-v1", "Pendulum-v1"])
def test_registered_bounds_fit(env: str) -> None:
    policy_kwargs = {"features_extractor_class": FourierBasis, "features_extractor_kwargs": {"order": 1}}
    model = PPO(
        "MlpPolicy", env, n_steps=1_100, batch_size=1_100, n_epochs=1, policy_kwargs=policy_kwargs, device="cpu", seed=0
    )
    assert told_while_learning(model) == []


def test_evaluation_and_prediction_say_nothing() -> None:
    model = learner(REINFORCE, Room())
    with warnings.catch_warnings(record=True) as recorded:
        warnings.simplefilter("always")
        evaluate_policy(model, make_vec_env(Room), 3)
        model.predict(np.array([20.0], np.float32))
    assert told(recorded) == []


def test_a_copy_knows_what_has_been_said_and_a_loaded_model_says_it_again(tmp_path: pathlib.Path) -> None:
    model = learner(REINFORCE, Room())
    assert len(told_while_learning(model, 200)) == 1
    extractor: Any = copy.deepcopy(model.policy.features_extractor)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        extractor.train()(th.full((5, 1), 9.0))
    model.save(tmp_path / "model")
    assert len(told_while_learning(REINFORCE.load(tmp_path / "model", env=Room()), 200)) == 1


def test_a_fit_is_told_too() -> None:
    policy = LinearSoftmaxPolicy(
        spaces.Box(-1, 1, (1,)), spaces.Discrete(2), lambda _: 0.1, features_extractor_class=FourierBasis
    )
    with pytest.warns(UserWarning, match=OUTSIDE):
        policy.fit(line(15, 25, 100), np.arange(100) % 2, n_epochs=2)


@pytest.mark.parametrize(
    ("low", "high", "dtype"), [(-1, 1, np.float32), (-1e5, 1e5, np.float64), (0, 10, np.uint8), (-3e4, 3e4, np.int16)]
)
def test_the_advice_helps(low: float, high: float, dtype: Any) -> None:
    (message,) = told_while_learning(learner(REINFORCE, Room(low, high, dtype)))
    advice = message.rpartition("are used: ")[2].rstrip(".")
    env: gym.Env = eval(advice, {"gymnasium": gym, "np": np, "env": Room(low, high, dtype)})
    model = REINFORCE("LinearSoftmaxPolicy", env, seed=0, policy_kwargs={"features_extractor_class": TileCoding}, n_episodes=4)
    assert told_while_learning(model, 4_000) == []
    assert np.mean([episode["r"] for episode in list(model.ep_info_buffer)[-20:]]) > 17  # 10 by chance
