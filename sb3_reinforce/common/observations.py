"""Observations, which are an array or a dict of arrays: the one place that tells them apart."""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

Observations: TypeAlias = np.ndarray | dict[str, np.ndarray]
"""Shape ``(n, *observation_shape)``, or a dict of such."""


def map_observations(function: Callable[..., Any], first: Any, *others: Any) -> Any:
    """
    :param function: What to do with an array, and those at the same place of the others.
    :param first: An array or a tensor, or a dict of such.
    :param others: The like, with the same keys.
    :return: What the function gives: for a dict, a dict of that.
    """
    if isinstance(first, dict):
        return {key: function(values, *(other[key] for other in others)) for key, values in first.items()}
    return function(first, *others)


def named_parts(observations: Any) -> dict[str, Any]:
    """
    :param observations: An array or a space, or a dict of such.
    :return: Each part by what an error calls it.
    """
    if hasattr(observations, "items"):
        return {f"observation {key!r}": part for key, part in observations.items()}
    return {"observation": observations}


def n_rows(observations: Any) -> int:
    """
    :param observations: Shape ``(n, ...)``, or a dict of such.
    :return: n.
    """
    return len(next(iter(observations.values())) if isinstance(observations, dict) else observations)


def take_rows(observations: Any, rows: Any) -> Any:
    """
    :param observations: Shape ``(n, *observation_shape)``, or a dict of such.
    :param rows: Which: numbers, a mask or a slice.
    :return: Those observations.
    """
    return map_observations(lambda values: values[rows], observations)


def stack_observations(observations: list[Any]) -> Any:
    """
    :param observations: Single observations, at least one.
    :return: A row each. Shape ``(n, *observation_shape)``, or a dict of such.
    """
    return map_observations(lambda *rows: np.stack(rows), *observations)
