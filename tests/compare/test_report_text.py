import pathlib
from collections.abc import Iterator

import pandas as pd
import pytest

from sb3_reinforce.compare import intervals
from sb3_reinforce.compare.report import write_report
from sb3_reinforce.compare.section import ALL_ENVIRONMENTS
from tests.compare.pages import DETAILS, Page, in_words, scored, short_report
from tests.compare.tables import comparison


@pytest.fixture(autouse=True, scope="module")
def _few_resamples() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(intervals, "N_RESAMPLES", 50)
        yield


# Of twelve runs three are dropped at each end, of six one. E-v0 counts as solved at 8, and is 1 there
TWO_ENVIRONMENTS = pd.concat(
    [
        scored("E-v0", good=[9.0] * 6, bad=[3.0, 4.0, 5.0, 6.0, 7.0, 8.0]),
        scored("F-v0", good=[1.0] * 6, bad=[0.5] * 6),
    ]
)
ROWS = {
    "E-v0": [
        "| good | 9.00 | 9.00 to 9.00 | 6 |",
        "| bad | 5.50 | {interval} | 6 |",
        "| good over bad | better | 1.00 | 1.00 to 1.00 |",
        "| good | 20 | 20 to 20 | 6 of 6 |",
        "| bad | not reached | not reached | 1 of 6 |",
    ],
    "F-v0": [
        "| good | 1.00 | 1.00 to 1.00 | 6 |",
        "| bad | 0.500 | 0.500 to 0.500 | 6 |",
        "| good over bad | better | 1.00 | 1.00 to 1.00 |",
    ],
    # 1.125 and 1 in equal parts; 0.5 five times, and 0.625
    ALL_ENVIRONMENTS: [
        "| E-v0 | 0.000 | untrained policy | 8.00 | reward threshold |",
        "| F-v0 | 0.000 | untrained policy | 1.00 | highest point of the curves |",
        "| good | 1.06 | 1.06 to 1.06 | 6 |",
        "| bad | 0.521 | {interval} | 6 |",
        "| good over bad | better | 1.00 | 1.00 to 1.00 |",
    ],
}


def test_every_number_is_in_the_report(tmp_path: pathlib.Path, no_figures: None) -> None:
    write_report(tmp_path, TWO_ENVIRONMENTS, {"E-v0": 8.0, "F-v0": None}, DETAILS)
    text = (tmp_path / "report.md").read_text()
    rows = Page((tmp_path / "report.html").read_text()).rows
    n_rows = 0
    for title, expected in ROWS.items():
        found = [line for line in in_words(text, title).splitlines() if line.startswith("| ") and "---" not in line]
        found = [line for line in found if not line.startswith(("| Algorithm ", "| Pair ", "| Environment "))]
        assert len(found) == len(expected)
        for line, literal in zip(found, expected, strict=True):
            cells, wanted = (row.strip("| ").split(" | ") for row in (line, literal))
            assert_alike(cells, wanted)
            assert cells in rows
            n_rows += 1
    assert n_rows == 13
    assert "Counts as solved at a score of 8.00." in in_words(text, "E-v0")
    assert "Counts as solved" not in in_words(text, "F-v0")


def test_a_table_of_algorithms_and_environments_is_on_top(tmp_path: pathlib.Path, no_figures: None) -> None:
    results = pd.concat([TWO_ENVIRONMENTS, scored("F-v0", also=[1.0] * 6)], ignore_index=True)
    text = short_report(results).replace("\u00a0", " ")
    rows = [
        line.removeprefix("| ").removesuffix(" |").split(" | ")
        for line in text.partition("## Contents")[0].splitlines()
        if line.startswith("|")
    ]
    assert rows[0] == ["Algorithm", ALL_ENVIRONMENTS, "E-v0", "F-v0"]
    assert [row[0] for row in rows[2:]] == ["good", "bad", "also"]
    assert rows[2][2:] == ["**9.00** (9.00 to 9.00)", "**1.00** (1.00 to 1.00)"]
    assert rows[3][2].startswith("5.50 (")
    assert rows[4] == ["also", "", "", "**1.00** (1.00 to 1.00)"]  # as good, and not in the other
    page = Page((tmp_path / "report.html").read_text()) if write_report(tmp_path, results, {}, DETAILS) else None
    assert page is not None
    assert page.rows[0] == rows[0]


def test_seconds_of_each_run() -> None:
    text = short_report(TWO_ENVIRONMENTS).replace("\u00a0", " ")
    seconds = in_words(text, "Seconds of a run")
    assert "| good | 20.25 (10.50 to 130.0) |" in seconds
    assert "| bad | E-v0 | 1: 7.00 |" in seconds
    assert "| good | E-v0 | 1: 10.50, 2: 20.25, 3: 130.0 |" in seconds
    assert "All runs together took 168 seconds." in seconds
    assert "Seconds of a run" not in short_report(TWO_ENVIRONMENTS, times=None)


def test_zero_is_the_lowest_point_only_where_nothing_was_evaluated_before_training() -> None:
    said = "the lowest point of the learning curves"
    assert said not in short_report(TWO_ENVIRONMENTS)
    assert said in short_report(TWO_ENVIRONMENTS[(TWO_ENVIRONMENTS["timesteps"] > 0) | (TWO_ENVIRONMENTS["env"] == "E-v0")])


def assert_alike(cells: list[str], wanted: list[str]) -> None:
    """Where an interval depends on what was drawn, it is around its estimate."""
    for i, (cell, want) in enumerate(zip(cells, wanted, strict=True)):
        if want == "{interval}":
            low, high = map(float, cell.split(" to "))
            assert low <= float(cells[i - 1]) <= high
        else:
            assert cell == want


def test_who_is_better_is_said() -> None:
    text = short_report(TWO_ENVIRONMENTS)
    assert (
        "- **E-v0.** good has the highest interquartile mean, 9.00 (interval 9.00 to 9.00). It is better than bad.\n"
        "- **F-v0.** good has the highest interquartile mean, 1.00 (interval 1.00 to 1.00). It is better than bad.\n" in text
    )
    assert "The data tell the two apart." in in_words(text, "E-v0")
    three = short_report(comparison(["good", "bad", "worst"]))
    assert "It is better than bad and worst." in three
    assert "Of 3 pairs of algorithms, the data tell 3 apart." in three


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
            {"a": HIGH, "b": HIGH, "c": LOW, "d": [13.0, 12.0, 11.0, 10.0, 9.0], "e": LOW[:2]},
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


def test_verdicts_on_unequal_training_are_marked() -> None:
    results = comparison(["a", "b", "c"])
    text = short_report(results[~((results["algo"] == "b") & (results["timesteps"] > 30))])
    assert "It is better than b and c. But b did not train for the same number of steps." in text
    assert "| a over b | better, unequal steps |" in text
    assert "| b over c | better, unequal steps |" in text
    assert "| a over c | better |" in text
    assert "unequal" not in short_report(results)


def test_what_was_run(written_report: pathlib.Path) -> None:
    page = Page((written_report / "report.html").read_text())
    assert DETAILS["command"] in page.text
    assert ["stable-baselines3", "2.9.2"] in page.rows
    assert ["gamma", "0.99", "0.5"] in page.rows
    assert ["policy_kwargs", "", f"dict({'x' * 80}=[64])"] in page.rows
    assert "Hyperparameters of bad\nThe defaults." in page.text
    assert "A score is the mean return of 5 episodes, played on separate environments." in page.text
