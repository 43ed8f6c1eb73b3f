"""Which figures a report has: how each is drawn, what is written below it, and where its file is."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from matplotlib.figure import Figure

from sb3_reinforce.compare import figures
from sb3_reinforce.compare.figures import Style
from sb3_reinforce.compare.intervals import CONFIDENCE
from sb3_reinforce.compare.section import Section
from sb3_reinforce.compare.text import escape


@dataclass(frozen=True)
class Plot:
    """A kind of figure."""

    name: str
    """As it stands in the name of the file."""
    draw: Callable[[Section, dict[str, Style]], Figure]
    """From a section, and how each algorithm is drawn."""
    caption: str
    """What it shows, for a reader who has not seen one before."""


CURVES = Plot(
    "learning-curves",
    figures.plot_learning_curves,
    "Learning curves: the interquartile mean over seeds at each evaluation. A curve that rises earlier needs fewer steps. "
    f"The band is the {CONFIDENCE:.0%} interval: where bands overlap, the difference may be chance.",
)
FINAL = Plot(
    "final-scores",
    figures.plot_final_scores,
    "Final scores: the score at the last evaluation. Each pale dot is a run, the large mark is the interquartile mean, and "
    f"the bar its {CONFIDENCE:.0%} interval.",
)
IMPROVEMENTS = Plot(
    "probability-of-improvement",
    figures.plot_improvements,
    "Probability of improvement: how often a run of the row's algorithm scores higher at the end than a run of the column's. "
    "1 is always, 0 never, 0.5 a draw. Grey: the data do not tell the two apart.",
)
PROFILES = Plot(
    "performance-profile",
    figures.plot_profiles,
    "Performance profile: the share of runs whose final score is at least the one on the axis. The higher line is the better "
    "algorithm; where lines cross, one has the better good runs and the other the better bad ones.",
)
TIMES = Plot(
    "time-to-threshold",
    figures.plot_times,
    "Time to threshold: the steps trained when an evaluation first met the threshold. Each pale dot is a run, the large mark "
    f"is the median, and the bar its {CONFIDENCE:.0%} interval. What is in the grey strip was not reached in training.",
)


def plots_of(section: Section) -> list[Plot]:
    """
    :param section: An environment, or all.
    :return: The kinds of figures that it has.
    """
    plots = [CURVES, FINAL, PROFILES]
    return plots + [IMPROVEMENTS] * (not section.improvements.empty) + [TIMES] * (section.times is not None)


def path_of(index: int, section: Section, plot: Plot) -> str:
    """
    :param index: The number of the section. It keeps two environments apart whose names differ in what a file's name
        can't have.
    :param section: An environment, or all.
    :param plot: The kind of figure.
    :return: The file's path within the folder of the report.
    """
    env = re.sub("[^A-Za-z0-9.]+", "-", section.title)[:60].strip("-").lower()
    return f"figures/{index:02}-{env}-{plot.name}.png"


def image(index: int, section: Section, plot: Plot) -> str:
    """
    :param index: The number of the section.
    :param section: An environment, or all.
    :param plot: The kind of figure.
    :return: The figure and its caption in Markdown.
    """
    alt = f"{section.title}: {plot.name.replace('-', ' ')}"
    return f"![{escape(alt)}]({path_of(index, section, plot)})\n*{plot.caption}*"
