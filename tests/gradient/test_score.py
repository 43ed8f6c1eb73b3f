import numpy as np
import pytest
import torch as th
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Bernoulli, Categorical, Distribution, Normal

from sb3_reinforce.gradient.score import (
    ActionTerms,
    bernoulli_terms,
    entropy_score_of_bits,
    entropy_score_of_gaussian,
    entropy_score_of_logits,
    entropy_score_of_parts,
    gaussian_terms,
    linear_score,
    phi_score,
    score_of_logits,
    softmax_score,
    softmax_terms,
)
from tests.gradient.drawn import draw, log_prob, probabilities, seeds, sizes


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


@given(sizes, seeds)
def test_the_entropy_bonus_equals_autograd(size: tuple[int, int, int], seed: int) -> None:
    features, weight, bias, _ = draw(*size, seed)
    logits = (features @ weight.T + bias).requires_grad_()
    log_pi = th.log_softmax(logits, dim=1)
    entropy = -(log_pi.exp() * log_pi).sum()
    (expected,) = th.autograd.grad(entropy, logits)
    th.testing.assert_close(entropy_score_of_logits(log_pi.detach()), expected, rtol=1e-8, atol=1e-12)
    th.testing.assert_close(entropy_score_of_logits(log_pi.detach().T, dim=0).T, expected, rtol=1e-8, atol=1e-12)


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
