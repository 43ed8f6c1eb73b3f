import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.utils import explained_variance

from sb3_reinforce.gradient.baselines import (
    LinearBaseline,
    ValueBaseline,
    check_value_targets,
    clip_gradient,
    in_chunks,
    ridge_solution,
)


def slow_regressors(features: np.ndarray, timesteps: np.ndarray) -> np.ndarray:
    rows = []
    for x, t in zip(features, timesteps, strict=True):
        rows.append([*x, *(v * v for v in x), t / 100, (t / 100) ** 2, (t / 100) ** 3, 1.0])
    return np.array(rows)


def test_the_linear_baseline_knows_nothing_at_first() -> None:
    assert not LinearBaseline()(np.ones((5, 2)), np.arange(5)).any()


@given(st.integers(0, 1_000))
def test_the_linear_baseline_is_least_squares_with_older_rollouts_counting_less(seed: int) -> None:
    rng = np.random.default_rng(seed)
    baseline = LinearBaseline(memory=0.5, regularization=1e-12)
    rollouts = [(rng.normal(size=(30, 2)), rng.integers(200, size=30), rng.normal(size=30)) for _ in range(3)]
    for rollout in rollouts:
        baseline.fit(*rollout)
    weights = np.sqrt(np.repeat([0.25, 0.5, 1.0], 30))
    x = np.concatenate([slow_regressors(features, timesteps) for features, timesteps, _ in rollouts])
    y = np.concatenate([returns for _, _, returns in rollouts])
    slow = np.linalg.lstsq(x * weights[:, None], y * weights, rcond=None)[0]
    features, timesteps = rng.normal(size=(7, 2)), rng.integers(200, size=7)
    np.testing.assert_allclose(
        baseline(features, timesteps), slow_regressors(features, timesteps) @ slow, rtol=1e-5, atol=1e-6
    )


def test_the_linear_baseline_fits_features_that_say_the_same_twice() -> None:
    features = np.repeat(np.linspace(-1, 1, 50)[:, None], 2, axis=1)
    baseline = LinearBaseline()
    baseline.fit(features, np.zeros(50), 3 * features[:, 0] + 1)
    np.testing.assert_allclose(baseline(features, np.zeros(50)), 3 * features[:, 0] + 1, atol=1e-2)


@given(st.integers(2, 6), st.floats(1e-6, 1.0), st.lists(st.floats(-9, 9), min_size=6, max_size=6), st.integers(0, 1_000))
def test_ridge_does_not_depend_on_the_scale_of_a_column(
    n_columns: int, regularization: float, exponents: list[float], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    x, y, scales = rng.normal(size=(20, n_columns)), rng.normal(size=20), 10.0 ** np.array(exponents[:n_columns])
    x[:, 0] = 0.0  # a column that says nothing
    coefficients = ridge_solution(x.T @ x, x.T @ y, regularization)
    scaled = ridge_solution((x * scales).T @ (x * scales), (x * scales).T @ y, regularization)
    np.testing.assert_allclose(scaled * scales, coefficients, rtol=1e-6, atol=1e-9)
    assert coefficients[0] == 0.0
    # The slow version: least squares with a row more for each column
    penalties = np.diag(np.sqrt(regularization) * np.linalg.norm(x, axis=0))
    slow = np.linalg.lstsq(np.vstack([x, penalties]), np.append(y, np.zeros(n_columns)), rcond=None)[0]
    np.testing.assert_allclose(coefficients, slow, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_the_linear_baseline_learns_linear_returns_of_long_episodes(scale: float) -> None:
    """Regressors from 1e-6 to 1e8 in size; the small ones say as much as the large."""
    rng = np.random.default_rng(0)
    timesteps, features = np.tile(np.arange(2_000), 4), rng.uniform(-1, 1, size=(8_000, 2))
    returns = 3 * features[:, 0] - features[:, 1] + 0.05 * timesteps / 100
    baseline = LinearBaseline()
    baseline.fit(features * [1.0, scale], timesteps, returns)
    assert explained_variance(baseline(features * [1.0, scale], timesteps), returns) > 0.999


def make_policy() -> ActorCriticPolicy:
    th.manual_seed(0)
    return ActorCriticPolicy(spaces.Box(-1, 1, (2,)), spaces.Discrete(2), lambda _: 1e-2, net_arch=[16])


def test_the_value_baseline_learns_the_returns_and_leaves_the_actor_alone() -> None:
    policy = make_policy()
    baseline = ValueBaseline(policy, np.random.default_rng(0))
    observations = np.random.default_rng(1).uniform(-1, 1, size=(2_000, 2)).astype(np.float32)
    returns = 5.0 * observations[:, 0]
    actor = [p.detach().clone() for p in (*policy.mlp_extractor.policy_net.parameters(), *policy.action_net.parameters())]
    loss = baseline.fit(observations, returns, n_updates=300, vf_coef=0.5, max_grad_norm=None)
    np.testing.assert_allclose(baseline(observations, np.zeros(2_000)), returns, atol=1.0)
    assert 0 < loss < returns.var()
    after = (*policy.mlp_extractor.policy_net.parameters(), *policy.action_net.parameters())
    assert all(th.equal(before, now) for before, now in zip(actor, after, strict=True))


def test_the_value_baseline_refuses_returns_that_blow_up() -> None:
    policy = make_policy()
    before = policy.parameters_to_vector()
    baseline = ValueBaseline(policy, np.random.default_rng(0))
    with pytest.raises(FloatingPointError, match="value net's gradient is not finite"):
        baseline.fit(np.ones((3, 2), np.float32), np.full(3, 1e30), n_updates=1, vf_coef=0.5, max_grad_norm=None)
    np.testing.assert_array_equal(policy.parameters_to_vector(), before)


def test_the_loss_of_the_value_net_is_given_without_its_coefficient() -> None:
    observations, returns = np.zeros((1, 2), np.float32), np.array([3.0])  # one timestep: it is what is drawn
    for vf_coef in (0.0, 1e-9, 1.0):
        baseline = ValueBaseline(make_policy(), np.random.default_rng(0))
        error = returns - baseline(observations, np.zeros(1))
        assert baseline.fit(observations, returns, 1, vf_coef, None) == pytest.approx(error**2)


def test_value_targets_must_have_squares_in_float32() -> None:
    check_value_targets(np.array([1e19, -1e19]))
    for bad in (1e20, -1e20, np.inf, np.nan):
        with pytest.raises(FloatingPointError, match=r"Nothing was learned from this rollout.*Scale the rewards"):
            check_value_targets(np.array([0.0, bad]))


@pytest.mark.parametrize("n", [1, 4095, 4096, 10_000])
def test_in_chunks_is_the_function_of_all_rows(n: int) -> None:
    x = np.random.default_rng(0).normal(size=(n, 2))
    np.testing.assert_array_equal(in_chunks(lambda obs: 2 * np.asarray(obs), x), 2 * x)
    np.testing.assert_array_equal(in_chunks(lambda obs: 2 * obs["a"], {"a": x}), 2 * x)  # type: ignore[call-overload]


def test_clip_gradient_gives_the_norm_before() -> None:
    parameter = th.nn.Parameter(th.zeros(2))
    parameter.grad = th.tensor([3.0, 4.0])
    assert clip_gradient([parameter], None) == 5.0
    assert clip_gradient([parameter], 1.0) == 5.0
    assert float(parameter.grad.norm()) == pytest.approx(1.0, rel=1e-4)
    parameter.grad = th.tensor([np.nan, 0.0])
    with pytest.raises(FloatingPointError):
        clip_gradient([parameter], 1.0)
