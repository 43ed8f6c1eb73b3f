"""The text of a report, in Markdown."""

import textwrap
from typing import Any

import numpy as np
import pandas as pd

from sb3_reinforce.compare.cautions import cautions
from sb3_reinforce.compare.intervals import CONFIDENCE, N_RESAMPLES
from sb3_reinforce.compare.pictures import CURVES, FINAL, IMPROVEMENTS, PROFILES, TIMES, image
from sb3_reinforce.compare.section import ALL_ENVIRONMENTS, MIN_SEEDS, Section
from sb3_reinforce.compare.statistics import Statistics
from sb3_reinforce.compare.text import escape, interval, join, number, plural, probability, steps, table


def report_markdown(results: pd.DataFrame, statistics: Statistics, details: dict[str, Any]) -> str:
    """
    :param results: The table of evaluations.
    :param statistics: What was computed from it.
    :param details: As ``write_report`` takes them.
    :return: The report.
    """
    blocks = [
        *_opening(results, statistics),
        *cautions(statistics, details),
        *(block for i, section in enumerate(statistics.sections) for block in _section(i, section, statistics)),
        *_method(statistics),
        *_failures(details["failures"]),
        *_settings(details),
    ]
    return "\n\n".join(blocks) + "\n"


def _opening(results: pd.DataFrame, statistics: Statistics) -> list[str]:
    if not statistics.sections:
        return ["# Comparison of algorithms", "There is nothing to compare: no run has finished with finite scores."]
    n_algos, n_envs = results["algo"].nunique(), results["env"].nunique()
    n_runs = len(results[["algo", "env", "seed"]].drop_duplicates())
    episodes = sorted(results["n_episodes"].unique()) if "n_episodes" in results else []
    score = "the mean return of the episodes of an evaluation"
    if len(episodes) == 1:
        score = f"the mean return of {plural(int(episodes[0]), 'episode')}, played on separate environments"
    return [
        f"# Comparison of {plural(n_algos, 'algorithm')} in {plural(n_envs, 'environment')}",
        f"{plural(n_runs, 'run')} finished. A score is {score}. Intervals are {CONFIDENCE:.0%} bootstrap intervals over "
        "seeds. The end of this report says how each number is made and what it was made from.",
        "## In short",
        "\n".join(
            f"- **{escape(section.title)}.** {' '.join(_leader(section, statistics))}" for section in statistics.sections
        ),
    ]


def _leader(section: Section, statistics: Statistics) -> list[str]:
    """Who has the highest score, and whether that means anything."""
    best = section.final.iloc[0]
    leaders = list(section.final["algo"][section.final["iqm"] == best["iqm"]])
    one = len(leaders) == 1
    has = (
        "has an interquartile mean of"
        if len(section.final) == 1
        else f"{'has' if one else 'share'} the highest interquartile mean,"
    )
    sentence = f"{join(leaders)} {has} {number(best['iqm'])}"
    if one:
        no_interval = np.isnan(best["low"])
        sentence += " (one seed, so no interval)" if no_interval else f" (interval {interval(best['low'], best['high'])})"
    sentences = [f"{sentence}."]
    words = {
        "better": f"{'It is' if one else 'They are'} better than",
        "not told apart": f"The data do not tell {'it' if one else 'them'} apart from",
        "worse": f"Yet {'its' if one else 'their'} runs more often score lower than higher against",
        "too few seeds": f"There are too few seeds to tell {'it' if one else 'them'} apart from",
    }
    verdicts = {algo: _joint_verdict(section, leaders, algo) for algo in section.final["algo"] if algo not in leaders}
    for verdict, beginning in words.items():
        others = [algo for algo, which in verdicts.items() if which == verdict]
        if others:
            sentences.append(f"{beginning} {join(others)}.")
    unequal = [algo for algo in verdicts if not all(statistics.same_steps(section, algo, leader) for leader in leaders)]
    if unequal:
        sentences.append(f"But {join(unequal)} did not train for the same number of steps.")
    return sentences


def _joint_verdict(section: Section, leaders: list[str], other: str) -> str:
    pairs = section.improvements
    verdicts = set(pairs["verdict"][pairs["algo"].isin(leaders) & (pairs["other"] == other)])
    if len(verdicts) == 1:
        return str(verdicts.pop())
    return "too few seeds" if "too few seeds" in verdicts else "not told apart"


def _section(index: int, section: Section, statistics: Statistics) -> list[str]:
    blocks = [f"## {escape(section.title)}"]
    if section.title == ALL_ENVIRONMENTS:
        blocks += _ranges(statistics.ranges)
    elif section.threshold is not None:
        blocks.append(f"Counts as solved at a score of {number(section.threshold)}.")
    blocks += [image(index, section, CURVES), image(index, section, FINAL), _final_table(section)]
    if not section.improvements.empty:
        blocks += [image(index, section, IMPROVEMENTS), _pairs_sentence(section.improvements)]
        blocks.append(_improvements_table(section, statistics))
    blocks.append(image(index, section, PROFILES))
    if section.times is not None:
        blocks += [image(index, section, TIMES), _times_table(section.times)]
    return blocks


