"""The Fourier basis: cosines of the observation."""

from itertools import combinations, product
from math import comb

import numpy as np
import torch as th
from gymnasium import spaces

from sb3_reinforce.common.constraints import NONE, Interval, Table, check_arguments
from sb3_reinforce.common.known import known_exactly
from sb3_reinforce.features.fixed_features import Array, FixedFeatures, check_number_of_features, check_vector_space

_ARGUMENTS: Table = {"order": [Interval(1, integer=True)], "max_coupling": [Interval(1, integer=True), NONE]}


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
    max_coupling = n_dims if max_coupling is None else min(max_coupling, n_dims)
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


@known_exactly
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
        n_dims = check_vector_space("FourierBasis", observation_space)
        check_arguments(_ARGUMENTS, {"order": order, "max_coupling": max_coupling}, "FourierBasis")
        n_features = n_fourier_features(n_dims, order, max_coupling)
        check_number_of_features("FourierBasis", n_features, n_dims, f"Use max_coupling=2, or an order below {order}.")
        super().__init__(observation_space, n_features, fourier_features, fourier_coefficients(n_dims, order, max_coupling))
