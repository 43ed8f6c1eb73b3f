import markdown
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sb3_reinforce.compare.text import escape, interval, join, number, plural, probability, steps, table
from tests.compare.pages import Page


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


@pytest.mark.parametrize(
    ("value", "text"), [(-1234.56, "-1,234.6"), (475.0, "475.0"), (-85.123, "-85.12"), (0.4567, "0.457"), (0.0, "0.000")]
)
def test_number(value: float, text: str) -> None:
    assert number(value) == text


def test_an_interval() -> None:
    assert interval(0.5, 120.0) == "0.500 to 120.0"
    assert interval(0.25, 0.75, probability) == "0.25 to 0.75"
    assert interval(30.0, np.inf, steps) == "30 to not reached"
    assert interval(np.nan, np.nan) == "one seed"


def test_a_table() -> None:
    assert table("lr", ["Name", "IQM"], [["a", "1.00"], ["b", "2.00"]]) == (
        "| Name | IQM |\n| --- | ---: |\n| a | 1.00 |\n| b | 2.00 |"
    )


@pytest.mark.parametrize(("names", "text"), [(["a"], "a"), (["a", 2], "a and 2"), (["a", "_b_", "c"], r"a, \_b\_ and c")])
def test_names_in_a_sentence(names: list[object], text: str) -> None:
    assert join(names) == text


@pytest.mark.parametrize(("count", "text"), [(0, "0 runs"), (1, "1 run"), (1_234, "1,234 runs")])
def test_one_or_several(count: int, text: str) -> None:
    assert plural(count, "run") == text
