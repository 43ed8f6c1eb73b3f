"""The last layer of a linear policy: from features to the outputs of a distribution, and from scores back to parameters."""

from typing import Protocol

import torch as th
from torch import nn

from sb3_reinforce.features.phi import PhiNet
from sb3_reinforce.gradient.distributions import ActionDistribution, Softmax
from sb3_reinforce.gradient.fisher import phi_fisher
from sb3_reinforce.gradient.fisher_blocks import FisherBlock
from sb3_reinforce.gradient.score import linear_score, phi_score


class Head(Protocol):
    """Rows of ``by_outputs`` beyond the layer's outputs belong to parameters beside the layer, such as log sigma."""

    def outputs(self, latent: th.Tensor) -> th.Tensor:
        """
        :param latent: Features. Shape ``(batch, n_latent)``.
        :return: In the precision of the features. Shape ``(n_outputs, batch)``.
        """
        ...

    def gradients(self, latent: th.Tensor, by_outputs: th.Tensor) -> list[th.Tensor]:
        """
        :param latent: Features. Shape ``(batch, n_latent)``.
        :param by_outputs: Gradients with respect to the distribution's parameters. Shape ``(n_rows, batch)``.
        :return: Gradients with respect to the policy's parameters, summed over the batch, in the shape of each of them.
        """
        ...

    def scores(self, latent: th.Tensor, by_outputs: th.Tensor) -> th.Tensor:
        """
        :param latent: Features. Shape ``(batch, n_latent)``.
        :param by_outputs: Scores with respect to the distribution's parameters. Shape ``(n_rows, batch)``.
        :return: Scores with respect to the policy's parameters, sample by sample. Shape ``(batch, n_parameters)``.
        """
        ...

    def places(self, distribution: ActionDistribution) -> list[th.Tensor]:
        """
        :param distribution: Distributions of any states.
        :return: Where the blocks of :meth:`fisher` stand. Each of shape ``(n_copies, n_unknowns)``.
        """
        ...

    def fisher(self, latent: th.Tensor, distribution: ActionDistribution) -> list[FisherBlock]:
        """
        :param latent: Features. Shape ``(batch, n_latent)``.
        :param distribution: The distributions of these states.
        :return: Fisher information, summed over the batch.
        """
        ...


class LinearHead:
    r"""
    :math:`W x(s) + b`.

    :param layer: The layer.
    """

    def __init__(self, layer: nn.Linear) -> None:
        self.layer = layer

    def outputs(self, latent: th.Tensor) -> th.Tensor:
        """See :class:`Head`."""
        return self.layer.weight.to(latent) @ latent.T + self.layer.bias.to(latent).unsqueeze(1)

    def gradients(self, latent: th.Tensor, by_outputs: th.Tensor) -> list[th.Tensor]:
        """See :class:`Head`."""
        n_outputs = self.layer.out_features
        sums = by_outputs.sum(dim=1)
        beside = [sums[n_outputs:]] if len(sums) > n_outputs else []
        return [by_outputs[:n_outputs] @ latent, sums[:n_outputs], *beside]

    def scores(self, latent: th.Tensor, by_outputs: th.Tensor) -> th.Tensor:
        """See :class:`Head`."""
        n_outputs = self.layer.out_features
        return th.cat([linear_score(latent, by_outputs[:n_outputs].T), by_outputs[n_outputs:].T], dim=1)

    def places(self, distribution: ActionDistribution) -> list[th.Tensor]:
        """See :class:`Head`."""
        return distribution.places(self.layer.in_features)

    def fisher(self, latent: th.Tensor, distribution: ActionDistribution) -> list[FisherBlock]:
        """See :class:`Head`."""
        return distribution.fisher(latent)


class PhiHead:
    r"""
    :math:`\theta^\top \phi(s, a)` for each action a.

    :param layer: The layer.
    """

    def __init__(self, layer: PhiNet) -> None:
        self.layer = layer

    def _phi(self, latent: th.Tensor) -> th.Tensor:
        return latent.unflatten(1, (-1, self.layer.in_features))

    def outputs(self, latent: th.Tensor) -> th.Tensor:
        """See :class:`Head`."""
        return (self._phi(latent) @ self.layer.weight[0].to(latent)).T.contiguous()

    def gradients(self, latent: th.Tensor, by_outputs: th.Tensor) -> list[th.Tensor]:
        """See :class:`Head`."""
        return [self.scores(latent, by_outputs).sum(dim=0, keepdim=True)]

    def scores(self, latent: th.Tensor, by_outputs: th.Tensor) -> th.Tensor:
        """See :class:`Head`."""
        return phi_score(self._phi(latent), by_outputs.T)

    def places(self, distribution: ActionDistribution) -> list[th.Tensor]:
        """See :class:`Head`."""
        return [th.arange(self.layer.in_features).unsqueeze(0)]

    def fisher(self, latent: th.Tensor, distribution: ActionDistribution) -> list[FisherBlock]:
        """See :class:`Head`."""
        assert isinstance(distribution, Softmax)
        return [FisherBlock.single(phi_fisher(self._phi(latent), distribution.logits.T), *self.places(distribution))]


def head_of(layer: nn.Linear) -> Head:
    """
    :param layer: The last layer of a linear policy.
    :return: What it computes.
    """
    return PhiHead(layer) if isinstance(layer, PhiNet) else LinearHead(layer)
