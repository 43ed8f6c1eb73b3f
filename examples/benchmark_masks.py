"""
What masks of invalid actions cost: REINFORCE with and without, and sb3-contrib's MaskablePPO, in the same run.

Each environment's mask allows everything, so that all play the same episodes. Steps a second are those of the process' own
time, the median of several repetitions in turn::

    python examples/benchmark_masks.py
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import torch as th
from sb3_contrib import MaskablePPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from sb3_reinforce import REINFORCE, GymnasiumVecEnv


class AllowsAll(gym.Wrapper[Any, Any, Any, Any]):
    """An environment that says that everything is allowed, and takes no time for it."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        space: Any = env.action_space
        self._allowed = np.ones(space.n, bool)

    def action_masks(self) -> np.ndarray:
        """:return: Shape ``(n_actions,)``."""
        return self._allowed


def python_envs() -> VecEnv:
    """:return: Eight CartPoles in a DummyVecEnv."""
    return make_vec_env("CartPole-v1", 8, wrapper_class=AllowsAll, vec_env_cls=DummyVecEnv)


def native_envs() -> VecEnv:
    """:return: 1,024 CartPoles in one object, with one method for all."""
    vector_env: Any = gym.make_vec("CartPole-v1", 1024, vectorization_mode="vector_entry_point")
    allowed = np.ones((1024, 2), bool)
    vector_env.action_masks = lambda: allowed
    return GymnasiumVecEnv(vector_env)


def speed(model: Any, n_steps: int) -> float:
    """
    :param model: What learns.
    :param n_steps: For how long.
    :return: Steps a second.
    """
    start = time.process_time()
    model.learn(n_steps)
    return model.num_timesteps / (time.process_time() - start)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=40_000, help="with 8 environments; a hundred times that with 1,024")
    parser.add_argument("--repetitions", type=int, default=5)
    arguments = parser.parse_args()
    th.set_num_threads(1)
    for name, make_envs, n_steps in (
        ("8 DummyVecEnv", python_envs, arguments.steps),
        ("1024 native", native_envs, 100 * arguments.steps),
    ):
        learners: dict[str, Callable[..., Any]] = {
            "REINFORCE without masks": partial(REINFORCE, "LinearPolicy", seed=0, action_masks=False),
            "REINFORCE with masks": partial(REINFORCE, "LinearPolicy", seed=0),
        }
        if make_envs is python_envs:  # it asks each environment on its own
            learners["MaskablePPO"] = partial(MaskablePPO, "MlpPolicy", seed=0)
        speeds: dict[str, list[float]] = {learner: [] for learner in learners}
        for _ in range(arguments.repetitions):
            for learner, make_model in learners.items():
                speeds[learner].append(
                    speed(make_model(env=make_envs()), n_steps if learner != "MaskablePPO" else arguments.steps // 4)
                )
        first = np.median(speeds["REINFORCE without masks"])
        for learner, values in speeds.items():
            print(f"{name:14} {learner:24} {np.median(values):12,.0f} steps a second {np.median(values) / first:6.2f}")


if __name__ == "__main__":
    main()
