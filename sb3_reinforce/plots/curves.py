"""Learning curves of several runs: their mean, and how sure it is."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from sb3_reinforce.common.constraints import NONE, Interval, Table, checked
from sb3_reinforce.common.figures import dress_timesteps
from sb3_reinforce.plots.runs import Episodes, Run, read_run

if TYPE_CHECKING:
    from matplotlib.axes import Axes

N_RESAMPLES = 2_000
ARGUMENTS: Table = {
    "window": [Interval(1, integer=True)],
    "confidence": [Interval(0, 1, open_low=True)],
    "threshold": [Interval(), NONE],
    "n_points": [Interval(2, integer=True)],
}


@checked(ARGUMENTS, "plot_learning_curves")
def plot_learning_curves(
    runs: Mapping[str, Sequence[Run]] | Sequence[Run],
    *,
    window: int = 20,
    confidence: float = 0.95,
    threshold: float | None = None,
    n_points: int = 200,
    ax: "Axes | None" = None,
) -> "Axes":
    """
    Draw the mean return of several runs against timesteps, with its bootstrap interval over the runs: how far another set of
    seeds could have been away. A single run has no interval, for it says nothing about others.

    A curve ends where the first of its runs does.

    :param runs: The runs, one a seed; or by what is compared, several of them. A run is a monitor file, a folder or a model;
        see :func:`~sb3_reinforce.plots.read_run`.
    :param window: Each run's curve is the mean of so many last episodes.
    :param confidence: Of the interval.
    :param threshold: The mean return from which on the environment counts as solved; it is marked.
    :param n_points: How many points a curve has.
    :param ax: Where to draw. Default: a new figure's.
    :return: The axes; their figure is ``ax.figure``, not shown and not saved yet.
    :raises ValueError: If there is no run, or a run without episodes; or if an argument is not what it may be.
    :raises OSError: If a file can't be read.
    """
    groups = runs if isinstance(runs, Mapping) else {"": runs}
    if not groups or not all(groups.values()):
        raise ValueError("There is nothing to plot: plot_learning_curves got no runs.")
    if ax is None:
        from matplotlib.figure import Figure

        ax = Figure(figsize=(8, 4.5), layout="constrained", dpi=120).subplots()
    for name, members in groups.items():
        timesteps, curves = curves_of([read_run(run) for run in members], window, n_points)
        mean, low, high = mean_with_interval(curves, confidence)
        label = f"{name} ({len(curves)} runs)".strip() if len(curves) > 1 else name
        (line,) = ax.plot(timesteps, mean, linewidth=2, label=label or None)
        ax.fill_between(timesteps, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
    if threshold is not None:
        ax.axhline(threshold, color="#555555", linewidth=1, linestyle="--", label=f"threshold {threshold:g}")
    ax.set_ylabel(f"Return, mean of the last {window} episodes")
    dress_timesteps(ax)
    ax.grid(alpha=0.25)
    ax.spines[["top", "right"]].set_visible(False)
    if ax.get_legend_handles_labels()[1]:
        ax.legend(frameon=False)
    return ax


def running_mean(values: np.ndarray, window: int) -> np.ndarray:
    """
    :param values: Shape ``(n,)``.
    :param window: Over how many of the last values; at the beginning, over those that there are.
    :return: Shape ``(n,)``.
    """
    sums = np.cumsum(np.concatenate(([0.0], values)))
    first = np.maximum(np.arange(1, len(values) + 1) - window, 0)
    return (sums[1:] - sums[first]) / (np.arange(1, len(values) + 1) - first)


def curves_of(runs: Sequence[Episodes], window: int, n_points: int) -> tuple[np.ndarray, np.ndarray]:
    """
    :param runs: Each with one episode or more.
    :param window: Over how many episodes the running means go.
    :param n_points: How many timesteps to look at.
    :return: Timesteps from the last run's first episode to the first run's last one, and at each the running mean of the last
        episode that had ended by then. Shapes ``(n_points,)`` and ``(n_runs, n_points)``.
    """
    start, end = max(run.timesteps[0] for run in runs), min(run.timesteps[-1] for run in runs)
    timesteps = np.linspace(start, max(start, end), n_points)
    at = [np.searchsorted(run.timesteps, timesteps, side="right") - 1 for run in runs]
    return timesteps, np.array([running_mean(run.returns, window)[last] for run, last in zip(runs, at, strict=True)])


def mean_with_interval(curves: np.ndarray, confidence: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """
    The percentile bootstrap of Efron (1979): whole runs are drawn with replacement, 2,000 times, always the same.

    :param curves: Shape ``(n_runs, n_points)``.
    :param confidence: Of the interval.
    :return: The mean over runs, the lower and the upper end of its interval, NaN for one run. Shapes ``(n_points,)``.
    """
    mean = curves.mean(axis=0)
    if len(curves) < 2:
        return mean, np.full_like(mean, np.nan), np.full_like(mean, np.nan)
    # How often each run is drawn. A resample's mean is these counts times the curves
    counts = np.random.default_rng(0).multinomial(len(curves), np.full(len(curves), 1 / len(curves)), size=N_RESAMPLES)
    low, high = np.quantile(counts @ curves / len(curves), [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    return mean, low, high
