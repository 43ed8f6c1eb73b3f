"""``sb3-reinforce enjoy``"""

import pathlib
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv, unwrap_vec_normalize

from sb3_reinforce.cli.environments import Environments, environments_of
from sb3_reinforce.cli.errors import CliError, say
from sb3_reinforce.cli.loading import SavedModel
from sb3_reinforce.cli.options import COUNT, COUNT_OR_NONE_AT_ALL, FLAG, NAME, PATH, SEED, Positional, options_of, parse
from sb3_reinforce.cli.settings import ALIASES
from sb3_reinforce.common.evaluation import CUT_OFF_ADVICE, cut_off_message, was_cut_off
from sb3_reinforce.common.playing import frames_per_second, play
from sb3_reinforce.sharing.video import check_video_packages, write_video

VIDEO_SUFFIXES = (".mp4", ".gif")


@dataclass(frozen=True)
class Command:
    """
    Play a trained model, on the screen or into a video: one of train, of compare or of the RL Zoo.

    :param model: The folder of a run, or a model's file. Without it: the last run of --algo on --env in --log-folder.
    :param algo: The algorithm of the run, or of a model whose file does not say it.
    :param env: The environment. Without it: what the run's folder says, or CartPole-v1 where no model is named.
    :param policy: The policy class of your own that the model was trained with, as module.Class.
    :param log_folder: Where runs are.
    :param exp_id: Number of the run. 0 for the last.
    :param load_best: Play the best model of the evaluations in training, not the last.
    :param n_eval_episodes: How many episodes to play.
    :param video: Write them into this file, MP4 or GIF.
    :param no_render: Show nothing: only say how each episode went.
    :param stochastic: Draw actions as in training. Without it: always the most probable one.
    :param max_episode_steps: Timesteps after which an episode is cut off.
    :param seed: Of the episodes. Without it: new ones each time.
    :param trusted: Read pickles and import modules that the files name, which may run any code. Only for files of people
        whom you trust.
    """

    model: Annotated[pathlib.Path | None, PATH, Positional] = None
    algo: Annotated[str | None, NAME] = None
    env: Annotated[str | None, NAME] = None
    policy: Annotated[str | None, NAME] = None
    log_folder: pathlib.Path = pathlib.Path("logs")
    exp_id: Annotated[int, COUNT_OR_NONE_AT_ALL] = 0
    load_best: Annotated[bool, FLAG] = False
    n_eval_episodes: Annotated[int, COUNT] = 3
    video: pathlib.Path | None = None
    no_render: Annotated[bool, FLAG] = False
    stochastic: Annotated[bool, FLAG] = False
    max_episode_steps: Annotated[int | None, COUNT] = None
    seed: Annotated[int | None, SEED] = None
    trusted: Annotated[bool, FLAG] = False


def main(arguments: Sequence[str]) -> int:
    """
    Play a trained model.

    :param arguments: Of the command line, after ``enjoy``.
    :return: Exit status.
    :raises CliError: If there is no such model, its environment can't be made or rendered, or the video can't be written.
    """
    command = read_command(arguments)
    _check_video(command.video)
    if command.model is None:
        env_id = command.env or "CartPole-v1"
        saved = SavedModel.of_last_run(command.log_folder, command.algo or "reinforce", env_id, command.exp_id)
    else:
        saved = SavedModel.at(command.model)
    saved = saved.chosen(command.algo, command.env, command.load_best)
    render_mode = "rgb_array" if command.video is not None else None if command.no_render else "human"
    environments = environments_of(saved.env_id, saved.hyperparameters, command.trusted, in_training=False)
    env = _make_env(environments, command.max_episode_steps, render_mode)
    try:
        model, env = saved.load(env, command.trusted, command.policy)
        say(f"Playing {saved.path}, {saved.algo} on {saved.env_id}")
        if unwrap_vec_normalize(env) is not None and saved.normalization is not None:
            say(f"Observations are normalized by {saved.normalization}")
        # load() has seeded NumPy's global generator, from which env.seed(None) would draw
        env.seed(secrets.randbits(32) if command.seed is None else command.seed)
        limit = environments.episode_limit(command.max_episode_steps)
        frames = _play(model, env, command.n_eval_episodes, limit, command.stochastic)
        if command.video is None:
            for _ in frames:
                pass
        else:
            _write_video(command.video, frames, env)
    except KeyboardInterrupt:
        print("Stopped.")
    finally:
        env.close()
    return 0


def read_command(arguments: Sequence[str]) -> Command:
    """
    :param arguments: Of the command line, after ``enjoy``.
    :return: What they say.
    :raises SystemExit: If they are not what they may be, which has been said then, or help was asked for.
    """
    description = "Play a model of train, compare or the RL Zoo, on the screen or into a video."
    return Command(**parse(options_of(Command), arguments, "sb3-reinforce enjoy", description, ALIASES))


def _check_video(video: pathlib.Path | None) -> None:
    if video is not None:
        if video.suffix.lower() not in VIDEO_SUFFIXES:
            raise CliError(f"--video must end in {' or '.join(VIDEO_SUFFIXES)}, but got '{video}'")
        check_video_packages(video)


def _make_env(environments: Environments, max_episode_steps: int | None, render_mode: str | None) -> VecEnv:
    limit = environments.episode_limit(max_episode_steps)
    env = environments.make(1, limit, render_mode)[1]
    if env.render_mode != render_mode:
        env.close()
        raise CliError(f"environment '{environments.env_id}' can't be rendered in the mode {render_mode}")
    return env


def _play(model: BaseAlgorithm, env: VecEnv, n_episodes: int, limit: int, stochastic: bool) -> Iterator[np.ndarray]:
    """Play; yield each frame, and say how each episode went."""
    returns, n_cut_off = [], 0
    for step in play(model, env, deterministic=not stochastic):
        if step.frame is not None:
            yield step.frame
        if "episode" in step.info:  # as Monitor has it: an Atari game has several lives
            episode = step.info["episode"]
            returns.append(episode["r"])
            n_cut_off += was_cut_off(step.info)
            ending = "was cut off" if was_cut_off(step.info) else "finished"
            print(f"Episode {len(returns)} {ending} after {episode['l']} timesteps, return {episode['r']:g}")
        if len(returns) == n_episodes:
            break
    print(f"Mean return of {n_episodes} episodes: {np.mean(returns):.2f} ± {np.std(returns):.2f}")
    if n_cut_off:
        say(f"{cut_off_message(n_cut_off, n_episodes, limit)} {CUT_OFF_ADVICE}")


def _write_video(path: pathlib.Path, frames: Iterator[np.ndarray], env: VecEnv) -> None:
    write_video(path, frames, frames_per_second(env))
    print(f"Video: {path}")
