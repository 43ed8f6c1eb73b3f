import base64
import json
import pathlib
from typing import Any

import gymnasium as gym
import nbclient
import nbformat
import numpy as np
import pandas as pd
import pytest
from stable_baselines3 import DQN, PPO
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
    LiveChartCallback,
    RandomWeightSearch,
    StopTrainingOnSolved,
)
from sb3_reinforce.common.callbacks import environment_reward_threshold, is_heard, is_monitored
from sb3_reinforce.common.plots import plot_learning_curve

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
    model.learn(600, [listener, EpisodeDurationCallback(window_size=7)])
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
    events = EventAccumulator(str(tmp_path), size_guidance={"scalars": 0}).Reload()
    assert len(events.Scalars("rollout/episode_return_mean")) == len(logs)


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


def test_a_window_of_no_episodes() -> None:
    with pytest.raises(ValueError, match="window_size"):
        EpisodeDurationCallback(window_size=0)
    with pytest.raises(ValueError, match="n_episodes"):
        StopTrainingOnSolved(n_episodes=0)


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


def test_only_no_callback_at_all_is_not_heard() -> None:
    assert not is_heard(ConvertCallback(None))
    assert is_heard(ConvertCallback(lambda _locals, _globals: True))
    assert is_heard(CallbackList([ConvertCallback(None)]))
    assert is_heard(EpisodeDurationCallback())


@pytest.mark.parametrize("name", ["reinforce", "search", "ppo", "dqn"])
def test_live_chart_keeps_a_file_up_to_date(name: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []

    def plot(rows: list[dict[str, Any]], title: str) -> Any:
        figure = plot_learning_curve(rows, title)
        drawn.append(len(figure.axes[0].collections[0].get_offsets()))  # type: ignore[arg-type]
        return figure

    listener, model, chart = Listener(), algorithms()[name], LiveChartCallback(tmp_path / "chart.png", seconds=0.0)
    monkeypatch.setattr(chart, "_plot", plot)
    model.learn(1_500, callback=[listener, chart])
    assert drawn[-1] == len(listener.points), "a dot for each episode"
    assert drawn == sorted(drawn)
    assert not any("Kept" in type(output).__name__ for output in model.logger.output_formats)


def test_live_chart_is_a_picture(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "new" / "chart.png"
    algorithms()["reinforce"].learn(300, callback=LiveChartCallback(path))
    assert path.read_bytes().startswith(b"\x89PNG")


def test_live_chart_draws_rarely_enough(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 10_000))
    monkeypatch.setattr("sb3_reinforce.common.callbacks.time.monotonic", lambda: next(clock))
    drawn: list[bytes] = []
    monkeypatch.setattr(LiveChartCallback, "_save", lambda self, png: drawn.append(png))
    model = algorithms()["reinforce"]
    model.learn(3_000, callback=LiveChartCallback(tmp_path / "chart.png", seconds=0.0))
    assert 1 < len(drawn) <= 2 + model._n_updates / 20  # type: ignore[attr-defined]


def test_live_chart_without_a_notebook_or_a_file_is_refused() -> None:
    with pytest.raises(ValueError, match=r"LiveChartCallback\('chart.png'\)"):
        algorithms()["reinforce"].learn(10, callback=LiveChartCallback())


def test_live_chart_is_one_picture_below_the_cell_of_a_notebook() -> None:
    source = (
        "from sb3_reinforce import REINFORCE, LiveChartCallback\n"
        "REINFORCE('LinearSoftmaxPolicy', 'CartPole-v1').learn(2_000, callback=LiveChartCallback(seconds=0.0));"
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    nbclient.NotebookClient(notebook, kernel_name="python3").execute()
    (output,) = (output for output in notebook.cells[0].outputs if output.output_type == "display_data")
    assert base64.b64decode(output["data"]["image/png"]).startswith(b"\x89PNG")
