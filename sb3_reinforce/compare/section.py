"""What one environment says about the algorithms, or all environments together."""

import itertools
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sb3_reinforce.compare.evaluation_table import Scores, score_table, times_to_threshold, untrained_scores
from sb3_reinforce.compare.intervals import (
    bootstrap,
    interquartile_mean,
    median_time,
    probability_of_improvement,
    share_at_or_above,
)

ALL_ENVIRONMENTS = "All environments"
# With fewer seeds than this no two algorithms are told apart. Of two equal algorithms with normal scores, the
# interval of the probability of improvement wrongly tells apart 19% at 3 seeds, 9% at 5 and 5% at 10 (simulated)
MIN_SEEDS = 5


@dataclass(frozen=True)
class Section:
    """
    What one environment says about the algorithms, or all environments together.

    An interval that can't be computed, because there is one seed only, is NaN. A number of timesteps is
    infinite where the threshold was not reached.
    """

    title: str
    """The environment's id, or ``ALL_ENVIRONMENTS``."""
    threshold: float | None
    """The environment's reward threshold; 1 for all environments if each has one."""
    untrained: float | None
    """The interquartile mean of all runs before training; None if they were not evaluated then, and for all environments."""
    scores: Scores
    """The final score of each run. Shape ``(n_seeds, n_envs)`` for each algorithm."""
    curves: pd.DataFrame
    """``algo, timesteps, iqm, low, high``; for all environments ``timesteps`` is a share of each one's steps."""
    final: pd.DataFrame
    """``algo, iqm, low, high, n_seeds``, the highest interquartile mean first."""
    profiles: pd.DataFrame
    """``algo, score, share, low, high``."""
    improvements: pd.DataFrame
    """``algo, other, probability, low, high, verdict``, a row for each pair, the higher interquartile mean first."""
    times: pd.DataFrame | None
    """``algo, median, low, high, n_reached, n_seeds``; None where there is no threshold."""
    runs: pd.DataFrame | None
    """``algo, seed, timesteps`` to the threshold; None where there is no threshold."""


def environment_section(env: str, results: pd.DataFrame, threshold: float | None) -> Section:
    """
    :param env: Its id.
    :param results: The evaluations in this environment.
    :param threshold: Its reward threshold, if it has one.
    :return: What the environment says.
    """
    tables = {str(algo): score_table(runs) for algo, runs in results.groupby("algo", sort=False)}
    steps = {algo: table.index.to_numpy(float) for algo, table in tables.items()}
    scores = {algo: table.to_numpy(float).T[:, None] for algo, table in tables.items()}
    runs = None if threshold is None else times_to_threshold(results, threshold)
    initial = untrained_scores(results)
    untrained = float(interquartile_mean(initial[:, None, None])[0]) if initial.size else None
    return make_section(env, steps, scores, threshold, runs, untrained)


def make_section(
    title: str,
    steps: Scores,
    scores: Scores,
    threshold: float | None,
    runs: pd.DataFrame | None = None,
    untrained: float | None = None,
) -> Section:
    """
    :param title: The environment's id, or ``ALL_ENVIRONMENTS``.
    :param steps: When the evaluations were. Shape ``(n_steps,)`` for each algorithm.
    :param scores: Shape ``(n_seeds, n_envs, n_steps)`` for each algorithm.
    :param threshold: The reward threshold, if there is one.
    :param runs: ``algo, seed, timesteps`` to the threshold, if there is one.
    :param untrained: What is scored before training, if it is known.
    :return: All that is computed of these.
    """
    final = {algo: array[..., -1] for algo, array in scores.items()}
    curves = learning_curves(steps, scores)
    table = final_scores(curves, final)
    return Section(
        title=title,
        threshold=threshold,
        untrained=untrained,
        scores=final,
        curves=curves,
        final=table,
        profiles=performance_profiles(final),
        improvements=improvements({algo: final[algo] for algo in table["algo"]}),
        times=None if runs is None else median_times(runs),
        runs=runs,
    )


def learning_curves(steps: Scores, scores: Scores) -> pd.DataFrame:
    """
    Sample efficiency: the interquartile mean at each evaluation. The band holds at each step by itself.

    :param steps: When the evaluations were. Shape ``(n_steps,)`` for each algorithm.
    :param scores: Shape ``(n_seeds, n_envs, n_steps)`` for each algorithm.
    :return: ``algo, timesteps, iqm, low, high``.
    """
    columns = ["algo", "timesteps", "iqm", "low", "high"]
    tables = []
    for algo, array in scores.items():
        iqm, low, high = bootstrap(interquartile_mean, array)
        tables.append(pd.DataFrame(dict(zip(columns, (algo, steps[algo], iqm, low, high), strict=True))))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)


