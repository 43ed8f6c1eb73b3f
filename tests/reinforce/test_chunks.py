"""No step teaches nothing: training in pieces, training that is stopped, episodes that don't end, rollouts of one timestep."""

import warnings
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.callbacks import BaseCallback, EveryNTimesteps, StopTrainingOnMaxEpisodes
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv

from sb3_reinforce import REINFORCE, EpsilonSchedule, GymnasiumVecEnv, RandomWeightSearch
from tests.testbed import MDPS, TabularEnv, Toy

# --- In pieces


def weights_of(
    env: Any, policy: str, pieces: list[int], total_timesteps: int, **kwargs: Any
) -> tuple[np.ndarray, int, set[float]]:
    """After training in pieces of these numbers of timesteps, over and over. With timesteps and step sizes."""
    model = REINFORCE(policy, env, seed=3, device="cpu", **kwargs)
    rates, piece = set(), 0
    while model.num_timesteps < total_timesteps:
        model.learn(pieces[piece % len(pieces)], reset_num_timesteps=False, log_interval=None)
        rates.add(model.policy.optimizer.param_groups[0]["lr"])
        piece += 1
    return model.policy.parameters_to_vector(), model.num_timesteps, rates


def cartpole(n_envs: int) -> Any:
    return make_vec_env("CartPole-v1", n_envs)


@pytest.mark.parametrize("n_envs", [1, 3])
@pytest.mark.parametrize(
    ("policy", "arguments"),
    [
        ("LinearSoftmaxPolicy", {}),
        ("LinearSoftmaxPolicy", {"learning_rate": 0.02, "baseline": "linear", "log_gradient_snr": True}),
        ("LinearSoftmaxPolicy", {"natural_gradient": True}),
        ("LinearSoftmaxPolicy", {"epsilon": EpsilonSchedule(0.9, 0.1, 0.01), "baseline": "optimal"}),
        ("LinearSoftmaxPolicy", {"epsilon": 0.2, "n_episodes": 5}),
        ("MlpPolicy", {"policy_kwargs": {"net_arch": [8]}}),
        ("MlpPolicy", {"policy_kwargs": {"net_arch": [8]}, "baseline": "value", "n_value_updates": 3}),
        ("MlpPolicy", {"policy_kwargs": {"net_arch": [8]}, "bootstrap_truncated": True, "gamma": 0.9, "n_value_updates": 3}),
    ],
    ids=str,
)
def test_in_pieces_it_learns_what_it_learns_in_one_go(policy: str, arguments: dict[str, Any], n_envs: int) -> None:
    in_pieces, n_timesteps, rates = weights_of(cartpole(n_envs), policy, [100], 2_000, **arguments)
    whole, n_timesteps_of_whole, rate = weights_of(cartpole(n_envs), policy, [n_timesteps], n_timesteps, **arguments)
    assert n_timesteps_of_whole == n_timesteps
    assert rates == rate
    np.testing.assert_array_equal(in_pieces, whole)


@settings(max_examples=15)
@given(
    st.lists(st.integers(1, 120), min_size=1, max_size=4), st.integers(1, 4), st.integers(2, 6), st.sampled_from(list(MDPS))
)
def test_in_pieces_of_any_size(pieces: list[int], n_envs: int, n_episodes: int, mdp: str) -> None:
    def learn(pieces: list[int], total_timesteps: int) -> tuple[np.ndarray, int, set[float]]:
        env = DummyVecEnv([lambda: TabularEnv(MDPS[mdp])] * n_envs)
        return weights_of(env, "LinearSoftmaxPolicy", pieces, total_timesteps, n_episodes=n_episodes)

    in_pieces, n_timesteps, _ = learn(pieces, 150)
    whole, n_timesteps_of_whole, _ = learn([n_timesteps], n_timesteps)
    assert n_timesteps_of_whole == n_timesteps
    np.testing.assert_array_equal(in_pieces, whole)


