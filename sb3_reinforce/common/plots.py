"""The picture of one training: its returns, and what says more than they do."""

import io
import json
import pathlib
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from sb3_reinforce.common.log_keys import (
    BEST_CANDIDATE,
    EPSILONS,
    EVALUATION_RETURN,
    LENGTH,
    LOSSES,
    RETURN,
    TIMESTEPS,
    running,
)
from sb3_reinforce.common.saving import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, RED, GREY = "#3465a4", "#d95f02", "#2a7f62", "#b2182b", "#555555"
WINDOW = 20
"""Episodes that the running mean goes over, if nobody says otherwise."""


class Evaluation(NamedTuple):
    """What the policy scored after training, in episodes that it did not learn from."""

    mean: float
    std: float
    n_episodes: int


def plot_training(
    progress: pd.DataFrame | list[dict[str, Any]],
    title: str = "",
    window: int = WINDOW,
    threshold: float | None = None,
    evaluation: Evaluation | None = None,
    ax: "Axes | None" = None,
    dpi: int = 150,
) -> "Figure":
    """
    The return of each episode with its running mean, against timesteps. Below it the durations, where they say something
    else than the returns; the loss; and epsilon, where there is any.

    :param progress: SB3's ``progress.csv`` of a run with an :class:`~sb3_reinforce.EpisodeDurationCallback`, or its rows; if
        some episodes are left out, with their running mean as ``rollout/episode_return_running``.
    :param title: Title of the figure.
    :param window: Over how many episodes the running mean goes.
    :param threshold: The mean return from which on the environment counts as solved; it is marked.
    :param evaluation: What the policy scored in the end; it is marked.
    :param ax: Where to draw the returns. Then there are no other panels. Default: a new figure.
    :param dpi: Dots per inch of a new figure, which is 8 inches wide.
    :return: The figure, not shown and not saved yet.
    :raises ValueError: If no episode was logged.
    """
    progress = pd.DataFrame(progress).replace([np.inf, -np.inf], np.nan)
    if RETURN not in progress or progress[RETURN].count() == 0:
        raise ValueError("There is nothing to plot: no episode has ended yet, or the run had no EpisodeDurationCallback.")
    if ax is not None:
        _plot_returns(ax, progress, window, threshold, evaluation)
        _dress(ax, title)
        ax.legend(frameon=False, fontsize="small")
        return ax.get_figure(root=True)  # type: ignore[return-value]
    # The object-oriented way: it needs no display, and leaves the user's pyplot alone
    from matplotlib.figure import Figure

    durations, curves = _has_durations_of_their_own(progress), _curves(progress)
    n_small = int(durations) + len(curves)
    figure = Figure(figsize=(8, 3.6 + 1.5 * n_small), dpi=dpi)
    axes = list(figure.subplots(1 + n_small, 1, sharex=True, squeeze=False, height_ratios=[2.2] + [1] * n_small)[:, 0])
    _plot_returns(axes[0], progress, window, threshold, evaluation)
    if durations:
        _plot_episodes(axes[1], progress, LENGTH, window)
        axes[1].set_ylabel("Duration (steps)")
    for panel, (key, label, color) in zip(axes[len(axes) - len(curves) :], curves, strict=True):
        _plot_logged(panel, progress, key, color)
        panel.set_ylabel(label)
        if key in EPSILONS:
            panel.set_ylim(-0.05, 1.1 * progress[key].max())
    for panel in axes:
        _dress(panel)
    for panel in axes[:-1]:
        panel.set_xlabel("")
    n_rows = _put_legend_above(axes[0], title)
    _set_margins(figure, axes, top=0.4 + 0.21 * n_rows)
    return figure


def _set_margins(figure: "Figure", axes: list["Axes"], top: float) -> None:
    """In inches. To have matplotlib find them would take as long as all the rest, and a live chart is drawn often."""
    width, height = figure.get_size_inches()
    figure.subplots_adjust(0.9 / width, 0.55 / height, 1 - 0.2 / width, 1 - top / height, hspace=0.14)
    for ax in axes:
        ax.yaxis.set_label_coords(-0.65 / (width - 1.1), 0.5)


def _put_legend_above(ax: "Axes", title: str) -> int:
    """
    Above what is drawn, where it hides nothing, and the title above it.

    :return: How many rows the legend has.
    """
    n_labels = len(ax.get_legend_handles_labels()[1])
    n_columns = 4 if n_labels <= 4 else 3
    n_rows = -(-n_labels // n_columns)
    style: dict[str, Any] = {"ncols": n_columns, "frameon": False, "fontsize": "small", "borderaxespad": 0.2}
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), **style)
    # Where it is to be: to find that out, matplotlib would lay out all tick labels twice
    ax.set_title(title, loc="left", fontweight="bold", y=1, pad=8 + 15 * n_rows)
    return n_rows


def _has_durations_of_their_own(progress: pd.DataFrame) -> bool:
    """Whether durations say what returns do not: they vary, and returns do not rise or fall with them in a straight line."""
    if LENGTH not in progress:
        return False
    both = progress[[LENGTH, RETURN]].dropna()
    n_values = both.nunique()
    if n_values.min() < 2:
        return bool(n_values[LENGTH] > 1)
    return bool(abs(np.corrcoef(both[LENGTH], both[RETURN])[0, 1]) < 0.99)


