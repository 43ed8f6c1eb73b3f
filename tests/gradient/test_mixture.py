import numpy as np
import torch as th
from hypothesis import given
from hypothesis import strategies as st

from sb3_reinforce.gradient.mixture import mixture_factor, mixture_log_prob
from sb3_reinforce.gradient.score import softmax_score
from tests.gradient.drawn import draw, log_prob, probabilities, seeds, sizes


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
