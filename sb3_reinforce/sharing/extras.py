"""Packages that sharing needs, and that not everybody has."""

import importlib
from typing import Any


def import_extra(module: str, extra: str) -> Any:
    """
    :param module: Name of a module.
    :param extra: The extra that it comes with.
    :return: The module.
    :raises ImportError: If it, or something that it needs, is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"This needs the package '{module}' ({error}). From a clone of the repository: pip install \".[{extra}]\""
        ) from error
