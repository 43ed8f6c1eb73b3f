"""
How long until CartPole-v1 is solved? A model is tested while it trains, and counts as solved when its greedy policy has a
mean return of at least 475 over 100 fresh episodes. The clock stands still during the tests. One torch thread.

    python examples/benchmark_solve.py                     # 20 seeds of ours, 3 of PPO with the RL Zoo's settings
    python examples/benchmark_solve.py --output solve      # and solve.md
"""

import argparse
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch as th
from stable_baselines3 import PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.utils import LinearSchedule

from sb3_reinforce import REINFORCE, make_fast_vec_env

ENV = "CartPole-v1"
SOLVED = 475
N_NATIVE = 16
N_NATURAL = 8
NATURAL: dict[str, Any] = {"natural_gradient": True}

# From a new process to a solved model, imports and tests included, by the way that is first in the table
WHOLE_PROCESS = """
import torch; torch.set_num_threads(1)
import benchmark_solve
assert benchmark_solve.natural_native({seed}, test_every=1_000).timesteps < float("inf")
"""


class Solution(NamedTuple):
    """When a seed was solved: timesteps and seconds of training; infinite if it was not."""

    timesteps: float
    seconds: float


class TestWhileTraining(BaseCallback):
    """Tests the greedy policy at the start of a rollout, every so many timesteps, and stops the clock meanwhile."""

    def __init__(self, every: int) -> None:
        super().__init__()
        self.every = every
        self.next_test = every
        self.env = gym.make_vec(ENV, num_envs=100, vectorization_mode="vector_entry_point")
        self.env.reset(seed=12_345)
        self.solution = Solution(np.inf, np.inf)
        self.seconds_of_tests = 0.0

    def _on_training_start(self) -> None:
        self.start = time.perf_counter()

    def _on_rollout_start(self) -> None:
        if self.model.num_timesteps < self.next_test or self.solution.timesteps < np.inf:
            return
        pause = time.perf_counter()
        self.next_test = self.model.num_timesteps + self.every
        if self.mean_return() >= SOLVED:
            self.solution = Solution(self.model.num_timesteps, pause - self.start - self.seconds_of_tests)
        self.seconds_of_tests += time.perf_counter() - pause

    def mean_return(self) -> float:
        """Of the greedy policy in an episode of each environment; evaluate_policy would take twice the time."""
        observations, _ = self.env.reset()
        returns, playing = np.zeros(self.env.num_envs), np.ones(self.env.num_envs, dtype=bool)
        while playing.any():
            actions, _ = self.model.predict(observations, deterministic=True)
            observations, rewards, terminated, truncated, _ = self.env.step(actions)
            returns += rewards * playing
            playing &= ~(terminated | truncated)
        return float(returns.mean())

    def _on_step(self) -> bool:
        return self.solution.timesteps == np.inf


def solve(model: BaseAlgorithm, max_timesteps: int, test_every: int) -> Solution:
    """Train until a test is passed."""
    callback = TestWhileTraining(test_every)
    model.learn(max_timesteps, callback=callback)
    return callback.solution


def reinforce_native(seed: int, timesteps: int = 1_000_000) -> Solution:
    """REINFORCE with its defaults, on native environments."""
    env = make_fast_vec_env(ENV, N_NATIVE, seed=seed)
    return solve(REINFORCE("LinearSoftmaxPolicy", env, seed=seed), timesteps, test_every=1)


def natural_native(seed: int, timesteps: int = 1_000_000, test_every: int = 1) -> Solution:
    """REINFORCE along the natural gradient, on native environments."""
    env = make_fast_vec_env(ENV, N_NATURAL, seed=seed)
    return solve(REINFORCE("LinearSoftmaxPolicy", env, seed=seed, **NATURAL), timesteps, test_every)


def reinforce_one(seed: int, timesteps: int = 100_000) -> Solution:
    """REINFORCE with its defaults, on a single environment."""
    return solve(REINFORCE("LinearSoftmaxPolicy", ENV, seed=seed), timesteps, test_every=1)


