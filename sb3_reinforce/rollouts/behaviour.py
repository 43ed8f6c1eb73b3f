"""Who acts: the policy, and chance as far as epsilon says."""

from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector.utils import batch_space

from sb3_reinforce.common.observations import Observations
from sb3_reinforce.rollouts.acting import numpy_actor, torch_actor
from sb3_reinforce.rollouts.doors import door_of
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
        self._space, self._buffer, self._rng = policy.action_space, buffer, rng
        self._squashed = policy.unscale_action if policy.squash_output else None
        actor = numpy_actor(policy, buffer.n_envs, rng)
        self._act_by_policy = actor or torch_actor(door_of(policy), policy.device, policy.action_space)
        self.act = self._act_or_explore if buffer.epsilons.any() else self._act_by_policy
        """From observations to actions, as they are learned from."""
        if buffer.epsilons.any():
            self._uniform_actions = batch_space(policy.action_space, buffer.n_envs)
            self._uniform_actions.seed(int(rng.integers(2**31)))

    def _act_or_explore(self, obs: Observations) -> np.ndarray:
        actions = self._act_by_policy(obs)
        episodes = self._buffer.order.episodes
        epsilon = np.where(episodes >= 0, self._buffer.epsilons[episodes], 0.0)
        explore = self._rng.random(len(actions)) < epsilon
        actions[explore] = self._uniform_actions.sample().reshape(actions.shape)[explore]
        return actions

    def for_environment(self, actions: np.ndarray) -> np.ndarray:
        """
        :param actions: As they are learned from.
        :return: As the environment takes them: Box actions in the shape and the type of their space, and within its bounds.
        """
        space = self._space
        if not isinstance(space, spaces.Box):
            return actions
        actions = actions.reshape(-1, *space.shape)
        if self._squashed is not None:
            return self._squashed(actions)
        actions = actions.clip(space.low, space.high)
        return actions if space.dtype.kind == "f" else np.rint(actions).astype(space.dtype)
