"""Who is better, in words: sentences in Markdown about one environment, or all."""

import numpy as np
import pandas as pd

from sb3_reinforce.compare.section import Section
from sb3_reinforce.compare.statistics import Statistics
from sb3_reinforce.compare.text import interval, join, number


def leaders_of(section: Section) -> list[str]:
    """
    :param section: An environment, or all.
    :return: The algorithm with the highest interquartile mean of final scores, or those that share it.
    """
    return list(section.final["algo"][section.final["iqm"] == section.final["iqm"].iloc[0]])


def leader_in_words(section: Section, statistics: Statistics) -> str:
    """
    :param section: An environment, or all.
    :param statistics: What it is of.
    :return: Who has the highest score, and whether that means anything.
    """
    best, leaders = section.final.iloc[0], leaders_of(section)
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
    verdicts = {algo: joint_verdict(section, leaders, algo) for algo in section.final["algo"] if algo not in leaders}
    for verdict, beginning in words.items():
        others = [algo for algo, which in verdicts.items() if which == verdict]
        if others:
            sentences.append(f"{beginning} {join(others)}.")
    unequal = [algo for algo in verdicts if not all(statistics.same_steps(section, algo, leader) for leader in leaders)]
    if unequal:
        sentences.append(f"But {join(unequal)} did not train for the same number of steps.")
    return " ".join(sentences)


def joint_verdict(section: Section, leaders: list[str], other: str) -> str:
    """
    :param section: An environment, or all.
    :param leaders: The algorithms with the highest score.
    :param other: Another one.
    :return: The verdict on the leaders against the other; "not told apart" if they differ in it.
    """
    pairs = section.improvements
    verdicts = set(pairs["verdict"][pairs["algo"].isin(leaders) & (pairs["other"] == other)])
    if len(verdicts) == 1:
        return str(verdicts.pop())
    return "too few seeds" if "too few seeds" in verdicts else "not told apart"


def pairs_in_words(pairs: pd.DataFrame) -> str:
    """
    :param pairs: A section's ``improvements``.
    :return: How many pairs the data tell apart, and which they do not; nothing if there are none.
    """
    if pairs.empty:
        return ""
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
