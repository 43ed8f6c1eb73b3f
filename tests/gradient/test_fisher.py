import itertools
from collections.abc import Callable

import torch as th
from hypothesis import given, settings
from hypothesis import strategies as st

from sb3_reinforce.gradient.distributions import Bernoulli, Gaussian, Softmax
from sb3_reinforce.gradient.fisher import bernoulli_fisher, phi_fisher, softmax_fisher
from sb3_reinforce.gradient.fisher_blocks import dense
from tests.gradient.drawn import draw, probabilities, seeds, sizes

# --- Fisher information: the slow version takes the expectation over all actions of the outer product of autograd's scores


batches, feature_numbers = st.integers(1, 6), st.integers(1, 7)


def relative_error(mine: th.Tensor, expected: th.Tensor) -> float:
    return float((mine - expected).norm() / expected.norm())


def expected_outer_product(log_probabilities: Callable[[th.Tensor], th.Tensor], theta: th.Tensor) -> th.Tensor:
    """The function gives those of all actions in each state, of shape ``(batch, n_actions)``."""
    scores = th.autograd.functional.jacobian(log_probabilities, theta)
    return th.einsum("sa,sai,saj->ij", log_probabilities(theta).exp(), scores, scores)


def draw_with_gap(
    batch: int, n_outputs: int, n_features: int, gap: float, seed: int
) -> tuple[th.Tensor, th.Tensor, Callable[[th.Tensor], th.Tensor]]:
    """Features, parameters with logits that lie that far apart at the most, and the function from these to logits."""
    features, weight, bias, _ = draw(batch, n_outputs, n_features, seed)

    def logits(theta: th.Tensor) -> th.Tensor:
        return features @ theta[: weight.numel()].view_as(weight).T + theta[weight.numel() :]

    theta = th.cat([weight.flatten(), bias])
    return features, theta * gap / logits(theta).abs().max(), logits


def has_no_negative_eigenvalues(fisher: th.Tensor) -> bool:
    eigenvalues = th.linalg.eigvalsh(fisher)
    return bool(eigenvalues[-1] > 0) and bool(eigenvalues[0] > -1e-12 * eigenvalues[-1])


@given(batches, st.integers(2, 5), feature_numbers, st.floats(0.1, 150), seeds)
def test_softmax_fisher_is_the_covariance_of_the_score(
    batch: int, n_actions: int, n_features: int, gap: float, seed: int
) -> None:
    features, theta, logits = draw_with_gap(batch, n_actions, n_features, gap, seed)
    fisher = softmax_fisher(features, logits(theta))
    assert relative_error(fisher, expected_outer_product(lambda t: th.log_softmax(logits(t), dim=1), theta)) < 1e-8
    assert has_no_negative_eigenvalues(fisher)


@given(batches, feature_numbers, st.floats(0.1, 300), seeds)
def test_bernoulli_fisher_is_the_covariance_of_the_score(batch: int, n_features: int, gap: float, seed: int) -> None:
    features, theta, logits = draw_with_gap(batch, 1, n_features, gap, seed)

    def log_probabilities(theta: th.Tensor) -> th.Tensor:
        return th.nn.functional.logsigmoid(logits(theta) * th.tensor([-1.0, 1.0]))

    fisher = bernoulli_fisher(features, logits(theta).squeeze(1))
    assert relative_error(fisher, expected_outer_product(log_probabilities, theta)) < 1e-8
    assert has_no_negative_eigenvalues(fisher)


# Of probabilities below 1e-16, autograd's phi(s, a) - E[phi(s, .)] no longer knows
@given(batches, st.integers(2, 5), feature_numbers, st.floats(0.1, 18), seeds)
def test_phi_fisher_is_the_covariance_of_the_score(batch: int, n_actions: int, n_features: int, gap: float, seed: int) -> None:
    generator = th.Generator().manual_seed(seed)
    phi = th.randn(batch, n_actions, n_features, dtype=th.float64, generator=generator)
    theta = th.randn(n_features, dtype=th.float64, generator=generator)
    theta *= gap / (phi @ theta).abs().max()
    fisher = phi_fisher(phi, phi @ theta)
    assert relative_error(fisher, expected_outer_product(lambda t: th.log_softmax(phi @ t, dim=1), theta)) < 1e-8
    assert has_no_negative_eigenvalues(fisher)


