import json
import pathlib
from typing import Any

import matplotlib.image
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from stable_baselines3.common.logger import configure

from sb3_reinforce import REINFORCE, EpisodeDurationCallback, EpsilonSchedule, RandomWeightSearch
from sb3_reinforce.common.plots import Evaluation, plot_training, save_learning_curve

NAN = np.nan
DURATIONS = [5.0, 90.0, NAN, 7.0]


def progress(**columns: list[float]) -> pd.DataFrame:
    """As SB3 logs it: a row for each episode, and one without an episode for each rollout."""
    table = {
        "time/total_timesteps": [10.0, 30.0, 30.0, 60.0],
        "rollout/episode_return": [10.0, 20.0, NAN, 30.0],
        "rollout/episode_length": [10.0, 20.0, NAN, 30.0],
    }
    return pd.DataFrame({**table, **{name.replace("__", "/"): values for name, values in columns.items()}})


def labels_of(figure: Figure) -> list[str]:
    return [ax.get_ylabel().replace("\n", " ") for ax in figure.axes]


def test_returns_and_their_running_mean() -> None:
    (ax,) = plot_training(progress(), title="A run", window=2).axes
    points = ax.collections[0].get_offsets()
    np.testing.assert_array_equal(np.asarray(points), [[10, 10], [30, 20], [60, 30]])
    np.testing.assert_array_equal(ax.lines[0].get_xydata(), [[10, 10], [30, 15], [60, 25]])
    assert ax.get_ylabel() == "Return"
    assert ax.get_xlabel() == "Timesteps"
    assert ax.get_title(loc="left") == "A run"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["episode", "mean of the last 2"]


@pytest.mark.parametrize(
    ("lengths", "returns", "is_shown"),
    [
        ([10.0, 20.0, NAN, 30.0], [-10.0, -20.0, NAN, -30.0], False),
        ([10.0, 20.0, NAN, 500.0], [-9.0, -19.0, NAN, -500.0], False),
        ([200.0, 200.0, NAN, 200.0], [1.0, 5.0, NAN, 3.0], False),
        ([10.0, 20.0, NAN, 30.0], [0.0, 0.0, NAN, 0.0], True),
        ([5.0, 90.0, NAN, 7.0], [1.0, 2.0, NAN, 3.0], True),
    ],
    ids=["minus the return", "almost so", "always the same", "the return is always the same", "of their own"],
)
def test_durations_are_shown_where_they_say_something_else(lengths: list[float], returns: list[float], is_shown: bool) -> None:
    figure = plot_training(progress(rollout__episode_length=lengths, rollout__episode_return=returns))
    assert labels_of(figure) == ["Return", "Duration (steps)"][: 1 + is_shown]


def test_loss_and_epsilon_have_panels_of_their_own() -> None:
    figure = plot_training(progress(train__policy_loss=[NAN, NAN, 0.5, 0.7], rollout__epsilon=[NAN, NAN, 1.0, 0.9]))
    _, loss, epsilon = figure.axes
    np.testing.assert_array_equal(loss.lines[0].get_xydata(), [[30, 0.5], [60, 0.7]])
    np.testing.assert_array_equal(epsilon.lines[0].get_xydata(), [[30, 1.0], [60, 0.9]])
    assert labels_of(figure) == ["Return", "Policy loss", "Epsilon"]
    assert epsilon.get_ylim()[1] > 1.0


def test_an_epsilon_that_is_always_0_has_no_panel() -> None:
    assert labels_of(plot_training(progress(rollout__epsilon=[NAN, NAN, 0.0, 0.0]))) == ["Return"]


@pytest.mark.parametrize(
    ("key", "label"),
    [("train/policy_gradient_loss", "Policy loss"), ("train/actor_loss", "Actor loss"), ("train/loss", "Loss")],
)
def test_the_losses_of_others(key: str, label: str) -> None:
    assert labels_of(plot_training(progress(**{key: [NAN, NAN, 0.5, 0.7]}))) == ["Return", label]


