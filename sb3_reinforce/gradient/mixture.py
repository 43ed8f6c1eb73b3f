r"""
Exploration by epsilon: the behaviour is a mixture of the policy and the uniform distribution,
:math:`\beta(a|s) = (1 - \epsilon) \pi(a|s) + \epsilon u(a)`.

The functions are pure, keep the type and device of their arguments, and work on batches.
"""

from dataclasses import dataclass
from typing import Any

import torch as th

from sb3_reinforce.common.masking import log_uniform_of_allowed
from sb3_reinforce.rollouts.epsilon import log_uniform_density
from sb3_reinforce.rollouts.rollout import EpisodeBatch


def mixture_log_prob(log_prob: th.Tensor, log_uniform: th.Tensor | float, epsilon: th.Tensor) -> th.Tensor:
    r"""
    Log-probability of the behaviour that explores by epsilon,
    :math:`\beta(a|s) = (1 - \epsilon) \pi(a|s) + \epsilon u(a)`.

    :param log_prob: :math:`\log \pi(a|s)`. Shape ``(batch,)``.
    :param log_uniform: :math:`\log u(a)`, the uniform distribution. A number, or shape ``(batch,)``.
    :param epsilon: Between 0 and 1. Shape ``(batch,)``.
    :return: :math:`\log \beta(a|s)`. Shape ``(batch,)``.
    """
    return th.logaddexp(th.log1p(-epsilon) + log_prob, th.log(epsilon) + log_uniform)


def mixture_factor(log_prob: th.Tensor, log_uniform: th.Tensor | float, epsilon: th.Tensor) -> th.Tensor:
    r"""
    What the score of :math:`\pi` is multiplied by to make it that of the mixture :math:`\beta`:
    :math:`\nabla \log \beta = \frac{(1 - \epsilon) \pi(a|s)}{\beta(a|s)} \nabla \log \pi`.

    :param log_prob: :math:`\log \pi(a|s)`. Shape ``(batch,)``.
    :param log_uniform: :math:`\log u(a)`. A number, or shape ``(batch,)``.
    :param epsilon: Between 0 and 1. Shape ``(batch,)``.
    :return: Between 0 and 1. Shape ``(batch,)``.
    """
    return th.exp(th.log1p(-epsilon) + log_prob - mixture_log_prob(log_prob, log_uniform, epsilon))


@dataclass(frozen=True)
class Mixture:
    """
    What some actions were explored by.

    :param epsilon: How much. Between 0 and 1. Shape ``(batch,)``.
    :param log_uniform: Log-probability (for Box, log-density) of uniformly drawn actions. A number, or shape ``(batch,)``.
    """

    epsilon: th.Tensor
    log_uniform: th.Tensor | float

    def log_prob(self, log_prob: th.Tensor) -> th.Tensor:
        """See :func:`mixture_log_prob`."""
        return mixture_log_prob(log_prob, self.log_uniform, self.epsilon)

    def factor(self, log_prob: th.Tensor) -> th.Tensor:
        """See :func:`mixture_factor`."""
        return mixture_factor(log_prob, self.log_uniform, self.epsilon)


def mixture_of(policy: Any, batch: EpisodeBatch) -> Mixture | None:
    """
    :param policy: Any actor-critic policy.
    :param batch: Some timesteps.
    :return: What their actions were explored by; None for nothing.
    """
    if batch.epsilon is None:
        return None
    space = policy.action_space
    if batch.action_masks is not None:
        return Mixture(batch.epsilon, log_uniform_of_allowed(batch.action_masks, space))
    return Mixture(batch.epsilon, log_uniform_density(space, batch.actions))
