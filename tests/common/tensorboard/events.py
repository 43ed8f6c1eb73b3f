"""Trainings that log to TensorBoard, and what they have left there."""

import pathlib
from collections.abc import Callable
from typing import Any

from sb3_contrib import ARS
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.logger import configure
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sb3_reinforce import REINFORCE, RandomWeightSearch

MAKERS: dict[str, Callable[[], BaseAlgorithm]] = {
    "reinforce": lambda: REINFORCE("LinearPolicy", make_vec_env("CartPole-v1", 2), n_episodes=4, seed=0),
    "search": lambda: RandomWeightSearch("LinearPolicy", make_vec_env("CartPole-v1", 2), reward_threshold=1e9, seed=0),
    "ppo": lambda: PPO("MlpPolicy", make_vec_env("CartPole-v1", 2), n_steps=32, n_epochs=1, seed=0, device="cpu"),
    "dqn": lambda: DQN("MlpPolicy", "CartPole-v1", learning_starts=10_000, seed=0, device="cpu"),
    "ars": lambda: ARS("LinearPolicy", "CartPole-v1", n_delta=2, seed=0),
}


def make(name: str, folder: pathlib.Path) -> BaseAlgorithm:
    model = MAKERS[name]()
    model.set_logger(configure(str(folder), ["tensorboard"]))
    return model


def events_of(folder: pathlib.Path) -> Any:
    sizes = {"scalars": 0, "images": 0, "histograms": 0, "tensors": 0}
    return EventAccumulator(str(folder), size_guidance=sizes).Reload()