def _curves(progress: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Key, label and colour of what has a panel of its own. An epsilon that is always 0 has none."""
    logged = progress.columns[progress.notna().any()]
    losses = [(key, label, ORANGE) for key, label in LOSSES.items() if key in logged]
    epsilons = [(key, "Epsilon", GREEN) for key in EPSILONS if key in logged and progress[key].max() > 0]
    return losses[:1] + epsilons[:1]


def _plot_returns(
    ax: "Axes", progress: pd.DataFrame, window: int, threshold: float | None, evaluation: Evaluation | None
) -> None:
    _plot_episodes(ax, progress, RETURN, window)
    logged = progress.columns[progress.notna().any()]
    if BEST_CANDIDATE in logged:
        _plot_logged(ax, progress, BEST_CANDIDATE, ORANGE, label="best candidate's mean", drawstyle="steps-post")
    if EVALUATION_RETURN in logged:
        _plot_logged(
            ax, progress, EVALUATION_RETURN, RED, label="evaluation while training", marker="D", markersize=4, linewidth=0.8
        )
    if threshold is not None:
        ax.axhline(threshold, color=GREY, linewidth=1, linestyle="--", label=f"threshold {threshold:g}")
    if evaluation is not None:
        label = f"final evaluation, {evaluation.n_episodes} episodes: {evaluation.mean:.1f} ± {evaluation.std:.1f}"
        style: dict[str, Any] = {"fmt": "D", "color": RED, "markersize": 6, "capsize": 3, "zorder": 3}
        ax.errorbar(progress[TIMESTEPS].max(), evaluation.mean, evaluation.std, label=label, clip_on=False, **style)
    ax.set_ylabel("Return")


def _plot_episodes(ax: "Axes", progress: pd.DataFrame, key: str, window: int) -> None:
    rows = progress[key].notna()
    timesteps, values = progress[TIMESTEPS][rows], progress[key][rows]
    ax.scatter(timesteps, values, s=9, color=BLUE, alpha=0.35, linewidths=0, label="episode")
    means = progress[running(key)][rows] if running(key) in progress else values.rolling(window, min_periods=1).mean()
    ax.plot(timesteps, means, color=BLUE, linewidth=2, label=f"mean of the last {window}")


def _plot_logged(ax: "Axes", progress: pd.DataFrame, key: str, color: str, **style: Any) -> None:
    rows = progress[key].notna()
    marker = "o" if rows.sum() == 1 else None  # no line goes through one point
    style = {"linewidth": 1.5, "marker": marker, **style}
    ax.plot(progress[TIMESTEPS][rows], progress[key][rows], color=color, **style)


def _dress(ax: "Axes", title: str = "") -> None:
    ax.grid(alpha=0.25)
    ax.spines[["top", "right"]].set_visible(False)
    dress_timesteps(ax)
    if title:
        ax.set_title(title, loc="left", fontweight="bold")


def dress_timesteps(ax: "Axes") -> None:
    """
    :param ax: Whose horizontal axis shows timesteps.
    """
    ax.set_xlabel("Timesteps")
    ax.xaxis.set_major_formatter(lambda x, _: f"{x / 1e6:g}M" if abs(x) >= 1e6 else f"{x / 1e3:g}k" if x else "0")


def save_learning_curve(folder: str | pathlib.Path, path: str | pathlib.Path, title: str = "", window: int = WINDOW) -> None:
    """
    Read ``progress.csv`` of a run, and its ``evaluation.json`` if it is there, and save its picture as PNG.

    :param folder: Where the run was logged.
    :param path: The PNG file.
    :param title: Title of the figure.
    :param window: Over how many episodes the running mean goes.
    :raises ValueError: If no episode was logged.
    :raises OSError: If a file can't be read or written.
    """
    threshold, evaluation = _read_evaluation(pathlib.Path(folder) / "evaluation.json")
    figure = plot_training(read_progress(folder), title, window, threshold, evaluation)
    write_atomically(pathlib.Path(path), png_of(figure))


def read_progress(folder: str | pathlib.Path) -> pd.DataFrame:
    """
    :param folder: Where a run was logged by SB3's logger.
    :return: The rows of its ``progress.csv``; none if nothing was logged yet.
    :raises OSError: If it can't be read.
    """
    try:
        return pd.read_csv(pathlib.Path(folder) / "progress.csv")
    except pd.errors.EmptyDataError:
        return pd.DataFrame()


def _read_evaluation(path: pathlib.Path) -> tuple[float | None, Evaluation | None]:
    """The environment's threshold, and what the policy scored."""
    if not path.exists():
        return None, None
    content = json.loads(path.read_text())
    evaluation = Evaluation(content["mean_reward"], content["std_reward"], content["n_eval_episodes"])
    return content.get("reward_threshold"), evaluation


def png_of(figure: "Figure") -> bytes:
    """
    :param figure: Any.
    :return: It as a PNG file.
    """
    content = io.BytesIO()
    figure.savefig(content, format="png")
    return content.getvalue()
