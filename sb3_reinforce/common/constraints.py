"""What arguments may be: tables of constraints, checked in one place, with one kind of message."""

import functools
import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, ParamSpec, Protocol, TypeVar

import numpy as np

LONGEST_SHOWN = 200
"""Letters of a value that stand in an error."""

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class Constraint(Protocol):
    """What a value has to be."""

    def allows(self, value: Any) -> bool:
        """
        :param value: Any object.
        :return: Whether it is what it has to be.
        """
        ...

    def __str__(self) -> str:
        """As it stands in a sentence after "must be"."""
        ...


@dataclass(frozen=True)
class Interval:
    """
    A real number between two others. NaN is in no interval, and booleans are no numbers.

    :param low: The lower end.
    :param high: The upper end.
    :param open_low: Whether the lower end itself is left out.
    :param integer: Whether it must be a whole number, of Python or of NumPy.
    :param finite: Whether infinity is left out.
    """

    low: float = -np.inf
    high: float = np.inf
    open_low: bool = False
    integer: bool = False
    finite: bool = True

    def allows(self, value: Any) -> bool:
        """
        :param value: Any object.
        :return: Whether it is a number of the interval.
        """
        is_number = isinstance(value, Integral if self.integer else Real) and not isinstance(value, (bool, np.bool_))
        if not is_number or (self.finite and not -np.inf < value < np.inf):
            return False
        return bool((self.low < value if self.open_low else self.low <= value) and value <= self.high)

    def __str__(self) -> str:
        kind = "an integer" if self.integer else ("a finite number" if self.finite else "a number")
        if np.isfinite(self.low) and np.isfinite(self.high):
            return f"{kind} from {_short(self.low)} to {_short(self.high)}{' (not the former)' if self.open_low else ''}"
        if np.isfinite(self.low):
            return f"{kind} above {_short(self.low)}" if self.open_low else f"{kind} of at least {_short(self.low)}"
        return f"{kind} of at most {_short(self.high)}" if np.isfinite(self.high) else kind


def _short(number: float) -> str:
    return str(number) if isinstance(number, int) else f"{number:g}"


@dataclass(frozen=True)
class OneOf:
    """
    One of some values.

    :param options: The values.
    """

    options: Sequence[Any]

    def allows(self, value: Any) -> bool:
        """
        :param value: Any object.
        :return: Whether it is one of them.
        """
        return any(type(option) is type(value) and option == value for option in self.options)

    def __str__(self) -> str:
        return f"one of {', '.join(map(repr, self.options))}"


@dataclass(frozen=True)
class Test:
    """
    Whatever a function says yes to.

    :param words: What it is, as it stands after "must be".
    :param function: Says whether a value is.
    """

    words: str
    function: Callable[[Any], bool]

    def allows(self, value: Any) -> bool:
        """
        :param value: Any object.
        :return: What the function says.
        """
        return bool(self.function(value))

    def __str__(self) -> str:
        return self.words


NONE = Test("None", lambda value: value is None)
BOOLEAN = Test("True or False", lambda value: isinstance(value, (bool, np.bool_)))
CALLABLE = Test("a function", callable)
TEXT = Test("a text", lambda value: isinstance(value, str))
PATH = Test("a path", lambda value: isinstance(value, (str, os.PathLike)))
MAPPING = Test("a dict", lambda value: isinstance(value, Mapping))
SEED = Interval(0, 2**32 - 1, integer=True)


def subclass_of(parent: type, words: str) -> Test:
    """
    :param parent: A class.
    :param words: What it is, as it stands after "must be".
    :return: What a class derived from it meets.
    """
    return Test(words, lambda value: isinstance(value, type) and issubclass(value, parent))


Table = Mapping[str, Sequence[Constraint]]
"""By the argument's name, what it may be: it has to meet one of the constraints."""


def check_arguments(table: Table, arguments: Mapping[str, Any], owner: str = "") -> None:
    """
    :param table: What the arguments may be.
    :param arguments: Their values, by name; those that the table does not name are not looked at.
    :param owner: Whose arguments they are, for the message.
    :raises ValueError: If one is not what it has to be. The message names the argument, what came, and what is allowed.
    """
    for name, constraints in table.items():
        if name in arguments and not any(constraint.allows(arguments[name]) for constraint in constraints):
            value, place = arguments[name], f" of {owner}" if owner else ""
            hint = " It is a text: leave out the quotation marks." if _is_number_as_text(value) else ""
            raise ValueError(f"{name}{place} must be {' or '.join(map(str, constraints))}, but got {shown(value)}.{hint}")


def checked(table: Table, owner: str) -> Callable[[Callable[Parameters, Result]], Callable[Parameters, Result]]:
    """
    A decorator for functions whose arguments are checked when they are given, and whose numbers may be NumPy's: the function
    gets Python's own.

    :param table: What the arguments may be.
    :param owner: Whose arguments they are, for the message.
    :return: The decorator. What it makes raises ValueError as :func:`check_arguments` does.
    """

    def decorate(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def call(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
            try:
                given = signature.bind(*args, **kwargs)
            except TypeError:  # which Python says better
                return function(*args, **kwargs)
            check_arguments(table, given.arguments, owner)
            for name, value in given.arguments.items():
                if name in table and isinstance(value, np.generic):
                    given.arguments[name] = value.item()
            return function(*given.args, **given.kwargs)

        return call

    return decorate


def shown(value: Any) -> str:
    """
    :param value: Any object, of which even ``repr`` may fail.
    :return: It, in an error: of a long one, the beginning.
    """
    try:
        text = repr(value)
    except Exception:
        text = f"an object of {type(value).__name__}"
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."


def _is_number_as_text(value: Any) -> bool:
    try:
        return isinstance(value, str) and float(value) is not None
    except ValueError:
        return False
