"""
How long until HalfCheetah's greedy policy first reaches 2,000? REINFORCE with a linear policy and natural steps, against PPO
and TRPO with the RL Zoo's settings. A row for each seed.

    pip install ".[zoo,mujoco]"                                                 # in a clone
    python examples/benchmark_control.py --seeds 3
    python examples/benchmark_control.py --algorithms reinforce --seeds 1

All run in one process, one after the other, with one torch thread. REINFORCE trains in EnvPool's environments where EnvPool is
installed; the others in SB3's DummyVecEnv, as the RL Zoo has them. Every --every timesteps the deterministic policy plays 10
fresh episodes in Gymnasium's own environment. Only the time of training is counted, not that of these episodes. A run that has
not got there after --most timesteps says so, and gives its best score.
"""

import argparse
import importlib.util
import pathlib
import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch as th
from solve_mujoco import make_training_env, settings_of  # type: ignore[import-not-found]
from stable_baselines3 import PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecNormalize

from sb3_reinforce import REINFORCE
from sb3_reinforce.zoo.expressions import evaluate
from sb3_reinforce.zoo.hyperparameters import read_yaml, tuned_for

ENV_ID = "HalfCheetah-v5"


class Row(NamedTuple):
    """What a run came to."""

    timesteps: int
    seconds: float
    score: float
    reached: bool


class UntilGood(BaseCallback):
    """Ends training when the greedy policy is good enough, and counts the time without its own evaluations."""

    def __init__(self, goal: float, every: int, n_episodes: int, seed: int) -> None:
        super().__init__()
        self.goal, self.every, self.n_episodes, self.seed = goal, every, n_episodes, seed
        self.best, self.spent, self.next_check, self.reached = -np.inf, 0.0, every, False

    def _on_training_start(self) -> None:
        self.start = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Of training so far."""
        return time.perf_counter() - self.start - self.spent

    def _on_rollout_start(self) -> None:
        """Between two rollouts, so that REINFORCE's policy is as it was after its step."""
        if self.num_timesteps < self.next_check:
            return
        self.next_check = self.num_timesteps + self.every
        before = time.perf_counter()
        env: Any = make_vec_env(ENV_ID, seed=self.seed + self.num_timesteps)
        normalize = self.model.get_vec_normalize_env()
        if normalize is not None:
            env = VecNormalize(env, training=False, norm_reward=False)
            env.obs_rms = normalize.obs_rms
        score = float(evaluate_policy(self.model, env, self.n_episodes)[0])  # type: ignore[arg-type]
        env.close()
        self.best, self.reached = max(self.best, score), score >= self.goal
        self.spent += time.perf_counter() - before

    def _on_step(self) -> bool:
        return not self.reached


def reinforce(seed: int) -> BaseAlgorithm:
    """With the settings of our own file."""
    settings = settings_of(ENV_ID, [], linear=True)
    del settings["n_timesteps"]
    policy, n_envs = settings.pop("policy"), settings.pop("n_envs")
    return REINFORCE(policy, make_training_env(ENV_ID, n_envs, seed), seed=seed, **settings)


def peer(name: str) -> Callable[[int], BaseAlgorithm]:
    """With the settings of the RL Zoo's file, which names v4: the same task."""

    def make(seed: int) -> BaseAlgorithm:
        zoo = importlib.util.find_spec("rl_zoo3")
        assert zoo is not None
        assert zoo.origin is not None
        table = read_yaml(pathlib.Path(zoo.origin).parent / "hyperparams" / f"{name}.yml")
        settings: dict[str, Any] = dict(table[tuned_for(ENV_ID, table)])
        env: Any = make_vec_env(ENV_ID, settings.pop("n_envs", 1), seed)
        normalize = settings.pop("normalize", False)
        del settings["n_timesteps"]
        settings["policy_kwargs"] = evaluate(settings.get("policy_kwargs", "dict()"))
        if normalize:
            options = evaluate(normalize) if isinstance(normalize, str) else {}
            env = VecNormalize(env, gamma=settings.get("gamma", 0.99), **options)
        if name == "ppo":
            return PPO(env=env, seed=seed, device="cpu", **settings)
        from sb3_contrib import TRPO

        return TRPO(env=env, seed=seed, device="cpu", **settings)

    return make


ALGORITHMS: dict[str, Callable[[int], BaseAlgorithm]] = {"reinforce": reinforce, "ppo": peer("ppo"), "trpo": peer("trpo")}


def run(name: str, seed: int, options: argparse.Namespace) -> Row:
    """Train until it is good enough, or for so many timesteps."""
    model = ALGORITHMS[name](seed)
    callback = UntilGood(options.goal, int(options.every), options.episodes, 10_000 * (seed + 1))
    model.learn(int(options.most), callback=callback)
    return Row(model.num_timesteps, callback.seconds, callback.best, callback.reached)


def main() -> None:
    """A row for each algorithm and seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--algorithms", nargs="+", choices=ALGORITHMS, default=list(ALGORITHMS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--goal", type=float, default=2_000)
    parser.add_argument("--every", type=float, default=25_000)
    parser.add_argument("--most", type=float, default=3e6)
    parser.add_argument("--episodes", type=int, default=10, help="of an evaluation")
    options = parser.parse_args()
    th.set_num_threads(1)
    warnings.filterwarnings("ignore", ".*EnvPool takes its seed")
    print(f"{ENV_ID}, until {options.goal:g} over {options.episodes} fresh episodes")
    print(f"{'algorithm':<10} {'seed':>4} {'timesteps':>9} {'seconds':>7} {'score':>7}")
    for name in options.algorithms:
        for seed in range(options.seeds):
            row = run(name, seed, options)
            there = "" if row.reached else "  not reached"
            print(f"{name:<10} {seed:>4} {row.timesteps:>9} {row.seconds:>7.0f} {row.score:>7.0f}{there}", flush=True)


if __name__ == "__main__":
    main()
