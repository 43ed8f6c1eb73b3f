"""What users' callbacks expect of the rollout and of the local variables: SB3's ways."""

import copy
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback, CallbackList, EvalCallback, EveryNTimesteps
from stable_baselines3.common.logger import HParam
from stable_baselines3.common.utils import obs_as_tensor
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sb3_reinforce import REINFORCE, RandomWeightSearch
from tests.policies.usual_and_unusual import MIXED, PLANE, THREE, VECTOR, settle

pytestmark = pytest.mark.filterwarnings("ignore:The environment has not ended one episode yet")

N_EPISODES = 7


class Uneven(gym.Env[Any, Any]):
    """Episodes of 1 to 9 timesteps over any spaces."""

    def __init__(self, observation_space: spaces.Space = VECTOR, action_space: spaces.Space = THREE) -> None:
        self.observation_space, self.action_space = copy.deepcopy(observation_space), action_space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self.time, self.length = 0, int(self.np_random.integers(1, 10))
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.time += 1
        reward = float(np.sin(self.time + np.sum(action)))
        return self.observation_space.sample(), reward, self.time == self.length, False, {}


class RecordingSGD(th.optim.SGD):
    """Keeps the gradients that it gets, and moves nothing."""

    gradients: dict[str, th.Tensor]

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        parameters = self.param_groups[0]["params"]
        self.gradients = {id(p): p.grad.clone() for p in parameters if p.grad is not None}  # type: ignore[misc]


class AtEnd(BaseCallback):
    """Does something to the rollout when it is complete."""

    def __init__(self, change: Callable[[Any], Any]) -> None:
        super().__init__()
        self.change = change

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        self.change(self.model.rollout_buffer)


CASES: dict[str, tuple[str, spaces.Space, spaces.Space]] = {
    "closed form": ("LinearSoftmaxPolicy", VECTOR, THREE),
    "closed form, Box": ("LinearGaussianPolicy", VECTOR, PLANE),
    "closed form, Dict": ("LinearSoftmaxPolicy", MIXED, THREE),
    "autograd": ("MlpPolicy", VECTOR, THREE),
    "autograd, Dict": ("MultiInputPolicy", MIXED, PLANE),
    "autograd, MultiBinary": ("MlpPolicy", VECTOR, spaces.MultiBinary(2)),
}


WIDE = spaces.Box(-1.0, 1.0, (20_000,))
"""An observation that a block holds a dozen of."""


