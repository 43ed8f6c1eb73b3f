import json
import pathlib
from typing import Any

import gymnasium as gym
import numpy as np
import pandas as pd
import pytest
from gymnasium import spaces
from sb3_contrib import ARS, QRDQN, TQC, TRPO, CrossQ, MaskablePPO, RecurrentPPO
from stable_baselines3 import A2C, DDPG, DQN, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback, CallbackList, ConvertCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.logger import configure
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecMonitor, VecNormalize
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sb3_reinforce import (
    REINFORCE,
    EpisodeDurationCallback,
    EpsilonCallback,
    EpsilonSchedule,
    RandomWeightSearch,
    ResumableCheckpointCallback,
    StopTrainingOnSolved,
)
from sb3_reinforce.common.callbacks import environment_reward_threshold, is_monitored, listening, monitored_episode

LENGTH, RETURN = "rollout/episode_length", "rollout/episode_return"
Point = tuple[int, float, float]
"""Timestep, length and return."""


class Listener(BaseCallback):
    """The slow version: every episode's point, read off the locals."""

    def __init__(self) -> None:
        super().__init__()
        self.points: list[Point] = []
        self.idle: list[Point] = []

    def _on_step(self) -> bool:
        for i, (done, info) in enumerate(zip(self.locals["dones"], self.locals["infos"], strict=True)):
            if done:
                counts = "learned_from" not in self.locals or self.locals["learned_from"][i]
                points = self.points if counts else self.idle
                points.append((self.num_timesteps, info["episode"]["l"], info["episode"]["r"]))
        return True


def bare_env(n_envs: int = 1) -> DummyVecEnv:
    return DummyVecEnv([lambda: gym.make("CartPole-v1")] * n_envs)


def algorithms() -> dict[str, BaseAlgorithm]:
    """Two of ours and two of SB3's, one that collects rollouts and one that replays."""
    return {
        "reinforce": REINFORCE("LinearSoftmaxPolicy", make_vec_env("CartPole-v1", 3), n_episodes=5, seed=0),
        "search": RandomWeightSearch("LinearSoftmaxPolicy", make_vec_env("CartPole-v1", 2), seed=0),
        "ppo": PPO("MlpPolicy", make_vec_env("CartPole-v1", 2), n_steps=128, n_epochs=1, seed=0, device="cpu"),
        "dqn": DQN("MlpPolicy", "CartPole-v1", learning_starts=10_000, seed=0, device="cpu"),
    }


