"""The evaluation of what a model has become."""

import io
import pathlib
from typing import Any

import numpy as np
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecEnv, sync_envs_normalization

from sb3_reinforce.cli.environments import Environments
from sb3_reinforce.cli.shared import Model, env_of
from sb3_reinforce.common.callbacks import environment_reward_threshold
from sb3_reinforce.common.eval_callback import MAX_EVAL_ENVS, read_evaluations
from sb3_reinforce.common.evaluation import CutOffCounter
from sb3_reinforce.common.masked_observations import tell_masks_to
from sb3_reinforce.common.saving import write_atomically

# Training's seeds count up from the user's; those of the evaluation are this far away
EVAL_SEED_OFFSET = 1_000_003


def make_eval_env(environments: Environments, n_episodes: int, limit: int, seed: int) -> VecEnv:
    """
    :param environments: How environments are made for evaluations.
    :param n_episodes: Of an evaluation.
    :param limit: Timesteps after which an episode is cut off.
    :param seed: Of the run.
    :return: What an evaluation plays in.
    """
    env = environments.make(min(n_episodes, MAX_EVAL_ENVS), limit)[1]
    env.seed(seed + EVAL_SEED_OFFSET)
    return env


def add_evaluation(path: pathlib.Path, timesteps: int, returns: list[float], lengths: list[int]) -> None:
    """
    Add the last evaluation to those while it trained, in the file that the RL Zoo's plots read.

    :param path: The file.
    :param timesteps: When it was.
    :param returns: Of its episodes.
    :param lengths: Of its episodes.
    """
    before = [part[:] for part in read_evaluations(path)]
    kept = [i for i, when in enumerate(before[0]) if when < timesteps and len(before[1][i]) == len(returns)]
    rows = [[*(part[i] for i in kept), new] for part, new in zip(before, (timesteps, returns, lengths), strict=True)]
    content = io.BytesIO()
    np.savez(content, timesteps=rows[0], results=rows[1], ep_lengths=rows[2])
    write_atomically(path, content.getvalue())


def evaluate(model: Model, env: VecEnv, n_episodes: int) -> dict[str, Any]:
    """
    Play greedily, and show how far it is.

    :param model: The model.
    :param env: As from :func:`make_eval_env`.
    :param n_episodes: How many episodes.
    :return: What came of it, as ``evaluation.json`` has it.
    """
    from tqdm import tqdm

    tell_masks_to(model, env)
    if model.get_vec_normalize_env() is not None:
        sync_envs_normalization(env_of(model), env)
    counter = CutOffCounter()
    with tqdm(total=n_episodes, desc="Evaluating", unit=" episodes", leave=False, disable=None, ncols=79) as bar:

        def after_each_step(local_variables: dict[str, Any], global_variables: dict[str, Any]) -> None:
            counter(local_variables, global_variables)
            bar.update(len(local_variables["episode_rewards"]) - bar.n)

        returns, lengths = evaluate_policy(
            model, env, n_episodes, deterministic=True, callback=after_each_step, return_episode_rewards=True
        )
    threshold = environment_reward_threshold(env)
    mean = float(np.mean(returns))
    return {
        "n_eval_episodes": n_episodes,
        "n_cut_off": counter.n_cut_off,
        "deterministic": True,
        "mean_reward": mean,
        "std_reward": float(np.std(returns)),
        "mean_ep_length": float(np.mean(lengths)),
        "reward_threshold": threshold,
        "solved": None if threshold is None else mean >= threshold,
        "returns": [float(value) for value in returns],  # type: ignore[union-attr]
        "lengths": [int(value) for value in lengths],  # type: ignore[union-attr]
    }
