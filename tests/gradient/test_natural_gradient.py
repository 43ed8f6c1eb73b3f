import pytest
import torch as th
from hypothesis import given
from hypothesis import strategies as st

from sb3_reinforce.gradient.fisher import softmax_fisher
from sb3_reinforce.gradient.fisher_blocks import FisherBlock, solve
from sb3_reinforce.gradient.natural_gradient import (
    Fishers,
    averaged_rate,
    averaged_step,
    forgetting,
    lengthening,
    natural_step,
    shortened,
)

seeds = st.integers(0, 2**31)


def blocks_of(fisher: th.Tensor) -> list[FisherBlock]:
    return [FisherBlock.single(fisher, th.arange(len(fisher)).unsqueeze(0))]


def step_of(gradient: th.Tensor, fisher: th.Tensor, learning_rate: float, target_kl: float, damping: float) -> th.Tensor:
    return natural_step(gradient, solve(blocks_of(fisher), gradient, damping), learning_rate, target_kl)


def draw(seed: int) -> tuple[th.Tensor, th.Tensor, th.Tensor, th.Tensor]:
    """Features, logit weights (biases last), Fisher matrix and a gradient that lies in its range."""
    generator = th.Generator().manual_seed(seed)
    features = th.randn(40, 3, dtype=th.float64, generator=generator)
    theta = th.randn(2 * 3 + 2, dtype=th.float64, generator=generator)
    fisher = softmax_fisher(features, logits(features, theta)) / len(features)
    return features, theta, fisher, fisher @ th.randn(8, dtype=th.float64, generator=generator)


def logits(features: th.Tensor, theta: th.Tensor) -> th.Tensor:
    return features @ theta[:6].view(2, 3).T + theta[6:]


def policy(features: th.Tensor, theta: th.Tensor) -> th.Tensor:
    return th.softmax(logits(features, theta), dim=1)


@given(seeds, st.sampled_from([1e-6, 1e-5, 1e-4]))
def test_the_policy_changes_by_the_divergence_that_was_asked_for(seed: int, target_kl: float) -> None:
    features, theta, fisher, gradient = draw(seed)
    old, new = policy(features, theta), policy(features, theta + step_of(gradient, fisher, 1e9, target_kl, damping=1e-9))
    divergence = float((old * (old.log() - new.log())).sum(dim=1).mean())
    assert divergence == pytest.approx(target_kl, rel=0.1)


@given(seeds)
def test_the_direction_solves_the_damped_system(seed: int) -> None:
    _, _, fisher, gradient = draw(seed)
    step = step_of(gradient, fisher, 1e9, 0.01, damping=0.1)
    back = (fisher + 0.1 * fisher.diagonal().mean() * th.eye(8, dtype=th.float64)) @ step
    th.testing.assert_close(back / back.norm(), gradient / gradient.norm(), rtol=1e-8, atol=1e-10)


@given(seeds, st.floats(1e-3, 1e3))
def test_the_step_does_not_depend_on_the_scale_of_the_rewards(seed: int, scale: float) -> None:
    _, _, fisher, gradient = draw(seed)
    steps = [step_of(factor * gradient, fisher, 1e9, 0.01, damping=1e-3) for factor in (1.0, scale)]
    th.testing.assert_close(*steps, rtol=1e-6, atol=1e-9)


@given(seeds, st.floats(1.0, 30.0))
def test_a_policy_that_is_all_but_deterministic_has_a_step(seed: int, scale: float) -> None:
    features, theta, _, _ = draw(seed)
    fisher = softmax_fisher(features, logits(features, scale * theta)) / len(features)
    gradient = fisher @ th.randn(8, dtype=th.float64, generator=th.Generator().manual_seed(seed))
    step = step_of(gradient, fisher, 1e9, target_kl=0.01, damping=1e-3)
    assert 0 < step @ fisher @ step <= 2 * 0.01 * (1 + 1e-6)


def test_within_the_trust_region_the_learning_rate_says_how_far() -> None:
    _, _, fisher, gradient = draw(0)
    step = step_of(gradient, fisher, 1e-6, target_kl=1.0, damping=0.1)
    damped = fisher + 0.1 * fisher.diagonal().mean() * th.eye(8, dtype=th.float64)
    th.testing.assert_close(damped @ step, 1e-6 * gradient, rtol=1e-6, atol=1e-15)


@pytest.mark.parametrize(
    ("gradient", "fisher"),
    [(th.full((3,), th.inf), th.eye(3)), (th.ones(3), th.full((3, 3), th.nan)), (th.ones(3), th.zeros(3, 3))],
)
def test_a_step_that_is_not_finite_is_refused(gradient: th.Tensor, fisher: th.Tensor) -> None:
    with pytest.raises(FloatingPointError, match="damping"):
        step_of(gradient, fisher, 1.0, 0.01, 1e-3)


def draw_averaged(seed: int) -> tuple[th.Tensor, th.Tensor, th.Tensor, th.Tensor]:
    """A gradient, parameters, and the Fisher matrices of two rollouts."""
    _, theta, before, gradient = draw(seed)
    return gradient, theta, before, 3.0 * draw(seed + 1)[2]