@pytest.mark.parametrize(
    ("policy", "env", "rate"),
    [
        ("LinearSoftmaxPolicy", "CartPole-v1", 0.2),
        ("LinearPolicy", "CartPole-v1", 0.2),
        ("LinearGaussianPolicy", "Pendulum-v1", 0.05),
        ("MlpPolicy", "Pendulum-v1", 0.005),
    ],
)
@pytest.mark.parametrize("reset_num_timesteps", [True, False])
def test_the_default_step_size_is_a_number_that_stays(policy: str, env: str, rate: float, reset_num_timesteps: bool) -> None:
    model = REINFORCE(policy, env, seed=0, n_episodes=2, device="cpu")
    assert model.learning_rate == rate
    for _ in range(3):
        model.learn(100, reset_num_timesteps=reset_num_timesteps)
        assert model.policy.optimizer.param_groups[0]["lr"] == rate


def test_counted_from_0_each_time_it_goes_on_learning_as_well() -> None:
    def mean_length(model: REINFORCE) -> float:
        assert model.ep_info_buffer is not None
        return float(np.mean([info["l"] for info in model.ep_info_buffer]))

    model = REINFORCE("LinearSoftmaxPolicy", cartpole(1), seed=0, stats_window_size=20)
    first = mean_length(model.learn(1))
    for _ in range(25):
        model.learn(500)
    assert mean_length(model) > 3 * first


# --- Stopped


@pytest.mark.parametrize(
    ("n_envs", "n_episodes", "max_episodes", "n_updates"),
    [(1, 8, 5, 0), (1, 8, 8, 1), (1, 8, 80, 10), (1, 8, 100, 12), (1, 1, 3, 3), (2, 4, 2, 1), (4, 8, 8, 4), (3, 6, 7, 3)],
)
def test_the_episode_that_completes_a_rollout_is_learned_from_if_it_is_the_last(
    n_envs: int, n_episodes: int, max_episodes: int, n_updates: int
) -> None:
    """``max_episodes`` is counted for each environment; here no environment is ever idle."""
    baseline = "none" if n_episodes == 1 else "time"
    env = make_vec_env(Toy, n_envs)
    model = REINFORCE("LinearSoftmaxPolicy", env, seed=0, n_episodes=n_episodes, baseline=baseline)
    model.learn(10**6, callback=StopTrainingOnMaxEpisodes(max_episodes))
    assert model._n_updates == n_updates
    assert bool(model.policy.action_net.weight.detach().any()) == (n_updates > 0)


class StopsAtStep(BaseCallback):
    def __init__(self, step: int) -> None:
        super().__init__()
        self.step, self.ends = step, list[str]()

    def _on_step(self) -> bool:
        return self.n_calls < self.step

    def _on_rollout_end(self) -> None:
        self.ends.append("rollout")

    def _on_training_end(self) -> None:
        self.ends.append("training")


@pytest.mark.parametrize("n_envs", [1, 3])
@pytest.mark.parametrize(("late", "n_updates"), [(-1, 1), (0, 2), (1, 2)])
def test_whoever_stops_training_with_the_last_step_of_a_rollout_lets_it_be_learned_from(
    n_envs: int, late: int, n_updates: int
) -> None:
    """Two rollouts of two episodes of five steps in each environment."""
    callback = StopsAtStep(20 + late)
    model = REINFORCE("MlpPolicy", make_vec_env(Toy, n_envs), seed=0, n_episodes=2 * n_envs)
    model.learn(10**6, callback=callback)
    assert model._n_updates == n_updates
    assert callback.ends == ["rollout"] * n_updates + ["training"]
    assert model.num_timesteps == n_envs * (20 + late)
    assert len(model.ep_info_buffer) == 2 * n_envs * n_updates + (late < 0) * n_envs  # type: ignore[arg-type]