@pytest.fixture(params=["one block", "several blocks"])
def blocks(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[1, 4])
def n_envs(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def make(case: str, n_envs: int, blocks: str = "one block", **kwargs: Any) -> REINFORCE:
    policy, observation_space, action_space = CASES[case]
    if blocks == "several blocks":
        is_dict = isinstance(observation_space, spaces.Dict)
        observation_space = spaces.Dict({**observation_space, "vector": WIDE}) if is_dict else WIDE  # type: ignore[dict-item]
    env = VecMonitor(DummyVecEnv([lambda: Uneven(observation_space, action_space)] * n_envs))
    arguments = {"baseline": "none", "normalize_advantage": False, "learning_rate": 0.0, "n_episodes": N_EPISODES, **kwargs}
    policy_kwargs = {"optimizer_class": RecordingSGD, "net_arch": [4] if policy.startswith("M") else None}
    model = REINFORCE(policy, env, seed=0, device="cpu", policy_kwargs=policy_kwargs, **arguments)
    settle(model.policy)
    return model


def gradients(model: REINFORCE) -> dict[str, th.Tensor]:
    recorded: Any = model.policy.optimizer.gradients
    return {name: recorded[id(p)] for name, p in model.policy.named_parameters() if id(p) in recorded}


def returns_of(rewards: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The slow way."""
    episodes = np.split(rewards, np.cumsum(lengths)[:-1])
    return np.concatenate([[episode[t:].sum() for t in range(len(episode))] for episode in episodes])


def expected_gradients(model: REINFORCE, buffer: Any) -> dict[str, th.Tensor]:
    """By autograd, of the rollout as it is in this buffer."""
    observations = obs_as_tensor(buffer.observations, th.device("cpu"))
    log_prob = model.policy.get_distribution(observations).log_prob(th.as_tensor(buffer.actions))
    weights = th.as_tensor(returns_of(buffer.rewards, buffer.lengths)) / len(buffer.lengths)
    names, parameters = zip(*model.policy.named_parameters(), strict=True)
    parts = th.autograd.grad(-(weights * log_prob).sum(), parameters, allow_unused=True)
    return {name: part for name, part in zip(names, parts, strict=True) if part is not None}


def assert_same(got: dict[str, th.Tensor], expected: dict[str, th.Tensor]) -> None:
    assert got.keys() == expected.keys()
    for name, gradient in expected.items():
        assert float((got[name] - gradient).norm()) <= 1e-4 * float(gradient.norm()) + 1e-6, name


# --- What is read


@pytest.mark.parametrize("case", CASES)
def test_after_a_rollout_the_buffer_has_arrays(case: str, n_envs: int, blocks: str) -> None:
    model = make(case, n_envs, blocks).learn(1)
    buffer, observation_space, action_space = model.rollout_buffer, model.observation_space, model.action_space
    assert (len(buffer.rollout().blocks) > 1) == (blocks == "several blocks")
    n = int(buffer.lengths.sum())
    assert buffer.lengths.shape == (N_EPISODES,)
    assert buffer.rewards.shape == (n,)
    assert buffer.rewards.dtype == np.float64
    assert buffer.actions.shape == ((n,) if isinstance(action_space, spaces.Discrete) else (n, 2))
    parts = observation_space.items() if isinstance(observation_space, spaces.Dict) else [(None, observation_space)]
    for key, space in parts:
        part = buffer.observations if key is None else buffer.observations[key]
        assert part.shape == (n, *space.shape)  # type: ignore[misc]
        assert part.dtype == space.dtype
    sums = [float(rewards.sum()) for rewards in np.split(buffer.rewards, np.cumsum(buffer.lengths)[:-1])]
    seen = [episode["r"] for episode in model.ep_info_buffer]  # type: ignore[union-attr]
    np.testing.assert_allclose(sorted(sums), sorted(seen), atol=1e-5)


class Rewards(BaseCallback):
    """As SB3's users write it for PPO."""

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        rewards = self.locals["rollout_buffer"].rewards.flatten()
        self.logger.record("train/reward_min", rewards.min())
        self.logger.record("train/reward_mean", np.mean(self.model.rollout_buffer.rewards))
        self.logger.record("train/n_seen", len(self.model.rollout_buffer.observations.reshape(-1, 3)))
        self.n_seen = len(self.locals["rollout_buffer"].actions.reshape(-1))


@pytest.mark.parametrize("algorithm", [PPO, REINFORCE])
def test_a_callback_written_for_ppo_reads_it(algorithm: Any) -> None:
    arguments = {"n_steps": 32, "n_epochs": 1, "batch_size": 32} if algorithm is PPO else {}
    callback = Rewards()
    algorithm("MlpPolicy", Uneven(), seed=0, device="cpu", **arguments).learn(32, callback=callback)
    assert callback.n_seen >= 32


def test_before_the_rollout_is_complete_there_is_nothing_to_read() -> None:
    class Early(BaseCallback):
        def _on_step(self) -> bool:
            return bool(self.model.rollout_buffer.rewards.any())

    with pytest.raises(RuntimeError, match="must be complete first"):
        make("closed form", 1).learn(50, callback=Early())


# --- What is written


def _adds_to_rewards(buffer: Any) -> None:
    buffer.rewards += 1.0


def _scales_rewards_in_place(buffer: Any) -> None:
    buffer.rewards[::2] *= -3.0


def _assigns_rewards(buffer: Any) -> None:
    buffer.rewards = np.arange(len(buffer.rewards)) % 5


def _assigns_one_reward(buffer: Any) -> None:
    buffer.rewards = 2


def _adds_to_the_array(buffer: Any) -> None:
    rewards = buffer.rewards
    rewards += np.linspace(0, 1, len(rewards))


def _changes_a_view_by_episode(buffer: Any) -> None:
    for rewards in np.split(buffer.rewards, np.cumsum(buffer.lengths)[:-1]):
        rewards[-1] += 5.0


CHANGES_OF_REWARDS = [
    _adds_to_rewards,
    _scales_rewards_in_place,
    _assigns_rewards,
    _assigns_one_reward,
    _adds_to_the_array,
    _changes_a_view_by_episode,
]


def _map(function: Callable[[np.ndarray], Any], observations: Any) -> Any:
    if isinstance(observations, dict):
        return {key: function(part) if part.dtype.kind == "f" else part for key, part in observations.items()}
    return function(observations)


def _scales_observations(buffer: Any) -> None:
    if isinstance(buffer.observations, dict):
        buffer.observations["vector"] *= 0.5
        buffer.observations["number"][:] = 2
    else:
        buffer.observations *= 0.5


def _assigns_observations(buffer: Any) -> None:
    buffer.observations = _map(np.cos, buffer.observations)


def _assigns_observations_in_float64(buffer: Any) -> None:
    buffer.observations = _map(lambda part: part.astype(np.float64) + 1.0, buffer.observations)


def _reverses_actions(buffer: Any) -> None:
    buffer.actions[:] = buffer.actions[::-1].copy()


def _assigns_actions(buffer: Any) -> None:
    buffer.actions = np.zeros_like(buffer.actions)


def _changes_all(buffer: Any) -> None:
    _adds_to_rewards(buffer)
    _reverses_actions(buffer)
    _scales_observations(buffer)


CHANGES_OF_THE_REST = [
    _scales_observations,
    _assigns_observations,
    _assigns_observations_in_float64,
    _reverses_actions,
    _assigns_actions,
    _changes_all,
]
MANY = {"baseline": "optimal", "log_gradient_snr": True}


@pytest.mark.parametrize("change", [*CHANGES_OF_REWARDS, *CHANGES_OF_THE_REST])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("n_envs", "blocks"), [(1, "one block"), (4, "several blocks")])
def test_what_is_written_is_learned_from(case: str, change: Callable[[Any], None], n_envs: int, blocks: str) -> None:
    model, kept = make(case, n_envs, blocks), {}

    def keep(buffer: Any) -> None:
        kept["before"] = expected_gradients(model, copy.deepcopy(buffer))
        change(buffer)
        kept["after"] = expected_gradients(model, copy.deepcopy(buffer))

    model.learn(1, callback=AtEnd(keep), log_interval=None)
    assert_same(gradients(model), kept["after"])
    assert any((kept["before"][name] - kept["after"][name]).abs().max() > 1e-3 for name in kept["after"]), "it can fail"


@pytest.mark.parametrize("case", ["closed form", "autograd, Dict"])
def test_what_is_only_read_changes_nothing(case: str, n_envs: int, blocks: str) -> None:
    def read(buffer: Any) -> None:
        assert buffer.rewards.sum() != buffer.actions.sum()
        assert buffer.observations is not None

    unread, seen = make(case, n_envs, blocks).learn(1), make(case, n_envs, blocks).learn(1, callback=AtEnd(read))
    for name, gradient in gradients(unread).items():
        assert th.equal(gradients(seen)[name], gradient)


@pytest.mark.parametrize(
    "arguments",
    [
        {"baseline": "mean"},
        {"baseline": "time", "normalize_advantage": True},
        {"baseline": "linear"},
        {"baseline": "value", "n_value_updates": 1, "learning_rate": 1e-9},
        MANY,
        {"gamma": 0.8, "discount_weighting": True},
        {"reward_to_go": False},
        {"natural_gradient": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("change", [_scales_rewards_in_place, _changes_all])
def test_so_it_is_whatever_else_is_asked_for(change: Callable[[Any], None], arguments: dict[str, Any], n_envs: int) -> None:
    """A change by a callback is the same as an environment, and a policy, that gave these rewards and observations."""
    model, fresh = make("closed form", n_envs, **arguments), make("closed form", n_envs, **arguments)
    kept: dict[str, Any] = {}

    def keep(buffer: Any) -> None:
        change(buffer)
        kept["rollout"] = [np.array(part) for part in (buffer.rewards, buffer.actions, buffer.observations)]

    class Puts(AtEnd):
        """The same numbers, into blocks that nobody has looked into."""

        def _on_rollout_end(self) -> None:
            rollout = self.model.rollout_buffer.rollout()
            rewards, actions, observations = kept["rollout"]
            starts = np.cumsum(rollout.lengths) - rollout.lengths
            for block in rollout.blocks:
                rows = starts[block.episodes] + block.timesteps
                block.rewards[:], block.actions[:], block.observations[:] = rewards[rows], actions[rows], observations[rows]

    model.learn(1, callback=AtEnd(keep), log_interval=None)
    fresh.learn(1, callback=Puts(keep), log_interval=None)
    if arguments.get("natural_gradient"):
        np.testing.assert_allclose(model.policy.parameters_to_vector(), fresh.policy.parameters_to_vector(), rtol=1e-5)
        return
    assert_same(gradients(model), gradients(fresh))
    for key, value in fresh.logger.name_to_value.items():
        if key.startswith("train/"):
            assert model.logger.name_to_value[key] == pytest.approx(value, rel=1e-4, abs=1e-7), key


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_not_learned_from(bad: float) -> None:
    def spoil(buffer: Any) -> None:
        buffer.rewards[3] = bad

    model = make("closed form", 1, learning_rate=0.1)
    before = model.policy.parameters_to_vector()
    with pytest.raises((ValueError, FloatingPointError), match="finite"):
        model.learn(1, callback=AtEnd(spoil))
    np.testing.assert_array_equal(model.policy.parameters_to_vector(), before)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda buffer: setattr(buffer, "rewards", np.zeros(3)),
        lambda buffer: setattr(buffer, "actions", buffer.actions[1:]),
        lambda buffer: setattr(buffer, "observations", buffer.observations[:, :2]),
    ],
)
def test_arrays_of_another_shape_are_refused(spoil: Callable[[Any], None]) -> None:
    with pytest.raises(ValueError, match="shape"):
        make("closed form", 1).learn(1, callback=AtEnd(spoil))


@pytest.mark.parametrize("actions", [0.5, np.nan], ids=str)
def test_numbers_that_are_no_actions_are_refused(actions: float) -> None:
    def spoil(buffer: Any) -> None:
        buffer.actions = np.full(len(buffer.rewards), actions)

    with np.errstate(invalid="ignore"), pytest.raises((ValueError, TypeError)):
        make("closed form", 1).learn(1, callback=AtEnd(spoil))


def test_the_next_rollout_is_not_what_was_written_into_the_last() -> None:
    rewards = []

    def look(buffer: Any) -> None:
        rewards.append(buffer.rewards.copy())
        buffer.rewards[:] = 100.0

    make("closed form", 2).learn(200, callback=AtEnd(look))
    assert len(rewards) > 2
    assert all(np.abs(each).max() <= 1 for each in rewards)


# --- Local variables

PRESENT = ("rewards", "dones", "actions", "clipped_actions", "new_obs", "infos", "n_steps", "rollout_buffer", "env", "self")


class Asks(BaseCallback):
    """For local variables, at each step."""

    def __init__(self, *names: str) -> None:
        super().__init__()
        self.names = names

    def _on_step(self) -> bool:
        return len([self.locals[name] for name in self.names]) == len(self.names)


def _bare(names: tuple[str, ...]) -> Any:
    return Asks(*names)


def _in_a_list(names: tuple[str, ...]) -> Any:
    return CallbackList([Asks(), Asks(*names)])


def _as_a_python_list(names: tuple[str, ...]) -> Any:
    return [Asks(*names)]


def _within_another(names: tuple[str, ...]) -> Any:
    return EveryNTimesteps(2, Asks(*names))


def _after_an_evaluation(names: tuple[str, ...]) -> Any:
    return EvalCallback(Uneven(), eval_freq=3, n_eval_episodes=1, callback_after_eval=Asks(*names), verbose=0, warn=False)


def _as_a_function(names: tuple[str, ...]) -> Any:
    return lambda locals_, globals_: len([locals_[name] for name in names]) == len(names)


WAYS = [_bare, _in_a_list, _as_a_python_list, _within_another, _after_an_evaluation, _as_a_function]


@pytest.mark.filterwarnings("ignore:Training and eval env are not of the same type")
@pytest.mark.parametrize("way", WAYS)
def test_what_ppo_has_and_reinforce_too_is_there(way: Callable[[tuple[str, ...]], Any]) -> None:
    make("closed form", 2).learn(30, callback=way(PRESENT))


@pytest.mark.parametrize("missing", ["values", "log_probs", "advantages_of_my_own"])
@pytest.mark.filterwarnings("ignore:Training and eval env are not of the same type")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("algorithm", [REINFORCE, RandomWeightSearch])
def test_what_is_missing_is_an_error_that_says_what_there_is(
    algorithm: Any, way: Callable[[tuple[str, ...]], Any], missing: str
) -> None:
    model = algorithm("LinearSoftmaxPolicy", Uneven(), seed=0)
    with pytest.raises(KeyError, match=rf"no '{missing}' among the local variables.*There are .*rewards.*infos") as error:
        model.learn(30, callback=way((missing,)))
    for name in ("dones", "actions", "new_obs"):
        assert name in str(error.value)


def test_who_asks_politely_gets_none() -> None:
    class Polite(BaseCallback):
        def _on_step(self) -> bool:
            assert self.locals.get("values") is None
            assert "values" not in self.locals
            return "rewards" in self.locals

    model = make("closed form", 1).learn(30, callback=Polite())
    assert model.num_timesteps >= 30


@pytest.mark.parametrize("n_envs", [1, 3])
def test_local_variables_are_those_of_the_step(n_envs: int) -> None:
    class Checks(BaseCallback):
        n_steps = 0
        total = 0.0

        def _on_rollout_start(self) -> None:
            self.n_steps = 0

        def _on_step(self) -> bool:
            variables = self.locals
            assert variables["n_steps"] == self.n_steps
            assert len(variables["rewards"]) == len(variables["dones"]) == len(variables["infos"]) == n_envs
            assert variables["new_obs"].shape == (n_envs, 3)
            self.total += variables["rewards"][variables["learned_from"]].sum()
            self.n_steps += 1
            return True

        def _on_rollout_end(self) -> None:
            assert self.model.rollout_buffer.rewards.sum() == pytest.approx(self.total, abs=1e-4)
            self.total = 0.0

    make("closed form", n_envs).learn(200, callback=Checks())


# --- SB3's recipe for hyperparameters in TensorBoard


class LogsHyperparameters(BaseCallback):
    def _on_training_start(self) -> None:
        hyperparameters = {
            "algorithm": type(self.model).__name__,
            "learning rate": self.model.learning_rate,
            "gamma": self.model.gamma,
            "episodes": self.model.rollout_buffer.n_episodes,
        }
        metrics = {"rollout/ep_len_mean": 0, "train/grad_norm": 0.0}
        self.logger.record("hparams", HParam(hyperparameters, metrics), exclude=("stdout", "log", "json", "csv"))

    def _on_step(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("policy", "arguments"),
    [
        ("LinearSoftmaxPolicy", {}),
        ("MlpPolicy", {}),
        ("LinearPolicy", {"natural_gradient": True}),
        ("LinearSoftmaxPolicy", {"learning_rate": 0.03}),
    ],
)
def test_the_recipe_of_sb3s_documentation_works(policy: str, arguments: dict[str, Any], tmp_path: Any) -> None:
    model = REINFORCE(policy, Uneven(), seed=0, tensorboard_log=str(tmp_path), device="cpu", **arguments)
    model.learn(200, callback=LogsHyperparameters())
    events = EventAccumulator(str(tmp_path / "REINFORCE_1")).Reload()
    assert "_hparams_/session_start_info" in events.summary_metadata
    assert {"rollout/ep_rew_mean", "train/grad_norm"} <= set(events.Tags()["scalars"])
