"""Who acts: the policy, and chance as far as epsilon says."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector.utils import batch_space

from sb3_reinforce.common.masking import mask_logits
from sb3_reinforce.common.observations import Observations
from sb3_reinforce.rollouts.acting import greedy_choice, numpy_actor, torch_actor
from sb3_reinforce.rollouts.doors import door_of
from sb3_reinforce.rollouts.environment_actions import for_environment
from sb3_reinforce.rollouts.episode_buffer import EpisodeBuffer


class Behaviour:
    r"""
    What plays one rollout: :math:`\beta(a|s) = (1 - \epsilon) \pi(a|s) + \epsilon u(a)`, the policy as it is now, mixed with
    the uniform distribution over the action space, or over what masks allow of it. The epsilon of each episode is the
    buffer's, which hands it on to the gradient.

    :param policy: Any actor-critic policy.
    :param buffer: The rollout to be played, which knows who plays what.
    :param rng: Source of randomness.
    :param has_masks: Whether masks say what is allowed.
    """

    def __init__(self, policy: Any, buffer: EpisodeBuffer, rng: np.random.Generator, has_masks: bool = False) -> None:
        self._buffer, self._rng = buffer, rng
        by_torch = partial(torch_actor, door_of(policy), policy.device, policy.action_space)
        self._by_policy = self._draw = numpy_actor(policy, buffer.n_envs, rng, has_masks) or by_torch()
        if buffer.epsilons.any():
            self._draw_uniformly = uniform_actor(policy.action_space, buffer.n_envs, rng)
            self._draw = self._draw_or_explore
        self._for_environment = for_environment(policy)

    def act(self, obs: Observations, masks: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """
        :param obs: Shape ``(n_envs, *observation_shape)``, or a dict of such.
        :param masks: Which choices are allowed; None for all. Booleans. Shape ``(n_envs, mask_size)``.
        :return: Actions as they are learned from, of shape ``(n_envs,)`` for Discrete, else ``(n_envs, action_dim)``, and as
            the environment takes them.
        """
        actions = self._draw(obs) if masks is None else self._draw(obs, masks)
        return actions, actions if self._for_environment is None else self._for_environment(actions)

    def _draw_or_explore(self, obs: Observations, *masks: np.ndarray) -> np.ndarray:
        actions = self._by_policy(obs, *masks)
        episodes = self._buffer.order.episodes
        epsilon = np.where(episodes >= 0, self._buffer.epsilons[episodes], 0.0)
        explore = self._rng.random(len(actions)) < epsilon
        actions[explore] = self._draw_uniformly(*masks).reshape(actions.shape)[explore]
        return actions


def uniform_actor(space: spaces.Space, n_envs: int, rng: np.random.Generator) -> Callable[..., np.ndarray]:
    """
    :param space: Of the actions.
    :param n_envs: For how many environments it will act at a time.
    :param rng: Source of randomness.
    :return: From masks, or from nothing, to uniformly drawn actions: of the whole space, or of what is allowed. Shape
        ``(n_envs, *action_shape)``.
    """
    uniform_actions = batch_space(space, n_envs)
    uniform_actions.seed(int(rng.integers(2**31)))
    choose = greedy_choice(space)

    def draw(masks: np.ndarray | None = None) -> np.ndarray:
        if masks is None:
            return uniform_actions.sample()
        # The largest of equal chances, as many as there are choices; for a bit, whether its chance is positive
        n_chances = masks.shape[1] // 2 if isinstance(space, spaces.MultiBinary) else masks.shape[1]
        return choose(mask_logits(rng.standard_normal((n_envs, n_chances)), masks, space))

    return draw
