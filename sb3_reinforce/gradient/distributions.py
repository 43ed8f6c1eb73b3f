r"""
The distributions of actions that know their score, Fisher information and entropy in closed form.

A distribution holds its parameters for a batch of states: rows are its outputs (logits, means), columns are samples.
torch's softmax over a few numbers is ten times faster down a long column.
"""

from dataclasses import dataclass
from typing import Protocol

import torch as th
from gymnasium import spaces

from sb3_reinforce.common.masking import mask_outputs
from sb3_reinforce.gradient.fisher import bernoulli_fisher, gaussian_fisher, softmax_fisher
from sb3_reinforce.gradient.fisher_blocks import FisherBlock, places_of_outputs
from sb3_reinforce.gradient.score import (
    ActionTerms,
    bernoulli_terms,
    entropy_score_of_bits,
    entropy_score_of_gaussian,
    entropy_score_of_parts,
    gaussian_terms,
    softmax_terms,
)


class ActionDistribution(Protocol):
    """What a policy gradient in closed form asks of a distribution."""

    def terms(self, actions: th.Tensor) -> ActionTerms:
        """
        :param actions: Shape ``(batch,)`` for Discrete, else ``(batch, action_dim)``.
        :return: Log-probabilities, scores with respect to the outputs, entropies.
        """
        ...

    def entropy_score(self) -> th.Tensor:
        """:return: Gradients of the entropies with respect to the outputs. Shape ``(n_rows, batch)``."""
        ...

    def places(self, n_features: int) -> list[th.Tensor]:
        """
        :param n_features: How many features the outputs are linear in.
        :return: Where the blocks of :meth:`fisher` stand among weights, biases and what else there is. Each of shape
            ``(n_copies, n_unknowns)``.
        """
        ...

    def fisher(self, features: th.Tensor) -> list[FisherBlock]:
        """
        :param features: What the outputs are linear in. Shape ``(batch, n_features)``.
        :return: Fisher information of weights and biases, then of what else there is, summed over the batch.
        """
        ...


@dataclass(frozen=True)
class Softmax:
    """
    One softmax for a Discrete action, or one for each part of a MultiDiscrete action.

    :param logits: One block of rows a part. Shape ``(sum(sizes), batch)``.
    :param sizes: Number of choices of each part.
    """

    logits: th.Tensor
    sizes: list[int]

    def terms(self, actions: th.Tensor) -> ActionTerms:
        """See :func:`~sb3_reinforce.gradient.score.softmax_terms`."""
        return softmax_terms(self.logits, actions.reshape(len(actions), -1), self.sizes)

    def entropy_score(self) -> th.Tensor:
        """See :func:`~sb3_reinforce.gradient.score.entropy_score_of_parts`."""
        return entropy_score_of_parts(self.logits, self.sizes)

    def places(self, n_features: int) -> list[th.Tensor]:
        """See :class:`ActionDistribution`. A block for each part."""
        return places_of_outputs(self.sizes, n_features)

    def fisher(self, features: th.Tensor) -> list[FisherBlock]:
        """See :func:`~sb3_reinforce.gradient.fisher.softmax_fisher`."""
        parts = [softmax_fisher(features, part) for part in self.logits.T.split(self.sizes, dim=1)]
        return [FisherBlock.single(*block) for block in zip(parts, self.places(features.shape[1]), strict=True)]


@dataclass(frozen=True)
class Bernoulli:
    """
    One bit for each number of a MultiBinary action.

    :param logits: Shape ``(n_bits, batch)``.
    """

    logits: th.Tensor

    def terms(self, actions: th.Tensor) -> ActionTerms:
        """See :func:`~sb3_reinforce.gradient.score.bernoulli_terms`."""
        return bernoulli_terms(self.logits, actions)

    def entropy_score(self) -> th.Tensor:
        """See :func:`~sb3_reinforce.gradient.score.entropy_score_of_bits`."""
        return entropy_score_of_bits(self.logits)

    def places(self, n_features: int) -> list[th.Tensor]:
        """See :class:`ActionDistribution`. A block for each bit."""
        return places_of_outputs([1] * len(self.logits), n_features)

    def fisher(self, features: th.Tensor) -> list[FisherBlock]:
        """See :func:`~sb3_reinforce.gradient.fisher.bernoulli_fisher`."""
        parts = [bernoulli_fisher(features, bit) for bit in self.logits]
        return [FisherBlock.single(*block) for block in zip(parts, self.places(features.shape[1]), strict=True)]


@dataclass(frozen=True)
class Gaussian:
    """
    A normal distribution for each number of a Box action, with a standard deviation that is the same in every state.

    :param mean: Shape ``(action_dim, batch)``.
    :param log_std: Shape ``(action_dim,)``.
    """

    mean: th.Tensor
    log_std: th.Tensor

    def terms(self, actions: th.Tensor) -> ActionTerms:
        """See :func:`~sb3_reinforce.gradient.score.gaussian_terms`."""
        return gaussian_terms(self.mean, self.log_std, actions)

    def entropy_score(self) -> th.Tensor:
        """See :func:`~sb3_reinforce.gradient.score.entropy_score_of_gaussian`."""
        return entropy_score_of_gaussian(self.mean)

    def places(self, n_features: int) -> list[th.Tensor]:
        r"""See :class:`ActionDistribution`. A copy for the means of each number; one number for each :math:`\log \sigma_k`."""
        action_dim = len(self.log_std)
        of_means = th.cat(places_of_outputs([1] * action_dim, n_features))
        return [of_means, action_dim * (n_features + 1) + th.arange(action_dim).unsqueeze(1)]

    def fisher(self, features: th.Tensor) -> list[FisherBlock]:
        r"""
        A Kronecker product for the means, :math:`\operatorname{diag}(\sigma_k^{-2}) \otimes \sum_s \tilde x \tilde x^\top`
        with :math:`\tilde x = (x, 1)`: the number of actions makes no matrix larger. For each :math:`\log \sigma_k`, 2 a
        state.
        Peters and Schaal (2008), section 4. See :func:`~sb3_reinforce.gradient.fisher.gaussian_fisher`.
        """
        of_means, of_log_std = self.places(features.shape[1])
        curvature = features.new_full((1, 1), 2.0 * len(features))
        return [
            FisherBlock(gaussian_fisher(features), (-2 * self.log_std).exp(), of_means),
            FisherBlock(curvature, th.ones_like(self.log_std), of_log_std),
        ]


def distribution_of(
    space: spaces.Space, outputs: th.Tensor, log_std: th.Tensor | None = None, masks: th.Tensor | None = None
) -> ActionDistribution:
    """
    :param space: Discrete, MultiDiscrete, MultiBinary or Box.
    :param outputs: Logits; for Box, means. Shape ``(n_outputs, batch)``.
    :param log_std: For Box. Shape ``(action_dim,)``.
    :param masks: For the others, which choices are allowed; None for all. Booleans. Shape ``(batch, mask_size)``.
    :return: The distributions of its actions.
    """
    if masks is not None:
        outputs = mask_outputs(outputs.T, masks, space).T
    if isinstance(space, spaces.Box):
        assert log_std is not None
        return Gaussian(outputs, log_std)
    if isinstance(space, spaces.MultiBinary):
        return Bernoulli(outputs)
    return Softmax(outputs, space.nvec.tolist() if isinstance(space, spaces.MultiDiscrete) else [len(outputs)])
