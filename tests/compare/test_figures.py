import io
from xml.etree import ElementTree

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from sb3_reinforce.compare import intervals
from sb3_reinforce.compare.figures import (
    algorithm_styles,
    plot_final_scores,
    plot_improvements,
    plot_learning_curves,
    plot_profiles,
    plot_times,
    render,
)
from sb3_reinforce.compare.section import Section
from sb3_reinforce.compare.statistics import compute_statistics
from sb3_reinforce.compare.text import number
from tests.compare.tables import comparison, evaluations

PLOTS = (plot_learning_curves, plot_final_scores, plot_profiles, plot_improvements, plot_times)


@pytest.fixture(autouse=True)
def _few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intervals, "N_RESAMPLES", 50)


def section(results: pd.DataFrame | None = None, threshold: float | None = 8.0) -> Section:
    return compute_statistics(comparison() if results is None else results, {"E-v0": threshold}).sections[0]


def styles(of: Section) -> dict:
    return algorithm_styles(list(of.scores))


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text) if text.get_text()]


def test_learning_curves_and_their_bands() -> None:
    shown = section()
    figure = plot_learning_curves(shown, styles(shown))
    (ax,) = figure.axes
    for line, band, algo in zip(ax.lines, ax.collections, ["good", "bad"], strict=False):
        curve = shown.curves[shown.curves["algo"] == algo]
        np.testing.assert_array_equal(line.get_xydata(), curve[["timesteps", "iqm"]])
        corners = band.get_paths()[0].vertices
        assert {*curve["low"], *curve["high"]} <= set(corners[:, 1])
    np.testing.assert_array_equal(ax.lines[-1].get_ydata(), [8, 8])
    assert {"threshold", "Timesteps", "Score", "good", "bad", "E-v0: learning curves"} <= set(texts(figure))


def test_all_environments_are_normalised_shares() -> None:
    together = section(comparison(envs=["E-v0", "F-v0"]))
    ax = plot_learning_curves(together, styles(together)).axes[0]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Share of the training steps", "Normalised score")
    assert plot_final_scores(together, styles(together)).axes[0].get_xlabel() == "Final normalised score"


def test_final_scores_with_their_intervals_and_runs() -> None:
    shown = section()
    (ax,) = plot_final_scores(shown, styles(shown)).axes
    assert [label.get_text() for label in ax.get_yticklabels()] == ["good", "bad"]
    for row, estimate in enumerate(shown.final.itertuples()):
        runs, bar, mark = ax.collections[row], ax.lines[2 * row], ax.lines[2 * row + 1]
        np.testing.assert_array_equal(runs.get_offsets(), [(score, row) for score in shown.scores[estimate.algo].ravel()])
        np.testing.assert_array_equal(bar.get_xydata(), [(estimate.low, row), (estimate.high, row)])
        np.testing.assert_array_equal(mark.get_xydata(), [(estimate.iqm, row)])
        assert number(estimate.iqm) in [note.get_text() for note in ax.texts]


def test_profiles() -> None:
    shown = section()
    (ax,) = plot_profiles(shown, styles(shown)).axes
    for line, algo in zip(ax.lines, ["good", "bad"], strict=False):
        np.testing.assert_array_equal(line.get_xydata(), shown.profiles[shown.profiles["algo"] == algo][["score", "share"]])


def test_improvements_are_a_matrix_with_both_sides_of_a_pair() -> None:
    results = pd.concat([comparison(["good", "bad"]), comparison(["good"]).replace({"algo": {"good": "as good"}})])
    shown = section(results)
    (ax,) = plot_improvements(shown, styles(shown)).axes
    rows = [label.get_text() for label in ax.get_yticklabels()]
    assert rows == [label.get_text() for label in ax.get_xticklabels()] == list(shown.final["algo"])
    cells = {(round(text.get_position()[1]), round(text.get_position()[0])): text.get_text() for text in ax.texts}
    colors = {(round(p.get_y() + 0.47), round(p.get_x() + 0.47)): to_hex(p.get_facecolor()) for p in ax.patches}
    good, as_good, bad = (rows.index(algo) for algo in ("good", "as good", "bad"))
    assert (cells[good, bad], cells[bad, good]) == ("1.00", "0.00")
    assert cells[good, as_good] == cells[as_good, good] == "0.50"
    assert len(cells) == 6
    grey = "#eeeeee"
    assert colors[good, as_good] == colors[as_good, good] == grey
    assert len({colors[good, bad], colors[bad, good], grey}) == 3


