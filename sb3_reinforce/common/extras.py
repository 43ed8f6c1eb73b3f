"""Packages that come with an extra, and may be missing."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def needs(extra: str, who: str) -> Iterator[None]:
    """
    Import within what comes with an extra of this package.

    :param extra: Its name.
    :param who: Who needs it, for the message.
    :raises ImportError: If a module is missing; it says what to install.
    """
    try:
        yield
    except ImportError as error:
        first = error
        while isinstance(first.__cause__, ImportError):  # a module of ours has said so already
            first = first.__cause__
        raise ImportError(
            f"{who} needs the package '{first.name}' ({first}). In a clone of sb3-reinforce: pip install \".[{extra}]\"",
            name=first.name,
        ) from error
