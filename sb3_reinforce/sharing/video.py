"""Videos, written by imageio with the ffmpeg that comes with it."""

import importlib
import pathlib
import tempfile
from collections.abc import Iterable
from typing import Any

import numpy as np

from sb3_reinforce.common.extras import needs
from sb3_reinforce.common.saving import write_atomically


def check_video_packages(path: pathlib.Path) -> None:
    """
    :param path: A video that is to be written.
    :raises ImportError: If imageio or its ffmpeg is missing.
    """
    with needs("hub", "A video"):
        importlib.import_module("imageio.v2")
        if path.suffix.lower() == ".mp4":
            importlib.import_module("imageio_ffmpeg")


def write_video(path: pathlib.Path, frames: Iterable[np.ndarray], fps: int) -> None:
    """
    Frame by frame, so that a long video needs no memory. The file takes its place when it is whole.

    :param path: Where to write, ``.mp4`` or ``.gif``.
    :param frames: Each of shape ``(height, width, 3)``, uint8.
    :param fps: Frames a second.
    :raises ImportError: If imageio or its ffmpeg is missing.
    """
    check_video_packages(path)
    import imageio.v2 as imageio

    how: dict[str, Any] = {"duration": 1000 / fps, "loop": 0}
    if path.suffix.lower() == ".mp4":
        how = {"fps": fps, "macro_block_size": 2}  # H.264 takes even sizes only
    with tempfile.TemporaryDirectory() as folder:
        temporary = pathlib.Path(folder) / f"video{path.suffix}"
        with imageio.get_writer(temporary, **how) as writer:
            for frame in frames:
                writer.append_data(frame)  # type: ignore[attr-defined]
        write_atomically(path, temporary.read_bytes())
