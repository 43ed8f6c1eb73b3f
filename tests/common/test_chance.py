import random

import numpy as np
import pytest
import torch as th
from hypothesis import given
from hypothesis import strategies as st

from sb3_reinforce.common.chance import (
    environments_seed,
    keeps_global_generators,
    rollout_generator,
    seed_global_generators,
)

SEEDS = st.integers(0, 2**32 - 1)


def draws() -> tuple[float, float, float]:
    return random.random(), np.random.random(), float(th.rand(1))


@given(seed=SEEDS, number=st.integers(0, 10**6), other=st.tuples(SEEDS, st.integers(0, 10**6)))
def test_chance_is_a_function_of_seed_and_number(seed: int, number: int, other: tuple[int, int]) -> None:
    first = rollout_generator(seed, number).random(4)
    np.testing.assert_array_equal(first, rollout_generator(seed, number).random(4))
    assert np.array_equal(first, rollout_generator(*other).random(4)) == (other == (seed, number))


@given(seed=SEEDS, n_envs=st.integers(1, 5_000))
def test_seeds_of_environments_fit_into_31_bits(seed: int, n_envs: int) -> None:
    first = environments_seed(rollout_generator(seed, 0), n_envs)
    assert 0 <= first <= first + n_envs - 1 < 2**31


def test_rollouts_are_independent() -> None:
    numbers = np.array([rollout_generator(0, number).random() for number in range(2_000)])
    assert abs(numbers.mean() - 0.5) < 0.03
    assert abs(np.corrcoef(numbers[1:], numbers[:-1])[0, 1]) < 0.08


def test_global_generators_are_seeded() -> None:
    seed_global_generators(5, th.device("cpu"))
    first = draws()
    assert draws() != first
    seed_global_generators(5, th.device("cpu"))
    assert draws() == first


@pytest.mark.parametrize("fails", [False, True])
def test_what_keeps_the_global_generators(fails: bool) -> None:
    @keeps_global_generators
    def function(number: int, *, other: int) -> int:
        """Something."""
        seed_global_generators(number, th.device("cpu"))
        draws()
        return number // other

    seed_global_generators(1, th.device("cpu"))
    expected = draws()
    seed_global_generators(1, th.device("cpu"))
    if fails:
        with pytest.raises(ZeroDivisionError):
            function(5, other=0)
    else:
        assert function(5, other=2) == 2
    assert draws() == expected
    assert function.__doc__ == "Something."
