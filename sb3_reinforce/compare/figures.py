"""
Figures of a comparison, one function a figure.

Each is drawn small with large letters, so that it can be read on a phone and in a column of print. An algorithm
has the same colour, marker and line in all of them. Colours are those of Okabe and Ito (2008), which
are told apart with any colour vision.
"""

import io
import re
import textwrap
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from sb3_reinforce.common.extras import needs
from sb3_reinforce.compare.section import ALL_ENVIRONMENTS, Section
from sb3_reinforce.compare.text import number

with needs("compare", "The figures"):
    import matplotlib
    from matplotlib.axes import Axes
    from matplotlib.colors import to_rgba
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter, Formatter, PercentFormatter

_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_LINES = ("-", "--", ":", "-.")
_GREY, _BETTER, _WORSE = "#6b6b6b", "#542788", "#7f3b08"
_WIDTH, _ROW = 5.0, 0.36  # inches
_SETTINGS: dict[Any, Any] = {
    "font.size": 11,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "legend.fontsize": 10,
    "figure.titlesize": 11,
    "figure.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.parse_math": False,  # a name may have a dollar sign
    "svg.hashsalt": "sb3-reinforce",  # the same figure is the same file
}


@dataclass(frozen=True)
class Style:
    """How an algorithm is drawn."""

    color: str
    marker: str
    line: str


