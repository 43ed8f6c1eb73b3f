"""Where the gradient of log pi comes from: a closed form, or autograd."""

from typing import Any, Protocol

import numpy as np
import torch as th
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import nn

from sb3_reinforce.features.fixed_features import unobserved
from sb3_reinforce.gradient.baselines import Baseline
from sb3_reinforce.gradient.fisher_matrices import ClosedFormFisher, FisherMatrix, FisherProducts
from sb3_reinforce.gradient.mixture import mixture_of
from sb3_reinforce.rollouts.doors import Door, door_of
from sb3_reinforce.rollouts.rollout import EpisodeBatch, Rollout

NOTHING_TO_LEARN = (
    "The policy has no parameter left to learn: all that its actions depend on have requires_grad=False. Set it to True for "
    "some of them."
)
_EPISODES_AT_ONCE = 32


class Scores(Protocol):
    """Gradients with respect to the parameters that the policy's actions depend on and that are learned."""

    @property
    def parameters(self) -> list[nn.Parameter]:
        """What the gradient is with respect to, once there is one."""
        ...

    def check(self) -> None:
        """
        :raises ValueError: If there is no parameter left to learn.
        """
        ...

    def accumulate(self, batch: EpisodeBatch, entropy_weight: float) -> tuple[float, float]:
        r"""
        Add the gradient of :math:`-\sum_t w_t \log \beta(a_t|s_t) - c \sum_t H(\pi(\cdot|s_t))` to the parameters' ``grad``.

        :param batch: Some timesteps.
        :param entropy_weight: c.
        :return: :math:`-\sum_t w_t \log \beta(a_t|s_t)`, and the sum of the policy's entropies.
        """
        ...

    def of_episodes(self, batch: EpisodeBatch, weights: th.Tensor) -> th.Tensor:
        """
        :param batch: Some timesteps.
        :param weights: What they are weighed by, several times. Shape ``(n_weightings, batch)``.
        :return: For each weighting and each of the episodes in the batch, in the order of ``batch.episodes.unique()``, the
            weighted sum of score vectors. Shape ``(n_weightings, n_episodes_in_batch, n_parameters)``.
        """
        ...

    def check_masks(self) -> None:
        """
        :raises ValueError: If the policy can't be kept to what is allowed.
        """
        ...

    def fisher(self) -> FisherMatrix:
        """
        :return: The Fisher matrix of the policy, in the form in which it can be solved with.
        """
        ...


class ClosedFormScores:
    """
    Of a linear policy.

    :param policy: A :class:`~sb3_reinforce.policies.linear.LinearPolicy` with ``has_closed_form``.
    """

    def __init__(self, policy: Any) -> None:
        self.policy = policy

    @property
    def parameters(self) -> list[nn.Parameter]:
        """See :class:`Scores`."""
        return self.policy.actor_parameters()

    def check(self) -> None:
        """See :class:`Scores`."""
        if not self.parameters:
            raise ValueError(NOTHING_TO_LEARN)

    def accumulate(self, batch: EpisodeBatch, entropy_weight: float) -> tuple[float, float]:
        """See :class:`Scores`."""
        mixture = mixture_of(self.policy, batch)
        return self.policy.accumulate_gradient(
            batch.observations, batch.actions, batch.weights, mixture, entropy_weight, batch.action_masks
        )

    @th.no_grad()
    def of_episodes(self, batch: EpisodeBatch, weights: th.Tensor) -> th.Tensor:
        """See :class:`Scores`."""
        scores = self.policy.score(batch.observations, batch.actions, batch.action_masks)
        mixture = mixture_of(self.policy, batch)
        if mixture is not None:
            log_prob, _ = door_of(self.policy).evaluate(batch.observations, batch.actions, batch.action_masks)
            scores = scores * mixture.factor(log_prob).unsqueeze(1)
        return (weights.unsqueeze(1) * _membership(batch)).double() @ scores.double()

    def check_masks(self) -> None:
        """See :class:`Scores`. It can."""

    def fisher(self) -> FisherMatrix:
        """See :class:`Scores`."""
        return ClosedFormFisher(self.policy)


class AutogradScores:
    """
    Of any actor-critic policy.

    :param policy: The policy.
    """

    def __init__(self, policy: Any) -> None:
        self.policy = policy
        self.door: Door = door_of(policy)

    @property
    def parameters(self) -> list[nn.Parameter]:
        """See :class:`Scores`."""
        return [parameter for parameter in self.policy.parameters() if parameter.grad is not None]

    def check(self) -> None:
        """See :class:`Scores`. Which parameters the actions depend on shows with the first gradient only."""
        critic = {id(parameter) for module in _critic(self.policy) for parameter in module.parameters()}
        if not any(parameter.requires_grad and id(parameter) not in critic for parameter in self.policy.parameters()):
            raise ValueError(NOTHING_TO_LEARN)

    def _log_behaviour(self, batch: EpisodeBatch) -> tuple[th.Tensor, th.Tensor]:
        """Log-probabilities of the behaviour, and entropies of the policy."""
        log_prob, entropy = self.door.evaluate(batch.observations, batch.actions, batch.action_masks)
        mixture = mixture_of(self.policy, batch)
        return (log_prob if mixture is None else mixture.log_prob(log_prob)), entropy

    def accumulate(self, batch: EpisodeBatch, entropy_weight: float) -> tuple[float, float]:
        """See :class:`Scores`."""
        log_behaviour, entropy = self._log_behaviour(batch)
        if not log_behaviour.requires_grad:
            raise ValueError(NOTHING_TO_LEARN)
        loss, total_entropy = -(batch.weights * log_behaviour).sum(), entropy.sum()
        (loss - entropy_weight * total_entropy if entropy_weight else loss).backward()
        return loss.item(), total_entropy.item()

    def of_episodes(self, batch: EpisodeBatch, weights: th.Tensor) -> th.Tensor:
        """See :class:`Scores`."""
        log_behaviour, _ = self._log_behaviour(batch)
        rows = (weights.unsqueeze(1) * _membership(batch)).flatten(end_dim=1).to(log_behaviour.dtype)
        parameters = self.parameters
        sums = [
            th.autograd.grad(
                log_behaviour, parameters, some_rows, retain_graph=True, is_grads_batched=True, materialize_grads=True
            )
            for some_rows in rows.split(_EPISODES_AT_ONCE)
        ]
        flat = [th.cat([gradient.flatten(start_dim=1) for gradient in gradients], dim=1) for gradients in sums]
        return th.cat(flat).double().unflatten(0, (len(weights), -1))

    def check_masks(self) -> None:
        """See :class:`Scores`."""
        self.door.check_masks()

    def fisher(self) -> FisherMatrix:
        """See :class:`Scores`."""
        return FisherProducts(self.policy)


