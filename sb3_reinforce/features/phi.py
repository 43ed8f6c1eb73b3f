"""phi(s, a): features of states and actions together, by a function of the user's own."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch as th
from gymnasium import spaces
from gymnasium.vector.utils import batch_space
from stable_baselines3.common.distributions import CategoricalDistribution
from stable_baselines3.common.preprocessing import preprocess_obs
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import PyTorchObs
from stable_baselines3.common.utils import obs_as_tensor
from torch import nn

from sb3_reinforce.common.known import known_exactly
from sb3_reinforce.common.observations import map_observations, n_rows, named_parts
from sb3_reinforce.features.tracing import is_recorded

Phi = Callable[[Any, int], np.ndarray]
"""From states, shape ``(batch, *observation_shape)``, and one action to features, shape ``(batch, n_features)``."""


def states_of(observations: PyTorchObs, space: spaces.Space) -> Any:
    """
    What a :data:`Phi` sees: observations as SB3 prepares them for a network (float32, images divided by 255 and with
    channels first), but Discrete and MultiDiscrete ones as integers again, not one-hot.

    :param observations: As from SB3's ``preprocess_obs``.
    :param space: Their space.
    :return: An array that can't be written to, or a dict of these. Shape ``(batch, *observation_shape)``.
    """
    return map_observations(_states_of_part, observations, space)


def _states_of_part(observations: th.Tensor, space: spaces.Space) -> np.ndarray:
    states = observations.detach().cpu().numpy()
    if isinstance(space, spaces.Discrete):
        states = states.argmax(axis=1)
    elif isinstance(space, spaces.MultiDiscrete):
        parts = np.split(states, np.cumsum(space.nvec)[:-1], axis=1)
        states = np.stack([part.argmax(axis=1) for part in parts], axis=1)
    return read_only(states)


def read_only(array: np.ndarray) -> np.ndarray:
    """
    :param array: What is still needed, and handed to a function of the user's.
    :return: A view that can't be written to.
    """
    view = array.view()
    view.flags.writeable = False
    return view


@known_exactly
class PhiExtractor(BaseFeaturesExtractor):
    r"""
    The features of all actions, :math:`\phi(s, \cdot)`, one action after the other.

    :param observation_space: Any that SB3 serves.
    :param phi: Called with states and each action in turn; see :func:`states_of`.
    :param n_actions: Number of actions, which are counted from 0.
    :raises ValueError: If what phi returns is not of one shape ``(batch, n_features)``; later on, also if it is not
        finite.
    """

    def __init__(self, observation_space: spaces.Space, phi: Phi, n_actions: int) -> None:
        if not callable(phi):
            raise ValueError(f"phi must be a function, phi(states, action), but it is {phi!r}.")
        examples = batch_space(copy.deepcopy(observation_space), 2)  # a copy, to leave the space's generator alone
        examples.seed(0)
        prepared = preprocess_obs(obs_as_tensor(examples.sample(), th.device("cpu")), observation_space)
        first = np.asarray(phi(states_of(prepared, observation_space), 0))
        if first.ndim != 2 or len(first) != 2 or first.shape[1] == 0:
            raise ValueError(
                "phi(states, action) must return an array of shape (batch, n_features), but for 2 states and action 0 its "
                f"shape is {first.shape}."
            )
        super().__init__(observation_space, n_actions * first.shape[1])
        self.phi, self.n_actions, self.n_features = phi, n_actions, first.shape[1]
        self(prepared)

    def features(self, states: Any) -> np.ndarray:
        r"""
        :param states: As from :func:`states_of`.
        :return: :math:`\phi(s, \cdot)`, float32. Shape ``(batch, n_actions, n_features)``.
        """
        batch = n_rows(states)
        features = np.empty((batch, self.n_actions, self.n_features), dtype=np.float32)
        for action in range(self.n_actions):
            values = np.asarray(self.phi(states, action))
            if values.shape != (batch, self.n_features):
                raise ValueError(
                    "phi(states, action) must return an array of shape (batch, n_features), with as many features for every "
                    f"action: {(batch, self.n_features)} for {batch} states, but for action {action} it is {values.shape}."
                )
            features[:, action] = values
        if not np.isfinite(features).all():
            raise ValueError("phi(states, action) returned features that are not finite, or its states are not.")
        return features

    def forward(self, observations: PyTorchObs) -> th.Tensor:
        """
        :param observations: As from SB3's ``preprocess_obs``.
        :return: Shape ``(batch, n_actions * n_features)``.
        :raises RuntimeError: While a graph is recorded that is to run without Python, where phi's features would be constants.
        """
        if is_recorded():
            raise RuntimeError(
                "A policy with phi can't be traced or exported: phi is a function of NumPy arrays, so its features would be "
                "constants in the graph, the same for every observation. Export the part that is linear in the features, "
                "policy.action_net, and compute its input outside of the graph: policy.extract_features(observations). "
                "(FourierBasis and TileCoding can be exported as a whole.)"
            )
        if th.compiler.is_compiling():  # torch.compile would translate phi, or try to
            return th.compiler.disable(self._features_of)(observations)
        return self._features_of(observations)

    def _features_of(self, observations: PyTorchObs) -> th.Tensor:
        device = next(iter(named_parts(observations).values())).device
        features = self.features(states_of(observations, self._observation_space))
        return th.from_numpy(features).to(device).flatten(start_dim=1)


@known_exactly
class PhiNet(nn.Linear):
    r"""
    Logits :math:`\theta^\top \phi(s, a)`: one weight a feature, shared by all actions. Its weight has the shape
    ``(1, n_features)``.

    :param n_features: Number of features of a state and an action.
    """

    def __init__(self, n_features: int) -> None:
        super().__init__(n_features, 1, bias=False)

    def forward(self, features: th.Tensor) -> th.Tensor:
        """
        :param features: As from :class:`PhiExtractor`. Shape ``(batch, n_actions * n_features)``.
        :return: Shape ``(batch, n_actions)``.
        """
        return super().forward(features.unflatten(1, (-1, self.in_features))).squeeze(2)


@known_exactly
class PhiDistribution(CategoricalDistribution):
    """SB3's distribution over Discrete actions, with logits from a :class:`PhiNet`."""

    def proba_distribution_net(self, latent_dim: int) -> nn.Module:
        """
        :param latent_dim: ``n_actions * n_features``.
        """
        return PhiNet(latent_dim // self.action_dim)
