"""The Fisher matrix of a policy over a rollout, and how a system of equations is solved with it."""

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Protocol

import numpy as np
import torch as th
from gymnasium import spaces
from torch import nn

from sb3_reinforce.gradient.conjugate_gradients import conjugate_gradients, estimated_mean_diagonal
from sb3_reinforce.gradient.divergence import views
from sb3_reinforce.gradient.fisher_blocks import FisherBlock, solve
from sb3_reinforce.rollouts.rollout import Rollout

MAX_UNKNOWNS = 5_000
"""A matrix of float64 has 200 MB then, and its solution takes seconds."""
_MOST_GRAPHS_KEPT = 4
"""Of as many batches: of two layers of 64 units, that is 200 MB at the most."""

Tensors = tuple[th.Tensor, ...]


class FisherMatrix(Protocol):
    """The policy's own, whatever it explores by: with the expectation over its actions, not over those of epsilon."""

    damping: ClassVar[float]
    """What is added to its diagonal by default, relative to the diagonal's mean."""

    @property
    def is_twofold(self) -> bool:
        """Whether natural steps with it are :class:`twofold <sb3_reinforce.gradient.steps.TwofoldNaturalStep>`."""
        ...

    def check(self) -> None:
        """
        :raises ValueError: If there are too many unknowns.
        """
        ...

    def solve(self, gradient: th.Tensor, parameters: list[nn.Parameter], rollout: Rollout, damping: float) -> th.Tensor:
        r"""
        :param gradient: :math:`g`, float64. Shape ``(n_parameters,)``.
        :param parameters: What it is with respect to.
        :param rollout: Over whose timesteps the matrix is a mean.
        :param damping: What is added to its diagonal, relative to the diagonal's mean.
        :return: :math:`(F + \lambda I)^{-1} g`; not finite if that matrix is singular. Shape ``(n_parameters,)``.
        """
        ...


class ClosedFormFisher:
    r"""
    Of a linear policy, exact. What the time goes by, with d features, n timesteps and k numbers or choices of an action:

    - Box: :math:`O(n d^2 + k d^3)`, in one matrix of :math:`d^2` numbers.
    - MultiDiscrete, MultiBinary: the same for each part or bit, in a matrix for each.
    - Discrete: :math:`O(n k^2 d^2 + k^3 d^3)`, in one matrix of :math:`k^2 d^2` numbers.

    :param policy: A :class:`~sb3_reinforce.policies.linear.LinearPolicy` with ``has_closed_form``.
    """

    damping: ClassVar[float] = 1e-3

    def __init__(self, policy: Any) -> None:
        self.policy = policy

    @property
    def is_twofold(self) -> bool:
        """See :class:`FisherMatrix`. Logits are a sum of regressions; the standard deviation of a Gaussian is none."""
        return not isinstance(self.policy.action_space, spaces.Box)

    def check(self) -> None:
        """See :class:`FisherMatrix`."""
        numbers = sum(n**2 for n in self.policy.fisher_unknowns())
        check_unknowns("natural_gradient", "parameters", round(math.sqrt(numbers)), "natural_gradient=False")

    @th.no_grad()
    def solve(self, gradient: th.Tensor, parameters: list[nn.Parameter], rollout: Rollout, damping: float) -> th.Tensor:
        """See :class:`FisherMatrix`."""
        return solve(self.blocks(rollout), gradient, damping)

    @th.no_grad()
    def blocks(self, rollout: Rollout) -> list[FisherBlock]:
        """
        :param rollout: Over whose timesteps the matrix is a mean.
        :return: Its blocks.
        """
        sums: list[FisherBlock] = []
        for batch in rollout.batches(np.zeros(rollout.n_timesteps)):
            blocks = self.policy.fisher_blocks(batch.observations, batch.action_masks)
            sums = [a.plus(b) for a, b in zip(sums, blocks, strict=True)] if sums else blocks
        return [block.times(1 / rollout.n_timesteps) for block in sums]


