"""Fisher matrices that are mostly zeros: what stands in them, and the systems of equations that is solved with it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch as th


@dataclass(frozen=True)
class FisherBlock:
    r"""
    A matrix :math:`M` and multiples of it: :math:`c_k M` stands in the rows and columns of the k-th of some groups of
    parameters. Where no block stands, there is 0.

    :param matrix: :math:`M`. Shape ``(n_unknowns, n_unknowns)``.
    :param scales: :math:`c`. Shape ``(n_copies,)``.
    :param places: The numbers of each group's parameters. Shape ``(n_copies, n_unknowns)``.
    """

    matrix: th.Tensor
    scales: th.Tensor
    places: th.Tensor

    @classmethod
    def single(cls, matrix: th.Tensor, places: th.Tensor) -> "FisherBlock":
        """
        :param matrix: Shape ``(n_unknowns, n_unknowns)``.
        :param places: Shape ``(1, n_unknowns)``.
        :return: It alone.
        """
        return cls(matrix, matrix.new_ones(1), places)

    def restricted(self, is_learned: th.Tensor) -> "FisherBlock":
        """
        :param is_learned: Which parameters are; the same of each group. Shape ``(n_parameters,)``.
        :return: The rows and columns of these, whose numbers are those among them.
        """
        if is_learned.all():
            return self
        places = self.places.to(is_learned.device)
        kept = is_learned[places[0]]
        numbers = is_learned.cumsum(0) - 1
        return replace(self, matrix=self.matrix[kept][:, kept], places=numbers[places[:, kept]])

    def times(self, factor: float) -> "FisherBlock":
        """
        :param factor: Any number.
        :return: The block multiplied by it.
        """
        return replace(self, matrix=self.matrix * factor)

    def plus(self, other: "FisherBlock") -> "FisherBlock":
        """
        :param other: Of other states, with the same scales and places.
        :return: The block of all of them.
        """
        return replace(self, matrix=self.matrix + other.matrix)

    def trace(self) -> float:
        """:return: The sum of the diagonal, of all copies."""
        return float(self.matrix.trace() * self.scales.sum())

    def solve(self, gradients: th.Tensor, shift: float) -> th.Tensor:
        r"""
        One Cholesky factorisation for each distinct scale: :math:`O(n^3)` for n unknowns.

        :param gradients: :math:`g_k`. Shape ``(n_copies, n_unknowns)``.
        :param shift: :math:`\lambda`.
        :return: :math:`(c_k M + \lambda I)^{-1} g_k`; NaN where that matrix is singular. Of the same shape.
        """
        solutions = th.full_like(gradients, th.nan)
        for scale in self.scales.unique():
            same = self.scales == scale
            shifted = self.matrix * scale
            shifted.diagonal().add_(shift)
            factor, failed = th.linalg.cholesky_ex(shifted)
            if not failed:
                solutions[same] = th.cholesky_solve(gradients[same].T, factor).T
        return solutions


def places_of_outputs(sizes: Sequence[int], n_features: int) -> list[th.Tensor]:
    """
    Where the parameters of independent groups of outputs stand among weights, of shape ``(n_outputs, n_features)``, and, after
    them, biases, of shape ``(n_outputs,)``.

    :param sizes: Number of outputs of each group.
    :param n_features: Number of features.
    :return: For each group, its weights and then its biases. Shape ``(1, size * (n_features + 1))``.
    """
    n_outputs = sum(sizes)
    weights = th.arange(n_outputs * n_features).split([size * n_features for size in sizes])
    biases = (n_outputs * n_features + th.arange(n_outputs)).split(list(sizes))
    return [th.cat(parts).unsqueeze(0) for parts in zip(weights, biases, strict=True)]


def mean_diagonal(blocks: Sequence[FisherBlock]) -> float:
    """
    :param blocks: Those of a Fisher matrix.
    :return: The mean of its diagonal.
    """
    return sum(block.trace() for block in blocks) / sum(block.places.numel() for block in blocks)


def solve(blocks: Sequence[FisherBlock], gradient: th.Tensor, damping: float) -> th.Tensor:
    r"""
    :param blocks: Those of a Fisher matrix :math:`F`.
    :param gradient: :math:`g`. Shape ``(n_parameters,)``.
    :param damping: What is added to the diagonal of :math:`F`, relative to its mean.
    :return: :math:`(F + \lambda I)^{-1} g`; NaN where that matrix is singular. Shape ``(n_parameters,)``.
    """
    shift, direction = damping * mean_diagonal(blocks), th.empty_like(gradient)
    for block in blocks:
        places = block.places.to(gradient.device)
        direction[places] = block.solve(gradient[places], shift)
    return direction


def product(blocks: Sequence[FisherBlock], vector: th.Tensor, damping: float = 0.0) -> th.Tensor:
    r"""
    :param blocks: Those of a Fisher matrix :math:`F`.
    :param vector: :math:`v`. Shape ``(n_parameters,)``.
    :param damping: What is added to the diagonal of :math:`F`, relative to its mean.
    :return: :math:`(F + \lambda I) v`. Shape ``(n_parameters,)``.
    """
    result = damping * mean_diagonal(blocks) * vector
    for block in blocks:
        places = block.places.to(vector.device)
        result[places] += block.scales.unsqueeze(1) * (vector[places] @ block.matrix)
    return result


def dense(blocks: Sequence[FisherBlock]) -> th.Tensor:
    """
    :param blocks: Those of a Fisher matrix.
    :return: All of it. Shape ``(n_parameters, n_parameters)``.
    """
    n_parameters = sum(block.places.numel() for block in blocks)
    fisher = blocks[0].matrix.new_zeros(n_parameters, n_parameters)
    for block in blocks:
        for scale, places in zip(block.scales, block.places.to(fisher.device), strict=True):
            fisher[places.unsqueeze(1), places] = scale * block.matrix
    return fisher
