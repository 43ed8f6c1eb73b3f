"""
Does it solve classic tasks of control, whatever the seed? Trains and prints a line for each seed.

    python examples/solve_control.py --seeds 5
    python examples/solve_control.py --seeds 5 --env MountainCar-v0

Acrobot, a linear policy on a Fourier basis: it bends each of the six observed numbers by itself. By chance one episode in
sixty gets there in time, and an entropy bonus keeps the first, noisy steps from settling on one action.

MountainCar, a linear policy on tile coding: a policy that draws each action anew does not reach the flag once in 200 steps,
nor in 1000, and where every episode is equally bad there is nothing to learn. So training, and only training, goes on for
1000 steps, and the environment sticks to its last action with a probability of 0.6 (Machado et al., 2018): a car that is
pushed one way for a while swings up, and every fifth episode gets there at first.

LunarLander and Pendulum, two layers of 64 units and a value baseline. LunarLander trains in EnvPool's environments, which take
a fifth of the time (pip install envpool), and is scored in Gymnasium's like all others.

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
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from sb3_reinforce import REINFORCE, FourierBasis, TileCoding, make_fast_vec_env


class Settings(NamedTuple):
    """How to train on an environment, and what solves it."""

    solved: float
    timesteps: int
    policy: str
    training_env: dict[str, Any]
    arguments: dict[str, Any]
    backend: str = "sb3"
    normalize_reward: bool = False


SETTINGS = {
    "Acrobot-v1": Settings(
        solved=-100,
        timesteps=500_000,
        policy="LinearSoftmaxPolicy",
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
        policy="LinearSoftmaxPolicy",
        training_env=dict(
            n_envs=8,
            env_kwargs=dict(max_episode_steps=1000),
            wrapper_class=StickyAction,
            wrapper_kwargs=dict(repeat_action_probability=0.6),
        ),
        arguments=dict(
            learning_rate=LinearSchedule(0.05, 0.0, 1.0),
            policy_kwargs=dict(features_extractor_class=TileCoding, features_extractor_kwargs=dict(n_tilings=8, n_tiles=4)),
        ),
    ),
    "LunarLander-v3": Settings(
        solved=200,
        timesteps=2_000_000,
        policy="MlpPolicy",
        training_env=dict(n_envs=4),
        backend="envpool",
        arguments=dict(
            n_episodes=8,
            gamma=0.995,
            learning_rate=LinearSchedule(0.01, 0.0, 1.0),
            baseline="value",
            n_value_updates=80,
            ent_coef=0.01,
            max_grad_norm=0.5,
            policy_kwargs=dict(activation_fn=th.nn.ReLU),
        ),
        normalize_reward=True,
    ),
    "Pendulum-v1": Settings(
        solved=-250,
        timesteps=1_000_000,
        policy="MlpPolicy",
        training_env=dict(n_envs=8),
        arguments=dict(
            n_episodes=8,
            gamma=0.9,
            learning_rate=LinearSchedule(0.01, 0.0, 1.0),
            baseline="value",
            n_value_updates=80,
            bootstrap_truncated=True,
            max_grad_norm=0.5,
            policy_kwargs=dict(activation_fn=th.nn.ReLU),
        ),
        normalize_reward=True,
    ),
}


def mean_return(model: REINFORCE, env_id: str, n_episodes: int, seed: int) -> float:
    """Mean return over fresh episodes, in environments that training has not seen."""
    env = make_vec_env(env_id, n_envs=10, seed=seed)
    returns, _ = evaluate_policy(model, env, n_episodes, return_episode_rewards=True)
    env.close()
    return float(np.mean(returns))


def solve(env_id: str, seeds: range, timesteps: int | None, n_eval_episodes: int) -> None:
    """Train with each seed and print the table of an environment."""
    settings = SETTINGS[env_id]
    print(f"\n{env_id}, {n_eval_episodes} fresh episodes each\n{'seed':>4} {'timesteps':>9} {'seconds':>7} {'score':>7}")
    scores = []
    for seed in seeds:
        if settings.backend == "sb3":
            env: VecEnv = make_vec_env(env_id, seed=seed, **settings.training_env)
        else:
            env = make_fast_vec_env(env_id, seed=seed, backend=settings.backend, **settings.training_env)
        if settings.normalize_reward:
            env = VecNormalize(env, norm_obs=False, gamma=settings.arguments["gamma"])
        model = REINFORCE(settings.policy, env, seed=seed, **settings.arguments)
        start = time.perf_counter()
        model.learn(settings.timesteps if timesteps is None else timesteps)
        seconds = time.perf_counter() - start
        scores.append(mean_return(model, env_id, n_eval_episodes, seed=10_000 + seed))
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
    parser.add_argument("--eval-episodes", type=int, default=100, help="to score each seed in (default: 100)")
    options = parser.parse_args()
    th.set_num_threads(1)
    for env_id in [options.env] if options.env else SETTINGS:
        seeds = range(options.first_seed, options.first_seed + options.seeds)
        solve(env_id, seeds, options.timesteps, options.eval_episodes)


if __name__ == "__main__":
    main()
