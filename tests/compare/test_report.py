import base64
import pathlib
import re
import shutil
import subprocess
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import markdown
import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sb3_reinforce.compare import report, statistics
from sb3_reinforce.compare.figures import number
from sb3_reinforce.compare.report import escape, interval, steps, table, write_report
from sb3_reinforce.compare.statistics import Section, Statistics, compute_statistics
from tests.compare.tables import comparison, evaluations

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"))), None
)
NASTY = "<script>alert('&amp;')</script> [a](b) `c` *d* _e_ ~~f~~ | \\ \"g\" a_b_c"
DETAILS: dict[str, Any] = {
    "command": "python -m sb3_reinforce compare --algos good bad",
    "versions": {"stable-baselines3": "2.9.2"},
    "hyperparameters": {
        "good": {"E-v0": {"gamma": 0.99}, "F-v0": {"gamma": 0.5, "policy_kwargs": f"dict({'x' * 80}=[64])"}},
        "bad": {"E-v0": {}, "F-v0": {}},
    },
    "failures": [],
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


@pytest.fixture(autouse=True, scope="module")
def _few_resamples() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statistics, "N_RESAMPLES", 50)
        yield


@pytest.fixture(scope="module")
def results() -> pd.DataFrame:
    return comparison(["good", "bad", "worst"], ["E-v0", "F-v0"])


