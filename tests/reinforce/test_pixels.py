from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy

from sb3_reinforce import REINFORCE


class BrightCorner(gym.Env[np.ndarray, int]):
    """An image with a bright square in one of its four corners; say in which."""

    observation_space = spaces.Box(0, 255, (36, 36, 1), np.uint8)
    action_space = spaces.Discrete(4)  # type: ignore[assignment]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.corner = int(self.np_random.integers(4))
        image = self.np_random.integers(60, size=(36, 36, 1), dtype=np.uint8)
        top, left = 20 * (self.corner // 2), 20 * (self.corner % 2)
        image[top + 3 : top + 13, left + 3 : left + 13] = 255
        return image, {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        return np.zeros((36, 36, 1), np.uint8), float(action == self.corner), True, False, {}


def test_cnn_policy_learns_from_pixels() -> None:
    env = make_vec_env(BrightCorner, 16, seed=0)
    model = REINFORCE("CnnPolicy", env, n_episodes=64, learning_rate=1e-3, device="cpu", seed=0)
    new = make_vec_env(BrightCorner, 10, seed=1)
    assert evaluate_policy(model, new, 200)[0] < 0.6
    model.learn(6_000)
    assert evaluate_policy(model, new, 200)[0] > 0.9
