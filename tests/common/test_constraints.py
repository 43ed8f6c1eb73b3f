from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sb3_reinforce.common.constraints import BOOLEAN, CALLABLE, NONE, Interval, OneOf, Table, check_arguments, checked
from sb3_reinforce.common.constraints import Test as Condition

numbers = st.floats(allow_nan=False, allow_infinity=False)
NUMPY_INTEGERS = [np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64]
NUMPY_FLOATS = [np.float16, np.float32, np.float64]


@given(numbers, numbers, numbers, st.booleans())
def test_an_interval_has_the_numbers_between_its_ends(low: float, high: float, value: float, open_low: bool) -> None:
    inside = low <= value <= high and not (open_low and value == low)
    assert Interval(low, high, open_low).allows(value) is inside


@given(st.integers())
def test_integers_of_any_size_are_integers(value: int) -> None:
    assert Interval(integer=True).allows(value)
    assert Interval(low=value, integer=True).allows(value)
    assert not Interval(low=value, open_low=True, integer=True).allows(value)
    assert not Interval(high=value - 1, integer=True).allows(value)


@given(st.integers(0, 127), st.sampled_from(NUMPY_INTEGERS))
def test_numpys_integers_are_integers(value: int, kind: Any) -> None:
    assert Interval(0, 127, integer=True).allows(kind(value))
    assert Interval(0, 127).allows(kind(value))
    assert not Interval(value + 1, integer=True).allows(kind(value))


@given(st.integers(-100, 100), st.sampled_from([float, Fraction, *NUMPY_FLOATS]))
def test_what_has_no_type_of_integers_is_none_though_it_may_be_whole(value: int, kind: Any) -> None:
    assert Interval(-100, 100).allows(kind(value))
    assert not Interval(integer=True).allows(kind(value))


@pytest.mark.parametrize("interval", [Interval(), Interval(finite=False), Interval(0.0), Interval(high=1.0), Interval(-1, 1)])
@pytest.mark.parametrize("kind", [float, *NUMPY_FLOATS])
def test_nan_is_in_no_interval(interval: Interval, kind: Any) -> None:
    assert not interval.allows(kind("nan"))


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.float32(np.inf)])
def test_infinity_is_a_number_where_it_is_asked_for(value: float) -> None:
    assert not Interval().allows(value)
    assert Interval(finite=False).allows(value)


@pytest.mark.parametrize("value", [True, False, np.True_, np.False_])
def test_booleans_are_no_numbers(value: Any) -> None:
    assert not Interval().allows(value)
    assert not Interval(integer=True).allows(value)
    assert BOOLEAN.allows(value)


@pytest.mark.parametrize("value", [None, "1", "1e-3", [1], (1,), np.array([1]), np.array(1), 1j, object()])
def test_other_things_are_no_numbers_and_no_booleans(value: Any) -> None:
    assert not Interval().allows(value)
    assert not Interval(integer=True).allows(value)
    assert not BOOLEAN.allows(value)


@pytest.mark.parametrize(
    ("constraint", "words"),
    [
        (Interval(0, 1), "a finite number from 0 to 1"),
        (Interval(0, 1, open_low=True), "a finite number from 0 to 1 (not the former)"),
        (Interval(1, integer=True), "an integer of at least 1"),
        (Interval(0, open_low=True), "a finite number above 0"),
        (Interval(), "a finite number"),
        (Interval(finite=False), "a number"),
        (Interval(high=5), "a finite number of at most 5"),
        (OneOf(["mean", "none"]), "one of 'mean', 'none'"),
        (BOOLEAN, "True or False"),
        (NONE, "None"),
        (CALLABLE, "a function"),
    ],
)
def test_words(constraint: Any, words: str) -> None:
    assert str(constraint) == words


def test_one_of_tells_types_apart() -> None:
    assert OneOf(["mean", 1]).allows("mean")
    assert OneOf(["mean", 1]).allows(1)
    values: tuple[Any, ...] = ("median", True, 1.0, None, [], np.array(["mean", "mean"]))
    for value in values:
        assert not OneOf(["mean", 1]).allows(value)


def is_even(value: Any) -> bool:
    return value % 2 == 0


def test_a_test_of_ones_own() -> None:
    even = Condition("even", is_even)
    assert even.allows(4)
    assert not even.allows(3)


TABLE: Table = {"rate": [Interval(0, 1), CALLABLE], "steps": [Interval(1, integer=True), NONE]}


@given(st.floats(0, 1), st.none() | st.integers(1, 100))
def test_arguments_that_are_what_they_have_to_be(rate: float, steps: int | None) -> None:
    check_arguments(TABLE, {"rate": rate, "steps": steps, "other": "anything"})
    check_arguments(TABLE, {"rate": lambda _: rate})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rate": 2}, "rate of Thing must be a finite number from 0 to 1 or a function, but got 2."),
        ({"rate": None}, "but got None."),
        ({"rate": 0.5, "steps": 1.5}, "steps of Thing must be an integer of at least 1 or None, but got 1.5."),
        ({"steps": np.True_}, "steps of Thing must be an integer"),
    ],
)
def test_arguments_that_are_not(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011
        check_arguments(TABLE, arguments, "Thing")
    assert message in str(error.value)


@given(st.floats(allow_nan=False) | st.integers(), st.sampled_from(["{}", " {} ", "{:e}"]))
def test_a_number_as_text_is_told_to_be_one(value: float, form: str) -> None:
    with pytest.raises(ValueError, match="It is a text: leave out the quotation marks"):
        check_arguments(TABLE, {"steps": form.format(value)})


@given(st.text().filter(lambda text: not is_number(text)))
def test_any_other_text_is_not(text: str) -> None:
    with pytest.raises(ValueError, match="steps must be") as error:
        check_arguments(TABLE, {"steps": text})
    assert "quotation marks" not in str(error.value)


def is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


class Unspeakable:
    def __repr__(self) -> str:
        raise RuntimeError


@checked({"n": [Interval(1, integer=True)], "rate": [Interval()]}, "made_up")
def made_up(n: Any, *, rate: Any = 0.5, other: Any = None) -> tuple[Any, Any, Any]:
    """Its own words."""
    return n, rate, other


def test_arguments_are_checked_when_they_are_given() -> None:
    assert made_up(1) == (1, 0.5, None)
    for n in (0, 1.5, "1", Unspeakable()):
        with pytest.raises(ValueError, match="n of made_up must be an integer of at least 1, but got"):
            made_up(n)
    with pytest.raises(ValueError, match="rate of made_up must be a finite number, but got nan"):
        made_up(1, rate=np.nan)


@given(st.integers(1, 127), st.sampled_from([*NUMPY_INTEGERS]), st.sampled_from(NUMPY_FLOATS))
def test_a_function_gets_pythons_numbers_for_numpys(value: int, integer: Any, real: Any) -> None:
    n, rate, other = made_up(integer(value), rate=real(value), other=integer(value))
    assert (type(n), type(rate), type(other)) == (int, float, integer), "but what is not looked at stays"
    assert n == rate == value


def test_what_python_itself_refuses_is_left_to_it() -> None:
    for arguments in ((), (1, 2)):
        with pytest.raises(TypeError, match="made_up"):
            made_up(*arguments)
    assert made_up.__doc__ == "Its own words."


def test_of_a_long_value_the_beginning_is_shown() -> None:
    with pytest.raises(ValueError, match=r"but got \[0, 0, 0.*\.\.\.\.$") as caught:
        made_up([0] * 10_000)
    assert len(str(caught.value)) < 400
