"""Who acts: the policy, and chance as far as epsilon says."""

from typing import Any

import numpy as np
from gymnasium.vector.utils import batch_space

from sb3_reinforce.common.observations import Observations
from sb3_reinforce.rollouts.acting import numpy_actor, torch_actor
from sb3_reinforce.rollouts.doors import door_of
from sb3_reinforce.rollouts.environment_actions import for_environment
from sb3_reinforce.rollouts.episode_buffer import EpisodeBuffer


class Behaviour:
    r"""
    What plays one rollout: :math:`\beta(a|s) = (1 - \epsilon) \pi(a|s) + \epsilon u(a)`, the policy as it is now, mixed with
    the uniform distribution over the action space. The epsilon of each episode is the buffer's, which hands it on to the
    gradient.

    :param policy: Any actor-critic policy.
    :param buffer: The rollout to be played, which knows who plays what.
    :param rng: Source of randomness.
    """

    def __init__(self, policy: Any, buffer: EpisodeBuffer, rng: np.random.Generator) -> None:
        self._buffer, self._rng = buffer, rng
        draw = numpy_actor(policy, buffer.n_envs, rng) or torch_actor(door_of(policy), policy.device, policy.action_space)
        self._draw = draw
        if buffer.epsilons.any():
            self._uniform_actions = batch_space(policy.action_space, buffer.n_envs)
            self._uniform_actions.seed(int(rng.integers(2**31)))
            self._draw = self._draw_or_explore
        self._by_policy = draw
        self._for_environment = for_environment(policy)

    def act(self, obs: Observations) -> tuple[np.ndarray, np.ndarray]:
        """
        :param obs: Shape ``(n_envs, *observation_shape)``, or a dict of such.
        :return: Actions as they are learned from, of shape ``(n_envs,)`` for Discrete, else ``(n_envs, action_dim)``, and as
            the environment takes them.
        """
        actions = self._draw(obs)
        return actions, actions if self._for_environment is None else self._for_environment(actions)

    def _draw_or_explore(self, obs: Observations) -> np.ndarray:
        actions = self._by_policy(obs)
        episodes = self._buffer.order.episodes
        epsilon = np.where(episodes >= 0, self._buffer.epsilons[episodes], 0.0)
        explore = self._rng.random(len(actions)) < epsilon
        actions[explore] = self._uniform_actions.sample().reshape(actions.shape)[explore]
        return actions
