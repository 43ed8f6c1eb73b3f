"""
Does it solve CartPole-v1, whatever the seed? Trains with the defaults and prints a line for each seed.

    python examples/solve_cartpole.py --seeds 20
    python examples/solve_cartpole.py --seeds 20 --algo random_weight_search
    python examples/solve_cartpole.py --seeds 5 --policy MlpPolicy --timesteps 100000
"""

import argparse
import time

import numpy as np
import torch as th
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy

from sb3_reinforce import REINFORCE, RandomWeightSearch

N_EVAL_EPISODES = 100
SOLVED = 475


def mean_return(model: REINFORCE | RandomWeightSearch, deterministic: bool, seed: int) -> float:
    """Mean return over fresh episodes, in environments that training has not seen."""
    env = make_vec_env(ENV, n_envs=10, seed=seed)
    returns, _ = evaluate_policy(model, env, N_EVAL_EPISODES, deterministic=deterministic, return_episode_rewards=True)
    env.close()
    return float(np.mean(returns))


ENV = "CartPole-v1"


def main() -> None:
    """Train with each seed and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--algo", choices=("reinforce", "random_weight_search"), default="reinforce")
    parser.add_argument("--policy", default="LinearSoftmaxPolicy")
    parser.add_argument("--timesteps", type=int, help="default: the algorithm's own")
    parser.add_argument("--seeds", type=int, default=20, help="how many seeds (default: 20)")
    parser.add_argument("--first-seed", type=int, default=0)
    options = parser.parse_args()
    th.set_num_threads(1)
    algorithm: type[REINFORCE] | type[RandomWeightSearch] = REINFORCE if options.algo == "reinforce" else RandomWeightSearch
    budget = {} if options.timesteps is None else {"total_timesteps": options.timesteps}
    print(f"{algorithm.__name__}({options.policy!r}, {ENV!r}, seed=s).learn(), {N_EVAL_EPISODES} fresh episodes each")
    print(f"{'seed':>4} {'timesteps':>9} {'seconds':>7} {'deterministic':>13} {'stochastic':>10}  candidates")
    rows = []
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        model = algorithm(options.policy, ENV, seed=seed)
        start = time.perf_counter()
        model.learn(**budget)
        seconds = time.perf_counter() - start
        greedy, sampled = (mean_return(model, deterministic, seed=10_000 + seed) for deterministic in (True, False))
        rows.append((model.num_timesteps, seconds, greedy, sampled))
        candidates = getattr(model, "n_candidates", "")
        print(f"{seed:>4} {model.num_timesteps:>9} {seconds:>7.2f} {greedy:>13.1f} {sampled:>10.1f}  {candidates}", flush=True)
    timesteps, times, greedy_returns, sampled_returns = np.array(rows).T
    print(
        f"median: {np.median(timesteps):.0f} timesteps in {np.median(times):.2f} s\n"
        f"deterministic: {(greedy_returns >= SOLVED).sum()} of {len(rows)} seeds at {SOLVED} or better\n"
        f"stochastic: {(sampled_returns >= 400).sum()} of {len(rows)} seeds at 400 or better"
    )


if __name__ == "__main__":
    main()
