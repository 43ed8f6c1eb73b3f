"""How much of a step keeps a bound."""

from collections.abc import Callable

import numpy as np

_ENOUGH = 0.8
_AIM = 0.9


def fraction_within(divergence: Callable[[float], float], bound: float, max_trials: int = 12) -> float:
    """
    The whole step if it keeps the bound. Else a part of it that nearly reaches the bound. The divergence of a short step grows
    with the square of its length, that of a long one may grow faster: guesses go by the square until there is a fraction that
    keeps the bound, and then by the power that two fractions tell.

    :param divergence: Of a fraction of the step, from 0 to 1. It grows with the fraction, from 0.
    :param bound: The most that it may be.
    :param max_trials: How often it is measured.
    :return: The longest fraction found, of those that keep the bound; 0 for none. Where it is not 1, the divergence is at
        least four fifths of the bound, if that was found in time.
    """
    within, beyond, fraction = (0.0, 0.0), (1.0, np.inf), 1.0
    for trial in range(max_trials):
        value = divergence(fraction)
        if value <= bound and (value >= _ENOUGH * bound or trial == 0):
            return fraction
        if value <= bound:
            within = (fraction, value)
        else:
            beyond = (fraction, value)
        fraction = _guess(within, beyond, _AIM * bound, is_cautious=trial % 3 == 2)
    return within[0]


def _guess(within: tuple[float, float], beyond: tuple[float, float], aim: float, is_cautious: bool) -> float:
    """Between two fractions, of which and of whose divergences one keeps the bound and one does not."""
    (low, low_value), (high, high_value) = within, beyond
    if not np.isfinite(high_value):
        return (low + high) / 2 if low else 0.1 * high
    if low_value <= 0.0:
        return max(high * float(np.sqrt(aim / high_value)), (low + high) / 2 if low else 0.0)
    if is_cautious:  # the middle, for a curve that is no power
        return float(np.sqrt(low * high))
    share = np.log(aim / low_value) / np.log(high_value / low_value)
    return low * float((high / low) ** share)
