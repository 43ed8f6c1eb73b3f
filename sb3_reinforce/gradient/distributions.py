r"""
The distributions of actions that know their score, Fisher information and entropy in closed form.

A distribution holds its parameters for a batch of states: rows are its outputs (logits, means), columns are samples.
torch's softmax over a few numbers is ten times faster down a long column.
"""

from dataclasses import dataclass
from typing import Protocol

import torch as th
from gymnasium import spaces

from sb3_reinforce.gradient.fisher import bernoulli_fisher, fisher_of_parts, gaussian_fisher, softmax_fisher
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

    def fisher(self, features: th.Tensor) -> th.Tensor:
        """
        :param features: What the outputs are linear in. Shape ``(batch, n_features)``.
        :return: Fisher information of weights and biases, then of what else there is, summed over the batch.
            Shape ``(n_parameters, n_parameters)``.
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

    def fisher(self, features: th.Tensor) -> th.Tensor:
        """See :func:`~sb3_reinforce.gradient.fisher.softmax_fisher`."""
        parts = [softmax_fisher(features, part) for part in self.logits.T.split(self.sizes, dim=1)]
        return fisher_of_parts(parts, self.sizes, features.shape[1])


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

    def fisher(self, features: th.Tensor) -> th.Tensor:
        """See :func:`~sb3_reinforce.gradient.fisher.bernoulli_fisher`."""
        parts = [bernoulli_fisher(features, bit) for bit in self.logits]
        return fisher_of_parts(parts, [1] * len(parts), features.shape[1])


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

    def fisher(self, features: th.Tensor) -> th.Tensor:
        """See :func:`~sb3_reinforce.gradient.fisher.gaussian_fisher`."""
        return gaussian_fisher(features, self.log_std)


def distribution_of(space: spaces.Space, outputs: th.Tensor, log_std: th.Tensor | None = None) -> ActionDistribution:
    """
    :param space: Discrete, MultiDiscrete, MultiBinary or Box.
    :param outputs: Logits; for Box, means. Shape ``(n_outputs, batch)``.
    :param log_std: For Box. Shape ``(action_dim,)``.
    :return: The distributions of its actions.
    """
    if isinstance(space, spaces.Box):
        assert log_std is not None
        return Gaussian(outputs, log_std)
    if isinstance(space, spaces.MultiBinary):
        return Bernoulli(outputs)
    return Softmax(outputs, space.nvec.tolist() if isinstance(space, spaces.MultiDiscrete) else [len(outputs)])
