import pytest
import torch as th
from hypothesis import given, settings
from hypothesis import strategies as st

from sb3_reinforce.gradient.conjugate_gradients import conjugate_gradients, estimated_mean_diagonal


def draw(n: int, rank: int, seed: int) -> tuple[th.Tensor, th.Tensor]:
    """A matrix of that rank, and a vector that it can reach."""
    generator = th.Generator().manual_seed(seed)
    root = th.randn(n, rank, dtype=th.float64, generator=generator)
    matrix = root @ root.T
    return matrix, matrix @ th.randn(n, dtype=th.float64, generator=generator)


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**31))
def test_it_solves_what_can_be_solved(n: int, rank: int, seed: int) -> None:
    matrix, b = draw(n, rank, seed)
    x = conjugate_gradients(matrix.mv, b, 10 * n, 1e-10)
    assert float((matrix @ x - b).norm() / b.norm()) < 1e-6


@given(st.integers(2, 12), st.integers(0, 5), st.integers(0, 2**31))
def test_wherever_it_stops_the_step_knows_its_length(n: int, max_iterations: int, seed: int) -> None:
    matrix, b = draw(n, n, seed)
    x = conjugate_gradients(matrix.mv, b, max_iterations, 0.0)
    assert float(b @ x) == pytest.approx(float(x @ matrix @ x), rel=1e-6)


def test_it_stops_when_the_residual_is_small_enough() -> None:
    matrix, b = draw(30, 30, 0)
    n_products = []
    for tolerance in (0.5, 1e-9):
        products: list[th.Tensor] = []

        def product(vector: th.Tensor, products: list[th.Tensor] = products) -> th.Tensor:
            products.append(vector)
            return matrix @ vector

        x = conjugate_gradients(product, b, 1_000, tolerance)
        assert float((matrix @ x - b).norm() / b.norm()) <= tolerance * (1 + 1e-3)
        n_products.append(len(products))
    assert n_products[0] < n_products[1]


def test_nothing_is_the_solution_for_nothing() -> None:
    assert not conjugate_gradients(draw(4, 4, 0)[0].mv, th.zeros(4, dtype=th.float64), 10, 1e-6).any()


@settings(max_examples=10)
@given(st.integers(1, 12), st.integers(0, 2**31))
def test_the_mean_of_the_diagonal(n: int, seed: int) -> None:
    matrix, b = draw(n, n, seed)
    assert estimated_mean_diagonal(matrix.mv, b, 2_000) == pytest.approx(float(matrix.diagonal().mean()), rel=0.2)
    diagonal = matrix.diagonal()
    assert estimated_mean_diagonal(lambda v: diagonal * v, b, 1) == pytest.approx(float(diagonal.mean()))
