import pathlib

import numpy as np
import pytest
from matplotlib.figure import Figure

from sb3_reinforce.plots import Episodes, plot_learning_curves
from sb3_reinforce.plots.curves import curves_of, mean_with_interval, running_mean


def monitor_file(path: pathlib.Path, returns: list[float], lengths: list[int]) -> pathlib.Path:
    rows = [f"{r},{n},{float(t)}" for t, (r, n) in enumerate(zip(returns, lengths, strict=True))]
    path.write_text("\n".join(["#{}", "r,l,t", *rows]))
    return path


@pytest.fixture
def runs(tmp_path: pathlib.Path) -> list[pathlib.Path]:
    rng = np.random.default_rng(0)
    return [
        monitor_file(tmp_path / f"{i}.monitor.csv", list(rng.normal(i, 1, 30)), list(rng.integers(5, 15, 30)))
        for i in range(4)
    ]


@pytest.mark.parametrize("window", [1, 3, 10])
def test_running_mean_is_the_mean_of_the_last(window: int) -> None:
    values = np.random.default_rng(0).normal(size=7)
    slow = [values[max(0, i - window + 1) : i + 1].mean() for i in range(7)]
    np.testing.assert_allclose(running_mean(values, window), slow)


def test_curves_stand_at_the_last_episode_that_had_ended() -> None:
    first = Episodes(np.array([10.0, 20.0, 30.0]), np.array([1.0, 2.0, 3.0]), np.ones(3))
    second = Episodes(np.array([15.0, 40.0]), np.array([5.0, 7.0]), np.ones(2))
    timesteps, curves = curves_of([first, second], window=1, n_points=4)
    np.testing.assert_array_equal(timesteps, [15, 20, 25, 30])
    np.testing.assert_array_equal(curves, [[1, 2, 2, 3], [5, 5, 5, 5]])


def test_the_interval_is_that_of_drawing_runs_with_replacement() -> None:
    curves = np.random.default_rng(0).normal(size=(6, 2))
    mean, low, high = mean_with_interval(curves, 0.9)
    rng = np.random.default_rng(1)
    resamples = np.array([curves[rng.integers(6, size=6)].mean(axis=0) for _ in range(4_000)])
    np.testing.assert_allclose(mean, curves.mean(axis=0))
    np.testing.assert_allclose([low, high], np.quantile(resamples, [0.05, 0.95], axis=0), atol=0.05)
    again = mean_with_interval(curves, 0.9)
    np.testing.assert_array_equal(again, [mean, low, high])


def test_one_run_has_no_interval() -> None:
    mean, low, high = mean_with_interval(np.ones((1, 3)), 0.95)
    assert (mean == 1).all()
    assert np.isnan([low, high]).all()


def test_groups_are_lines_with_bands(runs: list[pathlib.Path]) -> None:
    ax = Figure().subplots()
    assert plot_learning_curves({"low": runs[:2], "high": runs[2:]}, ax=ax, window=5, threshold=3.0) is ax
    assert [line.get_label() for line in ax.lines] == ["low (2 runs)", "high (2 runs)", "threshold 3"]
    assert len(ax.collections) == 2
    low, high, _ = (np.asarray(line.get_ydata()) for line in ax.lines)
    assert (high > low).all()
    assert "mean of the last 5" in ax.get_ylabel()


def test_runs_without_names_in_a_figure_of_their_own(runs: list[pathlib.Path]) -> None:
    ax = plot_learning_curves(runs)
    assert [line.get_label() for line in ax.lines] == ["(4 runs)"]
    assert plot_learning_curves(runs[:1]).get_legend() is None


@pytest.mark.parametrize("nothing", [[], {}, {"mine": []}], ids=["list", "dict", "group"])
def test_no_runs(nothing: list[str] | dict[str, list[str]]) -> None:
    with pytest.raises(ValueError, match="got no runs"):
        plot_learning_curves(nothing)


def test_arguments_that_are_none(runs: list[pathlib.Path]) -> None:
    with pytest.raises(ValueError, match="window of plot_learning_curves must be an integer of at least 1"):
        plot_learning_curves(runs, window=0)
