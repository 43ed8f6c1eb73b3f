"""Exploration by epsilon: how much of it, and what a uniformly drawn action is."""

from dataclasses import dataclass

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.type_aliases import Schedule

from sb3_reinforce.common.constraints import Interval, check_arguments


@dataclass(frozen=True)
class EpsilonSchedule:
    """
    Epsilon falls by ``decrement`` an episode, from ``start`` down to ``end``, and stays there.
    Episodes are counted over the whole training, in the order they are started.

    It is what exploration costs while training; ``predict`` never explores by epsilon.

    :param start: Epsilon of the first episode, between ``end`` and 1.
    :param end: The least epsilon, between 0 and ``start``.
    :param decrement: By how much it falls an episode, at least 0.
    :raises ValueError: If a value is out of its range.
    """

    start: float = 1.0
    end: float = 0.05
    decrement: float = 0.002

    def __post_init__(self) -> None:
        check_arguments(
            {"start": [Interval(0, 1)], "end": [Interval(0, 1)], "decrement": [Interval(0)]}, vars(self), "EpsilonSchedule"
        )
        if self.end > self.start:
            raise ValueError(f"EpsilonSchedule needs 0 <= end <= start <= 1, but got start={self.start} and end={self.end}.")

    def value(self, episode: int) -> float:
        """
        :param episode: Number of the episode, from 0.
        :return: Epsilon of that episode.
        """
        return max(self.end, self.start - self.decrement * episode)


def epsilon_of_episodes(
    epsilon: float | Schedule | EpsilonSchedule, first: int, n_episodes: int, progress_remaining: float
) -> np.ndarray:
    """
    :param epsilon: A number, an :class:`EpsilonSchedule`, or an SB3 schedule.
    :param first: Number of the first episode, counted over the whole training.
    :param n_episodes: How many episodes, all of one rollout.
    :param progress_remaining: From 1, when training begins, to 0.
    :return: The epsilon of each. Shape ``(n_episodes,)``.
    :raises ValueError: If a schedule gives something else than a number from 0 to 1.
    """
    if isinstance(epsilon, EpsilonSchedule):
        return np.array([epsilon.value(first + i) for i in range(n_episodes)])
    value = epsilon(progress_remaining) if callable(epsilon) else epsilon
    name = f"epsilon (its value with {progress_remaining:g} of training remaining)"
    check_arguments({name: [Interval(0, 1)]}, {name: value})
    return np.full(n_episodes, float(value))


def log_uniform_density(action_space: spaces.Space, actions: th.Tensor) -> th.Tensor | float:
    """
    Log-probability (for Box: log-density) of actions drawn uniformly from the whole space.

    :param action_space: Discrete, MultiDiscrete, MultiBinary or bounded Box.
    :param actions: Shape ``(batch,)`` for Discrete, else ``(batch, action_dim)``.
    :return: One number where it is the same for every action; for Box, shape ``(batch,)``,
        minus infinity outside the bounds, where a Gaussian may fall and the uniform can't.
    :raises ValueError: If the space is of another type.
    """
    if isinstance(action_space, spaces.Discrete):
        return -float(np.log(action_space.n))
    if isinstance(action_space, spaces.MultiDiscrete):
        return -float(np.log(action_space.nvec).sum())
    if isinstance(action_space, spaces.MultiBinary):
        return -float(np.log(2.0) * np.prod(action_space.shape))
    if isinstance(action_space, spaces.Box):
        low = th.as_tensor(action_space.low.ravel(), device=actions.device)
        high = th.as_tensor(action_space.high.ravel(), device=actions.device)
        inside = ((actions >= low) & (actions <= high)).all(dim=1)
        log_density = -(high - low).double().log().sum().to(actions.dtype)
        return th.where(inside, log_density, -th.inf)
    raise ValueError(f"There is no uniform distribution to explore by epsilon with on the action space {action_space}.")
