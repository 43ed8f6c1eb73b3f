import pytest
import torch as th
from hypothesis import given
from hypothesis import strategies as st

from sb3_reinforce.gradient.fisher_blocks import FisherBlock, dense, mean_diagonal, places_of_outputs, product, solve

seeds = st.integers(0, 2**31)


def draw_blocks(seed: int, sizes: list[int], n_copies: int) -> list[FisherBlock]:
    """Positive definite, on parameters in a random order; the last one has copies of different scales."""
    generator = th.Generator().manual_seed(seed)
    copies = [1] * (len(sizes) - 1) + [n_copies]
    numbers = th.randperm(sum(n * c for n, c in zip(sizes, copies, strict=True)), generator=generator)
    places = numbers.split([n * c for n, c in zip(sizes, copies, strict=True)])
    blocks = []
    for n, c, part in zip(sizes, copies, places, strict=True):
        root = th.randn(n, n, dtype=th.float64, generator=generator)
        scales = 0.1 + th.rand(c, dtype=th.float64, generator=generator).round(decimals=1)
        blocks.append(FisherBlock(root @ root.T, scales, part.view(c, n)))
    return blocks


@given(seeds, st.lists(st.integers(1, 5), min_size=1, max_size=3), st.integers(1, 4), st.floats(1e-3, 10))
def test_the_solution_is_that_of_the_dense_matrix(seed: int, sizes: list[int], n_copies: int, damping: float) -> None:
    blocks = draw_blocks(seed, sizes, n_copies)
    matrix = dense(blocks)
    assert mean_diagonal(blocks) == pytest.approx(float(matrix.diagonal().mean()))
    gradient = th.randn(len(matrix), dtype=th.float64, generator=th.Generator().manual_seed(seed))
    shifted = matrix + damping * matrix.diagonal().mean() * th.eye(len(matrix), dtype=th.float64)
    th.testing.assert_close(solve(blocks, gradient, damping), th.linalg.solve(shifted, gradient), rtol=1e-8, atol=1e-10)


@given(seeds, st.lists(st.integers(1, 5), min_size=1, max_size=3), st.integers(1, 4), st.floats(0, 10))
def test_the_product_is_that_of_the_dense_matrix(seed: int, sizes: list[int], n_copies: int, damping: float) -> None:
    blocks = draw_blocks(seed, sizes, n_copies)
    matrix = dense(blocks)
    vector = th.randn(len(matrix), dtype=th.float64, generator=th.Generator().manual_seed(seed))
    shifted = matrix + damping * matrix.diagonal().mean() * th.eye(len(matrix), dtype=th.float64)
    th.testing.assert_close(product(blocks, vector, damping), shifted @ vector, rtol=1e-8, atol=1e-10)


@given(seeds, st.lists(st.booleans(), min_size=3, max_size=3), st.integers(1, 3))
def test_restricted_it_is_the_dense_matrix_without_the_other_rows(seed: int, kept: list[bool], n_copies: int) -> None:
    blocks = draw_blocks(seed, [3], n_copies)
    is_learned = th.zeros(3 * n_copies, dtype=th.bool)
    is_learned[blocks[0].places] = th.tensor(kept)
    expected = dense(blocks)[is_learned][:, is_learned]
    th.testing.assert_close(dense([block.restricted(is_learned) for block in blocks]), expected)


def test_blocks_of_several_states_add_up() -> None:
    one, two = draw_blocks(0, [3], 2), draw_blocks(0, [3], 2)
    both = [a.plus(b).times(0.5) for a, b in zip(one, two, strict=True)]
    th.testing.assert_close(dense(both), dense(one))


def test_where_the_matrix_is_singular_the_solution_is_nan() -> None:
    blocks = [FisherBlock.single(th.zeros(2, 2), th.tensor([[0, 1]])), FisherBlock.single(th.eye(2), th.tensor([[2, 3]]))]
    solution = solve(blocks, th.ones(4), damping=0.0)
    assert solution[:2].isnan().all()
    assert solution[2:].tolist() == [1.0, 1.0]


def test_places_are_weights_first_and_then_biases() -> None:
    assert [places.tolist() for places in places_of_outputs([1, 2], 2)] == [[[0, 1, 6]], [[2, 3, 4, 5, 7, 8]]]
