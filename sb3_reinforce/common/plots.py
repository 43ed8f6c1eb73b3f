"""The picture of one training: its returns, and what says more than they do."""

import json
import pathlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from sb3_reinforce.common.figures import dress, new_panels, png_of
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
    if ax is None:
        return draw_training(progress, title, window, threshold, evaluation, dpi)
    _plot_returns(ax, _table(progress), window, threshold, evaluation)
    dress(ax)
    if title:
        ax.set_title(title, loc="left", fontweight="bold")
    ax.legend(frameon=False, fontsize="small")
    return ax.get_figure(root=True)  # type: ignore[return-value]


def draw_training(
    progress: pd.DataFrame | list[dict[str, Any]],
    title: str = "",
    window: int = WINDOW,
    threshold: float | None = None,
    evaluation: Evaluation | None = None,
    dpi: float = 150,
    panels: "Callable[[int, float], list[Axes]]" = new_panels,
) -> "Figure":
    """
    The figure of :func:`plot_training`, and its other arguments.

    :param panels: Makes axes without data, for so many small panels and so many dots per inch.
    """
    progress = _table(progress)
    durations, curves = _has_durations_of_their_own(progress), _curves(progress)
    axes = panels(int(durations) + len(curves), dpi)
    _plot_returns(axes[0], progress, window, threshold, evaluation)
    if durations:
        _plot_episodes(axes[1], progress, LENGTH, window)
        axes[1].set_ylabel("Duration (steps)")
    for panel, (key, label, color) in zip(axes[len(axes) - len(curves) :], curves, strict=True):
        _plot_logged(panel, progress, key, color)
        panel.set_ylabel(label)
        if key in EPSILONS:
            panel.set_ylim(-0.05, 1.1 * progress[key].max())
    n_rows = _put_legend_above(axes[0], title)
    figure: Figure = axes[0].get_figure(root=True)  # type: ignore[assignment]
    _set_margins(figure, top=0.4 + 0.21 * n_rows)
    return figure


def _table(progress: pd.DataFrame | list[dict[str, Any]]) -> pd.DataFrame:
    """With the columns in which there is anything."""
    table = pd.DataFrame(progress).replace([np.inf, -np.inf], np.nan).dropna(axis=1, how="all")
    if RETURN not in table:
        raise ValueError("There is nothing to plot: no episode has ended yet, or the run had no EpisodeDurationCallback.")
    return table


def _points(progress: pd.DataFrame, *keys: str) -> list[np.ndarray]:
    """Of each column, where all of them are logged. Shapes ``(n_rows,)``."""
    values = progress[list(keys)].to_numpy(dtype=float)
    return list(values[~np.isnan(values).any(axis=1)].T)


def _set_margins(figure: "Figure", top: float) -> None:
    """In inches. To have matplotlib find them would take as long as all the rest, and a live chart is drawn often."""
    width, height = figure.get_size_inches()
    figure.subplots_adjust(0.9 / width, 0.55 / height, 1 - 0.2 / width, 1 - top / height, hspace=0.14)


def _put_legend_above(ax: "Axes", title: str) -> int:
    """
    Above what is drawn, where it hides nothing, and the title above it.

    :return: How many rows the legend has.
    """
    labels, last = ax.get_legend_handles_labels()[1], ax.get_legend()
    n_columns = 4 if len(labels) <= 4 else 3
    n_rows = -(-len(labels) // n_columns)
    if last is None or [text.get_text() for text in last.get_texts()] != labels:
        style: dict[str, Any] = {"ncols": n_columns, "frameon": False, "fontsize": "small", "borderaxespad": 0.2}
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1), **style)
    # Where it is to be: to find that out, matplotlib would lay out all tick labels twice
    ax.set_title(title, loc="left", fontweight="bold", y=1, pad=8 + 15 * n_rows)
    return n_rows


def _has_durations_of_their_own(progress: pd.DataFrame) -> bool:
    """Whether durations say what returns do not: they vary, and returns do not rise or fall with them in a straight line."""
    if LENGTH not in progress:
        return False
    lengths, returns = _points(progress, LENGTH, RETURN)
    lengths_vary, returns_vary = (bool((values != values[:1]).any()) for values in (lengths, returns))
    if lengths_vary and returns_vary:
        return bool(abs(np.corrcoef(lengths, returns)[0, 1]) < 0.99)
    return lengths_vary


def _curves(progress: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Key, label and colour of what has a panel of its own. An epsilon that is always 0 has none."""
    losses = [(key, label, ORANGE) for key, label in LOSSES.items() if key in progress]
    epsilons = [(key, "Epsilon", GREEN) for key in EPSILONS if key in progress and progress[key].max() > 0]
    return losses[:1] + epsilons[:1]


def _plot_returns(
    ax: "Axes", progress: pd.DataFrame, window: int, threshold: float | None, evaluation: Evaluation | None
) -> None:
    _plot_episodes(ax, progress, RETURN, window)
    if BEST_CANDIDATE in progress:
        _plot_logged(ax, progress, BEST_CANDIDATE, ORANGE, label="best candidate's mean", drawstyle="steps-post")
    if EVALUATION_RETURN in progress:
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
    timesteps, values = _points(progress, TIMESTEPS, key)
    ax.scatter(timesteps, values, s=9, color=BLUE, alpha=0.35, linewidths=0, label="episode")
    if running(key) in progress:
        timesteps, means = _points(progress, TIMESTEPS, running(key))
    else:
        means = pd.Series(values).rolling(window, min_periods=1).mean().to_numpy()
    ax.plot(timesteps, means, color=BLUE, linewidth=2, label=f"mean of the last {window}")


def _plot_logged(ax: "Axes", progress: pd.DataFrame, key: str, color: str, **style: Any) -> None:
    timesteps, values = _points(progress, TIMESTEPS, key)
    marker = "o" if len(values) == 1 else None  # no line goes through one point
    style = {"linewidth": 1.5, "marker": marker, **style}
    ax.plot(timesteps, values, color=color, **style)


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