def _critic(policy: Any) -> list[nn.Module]:
    """What an actor-critic policy of SB3 has for its value net alone."""
    named = [getattr(policy, "value_net", None), getattr(getattr(policy, "mlp_extractor", None), "value_net", None)]
    if not getattr(policy, "share_features_extractor", True):
        named.append(getattr(policy, "vf_features_extractor", None))
    return [module for module in named if isinstance(module, nn.Module)]


def scores_of(policy: Any) -> Scores:
    """
    :param policy: Any actor-critic policy, also one that is compiled or wrapped.
    :return: The closed form where it is known to be right, else autograd.
    :raises ValueError: If the policy can only be followed half: see :func:`~sb3_reinforce.rollouts.doors.door_of`.
    """
    # Not of a wrapper that hands on the attributes of what is inside
    has_closed_form = isinstance(policy, ActorCriticPolicy) and getattr(policy, "has_closed_form", False)
    return ClosedFormScores(policy) if has_closed_form else AutogradScores(policy)


def _membership(batch: EpisodeBatch) -> th.Tensor:
    """Which timestep belongs to which episode, as 0 and 1. Shape ``(n_episodes_in_batch, batch)``."""
    return (batch.episodes.unique().unsqueeze(1) == batch.episodes).to(batch.weights.dtype)


def accumulate_gradient(scores: Scores, rollout: Rollout, weights: np.ndarray, entropy_weight: float) -> tuple[float, float]:
    r"""
    Add the gradient of the whole rollout to the parameters' ``grad``.

    :param scores: Where it comes from.
    :param rollout: The rollout.
    :param weights: :math:`w_t`. Shape ``(n_timesteps,)``.
    :param entropy_weight: c, of the entropy bonus.
    :return: :math:`-\sum_t w_t \log \beta(a_t|s_t)`, and the sum of the policy's entropies.
    """
    parts = [scores.accumulate(batch, entropy_weight) for batch in rollout.batches(weights)]
    loss, entropy = (sum(part) for part in zip(*parts, strict=True))
    return loss, entropy


def episode_estimates(
    scores: Scores, policy: nn.Module, rollout: Rollout, weights: np.ndarray, unit: np.ndarray, baseline: Baseline
) -> np.ndarray:
    """
    Each episode's own estimate of the gradient, without the entropy bonus, in one pass over the rollout. What a baseline of
    constants takes off them is taken off the parameters' ``grad`` as well.

    :param scores: Where the gradient comes from.
    :param policy: The policy, whose features take no statistics of it.
    :param rollout: The rollout.
    :param weights: What each score is weighed by in the gradient. Shape ``(n_timesteps,)``.
    :param unit: What a return of 1 at every timestep would weigh. Shape ``(n_timesteps,)``.
    :param baseline: The baseline.
    :return: Shape ``(n_episodes, n_parameters)``.
    """
    sums = _episode_sums(scores, policy, rollout, weights, unit)
    estimates, units = (rollout.n_episodes * sums[0], sums[1])
    if baseline.is_constant:
        excess = baseline.constants(estimates, units) * units
        _add_to_gradient(scores.parameters, excess.mean(axis=0))
        estimates -= excess
    return estimates


def _episode_sums(
    scores: Scores, policy: nn.Module, rollout: Rollout, weights: np.ndarray, unit: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Each episode's sums of score vectors, by both weights. Shapes ``(n_episodes, n_parameters)``."""
    n_parameters = sum(parameter.numel() for parameter in scores.parameters)
    sums = th.zeros(2, rollout.n_episodes, n_parameters, dtype=th.float64)
    with unobserved(policy):
        for batch, units in zip(rollout.batches(weights), rollout.batches(unit), strict=True):
            part = scores.of_episodes(batch, th.stack([batch.weights, units.weights]))
            sums.index_add_(1, batch.episodes.unique().long().cpu(), part.cpu())
    of_weights, of_unit = sums.numpy()
    return of_weights, of_unit


def _add_to_gradient(parameters: list[nn.Parameter], values: np.ndarray) -> None:
    parts = th.as_tensor(values).split([parameter.numel() for parameter in parameters])
    for parameter, part in zip(parameters, parts, strict=True):
        assert parameter.grad is not None
        parameter.grad += part.view_as(parameter).to(parameter.grad)
