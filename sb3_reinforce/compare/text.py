"""Names, numbers and tables as Markdown."""

import html
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np


def escape(value: object) -> str:
    """
    :param value: Anything that came from outside, a name or a message.
    :return: Its text on one line, with nothing in it that Markdown or HTML would take for markup.
    """
    text = html.escape(" ".join(str(value).split()), quote=False)
    # An underscore inside a word is no markup, and names have many
    return re.sub(r"[\\`*\[\]|]|(?<![^\W_])_|_(?![^\W_])", r"\\\g<0>", text).replace("~", "&#126;")


def number(value: float) -> str:
    """
    :param value: A score, a share or a probability.
    :return: It with three to four significant digits and no exponent.
    """
    n_decimals = 1 if abs(value) >= 100 else 2 if abs(value) >= 1 else 3
    return f"{value:,.{n_decimals}f}"


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


def join(names: Sequence[object]) -> str:
    """
    :param names: Names, at least one.
    :return: All of them in a sentence, escaped.
    """
    *others, last = map(escape, names)
    return f"{', '.join(others)} and {last}" if others else last


def plural(count: int, noun: str) -> str:
    """
    :param count: How many there are.
    :param noun: What there is one of.
    :return: The number and the noun, in the plural unless there is one.
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def table(alignment: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """
    :param alignment: For each column "l" for left or "r" for right, as numbers are set.
    :param header: Names of the columns.
    :param rows: Cells, escaped where they need to be.
    :return: A table in Markdown.
    """
    rule = ["---:" if side == "r" else "---" for side in alignment]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, rule, *rows))


def stand_ins_in_words(stand_ins: Mapping[str, Mapping[str, str]], write: Callable[[str], str] = str) -> str:
    """
    :param stand_ins: ``{algo: {env: name}}``: whose hyperparameters were taken for want of the environment's own.
    :param write: How to write a name.
    :return: All of them in a line; an empty one if there are none.
    """
    return "; ".join(
        f"{write(algo)} in {write(env)} ({'its default ones' if name == 'default' else f'those for {write(name)}'})"
        for algo, by_env in stand_ins.items()
        for env, name in by_env.items()
    )
