"""
REINFORCE learns from pixels: a convolutional policy learns to catch a falling ball. One to two minutes on one core.

    python examples/pixels.py

Prints how many of 100 new balls it catches as it learns; lessons_learnt.ipynb draws the curve and a game.
"""

import argparse
from typing import Any

import gymnasium as gym
import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy

from sb3_reinforce import REINFORCE

GRID, CELL = 9, 4
"""36 pixels: the least that SB3's NatureCNN takes."""


class Catch(gym.Env[np.ndarray, int]):
    """
    A ball falls straight down from anywhere, and a paddle moves left, stays or moves right. When the ball is at the bottom
    the episode ends, and the reward is 1 if the paddle is there, else 0 (Mnih et al., 2014, "Recurrent models of visual
    attention", section 4.2). The observation is an image of 36 x 36 bytes.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 5}

    def __init__(self, render_mode: str | None = None) -> None:
        self.observation_space = spaces.Box(0, 255, (GRID * CELL, GRID * CELL, 1), np.uint8)
        self.action_space = spaces.Discrete(3)  # type: ignore[assignment]
        self.render_mode = render_mode

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        """Drop a ball."""
        super().reset(seed=seed)
        self.row, self.ball, self.paddle = 0, int(self.np_random.integers(GRID)), int(self.np_random.integers(GRID))
        return self._image(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Move the paddle; the ball falls by one cell."""
        self.paddle = min(max(self.paddle + int(action) - 1, 0), GRID - 1)
        self.row += 1
        is_over = self.row == GRID - 1
        return self._image(), float(is_over and self.ball == self.paddle), is_over, False, {}

    def _image(self) -> np.ndarray:
        cells = np.zeros((GRID, GRID), np.uint8)
        cells[-1, self.paddle] = 128
        cells[self.row, self.ball] = 255
        return np.kron(cells, np.ones((CELL, CELL), np.uint8))[:, :, np.newaxis]

    def render(self) -> Any:
        """:return: The image, three times as large, in grey."""
        return np.repeat(self._image().repeat(3, axis=0).repeat(3, axis=1), 3, axis=2)


def main() -> None:
    """Learn, and see how many balls are caught."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--parts", type=int, default=8, help="how many (default: 8)")
    parser.add_argument("--games", type=int, default=512, help="of each part (default: 512)")
    options = parser.parse_args()
    th.set_num_threads(1)
    env, games = make_vec_env(Catch, 64, seed=options.seed), make_vec_env(Catch, 100, seed=10_000 + options.seed)
    model = REINFORCE("CnnPolicy", env, learning_rate=1e-3, device="cpu", seed=options.seed)
    for part in range(options.parts):
        model.learn(options.games * (GRID - 1), reset_num_timesteps=part == 0)
        caught, _ = evaluate_policy(model, games, 100)
        print(
            f"after {options.games * (part + 1):>5} games: catches {caught:.0%} of 100 new balls (by chance {1 / GRID:.0%})",
            flush=True,
        )


if __name__ == "__main__":
    main()
