"""What the policy does, seen: TensorBoard's tab Images."""

import copy
import io
from collections.abc import Callable
from itertools import islice
from typing import Any

import gymnasium as gym
import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecNormalize, sync_envs_normalization

from sb3_reinforce.common.constraints import CALLABLE, SEED, TEXT, Interval, Table, checked
from sb3_reinforce.common.extras import needs
from sb3_reinforce.common.playing import frames_per_second, play
from sb3_reinforce.common.tensorboard.writing import ARGUMENTS, IntervalCallback, add_summary, encoded_image, png_image

MAX_FRAMES_PER_SECOND = 25
COLORS = 128
_OF_VIDEOS: Table = {
    **ARGUMENTS,
    "env": [TEXT, CALLABLE],
    "max_steps": [Interval(1, integer=True)],
    "width": [Interval(16, integer=True)],
    "seed": [SEED],
}


class PolicyPictureCallback(IntervalCallback):
    """
    Draws what the policy does over two of the numbers that it observes into TensorBoard's images, for any SB3 algorithm; see
    :func:`~sb3_reinforce.plots.plot_decision_surface`. Needs matplotlib (the extra ``extra``)::

        PPO("MlpPolicy", "MountainCar-v0", tensorboard_log="logs").learn(
            100_000, callback=PolicyPictureCallback(labels=("position", "velocity"))
        )

    :param x: Which number of the observation is drawn to the right.
    :param y: Which one is drawn upward.
    :param every: Timesteps from one picture to the next. Default: a tenth of the training.
    :param surface: Further arguments of ``plot_decision_surface``.
    :raises ImportError: If matplotlib is missing.
    :raises ValueError: When training starts, if the algorithm has no TensorBoard, or its observations have no such numbers.
    """

    @checked(ARGUMENTS, "PolicyPictureCallback")
    def __init__(self, x: int = 0, y: int = 1, every: int | None = None, **surface: Any) -> None:
        super().__init__(every)
        with needs("extra", "PolicyPictureCallback"):
            from sb3_reinforce.plots import plot_decision_surface
        self._plot = plot_decision_surface
        self.surface = {"x": x, "y": y, **surface}

    def _record(self) -> None:
        ax = self._plot(self.model, **self.surface)
        ax.set_title(f"after {self.n_timesteps:,} timesteps", fontsize="medium", pad=28 if ax.get_legend() else 6)
        image = png_image("policy/decision_surface", ax.figure)
        self._write(lambda writer: add_summary(writer, image, self.n_timesteps))


class EpisodeVideoCallback(IntervalCallback):
    """
    Plays an episode with the policy's most probable actions, and shows it as a GIF among TensorBoard's images, for any SB3
    algorithm. It is played in an environment of its own, always the same episode, so that training is not touched. Needs
    Pillow, and what the environment renders with (the extra ``extra``)::

        DQN("MlpPolicy", "CartPole-v1", tensorboard_log="logs").learn(50_000, callback=EpisodeVideoCallback("CartPole-v1"))

    :param env: The environment's id, or a function that makes it, with ``render_mode="rgb_array"``: a Gymnasium environment,
        or a VecEnv of one, if it needs SB3's wrappers. It is made for each video, and closed. Where training has a
        ``VecNormalize``, its observations are normalised in the same way.
    :param every: Timesteps from one video to the next. Default: a tenth of the training.
    :param max_steps: Timesteps after which the episode is cut off.
    :param width: Of the video, in pixels; a smaller one is left as it is.
    :param seed: Of the episode.
    :raises ImportError: If Pillow is missing.
    :raises ValueError: When training starts, if the algorithm has no TensorBoard, or the environment renders no pictures.
    """

    @checked(_OF_VIDEOS, "EpisodeVideoCallback")
    def __init__(
        self,
        env: str | Callable[[], gym.Env[Any, Any] | VecEnv],
        every: int | None = None,
        max_steps: int = 500,
        width: int = 300,
        seed: int = 0,
    ) -> None:
        super().__init__(every)
        with needs("extra", "EpisodeVideoCallback"):
            import PIL  # noqa: F401
        self.env, self.max_steps, self.width, self.seed = env, max_steps, width, seed

    def _record(self) -> None:
        env = _as_vec_env(self.env)
        try:
            if env.render_mode != "rgb_array":
                raise ValueError(
                    f"env of EpisodeVideoCallback must render pictures, but its render_mode is {env.render_mode!r}. "
                    'Make it with gymnasium.make(..., render_mode="rgb_array").'
                )
            frames, rate = frames_of_episode(self.model, env, self.max_steps, self.seed)
        finally:
            env.close()
        content, width, height = gif_of(frames, rate, self.width)
        summary = encoded_image("eval/episode", content, width, height)
        self._write(lambda writer: add_summary(writer, summary, self.n_timesteps))


def _as_vec_env(make: str | Callable[[], gym.Env[Any, Any] | VecEnv]) -> VecEnv:
    env = gym.make(make, render_mode="rgb_array") if isinstance(make, str) else make()
    return env if isinstance(env, VecEnv) else DummyVecEnv([lambda: env])


def frames_of_episode(model: BaseAlgorithm, env: VecEnv, max_steps: int, seed: int) -> tuple[list[np.ndarray], float]:
    """
    :param model: Any SB3 algorithm.
    :param env: Of one environment, which renders pictures.
    :param max_steps: Timesteps after which to stop.
    :param seed: Of the episode.
    :return: Pictures of the first episode, shape ``(height, width, 3)`` each, and how many to show a second: not all of
        them, where there are more than 25.
    """
    rate = frames_per_second(env)
    skip = max(1, round(rate / MAX_FRAMES_PER_SECOND))
    env.seed(seed)
    frames = []
    for step in islice(play(model, _normalized_as_in_training(env, model), render_every=skip), max_steps):
        if step.frame is not None:
            frames.append(step.frame)
        if step.done:
            break
    return frames, rate / skip


def _normalized_as_in_training(env: VecEnv, model: BaseAlgorithm) -> VecEnv:
    """Statistics stand still."""
    of_training = model.get_vec_normalize_env()
    if of_training is None:
        return env
    if isinstance(env, VecNormalize):
        sync_envs_normalization(of_training, env)
        return env
    normalized = copy.deepcopy(of_training)  # but for its environments
    normalized.set_venv(env)
    normalized.training = normalized.norm_reward = False
    return normalized


def gif_of(frames: list[np.ndarray], rate: float, max_width: int) -> tuple[bytes, int, int]:
    """
    :param frames: Pictures, shape ``(height, width, 3)`` each.
    :param rate: How many to show a second.
    :param max_width: A wider video is made as wide as this.
    :return: A GIF file that goes on for ever, its width and its height.
    """
    from PIL import Image

    height, width = frames[0].shape[:2]
    if width > max_width:
        width, height = max_width, round(height * max_width / width)
    # The quickest ways there are: a video takes longer to make than its episode to play
    shrunk = (Image.fromarray(frame).resize((width, height), Image.Resampling.BILINEAR) for frame in frames)
    images = [image.quantize(COLORS, method=Image.Quantize.FASTOCTREE) for image in shrunk]
    content = io.BytesIO()
    images[0].save(content, "GIF", save_all=True, append_images=images[1:], duration=1000 / rate, loop=0)
    return content.getvalue(), width, height
