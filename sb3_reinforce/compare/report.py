"""
The report of a comparison: ``report.md``, the same as ``report.html``, and the figures.

It is written once, in Markdown; the page is made from that, with the figures inside.
"""

import base64
import html
import pathlib
import re
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sb3_reinforce.common.saving import write_atomically
from sb3_reinforce.compare import figures
from sb3_reinforce.compare.figures import Style, number
from sb3_reinforce.compare.statistics import (
    ALL_ENVIRONMENTS,
    CONFIDENCE,
    MIN_SEEDS,
    N_RESAMPLES,
    Section,
    Statistics,
    compute_statistics,
)

try:
    import markdown
except ImportError as error:
    raise ImportError('The report needs Markdown. Install it with: pip install "sb3-reinforce[compare]"') from error

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DETAILS = ("command", "versions", "hyperparameters", "failures")

_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
:root {{ color-scheme: light; }}
body {{ max-width: 44rem; margin: 0 auto; padding: 1rem 1rem 4rem; font: 1rem/1.55 system-ui, -apple-system, "Segoe UI",
  Roboto, "Liberation Sans", Arial, sans-serif; color: #1b1b1b; background: #fff; overflow-wrap: break-word; }}
h1, h2, h3 {{ line-height: 1.2; overflow-wrap: anywhere; }}
h2 {{ margin-top: 2.5em; padding-top: .6em; border-top: 2px solid #1b1b1b; }}
h3 {{ margin-top: 2em; }}
img {{ display: block; width: 100%; max-width: 36rem; height: auto; margin: .5rem auto; }}
img + em, em.caption {{ display: block; }}
p > em {{ color: #444; }}
blockquote {{ margin: 1rem 0; padding: .1rem 1rem; border-left: 5px solid #d55e00; background: #fdf3ec; }}
.table {{ overflow-x: auto; margin: 1rem 0; }}
table {{ border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }}
th, td {{ padding: .35em .7em; border-bottom: 1px solid #d5d5d5; text-align: left; vertical-align: top; }}
th {{ border-bottom: 2px solid #888; }}
td:first-child {{ min-width: 6rem; overflow-wrap: anywhere; }}
@media (min-width: 36rem) {{
  td[style*="right"] {{ white-space: nowrap; }}
}}
@media (max-width: 36rem) {{
  table {{ font-size: .8rem; }}
  th, td {{ padding: .35em .4em; }}
  ul {{ padding-left: 1.2rem; }}
}}
pre {{ padding: .8rem; background: #f4f4f4; white-space: pre-wrap; overflow-wrap: anywhere; font-size: .85rem; }}
@page {{ margin: 16mm; }}
@media print {{
  body {{ max-width: none; padding: 0; font-size: 10pt; }}
  h2, h3 {{ break-after: avoid; }}
  h2 ~ h2 {{ break-before: page; }}
  p, tr, blockquote {{ break-inside: avoid; }}
  img {{ max-width: 11.5cm; }}
  table {{ font-size: 8.5pt; }}
  .table {{ overflow: visible; }}
}}
</style>
</head>
<body>
{body}
</body>
</html>
"""


@dataclass(frozen=True)
class _Plot:
    name: str
    draw: Callable[[Section, dict[str, Style]], "Figure"]
    caption: str


_CURVES = _Plot(
    "learning-curves",
    figures.plot_learning_curves,
    "Learning curves: the interquartile mean over seeds at each evaluation. A curve that rises earlier needs fewer steps. "
    f"The band is the {CONFIDENCE:.0%} interval: where bands overlap, the difference may be chance.",
)
_FINAL = _Plot(
    "final-scores",
    figures.plot_final_scores,
    "Final scores: the score at the last evaluation. Each pale dot is a run, the large mark is the interquartile mean, and "
    f"the bar its {CONFIDENCE:.0%} interval.",
)
_IMPROVEMENTS = _Plot(
    "probability-of-improvement",
    figures.plot_improvements,
    "Probability of improvement: how often a run of the row's algorithm scores higher at the end than a run of the column's. "
    "1 is always, 0 never, 0.5 a draw. Grey: the data do not tell the two apart.",
)
_PROFILES = _Plot(
    "performance-profile",
    figures.plot_profiles,
    "Performance profile: the share of runs whose final score is at least the one on the axis. The higher line is the better "
    "algorithm; where lines cross, one has the better good runs and the other the better bad ones.",
)
_TIMES = _Plot(
    "time-to-threshold",
    figures.plot_times,
    "Time to threshold: the steps trained when an evaluation first met the threshold. Each pale dot is a run, the large mark "
    f"is the median, and the bar its {CONFIDENCE:.0%} interval. What is in the grey strip was not reached in training.",
)


def write_report(
    folder: pathlib.Path, results: pd.DataFrame, thresholds: dict[str, float | None], details: dict[str, Any]
) -> pathlib.Path:
    """
    Write ``report.md``, ``report.html`` and ``figures/*.png`` and ``*.svg``. The same input gives the same files. An old
    report is replaced file by file, each of them whole.

    :param folder: Where to write; made if it is missing.
    :param results: One row an evaluation: ``algo, env, seed, timesteps, mean_reward``, and ``n_episodes`` if it is known.
    :param thresholds: For each environment the score at which it counts as solved, or None.
    :param details: ``command``, a string; ``versions``, ``{package: version}``; ``hyperparameters``,
        ``{algo: {env: {name: value}}}``; and ``failures``, a list of ``{"algo", "env", "seed", "error"}``.
    :return: The path of ``report.html``, which needs no other file.
    :raises ValueError: If results or details lack something, or an evaluation is there twice.
    :raises OSError: If a file can't be written.
    """
    missing = [key for key in DETAILS if key not in details]
    if missing:
        raise ValueError(f"details needs {', '.join(DETAILS)}, but {', '.join(missing)} is missing.")
    statistics = compute_statistics(results, thresholds)
    styles = figures.algorithm_styles([str(algo) for algo in results["algo"].unique()])
    sources = {}
    for i, section in enumerate(statistics.sections):
        for plot in _plots(section):
            figure, path = plot.draw(section, styles), _figure_path(i, section, plot)
            image = figures.render(figure, "svg")
            write_atomically(folder / path, figures.render(figure, "png"))
            write_atomically((folder / path).with_suffix(".svg"), image)
            sources[path] = "data:image/svg+xml;base64," + base64.b64encode(image).decode()
    text = report_markdown(results, statistics, details)
    write_atomically(folder / "report.md", text.encode())
    write_atomically(folder / "report.html", to_html(text, sources).encode())
    return folder / "report.html"


def to_html(text: str, sources: dict[str, str]) -> str:
    """
    :param text: A report in Markdown.
    :param sources: For each image in it, what to put in the place of its path.
    :return: A page that needs no other file and runs no script.
    """
    body = markdown.markdown(text, extensions=["tables", "sane_lists"], output_format="html")
    for path, source in sources.items():
        body = body.replace(f'src="{path}"', f'src="{source}"')
    body = re.sub("<td.*?</td>", lambda cell: cell[0].replace("_", "_<wbr>"), body)  # where a long name may be broken
    # A wide table scrolls by itself, so that the page does not
    body = body.replace("<table>", '<div class="table" tabindex="0"><table>').replace("</table>", "</table></div>")
    return _PAGE.format(title=html.escape(text.partition("\n")[0].lstrip("# ")), body=body)


def report_markdown(results: pd.DataFrame, statistics: Statistics, details: dict[str, Any]) -> str:
    """
    :param results: The table of evaluations.
    :param statistics: What was computed from it.
    :param details: As in :func:`write_report`.
    :return: The report.
    """
    blocks = [
        *_opening(results, statistics),
        *_warnings(statistics, details["failures"]),
        *(block for i, section in enumerate(statistics.sections) for block in _section(i, section, statistics)),
        *_method(statistics),
        *_failures(details["failures"]),
        *_settings(details),
    ]
    return "\n\n".join(blocks) + "\n"


def escape(value: object) -> str:
    """
    :param value: Anything that came from outside, a name or a message.
    :return: Its text on one line, with nothing in it that Markdown or HTML would take for markup.
    """
    text = html.escape(" ".join(str(value).split()), quote=False)
    # An underscore inside a word is no markup, and names have many
    return re.sub(r"[\\`*\[\]|]|(?<![^\W_])_|_(?![^\W_])", r"\\\g<0>", text).replace("~", "&#126;")


def table(alignment: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """
    :param alignment: For each column "l" for left or "r" for right, as numbers are set.
    :param header: Names of the columns.
    :param rows: Cells, escaped where they need to be.
    :return: A table in Markdown.
    """
    rule = ["---:" if side == "r" else "---" for side in alignment]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, rule, *rows))


def interval(low: float, high: float, form: Callable[[float], str] = number) -> str:
    """
    :param low: Its lower end, NaN if there is none.
    :param high: Its upper end.
    :param form: How to write a number.
    :return: The interval in words, or that there is none.
    """
    return "one seed" if np.isnan(low) else f"{form(low)} to {form(high)}"


def probability(value: float) -> str:
    """
    :param value: A probability.
    :return: It with two decimals.
    """
    return f"{value:.2f}"


def steps(value: float) -> str:
    """
    :param value: A number of timesteps, infinite if that is more than were trained.
    :return: It in words.
    """
    return f"{value:,.0f}" if np.isfinite(value) else "not reached"


def _join(names: Sequence[object]) -> str:
    *others, last = map(escape, names)
    return f"{', '.join(others)} and {last}" if others else last


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _opening(results: pd.DataFrame, statistics: Statistics) -> list[str]:
    if not statistics.sections:
        return ["# Comparison of algorithms", "There is nothing to compare: no run has finished with finite scores."]
    n_algos, n_envs = results["algo"].nunique(), results["env"].nunique()
    n_runs = len(results[["algo", "env", "seed"]].drop_duplicates())
    episodes = sorted(results["n_episodes"].unique()) if "n_episodes" in results else []
    score = "the mean return of the episodes of an evaluation"
    if len(episodes) == 1:
        score = f"the mean return of {_plural(int(episodes[0]), 'episode')}, played on separate environments"
    return [
        f"# Comparison of {_plural(n_algos, 'algorithm')} in {_plural(n_envs, 'environment')}",
        f"{_plural(n_runs, 'run')} finished. A score is {score}. Intervals are {CONFIDENCE:.0%} bootstrap intervals over "
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
    sentence = f"{_join(leaders)} {has} {number(best['iqm'])}"
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
            sentences.append(f"{beginning} {_join(others)}.")
    unequal = [algo for algo in verdicts if not all(statistics.same_steps(section, algo, leader) for leader in leaders)]
    if unequal:
        sentences.append(f"But {_join(unequal)} did not train for the same number of steps.")
    return sentences


def _joint_verdict(section: Section, leaders: list[str], other: str) -> str:
    pairs = section.improvements
    verdicts = set(pairs["verdict"][pairs["algo"].isin(leaders) & (pairs["other"] == other)])
    if len(verdicts) == 1:
        return str(verdicts.pop())
    return "too few seeds" if "too few seeds" in verdicts else "not told apart"


def _warnings(statistics: Statistics, failures: list[dict[str, Any]]) -> list[str]:
    warnings = [
        *_failures_warning(failures),
        *_not_finite_warning(statistics.not_finite),
        *_seeds_warnings(statistics.n_seeds),
        *_shorter_warning(statistics.shorter),
        *_left_out_warning(statistics),
    ]
    return ["\n>\n".join(f"> {warning}" for warning in warnings)] if warnings else []


def _failures_warning(failures: list[dict[str, Any]]) -> list[str]:
    if not failures:
        return []
    return [f"**{_plural(len(failures), 'run')} failed** and can't be in any number. They are listed further down."]


def _not_finite_warning(not_finite: pd.DataFrame) -> list[str]:
    if not_finite.empty:
        return []
    runs = [f"{escape(run.algo)} in {escape(run.env)}, seed {escape(run.seed)}" for run in not_finite.itertuples()]
    return [f"**Scores that are not finite.** Left out of every number: {'; '.join(runs)}."]


def _seeds_warnings(n_seeds: pd.DataFrame) -> list[str]:
    warnings = []
    few = n_seeds[n_seeds["n_seeds"] < MIN_SEEDS]
    fewer = n_seeds[(n_seeds["n_seeds"] < n_seeds["n_seeds"].max()) & (n_seeds["n_seeds"] >= MIN_SEEDS)]
    if not few.empty:
        all_the_same = len(few) == len(n_seeds) and few["n_seeds"].nunique() == 1
        who = f"{few['n_seeds'].iloc[0]} for every algorithm and environment" if all_the_same else _counts(few)
        warnings.append(
            f"**Too few seeds:** {who}. Below {MIN_SEEDS} seeds intervals are much too narrow, so no two algorithms are "
            "told apart; with one seed there is no interval at all. Below four the interquartile mean is just the mean."
        )
    if not fewer.empty:
        warnings.append(f"**Not all have {n_seeds['n_seeds'].max()} seeds:** {_counts(fewer)}.")
    return warnings


def _counts(n_seeds: pd.DataFrame) -> str:
    groups = n_seeds.groupby(["n_seeds", "algo"], sort=False)["env"]
    return "; ".join(f"{n or 'none'} for {escape(algo)} in {_join(list(envs))}" for (n, algo), envs in groups)


def _shorter_warning(shorter: pd.DataFrame) -> list[str]:
    if shorter.empty:
        return []
    groups = [
        f"{_plural(row.n_runs, 'run')} of {escape(row.algo)} in {escape(row.env)} "
        f"(the shortest for {row.shortest:,} of {row.longest:,} timesteps)"
        for row in shorter.itertuples()
    ]
    return [
        f"**Trained for fewer steps than others:** {'; '.join(groups)}. The last score of each counts as its final score, so "
        "verdicts between them and others are marked: unequal steps."
    ]


def _left_out_warning(statistics: Statistics) -> list[str]:
    if not statistics.left_out:
        return []
    if statistics.sections[0].title != ALL_ENVIRONMENTS:
        return ["**No numbers for all environments together:** no algorithm has a seed in every one of them."]
    who = "; ".join(f"of {escape(algo)} {_join(seeds)}" for algo, seeds in statistics.left_out.items())
    return [
        f"**Left out of the numbers for all environments,** which need a seed in every one of them: seeds {who}. "
        "They are in the numbers for each environment."
    ]


def _section(index: int, section: Section, statistics: Statistics) -> list[str]:
    blocks = [f"## {escape(section.title)}"]
    if section.title == ALL_ENVIRONMENTS:
        blocks += _ranges(statistics.ranges)
    elif section.threshold is not None:
        blocks.append(f"Counts as solved at a score of {number(section.threshold)}.")
    images = {plot.name: _image(index, section, plot) for plot in _plots(section)}
    blocks += [images[_CURVES.name], images[_FINAL.name], _final_table(section)]
    if not section.improvements.empty:
        blocks += [images[_IMPROVEMENTS.name], _pairs_sentence(section.improvements), _improvements_table(section, statistics)]
    blocks.append(images[_PROFILES.name])
    if section.times is not None:
        blocks += [images[_TIMES.name], _times_table(section.times)]
    return blocks


def _plots(section: Section) -> list[_Plot]:
    plots = [_CURVES, _FINAL, _PROFILES]
    return plots + [_IMPROVEMENTS] * (not section.improvements.empty) + [_TIMES] * (section.times is not None)


def _figure_path(index: int, section: Section, plot: _Plot) -> str:
    """The number keeps two environments apart whose names differ in what a file's name can't have."""
    env = re.sub("[^A-Za-z0-9.]+", "-", section.title)[:60].strip("-").lower()
    return f"figures/{index:02}-{env}-{plot.name}.png"


def _image(index: int, section: Section, plot: _Plot) -> str:
    alt = f"{section.title}: {plot.name.replace('-', ' ')}"
    return f"![{escape(alt)}]({_figure_path(index, section, plot)})\n*{plot.caption}*"


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
        names = [_join([pair.algo, pair.other]) for pair in undecided.itertuples()]
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
        f"**Intervals:** seeds are drawn anew, with replacement, {N_RESAMPLES:,} times (stratified bootstrap of rliable, "
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
        f"- **{escape(algo)} in {escape(env)}, seed{'s' * (len(seeds) > 1)} {_join(seeds)}:** {escape(error)}"
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