def algorithm_styles(algos: list[str]) -> dict[str, Style]:
    """
    :param algos: All algorithms of the comparison.
    :return: For each, how to draw it. Colours repeat from the eighth on, with another kind of line.
    """
    return {
        algo: Style(
            color=_COLORS[i % len(_COLORS)],
            marker=_MARKERS[(i + i // len(_COLORS)) % len(_MARKERS)],
            line=_LINES[i // len(_COLORS) % len(_LINES)],
        )
        for i, algo in enumerate(algos)
    }


def render(figure: Figure, file_format: str) -> bytes:
    """
    :param figure: A figure.
    :param file_format: "png" or "svg".
    :return: The file, which is the same every time.
    """
    content = io.BytesIO()
    with matplotlib.rc_context(_SETTINGS):
        figure.savefig(content, format=file_format, dpi=200, metadata={"Date": None} if file_format == "svg" else None)
    return content.getvalue()


@matplotlib.rc_context(_SETTINGS)
def plot_learning_curves(section: Section, styles: dict[str, Style]) -> Figure:
    """
    The interquartile mean over training, with its interval as a band, and the threshold.

    :param section: An environment, or all.
    :param styles: How to draw each algorithm.
    :return: A matplotlib figure, not shown and not saved yet.
    """
    figure, ax = _lines(section.curves, "timesteps", "iqm", styles)
    ax.set_ylabel(_score_label(section))
    ax.set_xlabel("Share of the training steps" if section.title == ALL_ENVIRONMENTS else "Timesteps")
    ax.xaxis.set_major_formatter(_steps_formatter(section))
    ax.set_xlim(left=0)
    if section.threshold is not None:
        ax.axhline(section.threshold, color=_GREY, linewidth=1, linestyle=(0, (5, 3)), zorder=1)
        start = (0, section.threshold)
        is_low = section.threshold < sum(ax.get_ylim()) / 2  # then there is no room below
        offset, side = ((3, 3), "bottom") if is_low else ((3, -3), "top")
        ax.annotate("threshold", start, offset, textcoords="offset points", va=side, color=_GREY, fontsize=9)
    _title(figure, section, "learning curves")
    return figure


@matplotlib.rc_context(_SETTINGS)
def plot_profiles(section: Section, styles: dict[str, Style]) -> Figure:
    """
    The share of runs that score at least so much, with its interval as a band.

    :param section: An environment, or all.
    :param styles: How to draw each algorithm.
    :return: A matplotlib figure, not shown and not saved yet.
    """
    figure, ax = _lines(section.profiles, "score", "share", styles)
    ax.set_xlabel(f"Final {_score_label(section).lower()}")
    ax.set_ylabel("Runs that score at least this")
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    ax.set_ylim(-0.03, 1.03)
    if section.threshold is not None:
        ax.axvline(section.threshold, color=_GREY, linewidth=1, linestyle=(0, (5, 3)), zorder=1)
    _title(figure, section, "performance profile")
    return figure


@matplotlib.rc_context(_SETTINGS)
def plot_final_scores(section: Section, styles: dict[str, Style]) -> Figure:
    """
    The interquartile mean of the final scores with its interval, over the score of each run.

    :param section: An environment, or all.
    :param styles: How to draw each algorithm.
    :return: A matplotlib figure, not shown and not saved yet.
    """
    figure, ax = _rows(list(section.final["algo"]))
    for row, estimate in enumerate(section.final.itertuples()):
        _runs(ax, row, section.scores[estimate.algo].ravel(), styles[estimate.algo])
        _interval(ax, row, estimate.iqm, estimate.low, estimate.high, styles[estimate.algo])
        _note(ax, row, number(estimate.iqm))
    _heading(ax, "IQM")
    if section.threshold is not None:
        ax.axvline(section.threshold, color=_GREY, linewidth=1, linestyle=(0, (5, 3)), zorder=1)
    ax.set_xlabel(f"Final {_score_label(section).lower()}")
    _title(figure, section, "final scores")
    return figure


@matplotlib.rc_context(_SETTINGS)
def plot_improvements(section: Section, styles: dict[str, Style]) -> Figure:
    """
    The probability that a run of the row's algorithm scores higher than one of the column's, in colour where the
    interval tells the two apart.

    :param section: An environment, or all.
    :param styles: How to draw each algorithm.
    :return: A matplotlib figure, not shown and not saved yet.
    """
    algos = list(section.final["algo"])
    cell = max(0.5, min(0.8, 3.4 / len(algos)))
    figure = Figure(figsize=(max(_WIDTH, 1.6 + cell * len(algos)), 1.6 + cell * len(algos)), layout="constrained", dpi=100)
    ax = figure.subplots()
    for pair in section.improvements.itertuples():
        _cell(ax, algos.index(pair.algo), algos.index(pair.other), pair.probability, pair.verdict)
        mirrored = {"better": "worse", "worse": "better"}.get(pair.verdict, pair.verdict)
        _cell(ax, algos.index(pair.other), algos.index(pair.algo), 1 - pair.probability, mirrored)
    ax.set(xlim=(-0.5, len(algos) - 0.5), ylim=(len(algos) - 0.5, -0.5), aspect="equal")
    ax.set_xticks(range(len(algos)), map(_in_two_lines, algos), rotation=40, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(len(algos)), map(_in_two_lines, algos))
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    _title(figure, section, "probability that row beats column")
    return figure


def _cell(ax: Axes, row: int, column: int, probability: float, verdict: str) -> None:
    told_apart = verdict in ("better", "worse")
    strength = 0.25 + 0.75 * 2 * abs(probability - 0.5)
    color = to_rgba(_BETTER if verdict == "better" else _WORSE, strength) if told_apart else "#eeeeee"
    ax.add_patch(matplotlib.patches.Rectangle((column - 0.47, row - 0.47), 0.94, 0.94, facecolor=color, linewidth=0))
    text_color = _GREY if not told_apart else "white" if strength > 0.6 else "black"
    ax.text(column, row, f"{probability:.2f}", ha="center", va="center", fontsize=10, color=text_color)


@matplotlib.rc_context(_SETTINGS)
def plot_times(section: Section, styles: dict[str, Style]) -> Figure:
    """
    The median time to threshold with its interval, over the time of each run. What was not reached is drawn in a strip
    after the end of training.

    :param section: An environment with a threshold.
    :param styles: How to draw each algorithm.
    :return: A matplotlib figure, not shown and not saved yet.
    :raises ValueError: If the environment has no threshold.
    """
    if section.times is None or section.runs is None:
        raise ValueError(f"{section.title} has no threshold, so there is no time to reach it.")
    figure, ax = _rows(list(section.times["algo"]))
    end = section.curves["timesteps"].max()
    never = 1.2 * end
    for row, estimate in enumerate(section.times.itertuples()):
        times = section.runs.loc[section.runs["algo"] == estimate.algo, "timesteps"]
        _runs(ax, row, times.clip(upper=never).to_numpy(), styles[estimate.algo])
        median, low, high = np.minimum([estimate.median, estimate.low, estimate.high], never)  # NaN stays NaN
        _interval(ax, row, median, low, high, styles[estimate.algo])
        _note(ax, row, f"{estimate.n_reached} of {estimate.n_seeds}")
    _heading(ax, "reached")
    ax.axvspan(1.1 * end, 1.3 * end, color="#eeeeee", linewidth=0, zorder=0)
    ax.set_xlim(0, 1.3 * end)
    ax.set_xticks([tick for tick in ax.get_xticks() if tick <= end] + [never])
    formatter = _steps_formatter(section)
    ax.set_xticklabels([formatter(tick) for tick in ax.get_xticks()[:-1]] + ["never"])
    ax.set_xlabel("Timesteps to the threshold")
    _title(figure, section, "time to threshold")
    return figure


def _lines(table: pd.DataFrame, x: str, y: str, styles: dict[str, Style]) -> tuple[Figure, Axes]:
    algos = list(table["algo"].unique())
    figure = Figure(figsize=(_WIDTH, 3.3 + 0.24 * ((len(algos) + 1) // 2)), layout="constrained", dpi=100)
    ax = figure.subplots()
    for i, algo in enumerate(algos):
        rows, style = table[table["algo"] == algo], styles[algo]
        every = max(1, len(rows) // 6)
        ax.fill_between(rows[x], rows["low"], rows["high"], color=style.color, alpha=0.15, linewidth=0)
        ax.plot(
            rows[x],
            rows[y],
            color=style.color,
            linestyle=style.line,
            marker=style.marker,
            markevery=(i % every, every),  # not all at the same place
            markersize=5,
            linewidth=1.8,
            label=algo,
        )
    ax.grid(alpha=0.25)
    figure.legend(ax.lines, algos, loc="outside lower center", ncols=2, frameon=False)
    return figure, ax


def _rows(algos: list[str]) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(_WIDTH, 1.1 + _ROW * len(algos)), layout="constrained", dpi=100)
    ax = figure.subplots()
    ax.set_yticks(range(len(algos)), map(_in_two_lines, algos))
    ax.set_ylim(len(algos) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x", alpha=0.25)
    return figure, ax


def _runs(ax: Axes, row: int, values: np.ndarray, style: Style) -> None:
    ax.scatter(values, np.full(len(values), row), s=24, color=style.color, alpha=0.3, linewidths=0)


def _interval(ax: Axes, row: int, value: float, low: float, high: float, style: Style) -> None:
    ax.plot([low, high], [row, row], color=style.color, linewidth=3.5, alpha=0.75, solid_capstyle="butt")
    ax.plot(value, row, color=style.color, marker=style.marker, markersize=8, markeredgecolor="white")


def _note(ax: Axes, row: int, text: str) -> None:
    ax.annotate(text, (1.02, row), xycoords=("axes fraction", "data"), va="center", fontsize=10, annotation_clip=False)


def _heading(ax: Axes, text: str) -> None:
    """What the notes are, at the foot of their column."""
    place = (1.02, 0)
    ax.annotate(text, place, (0, -4), xycoords="axes fraction", textcoords="offset points", va="top", color=_GREY, fontsize=10)


def _title(figure: Figure, section: Section, text: str) -> None:
    figure.suptitle(textwrap.fill(f"{section.title}: {text}", 55), x=0.02, ha="left")


def _in_two_lines(name: str) -> str:
    """A long name is broken at the joint nearest to its middle, to leave room for what is plotted."""
    joints = [match.end() for match in re.finditer("[-_/ ]", name)]
    if len(name) <= 14 or not joints:
        return name
    joint = min(joints, key=lambda position: abs(position - len(name) / 2))
    return f"{name[:joint]}\n{name[joint:]}"


def _score_label(section: Section) -> str:
    return "Normalised score" if section.title == ALL_ENVIRONMENTS else "Score"


def _steps_formatter(section: Section) -> Formatter:
    return PercentFormatter(1) if section.title == ALL_ENVIRONMENTS else EngFormatter(sep="")
