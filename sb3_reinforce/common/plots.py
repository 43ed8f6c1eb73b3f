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
    DRAWN,
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
KEYS = (TIMESTEPS, RETURN, LENGTH, running(RETURN), running(LENGTH), *DRAWN)
"""Of a log, what is drawn."""
Columns = dict[str, np.ndarray]
"""By its key, a number for each row of a log; NaN where a row has none. Each of shape ``(n_rows,)``."""


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
    _plot_returns(ax, _columns(progress), window, threshold, evaluation)
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
    columns = _columns(progress)
    durations, curves = _has_durations_of_their_own(columns), _curves(columns)
    axes = panels(int(durations) + len(curves), dpi)
    _plot_returns(axes[0], columns, window, threshold, evaluation)
    if durations:
        _plot_episodes(axes[1], columns, LENGTH, window)
        axes[1].set_ylabel("Duration (steps)")
    for panel, (key, label, color) in zip(axes[len(axes) - len(curves) :], curves, strict=True):
        _plot_logged(panel, columns, key, color)
        panel.set_ylabel(label)
        if key in EPSILONS:
            panel.set_ylim(-0.05, 1.1 * np.nanmax(columns[key]))
    n_rows = _put_legend_above(axes[0], title)
    figure: Figure = axes[0].get_figure(root=True)  # type: ignore[assignment]
    _set_margins(figure, top=0.4 + 0.21 * n_rows)
    return figure


def _columns(progress: pd.DataFrame | list[dict[str, Any]]) -> Columns:
    """Those of them that are drawn and in which there is anything. What is not finite is left out."""
    if isinstance(progress, pd.DataFrame):
        columns = {key: progress[key].to_numpy(dtype=float) for key in KEYS if key in progress}
    else:  # as pandas would, in a fifth of its time
        columns = {key: np.array([row.get(key, np.nan) for row in progress], dtype=float) for key in KEYS}
    columns = {key: np.where(np.isfinite(values), values, np.nan) for key, values in columns.items()}
    columns = {key: values for key, values in columns.items() if not np.isnan(values).all()}
    if RETURN not in columns:
        raise ValueError("There is nothing to plot: no episode has ended yet, or the run had no EpisodeDurationCallback.")
    return columns


def _points(columns: Columns, *keys: str) -> list[np.ndarray]:
    """Of each column, where all of them are logged. Shapes ``(n_rows,)``."""
    chosen = [columns[key] for key in keys]
    are_logged = ~np.isnan(chosen).any(axis=0)
    return [values[are_logged] for values in chosen]


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


def _has_durations_of_their_own(columns: Columns) -> bool:
    """Whether durations say what returns do not: they vary, and returns do not rise or fall with them in a straight line."""
    if LENGTH not in columns:
        return False
    lengths, returns = _points(columns, LENGTH, RETURN)
    lengths_vary, returns_vary = (bool((values != values[:1]).any()) for values in (lengths, returns))
    if lengths_vary and returns_vary:
        return bool(abs(np.corrcoef(lengths, returns)[0, 1]) < 0.99)
    return lengths_vary


def _curves(columns: Columns) -> list[tuple[str, str, str]]:
    """Key, label and colour of what has a panel of its own. An epsilon that is always 0 has none."""
    losses = [(key, label, ORANGE) for key, label in LOSSES.items() if key in columns]
    epsilons = [(key, "Epsilon", GREEN) for key in EPSILONS if key in columns and np.nanmax(columns[key]) > 0]
    return losses[:1] + epsilons[:1]


def _plot_returns(ax: "Axes", columns: Columns, window: int, threshold: float | None, evaluation: Evaluation | None) -> None:
    if threshold is not None:  # first: it asks how far the axis goes, which takes time when there is something on it
        ax.axhline(threshold, color=GREY, linewidth=1, linestyle="--", label=f"threshold {threshold:g}")
    _plot_episodes(ax, columns, RETURN, window)
    if BEST_CANDIDATE in columns:
        _plot_logged(ax, columns, BEST_CANDIDATE, ORANGE, label="best candidate's mean", drawstyle="steps-post")
    if EVALUATION_RETURN in columns:
        _plot_logged(
            ax, columns, EVALUATION_RETURN, RED, label="evaluation while training", marker="D", markersize=4, linewidth=0.8
        )
    if evaluation is not None:
        label = f"final evaluation, {evaluation.n_episodes} episodes: {evaluation.mean:.1f} ± {evaluation.std:.1f}"
        style: dict[str, Any] = {"fmt": "D", "color": RED, "markersize": 6, "capsize": 3, "zorder": 3}
        ax.errorbar(np.nanmax(columns[TIMESTEPS]), evaluation.mean, evaluation.std, label=label, clip_on=False, **style)
    ax.set_ylabel("Return")


def _plot_episodes(ax: "Axes", columns: Columns, key: str, window: int) -> None:
    timesteps, values = _points(columns, TIMESTEPS, key)
    ax.scatter(timesteps, values, s=9, color=BLUE, alpha=0.35, linewidths=0, label="episode")
    if running(key) in columns:
        timesteps, means = _points(columns, TIMESTEPS, running(key))
    else:
        means = pd.Series(values).rolling(window, min_periods=1).mean().to_numpy()
    ax.plot(timesteps, means, color=BLUE, linewidth=2, label=f"mean of the last {window}")


def _plot_logged(ax: "Axes", columns: Columns, key: str, color: str, **style: Any) -> None:
    timesteps, values = _points(columns, TIMESTEPS, key)
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
