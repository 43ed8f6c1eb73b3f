import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch as th
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Bernoulli, Categorical, Distribution, Normal

from sb3_reinforce.gradient.score import (
    ActionTerms,
    bernoulli_fisher,
    bernoulli_terms,
    entropy_score_of_bits,
    entropy_score_of_gaussian,
    entropy_score_of_logits,
    entropy_score_of_parts,
    fisher_of_parts,
    gaussian_terms,
    linear_score,
    mixture_factor,
    mixture_log_prob,
    phi_fisher,
    phi_score,
    score_of_logits,
    softmax_fisher,
    softmax_score,
    softmax_terms,
)

sizes = st.tuples(st.integers(1, 6), st.integers(1, 5), st.integers(1, 7))
seeds = st.integers(0, 2**31)


def draw(batch: int, n_actions: int, n_features: int, seed: int) -> tuple[th.Tensor, th.Tensor, th.Tensor, th.Tensor]:
    generator = th.Generator().manual_seed(seed)
    features = th.randn(batch, n_features, dtype=th.float64, generator=generator)
    weight = th.randn(n_actions, n_features, dtype=th.float64, generator=generator)
    bias = th.randn(n_actions, dtype=th.float64, generator=generator)
    actions = th.randint(n_actions, (batch,), generator=generator)
    return features, weight, bias, actions


def log_prob(features: th.Tensor, weight: th.Tensor, bias: th.Tensor, actions: th.Tensor) -> th.Tensor:
    return th.log_softmax(features @ weight.T + bias, dim=1)[th.arange(len(actions)), actions]


def probabilities(features: th.Tensor, weight: th.Tensor, bias: th.Tensor) -> th.Tensor:
    return th.softmax(features @ weight.T + bias, dim=1)


@given(sizes, seeds)
def test_softmax_score_equals_autograd(size: tuple[int, int, int], seed: int) -> None:
    features, weight, bias, actions = draw(*size, seed)
    score = softmax_score(features, probabilities(features, weight, bias), actions)
    for i in range(len(actions)):
        w, b = weight.clone().requires_grad_(), bias.clone().requires_grad_()
        gradients = th.autograd.grad(log_prob(features[i : i + 1], w, b, actions[i : i + 1]).sum(), [w, b])
        th.testing.assert_close(score[i], th.cat([g.flatten() for g in gradients]), rtol=1e-8, atol=1e-12)


@given(sizes, seeds)
def test_softmax_score_equals_central_differences(size: tuple[int, int, int], seed: int) -> None:
    features, weight, bias, actions = draw(*size, seed)
    score = softmax_score(features, probabilities(features, weight, bias), actions).numpy()
    theta, h = np.concatenate([weight.numpy().ravel(), bias.numpy()]), 1e-6
    for k in range(len(theta)):
        values = []
        for sign in (1, -1):
            moved = theta.copy()
            moved[k] += sign * h
            w, b = th.tensor(moved[: weight.numel()]).view_as(weight), th.tensor(moved[weight.numel() :])
            values.append(log_prob(features, w, b, actions).numpy())
        np.testing.assert_allclose(score[:, k], (values[0] - values[1]) / (2 * h), rtol=1e-5, atol=1e-8)


@given(sizes, seeds)
def test_the_mean_score_under_the_policy_is_zero(size: tuple[int, int, int], seed: int) -> None:
    features, weight, bias, _ = draw(*size, seed)
    pi = probabilities(features, weight, bias)
    mean = th.zeros(size[0], weight.numel() + bias.numel(), dtype=th.float64)
    for action in range(size[1]):
        mean += pi[:, action : action + 1] * softmax_score(features, pi, th.full((size[0],), action))
    th.testing.assert_close(mean, th.zeros_like(mean), rtol=0, atol=1e-12)


def test_score_of_logits_by_hand() -> None:
    score = score_of_logits(th.tensor([[0.2, 0.3, 0.5]]), th.tensor([2]))
    th.testing.assert_close(score, th.tensor([[-0.2, -0.3, 0.5]]))


def test_score_of_logits_leaves_the_probabilities_alone() -> None:
    pi = th.tensor([[0.25, 0.75]])
    score_of_logits(pi, th.tensor([0]))
    th.testing.assert_close(pi, th.tensor([[0.25, 0.75]]))


