"""Observations as they are, but all on one scale."""

import numpy as np
from gymnasium import spaces

from sb3_reinforce.common.constraints import BOOLEAN, Table, check_arguments
from sb3_reinforce.common.known import known_exactly
from sb3_reinforce.features.fixed_features import Array, FixedFeatures, check_vector_space, is_unbounded

_ARGUMENTS: Table = {"use_bounds": [BOOLEAN]}

RANGE_IN_STDS = 10.0
"""What is farther from the mean is clipped, as SB3's ``VecNormalize`` does by default."""


def centred(points: Array, half_widths: Array) -> Array:
    """
    :param points: In the unit cube. Shape ``(batch, n_dims)``.
    :param half_widths: How far the ends of each dimension are from 0 then. Shape ``(n_dims,)``.
    :return: 0 in the middle of the cube. Shape ``(batch, n_dims)``.
    """
    return (2.0 * points - 1.0) * half_widths


def half_widths_of(space: spaces.Box) -> np.ndarray:
    """
    :param space: Of the observations.
    :return: What makes 1 of a standard deviation where running statistics scale a dimension, and 1 of the distance from the
        middle to a bound elsewhere. Shape ``(n_dims,)``, float32.
    """
    return np.where(is_unbounded(space), RANGE_IN_STDS, 1.0).astype(np.float32)


@known_exactly
class NormalizedObservations(FixedFeatures):
    r"""
    The observation itself, each dimension brought to mean 0 and standard deviation 1 by running statistics of what is
    learned from, and clipped to :math:`\pm 10`: what ``VecNormalize`` does, as a part of the policy. So it is saved with the
    policy, and evaluation needs no wrapper::

        policy_kwargs = dict(features_extractor_class=NormalizedObservations)
        REINFORCE("LinearGaussianPolicy", "HalfCheetah-v5", policy_kwargs=policy_kwargs)

    Dimensions with bounds are brought to -1 to 1 by these, and need no statistics: see :class:`FixedFeatures`. Unlike the
    statistics of ``VecNormalize``, which move while a rollout is played, these stand still from the beginning of a rollout
    to the step that is made of it: a rollout comes from one policy, and its gradient is that policy's.

    :param observation_space: Box, of any shape, but no image.
    :param use_bounds: False: statistics for all dimensions. For bounds that are much wider than what is observed.
    :raises ValueError: If the space is another, or an argument is not what it may be.
    """

    def __init__(self, observation_space: spaces.Box, use_bounds: bool = True) -> None:
        check_arguments(_ARGUMENTS, {"use_bounds": use_bounds}, "NormalizedObservations")
        n_dims = check_vector_space("NormalizedObservations", observation_space)
        if not use_bounds:
            observation_space = spaces.Box(-np.inf, np.inf, observation_space.shape)
        super().__init__(observation_space, n_dims, centred, half_widths_of(observation_space), RANGE_IN_STDS)
