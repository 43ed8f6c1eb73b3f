"""Tile coding: displaced grids over the observation."""

from functools import partial

import numpy as np
import torch as th
from gymnasium import spaces

from sb3_reinforce.common.constraints import Interval, Table, check_arguments
from sb3_reinforce.common.known import known_exactly
from sb3_reinforce.features.fixed_features import Array, FixedFeatures, check_number_of_features, check_vector_space

_ARGUMENTS: Table = {"n_tilings": [Interval(1, integer=True)], "n_tiles": [Interval(1, integer=True)]}


def tile_offsets(n_dims: int, n_tilings: int) -> np.ndarray:
    r"""
    By how much each tiling is displaced, as a fraction of a tile: tiling i by
    i / n_tilings times the displacement vector :math:`(1, 3, 5, \dots, 2d - 1)`, whole tiles left out.
    Sutton and Barto (2018), section 9.5.4, figure 9.11.

    :param n_dims: d, the dimensions of the points.
    :param n_tilings: Number of tilings.
    :return: At least 0 and below 1. Shape ``(n_tilings, n_dims)``, float32.
    """
    steps = np.arange(n_tilings)[:, np.newaxis] * (2 * np.arange(n_dims) + 1)
    return (steps % n_tilings / n_tilings).astype(np.float32)


def tile_features(points: Array, offsets: Array, n_tiles: int) -> Array:
    """
    For each tiling, 1 for the tile that the point lies in and 0 for the others.
    Sutton and Barto (2018), section 9.5.4.

    A displaced tiling needs one more tile along each dimension to cover the unit cube, so each of them
    has ``(n_tiles + 1) ** n_dims``.

    :param points: In the unit cube. Shape ``(batch, n_dims)``.
    :param offsets: As from :func:`tile_offsets`. Shape ``(n_tilings, n_dims)``.
    :param n_tiles: How many tiles go into the unit length.
    :return: One tiling after the other. Shape ``(batch, n_tilings * (n_tiles + 1) ** n_dims)``.
    """
    coordinates = (n_tiles * points[:, None, :] + offsets) // 1
    numbers = coordinates[:, :, 0]
    for dim in range(1, offsets.shape[1]):
        numbers = (n_tiles + 1) * numbers + coordinates[:, :, dim]
    n_tiles_of_tiling = (n_tiles + 1) ** offsets.shape[1]
    # All tiles are compared: NaN, which the rollout will report, is in none of them
    if isinstance(numbers, th.Tensor):
        is_in = numbers[:, :, None] == th.arange(n_tiles_of_tiling, device=numbers.device)
        return is_in.flatten(start_dim=1).to(numbers.dtype)  # type: ignore[return-value]
    return (numbers[:, :, None] == np.arange(n_tiles_of_tiling)).reshape(len(points), -1).astype(points.dtype)


@known_exactly
class TileCoding(FixedFeatures):
    r"""
    Tile coding, Sutton and Barto (2018), section 9.5.4: several grids over the observation, each displaced a little
    against the others, and for each a one-hot vector of the tile that the observation lies in.

    ``n_tiles`` tiles of a grid go into the range of each dimension, and one more, since grids are displaced.
    Generalisation is as wide as a tile, and resolution ``n_tilings`` times as fine. Tiling i is displaced by i / n_tilings
    of a tile times (1, 3, 5, ...); as the book says, ``n_tilings`` is best a power of 2 and at least
    4 times the number of dimensions. As many features as tilings are 1 at a time, so a learning rate
    goes ``n_tilings`` times as far as with one-hot observations.

    Dimensions are brought to the unit interval by the bounds of the space, or, where these are infinite or beyond
    a million, by running statistics of what is learned from: see :class:`FixedFeatures` and, on ``VecNormalize``,
    :class:`FourierBasis`.

    The number of tiles, ``n_tilings * (n_tiles + 1) ** n_dims``, is too large for more than four or so dimensions:
    use :class:`FourierBasis` there.

    :param observation_space: Box, of any shape, but no image.
    :param n_tilings: Number of tilings.
    :param n_tiles: How many tiles go into the range of a dimension.
    :raises ValueError: If the space is another, an argument is below 1, or there would be more than 10,000 tiles.
    """

    def __init__(self, observation_space: spaces.Box, n_tilings: int = 8, n_tiles: int = 8) -> None:
        n_dims = check_vector_space("TileCoding", observation_space)
        check_arguments(_ARGUMENTS, {"n_tilings": n_tilings, "n_tiles": n_tiles}, "TileCoding")
        n_features = n_tilings * (n_tiles + 1) ** n_dims
        remedy = "Use fewer n_tiles or n_tilings, or FourierBasis with max_coupling."
        check_number_of_features("TileCoding", n_features, n_dims, remedy)
        super().__init__(
            observation_space, n_features, partial(tile_features, n_tiles=n_tiles), tile_offsets(n_dims, n_tilings)
        )
