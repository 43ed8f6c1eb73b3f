"""From the type in which an environment gives something to the type that its space declares, and never with a loss."""

import numpy as np
from gymnasium import spaces


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
    who = f"The environment {environment}".rstrip()
    if values.shape != shape:
        raise ValueError(
            f"{who} returned an {name} of shape {values.shape}, but its space {space} makes it {shape}. Mend its "
            "observation_space."
        )
    if values.dtype.kind in "biuf":
        with np.errstate(invalid="ignore", over="ignore"):
            cast = values.astype(space.dtype)
            if _is_rounded(values, cast) or _comes_back(values, cast):
                return cast
    raise ValueError(
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