@given(batches, feature_numbers, st.floats(0.1, 150), seeds)
def test_phi_fisher_of_a_block_for_each_action_is_softmax_fisher(batch: int, n_features: int, gap: float, seed: int) -> None:
    """phi(s, a) = e_a (x) (x(s), 1), blocks of weights first and then the biases."""
    features, theta, logits = draw_with_gap(batch, 3, n_features, gap, seed)
    eye = th.eye(3, dtype=th.float64)
    by_weights = th.einsum("ab,sf->sabf", eye, features).flatten(start_dim=2)
    phi = th.cat([by_weights, eye.expand(batch, 3, 3)], dim=2)
    assert relative_error(phi_fisher(phi, logits(theta)), softmax_fisher(features, logits(theta))) < 1e-8


@settings(max_examples=25)  # as many derivatives as there are joint actions
@given(st.lists(st.integers(2, 3), min_size=1, max_size=3), batches, feature_numbers, st.floats(0.1, 50), seeds)
def test_the_fisher_matrix_of_parts_is_the_covariance_of_the_score_of_all_parts_together(
    part_sizes: list[int], batch: int, n_features: int, gap: float, seed: int
) -> None:
    features, theta, logits = draw_with_gap(batch, sum(part_sizes), n_features, gap, seed)

    def log_probabilities(theta: th.Tensor) -> th.Tensor:
        parts = [th.log_softmax(part, dim=1) for part in logits(theta).split(part_sizes, dim=1)]
        joint = itertools.product(*(range(size) for size in part_sizes))
        return th.stack([sum(part[:, a] for part, a in zip(parts, actions, strict=True)) for actions in joint], dim=1)

    fisher = dense(Softmax(logits(theta).T, part_sizes).fisher(features))
    assert relative_error(fisher, expected_outer_product(log_probabilities, theta)) < 1e-8


@given(sizes, seeds)
def test_the_fisher_matrix_is_the_curvature_of_the_divergence(size: tuple[int, int, int], seed: int) -> None:
    features, weight, bias, _ = draw(*size, seed)
    pi = probabilities(features, weight, bias)

    def divergence(theta: th.Tensor) -> th.Tensor:
        log_moved = th.log_softmax(features @ theta[: weight.numel()].view_as(weight).T + theta[weight.numel() :], dim=1)
        return (pi * (pi.log() - log_moved)).sum()

    curvature = th.autograd.functional.hessian(divergence, th.cat([weight.flatten(), bias]))
    th.testing.assert_close(softmax_fisher(features, features @ weight.T + bias), curvature, rtol=1e-7, atol=1e-10)


@given(st.integers(1, 4), batches, feature_numbers, seeds)
def test_the_fisher_matrix_of_a_gaussian_is_the_curvature_of_the_divergence(
    action_dim: int, batch: int, n_features: int, seed: int
) -> None:
    features, weight, bias, _ = draw(batch, action_dim, n_features, seed)
    log_std = th.linspace(-0.7, 0.4, action_dim, dtype=th.float64)
    theta = th.cat([weight.flatten(), bias, log_std])

    def divergence(moved: th.Tensor) -> th.Tensor:
        """Of the normal distributions, of theta from those moved."""
        w, b, s = moved.split([weight.numel(), action_dim, action_dim])
        distance = features @ (weight - w.view_as(weight)).T + bias - b
        return (s - log_std + (th.exp(2 * log_std) + distance**2) / (2 * th.exp(2 * s)) - 0.5).sum()

    curvature = th.autograd.functional.hessian(divergence, theta)
    fisher = dense(Gaussian(weight @ features.T + bias.unsqueeze(1), log_std).fisher(features))
    th.testing.assert_close(fisher, curvature, rtol=1e-8, atol=1e-10)


@given(st.integers(1, 4), batches, feature_numbers, seeds)
def test_the_fisher_matrix_of_bits_is_that_of_each(n_bits: int, batch: int, n_features: int, seed: int) -> None:
    features, weight, bias, _ = draw(batch, n_bits, n_features, seed)
    logits = weight @ features.T + bias.unsqueeze(1)
    fisher = dense(Bernoulli(logits).fisher(features))
    for bit in range(n_bits):
        rows = [*range(bit * n_features, (bit + 1) * n_features), n_bits * n_features + bit]
        th.testing.assert_close(fisher[rows][:, rows], bernoulli_fisher(features, logits[bit]))
        fisher[rows, :] = fisher[:, rows] = 0.0
    assert not fisher.any()
