import pathlib
import re
from collections.abc import Iterator

import pandas as pd
import pytest

from sb3_reinforce.compare import intervals, report
from sb3_reinforce.compare.report import write_report
from tests.compare.pages import DETAILS, Page
from tests.compare.tables import comparison


@pytest.fixture(autouse=True, scope="module")
def _few_resamples() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(intervals, "N_RESAMPLES", 50)
        yield


def test_the_files(written_report: pathlib.Path) -> None:
    names = ["learning-curves", "final-scores", "performance-profile", "probability-of-improvement"]
    figures = [f"{part}-{name}" for part in ("00-all-environments", "01-e-v0", "02-f-v0") for name in names]
    figures.append("01-e-v0-time-to-threshold")
    expected = {"report.md", "report.html"} | {f"figures/{name}.{suffix}" for name in figures for suffix in ("png", "svg")}
    assert {path.relative_to(written_report).as_posix() for path in written_report.rglob("*") if path.is_file()} == expected
    text = (written_report / "report.md").read_text()
    assert sorted(re.findall(r"\]\(figures/(.*)\.png\)", text)) == sorted(figures)


def test_the_same_input_gives_the_same_files(tmp_path: pathlib.Path) -> None:
    for name in ("first", "second"):
        write_report(tmp_path / name, comparison(), {}, DETAILS)
    for path in (tmp_path / "first").rglob("*.*"):
        assert (tmp_path / "second" / path.relative_to(tmp_path / "first")).read_bytes() == path.read_bytes(), path


def test_every_file_is_written_atomically(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path, no_figures: None) -> None:
    written: list[pathlib.Path] = []
    monkeypatch.setattr(report, "write_atomically", lambda path, content: written.append(path))
    write_report(tmp_path, comparison(), {}, DETAILS)
    assert list(tmp_path.iterdir()) == []
    assert {path.name for path in written} >= {
        "report.md",
        "report.html",
        "00-e-v0-final-scores.svg",
        "00-e-v0-final-scores.png",
    }


def test_no_algorithm_has_a_seed_in_every_environment(tmp_path: pathlib.Path, no_figures: None) -> None:
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
