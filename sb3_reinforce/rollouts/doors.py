"""
The doors of a policy: how any actor-critic policy draws actions, and says how probable they are.

What a policy draws from is what is learned from, so both go through the same door.
"""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch as th
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.type_aliases import PyTorchObs

from sb3_reinforce.common.known import overrides
from sb3_reinforce.common.masking import can_be_masked, cannot_be_masked, masked

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

    def sample(self, obs: PyTorchObs, action_masks: th.Tensor | None = None) -> th.Tensor:
        """
        :param obs: Observations. Shape ``(batch, *observation_shape)``, or a dict of such.
        :param action_masks: Which choices are allowed; None for all. Booleans. Shape ``(batch, mask_size)``.
        :return: Actions that the policy draws. Shape ``(batch, *action_shape)``.
        """
        ...

    def evaluate(
        self, obs: PyTorchObs, actions: th.Tensor, action_masks: th.Tensor | None = None
    ) -> tuple[th.Tensor, th.Tensor]:
        """
        :param obs: Observations. Shape ``(batch, *observation_shape)``, or a dict of such.
        :param actions: Shape ``(batch,)`` for Discrete, else ``(batch, action_dim)``.
        :param action_masks: Which choices were allowed; None for all. Booleans. Shape ``(batch, mask_size)``.
        :return: Log-probabilities (for Box actions, log-densities) and entropies, with their graphs. Shapes ``(batch,)``.
            A distribution that knows no entropy gives minus the log-probability, which has it as its mean.
        """
        ...

    def check_masks(self) -> None:
        """
        :raises ValueError: If the policy can't be kept to what is allowed.
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
    def distribution(self, obs: PyTorchObs, action_masks: th.Tensor | None = None) -> Any:
        """
        :param obs: Observations. Shape ``(batch, *observation_shape)``, or a dict of such.
        :param action_masks: Which choices are allowed; None for all. Booleans. Shape ``(batch, mask_size)``.
        :return: SB3's distribution.
        """
        return masked(self.policy.get_distribution(obs), action_masks, self.policy.action_space)

    @_nan_explained()
    def sample(self, obs: PyTorchObs, action_masks: th.Tensor | None = None) -> th.Tensor:
        """See :class:`Door`."""
        return self.distribution(obs, action_masks).get_actions()

    def check_masks(self) -> None:
        """See :class:`Door`."""
        if not can_be_masked(self.policy.action_dist):
            raise ValueError(cannot_be_masked(self.policy.action_dist))

    @_nan_explained()
    def evaluate(
        self, obs: PyTorchObs, actions: th.Tensor, action_masks: th.Tensor | None = None
    ) -> tuple[th.Tensor, th.Tensor]:
        """See :class:`Door`."""
        distribution = self.distribution(obs, action_masks)
        log_prob = distribution.log_prob(actions)
        return log_prob, _or_estimate(distribution.entropy(), log_prob)


class ByForward:
    """
    ``policy(obs)`` and ``policy.evaluate_actions(obs, actions)``, which SB3's A2C and PPO go by while they train: for a policy
    with these two methods of its own, and for one that is compiled or wrapped. Masks are handed on as ``action_masks``, as to
    the policies of sb3-contrib.

    :param policy: Any actor-critic policy.
    """

    def __init__(self, policy: ActorCriticPolicy) -> None:
        self.policy = policy

    @_nan_explained()
    def sample(self, obs: PyTorchObs, action_masks: th.Tensor | None = None) -> th.Tensor:
        """See :class:`Door`."""
        return self.policy(obs, **_masks_if_any(action_masks))[0]

    @_nan_explained()
    def evaluate(
        self, obs: PyTorchObs, actions: th.Tensor, action_masks: th.Tensor | None = None
    ) -> tuple[th.Tensor, th.Tensor]:
        """See :class:`Door`."""
        _, log_prob, entropy = self.policy.evaluate_actions(obs, actions, **_masks_if_any(action_masks))
        return log_prob, _or_estimate(entropy, log_prob)

    def check_masks(self) -> None:
        """See :class:`Door`."""
        inner: Any = getattr(self.policy, "_orig_mod", self.policy)
        without = [name for name in _DOORS if not _takes_masks(getattr(inner, name))]
        if without:
            raise ValueError(
                f"Actions are masked, but {type(inner).__name__} acts by methods of its own or is compiled or wrapped, and "
                f"{' and '.join(without)} take no action_masks. Give both methods that argument, as sb3-contrib's policies "
                "have it, or set action_masks=False."
            )


def _needed_beside_observations(forward: Callable[..., Any]) -> list[str]:
    others = list(inspect.signature(forward).parameters.values())[1:]
    return [each.name for each in others if each.default is each.empty and each.kind is each.POSITIONAL_OR_KEYWORD]


def _takes_masks(method: Callable[..., Any]) -> bool:
    return "action_masks" in inspect.signature(method).parameters


def _masks_if_any(action_masks: th.Tensor | None) -> dict[str, th.Tensor]:
    return {} if action_masks is None else {"action_masks": action_masks}


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
    if overridden and (others := _needed_beside_observations(inner.forward)):
        raise ValueError(
            f"{type(inner).__name__} acts on more than observations ({', '.join(others)}), and REINFORCE has no more to give: "
            "a policy with a memory is for sb3-contrib's RecurrentPPO. Or stack observations, with VecFrameStack."
        )
    if overridden or (inner is not policy and not overrides(inner, "get_distribution")):
        return ByForward(policy)
    return ByDistribution(policy)
