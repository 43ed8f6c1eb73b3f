"""Names that a user gives."""

import difflib
from collections.abc import Collection


def check_known(what: str, name: str, known: Collection[str]) -> None:
    """
    :param what: What the name is of.
    :param name: A name.
    :param known: The names there are.
    :raises ValueError: If it is none of these. The message has the one that is most like it, or all.
    """
    if name not in known:
        guesses = difflib.get_close_matches(str(name), known, n=1)
        hint = f"did you mean {guesses[0]}?" if guesses else f"there are {', '.join(sorted(known))}."
        raise ValueError(f"There is no {what} '{name}': {hint}")
