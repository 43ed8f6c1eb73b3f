"""The tables of a report, in Markdown."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from sb3_reinforce.compare.intervals import CONFIDENCE
from sb3_reinforce.compare.section import Section
from sb3_reinforce.compare.statistics import Statistics
from sb3_reinforce.compare.text import escape, interval, number, probability, steps, table
from sb3_reinforce.compare.verdicts import joint_verdict, leaders_of

_INTERVAL = f"{CONFIDENCE:.0%} interval"


def overview(statistics: Statistics) -> str:
    """
    :param statistics: What was computed, of one section at least.
    :return: Final scores: a row for each algorithm, a column for each section. The highest is bold, and what the data do not
        tell apart from it.
    """
    columns = [_scores_by_algorithm(section) for section in statistics.sections]
    algos = dict.fromkeys(algo for column in columns for algo in column)
    rows = [[escape(algo), *(column.get(algo, "") for column in columns)] for algo in algos]
    titles = [escape(section.title) for section in statistics.sections]
    return table("l" + "r" * len(columns), ["Algorithm", *titles], rows)


def _scores_by_algorithm(section: Section) -> dict[str, str]:
    leaders, cells = leaders_of(section), {}
    for row in section.final.itertuples():
        at_best = row.algo in leaders or joint_verdict(section, leaders, row.algo) in ("not told apart", "too few seeds")
        score = f"**{number(row.iqm)}**" if at_best and len(section.final) > 1 else number(row.iqm)
        cells[row.algo] = f"{score} {_in_brackets(row.low, row.high)}"
    return cells


def _in_brackets(low: float, high: float) -> str:
    """Spaces in it break no line."""
    return f"({interval(low, high)})".replace(" ", "\u00a0")


def ranges(found: pd.DataFrame) -> str:
    """
    :param found: ``env, zero, zero_is, one, one_is``.
    :return: What is 0 and what is 1 in each environment.
    """
    rows = [(escape(row.env), number(row.zero), row.zero_is, number(row.one), row.one_is) for row in found.itertuples()]
    return table("lrlrl", ["Environment", "0 is", "0 is the", "1 is", "1 is the"], rows)


def final_scores(section: Section) -> str:
    """
    :param section: An environment, or all.
    :return: The final scores, the highest first.
    """
    final = section.final.itertuples()
    rows = [(escape(row.algo), number(row.iqm), interval(row.low, row.high), str(row.n_seeds)) for row in final]
    return table("lrrr", ["Algorithm", "IQM", _INTERVAL, "Seeds"], rows)


def improvements(section: Section, statistics: Statistics) -> str:
    """
    :param section: An environment, or all.
    :param statistics: What it is of.
    :return: The verdict on each pair.
    """
    rows = []
    for pair in section.improvements.itertuples():
        names = f"{escape(pair.algo)} over {escape(pair.other)}"
        unequal = "" if statistics.same_steps(section, pair.algo, pair.other) else ", unequal steps"
        rows.append((names, pair.verdict + unequal, probability(pair.probability), interval(pair.low, pair.high, probability)))
    return table("llrr", ["Pair", "Verdict", "Probability", _INTERVAL], rows)


def times(found: pd.DataFrame) -> str:
    """
    :param found: A section's ``times``.
    :return: The timesteps to the threshold.
    """
    rows = []
    for row in found.itertuples():
        between = "not reached" if np.isinf(row.low) else interval(row.low, row.high, steps)
        rows.append((escape(row.algo), steps(row.median), between, f"{row.n_reached} of {row.n_seeds}"))
    return table("lrrr", ["Algorithm", "Median steps", _INTERVAL, "Reached"], rows)


def seconds(found: pd.DataFrame) -> str:
    """
    :param found: ``algo, env, seed, seconds``.
    :return: A row for each algorithm, a column for each environment: the median, the shortest and the longest run.
    """
    cells = {
        pair: f"{number(own.median())} {_in_brackets(own.min(), own.max())}"
        for pair, own in found.groupby(["algo", "env"], sort=False)["seconds"]
    }
    envs = list(found["env"].unique())
    rows = [[escape(algo), *(cells.get((algo, env), "") for env in envs)] for algo in found["algo"].unique()]
    return table("l" + "r" * len(envs), ["Algorithm", *map(escape, envs)], rows)


def seconds_of_each_run(found: pd.DataFrame) -> str:
    """
    :param found: ``algo, env, seed, seconds``.
    :return: A row for each algorithm and environment, with the seconds of every seed.
    """
    rows = [
        (escape(algo), escape(env), ", ".join(f"{run.seed}: {number(run.seconds)}" for run in own.itertuples()))
        for (algo, env), own in found.groupby(["algo", "env"], sort=False)
    ]
    return table("lll", ["Algorithm", "Environment", "Seed: seconds"], rows)


def versions(found: Mapping[str, str]) -> str:
    """
    :param found: ``{package: version}``.
    :return: Both.
    """
    return table("ll", ["Package", "Version"], [(escape(package), escape(version)) for package, version in found.items()])


def hyperparameters(by_env: Mapping[str, Mapping[str, Any]]) -> str:
    """
    :param by_env: ``{env: {name: value}}`` of one algorithm.
    :return: A row for each name, a column for each environment; nothing if there are none.
    """
    names = list(dict.fromkeys(name for values in by_env.values() for name in values))
    rows = [[escape(name), *(escape(values.get(name, "")) for values in by_env.values())] for name in names]
    return table("l" * (1 + len(by_env)), ["Name", *map(escape, by_env)], rows) if rows else ""
