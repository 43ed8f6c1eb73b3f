"""Environments whose steps are known, and the comparison with SB3's DummyVecEnv."""

import copy
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv
from gymnasium.vector import AutoresetMode, VectorEnv
from stable_baselines3.common.vec_env import VecEnv

MODES = list(AutoresetMode)
N_ENVS = 5


class Walk(gym.Env[Any, int]):
    """A random walk with infos of all kinds, which ends at -3 and 3 and is cut off after 12 steps."""

    metadata = {"render_modes": ["rgb_array"]}

    def __init__(self, kind: str = "box", render_mode: str | None = None) -> None:
        boxes = {
            "place": spaces.Box(-10.0, 10.0, (2,), np.float32),
            "time": spaces.Discrete(20),
        }
        self.kind = kind
        self.render_mode = render_mode
        self.observation_space = spaces.Dict(boxes) if kind == "dict" else boxes["place"] if kind == "box" else boxes["time"]
        self.action_space = spaces.Discrete(2)  # type: ignore[assignment]
        self.colour = 7
        self.calls = 0

    def _observe(self) -> Any:
        place = np.array([self.place, self.time], np.float32)
        return {"dict": {"place": place, "time": self.time}, "box": place, "discrete": self.time}[self.kind]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.place, self.time = float(self.np_random.uniform(-1.0, 1.0)), 0
        self.place += (options or {}).get("shift", 0.0)
        return self._observe(), {"start": self.place, "options": str(options or None)}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.time += 1
        self.place += 2.0 * action - 1.0 + float(self.np_random.normal(0.0, 0.1))
        terminated, truncated = abs(self.place) > 3.0, self.time >= 12
        info: dict[str, Any] = {"place": self.place, "nested": {"time": self.time}}
        if terminated:
            info["is_success"] = self.place > 0
        return self._observe(), self.place / 3.0, terminated, truncated, info

    def render(self) -> Any:
        return np.full((4, 6, 3), self.time, np.uint8)

    def call(self, number: int, *, plus: int = 0) -> int:
        self.calls += 1
        return number + plus


def walks(kind: str = "box", **kwargs: Any) -> list[Callable[[], gym.Env]]:
    return [lambda: Walk(kind, **kwargs) for _ in range(N_ENVS)]


def native_cart_poles(n_envs: int = N_ENVS, **kwargs: Any) -> VectorEnv:
    return gym.make_vec("CartPole-v1", num_envs=n_envs, vectorization_mode="vector_entry_point", **kwargs)


class ReusesItsArrays(CartPoleVectorEnv):
    """Same-step resets, with everything written into the same arrays at each step."""

    metadata = {**CartPoleVectorEnv.metadata, "autoreset_mode": AutoresetMode.DISABLED}

    def _hand_out(self, obs: np.ndarray) -> np.ndarray:
        if not hasattr(self, "buffer"):
            self.buffer = obs.copy()
        self.buffer[:] = obs
        return self.buffer

    def step(self, action: np.ndarray) -> Any:
        obs, rewards, terminated, truncated, _ = super().step(action)
        self.prev_done[:] = False
        self.numbers = getattr(self, "numbers", np.zeros(self.num_envs))
        self.numbers += 1
        return self._hand_out(obs), rewards, terminated, truncated, {"number": self.numbers}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        mask = (options or {}).pop("reset_mask", None)
        if mask is None:
            return self._hand_out(super().reset(seed=seed)[0]), {}
        assert self.state is not None
        self.state[:, mask] = 0.0
        self.steps[mask] = 0
        return self._hand_out(self.state.T.astype(np.float32)), {}


def assert_same(actual: Any, expected: Any) -> None:
    if isinstance(expected, dict):
        assert set(actual) == set(expected)
        for key, value in expected.items():
            assert_same(actual[key], value)
    elif isinstance(expected, (np.ndarray, float)):
        assert np.shape(actual) == np.shape(expected)
        np.testing.assert_array_equal(actual, expected)
    else:
        assert actual == expected


def assert_same_info(actual: dict[str, Any], expected: dict[str, Any]) -> None:
    actual, expected = copy.deepcopy(actual), copy.deepcopy(expected)
    for info in (actual, expected):
        if isinstance(info.get("episode"), dict) and "t" in info["episode"]:
            assert info["episode"].pop("t") >= 0.0
            info["episode"]["r"] = pytest.approx(info["episode"]["r"], abs=2e-6) if info is expected else info["episode"]["r"]
    assert_same(actual, expected)


def assert_steps_like_dummy(vec_env: VecEnv, dummy: VecEnv, n_steps: int = 120) -> None:
    """The same seeds and actions must give the same of everything."""
    vec_env.seed(3)
    dummy.seed(3)
    rng = np.random.default_rng(0)
    assert_same(vec_env.reset(), dummy.reset())
    seen = {"terminated": 0, "timeouts": 0}
    for _ in range(n_steps):
        assert_same(list(vec_env.reset_infos), dummy.reset_infos)
        actions = rng.integers(0, 2, N_ENVS)
        obs, rewards, dones, infos = vec_env.step(actions)
        dummy_obs, dummy_rewards, dummy_dones, dummy_infos = dummy.step(actions)
        assert_same(obs, dummy_obs)
        assert dones.dtype == bool
        assert_same(rewards.astype(dummy_rewards.dtype), dummy_rewards)
        assert_same(dones, dummy_dones)
        assert len(infos) == N_ENVS
        for info, dummy_info in zip(infos, dummy_infos, strict=True):
            assert_same_info(info, dummy_info)
        for done, info in zip(dones, infos, strict=True):
            seen["timeouts"] += info["TimeLimit.truncated"]
            seen["terminated"] += done and not info["TimeLimit.truncated"]
    assert min(seen.values()) >= 5
