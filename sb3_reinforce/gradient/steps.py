"""Ways to step uphill, once the gradient of the loss stands in the parameters' ``grad``."""

from typing import Any, Protocol

import numpy as np
import torch as th
from torch import nn

from sb3_reinforce.gradient.divergence import buffers_kept, divergence_from, views
from sb3_reinforce.gradient.line_search import fraction_within
from sb3_reinforce.gradient.natural_gradient import forgetting, lengthening, natural_step
from sb3_reinforce.gradient.scores import Scores
from sb3_reinforce.rollouts.rollout import Rollout

_KL_RESOLUTION = 1e-6  # float32 tells no smaller divergences apart


class Step(Protocol):
    """One way uphill."""

    def check(self) -> None:
        """
        :raises ValueError: If the policy can't be stepped like this.
        """
        ...

    def entropy_coef(self, rollout: Rollout, weights: np.ndarray, n_steps: int) -> float:
        """
        :param rollout: What the gradient is estimated from.
        :param weights: What its scores are weighed by. Shape ``(n_timesteps,)``.
        :param n_steps: Steps taken before.
        :return: The entropy bonus that this way needs, beside the user's own.
        """
        ...

    def take(self, rollout: Rollout, learning_rate: float) -> None:
        """
        :param rollout: What the gradient was estimated from.
        :param learning_rate: How far to go.
        :raises FloatingPointError: If the step would not be finite; none is taken then.
        """
        ...


class OptimizerStep:
    """
    A step of the policy's own optimizer.

    :param policy: The policy.
    """

    def __init__(self, policy: Any) -> None:
        self.policy = policy

    def check(self) -> None:
        """Every policy has one."""

    def entropy_coef(self, rollout: Rollout, weights: np.ndarray, n_steps: int) -> float:
        """See :class:`Step`. None."""
        return 0.0

    def take(self, rollout: Rollout, learning_rate: float) -> None:
        """See :class:`Step`. The learning rate is the optimizer's. A policy may have ``step_fractions``: linear ones have."""
        fractions: dict[nn.Parameter, float] = getattr(self.policy, "step_fractions", dict)()
        before = {parameter: parameter.detach().clone() for parameter in fractions}
        self.policy.optimizer.step()
        with th.no_grad():
            for parameter, fraction in fractions.items():
                parameter.copy_(before[parameter].lerp(parameter, fraction))


class NaturalStep:
    """
    Along the natural gradient: :func:`~sb3_reinforce.gradient.natural_gradient.natural_step`.

    :param policy: The policy.
    :param scores: Where gradient and Fisher matrix come from.
    :param target_kl: The most that a step may change the policy, in nats.
    :param damping: What is added to the Fisher matrix's diagonal, relative to its mean; None for the matrix's own default.
    :param line_search: Whether to measure by how much it did change, and to shorten a step that changed it by more.
    """

    def __init__(self, policy: Any, scores: Scores, target_kl: float, damping: float | None, line_search: bool) -> None:
        self.policy = policy
        self.scores = scores
        self.fisher = scores.fisher()
        self.target_kl = target_kl
        self.damping = self.fisher.damping if damping is None else damping
        self.line_search = line_search

    def check(self) -> None:
        """See :class:`Step`."""
        self.fisher.check()

    def entropy_coef(self, rollout: Rollout, weights: np.ndarray, n_steps: int) -> float:
        """See :func:`~sb3_reinforce.gradient.natural_gradient.forgetting`. Where nothing is learned, nothing is forgotten."""
        if not self.fisher.forgets:
            return 0.0
        scale = rollout.n_episodes * float(weights.std())  # of the advantages
        return scale * forgetting(n_steps, rollout.n_timesteps)

    @th.no_grad()
    def take(self, rollout: Rollout, learning_rate: float) -> None:
        """See :class:`Step`."""
        parameters = self.scores.parameters
        gradient = -th.cat([p.grad.flatten() for p in parameters if p.grad is not None]).double()
        if not gradient.any():
            return
        # Of the objective for each timestep, as the Fisher matrix is
        gradient *= rollout.n_episodes / rollout.n_timesteps
        with buffers_kept(self.policy):
            direction = self.fisher.solve(gradient, parameters, rollout, self.damping)
            learning_rate *= lengthening(rollout.n_timesteps) if self.fisher.forgets else 1.0
            step = natural_step(gradient, direction, learning_rate, self.target_kl)
            if self.line_search and np.isfinite(self.target_kl):
                self._go_within_bound(parameters, step, rollout)
            else:
                _go(parameters, [parameter.clone() for parameter in parameters], step)

    def _go_within_bound(self, parameters: list[nn.Parameter], step: th.Tensor, rollout: Rollout) -> None:
        """
        Where an error leaves the parameters, :func:`~sb3_reinforce.gradient.undoing.undone_if_it_fails` puts them back.
        """
        start = [parameter.clone() for parameter in parameters]
        before = [view.constant() for view in views(self.policy, rollout)]

        def divergence(fraction: float) -> float:
            _go(parameters, start, fraction * step)
            return divergence_from(before, self.policy, rollout)

        fraction = fraction_within(divergence, max(self.target_kl, _KL_RESOLUTION))
        if not fraction:
            raise FloatingPointError(
                f"Even a small part of the natural gradient's step changes the policy by more than "
                f"target_kl={self.target_kl:g}, so none was taken. Raise damping or target_kl, or set line_search=False."
            )
        _go(parameters, start, fraction * step)


def _go(parameters: list[nn.Parameter], start: list[th.Tensor], step: th.Tensor) -> None:
    parts = step.split([parameter.numel() for parameter in parameters])
    for parameter, origin, part in zip(parameters, start, parts, strict=True):
        parameter.copy_(origin + part.view_as(origin).to(origin))
