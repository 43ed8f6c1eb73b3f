"""Systems of equations whose matrix is never built: only its products with vectors are known."""

from collections.abc import Callable

import torch as th

Product = Callable[[th.Tensor], th.Tensor]
"""From a vector to the matrix times it. Shapes ``(n,)``."""


def conjugate_gradients(product: Product, b: th.Tensor, max_iterations: int, tolerance: float) -> th.Tensor:
    r"""
    The method of conjugate gradients of Hestenes and Stiefel (1952), from 0, for :math:`A x = b`. Nocedal and Wright (2006),
    "Numerical optimization", algorithm 5.2. Wherever it stops, :math:`b^\top x = x^\top A x`.

    :param product: Of A, which is symmetric and has no negative eigenvalues.
    :param b: Shape ``(n,)``.
    :param max_iterations: At most so many products.
    :param tolerance: How long the residual :math:`b - A x` may be, relative to b.
    :return: x. Shape ``(n,)``.
    """
    x, residual = th.zeros_like(b), b.clone()
    direction, square = residual, residual.dot(residual)
    enough = tolerance**2 * square
    for _ in range(max_iterations):
        if square <= enough:
            break
        image = product(direction)
        curvature = direction.dot(image)
        if curvature <= 0:  # nothing but rounding errors is left
            break
        length = square / curvature
        x = x + length * direction
        residual = residual - length * image
        square, last_square = residual.dot(residual), square
        direction = residual + square / last_square * direction
    return x


def estimated_mean_diagonal(product: Product, like: th.Tensor, n_probes: int) -> float:
    r"""
    The mean of a matrix's diagonal, by products with vectors of random signs: :math:`\mathbb{E}[z^\top A z]` is its trace.
    Hutchinson (1990), "A stochastic estimator of the trace of the influence matrix". The signs are the same each time, so
    that it is a function of the matrix.

    :param product: Of A.
    :param like: Of the type and device of the vectors. Shape ``(n,)``.
    :param n_probes: How many vectors.
    :return: An estimate of it.
    """
    generator = th.Generator().manual_seed(0)
    signs = 2.0 * th.randint(2, (n_probes, len(like)), generator=generator).to(like) - 1.0
    return sum(float(z.dot(product(z))) for z in signs) / (n_probes * len(like))
