"""
Can a linear policy solve Acrobot-v1 and MountainCar-v0? With features it can. Trains and prints a line for each seed.

    python examples/solve_classic_control.py --seeds 5
    python examples/solve_classic_control.py --seeds 5 --env MountainCar-v0

Acrobot: a Fourier basis bends each of the six observed numbers by itself. By chance one episode in sixty gets there in time,
and an entropy bonus keeps the first, noisy steps from settling on one action.

MountainCar: tile coding. A policy that draws each action anew never reaches the flag in 200 steps, and where every episode is
equally bad there is nothing to learn. So in training, and only there, the environment sticks to its last action with a
probability of 0.85 (Machado et al., 2018): a car that is pushed one way for a while swings up, and one episode in thirty gets
there at first.

Scores are means over 100 fresh episodes of the environment as it is registered, with deterministic actions.
"""

import argparse
import time
from typing import Any, NamedTuple

import numpy as np
import torch as th
from gymnasium.wrappers import StickyAction
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.utils import LinearSchedule

from sb3_reinforce import REINFORCE, FourierBasis, TileCoding

N_EVAL_EPISODES = 100


class Settings(NamedTuple):
    """How to train on an environment, and what solves it."""

    solved: float
    timesteps: int
    training_env: dict[str, Any]
    arguments: dict[str, Any]


SETTINGS = {
    "Acrobot-v1": Settings(
        solved=-100,
        timesteps=500_000,
        training_env=dict(n_envs=4),
        arguments=dict(
            n_episodes=8,
            gamma=0.99,
            learning_rate=LinearSchedule(0.05, 0.0, 1.0),
            ent_coef=0.01,
            policy_kwargs=dict(features_extractor_class=FourierBasis, features_extractor_kwargs=dict(order=7, max_coupling=1)),
        ),
    ),
    "MountainCar-v0": Settings(
        solved=-120,
        timesteps=1_000_000,
        training_env=dict(n_envs=16, wrapper_class=StickyAction, wrapper_kwargs=dict(repeat_action_probability=0.85)),
        arguments=dict(
            n_episodes=32,
            gamma=0.99,
            learning_rate=LinearSchedule(0.1, 0.0, 1.0),
            policy_kwargs=dict(features_extractor_class=TileCoding, features_extractor_kwargs=dict(n_tilings=8, n_tiles=4)),
        ),
    ),
}


def mean_return(model: REINFORCE, env_id: str, seed: int) -> float:
    """Mean return over fresh episodes, in environments that training has not seen."""
    env = make_vec_env(env_id, n_envs=10, seed=seed)
    returns, _ = evaluate_policy(model, env, N_EVAL_EPISODES, return_episode_rewards=True)
    env.close()
    return float(np.mean(returns))


def solve(env_id: str, seeds: range, timesteps: int | None) -> None:
    """Train with each seed and print the table of an environment."""
    settings = SETTINGS[env_id]
    print(f"\n{env_id}, {N_EVAL_EPISODES} fresh episodes each\n{'seed':>4} {'timesteps':>9} {'seconds':>7} {'score':>7}")
    scores = []
    for seed in seeds:
        env = make_vec_env(env_id, seed=seed, **settings.training_env)
        model = REINFORCE("LinearSoftmaxPolicy", env, seed=seed, **settings.arguments)
        start = time.perf_counter()
        model.learn(settings.timesteps if timesteps is None else timesteps)
        seconds = time.perf_counter() - start
        scores.append(mean_return(model, env_id, seed=10_000 + seed))
        print(f"{seed:>4} {model.num_timesteps:>9} {seconds:>7.1f} {scores[-1]:>7.1f}", flush=True)
    n_solved = sum(score >= settings.solved for score in scores)
    print(f"mean {np.mean(scores):.1f}, worst {min(scores):.1f}; {n_solved} of {len(scores)} at {settings.solved} or better")


def main() -> None:
    """Solve what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", choices=SETTINGS, help="default: all of them")
    parser.add_argument("--seeds", type=int, default=5, help="how many seeds (default: 5)")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--timesteps", type=int, help="default: those that solve it")
    options = parser.parse_args()
    th.set_num_threads(1)
    for env_id in [options.env] if options.env else SETTINGS:
        solve(env_id, range(options.first_seed, options.first_seed + options.seeds), options.timesteps)


if __name__ == "__main__":
    main()
