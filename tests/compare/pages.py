"""What reports are tested with."""

from html.parser import HTMLParser
from typing import Any

import pandas as pd

from sb3_reinforce.compare.report_text import report_markdown
from sb3_reinforce.compare.statistics import compute_statistics
from tests.compare.tables import evaluations

NASTY = "<script>alert('&amp;')</script> [a](b) `c` *d* _e_ ~~f~~ | \\ \"g\" a_b_c"
DETAILS: dict[str, Any] = {
    "command": "python -m sb3_reinforce compare --algos good bad",
    "versions": {"stable-baselines3": "2.9.2"},
    "hyperparameters": {
        "good": {"E-v0": {"gamma": 0.99}, "F-v0": {"gamma": 0.5, "policy_kwargs": f"dict({'x' * 80}=[64])"}},
        "bad": {"E-v0": {}, "F-v0": {}},
    },
    "failures": [],
    "times": pd.DataFrame(
        {"algo": ["good"] * 3 + ["bad"], "env": "E-v0", "seed": [1, 2, 3, 1], "seconds": [10.5, 20.25, 130.0, 7.0]}
    ),
}
THRESHOLDS: dict[str, float | None] = {"E-v0": 8.0, "F-v0": None}


class Page(HTMLParser):
    """The tags of a page, what is said in it, and the rows of its tables."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.rows: list[list[str]] = []
        self.in_cell = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self.in_cell = True

    def handle_endtag(self, tag: str) -> None:
        self.in_cell &= tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.in_cell:
            self.rows[-1][-1] += data


def short_report(results: pd.DataFrame, **details: Any) -> str:
    """The Markdown, without the figures."""
    computed = compute_statistics(results, {"E-v0": 8.0})
    return report_markdown(results, computed, {**DETAILS, **details})


def in_words(text: str, title: str) -> str:
    """A section of a report."""
    return text.partition(f"\n## {title}<a ")[2].partition("\n## ")[0]


def scored(env: str = "E-v0", **algos: list[float]) -> pd.DataFrame:
    """Two evaluations a run: 0 before training, and a score after 20 timesteps."""
    runs = [
        evaluations([0.0, score], algo, env, i, first=0, every=20)
        for algo, scores in algos.items()
        for i, score in enumerate(scores)
    ]
    return pd.concat(runs, ignore_index=True)
