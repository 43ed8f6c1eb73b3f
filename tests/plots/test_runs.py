import pathlib

import numpy as np
import pandas as pd
import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.logger import configure
from stable_baselines3.common.results_plotter import load_results, ts2xy

from sb3_reinforce import REINFORCE, EpisodeDurationCallback, make_fast_vec_env
from sb3_reinforce.plots import read_run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Of two environments' monitor files."""
    path = tmp_path_factory.mktemp("run")
    env = make_vec_env("CartPole-v1", 2, seed=0, monitor_dir=str(path))
    PPO("MlpPolicy", env, n_steps=64, n_epochs=1, seed=0, device="cpu").learn(500)
    return path


def test_monitor_files_are_read_as_sb3_reads_them(folder: pathlib.Path) -> None:
    episodes = read_run(folder)
    timesteps, returns = ts2xy(load_results(str(folder)), "timesteps")
    np.testing.assert_array_equal(episodes.timesteps, timesteps)
    np.testing.assert_array_equal(episodes.returns, returns)
    np.testing.assert_array_equal(episodes.lengths, returns)  # CartPole's
    assert len(returns) > 10


def test_one_monitor_file(folder: pathlib.Path) -> None:
    file = folder / "0.monitor.csv"
    assert len(read_run(file).returns) == len(file.read_text().splitlines()) - 2


def test_a_folders_points_of_what_was_learned_from_come_first(tmp_path: pathlib.Path) -> None:
    env = make_vec_env("CartPole-v1", 3, seed=0, monitor_dir=str(tmp_path))
    model = REINFORCE("LinearPolicy", env, n_episodes=4, seed=0)
    model.set_logger(configure(str(tmp_path), ["csv"]))
    callback = EpisodeDurationCallback(window_size=10_000)
    model.learn(500, callback=callback)
    model.logger.close()
    episodes = read_run(str(tmp_path))
    assert list(episodes.returns) == list(callback.returns)
    assert episodes.timesteps[-1] == model.num_timesteps
    monitored = sum(len(file.read_text().splitlines()) - 2 for file in tmp_path.glob("*.monitor.csv"))
    assert len(episodes.returns) < monitored, "idle environments ended episodes, too"


def test_a_log_without_points_leaves_the_monitor_files(folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    pd.DataFrame({"time/total_timesteps": [1]}).to_csv(tmp_path / "progress.csv")
    np.testing.assert_array_equal(read_run(tmp_path).returns, read_run(folder).returns)


def test_a_model_of_this_process() -> None:
    env = make_vec_env("CartPole-v1", 2, seed=0)
    model = PPO("MlpPolicy", env, n_steps=64, n_epochs=1, seed=0, device="cpu")
    listener = EpisodeDurationCallback(window_size=10_000)
    model.learn(400, callback=listener)
    episodes = read_run(model)
    assert sorted(episodes.returns) == sorted(listener.returns)
    assert episodes.timesteps[-1] == sum(listener.lengths)


def test_a_model_without_a_history_says_what_to_give_instead() -> None:
    with pytest.raises(ValueError, match="Give the folder of its monitor files instead"):
        read_run(REINFORCE("LinearPolicy", make_fast_vec_env("CartPole-v1", 2, seed=0, backend="gymnasium")))


def test_where_nothing_is(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match="no episode is known of"):
        read_run(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_run(tmp_path / "monitor.csv")