def averaged_step_of(seed: int, learning_rate: float, damping: float, target_kl: float) -> th.Tensor:
    gradient, theta, before, now = draw_averaged(seed)
    fishers = Fishers(blocks_of(before), blocks_of(0.4 * before + 0.6 * now), blocks_of(now))
    return averaged_step(gradient, theta, fishers, learning_rate, damping, target_kl)


@given(seeds, st.floats(1e-3, 10.0), st.floats(1e-3, 10.0))
def test_an_averaged_step_adds_to_the_sum_of_all_regressions(seed: int, learning_rate: float, damping: float) -> None:
    gradient, theta, before, now = draw_averaged(seed)
    after = 0.4 * before + 0.6 * now
    damped = [fisher + damping * fisher.diagonal().mean() * th.eye(8, dtype=th.float64) for fisher in (before, after)]
    expected = th.linalg.inv(damped[1]) @ (damped[0] @ theta + learning_rate * gradient)
    step = averaged_step_of(seed, learning_rate, damping, target_kl=1e9)
    th.testing.assert_close(theta + step, expected, rtol=1e-6, atol=1e-8)


@given(seeds)
def test_where_the_fisher_matrix_stays_an_averaged_step_is_a_natural_one(seed: int) -> None:
    _, theta, fisher, gradient = draw(seed)
    step = averaged_step(gradient, theta, Fishers(*[blocks_of(fisher)] * 3), 0.1, 0.5, target_kl=1e9)
    th.testing.assert_close(step, step_of(gradient, fisher, 0.1, target_kl=1e9, damping=0.5), rtol=1e-6, atol=1e-9)


@given(seeds, st.floats(1e-6, 1e-2))
def test_an_averaged_step_goes_no_further_than_target_kl(seed: int, target_kl: float) -> None:
    step, now = averaged_step_of(seed, 10.0, 0.5, target_kl), draw_averaged(seed)[3]
    assert 0.5 * step @ now @ step == pytest.approx(target_kl, rel=1e-6)
    free = averaged_step_of(seed, 10.0, 0.5, 1e9)
    th.testing.assert_close(step / step.norm(), free / free.norm(), rtol=1e-6, atol=1e-9)


def test_what_was_believed_where_the_fisher_matrix_grows_is_worth_less() -> None:
    """As of the position of CartPole's cart, which hardly varies in short episodes."""
    theta, before = th.tensor([5.0, 5.0], dtype=th.float64), th.tensor([1e-3, 1.0], dtype=th.float64)
    after = th.tensor([1e-1, 1.0], dtype=th.float64)
    fishers = Fishers(*(blocks_of(fisher.diag()) for fisher in (before, after, after)))
    moved = theta + averaged_step(th.zeros(2, dtype=th.float64), theta, fishers, 1.0, 0.0, 1e9)
    th.testing.assert_close(moved, th.tensor([0.05, 5.0], dtype=th.float64))


def test_an_averaged_step_that_is_not_finite_is_refused() -> None:
    fishers = Fishers(*[blocks_of(th.zeros(3, 3))] * 3)
    with pytest.raises(FloatingPointError, match="damping"):
        averaged_step(th.ones(3), th.ones(3), fishers, 1.0, 0.5, 0.01)


@given(seeds, st.floats(1e-6, 1.0))
def test_a_step_is_shortened_to_the_divergence_or_left_alone(seed: int, target_kl: float) -> None:
    _, step, fisher, _ = draw(seed)
    divergence = 0.5 * float(step @ fisher @ step)
    expected = step * min(1.0, (target_kl / divergence) ** 0.5)
    th.testing.assert_close(shortened(step, blocks_of(fisher), target_kl), expected)


def test_nothing_is_shortened_to_nothing() -> None:
    assert shortened(th.zeros(3), blocks_of(th.eye(3)), 0.1).tolist() == [0.0, 0.0, 0.0]


def test_forgetting_falls_with_steps_and_with_timesteps() -> None:
    assert forgetting(0, 512) == 0.5
    assert forgetting(0, 1_000) == pytest.approx(0.256)
    assert forgetting(0, 4_000) == pytest.approx(0.064)
    assert forgetting(799, 1_000) == pytest.approx(0.01)


def test_long_rollouts_have_longer_steps_with_no_more_noise() -> None:
    assert lengthening(10) == lengthening(1_000) == 1.0
    for n_timesteps in (4_000, 10**6):
        assert lengthening(n_timesteps) ** 2 / n_timesteps == pytest.approx(1 / 1_000)


def test_the_fewer_timesteps_there_were_the_more_cautious() -> None:
    assert averaged_rate(200, 0) == pytest.approx(200 / 2_200)
    assert averaged_rate(200, 2_000) == pytest.approx(2_200 / 4_200)
    assert averaged_rate(400, 10**9) == pytest.approx(2.0, rel=1e-5)
