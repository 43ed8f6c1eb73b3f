"""Random Fourier features: cosines of the observation along random directions."""

import numpy as np
import torch as th
from gymnasium import spaces

from sb3_reinforce.common.constraints import NONE, Interval, Table, check_arguments
from sb3_reinforce.common.known import known_exactly
from sb3_reinforce.features.fixed_features import (
    Array,
    FixedFeatures,
    check_number_of_features,
    check_vector_space,
    to_unit_cube,
)
from sb3_reinforce.features.normalized_observations import RANGE_IN_STDS, centred, half_widths_of

_ARGUMENTS: Table = {
    "n_features": [Interval(1, integer=True)],
    "bandwidth": [Interval(0, open_low=True), NONE],
}
# A sample is enough to know a mean distance
_ROWS_OF_A_BATCH, _MOST_BATCHES, _ROWS_OF_A_ROLLOUT = 256, 64, 1024


def random_fourier_features(points: Array, half_widths: Array, directions: Array, phases: Array, bandwidth: Array) -> Array:
    r"""
    :math:`\sqrt{2 / D} \cos(w_i \cdot x / \nu + b_i)`. Rahimi and Recht (2007), "Random features for large-scale kernel
    machines", algorithm 1.

    :param points: In the unit cube. Shape ``(batch, n_dims)``.
    :param half_widths: Of what they are brought to: :math:`x`, around 0. Shape ``(n_dims,)``.
    :param directions: :math:`w`. Shape ``(n_features, n_dims)``.
    :param phases: :math:`b`. Shape ``(n_features,)``.
    :param bandwidth: :math:`\nu`. Shape ``()``.
    :return: Shape ``(batch, n_features)``.
    """
    angles = centred(points, half_widths) @ (directions / bandwidth).T + phases
    cosines = th.cos(angles) if isinstance(angles, th.Tensor) else np.cos(angles)
    return cosines * (2.0 / phases.shape[0]) ** 0.5


def mean_distance(points: th.Tensor) -> th.Tensor:
    """
    :param points: Shape ``(n, n_dims)``.
    :return: The mean distance between two different ones; NaN of a single one. Shape ``()``.
    """
    return th.nn.functional.pdist(points).mean()


@known_exactly
class RandomFourierFeatures(FixedFeatures):
    r"""
    Random Fourier features of Rahimi and Recht (2007): smooth features for observations with so many dimensions that a grid
    of them, as :class:`~sb3_reinforce.FourierBasis` or :class:`~sb3_reinforce.TileCoding`, is out of reach.

    .. math:: \phi_i(x) = \sqrt{2 / D} \cos(w_i \cdot x / \nu + b_i), \quad w_i \sim N(0, I), \quad b_i \sim U(0, 2 \pi)

    of the observation x, normalised as by :class:`~sb3_reinforce.NormalizedObservations`. The inner product of the features
    of two observations approaches the Gaussian kernel :math:`\exp(-|x - y|^2 / 2 \nu^2)`, the closer the more features.
    So observations that are closer than the bandwidth :math:`\nu` are treated alike. Rajeswaran et al. (2017), "Towards
    generalization and simplicity in continuous control", section 3, train linear policies of such features by the natural
    gradient.

    Directions and phases are drawn from torch's generator, as the weights of a network, and are saved with the model.

    :param observation_space: Box, of any shape, but no image.
    :param n_features: D, how many features.
    :param bandwidth: :math:`\nu`, in standard deviations of an observation's dimension (where it has bounds, in halves of
        their distance). None takes the mean distance between observations of the first rollout that is learned from, as
        Rajeswaran et al. do; until then, it is :math:`\sqrt{2 d}` for d dimensions, that of normally distributed ones.
    :raises ValueError: If the space is another, or an argument is not what it may be.
    """

    directions: th.Tensor
    phases: th.Tensor
    is_measured: th.Tensor
    _sample: tuple[th.Tensor, ...] = ()
    running_bandwidth: th.Tensor  # taken over by DQN's target net, as the other running statistics are

    def __init__(self, observation_space: spaces.Box, n_features: int = 500, bandwidth: float | None = None) -> None:
        n_dims = check_vector_space("RandomFourierFeatures", observation_space)
        check_arguments(_ARGUMENTS, {"n_features": n_features, "bandwidth": bandwidth}, "RandomFourierFeatures")
        check_number_of_features("RandomFourierFeatures", n_features, n_dims, "Use fewer n_features.")
        half_widths = half_widths_of(observation_space)
        super().__init__(observation_space, n_features, random_fourier_features, half_widths, RANGE_IN_STDS)
        self.register_buffer("directions", th.randn(n_features, n_dims))
        self.register_buffer("phases", 2 * np.pi * th.rand(n_features))
        self.register_buffer("running_bandwidth", th.tensor(bandwidth or (2.0 * n_dims) ** 0.5))
        self.register_buffer("is_measured", th.tensor(bandwidth is not None))

    def constants(self) -> tuple[th.Tensor, ...]:
        """
        :return: What :func:`random_fourier_features` needs, beside the points.
        """
        return (*super().constants(), self.directions, self.phases, self.running_bandwidth)

    @th.no_grad()
    def _observe(self, observations: th.Tensor) -> None:
        super()._observe(observations)
        if not self.is_measured and len(self._sample) < _MOST_BATCHES:
            every = -(-len(observations) // _ROWS_OF_A_BATCH)
            self._sample = (*self._sample, observations[:: max(every, 1)].clone())

    @th.no_grad()
    def _use_statistics(self) -> None:
        super()._use_statistics()
        if self._sample:
            observations, self._sample = th.cat(self._sample), ()
            observations = observations[:: -(-len(observations) // _ROWS_OF_A_ROLLOUT)]
            points = centred(to_unit_cube(observations, self.running_low, self.running_width), self._constants)
            distance = mean_distance(points)
            if distance > 0.0:  # else there was one observation, or all were the same
                self.running_bandwidth.copy_(distance)
                self.is_measured.fill_(True)
