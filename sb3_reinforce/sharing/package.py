"""A model with all that belongs on the Hub beside it, in a folder."""

import datetime
import json
import pathlib
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from itertools import islice

import gymnasium as gym
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.utils import get_system_info
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecNormalize, unwrap_vec_normalize

from sb3_reinforce.common.evaluation import episode_limit, limit_episodes, own_time_limit
from sb3_reinforce.common.masked_observations import tell_masks_to
from sb3_reinforce.common.model_files import read_model_file
from sb3_reinforce.common.normalization_files import NORMALIZATION, read_normalization, write_normalization
from sb3_reinforce.common.playing import frames_per_second, play
from sb3_reinforce.sharing.card import Evaluation, hyperparameters, model_card, zoo_name
from sb3_reinforce.sharing.video import write_video
from sb3_reinforce.version import __version__

CONFIG, RESULTS, VIDEO, CARD, LOGS = "config.json", "results.json", "replay.mp4", "README.md", "logs"


def write_package(
    model: BaseAlgorithm,
    folder: str | pathlib.Path,
    env_id: str,
    repo_id: str,
    eval_env: gym.Env | VecEnv | None = None,
    model_name: str | None = None,
    is_deterministic: bool = True,
    n_eval_episodes: int = 10,
    video_length: int = 1000,
    logs: str | pathlib.Path | None = None,
) -> Evaluation:
    """
    Evaluate a model, record a video, and write both with the model, its settings and a card into a folder, as it goes to the
    Hub. Nothing is sent.

    :param model: The model.
    :param folder: Where to write.
    :param env_id: What it was trained on.
    :param repo_id: Where it will be on the Hub, ``"name/repository"``, for the card.
    :param eval_env: What to evaluate it on. By default ``env_id`` is made. Without VecNormalize, it gets that of the model.
    :param model_name: Of its file. By default as the RL Zoo names it, ``reinforce-CartPole-v1``.
    :param is_deterministic: Whether the most probable actions are taken.
    :param n_eval_episodes: How many episodes are played.
    :param video_length: Timesteps of the video; 0 for none.
    :param logs: A folder with TensorBoard's logs, to go with it.
    :return: The evaluation.
    :raises ImportError: If something that this needs is not installed.
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    filename = f"{(model_name or default_name(model, env_id)).removesuffix('.zip')}.zip"
    model.save(folder / filename)
    with _evaluating(model, eval_env, env_id, folder) as env:
        tell_masks_to(model, env)
        mean, std = evaluate_policy(model, env, n_eval_episodes, is_deterministic)
        evaluation = Evaluation(float(mean), float(std), n_eval_episodes, is_deterministic)  # type: ignore[arg-type]
        if video_length:
            _record(model, env, folder / VIDEO, video_length, is_deterministic)
    _write_json(folder / RESULTS, {**asdict(evaluation), "eval_datetime": datetime.datetime.now().isoformat()})
    versions = {**get_system_info(print_info=False)[0], "sb3-reinforce": __version__}
    _write_json(folder / CONFIG, {"hyperparameters": hyperparameters(model), "system_info": versions})
    if logs is not None:
        shutil.copytree(logs, folder / LOGS, dirs_exist_ok=True)
    pickled = sorted(read_model_file(folder / filename).not_plain)
    files = [filename, *sorted(file.name for file in folder.iterdir() if file.name not in (filename, CARD))]
    model_card(model, env_id, repo_id, filename, evaluation, pickled, files).save(folder / CARD)
    return evaluation


def default_name(model: BaseAlgorithm, env_id: str) -> str:
    """
    :param model: A model.
    :param env_id: What it was trained on.
    :return: Name of its file and of its repository, as the RL Zoo has them.
    """
    return f"{zoo_name(model)}-{env_id.rpartition(':')[2].replace('/', '-')}"


def wrapped(env: gym.Env | VecEnv | str) -> VecEnv:
    """
    :param env: An environment, a VecEnv, or an environment's id.
    :return: A VecEnv, whose episodes end where it was made of an id.
    """
    if isinstance(env, VecEnv):
        return env
    if isinstance(env, str):
        return DummyVecEnv([lambda: _made(env)])
    return DummyVecEnv([lambda: env if isinstance(env, Monitor) else Monitor(env)])


def _made(env_id: str) -> gym.Env:
    try:
        env = gym.make(env_id, render_mode="rgb_array")
    except Exception:  # not every environment can be rendered, or knows of render modes
        env = gym.make(env_id)
    return limit_episodes(Monitor(env), episode_limit(None, own_time_limit(env.spec)))


@contextmanager
def _evaluating(
    model: BaseAlgorithm, eval_env: gym.Env | VecEnv | None, env_id: str, folder: pathlib.Path
) -> Iterator[VecEnv]:
    """The environment, normalized as the model was trained, with statistics that stand still; they are written too."""
    env = wrapped(env_id if eval_env is None else eval_env)
    own = unwrap_vec_normalize(env)
    normalization = own or model.get_vec_normalize_env()
    try:
        if normalization is None:
            yield env
            return
        write_normalization(normalization, folder / NORMALIZATION)
        if own is None:
            env = own = read_normalization(folder / NORMALIZATION, env)
        with _standing_still(own):
            yield env
    finally:
        if eval_env is None:
            env.close()


@contextmanager
def _standing_still(env: VecNormalize) -> Iterator[None]:
    before = env.training, env.norm_reward
    env.training = env.norm_reward = False
    try:
        yield
    finally:
        env.training, env.norm_reward = before


def _record(model: BaseAlgorithm, env: VecEnv, path: pathlib.Path, n_frames: int, is_deterministic: bool) -> None:
    if env.render_mode != "rgb_array":
        warnings.warn(
            f"There is no video, for the environment's render mode is {env.render_mode!r}: make it with "
            "render_mode='rgb_array', if it can be rendered.",
            stacklevel=3,
        )
        return
    steps = islice(play(model, env, is_deterministic), n_frames)
    write_video(path, (step.frame for step in steps if step.frame is not None), frames_per_second(env))


def _write_json(path: pathlib.Path, content: dict[str, object]) -> None:
    path.write_text(json.dumps(content, indent=1))
