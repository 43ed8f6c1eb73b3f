"""``python -m sb3_reinforce train``"""

import argparse
import functools
import json
import pathlib
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.callbacks import BaseCallback, ProgressBarCallback
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.vec_env import VecEnv

from sb3_reinforce.cli.resuming import (
    Checkpoints,
    Terminated,
    ended_by_sigterm,
    make_logger,
    monitored,
    options_of,
    write_settings,
)
from sb3_reinforce.cli.shared import TRUSTED_HELP, CliError, env_of, make_env, require_extra, save_where_there_is_room
from sb3_reinforce.common.callbacks import EpisodeDurationCallback, environment_reward_threshold
from sb3_reinforce.common.checks import check_spaces
from sb3_reinforce.common.evaluation import (
    CUT_OFF_ADVICE,
    MAX_EPISODE_STEPS_HELP,
    CutOffCounter,
    cut_off_message,
    episode_limit,
    limit_episodes,
    own_time_limit,
)
from sb3_reinforce.common.saving import write_atomically
from sb3_reinforce.random_weight_search import RandomWeightSearch
from sb3_reinforce.reinforce import REINFORCE
from sb3_reinforce.vec_env import PythonVecEnv, make_fast_vec_env
from sb3_reinforce.zoo import ALGORITHMS

N_EVAL_EPISODES = 100
# An evaluation plays this many episodes at a time
N_EVAL_ENVS = 10
# Training's seeds count up from the user's; those of the evaluation are this far away
EVAL_SEED_OFFSET = 1_000_003


def add_arguments(parser: argparse.ArgumentParser, positive: Callable[[str], int], seed: Callable[[str], int]) -> None:
    """
    :param parser: Of the sub-command.
    :param positive: Reads a whole number of at least 1.
    :param seed: Reads a seed.
    """
    parser.add_argument("--algo", choices=ALGORITHMS, default="reinforce", help="default: reinforce")
    parser.add_argument("--env", default="CartPole-v1", help="a registered Gymnasium environment (default: CartPole-v1)")
    parser.add_argument("--timesteps", type=positive, help="environment steps to train on (default: the algorithm's)")
    parser.add_argument("--seed", type=seed, default=0, help="default: 0")
    parser.add_argument("--n-envs", type=positive, default=1, help="parallel environments (default: 1)")
    parser.add_argument("--fast", action="store_true", help="use the fastest vectorised environments there are")
    parser.add_argument("--max-episode-steps", type=positive, help=MAX_EPISODE_STEPS_HELP)
    parser.add_argument("--output", type=pathlib.Path, help="default: a new folder under logs/")
    parser.add_argument("--resume", type=pathlib.Path, metavar="FOLDER", help="go on with the training that was interrupted")
    parser.add_argument(
        "--checkpoint-seconds", type=_seconds, default=30.0, help="from one checkpoint to the next (default: 30)"
    )
    parser.add_argument("--trusted", action="store_true", help=TRUSTED_HELP)
    parser.set_defaults(parser=parser)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0.0 <= seconds < np.inf:
        raise argparse.ArgumentTypeError(f"must be a number of at least 0, but got '{text}'")
    return seconds


