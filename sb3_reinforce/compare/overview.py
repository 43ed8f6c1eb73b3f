"""The results of a comparison on one screen: who scores what at the end, in each environment."""

import textwrap

import pandas as pd

from sb3_reinforce.compare.evaluation_table import score_table, split_off_not_finite
from sb3_reinforce.compare.intervals import CONFIDENCE
from sb3_reinforce.compare.section import final_scores, learning_curves
from sb3_reinforce.compare.text import interval, number

_WIDTH = 80
_HEADER = ("score", f"{CONFIDENCE:.0%} interval", "seeds")


def results_table(results: pd.DataFrame) -> str:
    """
    The final scores as plain text for a terminal of 80 columns. The numbers are those of the report.

    :param results: One row an evaluation, as ``Comparison.results``.
    :return: For each environment a line for each algorithm, the highest interquartile mean first: that mean over seeds, its
        interval, and the number of seeds. Runs with a score that is not finite are left out, as in the report.
    """
    finite, _ = split_off_not_finite(results)
    if finite.empty:
        return "No run has finished with finite scores."
    blocks = {str(env): _rows(runs) for env, runs in finite.groupby("env", sort=False)}
    columns = zip(_HEADER, *(row[1:] for rows in blocks.values() for row in rows), strict=True)
    widths = [max(map(len, column)) for column in columns]
    room = _WIDTH - sum(widths) - 2 * len(widths) - 2
    name_width = min(room, max(len(row[0]) for rows in blocks.values() for row in rows))
    lines = ["Final scores: the interquartile mean over seeds, the highest first"]
    for env, rows in blocks.items():
        lines += ["", *textwrap.wrap(env, _WIDTH), _line("", _HEADER, name_width, widths)]
        lines += [_line(row[0], row[1:], name_width, widths) for row in rows]
    return "\n".join(lines)


def _rows(runs: pd.DataFrame) -> list[tuple[str, str, str, str]]:
    tables = {str(algo): score_table(own) for algo, own in runs.groupby("algo", sort=False)}
    final = {algo: table.iloc[-1].to_numpy(float) for algo, table in tables.items()}
    steps = {algo: table.index.to_numpy()[-1:] for algo, table in tables.items()}
    last = learning_curves(steps, {algo: scores[:, None, None] for algo, scores in final.items()})
    rows = final_scores(last, final).itertuples()
    return [(row.algo, number(row.iqm), interval(row.low, row.high), str(row.n_seeds)) for row in rows]


def _line(name: str, cells: tuple[str, ...], name_width: int, widths: list[int]) -> str:
    short = name if len(name) <= name_width else f"{name[: name_width - 3]}..."
    numbers = "  ".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
    return f"  {short:<{name_width}}  {numbers}".rstrip()
