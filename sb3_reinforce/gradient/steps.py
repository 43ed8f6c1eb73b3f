"""Ways to step uphill, once the gradient of the loss stands in the parameters' ``grad``."""

from typing import Any, Protocol

import numpy as np
import torch as th
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from sb3_reinforce.gradient.natural_gradient import forgetting, natural_step
from sb3_reinforce.gradient.scores import ClosedFormScores, Scores
from sb3_reinforce.rollouts.rollout import Rollout

MAX_UNKNOWNS = 5_000
"""A matrix of float64 has 200 MB then, and its solution takes seconds."""


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
        """See :class:`Step`. The learning rate is the optimizer's. A policy may have ``step_fractions``, as linear ones have."""
        fractions = getattr(self.policy, "step_fractions", dict)()
        before = {parameter: parameter.detach().clone() for parameter in fractions}
        self.policy.optimizer.step()
        with th.no_grad():
            for parameter, fraction in fractions.items():
                parameter.copy_(before[parameter].lerp(parameter, fraction))


class NaturalStep:
    """
    Along the natural gradient: :func:`~sb3_reinforce.gradient.natural_gradient.natural_step`.

    :param scores: Where gradient and Fisher matrix come from.
    :param target_kl: The most that a step may change the policy, in nats.
    :param damping: What is added to the Fisher matrix's diagonal, relative to its mean.
    """

    def __init__(self, scores: Scores, target_kl: float, damping: float) -> None:
        self.scores = scores
        self.target_kl = target_kl
        self.damping = damping

    def check(self) -> None:
        """See :class:`Step`."""
        if not isinstance(self.scores, ClosedFormScores):
            raise ValueError(
                "natural_gradient needs the closed-form Fisher matrix of a linear policy (no net_arch, nothing of its own "
                "overridden or replaced). Use 'LinearSoftmaxPolicy' or 'LinearGaussianPolicy', or natural_gradient=False."
            )
        n_parameters = sum(parameter.numel() for parameter in self.scores.parameters)
        check_unknowns("natural_gradient", "parameters", n_parameters, "natural_gradient=False")

    def entropy_coef(self, rollout: Rollout, weights: np.ndarray, n_steps: int) -> float:
        """See :func:`~sb3_reinforce.gradient.natural_gradient.forgetting`. Where nothing is learned, nothing is forgotten."""
        scale = rollout.n_episodes * float(weights.std())  # of the advantages
        return scale * forgetting(n_steps, rollout.n_timesteps)

    @th.no_grad()
    def take(self, rollout: Rollout, learning_rate: float) -> None:
        """See :class:`Step`."""
        parameters = self.scores.parameters
        gradient = -th.cat([p.grad.flatten() for p in parameters if p.grad is not None]).double()
        fisher = th.zeros(len(gradient), len(gradient), dtype=th.float64, device=gradient.device)
        for batch in rollout.batches(np.zeros(rollout.n_timesteps)):
            fisher += self.scores.fisher(batch)
        # Of the objective for each timestep, as the Fisher matrix is
        gradient *= rollout.n_episodes / rollout.n_timesteps
        step = natural_step(gradient, fisher / rollout.n_timesteps, learning_rate, self.target_kl, self.damping)
        vector_to_parameters(parameters_to_vector(parameters) + step.to(parameters[0]), parameters)


def check_unknowns(argument: str, names: str, n: int, instead: str) -> None:
    """
    Before a matrix, and its solution, stop the machine.

    :param argument: What needs it.
    :param names: What its unknowns are.
    :param n: How many there are.
    :param instead: What to use in its place.
    :raises ValueError: If there are too many.
    """
    if n > MAX_UNKNOWNS:
        raise ValueError(
            f"{argument} solves a system of equations with as many unknowns as there are {names}, {n:,} here, but more than "
            f"{MAX_UNKNOWNS:,} would take too much memory and time. Use {instead}, or a features extractor with fewer "
            "features."
        )
