import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sb3_reinforce.gradient.line_search import fraction_within

scales, bounds = st.floats(1e-4, 1e4), st.floats(1e-4, 1.0)


@given(scales, st.floats(1.0, 5.0), bounds)
def test_a_step_that_is_too_long_nearly_reaches_the_bound(scale: float, power: float, bound: float) -> None:
    """However much faster than the square of its length the divergence grows."""
    fraction = fraction_within(lambda f: scale * f**power, bound, max_trials=60)
    assert 0 < fraction <= 1
    value = scale * fraction**power
    assert value <= bound
    assert fraction == 1 or value >= 0.8 * bound


@given(scales, bounds)
def test_a_square_takes_two_trials(scale: float, bound: float) -> None:
    trials: list[float] = []

    def divergence(fraction: float) -> float:
        trials.append(fraction)
        return scale * fraction**2

    fraction_within(divergence, bound)
    assert trials[0] == 1
    assert len(trials) == (1 if scale <= bound else 2)


def test_a_step_that_leads_to_no_distribution_is_shortened() -> None:
    for wrong in (np.inf, np.nan):  # as from parameters that overflow
        fraction = fraction_within(lambda f, wrong=wrong: f**2 if f < 0.5 else wrong, 0.01)
        assert 0.8 * 0.01 <= fraction**2 <= 0.01


def test_where_no_step_keeps_the_bound_there_is_none() -> None:
    assert fraction_within(lambda fraction: 1.0, 0.01) == 0
