"""
Questions to a few booleans, asked at every step. NumPy's ``any``, ``all`` and ``count_nonzero`` run Python code before they
look, and take several times as long.
"""

import numpy as np


def any_set(flags: np.ndarray) -> bool:
    """
    :param flags: Booleans, or integers. Of any shape.
    :return: Whether one of them is not 0.
    """
    return flags.tobytes() != bytes(flags.nbytes)


def all_set(flags: np.ndarray) -> bool:
    """
    :param flags: Booleans. Of any shape.
    :return: Whether all of them are True.
    """
    return flags.tobytes() == b"\1" * flags.nbytes
