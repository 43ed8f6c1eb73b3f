"""What a reader of a report must not overlook, each in a sentence or two of Markdown."""

from typing import Any

import pandas as pd

from sb3_reinforce.common.evaluation import CUT_OFF_ADVICE
from sb3_reinforce.compare.section import ALL_ENVIRONMENTS, MIN_SEEDS
from sb3_reinforce.compare.statistics import Statistics
from sb3_reinforce.compare.text import escape, join, plural, stand_ins_in_words


def cautions(statistics: Statistics, details: dict[str, Any]) -> list[str]:
    """
    :param statistics: What was computed.
    :param details: As ``write_report`` takes them.
    :return: All that there is to be said, in one block; or nothing.
    """
    found = [
        *_about_failures(details["failures"]),
        *_about_not_finite(statistics.not_finite),
        *_about_cut_off(statistics.cut_off, details.get("max_episode_steps", {})),
        *_about_seeds(statistics.n_seeds),
        *_about_shorter(statistics.shorter),
        *_about_stand_ins(details.get("stand_ins", {})),
        *_about_left_out(statistics),
    ]
    return ["\n>\n".join(f"> {caution}" for caution in found)] if found else []


def _about_failures(failures: list[dict[str, Any]]) -> list[str]:
    if not failures:
        return []
    return [f"**{plural(len(failures), 'run')} failed** and can't be in any number. They are listed further down."]


def _about_not_finite(not_finite: pd.DataFrame) -> list[str]:
    if not_finite.empty:
        return []
    runs = [f"{escape(run.algo)} in {escape(run.env)}, seed {escape(run.seed)}" for run in not_finite.itertuples()]
    return [f"**Scores that are not finite.** Left out of every number: {'; '.join(runs)}."]


def _about_cut_off(cut_off: pd.DataFrame, max_episode_steps: dict[str, int]) -> list[str]:
    if cut_off.empty:
        return []
    groups = [
        f"{row.n_cut_off:,} of {row.n_episodes:,} of {escape(row.algo)} in {escape(row.env)}"
        + (f" (after {max_episode_steps[row.env]:,} timesteps)" if row.env in max_episode_steps else "")
        for row in cut_off.itertuples()
    ]
    return [f"**Episodes of evaluations that did not end and were cut off:** {'; '.join(groups)}. {escape(CUT_OFF_ADVICE)}"]


def _about_seeds(n_seeds: pd.DataFrame) -> list[str]:
    found = []
    few = n_seeds[n_seeds["n_seeds"] < MIN_SEEDS]
    fewer = n_seeds[(n_seeds["n_seeds"] < n_seeds["n_seeds"].max()) & (n_seeds["n_seeds"] >= MIN_SEEDS)]
    if not few.empty:
        all_the_same = len(few) == len(n_seeds) and few["n_seeds"].nunique() == 1
        who = f"{few['n_seeds'].iloc[0]} for every algorithm and environment" if all_the_same else _counts(few)
        found.append(
            f"**Too few seeds:** {who}. Below {MIN_SEEDS} seeds intervals are much too narrow, so no two algorithms are "
            "told apart; with one seed there is no interval at all. Below four the interquartile mean is just the mean."
        )
    if not fewer.empty:
        found.append(f"**Not all have {n_seeds['n_seeds'].max()} seeds:** {_counts(fewer)}.")
    return found


def _counts(n_seeds: pd.DataFrame) -> str:
    groups = n_seeds.groupby(["n_seeds", "algo"], sort=False)["env"]
    return "; ".join(f"{n or 'none'} for {escape(algo)} in {join(list(envs))}" for (n, algo), envs in groups)


def _about_shorter(shorter: pd.DataFrame) -> list[str]:
    if shorter.empty:
        return []
    groups = [
        f"{plural(row.n_runs, 'run')} of {escape(row.algo)} in {escape(row.env)} "
        f"(the shortest for {row.shortest:,} of {row.longest:,} timesteps)"
        for row in shorter.itertuples()
    ]
    return [
        f"**Trained for fewer steps than others:** {'; '.join(groups)}. The last score of each counts as its final score, so "
        "verdicts between them and others are marked: unequal steps."
    ]


def _about_stand_ins(stand_ins: dict[str, dict[str, str]]) -> list[str]:
    if not stand_ins:
        return []
    return [
        f"**Hyperparameters that were not tuned for the environment itself:** {stand_ins_in_words(stand_ins, escape)}. Who is "
        "tuned for an environment has an advantage."
    ]


def _about_left_out(statistics: Statistics) -> list[str]:
    if not statistics.left_out:
        return []
    if statistics.sections[0].title != ALL_ENVIRONMENTS:
        return ["**No numbers for all environments together:** no algorithm has a seed in every one of them."]
    who = "; ".join(f"of {escape(algo)} {join(seeds)}" for algo, seeds in statistics.left_out.items())
    return [
        f"**Left out of the numbers for all environments,** which need a seed in every one of them: seeds {who}. "
        "They are in the numbers for each environment."
    ]
