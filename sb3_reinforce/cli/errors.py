"""
What ends a command before it is through, and how it is said. Only the standard library is imported here: the first line on the
screen waits for it.
"""

import shutil
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO


class CliError(Exception):
    """Something the user asked for can't be done; the message says it in one line."""


class Stopped(KeyboardInterrupt):
    """
    Ctrl-C, where there is something to say about it.

    :param message: Where things are, and how to go on.
    """

    status = 130

    def __init__(self, message: str = "") -> None:
        super().__init__(message)


class Terminated(Stopped):
    """SIGTERM, which ends a command as Ctrl-C does."""

    status = 143


def say(text: str, stream: TextIO | None = None) -> None:
    """
    Print a text. On a terminal no word of it is broken at the end of a line.

    :param text: One or more lines.
    :param stream: Where to. Default: standard output.
    """
    stream = sys.stdout if stream is None else stream
    if stream.isatty():
        width = shutil.get_terminal_size().columns
        lines = [line if len(line) <= width else _folded(line, width) for line in text.splitlines()]
        text = "\n".join(lines)
    print(text, file=stream)


@contextmanager
def busy(text: str) -> Iterator[None]:
    """
    Within, a terminal is told that something happens that takes seconds. Afterwards the line is gone.

    :param text: What happens.
    """
    is_watched = sys.stderr.isatty()
    if is_watched:
        print(f"{text} ...", end="", file=sys.stderr, flush=True)
    try:
        yield
    finally:
        if is_watched:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _folded(line: str, width: int) -> str:
    return textwrap.fill(line, width, break_long_words=False, break_on_hyphens=False)
