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
from typing import Any, TypeVar

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn

from sb3_reinforce.features.bounds import BoundsCheck
from sb3_reinforce.features.tracing import is_recorded

Array = TypeVar("Array", np.ndarray, th.Tensor)
SelfFixedFeatures = TypeVar("SelfFixedFeatures", bound="FixedFeatures")

MAX_FEATURES = 10_000
"""More are refused: for a batch of 8192 timesteps they would take more than a third of a GB."""
_NO_BOUND = 1e6


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
    range they make, by default three standard deviations to each side of the mean, is the one in use only after the next
    change to evaluation mode. SB3's algorithms change to it when they begin to collect, so the features with which the
    gradient is computed are those with which the actions were chosen, and acting changes nothing. All of it is in
    the ``state_dict``, and so saved and loaded with the model.

    Bounds that don't fit what is learned from are warned about, once a model: see
    :class:`~sb3_reinforce.features.bounds.BoundsCheck`.

    :param observation_space: Box.
    :param n_features: Features of an observation.
    :param basis: From points of the unit cube, shape ``(batch, n_dims)``, and the constants to features, of arrays
        as of tensors.
    :param constants: What the basis needs.
    :param range_in_stds: How many standard deviations to each side of the mean become the unit interval.
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
        self,
        observation_space: spaces.Box,
        n_features: int,
        basis: Callable[..., Any],
        constants: np.ndarray,
        range_in_stds: float = 3.0,
    ) -> None:
        super().__init__(observation_space, n_features)
        low, high = (
            th.as_tensor(bound.flatten(), dtype=th.float32) for bound in (observation_space.low, observation_space.high)
        )
        unbounded = is_unbounded(observation_space)
        self._basis, self._range_in_stds = basis, range_in_stds
        self.register_buffer("_constants", th.as_tensor(constants), persistent=False)
        self.register_buffer("_is_unbounded", th.as_tensor(unbounded), persistent=False)
        self.register_buffer("n_observed", th.zeros((), dtype=th.int64))
        self.register_buffer("running_mean", th.zeros_like(low))
        self.register_buffer("running_var", th.ones_like(low))
        self.register_buffer("running_low", low)
        self.register_buffer("running_width", th.where(high > low, high - low, 1.0))
        self._has_statistics = bool(unbounded.any())
        self._bounds_check = BoundsCheck(type(self).__name__, observation_space, ~unbounded)
        self.is_observing = True
        self._use_statistics()

    def forward(self, observations: th.Tensor) -> th.Tensor:
        """
        :param observations: Shape ``(batch, *observation_shape)``.
        :return: Shape ``(batch, n_features)``.
        """
        observations = observations.flatten(start_dim=1)
        if self.training and self.is_observing and not is_recorded():
            self._observe(observations)
        return self._basis(to_unit_cube(observations, self.running_low, self.running_width), *self.constants())

    def constants(self) -> tuple[th.Tensor, ...]:
        """
        :return: What the basis needs, beside the points.
        """
        return (self._constants,)

    @th.no_grad()
    def _observe(self, observations: th.Tensor) -> None:
        self._bounds_check.see(observations)
        if not self._has_statistics:
            return
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
        if not mode:
            self._use_statistics()
        return super().train(mode)

    @th.no_grad()
    def _use_statistics(self) -> None:
        if not self._has_statistics:
            return
        std = th.sqrt(self.running_var + 1e-8)
        low, width = self.running_mean - self._range_in_stds * std, 2 * self._range_in_stds * std
        self.running_low.copy_(th.where(self._is_unbounded, low, self.running_low))
        self.running_width.copy_(th.where(self._is_unbounded, width, self.running_width))

    def in_numpy(self) -> Callable[[np.ndarray], np.ndarray]:
        """
        :return: A function of arrays that does what :meth:`forward` does in evaluation mode, from shape
            ``(batch, *observation_shape)`` to ``(batch, n_features)``. Good until the next change of mode.
        """
        low, width, *constants = (tensor.cpu().numpy() for tensor in (self.running_low, self.running_width, *self.constants()))

        def features(observations: np.ndarray) -> np.ndarray:
            observations = observations.reshape(len(observations), -1).astype(np.float32, copy=False)
            return self._basis(to_unit_cube(observations, low, width), *constants)

        return features


def is_unbounded(space: spaces.Box) -> np.ndarray:
    """
    :param space: Of the observations.
    :return: Which numbers of an observation have no bounds that could scale them. Shape ``(n_dims,)``.
    """
    low, high = space.low.flatten(), space.high.flatten()
    return (low < -_NO_BOUND) | (high > _NO_BOUND)


@contextmanager
def unobserved(module: nn.Module) -> Iterator[None]:
    """
    Within, :class:`FixedFeatures` take no notice of what is passed through them, in training mode either: it is only
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


def check_vector_space(name: str, space: spaces.Space) -> int:
    """
    :param name: Of the feature map.
    :param space: Of the observations.
    :return: How many dimensions they have.
    :raises ValueError: If a :class:`FixedFeatures` can't serve them.
    """
    if not isinstance(space, spaces.Box) or is_image_space(space):
        raise ValueError(
            f"{name} serves Box observations that are no images, but these are {space}. Use 'CnnPolicy' for images, "
            "'MultiInputPolicy' for Dict observations, and no features extractor for discrete ones: they are one-hot already."
        )
    return int(np.prod(space.shape))


def check_number_of_features(name: str, n_features: int, n_dims: int, remedy: str) -> None:
    """
    :param name: Of the feature map.
    :param n_features: How many it would make.
    :param n_dims: How many dimensions the observations have.
    :param remedy: What to do instead.
    :raises ValueError: If these are too many.
    """
    if n_features > MAX_FEATURES:
        raise ValueError(
            f"{name} would make {n_features:,} features of observations with {n_dims} dimensions, more than {MAX_FEATURES:,}. "
            f"{remedy}"
        )
