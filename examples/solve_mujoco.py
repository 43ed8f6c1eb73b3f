"""
REINFORCE on MuJoCo and BipedalWalker: trains a seed with the settings of zoo/hyperparams/reinforce.yml and prints a row.

    pip install ".[zoo,mujoco]"                                 # in a clone
    python examples/solve_mujoco.py --env HalfCheetah-v5 --seed 0
    python examples/solve_mujoco.py --env HalfCheetah-v5 --linear                 # a linear policy: reinforce_linear.yml
    python examples/solve_mujoco.py --env Hopper-v5 --timesteps 3e6 --set target_kl=0.01

It trains in EnvPool's environments where EnvPool is installed, and with one torch thread. Scores are means over 100 fresh
episodes of Gymnasium's own environment, with deterministic actions. With --curve, a line says every so many timesteps what the
last training episodes returned, and how wide the Gaussian of the actions is.
"""

import argparse
import pathlib
import time
import warnings
from typing import Any

import numpy as np
import torch as th
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecEnv

import sb3_reinforce.zoo
from sb3_reinforce import REINFORCE, make_fast_vec_env
from sb3_reinforce.zoo.expressions import evaluate
from sb3_reinforce.zoo.hyperparameters import read_yaml

HYPERPARAMS = pathlib.Path(sb3_reinforce.zoo.__file__).parent / "hyperparams"
SETTINGS, LINEAR_SETTINGS = HYPERPARAMS / "reinforce.yml", HYPERPARAMS / "reinforce_linear.yml"
N_EVAL_EPISODES = 100


def choices() -> list[str]:
    """The environments of the file whose actions are forces on joints."""
    return [name for name in read_yaml(SETTINGS) if name.endswith("-v5") or name.startswith("BipedalWalker")]


def settings_of(env_id: str, changes: list[str], linear: bool = False) -> dict[str, Any]:
    """What the file says of an environment, and what is to be other than there: texts like "gamma=0.99"."""
    settings = dict(read_yaml(LINEAR_SETTINGS if linear else SETTINGS)[env_id])
    settings.update(dict(change.split("=", 1) for change in changes))
    for name, value in settings.items():
        if isinstance(value, str) and name not in ("policy", "baseline"):
            settings[name] = evaluate(value)
    return settings


def make_training_env(env_id: str, n_envs: int, seed: int) -> VecEnv:
    """From EnvPool where it is installed: Ant too, with contacts of another MuJoCo. Scores are of Gymnasium."""
    try:
        return make_fast_vec_env(env_id, n_envs, seed, backend="envpool" if env_id.startswith("Ant") else "auto")
    except ImportError:
        return make_fast_vec_env(env_id, n_envs, seed)


def mean_return(model: REINFORCE, env_id: str, seed: int, n_episodes: int = N_EVAL_EPISODES) -> float:
    """Of fresh episodes of Gymnasium's environment, with deterministic actions."""
    env = make_vec_env(env_id, n_envs=min(10, n_episodes), seed=seed)
    returns, _ = evaluate_policy(model, env, n_episodes, return_episode_rewards=True)
    env.close()
    return float(np.mean(returns))


def train(env_id: str, seed: int, settings: dict[str, Any], timesteps: int | None, curve: int | None) -> REINFORCE:
    """A trained model."""
    total, policy, n_envs = (settings.pop(name) for name in ("n_timesteps", "policy", "n_envs"))
    total = int(total) if timesteps is None else timesteps
    model = REINFORCE(policy, make_training_env(env_id, n_envs, seed), seed=seed, **settings)
    every = total if curve is None else curve
    while model.num_timesteps < total:
        model.learn(min(every, total - model.num_timesteps), reset_num_timesteps=False, log_interval=None)
        if curve is not None:
            returns = [episode["r"] for episode in list(model.ep_info_buffer or [])[-20:]]
            std = float(model.policy.log_std.exp().mean())
            print(f"{model.num_timesteps:>9} training return {np.mean(returns):>8.1f}, std {std:.2f}", flush=True)
    return model


def main() -> None:
    """Train, score, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", default="HalfCheetah-v5", choices=choices())
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--linear", action="store_true", help="a linear policy where the default is a network")
    parser.add_argument("--timesteps", type=float, help="default: those of the file")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="another hyperparameter")
    parser.add_argument("--curve", type=float, help="print a line every so many timesteps")
    parser.add_argument("--save", help="where to save the model")
    options = parser.parse_args()
    th.set_num_threads(1)
    warnings.filterwarnings("ignore", ".*EnvPool takes its seed")
    timesteps, curve = (None if number is None else int(number) for number in (options.timesteps, options.curve))
    settings = settings_of(options.env, options.set, options.linear)
    policy = settings["policy"]
    start = time.perf_counter()
    model = train(options.env, options.seed, settings, timesteps, curve)
    seconds = time.perf_counter() - start
    if options.save:
        model.save(options.save)
    score = mean_return(model, options.env, seed=10_000 + options.seed)
    print(f"{'environment':<26} {'policy':<20} {'seed':>4} {'timesteps':>9} {'seconds':>7} {'score':>8}")
    row = f"{options.env:<26} {policy:<20} {options.seed:>4} {model.num_timesteps:>9} {seconds:>7.0f} {score:>8.1f}"
    print(row, flush=True)


if __name__ == "__main__":
    main()
