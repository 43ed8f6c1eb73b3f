"""Figures of a training run."""

import pathlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sb3_reinforce.common.saving import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BLUE, _ORANGE, _GREEN = "#3465a4", "#d95f02", "#2a7f62"
# What a run may have logged, the label it gets, and its colour
_PANELS = (
    ("train/policy_loss", "Policy loss", _ORANGE),
    ("rollout/best_mean_reward", "Best candidate's\nmean return", _ORANGE),
    ("rollout/epsilon", "Epsilon", _GREEN),
)


def plot_learning_curve(progress: pd.DataFrame | list[dict[str, Any]], title: str = "", window: int = 20) -> "Figure":
    """
    The duration of each episode with its running mean, and below it the loss and epsilon (or, for a
    search, the best score so far), all against timesteps.

    :param progress: SB3's ``progress.csv`` of a run with an :class:`~sb3_reinforce.EpisodeDurationCallback`, or its rows; if
        some episodes are left out, with their running mean as ``rollout/episode_length_running``.
    :param title: Title of the figure.
    :param window: Over how many episodes the running mean goes.
    :return: A matplotlib figure, not shown and not saved yet.
    :raises ValueError: If no episode was logged.
    """
    # The object-oriented way: it needs no display, and leaves the user's pyplot alone
    from matplotlib.figure import Figure

    progress = pd.DataFrame(progress)
    if "rollout/episode_length" not in progress or progress["rollout/episode_length"].count() == 0:
        raise ValueError("There is nothing to plot: no episode has ended yet, or the run had no EpisodeDurationCallback.")
    progress = progress.replace([np.inf, -np.inf], np.nan)
    panels = [panel for panel in _PANELS if panel[0] in progress and progress[panel[0]].notna().any()]
    figure = Figure(figsize=(8, 3.2 + 1.6 * len(panels)), layout="constrained", dpi=150)
    axes = figure.subplots(1 + len(panels), 1, sharex=True, squeeze=False, height_ratios=[2.2] + [1] * len(panels))[:, 0]
    _plot_durations(axes[0], progress, window)
    for ax, (key, label, color) in zip(axes[1:], panels, strict=True):
        rows = progress[key].notna()
        marker = "o" if rows.sum() == 1 else None  # no line goes through one point
        ax.plot(progress["time/total_timesteps"][rows], progress[key][rows], color=color, linewidth=1.5, marker=marker)
        ax.set_ylabel(label)
        if key == "rollout/epsilon":
            ax.set_ylim(-0.05, max(0.2, progress[key].max() * 1.1))
    for ax in axes:
        ax.grid(alpha=0.25)
        ax.spines[["top", "right"]].set_visible(False)
    axes[-1].set_xlabel("Timesteps")
    axes[-1].xaxis.set_major_formatter(lambda x, _: f"{x / 1000:g}k" if x else "0")
    figure.align_ylabels(list(axes))
    axes[0].set_title(title, loc="left", fontweight="bold")
    return figure


def _plot_durations(ax: "Axes", progress: pd.DataFrame, window: int) -> None:
    rows = progress["rollout/episode_length"].notna()
    timesteps, lengths = progress["time/total_timesteps"][rows], progress["rollout/episode_length"][rows]
    ax.scatter(timesteps, lengths, s=9, color=_BLUE, alpha=0.35, linewidths=0, label="episode")
    key = "rollout/episode_length_running"
    running = progress[key][rows] if key in progress else lengths.rolling(window, min_periods=1).mean()
    ax.plot(timesteps, running, color=_BLUE, linewidth=2, label=f"mean of the last {window}")
    ax.set_ylabel("Episode duration\n(timesteps)")
    ax.set_ylim(bottom=0)
    ax.legend(frameon=False, loc="best")


def save_learning_curve(folder: pathlib.Path, path: pathlib.Path, title: str = "") -> None:
    """
    Read ``progress.csv`` of a run and save its learning curve as PNG.

    :param folder: Where the run was logged.
    :param path: The PNG file.
    :param title: Title of the figure.
    :raises ValueError: If no episode was logged.
    :raises OSError: If a file can't be read or written.
    """
    import io

    try:
        progress = pd.read_csv(folder / "progress.csv")
    except pd.errors.EmptyDataError:  # nothing was logged
        progress = pd.DataFrame()
    figure = plot_learning_curve(progress, title)
    content = io.BytesIO()
    figure.savefig(content, format="png")
    write_atomically(path, content.getvalue())