@pytest.mark.parametrize("name", algorithms())
def test_a_point_for_each_episode_in_every_output(
    tmp_path: pathlib.Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model, listener, callback = algorithms()[name], Listener(), EpisodeDurationCallback()
    model.set_logger(configure(str(tmp_path), ["stdout", "csv", "json", "tensorboard"]))
    model.learn(800, [listener, callback], log_interval=1)
    model.logger.close()
    assert len(listener.points) > 10
    # Several may end at the same timestep, so nothing less than the whole list will do
    table = pd.read_csv(tmp_path / "progress.csv").dropna(subset=[LENGTH])
    assert list(zip(table["time/total_timesteps"], table[LENGTH], table[RETURN], strict=True)) == listener.points
    lines = [json.loads(line) for line in (tmp_path / "progress.json").read_text().splitlines()]
    assert [(line["time/total_timesteps"], line[LENGTH], line[RETURN]) for line in lines if LENGTH in line] == listener.points
    events = EventAccumulator(str(tmp_path), size_guidance={"scalars": 0}).Reload()
    lengths, returns = events.Scalars(LENGTH), events.Scalars(RETURN)
    assert [(a.step, a.value, b.value) for a, b in zip(lengths, returns, strict=True)] == listener.points
    out = capsys.readouterr().out
    for key in ("episode_length", "episode_return", "episode_length_mean", "episode_return_mean", "episode_return_best"):
        assert f" {key} " in out
    assert out.count(" episode_length ") <= len(listener.points)  # in the algorithm's tables, not in ones of its own
    assert callback.n_episodes == len(listener.points)
    assert callback.best_return == max(point[2] for point in listener.points)


def test_running_means_and_best(tmp_path: pathlib.Path) -> None:
    model, listener = algorithms()["reinforce"], Listener()
    model.set_logger(configure(str(tmp_path), ["csv", "tensorboard"]))
    model.learn(1_000, [listener, EpisodeDurationCallback(window_size=7)])
    model.logger.close()
    rows = pd.read_csv(tmp_path / "progress.csv")
    logs = rows.dropna(subset=["rollout/episode_return_mean"])
    assert len(logs) >= 4
    for i, (timesteps, row) in enumerate(zip(logs["time/total_timesteps"], logs.itertuples(), strict=True)):
        so_far = [point for point in listener.points if point[0] <= timesteps]
        assert len(so_far) == 5 * (i + 1)
        assert rows.loc[row.Index, "rollout/episode_length_mean"] == pytest.approx(np.mean([p[1] for p in so_far[-7:]]))
        assert rows.loc[row.Index, "rollout/episode_return_mean"] == pytest.approx(np.mean([p[2] for p in so_far[-7:]]))
        assert rows.loc[row.Index, "rollout/episode_return_best"] == max(p[2] for p in so_far)
    cards = EventAccumulator(str(tmp_path)).Reload().Tags()["scalars"]
    of_episodes = {card for card in cards if card.startswith("rollout/ep")}
    mine = {"rollout/episode_length", "rollout/episode_return"}
    assert of_episodes == mine | {"rollout/ep_rew_mean", "rollout/ep_len_mean", "rollout/epsilon"}, "none says the same twice"


def test_what_idle_environments_finish_does_not_count() -> None:
    model = REINFORCE("LinearSoftmaxPolicy", make_vec_env("CartPole-v1", 6), n_episodes=7, seed=0)
    listener, callback = Listener(), EpisodeDurationCallback()
    model.learn(1000, [listener, callback])
    assert len(listener.idle) > 0
    assert callback.n_episodes == len(listener.points)
    assert callback.n_episodes % 7 == 0
    assert list(callback.lengths) == [length for _, length, _ in listener.points[-100:]]


def test_a_line_for_each_new_best(capsys: pytest.CaptureFixture[str]) -> None:
    listener = Listener()
    algorithms()["reinforce"].learn(300, [listener, EpisodeDurationCallback(verbose=1)])
    returns = [point[2] for point in listener.points]
    bests = [i for i in range(len(returns)) if returns[i] > max(returns[:i], default=-np.inf)]
    lines = [line for line in capsys.readouterr().out.splitlines() if "new best" in line]
    assert lines == [f"Episode {i + 1}: new best return {returns[i]:g} in {returns[i]:g} timesteps" for i in bests]


@pytest.mark.parametrize("callback", [EpisodeDurationCallback(), StopTrainingOnSolved()])
def test_without_a_monitor_there_are_no_episodes(callback: BaseCallback) -> None:
    model = REINFORCE("LinearSoftmaxPolicy", bare_env(), seed=0)
    with pytest.raises(ValueError, match=rf"{type(callback).__name__} reads returns.*VecMonitor"):
        model.learn(100, callback)


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        (bare_env(), False),
        (VecMonitor(bare_env()), True),
        (VecNormalize(VecMonitor(bare_env())), True),
        (DummyVecEnv([lambda: Monitor(gym.make("CartPole-v1"))]), True),
        (VecNormalize(bare_env()), False),
    ],
)
def test_is_monitored(env: VecEnv, expected: bool) -> None:
    assert is_monitored(env) is expected


def test_reward_thresholds() -> None:
    assert environment_reward_threshold(make_vec_env("CartPole-v1")) == 475
    assert environment_reward_threshold(VecNormalize(make_vec_env("Pendulum-v1"))) is None


@pytest.mark.parametrize("callback", [EpisodeDurationCallback, StopTrainingOnSolved])
@pytest.mark.parametrize("value", [0, 2.5, "10"])
def test_a_window_of_no_episodes(callback: Any, value: Any) -> None:
    name = "window_size" if callback is EpisodeDurationCallback else "n_episodes"
    with pytest.raises(ValueError, match=f"{name} of {callback.__name__} must be an integer of at least 1, but got {value!r}"):
        callback(**{name: value})


@pytest.mark.parametrize("threshold", [np.nan, "475"])
def test_a_threshold_that_nothing_can_meet(threshold: Any) -> None:
    with pytest.raises(ValueError, match="reward_threshold of StopTrainingOnSolved must be a number or None"):
        StopTrainingOnSolved(reward_threshold=threshold)


# Epsilon


def test_epsilon_of_reinforce(tmp_path: pathlib.Path) -> None:
    model = REINFORCE("LinearSoftmaxPolicy", "CartPole-v1", n_episodes=4, epsilon=EpsilonSchedule(1.0, 0.9, 0.01), seed=0)
    model.set_logger(configure(str(tmp_path), ["csv", "json", "tensorboard"]))
    model.learn(500, EpsilonCallback())
    model.logger.close()
    # Of the last episode of each rollout, of four episodes: the numbers 3, 7, 11, ...
    events = EventAccumulator(str(tmp_path)).Reload().Scalars("rollout/epsilon")
    expected = [max(0.9, 1.0 - 0.01 * (4 * i + 3)) for i in range(len(events))]
    assert len(events) > 3
    assert [event.value for event in events] == pytest.approx(expected)
    assert pd.read_csv(tmp_path / "progress.csv")["rollout/epsilon"].tolist() == pytest.approx(expected)
    lines = [json.loads(line) for line in (tmp_path / "progress.json").read_text().splitlines()]
    assert [line["rollout/epsilon"] for line in lines] == pytest.approx(expected)


