import pathlib

import matplotlib.image
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from stable_baselines3.common.logger import configure

from sb3_reinforce import REINFORCE, EpisodeDurationCallback, EpsilonSchedule, RandomWeightSearch
from sb3_reinforce.common.plots import plot_learning_curve, save_learning_curve

NAN = np.nan


def progress(**columns: list[float]) -> pd.DataFrame:
    """As SB3 logs it: a row for each episode, and one without an episode for each rollout."""
    table = {"time/total_timesteps": [10.0, 30.0, 30.0, 60.0], "rollout/episode_length": [10.0, 20.0, NAN, 30.0]}
    return pd.DataFrame({**table, **{name.replace("__", "/"): values for name, values in columns.items()}})


def test_durations_and_their_running_mean() -> None:
    (ax,) = plot_learning_curve(progress(), title="A run", window=2).axes
    points = ax.collections[0].get_offsets()
    np.testing.assert_array_equal(np.asarray(points), [[10, 10], [30, 20], [60, 30]])
    np.testing.assert_array_equal(ax.lines[0].get_xydata(), [[10, 10], [30, 15], [60, 25]])
    assert "Episode duration" in ax.get_ylabel()
    assert ax.get_xlabel() == "Timesteps"
    assert ax.get_title(loc="left") == "A run"


def test_loss_and_epsilon_have_panels_of_their_own() -> None:
    figure = plot_learning_curve(progress(train__policy_loss=[NAN, NAN, 0.5, 0.7], rollout__epsilon=[NAN, NAN, 1.0, 0.9]))
    _, loss, epsilon = figure.axes
    np.testing.assert_array_equal(loss.lines[0].get_xydata(), [[30, 0.5], [60, 0.7]])
    np.testing.assert_array_equal(epsilon.lines[0].get_xydata(), [[30, 1.0], [60, 0.9]])
    assert (loss.get_ylabel(), epsilon.get_ylabel()) == ("Policy loss", "Epsilon")
    assert epsilon.get_ylim()[1] > 1.0


def test_scores_that_are_not_finite_are_left_out() -> None:
    figure = plot_learning_curve(progress(rollout__best_mean_reward=[-np.inf, 3.0, NAN, 4.0]))
    np.testing.assert_array_equal(figure.axes[1].lines[0].get_xydata(), [[30, 3.0], [60, 4.0]])


def test_a_panel_with_one_point_shows_it_and_one_with_none_is_left_out() -> None:
    figure = plot_learning_curve(progress(train__policy_loss=[NAN, NAN, 0.5, NAN], rollout__epsilon=[NAN] * 4))
    assert len(figure.axes) == 2
    assert figure.axes[1].lines[0].get_marker() == "o"


@pytest.mark.parametrize("table", [pd.DataFrame(), progress().drop(columns="rollout/episode_length")])
def test_nothing_to_plot(table: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match=r"nothing to plot.*EpisodeDurationCallback"):
        plot_learning_curve(table)


def test_pyplot_is_left_alone() -> None:
    figures = plt.get_fignums()
    plot_learning_curve(progress())
    assert plt.get_fignums() == figures


@pytest.mark.parametrize("algorithm", [REINFORCE, RandomWeightSearch])
def test_the_curve_of_a_run_is_saved(tmp_path: pathlib.Path, algorithm: type[REINFORCE] | type[RandomWeightSearch]) -> None:
    arguments = {"epsilon": EpsilonSchedule()} if algorithm is REINFORCE else {}
    model = algorithm("LinearSoftmaxPolicy", "CartPole-v1", seed=0, **arguments)  # type: ignore[arg-type]
    model.set_logger(configure(str(tmp_path), ["csv"]))
    model.learn(600, EpisodeDurationCallback())
    model.logger.close()
    save_learning_curve(tmp_path, tmp_path / "curve.png", "A run")
    image = matplotlib.image.imread(tmp_path / "curve.png")
    assert image.shape[0] > 600
    assert image.shape[1] == 1200
    assert image.std() > 0.01
    figure = plot_learning_curve(pd.read_csv(tmp_path / "progress.csv"))
    assert len(figure.axes) == (3 if algorithm is REINFORCE else 2)


def test_an_empty_log_is_nothing_to_plot(tmp_path: pathlib.Path) -> None:
    (tmp_path / "progress.csv").touch()
    with pytest.raises(ValueError, match="nothing to plot"):
        save_learning_curve(tmp_path, tmp_path / "curve.png")
    assert not (tmp_path / "curve.png").exists()


def test_a_log_that_is_not_there(tmp_path: pathlib.Path) -> None:
    with pytest.raises(FileNotFoundError):
        save_learning_curve(tmp_path, tmp_path / "curve.png")