def test_a_run_has_one_loss() -> None:
    losses = {"train/loss": [1.0, 2.0, 3.0, 4.0], "train/policy_gradient_loss": [5.0, 6.0, 7.0, 8.0]}
    figure = plot_training(progress(**losses))
    np.testing.assert_array_equal(figure.axes[1].lines[0].get_ydata(), [5, 6, 7, 8])
    assert len(figure.axes) == 2


def test_threshold_and_evaluations_are_marked() -> None:
    (ax,) = plot_training(
        progress(eval__mean_reward=[NAN, NAN, 21.0, NAN]), threshold=25.0, evaluation=Evaluation(28.04, 2.0, 100)
    ).axes
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert "threshold 25" in texts
    assert "final evaluation, 100 episodes: 28.0 ± 2.0" in texts
    lines = {line.get_label(): line for line in ax.lines}
    assert lines["threshold 25"].get_ydata()[0] == 25
    np.testing.assert_array_equal(lines["evaluation while training"].get_xydata(), [[30, 21]])
    np.testing.assert_array_equal(ax.containers[0].lines[0].get_xydata(), [[60, 28.04]])


def test_the_best_candidates_score_is_beside_the_returns_and_what_is_not_finite_is_left_out() -> None:
    (ax,) = plot_training(progress(rollout__best_mean_reward=[-np.inf, 3.0, NAN, 4.0])).axes
    lines = {line.get_label(): line for line in ax.lines}
    np.testing.assert_array_equal(lines["best candidate's mean"].get_xydata(), [[30, 3.0], [60, 4.0]])


def test_a_panel_with_one_point_shows_it_and_one_with_none_is_left_out() -> None:
    figure = plot_training(progress(train__policy_loss=[NAN, NAN, 0.5, NAN], rollout__epsilon=[NAN] * 4))
    assert len(figure.axes) == 2
    assert figure.axes[1].lines[0].get_marker() == "o"


def test_into_axes_of_the_users() -> None:
    axes = Figure().subplots(1, 2)
    figure = plot_training(progress(train__policy_loss=[NAN, NAN, 0.5, 0.7]), title="Mine", ax=axes[1])
    assert figure is axes[1].figure
    assert (len(axes[0].lines), len(axes[1].lines), axes[1].get_title(loc="left")) == (0, 1, "Mine")


@pytest.mark.parametrize("table", [pd.DataFrame(), progress().drop(columns="rollout/episode_return")], ids=["empty", "other"])
def test_nothing_to_plot(table: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match=r"nothing to plot.*EpisodeDurationCallback"):
        plot_training(table)


def test_pyplot_is_left_alone() -> None:
    figures = plt.get_fignums()
    plot_training(progress())
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
    assert image.shape[0] > 500
    assert image.shape[1] == 1200
    assert image.std() > 0.01
    figure = plot_training(pd.read_csv(tmp_path / "progress.csv"))
    assert labels_of(figure) == (["Return", "Policy loss", "Epsilon"] if algorithm is REINFORCE else ["Return"])


def test_what_the_policy_scored_is_read_from_the_runs_folder(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    progress().to_csv(tmp_path / "progress.csv")
    scores = {"mean_reward": 28.0, "std_reward": 2.0, "n_eval_episodes": 100, "reward_threshold": 25.0}
    (tmp_path / "evaluation.json").write_text(json.dumps(scores))
    given: list[Any] = []

    def plot(*args: Any) -> Figure:
        given.extend(args)
        return plot_training(*args)

    monkeypatch.setattr("sb3_reinforce.common.plots.plot_training", plot)
    save_learning_curve(tmp_path, tmp_path / "curve.png")
    assert given[3:] == [25.0, Evaluation(28.0, 2.0, 100)]


def test_an_empty_log_is_nothing_to_plot(tmp_path: pathlib.Path) -> None:
    (tmp_path / "progress.csv").touch()
    with pytest.raises(ValueError, match="nothing to plot"):
        save_learning_curve(tmp_path, tmp_path / "curve.png")
    assert not (tmp_path / "curve.png").exists()


def test_a_log_that_is_not_there(tmp_path: pathlib.Path) -> None:
    with pytest.raises(FileNotFoundError):
        save_learning_curve(tmp_path, tmp_path / "curve.png")