def test_epsilon_of_dqn(tmp_path: pathlib.Path) -> None:
    model = DQN("MlpPolicy", "CartPole-v1", learning_starts=10_000, exploration_fraction=1.0, seed=0, device="cpu")
    model.set_logger(configure(str(tmp_path), ["csv", "tensorboard"]))
    model.learn(1000, EpsilonCallback(), log_interval=1)
    model.logger.close()
    table = pd.read_csv(tmp_path / "progress.csv").dropna(subset=["rollout/epsilon"])
    # Known since the last rollout of four steps
    assert len(table) > 10
    np.testing.assert_allclose(table["rollout/epsilon"], 1.0 - 0.95 * table["time/total_timesteps"] / 1000, atol=0.006)
    events = EventAccumulator(str(tmp_path)).Reload().Scalars("rollout/epsilon")
    np.testing.assert_allclose([event.value for event in events], table["rollout/epsilon"], rtol=1e-5)


def test_an_algorithm_without_epsilon() -> None:
    for name in ("ppo", "search"):
        with pytest.raises(ValueError, match=r"EpsilonCallback.*(PPO|RandomWeightSearch) has none"):
            algorithms()[name].learn(100, EpsilonCallback())


# Solved


def test_stops_as_soon_as_the_window_meets_the_threshold() -> None:
    listener, callback = Listener(), StopTrainingOnSolved(reward_threshold=40.0, n_episodes=10)
    model = REINFORCE("LinearSoftmaxPolicy", "CartPole-v1", seed=0).learn(50_000, [listener, callback])
    returns = [point[2] for point in listener.points]
    means = [np.mean(returns[i - 10 : i]) for i in range(10, len(returns) + 1)]
    assert callback.solved
    assert means[-1] >= 40.0
    assert max(means[:-1]) < 40.0
    assert model.num_timesteps == listener.points[-1][0] < 50_000


