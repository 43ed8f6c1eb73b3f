"""Observations on one scale, without a wrapper."""

import pathlib
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecNormalize

from sb3_reinforce import REINFORCE, NormalizedObservations

UNBOUNDED = spaces.Box(-np.inf, np.inf, (2,))


def observed(extractor: Any, observations: np.ndarray) -> Any:
    extractor.train()(th.as_tensor(observations))
    return extractor.eval()


def test_gives_what_vec_normalize_gives() -> None:
    observations = np.random.default_rng(0).normal([50, -3], [10, 0.1], (2_000, 2)).astype(np.float32)
    extractor = observed(NormalizedObservations(UNBOUNDED), observations)
    seen = np.array([[50, -3], [65, -2.9], [1e4, -1e4]], np.float32)
    mean, std = observations.mean(axis=0), observations.std(axis=0)
    expected = np.clip((seen - mean) / std, -10, 10)
    np.testing.assert_allclose(extractor(th.as_tensor(seen)), expected, atol=1e-3)
    np.testing.assert_allclose(extractor.in_numpy()(seen), expected, atol=1e-3)


def test_dimensions_with_bounds_go_by_these() -> None:
    space = spaces.Box(np.array([-1, -np.inf], np.float32), np.array([3, np.inf], np.float32))
    extractor = observed(NormalizedObservations(space), np.array([[0, 10], [0.1, 20]], np.float32))
    seen = th.tensor([[-1.0, 15.0], [3.0, 20.0], [1.0, 10.0]])
    np.testing.assert_allclose(extractor(seen), [[-1, 0], [1, 1], [0, -1]], atol=1e-5)


def test_without_bounds_all_go_by_statistics() -> None:
    space = spaces.Box(np.array([-1000, -np.inf], np.float32), np.array([1000, np.inf], np.float32))
    observations = np.random.default_rng(0).normal([5, -3], [2, 0.1], (1_000, 2)).astype(np.float32)
    by_statistics = observed(NormalizedObservations(space, use_bounds=False), observations)
    as_unbounded = observed(NormalizedObservations(UNBOUNDED), observations)
    seen = th.as_tensor(observations[:50])
    np.testing.assert_array_equal(by_statistics(seen), as_unbounded(seen))
    assert by_statistics(seen)[:, 0].std() > 0.5
    assert observed(NormalizedObservations(space), observations)(seen)[:, 0].std() < 0.01


def test_use_bounds_is_true_or_false() -> None:
    with pytest.raises(ValueError, match="use_bounds of NormalizedObservations must be True or False, but got 'no'"):
        NormalizedObservations(UNBOUNDED, use_bounds="no")  # type: ignore[arg-type]


def test_a_policy_without_bounds_is_saved_and_acts_the_same(tmp_path: pathlib.Path) -> None:
    kwargs = {"features_extractor_class": NormalizedObservations, "features_extractor_kwargs": {"use_bounds": False}}
    model = REINFORCE("LinearPolicy", "Pendulum-v1", policy_kwargs=kwargs, seed=0).learn(2_000)
    model.save(tmp_path / "model")
    observations = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    loaded = REINFORCE.load(tmp_path / "model")
    assert float(loaded.policy.features_extractor.running_var[2]) != 1.0  # type: ignore[union-attr,arg-type,index]
    np.testing.assert_array_equal(
        loaded.predict(observations, deterministic=True)[0], model.predict(observations, deterministic=True)[0]
    )


def test_before_anything_was_seen_observations_are_as_they_are() -> None:
    seen = th.tensor([[-2.0, 3.0]])
    np.testing.assert_allclose(NormalizedObservations(UNBOUNDED).eval()(seen), seen, atol=1e-5)


class Units(gym.Env[np.ndarray, np.ndarray]):
    """The best action is a linear function of numbers in very different units."""

    observation_space, action_space = UNBOUNDED, spaces.Box(-3, 3, (1,))  # type: ignore[assignment]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.time = 0
        return self._observation(), {}

    def _observation(self) -> np.ndarray:
        self.x = self.np_random.normal(size=2)
        return (1_000 * np.array([1.0, 1e-6]) * (self.x + 5)).astype(np.float32)

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        reward = -float((action[0] - self.x.sum()) ** 2)
        self.time += 1
        return self._observation(), reward, self.time == 10, False, {}


def test_a_linear_policy_learns_without_a_wrapper_as_it_does_with_one() -> None:
    last = {}
    for name, kwargs in {
        "nothing": {},
        "wrapper": {},
        "features": {"features_extractor_class": NormalizedObservations},
    }.items():
        env: Any = make_vec_env(Units, n_envs=4, seed=0)
        env = VecNormalize(env, norm_reward=False) if name == "wrapper" else env
        model = REINFORCE("LinearGaussianPolicy", env, seed=0, policy_kwargs=kwargs).learn(8_000)
        last[name] = np.mean([episode["r"] for episode in list(model.ep_info_buffer or [])[-20:]])
    assert last["features"] > last["nothing"] + 10
    assert last["features"] > last["wrapper"] - 1
