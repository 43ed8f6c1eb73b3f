"""Warnings that point to the user's own line, however many functions of ours lie between."""

import pathlib
import sys
import warnings

_PACKAGE = str(pathlib.Path(__file__).parent.parent)


def warn_user(message: str) -> None:
    """
    Warn at the line outside of this package that has called it.

    :param message: The warning.
    """
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, stacklevel=level)
