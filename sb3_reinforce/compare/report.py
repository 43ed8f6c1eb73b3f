"""
The report of a comparison: ``report.md``, the same as ``report.html``, and the figures.

It is written once, in Markdown, from a template; the page is made from that, with the figures inside.
"""

import base64
import pathlib
from typing import Any

import pandas as pd

from sb3_reinforce.common.saving import write_atomically
from sb3_reinforce.compare import figures
from sb3_reinforce.compare.page import to_html
from sb3_reinforce.compare.pictures import path_of, plots_of
from sb3_reinforce.compare.report_text import report_markdown
from sb3_reinforce.compare.statistics import compute_statistics

DETAILS = ("command", "versions", "hyperparameters", "failures")


def write_report(
    folder: pathlib.Path, results: pd.DataFrame, thresholds: dict[str, float | None], details: dict[str, Any]
) -> pathlib.Path:
    """
    Write ``report.md``, ``report.html`` and ``figures/*.png`` and ``*.svg``. The same input gives the same files. An old
    report is replaced file by file, each of them whole.

    :param folder: Where to write; made if it is missing.
    :param results: One row an evaluation: ``algo, env, seed, timesteps, mean_reward``, and, if they are known,
        ``n_episodes`` and ``n_cut_off``.
    :param thresholds: For each environment the score at which it counts as solved, or None.
    :param details: ``command``, a string; ``versions``, ``{package: version}``; ``hyperparameters``,
        ``{algo: {env: {name: value}}}``; and ``failures``, a list of ``{"algo", "env", "seed", "error"}``. If there are
        episodes that were cut off, also ``max_episode_steps``, ``{env: timesteps}``. If
        hyperparameters were not tuned for the environment itself, ``stand_ins``, ``{algo: {env: name}}``: the name of another
        version of it, or "default". If it is known how long runs took, also ``times``, a table ``algo, env, seed, seconds``.
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
        for plot in plots_of(section):
            figure, path = plot.draw(section, styles), path_of(i, section, plot)
            image = figures.render(figure, "svg")
            write_atomically(folder / path, figures.render(figure, "png"))
            write_atomically((folder / path).with_suffix(".svg"), image)
            sources[path] = "data:image/svg+xml;base64," + base64.b64encode(image).decode()
    text = report_markdown(results, statistics, details)
    write_atomically(folder / "report.md", text.encode())
    write_atomically(folder / "report.html", to_html(text, sources).encode())
    return folder / "report.html"
