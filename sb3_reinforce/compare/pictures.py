"""Which figures a report has: how each is drawn, what it is called, and where its file is."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from matplotlib.figure import Figure

from sb3_reinforce.compare import figures
from sb3_reinforce.compare.figures import Style
from sb3_reinforce.compare.section import Section


@dataclass(frozen=True)
class Plot:
    """A kind of figure."""

    name: str
    """As it stands in the name of the file."""
    draw: Callable[[Section, dict[str, Style]], Figure]
    """From a section, and how each algorithm is drawn."""


CURVES = Plot(
    "learning-curves",
    figures.plot_learning_curves,
)
FINAL = Plot(
    "final-scores",
    figures.plot_final_scores,
)
IMPROVEMENTS = Plot(
    "probability-of-improvement",
    figures.plot_improvements,
)
PROFILES = Plot(
    "performance-profile",
    figures.plot_profiles,
)
TIMES = Plot(
    "time-to-threshold",
    figures.plot_times,
)


def plots_of(section: Section) -> list[Plot]:
    """
    :param section: An environment, or all.
    :return: The kinds of figures that it has, in an order in which two beside each other are about equally high.
    """
    rows = [FINAL] + [TIMES] * (section.times is not None)
    return [CURVES, PROFILES, *rows] + [IMPROVEMENTS] * (not section.improvements.empty)


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


def alternative_text(section: Section, plot: Plot) -> str:
    """
    :param section: An environment, or all.
    :param plot: The kind of figure.
    :return: What a reader is told who does not see it.
    """
    return f"{section.title}: {plot.name.replace('-', ' ')}"
