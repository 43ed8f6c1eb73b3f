"""
The doors of a policy: how any actor-critic policy draws actions, and says how probable they are.

What a policy draws from is what is learned from, so both go through the same door.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch as th
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.type_aliases import PyTorchObs

from sb3_reinforce.common.known import overrides

_DOORS = ("forward", "evaluate_actions")


@contextmanager
def _nan_explained() -> Iterator[None]:
    """Around and in a distribution: torch's words for a parameter that is NaN say neither why nor what to do."""
    try:
        yield
    except ValueError as error:
        if "Expected parameter" not in str(error):
            raise
        raise FloatingPointError(
            f"What the policy makes of the observations is no distribution: {' '.join(str(error).split())}. Its parameters "
            "have grown out of bounds, or the observations are too large: lower learning_rate, scale the observations "
            "(VecNormalize), or set max_grad_norm. Nothing was learned from this rollout."
        ) from error


class Door(Protocol):
    """One way to ask a policy."""

    def sample(self, obs: PyTorchObs) -> th.Tensor:
        """
        :param obs: Observations. Shape ``(batch, *observation_shape)``, or a dict of such.
        :return: Actions that the policy draws. Shape ``(batch, *action_shape)``.
        """
        ...

    def evaluate(self, obs: PyTorchObs, actions: th.Tensor) -> tuple[th.Tensor, th.Tensor]:
        """
        :param obs: Observations. Shape ``(batch, *observation_shape)``, or a dict of such.
        :param actions: Shape ``(batch,)`` for Discrete, else ``(batch, action_dim)``.
        :return: Log-probabilities (for Box actions, log-densities) and entropies, with their graphs. Shapes ``(batch,)``.
            A distribution that knows no entropy gives minus the log-probability, which has it as its mean.
        """
        ...


class ByDistribution:
    """
    ``policy.get_distribution``, which ``predict`` goes by as well.

    :param policy: Any actor-critic policy.
    """

    def __init__(self, policy: ActorCriticPolicy) -> None:
        self.policy = policy

    @_nan_explained()
    def sample(self, obs: PyTorchObs) -> th.Tensor:
        """See :class:`Door`."""
        return self.policy.get_distribution(obs).get_actions()

    @_nan_explained()
    def evaluate(self, obs: PyTorchObs, actions: th.Tensor) -> tuple[th.Tensor, th.Tensor]:
        """See :class:`Door`."""
        distribution = self.policy.get_distribution(obs)
        log_prob = distribution.log_prob(actions)
        return log_prob, _or_estimate(distribution.entropy(), log_prob)


class ByForward:
    """
    ``policy(obs)`` and ``policy.evaluate_actions(obs, actions)``, which SB3's A2C and PPO go by while they train: for a policy
    with these two methods of its own, and for one that is compiled or wrapped.

    :param policy: Any actor-critic policy.
    """

    def __init__(self, policy: ActorCriticPolicy) -> None:
        self.policy = policy

    @_nan_explained()
    def sample(self, obs: PyTorchObs) -> th.Tensor:
        """See :class:`Door`."""
        return self.policy(obs)[0]

    @_nan_explained()
    def evaluate(self, obs: PyTorchObs, actions: th.Tensor) -> tuple[th.Tensor, th.Tensor]:
        """See :class:`Door`."""
        _, log_prob, entropy = self.policy.evaluate_actions(obs, actions)
        return log_prob, _or_estimate(entropy, log_prob)


def _or_estimate(entropy: th.Tensor | None, log_prob: th.Tensor) -> th.Tensor:
    return -log_prob if entropy is None else entropy


def door_of(policy: Any) -> Door:
    """
    :param policy: Any actor-critic policy, also one that is compiled or wrapped.
    :return: The way to ask it.
    :raises ValueError: If it overrides one of SB3's two doors and not the other, or has a hook on one of them, so that
        actions would be drawn by one distribution and learned from by another.
    """
    inner = getattr(policy, "_orig_mod", policy)  # of torch.compile, which compiles what forward does
    if not isinstance(inner, ActorCriticPolicy):
        return ByForward(policy)
    overridden = [door for door in _DOORS if overrides(inner, door)]
    if len(overridden) == 1:
        (other,) = set(_DOORS) - set(overridden)
        raise ValueError(
            f"{type(inner).__name__} overrides {overridden[0]}, but not {other}: actions would be drawn by one distribution, "
            f"and learned from by another. Override both, as for SB3's A2C and PPO; or neither, and get_distribution instead."
        )
    if inner._forward_hooks or inner._forward_pre_hooks:
        raise ValueError(
            f"This {type(inner).__name__} has a forward hook on the policy itself. torch calls it where actions are drawn, "
            "and not where they are learned from. Put it on one of the policy's modules, such as policy.action_net."
        )
    if overridden or (inner is not policy and not overrides(inner, "get_distribution")):
        return ByForward(policy)
    return ByDistribution(policy)