@given(sizes, seeds, st.floats(0, 1))
def test_mixture_log_prob_is_the_log_of_the_mixture(size: tuple[int, int, int], seed: int, epsilon: float) -> None:
    features, weight, bias, actions = draw(*size, seed)
    log_pi = log_prob(features, weight, bias, actions)
    mixture = mixture_log_prob(log_pi, -np.log(size[1]), th.full_like(log_pi, epsilon))
    th.testing.assert_close(mixture, th.log((1 - epsilon) * log_pi.exp() + epsilon / size[1]), rtol=1e-9, atol=1e-14)


@given(sizes, seeds)
def test_a_mixture_of_an_epsilon_and_a_density_for_each_sample_equals_autograd(size: tuple[int, int, int], seed: int) -> None:
    """The densities of Box actions are 0, and their logarithm minus infinity, outside the bounds."""
    features, weight, bias, actions = draw(*size, seed)
    generator = th.Generator().manual_seed(seed)
    epsilon, uniform = th.rand(2, size[0], dtype=th.float64, generator=generator)
    uniform = th.where(uniform < 0.2, 0.0, uniform)
    log_pi = log_prob(features, weight, bias, actions).requires_grad_()
    log_beta = th.log((1 - epsilon) * log_pi.exp() + epsilon * uniform)
    (factor,) = th.autograd.grad(log_beta.sum(), log_pi)
    with th.no_grad():
        mixture = mixture_log_prob(log_pi, uniform.log(), epsilon)
        th.testing.assert_close(mixture, log_beta.detach(), rtol=1e-9, atol=1e-14)
        th.testing.assert_close(mixture_factor(log_pi, uniform.log(), epsilon), factor, rtol=1e-9, atol=1e-14)


@given(sizes, seeds, st.floats(0, 1))
def test_mixture_score_equals_autograd_of_log_beta(size: tuple[int, int, int], seed: int, epsilon: float) -> None:
    features, weight, bias, actions = draw(*size, seed)
    weight, bias = weight.requires_grad_(), bias.requires_grad_()
    log_pi = log_prob(features, weight, bias, actions)
    epsilons = th.full_like(log_pi, epsilon)
    log_beta = th.log((1 - epsilon) * log_pi.exp() + epsilon / size[1])
    gradients = th.autograd.grad(log_beta.sum(), [weight, bias])
    with th.no_grad():
        score = softmax_score(features, probabilities(features, weight, bias), actions)
        mine = (mixture_factor(log_pi, -np.log(size[1]), epsilons).unsqueeze(1) * score).sum(dim=0)
    th.testing.assert_close(mine, th.cat([g.flatten() for g in gradients]), rtol=1e-8, atol=1e-12)


def test_mixture_at_the_ends_and_where_the_uniform_is_impossible() -> None:
    log_pi = th.tensor([-0.5, -0.5, -2.0], dtype=th.float64, requires_grad=True)
    epsilon = th.tensor([0.0, 1.0, 0.3], dtype=th.float64)
    log_uniform = th.tensor([-1.0, -1.0, -th.inf], dtype=th.float64)
    log_beta = mixture_log_prob(log_pi, log_uniform, epsilon)
    th.testing.assert_close(log_beta.detach(), th.tensor([-0.5, -1.0, -2.0 + np.log(0.7)], dtype=th.float64))
    (gradient,) = th.autograd.grad(log_beta.sum(), log_pi)
    th.testing.assert_close(gradient, th.tensor([1.0, 0.0, 1.0], dtype=th.float64))
    th.testing.assert_close(mixture_factor(log_pi, log_uniform, epsilon).detach(), gradient)


@given(sizes, seeds)
def test_the_entropy_bonus_equals_autograd(size: tuple[int, int, int], seed: int) -> None:
    features, weight, bias, _ = draw(*size, seed)
    logits = (features @ weight.T + bias).requires_grad_()
    log_pi = th.log_softmax(logits, dim=1)
    entropy = -(log_pi.exp() * log_pi).sum()
    (expected,) = th.autograd.grad(entropy, logits)
    th.testing.assert_close(entropy_score_of_logits(log_pi.detach()), expected, rtol=1e-8, atol=1e-12)
    th.testing.assert_close(entropy_score_of_logits(log_pi.detach().T, dim=0).T, expected, rtol=1e-8, atol=1e-12)


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


