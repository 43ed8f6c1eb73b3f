"""Environments that end the test when an action comes that they do not allow."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv

from sb3_reinforce.common.masking import choices_of_parts, entries_of

SPACES: dict[str, spaces.Space] = {
    "two": spaces.Discrete(2),
    "discrete": spaces.Discrete(5),
    "multi_discrete": spaces.MultiDiscrete([3, 2, 4]),
    "multi_binary": spaces.MultiBinary(3),
}


def draw_mask(rng: np.random.Generator, space: spaces.Space) -> np.ndarray:
    """About half of all choices, and one of each part at least."""
    parts = []
    for size in choices_of_parts(space):
        part = rng.random(size) < 0.5
        part[rng.integers(size)] = True
        parts.append(part)
    return np.concatenate(parts)


class Strict(gym.Env[Any, Any]):
    """
    What is allowed is drawn anew at each step. The reward tells good actions from bad ones.

    :param space: Of the actions.
    :param tells: "method", "info" or "key": how it says what is allowed; "nothing" for not at all.
    :param observation: "vector" or "image".
    """

    def __init__(self, space: spaces.Space, tells: str = "method", observation: str = "vector") -> None:
        self.action_space, self.tells = space, tells
        box = spaces.Box(-1, 1, (3,), np.float32)
        if observation == "image":
            box = spaces.Box(0, 255, (36, 36, 1), np.uint8)
        mask = spaces.MultiBinary(sum(choices_of_parts(space)))
        self.observation_space = spaces.Dict({"seen": box, "action_mask": mask}) if tells == "key" else box
        self._box = box
        if tells == "method":
            self.action_masks = lambda: self.mask
        self.n_steps = 0

    def _look(self) -> tuple[Any, dict[str, Any]]:
        self.mask = draw_mask(self.np_random, self.action_space)
        seen = self.np_random.uniform(self._box.low, self._box.high).astype(self._box.dtype)
        obs = {"seen": seen, "action_mask": self.mask.astype(np.int8)} if self.tells == "key" else seen
        return obs, {"action_mask": self.mask.astype(np.int8)} if self.tells == "info" else {}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.time = 0
        return self._look()

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        entries = entries_of(np.asarray(action)[None], self.action_space)[0]
        assert self.mask[entries].all(), f"The action {action} is not allowed by {self.mask}."
        self.time += 1
        self.n_steps += 1
        obs, info = self._look()
        return obs, float(np.sum(action)), self.np_random.random() < 0.1, self.time == 20, info


class StrictVectorEnv(VectorEnv):
    """
    The like as one object for many environments.

    :param space: Of the actions.
    :param num_envs: How many.
    :param tells: "method" or "info".
    :param mode: When it resets.
    """

    def __init__(self, space: spaces.Space, num_envs: int, tells: str, mode: AutoresetMode = AutoresetMode.NEXT_STEP) -> None:
        self.num_envs, self.tells, self.mode = num_envs, tells, mode
        self.single_action_space, self.single_observation_space = space, spaces.Box(-1, 1, (3,), np.float32)
        self.action_space = gym.vector.utils.batch_space(space, num_envs)
        self.observation_space = gym.vector.utils.batch_space(self.single_observation_space, num_envs)
        self.metadata = {"autoreset_mode": mode}
        if tells == "method":
            self.action_masks = self._allowed
        self.n_steps = 0
        self.masks: np.ndarray = np.zeros((num_envs, sum(choices_of_parts(space))), bool)
        self.ended = np.zeros(num_envs, bool)

    def _allowed(self) -> np.ndarray:
        return self.masks

    def _look(self) -> tuple[np.ndarray, dict[str, Any]]:
        for i in range(self.num_envs):  # into the same array each time, as fast environments do it
            self.masks[i] = draw_mask(self.np_random, self.single_action_space)
        obs = self.np_random.uniform(-1, 1, (self.num_envs, 3)).astype(np.float32)
        return obs, {"action_mask": self.masks} if self.tells == "info" else {}

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.ended = np.zeros(self.num_envs, bool)
        return self._look()

    def step(self, actions: Any) -> Any:
        rows = np.flatnonzero(~self.ended)
        entries = entries_of(np.asarray(actions), self.single_action_space)
        allowed = np.take_along_axis(self.masks, entries, axis=1).all(axis=1)
        assert allowed[rows].all(), f"The actions {actions[~allowed]} are not allowed."
        self.n_steps += len(rows)
        rewards = np.asarray(actions, np.float64).reshape(self.num_envs, -1).sum(axis=1) * ~self.ended
        obs, infos = self._look()
        self.ended = ~self.ended & (self.np_random.random(self.num_envs) < 0.1)
        if self.mode == AutoresetMode.NEXT_STEP:
            self.masks[self.ended] = False  # where an episode has ended, nothing can be done
        return obs, rewards, self.ended, np.zeros(self.num_envs, bool), infos
