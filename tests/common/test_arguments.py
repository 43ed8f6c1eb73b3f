"""Arguments that are not what they have to be, at every public door."""

import re
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import nn

from sb3_reinforce import (
    REINFORCE,
    EpisodeDurationCallback,
    LiveChartCallback,
    RandomWeightSearch,
    StopTrainingOnSolved,
    make_fast_vec_env,
)
from sb3_reinforce.common.arguments import make_policy

ALGORITHMS = {"reinforce": REINFORCE, "search": RandomWeightSearch}
each = pytest.mark.parametrize("algorithm", ALGORITHMS.values(), ids=ALGORITHMS)


def _refused(argument: str, value: Any) -> Any:
    """What the error has to name: the argument, and what came."""
    return pytest.raises(ValueError, match=f"^{argument} .*must be .*, but got {re.escape(repr(value)[:150])}")


@each
@pytest.mark.parametrize(
    ("argument", "value"),
    [
        *[("seed", value) for value in (-1, 1.5, "1", 2**32, True)],
        *[("verbose", value) for value in ("a", -1, 1.5, None)],
        *[("stats_window_size", value) for value in (0, "a", 1.5, None, -3)],
        *[("tensorboard_log", value) for value in (3, ["logs"])],
        *[("policy_kwargs", value) for value in ([1], "a", 3)],
        *[("device", value) for value in ("foo", 3, None)],
        *[("_init_setup_model", value) for value in ("a", 1, None)],
        *[("policy", value) for value in (3, None, object, nn.Linear, b"LinearPolicy")],
        *[("env", value) for value in (3, object(), ["CartPole-v1"], gym.make_vec("CartPole-v1", 2))],
        *[("max_episode_steps", value) for value in (0, -1, "many", None)],
    ],
)
def test_what_a_constructor_does_not_take(algorithm: Any, argument: str, value: Any) -> None:
    with _refused(argument, value):
        algorithm(**{"policy": "LinearPolicy", "env": "CartPole-v1", argument: value})


@each
def test_a_model_that_is_made_at_once_needs_an_environment(algorithm: Any) -> None:
    with pytest.raises(ValueError, match=r"env must be .*, but got None"):
        algorithm("LinearPolicy", None)


@each
@pytest.mark.parametrize(
    ("argument", "value"),
    [
        *[("total_timesteps", value) for value in ("a", -1, float("nan"), float("inf"), True, [1])],
        *[("callback", value) for value in (3, "a", [3], [None], (), object)],
        *[("log_interval", value) for value in (0, -1, 1.5, "a")],
        *[("tb_log_name", value) for value in (3, None)],
        *[("reset_num_timesteps", value) for value in ("a", 3, None)],
        *[("progress_bar", value) for value in ("a", 1)],
    ],
)
def test_what_learn_does_not_take(algorithm: Any, argument: str, value: Any) -> None:
    with _refused(argument, value):
        algorithm("LinearPolicy", "CartPole-v1").learn(**{"total_timesteps": 10, argument: value})


@each
@pytest.mark.parametrize(
    ("argument", "value"),
    [
        *[("net_arch", value) for value in ("64", [-1], [1.5], [0], {"pi": [3], "foo": [3]}, 64)],
        *[("activation_fn", value) for value in (3, "relu", nn.Tanh())],
        *[("optimizer_class", value) for value in (3, "Adam")],
        *[("optimizer_kwargs", value) for value in (3, "a")],
        *[("log_std_init", value) for value in ("a", float("nan"), None)],
        *[("features_extractor_class", value) for value in (3, "NatureCNN")],
        *[("features_extractor_kwargs", value) for value in (3, "a")],
        *[("normalize_images", value) for value in ("a", None)],
        *[("ortho_init", value) for value in (3, "yes")],
    ],
)
def test_what_a_policy_does_not_take(algorithm: Any, argument: str, value: Any) -> None:
    with _refused(f"{argument} of policy_kwargs", value):
        algorithm("MlpPolicy", "CartPole-v1", policy_kwargs={argument: value})


@each
@pytest.mark.parametrize("policy", ["LinearPolicy", "MlpPolicy"])
@pytest.mark.parametrize("key", ["foo", "netarch"])
def test_keys_that_a_policy_does_not_know_are_named_and_those_that_it_knows(algorithm: Any, policy: str, key: str) -> None:
    with pytest.raises(ValueError, match=f"policy_kwargs has '{key}', which {policy} does not take. It takes net_arch"):
        algorithm(policy, "CartPole-v1", policy_kwargs={key: 1})


@each
def test_phi_is_for_linear_policies(algorithm: Any) -> None:
    with pytest.raises(ValueError, match=r"policy_kwargs has 'phi', which MlpPolicy does not take.*for the linear policies"):
        algorithm("MlpPolicy", "CartPole-v1", policy_kwargs={"phi": lambda states, action: states})


def test_what_an_optimizer_does_not_take_is_named() -> None:
    with pytest.raises(ValueError, match=r"LinearPolicy can't be made with policy_kwargs=.*foo"):
        REINFORCE("LinearPolicy", "CartPole-v1", policy_kwargs={"optimizer_kwargs": {"foo": 1}})


