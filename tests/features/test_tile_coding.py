import itertools
from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st

from sb3_reinforce import TileCoding
from sb3_reinforce.features.tile_coding import tile_features, tile_offsets


def points_of(n: int, n_dims: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((n, n_dims), dtype=np.float32)


def tile_slowly(point: list[float], n_tilings: int, n_tiles: int) -> list[float]:
    """Tile by tile: it has the point if its edges, moved back by the displacement, lie around it."""
    features = []
    for tiling in range(n_tilings):
        # In units of 1 / (n_tilings * n_tiles), so that all but the point is whole
        displacement = [tiling * (2 * dim + 1) % n_tilings for dim in range(len(point))]
        for tile in itertools.product(range(n_tiles + 1), repeat=len(point)):
            lower = [n_tilings * number - shift for number, shift in zip(tile, displacement, strict=True)]
            position = [x * n_tilings * n_tiles for x in point]
            features.append(float(all(low <= x < low + n_tilings for low, x in zip(lower, position, strict=True))))
    return features


# Multiples of 1/1024 and numbers of tilings that are powers of two: everything is exact, edges included
@given(
    st.integers(1, 3).flatmap(
        lambda n: st.lists(st.lists(st.integers(0, 1024), min_size=n, max_size=n), min_size=1, max_size=3)
    ),
    st.sampled_from([1, 2, 4, 8]),
    st.integers(1, 4),
)
def test_tile_features_equal_looking_at_every_tile(points: list[list[int]], n_tilings: int, n_tiles: int) -> None:
    array = np.array(points, np.float32) / 1024
    offsets = tile_offsets(array.shape[1], n_tilings)
    slow = [tile_slowly(point, n_tilings, n_tiles) for point in array.tolist()]
    features = tile_features(array, offsets, n_tiles)
    assert features.dtype == np.float32
    assert features.tolist() == slow
    assert tile_features(th.as_tensor(array), th.as_tensor(offsets), n_tiles).tolist() == slow


@given(st.integers(1, 3), st.integers(1, 9), st.integers(1, 5), st.integers(0, 2**31))
def test_every_point_is_in_one_tile_of_each_tiling(n_dims: int, n_tilings: int, n_tiles: int, seed: int) -> None:
    points = np.vstack([points_of(20, n_dims, seed), np.zeros(n_dims), np.ones(n_dims)]).astype(np.float32)
    features = tile_features(points, tile_offsets(n_dims, n_tilings), n_tiles)
    by_tiling = features.reshape(len(points), n_tilings, (n_tiles + 1) ** n_dims)
    assert (by_tiling.sum(axis=2) == 1).all()
    assert set(np.unique(features)) <= {0.0, 1.0}


def test_tilings_are_displaced_as_in_figure_9_11() -> None:
    assert (4 * tile_offsets(2, 4)).tolist() == [[0, 0], [1, 3], [2, 2], [3, 1]]


def test_points_share_the_more_tiles_the_nearer_they_are() -> None:
    line = np.linspace(0, 1, 101, dtype=np.float32)[:, np.newaxis]
    features = tile_features(line, tile_offsets(1, 8), n_tiles=4)
    shared = features @ features[50]
    assert shared[50] == 8
    assert (np.diff(shared[:51]) >= 0).all()
    assert (np.diff(shared[50:]) <= 0).all()
    assert (shared[np.abs(line[:, 0] - 0.5) >= 0.25] == 0).all()


@pytest.mark.parametrize("argument", ["n_tilings", "n_tiles"])
@pytest.mark.parametrize("value", [0, 1.5, "2", None])
def test_arguments_that_are_no_integers_of_at_least_1_are_refused(argument: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"{argument} of TileCoding must be an integer of at least 1, but got {value!r}"):
        TileCoding(spaces.Box(0, 1, (2,)), **{argument: value})


@pytest.mark.parametrize("n_dims", [6, 1000])
def test_too_many_features_are_refused_before_they_are_made(n_dims: int) -> None:
    with pytest.raises(ValueError, match=r"more than 10,000. Use fewer n_tiles"):
        TileCoding(spaces.Box(-1, 1, (n_dims,)))