def final_scores(curves: pd.DataFrame, final: Scores) -> pd.DataFrame:
    """
    :param curves: Learning curves.
    :param final: Final scores. Shape ``(n_seeds, n_envs)`` for each algorithm.
    :return: The last point of each curve as ``algo, iqm, low, high, n_seeds``, the highest first.
    """
    table = curves.groupby("algo", sort=False).tail(1).drop(columns="timesteps")
    table = table.assign(n_seeds=[len(final[algo]) for algo in table["algo"]])
    return table.sort_values("iqm", ascending=False, kind="stable", ignore_index=True)


def performance_profiles(final: Scores) -> pd.DataFrame:
    """
    :param final: Final scores. Shape ``(n_seeds, n_envs)`` for each algorithm.
    :return: ``algo, score, share, low, high`` at 101 scores from just below the lowest to just above the highest.
    """
    columns = ["algo", "score", "share", "low", "high"]
    if not final:
        return pd.DataFrame(columns=columns)
    everything = np.concatenate([array.ravel() for array in final.values()])
    margin = 0.03 * (np.ptp(everything) or 1.0)
    levels = np.linspace(everything.min() - margin, everything.max() + margin, 101)
    tables = []
    for algo, array in final.items():
        share, low, high = bootstrap(lambda scores: share_at_or_above(scores, levels), array)
        tables.append(pd.DataFrame(dict(zip(columns, (algo, levels, share, low, high), strict=True))))
    return pd.concat(tables, ignore_index=True)


def improvements(final: Scores) -> pd.DataFrame:
    """
    The probability of improvement of each pair. Its interval decides whether the two are told apart: it must
    lie on one side of 1/2, and both must have ``MIN_SEEDS`` seeds.

    :param final: Final scores. Shape ``(n_seeds, n_envs)`` for each algorithm.
    :return: ``algo, other, probability, low, high, verdict``, where the verdict on ``algo`` is "better", "worse",
        "not told apart" or "too few seeds".
    """
    rows = []
    for algo, other in itertools.combinations(final, 2):
        samples = final[algo], final[other]
        (probability,), (low,), (high,) = bootstrap(probability_of_improvement, *samples)
        rows.append((algo, other, probability, low, high, _verdict(low, high, min(map(len, samples)))))
    return pd.DataFrame(rows, columns=["algo", "other", "probability", "low", "high", "verdict"])


def _verdict(low: float, high: float, n_seeds: int) -> str:
    if n_seeds < MIN_SEEDS:
        return "too few seeds"
    if low > 0.5:
        return "better"
    return "worse" if high < 0.5 else "not told apart"


def median_times(runs: pd.DataFrame) -> pd.DataFrame:
    """
    :param runs: ``algo, seed, timesteps``, infinite where the threshold was not reached.
    :return: ``algo, median, low, high, n_reached, n_seeds``, the shortest median first. An end of an interval that
        is infinite lies somewhere after the end of training.
    """
    rows = []
    for algo, times in runs.groupby("algo", sort=False)["timesteps"]:
        (median,), (low,), (high,) = bootstrap(median_time, times.to_numpy()[:, None])
        rows.append((algo, median, low, high, int(np.isfinite(times).sum()), len(times)))
    table = pd.DataFrame(rows, columns=["algo", "median", "low", "high", "n_reached", "n_seeds"])
    return table.sort_values("median", kind="stable", ignore_index=True)


def score_ranges(environments: list[Section]) -> pd.DataFrame:
    """
    What is set to 0 and to 1 so that scores of several environments can be put together.

    0 is what an untrained policy scores: the interquartile mean of all runs, evaluated before training, which no single
    broken run can move. In a table from elsewhere without such evaluations, it is the lowest point of the environment's
    learning curves, over all algorithms. 1 is the reward threshold; where there is none, or 0 lies above it, the highest
    point of the curves. Normalised scores depend on which algorithms were compared, so they mean nothing outside
    of their own comparison.

    :param environments: The environments' sections.
    :return: ``env, zero, zero_is, one, one_is``.
    """
    rows = []
    for section in environments:
        zero, zero_is = section.curves["iqm"].min(), "lowest point of the curves"
        if section.untrained is not None:
            zero, zero_is = section.untrained, "untrained policy"
        one, one_is = max(section.curves["iqm"].max(), zero), "highest point of the curves"
        if section.threshold is not None and section.threshold > zero:
            one, one_is = section.threshold, "reward threshold"
        rows.append((section.title, zero, zero_is, one, one_is))
    return pd.DataFrame(rows, columns=["env", "zero", "zero_is", "one", "one_is"])