class FisherProducts:
    r"""
    Of any policy, by its products with vectors: the matrix is never built. It is the Hessian of the Kullback-Leibler
    divergence of the policy from itself, and a product is the gradient of a gradient's (Pearlmutter, 1994, "Fast exact
    multiplication by the Hessian"). The system is solved by conjugate gradients: Schulman et al. (2015), "Trust region
    policy optimization", appendix C. Each product reads the rollout once, a block at a time, and costs about as much as three
    gradients.

    A network has more parameters than a rollout has timesteps. With little damping it could explain the noise of the returns
    as well, and each step would go as far as it may. So the damping is larger by default.

    :param policy: Any actor-critic policy.
    :param max_iterations: Of conjugate gradients. What they have not found by then are the directions in which the policy
        hardly changes.
    :param tolerance: How long their residual may be, relative to the gradient.
    :param n_probes: How many products estimate the mean of the diagonal.
    """

    damping: ClassVar[float] = 1.0
    is_twofold = False

    def __init__(self, policy: Any, max_iterations: int = 15, tolerance: float = 1e-4, n_probes: int = 5) -> None:
        self.policy = policy
        self.max_iterations = max_iterations
        self.tolerance = tolerance
        self.n_probes = n_probes

    def check(self) -> None:
        """See :class:`FisherMatrix`. There are never too many."""

    def product(self, vector: th.Tensor, parameters: list[nn.Parameter], rollout: Rollout) -> th.Tensor:
        """
        :param vector: Shape ``(n_parameters,)``.
        :param parameters: What the Fisher matrix is with respect to.
        :param rollout: Over whose timesteps it is a mean.
        :return: The matrix times the vector. Shape ``(n_parameters,)``.
        :raises ValueError: If the policy can't be differentiated twice.
        """
        return self._product(vector, parameters, rollout, self._slopes(parameters, rollout))

    @th.enable_grad()
    def _slopes(self, parameters: list[nn.Parameter], rollout: Rollout) -> Iterator[Tensors]:
        """A batch after the other, the gradient of the divergence, with its graph."""
        for view in views(self.policy, rollout):
            divergence = view.constant().divergence(view)
            with _twice_explained(self.policy):
                slopes = th.autograd.grad(divergence, parameters, create_graph=True, materialize_grads=True)
            yield slopes

    @th.enable_grad()
    def _product(
        self, vector: th.Tensor, parameters: list[nn.Parameter], rollout: Rollout, slopes_of_batches: Iterable[Tensors]
    ) -> th.Tensor:
        sizes = [parameter.numel() for parameter in parameters]
        parts = [part.view_as(p).to(p) for part, p in zip(vector.split(sizes), parameters, strict=True)]
        total = th.zeros_like(vector)
        for slopes in slopes_of_batches:
            with _twice_explained(self.policy):
                along = th.stack([(slope * part).sum() for slope, part in zip(slopes, parts, strict=True)]).sum()
                products = th.autograd.grad(along, parameters, retain_graph=True, materialize_grads=True)
            total += th.cat([product.flatten() for product in products])
        return total / rollout.n_timesteps

    def solve(self, gradient: th.Tensor, parameters: list[nn.Parameter], rollout: Rollout, damping: float) -> th.Tensor:
        """See :class:`FisherMatrix`. Of a rollout of few batches, their graphs are kept for all products: twice as fast."""
        keeps = len(rollout.blocks) <= _MOST_GRAPHS_KEPT
        kept = list(self._slopes(parameters, rollout)) if keeps else None

        def product(vector: th.Tensor) -> th.Tensor:
            return self._product(vector, parameters, rollout, kept or self._slopes(parameters, rollout))

        shift = damping * estimated_mean_diagonal(product, gradient, self.n_probes) if damping else 0.0
        return conjugate_gradients(
            lambda vector: product(vector) + shift * vector, gradient, self.max_iterations, self.tolerance
        )


@contextmanager
def _twice_explained(policy: Any) -> Iterator[None]:
    """Around second derivatives: torch names neither the policy nor the way out."""
    try:
        yield
    except RuntimeError as error:
        if not any(words in str(error) for words in ("double backward", "derivative for", "donated buffer")):
            raise
        raise ValueError(
            f"natural_gradient needs second derivatives of {type(policy).__name__}, and torch has none: {error}. Leave "
            "torch.compile out, use functions that can be differentiated twice, or natural_gradient=False."
        ) from error


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
