"""All of it at once."""

from collections.abc import Callable, Mapping
from typing import Any

import gymnasium as gym
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv

from sb3_reinforce.common.tensorboard.histograms import EpisodeLengthHistogramCallback, WeightHistogramCallback
from sb3_reinforce.common.tensorboard.hyperparameters import HyperparametersCallback
from sb3_reinforce.common.tensorboard.layout import ScalarLayoutCallback
from sb3_reinforce.common.tensorboard.pictures import EpisodeVideoCallback, PolicyPictureCallback


def tensorboard_callbacks(
    model: BaseAlgorithm,
    env: str | Callable[[], gym.Env[Any, Any] | VecEnv] | None = None,
    every: int | None = None,
    further: Mapping[str, Any] | None = None,
) -> list[BaseCallback]:
    """
    What TensorBoard can show of a training beside SB3's curves: hyperparameters, a layout of the curves, histograms of the
    lengths of episodes and of weights; a picture of the policy, if it observes two numbers; and a video, if an environment is
    given::

        model.learn(100_000, callback=[EpisodeDurationCallback(), *tensorboard_callbacks(model, "CartPole-v1")])

    :param model: Any SB3 algorithm that logs to TensorBoard.
    :param env: The environment's id, or a function that makes it, to play a video in; see
        :class:`~sb3_reinforce.common.tensorboard.EpisodeVideoCallback`. None for no video.
    :param every: Timesteps from one histogram, picture or video to the next. Default: a tenth of the training.
    :param further: What a row of the table of hyperparameters shall say beside them, by name.
    :return: The callbacks.
    :raises ImportError: If a picture or a video is to be made, and matplotlib or Pillow is missing.
    """
    callbacks: list[BaseCallback] = [
        HyperparametersCallback(further),
        ScalarLayoutCallback(),
        EpisodeLengthHistogramCallback(every),
        WeightHistogramCallback(every),
    ]
    if isinstance(model.observation_space, spaces.Box) and model.observation_space.shape == (2,):
        callbacks.append(PolicyPictureCallback(every=every))
    if env is not None:
        callbacks.append(EpisodeVideoCallback(env, every))
    return callbacks
