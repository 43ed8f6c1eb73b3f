import itertools
from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st

from sb3_reinforce import FourierBasis
from sb3_reinforce.features.fourier_basis import fourier_coefficients, fourier_features, n_fourier_features

coordinate = st.floats(0, 1, width=32)


@given(st.integers(1, 4), st.integers(1, 4), st.none() | st.integers(1, 5))
def test_fourier_coefficients_are_all_vectors_with_few_enough_entries(n_dims: int, order: int, coupling: int | None) -> None:
    slow = [
        c for c in itertools.product(range(order + 1), repeat=n_dims) if coupling is None or np.count_nonzero(c) <= coupling
    ]
    assert fourier_coefficients(n_dims, order, coupling).tolist() == [list(c) for c in slow]
    assert n_fourier_features(n_dims, order, coupling) == len(slow)


def test_the_full_fourier_basis_has_as_many_features_as_the_paper_says() -> None:
    assert FourierBasis(spaces.Box(-1, 1, (4,)), order=5).features_dim == 6**4
    assert FourierBasis(spaces.Box(-1, 1, (6,)), order=3, max_coupling=1).features_dim == 6 * 3 + 1
    assert FourierBasis(spaces.Box(0, 1, (2,))).features_dim == 16


@given(st.lists(st.lists(coordinate, min_size=3, max_size=3), min_size=1, max_size=4), st.integers(1, 3))
def test_fourier_features_equal_the_formula(points: list[list[float]], order: int) -> None:
    coefficients = fourier_coefficients(3, order)
    slow = [[np.cos(np.pi * sum(c * x for c, x in zip(row, p, strict=True))) for row in coefficients] for p in points]
    array = np.array(points, np.float32)
    np.testing.assert_allclose(fourier_features(array, coefficients), slow, atol=1e-5)
    tensors = fourier_features(th.as_tensor(array), th.as_tensor(coefficients))
    np.testing.assert_allclose(tensors.numpy(), slow, atol=1e-5)


def test_fourier_features_by_hand() -> None:
    features = fourier_features(np.array([[0.0, 0.0], [1.0, 0.0], [0.5, 1.0]]), fourier_coefficients(2, 1))
    np.testing.assert_allclose(features, [[1, 1, 1, 1], [1, 1, -1, -1], [1, -1, 0, 0]], atol=1e-12)


@pytest.mark.parametrize("argument", ["order", "max_coupling"])
@pytest.mark.parametrize("value", [0, 1.5, "2", True])
def test_arguments_that_are_no_integers_of_at_least_1_are_refused(argument: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"{argument} of FourierBasis must be an integer of at least 1.*but got {value!r}"):
        FourierBasis(spaces.Box(0, 1, (2,)), **{argument: value})


@pytest.mark.parametrize("n_dims", [6, 1000])
def test_too_many_features_are_refused_before_they_are_made(n_dims: int) -> None:
    with pytest.raises(ValueError, match=r"more than 10,000. Use max_coupling=2, or an order below 9"):
        FourierBasis(spaces.Box(-1, 1, (n_dims,)), order=9)


def test_more_coupling_than_there_are_dimensions_is_all_of_it() -> None:
    assert FourierBasis(spaces.Box(0, 1, (2,)), max_coupling=10**9).features_dim == 16