@given(st.lists(st.integers(2, 4), min_size=1, max_size=3), batches, feature_numbers, st.floats(0.1, 50), seeds)
def test_fisher_of_parts_is_the_covariance_of_the_score_of_all_parts_together(
    part_sizes: list[int], batch: int, n_features: int, gap: float, seed: int
) -> None:
    features, theta, logits = draw_with_gap(batch, sum(part_sizes), n_features, gap, seed)

    def log_probabilities(theta: th.Tensor) -> th.Tensor:
        parts = [th.log_softmax(part, dim=1) for part in logits(theta).split(part_sizes, dim=1)]
        joint = itertools.product(*(range(size) for size in part_sizes))
        return th.stack([sum(part[:, a] for part, a in zip(parts, actions, strict=True)) for actions in joint], dim=1)

    parts = [softmax_fisher(features, part) for part in logits(theta).split(part_sizes, dim=1)]
    fisher = fisher_of_parts(parts, part_sizes, n_features)
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


# --- Other distributions: torch's own, and autograd, are the slow version


class Kind:
    """A distribution over actions: ours, by rows, and torch's."""

    def rows(self, batch: int, generator: th.Generator) -> th.Tensor:
        raise NotImplementedError

    def torch(self, rows: th.Tensor) -> list[Distribution]:
        """Independent parts."""
        raise NotImplementedError

    def ours(self, rows: th.Tensor, actions: th.Tensor) -> ActionTerms:
        raise NotImplementedError

    def entropy_score(self, rows: th.Tensor) -> th.Tensor:
        raise NotImplementedError

    def draw(self, rows: th.Tensor) -> th.Tensor:
        return th.stack([part.sample() for part in self.torch(rows)], dim=1)


class Parts(Kind):
    def __init__(self, sizes: list[int]) -> None:
        self.sizes = sizes

    def rows(self, batch: int, generator: th.Generator) -> th.Tensor:
        return 2 * th.randn(sum(self.sizes), batch, dtype=th.float64, generator=generator)

    def torch(self, rows: th.Tensor) -> list[Distribution]:
        return [Categorical(logits=part.T) for part in rows.split(self.sizes)]

    def ours(self, rows: th.Tensor, actions: th.Tensor) -> ActionTerms:
        return softmax_terms(rows, actions, self.sizes)

    def entropy_score(self, rows: th.Tensor) -> th.Tensor:
        return entropy_score_of_parts(rows, self.sizes)


class Bits(Kind):
    def __init__(self, sizes: list[int]) -> None:
        self.n_bits = len(sizes)

    def rows(self, batch: int, generator: th.Generator) -> th.Tensor:
        return 2 * th.randn(self.n_bits, batch, dtype=th.float64, generator=generator)

    def torch(self, rows: th.Tensor) -> list[Distribution]:
        return [Bernoulli(logits=bit) for bit in rows]

    def ours(self, rows: th.Tensor, actions: th.Tensor) -> ActionTerms:
        return bernoulli_terms(rows, actions)

    def entropy_score(self, rows: th.Tensor) -> th.Tensor:
        return entropy_score_of_bits(rows)


class Gaussian(Kind):
    """The rows are means and, the same in every column, logarithms of standard deviations."""

    def __init__(self, sizes: list[int]) -> None:
        self.dim = len(sizes)

    def rows(self, batch: int, generator: th.Generator) -> th.Tensor:
        mean = 2 * th.randn(self.dim, batch, dtype=th.float64, generator=generator)
        return th.cat([mean, th.randn(self.dim, 1, dtype=th.float64, generator=generator).expand(-1, batch)])

    def torch(self, rows: th.Tensor) -> list[Distribution]:
        return [Normal(mean, log_std.exp()) for mean, log_std in zip(*rows.chunk(2), strict=True)]

    def ours(self, rows: th.Tensor, actions: th.Tensor) -> ActionTerms:
        mean, log_std = rows.chunk(2)
        return gaussian_terms(mean, log_std[:, 0], actions)

    def entropy_score(self, rows: th.Tensor) -> th.Tensor:
        return entropy_score_of_gaussian(rows.chunk(2)[0])


kinds = pytest.mark.parametrize("kind_of", [Parts, Bits, Gaussian])
part_sizes = st.lists(st.integers(2, 5), min_size=1, max_size=4)


@kinds
@given(part_sizes, st.integers(1, 6), seeds)
def test_terms_equal_torch_and_autograd(kind_of: type[Kind], part_sizes: list[int], batch: int, seed: int) -> None:
    kind = kind_of(part_sizes)  # type: ignore[call-arg]
    th.manual_seed(seed)
    rows = kind.rows(batch, th.Generator().manual_seed(seed))
    actions = kind.draw(rows)
    terms = kind.ours(rows, actions)
    leaf = rows.clone().requires_grad_()
    parts = kind.torch(leaf)
    log_prob = th.stack([part.log_prob(actions[:, k]) for k, part in enumerate(parts)]).sum(dim=0)
    entropy = th.stack([part.entropy() for part in parts]).sum(dim=0)
    th.testing.assert_close(terms.log_prob, log_prob.detach(), rtol=1e-8, atol=1e-10)
    th.testing.assert_close(terms.entropy, entropy.detach(), rtol=1e-8, atol=1e-10)
    (score,) = th.autograd.grad(log_prob.sum(), leaf, retain_graph=True)
    assert float((terms.score - score).norm() / score.norm()) < 1e-8
    (entropy_score,) = th.autograd.grad(entropy.sum(), leaf)
    assert float((kind.entropy_score(rows) - entropy_score).norm()) < 1e-8 * max(1.0, float(entropy_score.norm()))


