"""Disks that are full: what is logged is lost, what is learned is not."""

import os
import pathlib
import sys
import warnings
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv
from stable_baselines3 import PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import configure
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecMonitor

from sb3_reinforce import REINFORCE, EpisodeDurationCallback, GymnasiumVecEnv, LiveChartCallback, RandomWeightSearch
from sb3_reinforce.common import live_chart
from tests.disks import fill


class FillsTheDisk(BaseCallback):
    """After the first rollout."""

    def __init__(self, folder: pathlib.Path) -> None:
        super().__init__()
        self.folder = folder

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        if self.num_timesteps:
            fill(self.folder)


class Talks(gym.Wrapper[Any, Any, Any, Any]):
    """Makes the lines of a Monitor long, which soon need a further block of the disk."""

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        *result, info = super().step(action)
        return *result, {**info, "text": "a" * 500}  # type: ignore[return-value]


def _algorithm(name: str, env: Any) -> REINFORCE | RandomWeightSearch:
    if name == "reinforce":
        return REINFORCE("LinearPolicy", env, n_episodes=4, seed=0)
    return RandomWeightSearch("LinearPolicy", env, reward_threshold=1e9, seed=0)


@pytest.mark.parametrize("algorithm", ["reinforce", "search"])
@pytest.mark.parametrize("monitor", [Monitor, VecMonitor])
def test_a_full_disk_is_told_once_and_does_not_end_training(
    small_disk: pathlib.Path, tmp_path: pathlib.Path, monitor: Any, algorithm: str
) -> None:
    file = str(small_disk / "monitor.csv")
    if monitor is Monitor:
        env: Any = DummyVecEnv([lambda: Monitor(Talks(gym.make("CartPole-v1")), file, info_keywords=("text",))])
    else:
        env = VecMonitor(DummyVecEnv([lambda: Talks(gym.make("CartPole-v1"))]), file, info_keywords=("text",))
    model = _algorithm(algorithm, env)
    model.set_logger(configure(str(small_disk), ["csv", "json", "log", "tensorboard"]))
    callbacks: list[BaseCallback] = [
        FillsTheDisk(small_disk),
        EpisodeDurationCallback(),
        LiveChartCallback(small_disk / "chart.png", seconds=0.0),
    ]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.learn(2_000, callback=callbacks, log_interval=1)
        model.logger.close()
    told = [str(warning.message) for warning in caught if "can't be written" in str(warning.message)]
    for who in ("CSVOutputFormat", "JSONOutputFormat", "TensorBoardOutputFormat", "ResultsWriter", "LiveChartCallback"):
        assert sum(who in text for text in told) in (1, 2), who  # to close a file is to write, too
    assert model.num_timesteps >= 2_000
    with pytest.raises(OSError, match="Could not write"):
        model.save(small_disk / "model.zip")
    model.save(tmp_path / "model.zip")  # there is room elsewhere
    loaded = type(model).load(tmp_path / "model.zip")
    assert np.array_equal(*(m.policy.action_net.weight.detach().numpy() for m in (model, loaded)))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that are forked")
def test_a_full_disk_ends_no_worker_of_a_subproc_vec_env(small_disk: pathlib.Path, tmp_path: pathlib.Path) -> None:
    def make(number: int) -> gym.Env:
        def show(message: Any, *_: Any) -> None:
            with (tmp_path / f"{number}.txt").open("a") as file:
                file.write(f"{message}\n")

        warnings.showwarning = show  # in the worker
        return Monitor(Talks(gym.make("CartPole-v1")), str(small_disk / f"{number}.csv"), info_keywords=("text",))

    env = SubprocVecEnv([lambda: make(0), lambda: make(1)], start_method="fork")
    model = _algorithm("reinforce", env).learn(2_000, callback=FillsTheDisk(small_disk))
    model.learn(500, reset_num_timesteps=False)
    env.close()
    assert model.num_timesteps >= 2_500
    for number in range(2):
        told = (tmp_path / f"{number}.txt").read_text()
        assert told.count("A log can't be written by ResultsWriter: [Errno 28]") in (1, 2), "to close is to write, too"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that are forked")
