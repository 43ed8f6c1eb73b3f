"""A trained model plays, and somebody watches."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from sb3_reinforce.common.masked_observations import tell_masks_to

DEFAULT_FRAMES_PER_SECOND = 30


class PlayedStep(NamedTuple):
    """A timestep of the first environment."""

    frame: np.ndarray | None
    """What it showed before the action. Shape ``(height, width, 3)``, uint8. None where no picture was made."""
    done: bool
    """Whether the action has ended its episode; the next step begins another."""
    info: dict[str, Any]
    """What it says of the action."""


def play(model: BaseAlgorithm, env: VecEnv, deterministic: bool = True, render_every: int = 1) -> Iterator[PlayedStep]:
    """
    Play one episode after the other, for as long as somebody asks for the next step. Masks of invalid actions are kept to.

    :param model: Any SB3 model.
    :param env: Where it plays. Pictures are made in the render mode "rgb_array" only.
    :param deterministic: Whether the most probable actions are taken.
    :param render_every: Make a picture each so many timesteps, from the first one on.
    :return: The steps.
    """
    obs: Any = tell_masks_to(model, env).reset()
    state, starts, n_steps = None, np.ones(env.num_envs, dtype=bool), 0
    while True:
        is_shown = env.render_mode == "rgb_array" and n_steps % render_every == 0
        frame = env.get_images()[0] if is_shown else None
        actions, state = model.predict(obs, state, starts, deterministic)
        obs, _, starts, infos = env.step(actions)
        n_steps += 1
        yield PlayedStep(frame, bool(starts[0]), infos[0])


def frames_per_second(env: VecEnv) -> int:
    """
    :param env: Of an environment that makes pictures.
    :return: How many of them it wants to be shown in a second; 30 if it does not say.
    """
    return int(env.get_attr("metadata", indices=0)[0].get("render_fps") or DEFAULT_FRAMES_PER_SECOND)