def test_a_softmax_of_one_part_is_score_of_logits() -> None:
    logits, actions = th.randn(3, 5, dtype=th.float64), th.tensor([0, 2, 1, 1, 0])
    terms = softmax_terms(logits, actions.unsqueeze(1), [3])
    th.testing.assert_close(terms.score.T, score_of_logits(th.softmax(logits, dim=0).T, actions))


def test_bernoulli_terms_stay_finite_where_probabilities_round_to_0_and_1() -> None:
    logits = th.tensor([[-500.0, 500.0]])
    terms = bernoulli_terms(logits, th.tensor([[1.0], [1.0]]))
    assert terms.log_prob.tolist() == [-500.0, 0.0]
    assert terms.score.tolist() == [[1.0, 0.0]]
    assert terms.entropy.tolist() == [0.0, 0.0]


def test_gaussian_terms_by_hand() -> None:
    """A standard deviation of 2, and an action that lies 3 above the mean of 1."""
    terms = gaussian_terms(th.tensor([[1.0]]), th.tensor([np.log(2.0)]), th.tensor([[4.0]]))
    assert terms.score.flatten().tolist() == pytest.approx([3 / 4, 9 / 4 - 1])
    assert float(terms.log_prob) == pytest.approx(-9 / 8 - np.log(2 * np.sqrt(2 * np.pi)))


@given(sizes, seeds)
def test_linear_score_is_the_chain_rule(size: tuple[int, int, int], seed: int) -> None:
    features, weight, bias, _ = draw(*size, seed)
    by_outputs = th.randn(size[0], size[1], dtype=th.float64, generator=th.Generator().manual_seed(seed))
    mine = linear_score(features, by_outputs)
    for i in range(size[0]):
        w, b = weight.clone().requires_grad_(), bias.clone().requires_grad_()
        gradients = th.autograd.grad(w @ features[i] + b, [w, b], grad_outputs=by_outputs[i])
        th.testing.assert_close(mine[i], th.cat([g.flatten() for g in gradients]), rtol=1e-8, atol=1e-12)


@given(sizes, seeds)
def test_phi_score_is_phi_less_its_mean_and_equals_autograd(size: tuple[int, int, int], seed: int) -> None:
    batch, n_actions, n_features = size
    generator = th.Generator().manual_seed(seed)
    phi = th.randn(*size, dtype=th.float64, generator=generator)
    theta = th.randn(n_features, dtype=th.float64, generator=generator).requires_grad_()
    actions = th.randint(n_actions, (batch,), generator=generator)
    pi = th.softmax(phi @ theta.detach(), dim=1)
    score = phi_score(phi, score_of_logits(pi, actions))
    expected = phi[th.arange(batch), actions] - (pi.unsqueeze(2) * phi).sum(dim=1)
    th.testing.assert_close(score, expected, rtol=1e-8, atol=1e-12)
    for i in range(batch):
        (gradient,) = th.autograd.grad(th.log_softmax(phi[i] @ theta, dim=0)[actions[i]], theta)
        th.testing.assert_close(score[i], gradient, rtol=1e-8, atol=1e-12)


def test_features_of_a_block_for_each_action_make_phi_score_the_textbooks() -> None:
    """phi(s, a) = e_a (x) x(s)."""
    features, weight, bias, actions = draw(4, 3, 2, seed=0)
    pi = probabilities(features, weight, bias)
    x = th.cat([features, th.ones(4, 1, dtype=th.float64)], dim=1)
    phi = th.einsum("ab,sf->sabf", th.eye(3, dtype=th.float64), x).flatten(start_dim=2)
    score = phi_score(phi, score_of_logits(pi, actions)).unflatten(1, (3, 3))
    same = softmax_score(features, pi, actions)
    th.testing.assert_close(score[:, :, :2].flatten(start_dim=1), same[:, :6])
    th.testing.assert_close(score[:, :, 2], same[:, 6:])
