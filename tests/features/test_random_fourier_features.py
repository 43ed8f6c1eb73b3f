"""Random Fourier features: a kernel, its bandwidth, and the model that they are saved with."""

import pathlib
from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3.common.env_util import make_vec_env

from sb3_reinforce import REINFORCE, RandomFourierFeatures
from sb3_reinforce.features.random_fourier_features import mean_distance, random_fourier_features

UNBOUNDED = spaces.Box(-np.inf, np.inf, (3,))
UNIT = spaces.Box(-1, 1, (3,))


def standard_normal(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, 3)).astype(np.float32)


def test_equals_one_by_one() -> None:
    rng = np.random.default_rng(0)
    points, half_widths, bandwidth = rng.random((4, 3)), np.array([1.0, 10.0, 2.0]), np.array(1.7)
    directions, phases = rng.normal(size=(5, 3)), rng.uniform(0, 2 * np.pi, 5)
    slow = [
        [
            np.sqrt(2 / 5) * np.cos(sum(w[j] * (2 * x[j] - 1) * half_widths[j] for j in range(3)) / bandwidth + b)
            for w, b in zip(directions, phases, strict=True)
        ]
        for x in points
    ]
    arrays = (points, half_widths, directions, phases, bandwidth)
    np.testing.assert_allclose(random_fourier_features(*arrays), slow)
    np.testing.assert_allclose(random_fourier_features(*map(th.as_tensor, arrays)), slow)


@pytest.mark.parametrize("bandwidth", [0.5, 2.0])
def test_inner_products_are_the_gaussian_kernel(bandwidth: float) -> None:
    th.manual_seed(0)
    x = th.as_tensor(standard_normal(20)).clip(-3, 3)
    features = RandomFourierFeatures(UNBOUNDED, n_features=10_000, bandwidth=bandwidth).eval()(x)
    kernel = th.exp(-(th.cdist(x, x) ** 2) / (2 * bandwidth**2))
    assert float((features @ features.T - kernel).abs().max()) < 0.06  # 5 standard errors


def test_mean_distance_is_that_of_different_points() -> None:
    points = th.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 8.0]])
    assert float(mean_distance(points)) == pytest.approx((5 + 8 + 5) / 3)


@pytest.mark.parametrize("n_batches", [1, 7])
def test_the_bandwidth_is_the_mean_distance_in_the_first_rollout(n_batches: int) -> None:
    extractor = RandomFourierFeatures(UNBOUNDED, 10)
    assert float(extractor.eval().running_bandwidth) == pytest.approx(6**0.5)
    uniform = np.random.default_rng(0).random((700, 3)).astype(np.float32)
    for part in np.split(1000 * uniform, n_batches):
        extractor.train()(th.as_tensor(part))
    scaled = (uniform - uniform.mean(axis=0)) / uniform.std(axis=0)
    measured = float(extractor.eval().running_bandwidth)
    assert measured == pytest.approx(float(mean_distance(th.as_tensor(scaled))), rel=0.03)
    extractor.train()(th.as_tensor(100 + standard_normal(50)))
    assert float(extractor.eval().running_bandwidth) == measured


def test_a_given_bandwidth_stays_and_nothing_is_measured_of_one_observation() -> None:
    given = RandomFourierFeatures(UNIT, 10, bandwidth=0.3)
    given.train()(th.as_tensor(standard_normal(100)).clip(-1, 1))
    assert float(given.eval().running_bandwidth) == pytest.approx(0.3)
    single = RandomFourierFeatures(UNBOUNDED, 10)
    single.train()(th.ones(1, 3))
    assert float(single.eval().running_bandwidth) == pytest.approx(6**0.5)
    single.train()(th.as_tensor(standard_normal(100)))
    assert float(single.eval().running_bandwidth) != pytest.approx(6**0.5)


def model(**kwargs: Any) -> REINFORCE:
    policy_kwargs = dict(features_extractor_class=RandomFourierFeatures, features_extractor_kwargs={"n_features": 30})
    env = make_vec_env("Pendulum-v1", n_envs=2, seed=0)
    return REINFORCE("LinearGaussianPolicy", env, seed=0, n_episodes=2, policy_kwargs=policy_kwargs, **kwargs)


def test_a_loaded_model_has_the_same_features_and_goes_on_as_if_it_had_not_been_saved(tmp_path: pathlib.Path) -> None:
    first = model(natural_gradient=True).learn(800)
    first.save(tmp_path / "model")
    th.manual_seed(123)
    loaded = REINFORCE.load(tmp_path / "model", env=make_vec_env("Pendulum-v1", n_envs=2, seed=0))
    obs = first.observation_space.sample()
    np.testing.assert_array_equal(loaded.predict(obs, deterministic=True)[0], first.predict(obs, deterministic=True)[0])
    for going_on in (first, loaded):
        going_on.learn(800, reset_num_timesteps=False)
    for name, tensor in first.policy.state_dict().items():
        th.testing.assert_close(loaded.policy.state_dict()[name], tensor, rtol=0, atol=0, msg=name)


def test_the_seed_decides_the_features() -> None:
    directions = [m.policy.features_extractor.directions for m in (model(), model())]
    assert th.equal(directions[0], directions[1])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_features": 0}, "n_features of RandomFourierFeatures must be an integer of at least 1"),
        ({"bandwidth": 0.0}, "bandwidth of RandomFourierFeatures must be a finite number above 0"),
        ({"n_features": 20_000}, "RandomFourierFeatures would make 20,000 features"),
    ],
)
def test_errors(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RandomFourierFeatures(UNIT, **arguments)
