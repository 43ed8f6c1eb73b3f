"""Classes that a user names by module and name."""

import importlib
from typing import Any


def import_class(name: str, what: str, *kinds: type) -> type[Any]:
    """
    Import what the user names, which runs its module: not to be called for a name that a file has.

    :param name: Module and class, for example ``gymnasium.wrappers.FlattenObservation``.
    :param what: What it is to be, for the message.
    :param kinds: It is to be a subclass of one of these. The message names the first.
    :return: The class.
    :raises ValueError: If there is no such class, or it is something else.
    """
    module, _, attribute = name.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # a module may do anything
        reason = error if isinstance(error, (ImportError, AttributeError)) else f"{type(error).__name__}: {error}"
        raise ValueError(
            f"There is no {what} '{name}': {reason}. Name it as module.Class, of a module that is installed or on PYTHONPATH."
        ) from error
    if not (isinstance(found, type) and issubclass(found, kinds)):
        raise ValueError(f"'{name}' is no {what}. Name a subclass of {kinds[0].__name__}.")
    return found