@pytest.fixture(scope="module")
def folder(results: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A report of three algorithms in two environments."""
    folder = tmp_path_factory.mktemp("comparison")
    assert write_report(folder, results, THRESHOLDS, DETAILS) == folder / "report.html"
    return folder


@pytest.fixture(scope="module")
def computed(results: pd.DataFrame) -> Statistics:
    return compute_statistics(results, THRESHOLDS)


def short_report(results: pd.DataFrame, **details: Any) -> str:
    """The Markdown, without the figures."""
    computed = compute_statistics(results, {"E-v0": 8.0})
    return report.report_markdown(results, computed, {**DETAILS, **details})


def in_words(text: str, section: Section) -> str:
    """A section of a report."""
    return text.partition(f"\n## {section.title}\n")[2].partition("\n## ")[0]


# Files


def test_the_files(folder: pathlib.Path) -> None:
    names = ["learning-curves", "final-scores", "performance-profile", "probability-of-improvement"]
    figures = [f"{part}-{name}" for part in ("00-all-environments", "01-e-v0", "02-f-v0") for name in names]
    figures.append("01-e-v0-time-to-threshold")
    expected = {"report.md", "report.html"} | {f"figures/{name}.{suffix}" for name in figures for suffix in ("png", "svg")}
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == expected
    text = (folder / "report.md").read_text()
    assert sorted(re.findall(r"\]\(figures/(.*)\.png\)", text)) == sorted(figures)


def test_the_same_input_gives_the_same_files(tmp_path: pathlib.Path) -> None:
    for name in ("first", "second"):
        write_report(tmp_path / name, comparison(), {}, DETAILS)
    for path in (tmp_path / "first").rglob("*.*"):
        assert (tmp_path / "second" / path.relative_to(tmp_path / "first")).read_bytes() == path.read_bytes(), path


def test_every_file_is_written_atomically(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    written: list[pathlib.Path] = []
    monkeypatch.setattr(report.figures, "render", lambda figure, file_format: b"")
    monkeypatch.setattr(report, "write_atomically", lambda path, content: written.append(path))
    write_report(tmp_path, comparison(), {}, DETAILS)
    assert list(tmp_path.iterdir()) == []
    assert {path.name for path in written} >= {
        "report.md",
        "report.html",
        "00-e-v0-final-scores.svg",
        "00-e-v0-final-scores.png",
    }


def test_environments_whose_names_are_alike_have_figures_of_their_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    monkeypatch.setattr(report.figures, "render", lambda figure, file_format: b"")
    write_report(tmp_path, comparison(["a"], ["A/E-v0", "A E-v0", "../" + "x" * 300]), {}, DETAILS)
    assert len(list((tmp_path / "figures").glob("*.png"))) == 4 * 3


# Numbers


def test_every_number_is_in_the_report(folder: pathlib.Path, computed: Statistics) -> None:
    text = (folder / "report.md").read_text()
    rows = Page((folder / "report.html").read_text()).rows
    assert len(computed.sections) == 3
    for section in computed.sections:
        expected = [
            [row.algo, number(row.iqm), f"{number(row.low)} to {number(row.high)}", str(row.n_seeds)]
            for row in section.final.itertuples()
        ]
        expected += [
            [f"{row.algo} over {row.other}", row.verdict, f"{row.probability:.2f}", f"{row.low:.2f} to {row.high:.2f}"]
            for row in section.improvements.itertuples()
        ]
        if section.times is not None:
            expected += [
                [row.algo, steps(row.median), interval(row.low, row.high, steps), f"{row.n_reached} of {row.n_seeds}"]
                for row in section.times[np.isfinite(section.times["low"])].itertuples()
            ]
        for cells in expected:
            assert f"| {' | '.join(cells)} |" in in_words(text, section)
            assert cells in rows
    for row in computed.ranges.itertuples():
        assert f"| {row.env} | {number(row.zero)} | {number(row.one)} | {row.one_is} |" in text
    assert "| bad | not reached | not reached | 1 of 6 |" in text
    assert "| worst | not reached | not reached | 0 of 6 |" in text
    assert "Counts as solved at a score of 8.00." in text


def test_who_is_better_is_said(folder: pathlib.Path, computed: Statistics) -> None:
    text = (folder / "report.md").read_text()
    for section in computed.sections:
        best = section.final.iloc[0]
        between = f"{number(best.iqm)} (interval {number(best.low)} to {number(best.high)})"
        expected = f"**{section.title}.** good has the highest interquartile mean, {between}. It is better than bad and worst."
        assert expected in text
        assert "Of 3 pairs of algorithms, the data tell 3 apart." in in_words(text, section)


def scored(**algos: list[float]) -> pd.DataFrame:
    """Two evaluations a run: 0, and a score."""
    runs = [evaluations([0.0, score], algo, seed=i) for algo, scores in algos.items() for i, score in enumerate(scores)]
    return pd.concat(runs, ignore_index=True)


HIGH, LOW = [10.0, 11.0, 12.0, 13.0, 14.0], [1.0, 2.0, 3.0, 4.0, 5.0]


@pytest.mark.parametrize(
    ("algos", "sentences"),
    [
        ({"a": HIGH}, ["a has an interquartile mean of 12.00 (interval"]),
        (
            {"a": HIGH, "b": LOW},
            ["a has the highest interquartile mean, 12.00", "It is better than b.", "The data tell the two"],
        ),
        ({"a": HIGH, "b": [12.5] * 5}, ["The data do not tell it apart from a.", "The data do not tell the two apart."]),
        (
            {"a": HIGH, "b": LOW[:4]},
            ["too few seeds to tell it apart from b.", "There are too few seeds to tell the two apart."],
        ),
        ({"a": HIGH[:1], "b": LOW}, ["a has the highest interquartile mean, 10.00 (one seed, so no interval)."]),
        (
            {"a": HIGH, "b": HIGH, "c": LOW},
            ["a and b share the highest interquartile mean, 12.00. They are better than c.", "not tell apart a and b."],
        ),
        (
            {"a": HIGH, "b": HIGH, "c": LOW, "d": [12.0, 11.0, 10.0, 9.0, 8.0], "e": LOW[:2]},
            [
                "They are better than c. The data do not tell them apart from d.",
                "There are too few seeds to tell them apart from e.",
                "They do not tell apart a and b; a and d; b and d. For 4 there are too few seeds.",
            ],
        ),
        (
            {"a": HIGH, "b": [2.0, 11.0, 12.0, 13.0, 22.0], "c": [9.0] * 5},  # a is better than c, b may be
            ["a and b share the highest interquartile mean, 12.00. The data do not tell them apart from c."],
        ),
        # The mean of the middle and what happens more often need not agree
        (
            {"a": [0.0] * 4 + [100.0] * 5, "b": [90.0] * 30},
            ["b has the highest interquartile mean, 90.00", "The data do not tell it apart from a."],
        ),
        (
            {"a": [0.0] * 30 + [1000.0] * 11, "b": [1.0] * 30},
            ["a has the highest interquartile mean", "Yet its runs more often score lower than higher against b."],
        ),
    ],
)
def test_verdicts_in_words(algos: dict[str, list[float]], sentences: list[str]) -> None:
    text = short_report(scored(**algos))
    for sentence in sentences:
        assert sentence in text


# What a reader must not overlook


def test_a_clean_comparison_has_no_warning(folder: pathlib.Path) -> None:
    assert "\n>" not in (folder / "report.md").read_text()


@pytest.mark.parametrize("n_seeds", [1, 4])
def test_too_few_seeds_are_said(n_seeds: int) -> None:
    text = short_report(comparison(n_seeds=n_seeds))
    assert f"> **Too few seeds:** {n_seeds} for every algorithm and environment. Below 5 seeds intervals are much too" in text
    assert ("| one seed |" in text) == (n_seeds == 1)
    assert "| better |" not in text


def test_different_numbers_of_seeds_are_said() -> None:
    results = comparison(["a", "b", "c"], ["E-v0", "F-v0"], n_seeds=9)
    results = results[~((results["algo"] == "a") & (results["env"] == "F-v0"))]
    results = results[~((results["algo"] == "b") & (results["seed"] >= 2))]
    results = results[~((results["algo"] == "c") & (results["env"] == "E-v0") & (results["seed"] == 4))]
    text = short_report(results)
    assert "**Too few seeds:** none for a in F-v0; 2 for b in E-v0 and F-v0." in text
    assert "**Not all have 9 seeds:** 8 for c in E-v0." in text
    left_out = "seeds of a 0, 1, 2, 3, 4, 5, 6, 7 and 8; of c 4."
    assert f"**Left out of the numbers for all environments,** which need a seed in every one of them: {left_out}" in text


def test_runs_that_failed_diverged_or_were_shorter_are_said() -> None:
    results = comparison(n_seeds=6)
    results.loc[(results["algo"] == "bad") & (results["seed"] == 3) & (results["timesteps"] == 20), "mean_reward"] = np.nan
    results = results[
        ~((results["algo"] == "good") & (results["seed"] < 2) & (results["timesteps"] > 10 + 10 * results["seed"]))
    ]
    failures = [{"algo": "bad", "env": "E-v0", "seed": seed, "error": "ValueError: no\nway"} for seed in (6, 7)]
    failures.append({"algo": "bad", "env": "E-v0", "seed": 8, "error": "OSError"})
    text = short_report(results, failures=failures)
    assert "> **3 runs failed** and can't be in any number." in text
    assert (
        "## Runs that failed\n\n- **bad in E-v0, seeds 6 and 7:** ValueError: no way\n- **bad in E-v0, seed 8:** OSError\n"
        in text
    )
    assert "**Scores that are not finite.** Left out of every number: bad in E-v0, seed 3." in text
    fewer_steps = "2 runs of good in E-v0 (the shortest for 10 of 40 timesteps)."
    assert f"**Trained for fewer steps than others:** {fewer_steps}" in text


def test_verdicts_on_unequal_training_are_marked() -> None:
    results = comparison(["a", "b", "c"])
    text = short_report(results[~((results["algo"] == "b") & (results["timesteps"] > 30))])
    assert "It is better than b and c. But b did not train for the same number of steps." in text
    assert "| a over b | better, unequal steps |" in text
    assert "| b over c | better, unequal steps |" in text
    assert "| a over c | better |" in text
    assert "unequal" not in short_report(results)


def test_no_algorithm_has_a_seed_in_every_environment(tmp_path: pathlib.Path) -> None:
    write_report(tmp_path, pd.concat([comparison(["a"], ["E-v0"]), comparison(["b"], ["F-v0"])]), {}, DETAILS)
    page = Page((tmp_path / "report.html").read_text())
    assert "No numbers for all environments together: no algorithm has a seed in every one of them." in page.text
    assert "Left out of the numbers" not in page.text
    assert [attributes["alt"] for tag, attributes in page.tags if tag == "img" and "learning" in str(attributes["alt"])] == [
        "E-v0: learning curves",
        "F-v0: learning curves",
    ]


def test_no_run_finished(tmp_path: pathlib.Path) -> None:
    failures = [{"algo": "bad", "env": "E-v0", "seed": 6, "error": "ValueError"}]
    write_report(tmp_path, comparison().iloc[:0], {}, {**DETAILS, "failures": failures})
    page = Page((tmp_path / "report.html").read_text())
    assert "no run has finished" in page.text
    assert "bad in E-v0, seed 6: ValueError" in page.text
    assert "bootstrap" not in page.text


def test_details_are_missing(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match=r"details needs command, versions.*, but versions, failures is missing"):
        write_report(tmp_path, comparison(), {}, {"command": "", "hyperparameters": {}})
    assert not list(tmp_path.iterdir())


def test_what_was_run(folder: pathlib.Path) -> None:
    page = Page((folder / "report.html").read_text())
    assert DETAILS["command"] in page.text
    assert ["stable-baselines3", "2.9.2"] in page.rows
    assert ["gamma", "0.99", "0.5"] in page.rows
    assert ["policy_kwargs", "", f"dict({'x' * 80}=[64])"] in page.rows
    assert "Hyperparameters of bad\nThe defaults." in page.text
    assert "A score is the mean return of 5 episodes, played on separate environments." in page.text


# The page


def test_the_page_needs_nothing_else(folder: pathlib.Path) -> None:
    content = (folder / "report.html").read_text()
    page = Page(content)
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.tags}
    assert not re.search(r"https?:|url\(|@import", content.replace("data:image/svg+xml;base64", ""))
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert len(images) == 13
    for image, path in zip(images, re.findall(r"\]\((figures/.*)\)", (folder / "report.md").read_text()), strict=True):
        kind, _, encoded = str(image["src"]).partition(",")
        assert kind == "data:image/svg+xml;base64"
        assert base64.b64decode(encoded) == (folder / path).with_suffix(".svg").read_bytes()
        assert image["alt"]


def test_names_are_text(tmp_path: pathlib.Path) -> None:
    results = comparison([NASTY, "other"], [NASTY])
    results.loc[0, "mean_reward"] = np.nan
    details = {
        "command": f"{NASTY}\n\n# {NASTY}",
        "versions": {NASTY: NASTY},
        "hyperparameters": {NASTY: {NASTY: {NASTY: NASTY}}},
        "failures": [{"algo": NASTY, "env": NASTY, "seed": 0, "error": f"{NASTY}\n{NASTY}"}],
    }
    write_report(tmp_path, results, {NASTY: 8.0}, details)
    page = Page((tmp_path / "report.html").read_text())
    assert not {"script", "a", "del"} & {tag for tag, _ in page.tags}
    assert [tag for tag, _ in page.tags].count("code") == 2  # the command, and results.csv
    assert [NASTY, NASTY] in page.rows
    assert f"{NASTY} in {NASTY}, seed 0: {NASTY} {NASTY}" in page.text
    assert [f"{NASTY} over other", "better"] in [row[:2] for row in page.rows]
    assert f"{NASTY}\n\n# {NASTY}" in page.text
    assert f"Left out of every number: {NASTY} in {NASTY}, seed 0." in page.text
    assert f"Hyperparameters of {NASTY}" in page.text
    alternatives = [attributes["alt"] for tag, attributes in page.tags if tag == "img"]
    assert f"{NASTY}: learning curves" in alternatives


@given(st.text(st.sampled_from("ab_*`[]()|\\<>&\"'~#!-+. \n") | st.characters(codec="utf-8", exclude_categories=["Cc"])))
@example("\\*a\\*")
@example("\\`a\\`")
@example("\\|")
@example("<b>&lt;")
def test_what_is_escaped_reads_as_it_was(text: str) -> None:
    as_it_was = " ".join(text.split())
    page = Page(markdown.markdown(f"x {escape(text)} x", extensions=["tables"]))
    assert " ".join(page.text.split()) == " ".join(f"x {as_it_was} x".split())
    assert [tag for tag, _ in page.tags] == ["p"]
    (_, cells) = Page(markdown.markdown(table("ll", ["a", "b"], [[escape(text), "x"]]), extensions=["tables"])).rows
    assert cells == [as_it_was, "x"]


# In a browser


def browse(page: pathlib.Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Open a page in headless Chromium, which says what is in its console."""
    profile = page.parent / "profile"
    command = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", f"--user-data-dir={profile}"]
    command += ["--disable-quic", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
    command += ["--enable-logging=stderr", "--allow-file-access-from-files", "--virtual-time-budget=15000", *arguments]
    return subprocess.run([*command, page.as_uri()], capture_output=True, text=True, timeout=300, check=True)


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
@pytest.mark.parametrize("width", [390, 1280])
def test_in_a_browser(folder: pathlib.Path, tmp_path: pathlib.Path, width: int) -> None:
    # A headless window can't be as narrow as a phone, but a frame can; the page itself may run no script
    outer = f"""<iframe src="{(folder / "report.html").as_uri()}" style="width: {width}px; height: 800px; border: 0"></iframe>
        <script>onload = () => {{
          const page = document.querySelector("iframe").contentDocument, root = page.scrollingElement
          const seen = [...page.images].filter(image => image.naturalWidth > 0 && image.getBoundingClientRect().width > 300)
          document.title = [page.images.length, seen.length, root.clientWidth, root.scrollWidth].join(" ")
          console.log("measured")
        }}</script>"""
    (tmp_path / "outer.html").write_text(outer)
    browser = browse(tmp_path / "outer.html", "--dump-dom", f"--window-size={max(width, 800)},900")
    measured = re.search("<title>(.*)</title>", browser.stdout)
    assert measured
    n_images, n_seen, client_width, scroll_width = map(int, measured[1].split())
    assert n_images == n_seen == 13
    assert width - 20 <= client_width <= width  # less the scroll bar
    assert scroll_width == client_width
    console = [line for line in browser.stderr.splitlines() if "CONSOLE" in line]
    assert len(console) == 1
    assert "measured" in console[0]
