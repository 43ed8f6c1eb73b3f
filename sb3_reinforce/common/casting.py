"""From the type in which an environment gives something to the type that its space declares, and never with a loss."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces

from sb3_reinforce.common.constraints import shown
from sb3_reinforce.common.flags import any_set
from sb3_reinforce.common.observations import named_parts


class UnfitError(ValueError):
    """An environment gave something that does not fit its space."""


def part_of(observation: Any, key: str, environment: str = "") -> Any:
    """
    :param observation: Of a Dict space.
    :param key: Of one of its parts.
    :param environment: What an error calls the environment.
    :return: That part.
    :raises ValueError: If there is none.
    """
    if not isinstance(observation, Mapping) or key not in observation:
        came = f"only {list(observation)}" if isinstance(observation, Mapping) else shown(observation)
        raise UnfitError(
            f"{_who(environment)} returned an observation without the part {key!r} that its space has: {came}. Mend its "
            "observations or its observation_space."
        )
    return observation[key]


class DiscreteRanges:
    """
    The numbers that discrete observations may have. NumPy takes a negative one for a place counted from the end.

    :param space: Of the observations.
    """

    def __init__(self, space: spaces.Space) -> None:
        self._ranges = [
            (name, key, np.dtype(f"u{part.dtype.itemsize}"), np.asarray(_highest(part)), part)
            for (name, part), key in zip(named_parts(space).items(), getattr(space, "spaces", [None]), strict=True)
            if isinstance(part, (spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary))
        ]

    def __bool__(self) -> bool:
        return len(self._ranges) > 0

    def check(self, observations: Any, environment: str = "") -> None:
        """
        :param observations: In the types of their spaces. Shape ``(n, *observation_shape)``, or a dict of such.
        :param environment: What an error calls the environment.
        :raises ValueError: If one is out of its range.
        """
        for name, key, unsigned, highest, space in self._ranges:
            values = observations if key is None else observations[key]
            # Taken for unsigned, negative numbers are large ones: one look instead of two
            if any_set(values.view(unsigned) > highest):
                which = np.flatnonzero((values.view(unsigned) > highest).reshape(len(values), -1).any(axis=1))[0]
                raise UnfitError(
                    f"{_who(environment)} returned the {name} {values[which]}, but its space is {space}. Mend its "
                    f"observations or its observation_space. (It is the environment number {which}.)"
                )


def _highest(space: spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary) -> Any:
    """The highest numbers, which are counted from 0 on."""
    if isinstance(space, spaces.MultiBinary):
        return np.uint64(1)
    return np.asarray(space.n if isinstance(space, spaces.Discrete) else space.nvec).astype(np.uint64) - np.uint64(1)


def _who(environment: str) -> str:
    return f"The environment {environment}".rstrip()


def observations_as_declared(
    observations: Any, space: Any, n: int | None = None, name: str = "observation", environment: str = ""
) -> Any:
    """
    :param observations: What the environment gave: an array, or a dict of such.
    :param space: The space of one observation.
    :param n: Of how many environments they are; None for a single observation.
    :param name: What an error calls them.
    :param environment: What an error calls the environment.
    :return: Observations in the types of their spaces. Shape ``(n, *observation_shape)``, or a dict of such.
    :raises ValueError: If they do not fit.
    """

    def declared(values: Any, part: spaces.Space, name: str) -> np.ndarray:
        assert part.shape is not None
        shape = part.shape if n is None else (n, *part.shape)
        if isinstance(values, np.ndarray) and values.dtype == part.dtype and values.shape == shape:
            return values
        return as_declared(np.asarray(values), part, shape, name, environment)

    if not isinstance(space, spaces.Dict):
        return declared(observations, space, name)
    parts = {key: (part_of(observations, key, environment), part) for key, part in space.items()}
    return {key: declared(values, part, f"{name} {key!r}") for key, (values, part) in parts.items()}


def as_declared(
    values: np.ndarray, space: spaces.Space, shape: tuple[int, ...], name: str, environment: str = ""
) -> np.ndarray:
    """
    Real numbers may be rounded to the precision of the space, as SB3's own environments do it. Everything else must come out
    as it went in.

    :param values: What the environment gave.
    :param space: What it declared.
    :param shape: What shape the values must have.
    :param name: What an error calls them.
    :param environment: What an error calls the environment.
    :return: The values in the space's type.
    :raises ValueError: If they have another shape, or lose something by it.
    """
    who = _who(environment)
    if values.shape != shape:
        raise UnfitError(
            f"{who} returned an {name} of shape {values.shape}, but its space {space} makes it {shape}: {shown(values)}. Mend "
            "its observation_space."
        )
    if values.dtype.kind in "biuf":
        with np.errstate(invalid="ignore", over="ignore"):
            cast = values.astype(space.dtype)
            if _is_rounded(values, cast) or _comes_back(values, cast):
                return cast
    raise UnfitError(
        f"{who} returned an {name} of type {values.dtype}, but its space {space} has the type {space.dtype}, and to cast it "
        "would lose something. Give the space the dtype of what is observed, or observations of the dtype of the space."
    )


def _comes_back(values: np.ndarray, cast: np.ndarray) -> bool:
    """Whether nothing has been lost. NumPy itself compares integers with real numbers as real numbers, and so loses digits."""
    return bool(((cast.astype(values.dtype) == values) & ((cast < 0) == (values < 0))).all())


def _is_rounded(values: np.ndarray, cast: np.ndarray) -> bool:
    """Whether real numbers have lost no more than digits."""
    is_real = values.dtype.kind == "f" and cast.dtype.kind == "f"
    return is_real and bool((np.isfinite(values) == np.isfinite(cast)).all())
