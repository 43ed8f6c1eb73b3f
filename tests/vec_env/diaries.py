"""Environments with infos of their own under keys that SB3 and Gymnasium use too."""

from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

NONE_OF_OURS: dict[str, Any] = {"TimeLimit.truncated": "never", "terminal_observation": "mine", "_private": 4}


class Diary(gym.Env[np.ndarray, int]):
    """
    Episodes of a given length, every second one cut off; what stands in the infos is given too.

    :param length: Steps of an episode.
    :param entries: The own infos of the steps, one after the other, and again from the first.
    """

    def __init__(self, length: int, entries: Sequence[dict[Any, Any]]) -> None:
        self.length, self.entries = length, entries
        self.observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)
        self.action_space = spaces.Discrete(2)  # type: ignore[assignment]
        self.render_mode = None
        self.n_steps = self.time = self.n_episodes = 0

    def _observe(self) -> np.ndarray:
        return np.array([self.time, self.n_episodes], np.float32)

    def _entry(self) -> dict[Any, Any]:
        self.n_steps += 1
        return dict(self.entries[self.n_steps % len(self.entries)])

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[Any, Any]]:
        super().reset(seed=seed)
        self.time = 0
        self.n_episodes += 1
        return self._observe(), self._entry()

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[Any, Any]]:
        self.time += 1
        ended, cut_off = self.time >= self.length, self.n_episodes % 2 == 0
        return self._observe(), 0.1 * action, ended and not cut_off, ended and cut_off, self._entry()


def diaries(
    entries: Sequence[dict[Any, Any]], wrap: Callable[[gym.Env], gym.Env] = lambda env: env
) -> list[Callable[[], gym.Env]]:
    """Three of them, whose episodes end at different times; the first one's entries begin with another one's."""

    def make(length: int, first: int) -> gym.Env:
        return wrap(Diary(length, [*entries[first:], *entries[:first]]))

    return [lambda n=n: make(2 + n, n % len(entries)) for n in range(3)]  # type: ignore[misc]
