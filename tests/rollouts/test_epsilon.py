import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st

from sb3_reinforce import EpsilonSchedule
from sb3_reinforce.rollouts.epsilon import log_uniform_density


def test_epsilon_falls_by_the_decrement_and_stays_at_the_end() -> None:
    schedule = EpsilonSchedule()
    assert schedule.value(0) == 1.0
    assert schedule.value(1) == pytest.approx(0.998)
    assert schedule.value(475) == pytest.approx(0.05)
    assert schedule.value(10_000) == 0.05


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.integers(0, 3000))
def test_epsilon_equals_falling_step_by_step(a: float, b: float, decrement: float, episode: int) -> None:
    start, end = max(a, b), min(a, b)
    slow = start
    for _ in range(episode):
        slow = max(end, slow - decrement)
        if slow == end:
            break
    assert EpsilonSchedule(start, end, decrement).value(episode) == pytest.approx(slow, abs=1e-9)


@pytest.mark.parametrize(
    "arguments", [{"start": 1.1}, {"end": -0.1}, {"start": 0.1, "end": 0.2}, {"decrement": -1.0}, {"decrement": np.nan}]
)
def test_values_out_of_range_are_refused(arguments: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="EpsilonSchedule"):
        EpsilonSchedule(**arguments)


@pytest.mark.parametrize(
    ("space", "count"),
    [(spaces.Discrete(5), 5), (spaces.MultiDiscrete([2, 3, 4]), 24), (spaces.MultiBinary(3), 8)],
)
def test_uniform_over_finite_spaces(space: spaces.Space, count: int) -> None:
    assert log_uniform_density(space, th.zeros(1)) == pytest.approx(-np.log(count))


def test_uniform_over_a_box_is_zero_outside() -> None:
    space = spaces.Box(np.array([-1.0, 0.0]), np.array([1.0, 4.0]), dtype=np.float32)
    actions = th.tensor([[0.0, 2.0], [1.0, 4.0], [1.5, 2.0]])
    density = log_uniform_density(space, actions)
    assert isinstance(density, th.Tensor)
    np.testing.assert_allclose(density.exp(), [1 / 8, 1 / 8, 0.0], rtol=1e-6)


def test_other_spaces_have_no_uniform_distribution() -> None:
    with pytest.raises(ValueError, match="no uniform distribution"):
        log_uniform_density(spaces.Text(3), th.zeros(1))
