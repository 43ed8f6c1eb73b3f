"""Do the bounds that a feature map relies on fit what is seen?"""

import warnings

import numpy as np
import torch as th
from gymnasium import spaces

ENOUGH_OBSERVATIONS = 1_000
"""Before so many have been seen, a narrow range says nothing."""
NARROW = 0.01
"""A range that takes up less than this part of the bounds is narrow: features of a few waves or tiles hardly differ there."""
NEGLIGIBLE = 0.001
"""What lies outside by less than this part of the bounds' width makes no difference to speak of."""
_MOST_NUMBERS_NAMED = 3


class BoundsCheck:
    """
    Compares the bounds of a space with the observations that are learned from. It warns, once each, if some observations lie
    outside, and if the observations vary but stay within a small part of the bounds.

    :param name: Of the feature map that relies on the bounds.
    :param space: Of the observations.
    :param relied_on: Which numbers of an observation are scaled by their bounds. Shape ``(n_dims,)``.
    """

    def __init__(self, name: str, space: spaces.Box, relied_on: np.ndarray) -> None:
        self._name, self._space = name, space
        self._dims = np.flatnonzero(relied_on)
        self._low, self._high = (bound.flatten()[self._dims].astype(np.float64) for bound in (space.low, space.high))
        self._seen_low, self._seen_high = np.full(len(self._dims), np.inf), np.full(len(self._dims), -np.inf)
        self._n_seen = 0
        self._outside_is_told = self._narrow_is_told = False

    @th.no_grad()
    def see(self, observations: th.Tensor) -> None:
        """
        :param observations: Some that are learned from. Shape ``(batch, n_dims)``.
        """
        if len(self._dims) == 0 or len(observations) == 0 or (self._outside_is_told and self._narrow_is_told):
            return
        low, high = (values.cpu().numpy()[self._dims] for values in th.aminmax(observations, dim=0))
        # NaN, which the algorithm will report, is no part of a range
        self._seen_low, self._seen_high = np.fmin(self._seen_low, low), np.fmax(self._seen_high, high)
        self._n_seen += len(observations)
        if not self._outside_is_told:
            self._tell_outside()
        if not self._narrow_is_told and self._n_seen >= ENOUGH_OBSERVATIONS:
            self._tell_narrow()

    def _tell_outside(self) -> None:
        tolerance = NEGLIGIBLE * (self._high - self._low) + _rounding(self._low, self._high)
        outside = (self._seen_low < self._low - tolerance) | (self._seen_high > self._high + tolerance)
        if outside.any():
            self._outside_is_told = True
            self._warn("observations lie outside of them, where all features are those of the nearest bound", outside)

    def _tell_narrow(self) -> None:
        seen = self._seen_high - self._seen_low
        varies = seen > _rounding(self._seen_low, self._seen_high)
        narrow = varies & (seen < NARROW * (self._high - self._low))
        if narrow.any():
            self._narrow_is_told = True
            self._warn(f"the first {self._n_seen:,} observations fill so little of them that features hardly differ", narrow)

    def _warn(self, what: str, dims: np.ndarray) -> None:
        numbers = [
            f"observation{list(map(int, np.unravel_index(self._dims[i], self._space.shape)))} is from "
            f"{self._seen_low[i]:g} to {self._seen_high[i]:g}, its bounds are {self._low[i]:g} and {self._high[i]:g}"
            for i in np.flatnonzero(dims)
        ]
        more = f"; and {len(numbers) - _MOST_NUMBERS_NAMED} more" if len(numbers) > _MOST_NUMBERS_NAMED else ""
        warnings.warn(
            f"{self._name} scales observations by the bounds of their space, but {what}: "
            f"{'; '.join(numbers[:_MOST_NUMBERS_NAMED])}{more}. Give the environment an observation_space with bounds that "
            f"fit, or with infinite ones, for which running statistics are used: {self._with_infinite_bounds()}.",
            stacklevel=2,
        )

    def _with_infinite_bounds(self) -> str:
        is_floating = self._space.dtype is not None and self._space.dtype.kind == "f"
        dtype, function = (self._space.dtype, "obs") if is_floating else ("float32", "obs.astype(np.float32)")
        return (
            f"gymnasium.wrappers.TransformObservation(env, lambda obs: {function}, "
            f"gymnasium.spaces.Box(-np.inf, np.inf, {self._space.shape}, np.{dtype}))"
        )


def _rounding(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """By how much float32 numbers from low to high may differ and mean the same."""
    return 1e-6 * np.maximum(np.abs(low), np.abs(high))
