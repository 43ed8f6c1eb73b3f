r"""
Fixed feature maps: what a linear policy needs to say more than a straight line.

They are SB3 features extractors without parameters, so they go with every SB3 policy, and a
``LinearSoftmaxPolicy`` stays linear in its parameters with them::

    policy_kwargs = dict(features_extractor_class=FourierBasis, features_extractor_kwargs=dict(order=3))
    REINFORCE("LinearSoftmaxPolicy", "MountainCar-v0", policy_kwargs=policy_kwargs)

The bases themselves are pure functions of points of the unit cube, of arrays and of tensors alike:
REINFORCE acts by the ones and learns by the others.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import combinations, product
from math import comb
from typing import Any, TypeVar

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn

Array = TypeVar("Array", np.ndarray, th.Tensor)
SelfFixedFeatures = TypeVar("SelfFixedFeatures", bound="FixedFeatures")

MAX_FEATURES = 10_000
"""More are refused: for a batch of 8192 timesteps they would take more than a third of a GB."""
_NO_BOUND = 1e6
_RANGE_IN_STDS = 3.0


def fourier_coefficients(n_dims: int, order: int, max_coupling: int | None = None) -> np.ndarray:
    r"""
    The vectors :math:`c \in \{0, \dots, n\}^d` of the Fourier basis, in lexicographic order.
    Konidaris, Osentoski and Thomas (2011), "Value function approximation in reinforcement learning
    using the Fourier basis", eq. 4 and the text after it.

    :param n_dims: d, the dimensions of the points.
    :param order: n, the highest frequency in half periods over the unit interval.
    :param max_coupling: How many entries of a vector may differ from 0; None for all.
    :return: Shape ``(n_features, n_dims)``, float32, with n_features as from :func:`n_fourier_features`.
    """
    max_coupling = n_dims if max_coupling is None else max_coupling
    vectors = []
    for n_coupled in range(min(max_coupling, n_dims) + 1):
        for dims in combinations(range(n_dims), n_coupled):
            for frequencies in product(range(1, order + 1), repeat=n_coupled):
                vector = np.zeros(n_dims, dtype=np.float32)
                vector[list(dims)] = frequencies
                vectors.append(vector)
    return np.array(sorted(vectors, key=tuple))


def n_fourier_features(n_dims: int, order: int, max_coupling: int | None = None) -> int:
    """
    :param n_dims: Dimensions of the points.
    :param order: Highest frequency.
    :param max_coupling: How many dimensions a feature may depend on; None for all.
    :return: How many features there are, ``(order + 1) ** n_dims`` with all couplings.
    """
    max_coupling = n_dims if max_coupling is None else max_coupling
    return sum(comb(n_dims, n_coupled) * order**n_coupled for n_coupled in range(max_coupling + 1))


def fourier_features(points: Array, coefficients: Array) -> Array:
    r"""
    :math:`\phi_i(x) = \cos(\pi c_i \cdot x)`. Konidaris, Osentoski and Thomas (2011), eq. 4.

    :param points: In the unit cube. Shape ``(batch, n_dims)``.
    :param coefficients: :math:`c`. Shape ``(n_features, n_dims)``.
    :return: From -1 to 1. Shape ``(batch, n_features)``.
    """
    half_turns = points @ coefficients.T
    if isinstance(half_turns, th.Tensor):
        return th.cos(np.pi * half_turns)  # type: ignore[return-value]
    return np.cos(np.pi * half_turns)


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


def to_unit_cube(observations: Array, low: Array, width: Array) -> Array:
    """
    :param observations: Shape ``(batch, n_dims)``.
    :param low: What becomes 0. Shape ``(n_dims,)``.
    :param width: By how much more something becomes 1. Shape ``(n_dims,)``.
    :return: Points of the unit cube; observations out of the range are moved to its nearest end.
        Shape ``(batch, n_dims)``.
    """
    return ((observations - low) / width).clip(0, 1)


def merge_moments(mean: th.Tensor, variance: th.Tensor, n: th.Tensor, values: th.Tensor) -> tuple[th.Tensor, th.Tensor]:
    """
    Mean and variance with more values taken in, without the loss of digits that sums of squares have.
    Chan, Golub and LeVeque (1979), "Updating formulae and a pairwise algorithm for computing sample
    variances", eq. 2.1.

    :param mean: So far. Shape ``(n_dims,)``.
    :param variance: So far, with divisor n. Shape ``(n_dims,)``.
    :param n: How many values they are of.
    :param values: New ones. Shape ``(batch, n_dims)``.
    :return: Mean and variance of all ``n + batch``. Shapes ``(n_dims,)``.
    """
    share = len(values) / (n.to(values.dtype) + len(values))  # an integer n would make it float32
    distance = values.mean(dim=0) - mean
    spread = (1 - share) * variance + share * values.var(dim=0, unbiased=False)
    return mean + share * distance, spread + share * (1 - share) * distance**2


class FixedFeatures(BaseFeaturesExtractor):
    """
    A basis without parameters, of observations brought to the unit cube: by the bounds of the space, or by running
    statistics along dimensions that have none.

    Running statistics are taken from what is passed through in training mode, which is what is learned from: by
    REINFORCE once a rollout, by SB3's algorithms in each of their passes (:func:`unobserved` makes exceptions). The
    range they make, three standard deviations to each side of the mean, is the one in use only after the next change
    to evaluation mode. SB3's algorithms change to it when they begin to collect, so the features with which the
    gradient is computed are those with which the actions were chosen, and acting changes nothing. All of it is in
    the ``state_dict``, and so saved and loaded with the model.

    :param observation_space: Box.
    :param n_features: Features of an observation.
    :param basis: From points of the unit cube, shape ``(batch, n_dims)``, and the constants to features, of arrays
        as of tensors.
    :param constants: What the basis needs.
    """

    # DQN takes buffers of these names over to its target net, as batch normalisation's
    running_mean: th.Tensor
    running_var: th.Tensor
    running_low: th.Tensor
    running_width: th.Tensor
    n_observed: th.Tensor
    _is_unbounded: th.Tensor
    _constants: th.Tensor

    def __init__(
        self, observation_space: spaces.Box, n_features: int, basis: Callable[[Any, Any], Any], constants: np.ndarray
    ) -> None:
        super().__init__(observation_space, n_features)
        low, high = (
            th.as_tensor(bound.flatten(), dtype=th.float32) for bound in (observation_space.low, observation_space.high)
        )
        self._basis = basis
        self.register_buffer("_constants", th.as_tensor(constants), persistent=False)
        self.register_buffer("_is_unbounded", (low < -_NO_BOUND) | (high > _NO_BOUND), persistent=False)
        self.register_buffer("n_observed", th.zeros((), dtype=th.int64))
        self.register_buffer("running_mean", th.zeros_like(low))
        self.register_buffer("running_var", th.ones_like(low))
        self.register_buffer("running_low", low)
        self.register_buffer("running_width", th.where(high > low, high - low, 1.0))
        self._has_statistics = bool(self._is_unbounded.any())
        self.is_observing = True
        self._use_statistics()

    def forward(self, observations: th.Tensor) -> th.Tensor:
        """
        :param observations: Shape ``(batch, *observation_shape)``.
        :return: Shape ``(batch, n_features)``.
        """
        observations = observations.flatten(start_dim=1)
        if self.training and self._has_statistics and self.is_observing:
            self._observe(observations)
        return self._basis(to_unit_cube(observations, self.running_low, self.running_width), self._constants)

    @th.no_grad()
    def _observe(self, observations: th.Tensor) -> None:
        mean, variance = merge_moments(self.running_mean, self.running_var, self.n_observed, observations)
        self.running_mean.copy_(mean)
        self.running_var.copy_(variance)
        self.n_observed += len(observations)

    def train(self: SelfFixedFeatures, mode: bool = True) -> SelfFixedFeatures:
        """
        Change to training or to evaluation mode, with which the running statistics come into use.

        :param mode: Whether to training mode.
        :return: Itself.
        """
        if not mode and self._has_statistics:
            self._use_statistics()
        return super().train(mode)

    @th.no_grad()
    def _use_statistics(self) -> None:
        std = th.sqrt(self.running_var + 1e-8)
        low, width = self.running_mean - _RANGE_IN_STDS * std, 2 * _RANGE_IN_STDS * std
        self.running_low.copy_(th.where(self._is_unbounded, low, self.running_low))
        self.running_width.copy_(th.where(self._is_unbounded, width, self.running_width))

    def in_numpy(self) -> Callable[[np.ndarray], np.ndarray]:
        """
        :return: A function of arrays that does what :meth:`forward` does in evaluation mode, from shape
            ``(batch, *observation_shape)`` to ``(batch, n_features)``. Good until the next change of mode.
        """
        low, width, constants = (tensor.cpu().numpy() for tensor in (self.running_low, self.running_width, self._constants))

        def features(observations: np.ndarray) -> np.ndarray:
            observations = observations.reshape(len(observations), -1).astype(np.float32, copy=False)
            return self._basis(to_unit_cube(observations, low, width), constants)

        return features


@contextmanager
def unobserved(module: nn.Module) -> Iterator[None]:
    """
    Within, :class:`FixedFeatures` take no statistics of what is passed through them, in training mode either: it is only
    looked at, or was seen before.

    :param module: A policy, or whatever holds features extractors.
    """
    observing = [part for part in module.modules() if isinstance(part, FixedFeatures) and part.is_observing]
    for part in observing:
        part.is_observing = False
    try:
        yield
    finally:
        for part in observing:
            part.is_observing = True


def _check_space(name: str, space: spaces.Space) -> int:
    """How many dimensions the observations have, if the feature map can serve them."""
    if not isinstance(space, spaces.Box) or is_image_space(space):
        raise ValueError(
            f"{name} serves Box observations that are no images, but these are {space}. Use 'CnnPolicy' for images, "
            "'MultiInputPolicy' for Dict observations, and no features extractor for discrete ones: they are one-hot already."
        )
    return int(np.prod(space.shape))


def _check_at_least_1(name: str, **arguments: int) -> None:
    for argument, value in arguments.items():
        if value < 1:
            raise ValueError(f"{name} needs {argument} of at least 1, but got {value}.")


def _check_number(name: str, n_features: int, n_dims: int, remedy: str) -> None:
    if n_features > MAX_FEATURES:
        raise ValueError(
            f"{name} would make {n_features:,} features of observations with {n_dims} dimensions, more than {MAX_FEATURES:,}. "
            f"{remedy}"
        )


class FourierBasis(FixedFeatures):
    r"""
    The Fourier basis of Konidaris, Osentoski and Thomas (2011), "Value function approximation in
    reinforcement learning using the Fourier basis", eq. 4: smooth features, few of them, good at first try.

    .. math:: \phi_i(x) = \cos(\pi c^i \cdot x), \quad c^i \in \{0, \dots, n\}^d

    of the observation x, brought to the unit cube. The full basis has :math:`(n + 1)^d` features. ``max_coupling``
    limits it to those that depend on a few dimensions at a time: 1 leaves them uncoupled (n d + 1 features), 2 takes
    pairs too.

    The paper divides each feature's step size by :math:`\|c^i\|`; that is for plain gradient descent, and not needed with
    Adam, SB3's and our default, whose steps do not depend on the scale of a parameter's gradient.

    Dimensions are brought to the unit interval by the bounds of the space, or, where these are infinite or beyond
    a million, by running statistics of what is learned from: see :class:`FixedFeatures`. So there is no need for
    ``VecNormalize``, and there should be none: it moves observations away from the bounds. (``RandomWeightSearch``
    does not learn from observations; without bounds, it goes by the range from -3 to 3.)

    :param observation_space: Box, of any shape, but no image.
    :param order: n, the highest frequency in half periods over the range of a dimension.
    :param max_coupling: On how many dimensions a feature may depend; None for all.
    :raises ValueError: If the space is another, an argument is below 1, or there would be more than 10,000 features.
    """

    def __init__(self, observation_space: spaces.Box, order: int = 3, max_coupling: int | None = None) -> None:
        n_dims = _check_space("FourierBasis", observation_space)
        max_coupling = n_dims if max_coupling is None else max_coupling
        _check_at_least_1("FourierBasis", order=order, max_coupling=max_coupling)
        n_features = n_fourier_features(n_dims, order, max_coupling)
        _check_number("FourierBasis", n_features, n_dims, f"Use max_coupling=2, or an order below {order}.")
        super().__init__(observation_space, n_features, fourier_features, fourier_coefficients(n_dims, order, max_coupling))


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
        n_dims = _check_space("TileCoding", observation_space)
        _check_at_least_1("TileCoding", n_tilings=n_tilings, n_tiles=n_tiles)
        n_features = n_tilings * (n_tiles + 1) ** n_dims
        _check_number("TileCoding", n_features, n_dims, "Use fewer n_tiles or n_tilings, or FourierBasis with max_coupling.")
        super().__init__(
            observation_space, n_features, partial(tile_features, n_tiles=n_tiles), tile_offsets(n_dims, n_tilings)
        )