def test_times_and_what_never_came() -> None:
    runs = [[0.0, 9.0, 9.0, 9.0], [0.0, 0.0, 9.0, 9.0], [9.0, 9.0, 9.0, 9.0], [0.0, 0.0, 0.0, 0.0]]
    never = evaluations([0.0, 0.0, 0.0, 0.0], "never", seed=0)
    shown = section(pd.concat([evaluations(scores, "a", seed=seed) for seed, scores in enumerate(runs)] + [never]))
    (ax,) = plot_times(shown, styles(shown)).axes
    labels = dict(zip([label.get_text() for label in ax.get_xticklabels()], ax.get_xticks(), strict=True))
    strip = labels["never"]
    assert strip > 40
    assert {labels[name] for name in ("0", "40")} == {0, 40}
    assert ax.collections[0].get_offsets().tolist() == [[20, 0], [30, 0], [10, 0], [strip, 0]]
    np.testing.assert_array_equal(ax.lines[1].get_xydata(), [(25, 0)])
    np.testing.assert_array_equal(ax.lines[3].get_xydata(), [(strip, 1)])
    notes = [note.get_text() for note in ax.texts]
    assert notes == ["3 of 4", "0 of 1", "reached"]


def test_no_threshold_no_time_to_it() -> None:
    shown = section(threshold=None)
    with pytest.raises(ValueError, match="E-v0 has no threshold"):
        plot_times(shown, styles(shown))
    plotted = plot_learning_curves(shown, styles(shown))
    assert len(plotted.axes[0].lines) == 2
    assert "threshold" not in texts(plotted)


def test_an_algorithm_looks_the_same_everywhere() -> None:
    shown = section()
    style = styles(shown)
    for plot in (plot_learning_curves, plot_profiles):
        for line, algo in zip(plot(shown, style).axes[0].lines, ["good", "bad"], strict=False):
            assert (line.get_color(), line.get_marker()) == (style[algo].color, style[algo].marker)
    for plot in (plot_final_scores, plot_times):
        for mark, algo in zip(plot(shown, style).axes[0].lines[1::2], ["good", "bad"], strict=False):
            assert (mark.get_color(), mark.get_marker()) == (style[algo].color, style[algo].marker)


def test_many_algorithms_have_many_styles() -> None:
    many = algorithm_styles([str(i) for i in range(28)])
    assert len({(style.color, style.line) for style in many.values()}) == 28
    assert len({(style.color, style.marker) for style in many.values()}) == 28


@pytest.mark.parametrize("plot", PLOTS)
def test_one_seed_has_no_band_and_no_bar(plot: type) -> None:
    shown = section(comparison(n_seeds=1))
    assert len(render(plot(shown, styles(shown)), "png")) > 1000


@pytest.mark.parametrize("plot", PLOTS)
def test_files_are_the_same_every_time(plot: type) -> None:
    shown = section()
    for file_format in ("svg", "png"):
        assert render(plot(shown, styles(shown)), file_format) == render(plot(shown, styles(shown)), file_format)
    svg = ElementTree.fromstring(render(plot(shown, styles(shown)), "svg"))
    assert svg.tag.endswith("svg")
    picture = matplotlib.image.imread(io.BytesIO(render(plot(shown, styles(shown)), "png")))
    assert picture.shape[1] >= 1000
    assert picture.std() > 0.01


@pytest.mark.parametrize("plot", PLOTS)
def test_names_are_taken_as_they_are(plot: type) -> None:
    algos = ["a$b_{$ <&", "_hidden", "an_algorithm-with_a_long_name"]
    shown = section(comparison(algos))
    figure = plot(shown, styles(shown))
    assert render(figure, "svg")
    assert set(algos) <= {text.replace("\n", "") for text in texts(figure)}


def test_pyplot_and_settings_are_left_alone() -> None:
    before, figures = dict(matplotlib.rcParams), plt.get_fignums()
    shown = section()
    for plot in PLOTS:
        render(plot(shown, styles(shown)), "svg")
    assert dict(matplotlib.rcParams) == before
    assert plt.get_fignums() == figures
