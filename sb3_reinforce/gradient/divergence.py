"""How far a policy has moved: the Kullback-Leibler divergence of what it was from what it is."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch as th
from torch import nn
from torch.distributions import Bernoulli, Categorical, Distribution, Normal, kl_divergence

from sb3_reinforce.common.known import is_known
from sb3_reinforce.gradient.mixture import mixture_of
from sb3_reinforce.rollouts.doors import ByDistribution, door_of
from sb3_reinforce.rollouts.rollout import EpisodeBatch, Rollout


class View(Protocol):
    """What the policy makes of a batch, with its graph."""

    def constant(self) -> "View":
        """:return: The same, without its graph."""
        ...

    def divergence(self, now: Any) -> th.Tensor:
        """
        :param now: What the policy makes of the same batch with other parameters.
        :return: The divergence of this one from that, summed over the batch.
        """
        ...


@dataclass(frozen=True)
class Distributions:
    """
    Distributions whose divergence has a closed form.

    :param parts: Independent of each other, each for the whole batch.
    """

    parts: list[Distribution]

    def constant(self) -> "Distributions":
        """See :class:`View`."""
        return Distributions([_constant(part) for part in self.parts])

    def divergence(self, now: "Distributions") -> th.Tensor:
        """See :class:`View`."""
        return th.stack([kl_divergence(*parts).sum() for parts in zip(self.parts, now.parts, strict=True)]).sum()


@dataclass(frozen=True)
class Densities:
    r"""
    Of a policy that tells how probable actions are, and no more. The divergence is an average over the actions that it has
    drawn itself, :math:`\mathbb{E}[r - 1 - \log r]` with :math:`r = \pi_{now}(a|s) / \pi_{before}(a|s)`, which is never
    negative: Schulman (2020), "Approximating KL divergence". Its Hessian, where the policy has not moved yet, is the sum of
    the outer products of the scores: the empirical Fisher matrix.

    :param log_prob: :math:`\log \pi(a|s)`. Shape ``(batch,)``.
    :param weights: :math:`\pi(a|s) / \beta(a|s)`, with the behaviour that the actions are from. Shape ``(batch,)``.
    """

    log_prob: th.Tensor
    weights: th.Tensor

    def constant(self) -> "Densities":
        """See :class:`View`."""
        return Densities(self.log_prob.detach(), self.weights)

    def divergence(self, now: "Densities") -> th.Tensor:
        """See :class:`View`."""
        log_ratio = now.log_prob - self.log_prob
        return (self.weights * (th.expm1(log_ratio) - log_ratio)).sum()


def _constant(distribution: Distribution) -> Distribution:
    fixed = copy.copy(distribution)
    vars(fixed).update({name: value.detach() for name, value in vars(distribution).items() if isinstance(value, th.Tensor)})
    return fixed


def view_of(policy: Any, batch: EpisodeBatch) -> View:
    """
    :param policy: Any actor-critic policy.
    :param batch: Some timesteps.
    :return: Its distributions, where these are SB3's own, and so known exactly; else what it says of the actions in the batch.
    """
    door = door_of(policy)
    if isinstance(door, ByDistribution):
        distribution: Any = door.distribution(batch.observations, batch.action_masks)
        inner = distribution.distribution
        parts = inner if isinstance(inner, list) else [inner]
        if is_known(distribution) and all(type(part) in (Categorical, Normal, Bernoulli) for part in parts):
            return Distributions(list(parts))
    log_prob, _ = door.evaluate(batch.observations, batch.actions, batch.action_masks)
    mixture = mixture_of(policy, batch)
    constant = log_prob.detach()
    weights = th.ones_like(constant) if mixture is None else th.exp(constant - mixture.log_prob(constant))
    return Densities(log_prob, weights)


def views(policy: Any, rollout: Rollout) -> Iterator[View]:
    """
    Whoever looks twice sees the same: dropout drops the same.

    :param policy: Any actor-critic policy.
    :param rollout: The rollout.
    :return: What the policy makes of each batch of the rollout.
    """
    for batch in rollout.batches(rollout.timesteps):  # any weights: nobody looks at them
        with _the_same_chance(rollout.device):
            view = view_of(policy, batch)
        yield view


@contextmanager
def _the_same_chance(device: th.device) -> Iterator[None]:
    others = [] if device.type == "cpu" else [device]
    with th.random.fork_rng(others, device_type=device.type if others else "cuda"):
        th.default_generator.manual_seed(0)
        if others:
            th.manual_seed(0)
        yield


@contextmanager
def buffers_kept(policy: nn.Module) -> Iterator[None]:
    """
    Within, a policy is only looked at: what its modules keep of what passes through them, as batch normalisation does, is
    afterwards what it was before.

    :param policy: Any actor-critic policy.
    """
    before = [(buffer, buffer.clone()) for buffer in policy.buffers()]
    try:
        yield
    finally:
        with th.no_grad():
            for buffer, value in before:
                buffer.copy_(value)


@th.no_grad()
def divergence_from(before: list[View], policy: Any, rollout: Rollout) -> float:
    """
    :param before: What the policy made of the rollout, constant.
    :param policy: The policy.
    :param rollout: The rollout.
    :return: The mean over the timesteps of the divergence of what the policy was from what it is, in nats.
    """
    parts = zip(before, views(policy, rollout), strict=True)
    return sum(float(then.divergence(now)) for then, now in parts) / rollout.n_timesteps
