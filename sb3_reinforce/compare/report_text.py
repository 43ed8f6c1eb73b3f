"""The text of a report, in Markdown: what the template ``report.md.j2`` is filled with."""

import textwrap
from typing import Any

import numpy as np
import pandas as pd

from sb3_reinforce.compare import report_tables as tables
from sb3_reinforce.compare.cautions import cautions
from sb3_reinforce.compare.intervals import CONFIDENCE, N_RESAMPLES
from sb3_reinforce.compare.pictures import alternative_text, path_of, plots_of
from sb3_reinforce.compare.section import ALL_ENVIRONMENTS, MIN_SEEDS, Section
from sb3_reinforce.compare.statistics import Statistics
from sb3_reinforce.compare.template import render_template
from sb3_reinforce.compare.text import plural
from sb3_reinforce.compare.verdicts import leader_in_words, pairs_in_words


def report_markdown(results: pd.DataFrame, statistics: Statistics, details: dict[str, Any]) -> str:
    """
    :param results: The table of evaluations.
    :param statistics: What was computed from it.
    :param details: As ``write_report`` takes them.
    :return: The report.
    """
    sections = statistics.sections
    times = details.get("times")
    return render_template(
        "report.md.j2",
        title=_title(results, statistics),
        n_runs=plural(len(results[["algo", "env", "seed"]].drop_duplicates()), "run"),
        score=_score_in_words(results),
        confidence=f"{CONFIDENCE:.0%}",
        n_resamples=f"{N_RESAMPLES:,}",
        min_seeds=MIN_SEEDS,
        overview=tables.overview(statistics) if sections else "",
        cautions="\n\n".join(cautions(statistics, details)),
        sections=[_section(i, section, statistics) for i, section in enumerate(sections)],
        has_times=any(section.times is not None for section in sections),
        has_lowest_points="lowest point of the curves" in list(statistics.ranges["zero_is"]),
        n_pairs=max((len(section.improvements) for section in sections), default=0),
        seconds=_seconds(times) if times is not None and len(times) else None,
        failures=_alike(details["failures"]),
        command=textwrap.indent(details["command"], "    "),
        versions=tables.versions(details["versions"]),
        hyperparameters=[(algo, tables.hyperparameters(by_env)) for algo, by_env in details["hyperparameters"].items()],
    )


def _title(results: pd.DataFrame, statistics: Statistics) -> str:
    if not statistics.sections:
        return "Comparison of algorithms"
    n_algos, n_envs = results["algo"].nunique(), results["env"].nunique()
    return f"Comparison of {plural(n_algos, 'algorithm')} in {plural(n_envs, 'environment')}"


def _score_in_words(results: pd.DataFrame) -> str:
    n_episodes = results["n_episodes"].unique() if "n_episodes" in results else []
    if len(n_episodes) == 1:
        return f"the mean return of {plural(int(n_episodes[0]), 'episode')}, played on separate environments"
    return "the mean return of the episodes of an evaluation"


def _section(index: int, section: Section, statistics: Statistics) -> dict[str, Any]:
    is_all = section.title == ALL_ENVIRONMENTS
    figures = [{"alt": alternative_text(section, plot), "path": path_of(index, section, plot)} for plot in plots_of(section)]
    return {
        "title": section.title,
        "anchor": f"section-{index}",
        "is_all": is_all,
        "threshold": section.threshold,
        "verdict": leader_in_words(section, statistics),
        "figures": figures,
        "pairs_sentence": pairs_in_words(section.improvements),
        "ranges": tables.ranges(statistics.ranges) if is_all else "",
        "final": tables.final_scores(section),
        "pairs": "" if section.improvements.empty else tables.improvements(section, statistics),
        "times": "" if section.times is None else tables.times(section.times),
    }


def _seconds(times: pd.DataFrame) -> dict[str, str]:
    total = float(np.sum(times["seconds"]))
    hours = f"{total / 3600:,.1f} hours" if total >= 3600 else f"{total:,.0f} seconds"
    return {"summary": tables.seconds(times), "runs": tables.seconds_of_each_run(times), "total": hours}


def _alike(failures: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those that differ in nothing but the seed, as one."""
    seeds: dict[tuple[str, str, str], list[int]] = {}
    for failure in failures:
        seeds.setdefault((failure["algo"], failure["env"], failure["error"]), []).append(failure["seed"])
    return [{"algo": algo, "env": env, "error": error, "seeds": of} for (algo, env, error), of in seeds.items()]
