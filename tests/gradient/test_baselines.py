from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stable_baselines3.common.utils import explained_variance

from sb3_reinforce import REINFORCE
from sb3_reinforce.gradient.baselines import LinearBaseline, ridge_solution


def slow_regressors(features: np.ndarray, timesteps: np.ndarray) -> np.ndarray:
    rows = []
    for x, t in zip(features, timesteps, strict=True):
        rows.append([*x, *(v * v for v in x), t / 100, (t / 100) ** 2, (t / 100) ** 3, 1.0])
    return np.array(rows)


@pytest.mark.parametrize(
    "arguments", [{"memory": 1}, {"memory": "0.5"}, {"regularization": 0}, {"regularization": np.nan}], ids=str
)
def test_arguments_that_the_linear_baseline_can_not_have(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"^{next(iter(arguments))} of LinearBaseline must be a"):
        LinearBaseline(**arguments)


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


@pytest.mark.parametrize("baseline", ["linear", "value"])
def test_before_there_is_a_fit_the_other_episodes_are_the_baseline(baseline: str) -> None:
    """Its first step is that of "time", and its second is not."""
    weights = {}
    for name in (baseline, "time", "none"):
        model = REINFORCE("LinearPolicy", "CartPole-v1", baseline=name, seed=0)
        steps = []
        for _ in range(2):
            model.learn(1, reset_num_timesteps=False)
            steps.append(model.policy.action_net.weight.detach().clone())
        weights[name] = steps
    assert (weights[baseline][0] == weights["time"][0]).all()
    assert (weights[baseline][0] != weights["none"][0]).any()
    assert (weights[baseline][1] != weights["time"][1]).any()


def test_of_a_single_episode_there_are_no_others() -> None:
    models = [REINFORCE("LinearPolicy", "CartPole-v1", baseline=name, n_episodes=1, seed=0) for name in ("linear", "none")]
    weights = [model.learn(1).policy.action_net.weight for model in models]
    assert (weights[0] == weights[1]).all()