@pytest.mark.parametrize("name", algorithms())
def test_stops_any_algorithm(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    model, callback = algorithms()[name], StopTrainingOnSolved(reward_threshold=5.0, n_episodes=3, verbose=1)
    model.learn(5000, callback)
    assert callback.solved
    assert model.num_timesteps < 1000
    assert capsys.readouterr().out.count("Solved: mean return") == 1


def test_stops_at_the_threshold_of_the_environment() -> None:
    env = make_vec_env("FrozenLake-v1", env_kwargs={"is_slippery": False, "desc": ["SF", "HG"]})
    callback = StopTrainingOnSolved(n_episodes=20)
    REINFORCE("LinearSoftmaxPolicy", env, seed=0).learn(20_000, callback)
    assert callback.solved
    assert 0.7 <= np.mean(callback.returns) <= 0.8  # 0.7 is FrozenLake's own
    assert callback.reward_threshold is None


def test_one_callback_serves_one_run_after_another() -> None:
    callback = StopTrainingOnSolved(reward_threshold=5.0, n_episodes=3)
    first = REINFORCE("LinearSoftmaxPolicy", "CartPole-v1", seed=0).learn(5000, callback)
    second = REINFORCE("LinearSoftmaxPolicy", "CartPole-v1", seed=0).learn(5000, callback)
    assert first.num_timesteps == second.num_timesteps > 3
    own = StopTrainingOnSolved(n_episodes=1)
    own.init_callback(first)
    with pytest.raises(ValueError, match="no reward_threshold"):
        own.init_callback(PPO("MlpPolicy", "Pendulum-v1", device="cpu"))


def test_no_threshold_to_stop_at() -> None:
    model: Any = REINFORCE("MlpPolicy", "Pendulum-v1", seed=0)
    with pytest.raises(ValueError, match=r"no reward_threshold of its own.*StopTrainingOnSolved\(reward_threshold="):
        model.learn(100, StopTrainingOnSolved())


def test_who_listens_to_what(tmp_path: pathlib.Path) -> None:
    class Own(EpisodeDurationCallback):
        def _on_step(self) -> bool:
            return super()._on_step()

    deaf = [ConvertCallback(None), CallbackList([]), ResumableCheckpointCallback(tmp_path)]
    ends = [EpisodeDurationCallback(), StopTrainingOnSolved(), CallbackList([*deaf, EpisodeDurationCallback()])]
    each = [ConvertCallback(lambda _locals, _globals: True), Own(), CallbackList([*ends, Own()])]
    for callbacks, expected in ((deaf, (False, False)), (ends, (False, True)), (each, (True, True))):
        assert {tuple(listening(callback)) for callback in callbacks} == {expected}  # type: ignore[attr-defined]


# Every algorithm of SB3 and sb3-contrib


class Corridor(gym.Env[np.ndarray, Any]):
    """Episodes of 3, 4, 5, 3, 4, 5, ... timesteps, each of which pays 1."""

    def __init__(self, continuous: bool = False, is_own: bool = False) -> None:
        self.observation_space = spaces.Box(-1, 1, (2,))
        self.action_space: Any = spaces.Box(-1, 1, (1,)) if continuous else spaces.Discrete(2)
        self.n_episodes, self.is_own = 0, is_own

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.n_episodes, self.time = self.n_episodes + 1, 0
        return np.zeros(2, np.float32), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.time += 1
        info = {"episode": self.n_episodes} if self.is_own else {}
        return np.zeros(2, np.float32), 1.0, self.time >= 3 + self.n_episodes % 3, False, info

    def action_masks(self) -> np.ndarray:
        """For MaskablePPO."""
        return np.ones(2, dtype=bool)


ON_POLICY: dict[str, Any] = {"n_steps": 32, "n_epochs": 1}
ALGORITHMS: dict[Any, dict[str, Any]] = {
    A2C: {},
    PPO: ON_POLICY,
    TRPO: {"n_steps": 32},
    MaskablePPO: ON_POLICY,
    RecurrentPPO: {**ON_POLICY, "policy": "MlpLstmPolicy"},
    ARS: {"policy": "LinearPolicy", "n_delta": 3, "n_eval_episodes": 2},
    **{algorithm: {"learning_starts": 1_000} for algorithm in (DQN, QRDQN, SAC, TD3, DDPG, TQC, CrossQ)},
    REINFORCE: {},
    RandomWeightSearch: {"policy": "LinearSoftmaxPolicy", "reward_threshold": 1e9},
}


def learner(algorithm: Any, n_envs: int = 2) -> BaseAlgorithm:
    # SB3's own algorithms can't bear an "episode" that is not Monitor's
    env_kwargs = {
        "continuous": algorithm in (SAC, TD3, DDPG, TQC, CrossQ),
        "is_own": algorithm in (REINFORCE, RandomWeightSearch, ARS),
    }
    env = make_vec_env(Corridor, n_envs, env_kwargs=env_kwargs)
    arguments = {"policy": "MlpPolicy", "device": "cpu", "seed": 0, **ALGORITHMS[algorithm]}
    return algorithm(env=env, **arguments)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_durations_of_any_algorithm(algorithm: Any) -> None:
    model, callback = learner(algorithm), EpisodeDurationCallback()
    model.learn(100, callback)
    n_played = sum(env.get_wrapper_attr("n_episodes") for env in model.get_env().envs)
    assert callback.n_episodes > 16  # 100 timesteps, with up to 5 an episode, and two that have not ended
    assert callback.n_episodes <= n_played
    assert set(callback.lengths) == {3, 4, 5}
    assert list(callback.returns) == list(callback.lengths)
    if algorithm is ARS:  # 6 candidates an update, each with 2 episodes
        assert callback.n_episodes == 12 * model._n_updates


def test_going_on_with_ars_counts_no_episode_twice() -> None:
    model, callback = learner(ARS, n_envs=1), EpisodeDurationCallback()
    for _ in range(3):
        model.learn(60, callback, reset_num_timesteps=False)
    assert callback.n_episodes == 12 * model._n_updates  # type: ignore[attr-defined]


@pytest.mark.parametrize("algorithm", [algorithm for algorithm in ALGORITHMS if algorithm is not ARS])
def test_solved_stops_any_algorithm_that_listens(algorithm: Any) -> None:
    model, callback = learner(algorithm), StopTrainingOnSolved(reward_threshold=3.0, n_episodes=4)
    model.learn(500, callback)
    assert callback.solved
    assert model.num_timesteps < 40


def test_solved_refuses_an_algorithm_that_does_not() -> None:
    model = learner(ARS)
    with pytest.raises(ValueError, match=r"ARS goes on when a callback tells it to stop.*total_timesteps"):
        model.learn(100, StopTrainingOnSolved(reward_threshold=3.0))
    assert model.num_timesteps == 0


# What the environment itself calls an episode


@pytest.mark.parametrize(
    "info", [{}, {"episode": 3}, {"episode": None}, {"episode": "one"}, {"episode": {"id": 3}}, {"episode": [1.0, 2]}]
)
def test_what_is_not_monitors_is_no_episode(info: dict[str, Any]) -> None:
    assert monitored_episode(info) is None


def test_what_is_monitors_is_one() -> None:
    for env in (VecMonitor(bare_env()), make_vec_env("CartPole-v1")):
        env.reset()
        dones = [False]
        while not dones[0]:
            _, _, dones, infos = env.step(np.zeros(1, int))
        assert monitored_episode(infos[0]) == infos[0]["episode"]
        assert infos[0]["episode"]["l"] > 5
