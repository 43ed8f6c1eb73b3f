import numpy as np
import torch as th
from hypothesis import given
from hypothesis import strategies as st

from sb3_reinforce.gradient.fisher_blocks import FisherBlock, dense
from sb3_reinforce.gradient.step_memory import StepMemory


def blocks_of(*matrices: np.ndarray) -> list[FisherBlock]:
    starts = np.cumsum([0, *(len(matrix) for matrix in matrices)])
    return [
        FisherBlock.single(th.as_tensor(matrix), th.arange(start, start + len(matrix)).unsqueeze(0))
        for start, matrix in zip(starts, matrices, strict=False)
    ]


@given(st.integers(0, 2**31), st.lists(st.integers(1, 1_000), min_size=1, max_size=5))
def test_each_timestep_counts_the_same(seed: int, lengths: list[int]) -> None:
    rng = np.random.default_rng(seed)
    rollouts = [blocks_of(rng.normal(size=(2, 2)), rng.normal(size=(3, 3))) for _ in lengths]
    memory = StepMemory()
    memory.start(rollouts[0], 5)
    for blocks, n_timesteps in zip(rollouts, lengths, strict=True):
        assert memory.fits(blocks, 5)
        memory.add(memory.mean_with(blocks, n_timesteps), n_timesteps, th.zeros(5))
    expected = np.average([dense(blocks).numpy() for blocks in rollouts], axis=0, weights=lengths)
    np.testing.assert_allclose(dense(memory.mean(rollouts[0])).numpy(), expected, rtol=1e-9, atol=1e-12)
    assert (memory.n_steps, memory.n_timesteps) == (len(lengths), sum(lengths))


def test_it_fits_the_parameters_that_it_is_of() -> None:
    memory, blocks = StepMemory(), blocks_of(np.eye(2), np.eye(3))
    assert not memory.fits(blocks, 5), "before the first step"
    memory.start(blocks, 5)
    assert memory.fits(blocks_of(7.0 * np.eye(2), np.ones((3, 3))), 5)
    assert not memory.fits(blocks, 6)
    assert not memory.fits(blocks_of(np.eye(2)), 5)
    assert not memory.fits(blocks_of(np.eye(2), np.eye(4)), 5)


def test_to_start_is_to_forget() -> None:
    memory = StepMemory()
    memory.start(blocks_of(np.eye(2)), 2)
    memory.add(blocks_of(np.eye(2)), 10, th.ones(2))
    assert memory.recent.tolist() == [1.0, 1.0]
    memory.start(blocks_of(5.0 * np.eye(3)), 3)
    assert (memory.n_steps, memory.n_timesteps, memory.recent.tolist()) == (0, 0, [0.0, 0.0, 0.0])
    np.testing.assert_array_equal(memory.matrices[0], 5.0 * np.eye(3))
