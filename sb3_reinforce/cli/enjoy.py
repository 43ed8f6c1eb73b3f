"""``python -m sb3_reinforce enjoy``"""

import argparse
import json
import pathlib
import secrets
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from sb3_reinforce.cli.shared import TRUSTED_HELP, CliError, check_that_no_module_is_named, env_of, make_env, require_extra
from sb3_reinforce.common.evaluation import (
    CUT_OFF_ADVICE,
    MAX_EPISODE_STEPS_HELP,
    cut_off_message,
    episode_limit,
    limit_episodes,
    own_time_limit,
    was_cut_off,
)
from sb3_reinforce.common.model_files import read_model_file
from sb3_reinforce.common.origin import algorithm_of
from sb3_reinforce.random_weight_search import RandomWeightSearch
from sb3_reinforce.reinforce import REINFORCE
from sb3_reinforce.zoo import ALGORITHMS

VIDEO_SUFFIXES = (".mp4", ".gif")


def add_arguments(parser: argparse.ArgumentParser, positive: Callable[[str], int], seed: Callable[[str], int]) -> None:
    """
    :param parser: Of the sub-command.
    :param positive: Reads a whole number of at least 1.
    :param seed: Reads a seed.
    """
    parser.add_argument("model", type=pathlib.Path, help="a model file, or the folder that train left")
    parser.add_argument("--env", help="default: what the model was trained on, if its folder still says so")
    parser.add_argument("--render", choices=("human", "rgb_array"), help="default: human, or rgb_array with --video")
    parser.add_argument("--video", type=pathlib.Path, metavar="FILE", help=f"write a video ({' or '.join(VIDEO_SUFFIXES)})")
    parser.add_argument("--episodes", type=positive, default=3, help="default: 3")
    parser.add_argument("--max-episode-steps", type=positive, help=MAX_EPISODE_STEPS_HELP)
    parser.add_argument("--seed", type=seed, help="default: a new one each time")
    parser.add_argument("--trusted", action="store_true", help=TRUSTED_HELP)


def run(options: argparse.Namespace) -> None:
    """
    Play a trained model, on the screen or into a video.

    :param options: As parsed.
    :raises CliError: If there is no such model, its environment can't be made or rendered, or the video can't be written.
    """
    path = _model_file(options.model)
    algorithm = _algorithm_of(path)
    env_id = options.env or _environment_of(path)
    if options.video is not None:
        if options.video.suffix.lower() not in VIDEO_SUFFIXES:
            raise CliError(f"--video must end in {' or '.join(VIDEO_SUFFIXES)}, but got '{options.video}'")
        if options.render == "human":
            raise CliError("--video needs --render rgb_array")
        require_extra("imageio", *(["imageio_ffmpeg"] if options.video.suffix.lower() == ".mp4" else []))
    render_mode = options.render or ("human" if options.video is None else "rgb_array")
    inner_env = make_env(env_id, render_mode)
    limit = episode_limit(options.max_episode_steps, own_time_limit(inner_env.spec))
    env = DummyVecEnv([lambda: limit_episodes(Monitor(inner_env), limit)])
    if env.render_mode != render_mode:
        raise CliError(f"environment '{env_id}' can't be rendered in the mode {render_mode}")
    model = algorithm.load(path, env=env, device="cpu", trusted=options.trusted)
    # load() has seeded NumPy's global generator, from which env.seed(None) would draw
    env.seed(secrets.randbits(32) if options.seed is None else options.seed)
    try:
        if options.video is None:
            for _ in _play(model, options.episodes, limit):
                pass
        else:
            _write_video(options.video, _play(model, options.episodes, limit), env)
    except KeyboardInterrupt:
        print("Stopped.")
    finally:
        env.close()


def _model_file(path: pathlib.Path) -> pathlib.Path:
    for candidate in (path / "model.zip", path, pathlib.Path(f"{path}.zip")):
        if candidate.is_file():
            return candidate
    raise CliError(f"there is no model at '{path}'")


def _algorithm_of(path: pathlib.Path) -> type[REINFORCE] | type[RandomWeightSearch]:
    name = algorithm_of(read_model_file(path).data)
    for algorithm in ALGORITHMS.values():
        if name is not None and name.endswith(f".{algorithm.__name__}"):
            return algorithm
    raise CliError(f"'{path}' was saved by neither of {', '.join(ALGORITHMS)}")


def _environment_of(path: pathlib.Path) -> str:
    """What train has written beside the model."""
    try:
        env_id = str(json.loads((path.parent / "evaluation.json").read_text())["env"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise CliError(f"nothing beside '{path}' says what environment it plays; name it with --env") from error
    check_that_no_module_is_named(env_id, f"'evaluation.json' beside '{path}'")
    return env_id


def _play(model: REINFORCE | RandomWeightSearch, n_episodes: int, max_episode_steps: int) -> Iterator[np.ndarray]:
    """Play greedily; yield each frame, and say how each episode went."""
    env = env_of(model)
    obs = env.reset()
    n_cut_off = 0
    for episode in range(n_episodes):
        done = False
        while not done:
            if env.render_mode == "rgb_array":
                yield env.get_images()[0]  # type: ignore[misc]
            action, _ = model.predict(obs, deterministic=True)  # type: ignore[arg-type]
            obs, _, dones, infos = env.step(action)
            done = dones[0]
        info = infos[0]["episode"]
        ending = "was cut off" if was_cut_off(infos[0]) else "finished"
        print(f"Episode {episode + 1} {ending} after {info['l']} timesteps, return {info['r']:g}")
        n_cut_off += was_cut_off(infos[0])
    if n_cut_off:
        print(cut_off_message(n_cut_off, n_episodes, max_episode_steps), CUT_OFF_ADVICE)


def _write_video(path: pathlib.Path, frames: Iterator[np.ndarray], env: VecEnv) -> None:
    """Frame by frame, so that long videos need no memory; the file takes its place when it is whole."""
    import imageio.v2 as imageio

    fps = int(env.get_attr("metadata")[0].get("render_fps", 30))
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.part{path.suffix}")
    is_gif = path.suffix.lower() == ".gif"
    how: dict[str, Any] = {"duration": 1000 / fps, "loop": 0} if is_gif else {"fps": fps, "macro_block_size": 2}
    try:
        with imageio.get_writer(temporary, **how) as writer:
            for frame in frames:
                writer.append_data(frame)  # type: ignore[attr-defined]
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    print(f"Video: {path}")
