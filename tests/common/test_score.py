import numpy as np
import torch as th
from hypothesis import given
from hypothesis import strategies as st

from sb3_reinforce.common.score import mixture_factor, mixture_log_prob, score_of_logits, softmax_score

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
    th.testing.assert_close(mixture, th.log((1 - epsilon) * log_pi.exp() + epsilon / size[1]))


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
