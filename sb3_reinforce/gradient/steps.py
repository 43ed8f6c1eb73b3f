"""Ways to step uphill, once the gradient of the loss stands in the parameters' ``grad``."""

from typing import Any, ClassVar, Protocol

import numpy as np
import torch as th
from torch import nn
from torch.nn.utils import parameters_to_vector

from sb3_reinforce.gradient.divergence import buffers_kept, divergence_from, views
from sb3_reinforce.gradient.fisher_blocks import solve
from sb3_reinforce.gradient.fisher_matrices import ClosedFormFisher
from sb3_reinforce.gradient.line_search import fraction_within
from sb3_reinforce.gradient.natural_gradient import (
    CAUTIOUS_DAMPING,
    Fishers,
    averaged_rate,
    averaged_step,
    forgetting,
    lengthening,
    natural_step,
    shortened,
)
from sb3_reinforce.gradient.scores import Scores
from sb3_reinforce.gradient.step_memory import StepMemory
from sb3_reinforce.rollouts.rollout import Rollout

BOLD_SHARE = 0.1
"""Of the divergence that a twofold step may have, the most for the bold one."""
_KL_RESOLUTION = 1e-6  # float32 tells no smaller divergences apart


class Step(Protocol):
    """One way uphill."""

    def check(self) -> None:
        """
        :raises ValueError: If the policy can't be stepped like this.
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
    :param target_kl: The most that a step may change the policy, in nats; None for the default.
    :param damping: What is added to the Fisher matrix's diagonal, relative to its mean; None for the default.
    :param line_search: Whether to measure by how much it did change, and to shorten a step that changed it by more.
    """

    default_target_kl: ClassVar[float] = 0.02

    def __init__(self, policy: Any, scores: Scores, target_kl: float | None, damping: float | None, line_search: bool) -> None:
        self.policy = policy
        self.scores = scores
        self.fisher = scores.fisher()
        self.target_kl = self.default_target_kl if target_kl is None else target_kl
        self.damping = self.fisher.damping if damping is None else damping
        self.line_search = line_search

    def check(self) -> None:
        """See :class:`Step`."""
        self.fisher.check()

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
            self._follow(gradient, parameters, rollout, learning_rate)

    def _follow(self, gradient: th.Tensor, parameters: list[nn.Parameter], rollout: Rollout, learning_rate: float) -> None:
        direction = self.fisher.solve(gradient, parameters, rollout, self.damping)
        self._go_within_bound(parameters, natural_step(gradient, direction, learning_rate, self.target_kl), rollout)

    def _go_within_bound(self, parameters: list[nn.Parameter], step: th.Tensor, rollout: Rollout) -> float:
        """
        The fraction of the step that was taken: all of it, if nobody measures. Where an error leaves the parameters,
        :func:`~sb3_reinforce.gradient.undoing.undone_if_it_fails` puts them back.
        """
        start = [parameter.clone() for parameter in parameters]
        if not self.line_search or not np.isfinite(self.target_kl):
            _go(parameters, start, step)
            return 1.0
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
        return fraction


class TwofoldNaturalStep(NaturalStep):
    r"""
    Of a softmax policy, whose parameters are a sum of natural steps, and so the sum of their noise too. A step is two at once:

    - a bold one, :func:`~sb3_reinforce.gradient.natural_gradient.natural_step`: the natural gradient of this rollout. It
      learns within a few episodes, and is then forgotten: :func:`~sb3_reinforce.gradient.natural_gradient.forgetting`.
    - a cautious one, :func:`~sb3_reinforce.gradient.natural_gradient.averaged_step`: one regression for all rollouts. It finds
      what no rollout alone could tell from noise, and stays. It is damped more, for a direction in which the scores hardly
      vary is more often noise than not.

    :param policy: The policy, which has a closed form.
    :param scores: Where gradient and Fisher matrix come from.
    :param target_kl: See :class:`NaturalStep`. Of the whole step; a tenth of it is the most for the bold one.
    :param damping: See :class:`NaturalStep`. Of the bold one, and of the cautious one where it is more than its own.
    :param line_search: See :class:`NaturalStep`.
    :param memory: Of the rollouts so far. The step is added to it.
    """

    default_target_kl: ClassVar[float] = 0.15
    fisher: ClosedFormFisher

    def __init__(
        self,
        policy: Any,
        scores: Scores,
        target_kl: float | None,
        damping: float | None,
        line_search: bool,
        memory: StepMemory,
    ) -> None:
        super().__init__(policy, scores, target_kl, damping, line_search)
        self._memory = memory

    def _follow(self, gradient: th.Tensor, parameters: list[nn.Parameter], rollout: Rollout, learning_rate: float) -> None:
        now, n, memory = self.fisher.blocks(rollout), rollout.n_timesteps, self._memory
        if not memory.fits(now, len(gradient)):
            memory.start(now, len(gradient))
        mean = memory.mean_with(now, n)
        recent = th.as_tensor(memory.recent).to(gradient)
        kept = parameters_to_vector(parameters).to(gradient) - recent
        bold = natural_step(
            gradient, solve(now, gradient, self.damping), learning_rate * lengthening(n), BOLD_SHARE * self.target_kl
        )
        pace = min(1.0, learning_rate)  # whoever learns more slowly forgets more slowly
        bold -= pace * forgetting(memory.n_steps, n) * recent
        cautious = averaged_step(
            gradient,
            kept,
            Fishers(memory.mean(now), mean, now),
            learning_rate * averaged_rate(n, memory.n_timesteps),
            max(self.damping, CAUTIOUS_DAMPING),
            self.target_kl,
            pace,
        )
        step = shortened(bold + cautious, now, self.target_kl)
        memory.add(mean, n, recent + self._go_within_bound(parameters, step, rollout) * bold)


def _go(parameters: list[nn.Parameter], start: list[th.Tensor], step: th.Tensor) -> None:
    parts = step.split([parameter.numel() for parameter in parameters])
    for parameter, origin, part in zip(parameters, start, parts, strict=True):
        parameter.copy_(origin + part.view_as(origin).to(origin))
