"""Videos of a policy that plays, written by imageio with the ffmpeg that comes with it."""

import importlib
import pathlib
import tempfile
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from sb3_reinforce.common.extras import needs
from sb3_reinforce.common.saving import write_atomically


def frames_of_play(model: BaseAlgorithm, env: VecEnv, n_frames: int, deterministic: bool = True) -> Iterator[np.ndarray]:
    """
    :param model: Who plays.
    :param env: What is played, in the render mode "rgb_array". What its first environment shows is seen.
    :param n_frames: After how many timesteps to stop, in the middle of an episode too.
    :param deterministic: Whether the most probable actions are taken.
    :return: A frame for each timestep, before its action. Shape ``(height, width, 3)``, uint8.
    """
    obs, state, starts = env.reset(), None, np.ones(env.num_envs, dtype=bool)
    for _ in range(n_frames):
        frame = env.get_images()[0]
        assert frame is not None
        yield frame
        actions, state = model.predict(obs, state, starts, deterministic)  # type: ignore[arg-type]
        obs, _, starts, _ = env.step(actions)


def write_video(path: pathlib.Path, frames: Iterable[np.ndarray], fps: int) -> None:
    """
    Frame by frame, so that a long video needs no memory. The file takes its place when it is whole.

    :param path: Where to write, ``.mp4`` or ``.gif``.
    :param frames: Each of shape ``(height, width, 3)``, uint8.
    :param fps: Frames a second.
    :raises ImportError: If imageio or its ffmpeg is missing.
    """
    with needs("hub", "A video"):
        import imageio.v2 as imageio
    how: dict[str, Any] = {"duration": 1000 / fps, "loop": 0}
    if path.suffix.lower() == ".mp4":
        with needs("hub", "An MP4 file"):
            importlib.import_module("imageio_ffmpeg")
        how = {"fps": fps, "macro_block_size": 2}  # H.264 takes even sizes only
    with tempfile.TemporaryDirectory() as folder:
        temporary = pathlib.Path(folder) / f"video{path.suffix}"
        with imageio.get_writer(temporary, **how) as writer:
            for frame in frames:
                writer.append_data(frame)  # type: ignore[attr-defined]
        write_atomically(path, temporary.read_bytes())