@pytest.mark.filterwarnings("ignore:.*ERROR")
def test_around_an_async_vector_env_a_full_disk_does_not_end_training_within_it_does(small_disk: pathlib.Path) -> None:
    def make(number: int | None) -> gym.Env:
        env = Talks(gym.make("CartPole-v1"))
        return env if number is None else Monitor(env, str(small_disk / f"{number}.csv"), info_keywords=("text",))

    processes = AsyncVectorEnv([lambda: make(None)] * 2, context="fork")
    env = VecMonitor(GymnasiumVecEnv(processes), str(small_disk / "monitor.csv"), info_keywords=("text",))
    with pytest.warns(RuntimeWarning, match="A log can't be written by ResultsWriter: .*No space left"):
        assert _algorithm("reinforce", env).learn(2_000, callback=FillsTheDisk(small_disk)).num_timesteps >= 2_000
    env.close()
    (small_disk / "rest").unlink()
    processes = AsyncVectorEnv([lambda: make(0), lambda: make(1)], context="fork")
    model = _algorithm("reinforce", GymnasiumVecEnv(processes))
    with pytest.raises(OSError, match="No space left") as caught:
        model.learn(2_000, callback=FillsTheDisk(small_disk))
    assert sys.version_info < (3, 11) or "Raised by the environment CartPole-v1 at step" in caught.value.__notes__[0]
    processes.close()
    env = DummyVecEnv([lambda: make(None)] * 2)
    model.set_env(env)
    assert model.learn(500, reset_num_timesteps=False).num_timesteps >= 500


@pytest.mark.parametrize("algorithm", ["reinforce", "search"])
def test_an_error_leaves_no_output_of_the_chart_behind(algorithm: str, tmp_path: pathlib.Path) -> None:
    model = _algorithm(algorithm, "CartPole-v1")
    model.set_logger(configure(str(tmp_path), ["csv"]))
    outputs = list(model.logger.output_formats)

    def fails(local_variables: dict[str, Any], _: dict[str, Any]) -> bool:
        if local_variables["self"].num_timesteps > 300:
            raise KeyError("mine")
        return True

    for _ in range(2):
        with pytest.raises(KeyError, match="mine"):
            model.learn(1_000, callback=[LiveChartCallback(tmp_path / "chart.png"), _Calls(fails)])
        assert model.logger.output_formats == outputs


class _Calls(BaseCallback):
    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def _on_step(self) -> bool:
        return bool(self.function({"self": self.model}, {}))


def test_after_an_error_the_chart_of_another_algorithm_listens_once(tmp_path: pathlib.Path) -> None:
    model: BaseAlgorithm = PPO("MlpPolicy", "CartPole-v1", n_steps=64, n_epochs=1, device="cpu")
    model.set_logger(configure(str(tmp_path), ["csv"]))
    chart = LiveChartCallback(tmp_path / "chart.png")
    with pytest.raises(KeyError, match="mine"):
        model.learn(500, callback=[chart, _Calls(lambda *_: {}["mine"])])
    model.learn(200, callback=chart)
    assert len(model.logger.output_formats) == 1


def test_the_chart_keeps_no_more_points_than_it_shows(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_chart, "MAX_POINTS", 20)
    drawn: list[list[dict[str, float]]] = []
    chart = LiveChartCallback(tmp_path / "chart.png", seconds=1e9)
    plot = chart._plot

    def plot_and_remember(rows: list[dict[str, float]], *args: Any, **kwargs: Any) -> Any:
        drawn.append(rows)
        return plot(rows, *args, **kwargs)

    monkeypatch.setattr(chart, "_plot", plot_and_remember)
    _algorithm("search", "CartPole-v1").learn(4_000, callback=chart)
    assert chart.n_episodes > 80
    episodes = [row for row in drawn[-1] if "rollout/episode_length" in row]
    assert 10 <= len(episodes) <= 21
    timesteps = [row["time/total_timesteps"] for row in episodes]
    assert timesteps == sorted(timesteps)
    assert timesteps[-1] > 2_000, "from the beginning to the end"
    assert np.diff(timesteps).max() < 1_500, "all over it"
