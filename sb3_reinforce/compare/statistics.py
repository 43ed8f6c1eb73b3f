"""Statistics of a comparison: from a table of evaluations to estimates with intervals, for each environment and for all."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from sb3_reinforce.compare.evaluation_table import (
    SHORTER,
    check_results,
    count_cut_off,
    count_seeds,
    normalize,
    scores_of_all,
    shorter_runs,
    split_off_not_finite,
    steps_trained,
)
from sb3_reinforce.compare.section import ALL_ENVIRONMENTS, Section, environment_section, make_section, score_ranges


@dataclass(frozen=True)
class Statistics:
    """All that is computed from a table of evaluations, and what had to be left out of it."""

    sections: list[Section]
    """All environments together, if there are several and an algorithm has a seed in every one; then each environment."""
    ranges: pd.DataFrame
    """``env, zero, zero_is, one, one_is``: which scores were set to 0 and to 1 for all environments together."""
    n_seeds: pd.DataFrame
    """``algo, env, n_seeds``: how many runs there are, 0 where there are none."""
    not_finite: pd.DataFrame
    """``algo, env, seed`` of runs with a score that is not finite; they are in no statistic."""
    shorter: pd.DataFrame
    """``algo, env, n_runs, shortest, longest``: how many runs trained for fewer steps than the environment's longest."""
    cut_off: pd.DataFrame
    """``algo, env, n_cut_off, n_episodes``: how many evaluation episodes were cut off because they did not end."""
    left_out: dict[str, list[int]]
    """For each algorithm, its seeds that lack an environment and so are not in ``ALL_ENVIRONMENTS``."""
    steps: pd.DataFrame
    """For how many timesteps each algorithm (a column) trained in each environment (a row), in its shortest run."""

    def same_steps(self, section: Section, algo: str, other: str) -> bool:
        """
        :param section: An environment, or all.
        :param algo: An algorithm.
        :param other: Another one.
        :return: Whether both trained for about as many timesteps, without which the verdict on them is no fair one.
        """
        pair = self.steps[[algo, other]]
        if section.title != ALL_ENVIRONMENTS:
            pair = pair.loc[[section.title]]
        return not (pair.min(axis=1) < SHORTER * pair.max(axis=1)).any()


def compute_statistics(results: pd.DataFrame, thresholds: Mapping[str, float | None]) -> Statistics:
    """
    Everything, from the table of evaluations.

    Algorithms and environments keep the order in which they first appear.

    :param results: One row an evaluation, with the columns ``COLUMNS``.
    :param thresholds: The score at which an environment counts as solved, as far as it has one.
    :return: The statistics; the same for the same table, every time.
    :raises ValueError: If a column is missing, or an evaluation is there twice.
    """
    check_results(results)
    results, not_finite = split_off_not_finite(results)
    environments = [
        environment_section(str(env), runs, thresholds.get(str(env))) for env, runs in results.groupby("env", sort=False)
    ]
    ranges = score_ranges(environments)
    sections = environments
    left_out: dict[str, list[int]] = {}
    if len(environments) > 1:
        shares, scores, left_out = scores_of_all(normalize(results, ranges))
        all_have_thresholds = all(section.threshold is not None for section in environments)
        if scores:  # else no algorithm has a seed in every environment
            sections = [make_section(ALL_ENVIRONMENTS, shares, scores, 1.0 if all_have_thresholds else None), *environments]
    return Statistics(
        sections=sections,
        ranges=ranges,
        n_seeds=count_seeds(results),
        not_finite=not_finite,
        shorter=shorter_runs(results),
        cut_off=count_cut_off(results),
        left_out=left_out,
        steps=steps_trained(results),
    )