@ended_by_sigterm()
def run(options: argparse.Namespace) -> None:
    """
    Train, evaluate, and leave everything in a folder. It goes on from there if it is interrupted.

    :param options: As parsed.
    :raises CliError: If the environment can't be made or trained on, a package is missing, the folder is in use, or there is
        nothing in it to go on with.
    :raises Terminated: After SIGTERM; what was learned is saved.
    """
    require_extra("rich", "tqdm", "matplotlib", "pandas")
    from rich.console import Console

    console = Console()
    checkpoint = None
    if options.resume is not None:
        options, checkpoint = options_of(options.resume, options), Checkpoints.latest_of(options.resume)
    model, policy = _make_model(options, checkpoint)
    folder = _output_folder(options) if options.resume is None else options.resume
    write_settings(folder, options)
    inner_env = env_of(model)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The environment is already wrapped with a `Monitor`")
        env = monitored(inner_env, folder, getattr(model, "n_bytes_of_log", None))
    model.set_env(env)
    model.set_logger(make_logger(folder, None if options.resume is None else model.num_timesteps))
    console.print(
        f"Training [bold]{type(model).__name__}[/bold] ({policy}) on [bold]{options.env}[/bold], seed {options.seed}, "
        f"{options.n_envs} x {getattr(inner_env, 'backend', 'python (PythonVecEnv)')}"
        + (f", from timestep {model.num_timesteps:,} on" if checkpoint is not None else "")
    )
    callbacks = [EpisodeDurationCallback(), Checkpoints(folder, options.checkpoint_seconds)]
    seconds, stop = _train(model, options.timesteps, callbacks, checkpoint is not None)
    model.logger.close()
    save_where_there_is_room(model, folder / "model.zip")
    if stop is not None:
        console.print(
            f"[yellow]Stopped early, after {model.num_timesteps:,} timesteps; what was learned so far is kept. To go on: "
            f"python -m sb3_reinforce train --resume {folder}[/yellow]",
            soft_wrap=True,
        )
    if isinstance(stop, Terminated):  # whoever sends it does not wait for long
        raise stop
    with console.status(f"Evaluating on {N_EVAL_EPISODES} fresh episodes"):
        evaluation = _evaluate(model, options, policy, seconds)
    write_atomically(folder / "evaluation.json", (json.dumps(evaluation, indent=2) + "\n").encode())
    _save_figure(folder, f"{type(model).__name__} ({policy}) on {options.env}, seed {options.seed}", console)
    _print_table(evaluation, folder, console)
    env.close()
    write_settings(folder, options, is_finished=stop is None)


def _make_model(options: argparse.Namespace, checkpoint: pathlib.Path | None) -> tuple[REINFORCE | RandomWeightSearch, str]:
    """The model, as it is in a checkpoint or untrained, and the name of its policy. Nothing has been written yet."""
    env: VecEnv
    if options.fast:
        make_env(options.env).close()  # its errors are in one line
        # EnvPool would repeat the episodes of the same seed, and others are seeded by the model
        seed = None if checkpoint is not None else options.seed
        env = make_fast_vec_env(options.env, options.n_envs, seed)
    else:
        single = make_env(options.env)
        check_spaces(single.observation_space, single.action_space)  # before SB3 fails on what it can't serve
        single.close()
        env = PythonVecEnv([lambda: make_env(options.env) for _ in range(options.n_envs)])
    policy, algorithm = _choose_policy(options.algo, env), ALGORITHMS[options.algo]
    try:
        if checkpoint is not None:
            return algorithm.load(checkpoint, env, trusted=options.trusted), policy
        return algorithm(policy, env, seed=options.seed), policy
    except AssertionError as error:  # how SB3 refuses a space
        raise CliError(f"{options.algo} can't be trained on '{options.env}': {error}") from error


def _choose_policy(algo: str, env: VecEnv) -> str:
    """The plainest policy that may do; for Box actions, which are seldom linear in what is observed, a network."""
    if algo == "reinforce" and isinstance(env.observation_space, spaces.Dict):
        return "MultiInputPolicy"
    if algo == "reinforce" and is_image_space(env.observation_space):
        return "CnnPolicy"
    return "MlpPolicy" if isinstance(env.action_space, spaces.Box) else "LinearSoftmaxPolicy"


def _output_folder(options: argparse.Namespace) -> pathlib.Path:
    if options.output is None:
        parent, name = pathlib.Path("logs") / options.algo, options.env.replace("/", "-")
        number = 1
        while (parent / f"{name}_{number}").exists():
            number += 1
        folder = parent / f"{name}_{number}"
    else:
        folder = options.output
        if (folder / "model.zip").exists():
            raise CliError(f"--output '{folder}' already holds a model; choose another folder, or remove it first")
        if Checkpoints.latest_of(folder) is not None:
            raise CliError(f"--output '{folder}' holds a training that was interrupted: go on with --resume '{folder}'")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _train(
    model: REINFORCE | RandomWeightSearch, timesteps: int | None, callbacks: list[BaseCallback], goes_on: bool
) -> tuple[float, KeyboardInterrupt | None]:
    """Train; return the seconds it took, and what has ended it early: Ctrl-C or SIGTERM."""
    start, stop = time.perf_counter(), None
    budget: Any = {} if timesteps is None else {"total_timesteps": timesteps}
    bar = _ProgressBar()
    try:
        if goes_on:
            model.resume(callback=[*callbacks, bar])
        else:
            model.learn(**budget, callback=[*callbacks, bar])
    except KeyboardInterrupt as error:
        stop = error
    finally:
        bar.close()
    return time.perf_counter() - start, stop


