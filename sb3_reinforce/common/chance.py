"""
Where chance comes from: a model's seed, and the number of its rollout.

So nothing random needs to be saved. A model that is loaded goes on with the next number, and draws what it would have drawn.
"""

import random
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import numpy as np
import torch as th

P = ParamSpec("P")
R = TypeVar("R")


def rollout_generator(seed: int, number: int) -> np.random.Generator:
    """
    :param seed: The model's.
    :param number: Of its rollout, from 0, counted over all of its trainings.
    :return: What all chance in that rollout is drawn from.
    """
    return np.random.default_rng(np.random.SeedSequence((seed, number)))


def environments_seed(rng: np.random.Generator, n_envs: int) -> int:
    """
    :param rng: Of the rollout.
    :param n_envs: Number of environments. Their seeds count up from the first one's.
    :return: The seed of the first. All of them fit into 31 bits, which every environment takes.
    """
    return int(rng.integers(2**31 - n_envs))


def seed_global_generators(seed: int, device: th.device) -> None:
    """
    Seed what policies, callbacks and environments may draw from without being asked: the global generators of Python, NumPy
    and torch.

    :param seed: From 0, below 2**31.
    :param device: Of the policy.
    """
    random.seed(seed)
    np.random.seed(seed)
    th.default_generator.manual_seed(seed)  # th.manual_seed looks for other devices each time, which takes 200 times as long
    if device.type != "cpu":
        th.manual_seed(seed)


def keeps_global_generators(function: Callable[P, R]) -> Callable[P, R]:
    """
    Decorate a function so that the global generators of Python, NumPy and torch are after it what they were before.

    :param function: Any.
    :return: A function that does the same.
    """

    @wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        states: list[tuple[Callable[[Any], Any], Any]] = [
            (random.setstate, random.getstate()),
            (np.random.set_state, np.random.get_state()),
            (th.set_rng_state, th.get_rng_state()),
        ]
        if th.cuda.is_initialized():
            states.append((th.cuda.set_rng_state_all, th.cuda.get_rng_state_all()))
        try:
            return function(*args, **kwargs)
        finally:
            for put_back, state in states:
                put_back(state)

    return wrapper