def _ranges(ranges: pd.DataFrame) -> list[str]:
    rows = [(escape(row.env), number(row.zero), number(row.one), row.one_is) for row in ranges.itertuples()]
    return [
        "Scores of different environments are put together after each environment's were set to a common scale. 0 is the "
        "lowest point of its learning curves below, which is about what an agent scores that has learned nothing. 1 is its "
        "threshold or, where it has none, the highest point of the curves. So these numbers depend on what was compared and "
        "mean nothing outside of this report.",
        table("lrrl", ["Environment", "0 is", "1 is", "1 is the"], rows),
    ]


def _final_table(section: Section) -> str:
    final = section.final.itertuples()
    rows = [(escape(row.algo), number(row.iqm), interval(row.low, row.high), str(row.n_seeds)) for row in final]
    return table("lrrr", ["Algorithm", "IQM", f"{CONFIDENCE:.0%} interval", "Seeds"], rows)


def _pairs_sentence(pairs: pd.DataFrame) -> str:
    if len(pairs) == 1:
        beginning = {"not told apart": "The data do not", "too few seeds": "There are too few seeds to"}
        return f"{beginning.get(pairs['verdict'].iloc[0], 'The data')} tell the two apart."
    counts = pairs["verdict"].value_counts()
    sentences = [
        f"Of {len(pairs)} pairs of algorithms, the data tell {counts.get('better', 0) + counts.get('worse', 0)} apart."
    ]
    undecided = pairs[pairs["verdict"] == "not told apart"]
    if not undecided.empty:
        names = [join([pair.algo, pair.other]) for pair in undecided.itertuples()]
        sentences.append(f"They do not tell apart {'; '.join(names)}.")
    if "too few seeds" in counts:
        sentences.append(f"For {counts['too few seeds']} there are too few seeds.")
    return " ".join(sentences)


def _improvements_table(section: Section, statistics: Statistics) -> str:
    rows = []
    for pair in section.improvements.itertuples():
        names = f"{escape(pair.algo)} over {escape(pair.other)}"
        unequal = "" if statistics.same_steps(section, pair.algo, pair.other) else ", unequal steps"
        rows.append((names, pair.verdict + unequal, probability(pair.probability), interval(pair.low, pair.high, probability)))
    return table("llrr", ["Pair", "Verdict", "Probability", f"{CONFIDENCE:.0%} interval"], rows)


def _times_table(times: pd.DataFrame) -> str:
    rows = []
    for row in times.itertuples():
        between = "not reached" if np.isinf(row.low) else interval(row.low, row.high, steps)
        rows.append((escape(row.algo), steps(row.median), between, f"{row.n_reached} of {row.n_seeds}"))
    return table("lrrr", ["Algorithm", "Median steps", f"{CONFIDENCE:.0%} interval", "Reached"], rows)


def _method(statistics: Statistics) -> list[str]:
    if not statistics.sections:
        return []
    n_pairs = max(len(section.improvements) for section in statistics.sections)
    items = [
        "**Interquartile mean (IQM):** the mean of the middle half of the runs. The best and the worst quarter are dropped, "
        "so one lucky or broken run does not move it.",
        f"**Intervals:** seeds are drawn anew, with replacement, {N_RESAMPLES:,} times (stratified bootstrap, "
        f"always from the same random numbers), and the interval holds the middle {CONFIDENCE:.0%} of what comes out. Those "
        "of a curve hold at each step by itself.",
        "**Told apart:** two algorithms are told apart if the interval of their probability of improvement lies on one side "
        f"of 0.5 and both have {MIN_SEEDS} seeds or more. Two equal algorithms are told apart by chance about once in 20 "
        f"pairs, with {MIN_SEEDS} seeds about once in 10"
        + (f"; there are {n_pairs} pairs here, so expect to see it happen." if n_pairs >= 10 else "."),
        "**Final score:** the score at a run's last evaluation.",
        "**Time to threshold:** counted at evaluations, so it is never shorter than the time between two of them, and a "
        "lucky evaluation counts. A run that never gets there counts as longer than all that do, so the median is reached "
        "only if more than half of the runs reach the threshold.",
        "**Source:** Agarwal et al. (2021), *Deep reinforcement learning at the edge of the statistical precipice*.",
    ]
    return ["## How the numbers are made", "\n".join(f"- {item}" for item in items)]


def _failures(failures: list[dict[str, Any]]) -> list[str]:
    if not failures:
        return []
    alike: dict[tuple[str, str, str], list[int]] = {}
    for failure in failures:
        alike.setdefault((failure["algo"], failure["env"], failure["error"]), []).append(failure["seed"])
    items = [
        f"- **{escape(algo)} in {escape(env)}, seed{'s' * (len(seeds) > 1)} {join(seeds)}:** {escape(error)}"
        for (algo, env, error), seeds in alike.items()
    ]
    return ["## Runs that failed", "\n".join(items)]


def _settings(details: dict[str, Any]) -> list[str]:
    blocks = ["## What was run", "The command:", textwrap.indent(details["command"], "    "), "### Versions"]
    blocks.append(table("ll", ["Package", "Version"], [(escape(k), escape(v)) for k, v in details["versions"].items()]))
    for algo, by_env in details["hyperparameters"].items():
        names = list(dict.fromkeys(name for values in by_env.values() for name in values))
        rows = [[escape(name), *(escape(values.get(name, "")) for values in by_env.values())] for name in names]
        blocks.append(f"### Hyperparameters of {escape(algo)}")
        blocks.append(table("l" * (1 + len(by_env)), ["Name", *map(escape, by_env)], rows) if rows else "The defaults.")
    return [*blocks, "All evaluations are in `results.csv`, in the folder of this report."]