class ReadsMore(ActorCriticPolicy):
    """Reads an argument that its signature does not name, and gives another one a meaning of its own."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.scale = kwargs.pop("scale", 1.0)
        super().__init__(*args, **kwargs)


def test_a_policy_may_read_what_its_signature_does_not_name() -> None:
    model = REINFORCE(ReadsMore, "CartPole-v1", policy_kwargs={"scale": 2.0})
    assert model.policy.scale == 2.0
    with pytest.raises(ValueError, match="'other', which ReadsMore does not take"):
        REINFORCE(ReadsMore, "CartPole-v1", policy_kwargs={"scale": 2.0, "other": 3})


def test_a_policys_own_error_is_its_cause() -> None:
    class Fails(ActorCriticPolicy):
        def __init__(self, *_: Any) -> None:
            raise TypeError("mine")

    box = spaces.Box(-1.0, 1.0, (2,))
    with pytest.raises(ValueError, match=r"Fails can't be made.*mine") as caught:
        make_policy(Fails, box, box, lambda _: 0.1, {})
    assert isinstance(caught.value.__cause__, TypeError)


@pytest.mark.parametrize("kind", [np.int8, np.int64, np.uint32])
def test_numbers_of_numpy_are_numbers(kind: Any) -> None:
    models = [
        REINFORCE("LinearPolicy", "CartPole-v1", seed=seed, n_episodes=n, gamma=gamma, stats_window_size=window, verbose=zero)
        for seed, n, gamma, window, zero in ((kind(3), kind(2), np.float32(1), kind(9), kind(0)), (3, 2, 1.0, 9, 0))
    ]
    weights = [model.learn(kind(100), log_interval=kind(2)).policy.action_net.weight for model in models]
    assert th.equal(*weights)
    assert type(models[0].seed) is int
    assert type(models[0].gamma) is float
    RandomWeightSearch("LinearPolicy", "CartPole-v1", seed=kind(3), n_eval_episodes=kind(2)).learn(kind(100))
    make_fast_vec_env("CartPole-v1", kind(2), seed=kind(3)).close()


@pytest.mark.parametrize("rate", [-1.0, float("nan"), float("inf"), "0.1", None, 1j])
def test_a_schedules_learning_rate_is_looked_at_before_the_step(rate: Any) -> None:
    model = REINFORCE(
        "LinearPolicy", "CartPole-v1", n_episodes=2, seed=0, learning_rate=lambda left: 0.1 if left > 0.5 else rate
    )
    seen: list[Any] = []

    def remember(*_: Any) -> bool:
        seen.append(model.policy.action_net.weight.detach().clone())
        return True

    with pytest.raises(ValueError, match=r"learning_rate \(its value with 0.* of training remaining\) .* must be"):
        model.learn(1_000, callback=remember)
    assert th.equal(seen[-1], model.policy.action_net.weight)
    assert model._n_updates > 0


@each
@pytest.mark.parametrize(
    ("attribute", "value"), [("max_episode_steps", 0), ("n_eval_episodes", 1.5), ("gamma", 2.0), ("n_episodes", "8")]
)
def test_what_was_set_later_is_looked_at_by_learn(algorithm: Any, attribute: str, value: Any) -> None:
    model = algorithm("LinearPolicy", "CartPole-v1")
    if not hasattr(model, attribute) or (attribute == "gamma" and algorithm is RandomWeightSearch):
        pytest.skip("it is none of its arguments")
    setattr(model, attribute, value)
    with _refused(attribute, value):
        model.learn(100)


@pytest.mark.parametrize(
    "box", [spaces.Box(-3, 3, (2,), np.int64), spaces.Box(0, 255, (1, 2), np.uint8), spaces.Box(-1, 1, (2,))]
)
@each
def test_actions_have_the_type_of_their_space(algorithm: Any, box: spaces.Box) -> None:
    class Receives(gym.Env[Any, Any]):
        observation_space = spaces.Box(-1.0, 1.0, (2,))
        action_space = box

        def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
            super().reset(**kwargs)
            return self.observation_space.sample(), {}

        def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
            assert self.action_space.contains(action)
            return self.observation_space.sample(), 1.0, bool(self.np_random.random() < 0.2), False, {}

    model = algorithm("LinearPolicy", Receives(), seed=0).learn(200)
    for observations in (np.zeros(2, np.float32), np.zeros((3, 2), np.float32)):
        action, _ = model.predict(observations)
        assert action.dtype == box.dtype
        assert box.contains(action if observations.ndim == 1 else action[0])


@each
@pytest.mark.parametrize(
    "space", [spaces.Dict({}), spaces.Box(-1, 1, (0,)), spaces.MultiDiscrete([]), spaces.Box(0, 1, (2, 0))]
)
def test_spaces_with_nothing_in_them_are_refused(algorithm: Any, space: spaces.Space) -> None:
    class Empty(gym.Env[Any, Any]):
        def __init__(self, observation_space: spaces.Space, action_space: spaces.Space) -> None:
            self.observation_space, self.action_space = observation_space, action_space

    with pytest.raises(ValueError, match="Observations must be at least one number"):
        algorithm("LinearPolicy", Empty(space, spaces.Discrete(2)))
    if not isinstance(space, spaces.Dict):
        with pytest.raises(ValueError, match="Actions must be at least one number"):
            algorithm("LinearPolicy", Empty(spaces.Discrete(2), space))


@pytest.mark.parametrize(
    ("callback", "argument"),
    [
        (EpisodeDurationCallback, "window_size"),
        (LiveChartCallback, "window_size"),
        (StopTrainingOnSolved, "n_episodes"),
        *[(callback, "verbose") for callback in (EpisodeDurationCallback, LiveChartCallback, StopTrainingOnSolved)],
    ],
)
def test_what_callbacks_do_not_take(callback: Any, argument: str) -> None:
    for value in (-1, 1.5, "1", None):
        with _refused(f"{argument} of {callback.__name__}", value):
            callback(**{argument: value})
    callback(**{argument: np.int64(3)})


def test_where_a_live_chart_can_not_be() -> None:
    with _refused("path of LiveChartCallback", 3):
        LiveChartCallback(3)  # type: ignore[arg-type]