def test_a_callback_within_another_one_that_stops_it_does_as_well() -> None:
    callback = EveryNTimesteps(10, StopTrainingOnMaxEpisodes(2))
    model = REINFORCE("LinearSoftmaxPolicy", Toy(), seed=0, n_episodes=2)

    class Stops(BaseCallback):
        def _on_step(self) -> bool:
            return False

    callback.callback = Stops()
    model.learn(1_000, callback=callback)
    assert (model._n_updates, model.num_timesteps) == (1, 10)


# --- Episodes that don't end


class Plant(Toy):
    """It never ends an episode, or after so many steps."""

    def __init__(self, length: int = 10**9) -> None:
        super().__init__()
        self.length, self.n_steps = length, 0

    def step(self, action: Any) -> Any:
        self.n_steps += 1
        obs, reward, _, _, info = super().step(action)
        return obs, reward, self.time >= self.length, False, info


WARNING = r"has not ended one episode yet.*gymnasium\.wrappers\.TimeLimit"
ALGORITHMS: dict[str, Any] = {"REINFORCE": REINFORCE, "RandomWeightSearch": RandomWeightSearch}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize(("n_envs", "total_timesteps"), [(1, 1), (1, 30), (3, 30), (3, 31)])
def test_one_is_warned_when_what_was_asked_for_is_used_up(algorithm: str, n_envs: int, total_timesteps: int) -> None:
    envs = [Plant() for _ in range(n_envs)]
    model = ALGORITHMS[algorithm]("LinearSoftmaxPolicy", DummyVecEnv([lambda env=env: env for env in envs]), seed=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        with pytest.raises(UserWarning, match=WARNING):
            model.learn(total_timesteps)
    assert envs[0].n_steps == -(-total_timesteps // n_envs)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("n_envs", [1, 3])
def test_and_it_is_an_error_at_max_episode_steps(algorithm: str, n_envs: int) -> None:
    envs: list[Any] = [Plant(), *(Plant(7) for _ in range(n_envs - 1))]
    model = ALGORITHMS[algorithm](
        "LinearSoftmaxPolicy", DummyVecEnv([lambda env=env: env for env in envs]), max_episode_steps=50, seed=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore" if n_envs == 1 else "error", UserWarning)  # others end theirs
        with pytest.raises(RuntimeError, match=r"not ended within 50 timesteps.*TimeLimit.*max_episode_steps"):
            model.learn(30 if algorithm == "REINFORCE" else 10_000)
    assert envs[0].n_steps == 50


def test_one_is_warned_once_and_learns_when_it_ends() -> None:
    env = Plant(40)
    model = REINFORCE("LinearSoftmaxPolicy", env, seed=0, n_episodes=2)
    with pytest.warns(UserWarning, match=WARNING) as told:
        model.learn(25)
    assert len([warning for warning in told if "not ended" in str(warning.message)]) == 1
    assert (model._n_updates, env.n_steps) == (1, 80)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        model.learn(1, reset_num_timesteps=False)  # by now it is known that they end
    assert model._n_updates == 2


gym.register("PlantWithLimit-v0", entry_point=Plant, max_episode_steps=60)  # type: ignore[arg-type]
LIMITED: dict[str, Any] = {
    "registered": lambda: gym.make("PlantWithLimit-v0"),
    "made with one": lambda: gym.make("PlantWithLimit-v0", max_episode_steps=70),
    "several": lambda: DummyVecEnv([lambda: gym.make("PlantWithLimit-v0")] * 2),
    "vector": lambda: GymnasiumVecEnv(gym.make_vec("CartPole-v1", 2)),
    "wrapped": lambda: gym.wrappers.TimeLimit(Plant(), 60),
    "wrapped, several": lambda: make_vec_env(lambda: gym.wrappers.TimeLimit(Plant(), 60), 2),
}


@pytest.mark.parametrize("name", LIMITED)
def test_who_has_a_time_limit_is_not_told_to_get_one(name: str) -> None:
    model = REINFORCE("LinearSoftmaxPolicy", LIMITED[name](), seed=0, n_episodes=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        model.learn(1)
    assert model._n_updates == 1


# --- One episode a rollout


class Choice(gym.Env[int, Any]):
    """What to do is what is seen. A reward says at the end how much of it was done."""

    def __init__(self, length: int = 1, worst: float = 0.0, action_space: spaces.Space | None = None) -> None:
        self.observation_space = spaces.Discrete(2)  # type: ignore[assignment]
        self.action_space = action_space or spaces.Discrete(3)
        self.length, self.worst = length, worst

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        super().reset(seed=seed)
        self.seen, self.time, self.good = int(self.np_random.integers(2)), 0, 0.0
        return self.seen, {}

    def step(self, action: Any) -> tuple[int, float, bool, bool, dict[str, Any]]:
        self.time += 1
        self.good += float(np.mean(np.abs(np.asarray(action, np.float64) - self.seen) < 0.5)) / self.length
        is_over = self.time == self.length
        return self.seen, self.worst + self.good if is_over else 0.0, is_over, False, {}


def how_good(model: REINFORCE) -> float:
    """The probability of what is right, or its mean over the parts of an action."""
    n = 4_000
    with th.no_grad():
        actions = model.policy.get_distribution(th.tensor([0, 1]).repeat(n)).get_actions().numpy().reshape(2 * n, -1)
    return float((np.abs(actions - np.tile([0, 1], n)[:, None]) < 0.5).mean())


@pytest.mark.parametrize("normalize_advantage", [True, False])
@pytest.mark.parametrize(("length", "worst"), [(1, -1.0), (3, 0.0)])
@pytest.mark.parametrize("baseline", ["none", "mean"])
def test_a_rollout_of_one_episode_with_a_reward_at_its_end_teaches_something(
    baseline: str, length: int, worst: float, normalize_advantage: bool
) -> None:
    env = Choice(length, worst)
    arguments = {"learning_rate": 0.1, "n_episodes": 1, "baseline": baseline, "normalize_advantage": normalize_advantage}
    model = REINFORCE("LinearSoftmaxPolicy", env, seed=4, **arguments)  # type: ignore[arg-type]
    assert 0.25 < how_good(model) < 0.45
    model.learn(200 * length, log_interval=None)
    assert model._n_updates == 200
    assert how_good(model) > 0.7


@pytest.mark.parametrize(
    ("baseline", "normalize_advantage"), [("none", False), ("none", True), ("mean", True), ("mean", False)]
)
def test_a_discount_does_not_turn_it_round(baseline: str, normalize_advantage: bool) -> None:
    """The returns of an episode differ by the time that is left only, and say nothing of its actions."""
    arguments = {"learning_rate": 0.1, "n_episodes": 1, "baseline": baseline, "normalize_advantage": normalize_advantage}
    model = REINFORCE("LinearSoftmaxPolicy", Choice(3), seed=1, gamma=0.5, **arguments)  # type: ignore[arg-type]
    model.learn(600, log_interval=None)
    assert how_good(model) > 0.6


@pytest.mark.parametrize(
    "action_space", [spaces.MultiDiscrete([2, 3]), spaces.MultiBinary(2), spaces.Box(-2, 2, (1,))], ids=str
)
@pytest.mark.parametrize("baseline", ["none", "mean"])
def test_so_it_does_with_other_actions(baseline: str, action_space: spaces.Space) -> None:
    arguments = {"learning_rate": 0.03, "n_episodes": 1, "baseline": baseline}
    model = REINFORCE("LinearPolicy", Choice(action_space=action_space), seed=0, **arguments)  # type: ignore[arg-type]
    before = how_good(model)
    model.learn(250, log_interval=None)
    assert how_good(model) > before + 0.15


@pytest.mark.parametrize("n_episodes", [2, 8])
def test_one_step_tasks_with_all_defaults(n_episodes: int) -> None:
    model = REINFORCE("LinearSoftmaxPolicy", Choice(), seed=0, n_episodes=n_episodes).learn(
        250 * n_episodes, log_interval=None
    )
    assert how_good(model) > 0.8