class _ProgressBar(ProgressBarCallback):
    """SB3's progress bar, which also gives the terminal back when training breaks off."""

    def close(self) -> None:
        if hasattr(self, "pbar"):
            self.pbar.close()


def _evaluate(
    model: REINFORCE | RandomWeightSearch, options: argparse.Namespace, policy: str, seconds: float
) -> dict[str, Any]:
    envs = [make_env(options.env) for _ in range(N_EVAL_ENVS)]
    limit = episode_limit(options.max_episode_steps, own_time_limit(envs[0].spec))
    env = PythonVecEnv([functools.partial(limit_episodes, Monitor(env), limit) for env in envs])
    env.seed(options.seed + EVAL_SEED_OFFSET)
    threshold = environment_reward_threshold(env)
    counter = CutOffCounter()
    returns, lengths = evaluate_policy(
        model, env, N_EVAL_EPISODES, deterministic=True, callback=counter, return_episode_rewards=True
    )
    env.close()
    mean = float(np.mean(returns))
    return {
        "algo": options.algo,
        "env": options.env,
        "policy": policy,
        "seed": options.seed,
        "n_envs": options.n_envs,
        "timesteps": model.num_timesteps,
        "training_seconds": round(seconds, 3),
        "n_eval_episodes": N_EVAL_EPISODES,
        "max_episode_steps": limit,
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


def _save_figure(folder: pathlib.Path, title: str, console: Any) -> None:
    from sb3_reinforce.common.plots import save_learning_curve

    try:
        save_learning_curve(folder, folder / "learning_curve.png", title)
    except ValueError as error:
        console.print(f"[yellow]No learning curve: {error}[/yellow]")


def _print_table(evaluation: dict[str, Any], folder: pathlib.Path, console: Any) -> None:
    from rich.table import Table

    table = Table(title=f"{evaluation['algo']} on {evaluation['env']}", show_header=False, title_justify="left")
    steps, seconds = evaluation["timesteps"], evaluation["training_seconds"]
    table.add_row("Training", f"{steps:,} timesteps in {seconds:.1f} s ({steps / max(seconds, 1e-3):,.0f} a second)")
    table.add_row(
        f"Mean return, {evaluation['n_eval_episodes']} fresh episodes",
        f"{evaluation['mean_reward']:.2f} ± {evaluation['std_reward']:.2f}",
    )
    table.add_row("Mean length", f"{evaluation['mean_ep_length']:.1f}")
    n_cut_off = evaluation["n_cut_off"]
    if n_cut_off:
        table.add_row(f"Cut off after {evaluation['max_episode_steps']:,} timesteps", f"[red]{n_cut_off} episodes[/red]")
    if evaluation["solved"] is not None:
        answer = "[green]yes[/green]" if evaluation["solved"] else "[red]no[/red]"
        table.add_row(f"Solved (threshold {evaluation['reward_threshold']:g})", answer)
    console.print(table)
    if n_cut_off:
        message = cut_off_message(n_cut_off, evaluation["n_eval_episodes"], evaluation["max_episode_steps"])
        console.print(f"[yellow]{message} {CUT_OFF_ADVICE}[/yellow]", soft_wrap=True)
    console.print(f"Everything is in {folder}: tensorboard --logdir {folder}", soft_wrap=True)
    console.print(f"To see it play: python -m sb3_reinforce enjoy {folder}", soft_wrap=True)