def natural_one(seed: int, timesteps: int = 60_000) -> Solution:
    """REINFORCE along the natural gradient, on a single environment."""
    return solve(REINFORCE("LinearSoftmaxPolicy", ENV, seed=seed, **NATURAL), timesteps, test_every=1)


def ppo(seed: int, timesteps: int = 100_000) -> Solution:
    """SB3's PPO with the RL Zoo's settings for CartPole-v1."""
    settings: dict[str, Any] = {"n_steps": 32, "batch_size": 256, "gae_lambda": 0.8, "gamma": 0.98, "n_epochs": 20}
    schedules: dict[str, Any] = {"learning_rate": LinearSchedule(1e-3, 0.0, 1.0), "clip_range": LinearSchedule(0.2, 0.0, 1.0)}
    env = make_vec_env(ENV, n_envs=8, seed=seed)
    model = PPO("MlpPolicy", env, seed=seed, device="cpu", **settings, **schedules)
    return solve(model, timesteps, test_every=2_048)


def row(name: str, solutions: list[Solution]) -> str:
    """A line of the table."""
    timesteps, seconds = np.array(solutions).T
    n_solved = int(np.isfinite(timesteps).sum())
    return (
        f"| {name} | {n_solved} of {len(solutions)} | {np.median(timesteps):,.0f} | {timesteps.max():,.0f} "
        f"| {np.median(seconds):.2f} | {seconds.max():.2f} |"
    )


def whole_process(n_repetitions: int) -> str:
    """Seconds from the start of a process to a solved model, beside those that importing SB3 takes."""

    def seconds(code: str) -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, cwd=pathlib.Path(__file__).parent)
        return time.perf_counter() - start

    seeds = range(n_repetitions)
    pairs = [(seconds("import stable_baselines3"), seconds(WHOLE_PROCESS.format(seed=seed))) for seed in seeds]
    imports, wholes = np.array(pairs).T
    return (
        f"`import stable_baselines3`: {np.median(imports):.2f} s; a whole process from its start to solved: "
        f"{np.median(wholes):.2f} s; ratio {np.median(wholes / imports):.2f}"
    )


def main() -> None:
    """Race, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--ppo-seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--timesteps", type=int, help="at most, for each seed (default: enough to solve it)")
    parser.add_argument("--output", type=pathlib.Path, help="where to write the .md, without the suffix")
    options = parser.parse_args()
    th.set_num_threads(1)
    contestants: dict[str, tuple[Callable[..., Solution], int]] = {
        f"REINFORCE linear, natural gradient, native x {N_NATURAL}": (natural_native, options.seeds),
        f"REINFORCE linear, defaults, native x {N_NATIVE}": (reinforce_native, options.seeds),
        "REINFORCE linear, natural gradient, one environment": (natural_one, options.seeds),
        "REINFORCE linear, defaults, one environment": (reinforce_one, options.seeds),
        "SB3 PPO, RL Zoo settings, DummyVecEnv x 8": (ppo, options.ppo_seeds),
    }
    budget = {} if options.timesteps is None else {"timesteps": options.timesteps}
    lines = ["| what | solved | timesteps, median | at most | seconds, median | at most |", "|---|---|---:|---:|---:|---:|"]
    medians = []
    for name, (contestant, n_seeds) in contestants.items():
        solutions = []
        for seed in range(options.first_seed, options.first_seed + n_seeds):
            solutions.append(contestant(seed, **budget))
            print(f"{name}, seed {seed}: {solutions[-1].timesteps:.0f} timesteps, {solutions[-1].seconds:.2f} s", flush=True)
        if solutions:
            lines.append(row(name, solutions))
            medians.append(np.median([solution.seconds for solution in solutions]))
    text = "\n".join(lines) + f"\n\n{whole_process(options.seeds)}\n"
    if len(medians) == len(contestants):
        text += (
            f"PPO's median time to solve is {medians[-1] / medians[0]:.0f} times that of the natural gradient on native "
            f"environments, {medians[-1] / medians[1]:.0f} times that of the defaults there.\n"
        )
    print("\n" + text)
    if options.output is not None:
        options.output.with_suffix(".md").write_text(text)


if __name__ == "__main__":
    main()
