"""
What masks of invalid actions are worth: Taxi with them and without, with the same settings. About 15 minutes on one core.

    python examples/taxi.py --seeds 5

The taxi drives through a grid, picks a passenger up and drops it off where it wants to go. Nearly all pick-ups and drop-offs
are invalid and cost 10. Roads end at walls, where driving on costs 1 and does nothing. Gymnasium's Taxi says in
``info["action_mask"]`` which actions do anything at all, and ``action_masks=True`` keeps to that.

The policy is a table: a logit for each of 500 states and 6 actions. Prints a line for each seed: after how many timesteps
the last 100 episodes had a mean return of 7 or better, as they were played while learning. No policy reaches much more than 8.
"""

import argparse
import time

import numpy as np
import torch as th
from stable_baselines3.common.callbacks import BaseCallback

from sb3_reinforce import REINFORCE, make_fast_vec_env

SOLVED = 7.0

SETTINGS = dict(
    n_episodes=8,
    gamma=0.9,  # what an action does is seen within a few steps
    gae_lambda=0.9,
    baseline="linear",  # of one-hot states: the value of each state, a table too
    learning_rate=0.1,
    ent_coef=0.2,  # else what was tried first stays
    policy_kwargs=dict(optimizer_class=th.optim.Adam),  # states that are seldom seen take steps as long as the others
)


class StopWhenSolved(BaseCallback):
    """Ends the training when the mean return of the last 100 episodes is good enough."""

    solved_at: int | None = None

    def _on_rollout_end(self) -> None:
        returns = [episode["r"] for episode in self.model.ep_info_buffer or ()]
        if len(returns) == 100 and np.mean(returns) >= SOLVED:
            self.solved_at = self.num_timesteps

    def _on_step(self) -> bool:
        return self.solved_at is None


def timesteps_to_solve(action_masks: bool, seed: int, limit: int) -> int | None:
    """
    :param action_masks: Whether to keep to masks.
    :param seed: Of the training.
    :param limit: After how many timesteps to give up.
    :return: None if it was not solved by then.
    """
    env = make_fast_vec_env("Taxi-v4", n_envs=4, seed=seed, backend="python")
    callback = StopWhenSolved()
    model = REINFORCE("LinearSoftmaxPolicy", env, action_masks=action_masks, seed=seed, **SETTINGS)  # type: ignore[arg-type]
    model.learn(limit, callback=callback)
    return callback.solved_at


def main() -> None:
    """Train with and without masks and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5, help="how many seeds (default: 5)")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--limit", type=int, default=500_000, help="timesteps after which to give up (default: 500,000)")
    options = parser.parse_args()
    th.set_num_threads(1)
    print("| seed | timesteps with masks | without | seconds with masks | without |\n|---|---|---|---|---|", flush=True)
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        timesteps, seconds = [], []
        for action_masks in (True, False):
            start = time.perf_counter()
            solved_at = timesteps_to_solve(action_masks, seed, options.limit)
            timesteps.append(f"more than {options.limit:,}" if solved_at is None else f"{solved_at:,}")
            seconds.append(f"{time.perf_counter() - start:.0f}")
        print("| " + " | ".join([str(seed), *timesteps, *seconds]) + " |", flush=True)


if __name__ == "__main__":
    main()
