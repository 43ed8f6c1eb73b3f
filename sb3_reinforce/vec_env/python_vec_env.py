"""SB3's DummyVecEnv without its overhead."""

from collections.abc import Callable
from copy import copy, deepcopy
from functools import cached_property
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from stable_baselines3.common.vec_env import DummyVecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvObs, VecEnvStepReturn

from sb3_reinforce.common.casting import as_declared, part_of
from sb3_reinforce.common.checked_observations import copy_of_buffers
from sb3_reinforce.common.moves import Moves
from sb3_reinforce.common.training_environments import environment_name
from sb3_reinforce.vec_env.known_wrappers import Step, find_step

_PREPARED = ("_array", "_rows", "_steps")


class PythonVecEnv(DummyVecEnv):
    """
    Environments in this process, one after the other: SB3's ``DummyVecEnv``, with the same numbers in about half the time.

    It copies observations once and infos one level deep, where ``DummyVecEnv`` copies everything through and through. And it
    goes straight through the wrappers that ``gymnasium.make`` and ``Monitor`` put around an environment; see
    :mod:`sb3_reinforce.vec_env.known_wrappers`. All arrays, dicts and lists that ``step`` returns are the caller's own, even
    if an environment hands out the same array or the same info at each step. What lies deeper in an info is the environment's.

    What makes a ``DummyVecEnv`` can make this: ``make_vec_env("CartPole-v1", n_envs=8, vec_env_cls=PythonVecEnv)``. As there,
    returns and lengths of episodes are those of ``Monitor``, which writes a file where one is asked for (``monitor_dir``).

    Two things differ. ``infos[i]["terminal_observation"]`` is right also if the environment's ``reset`` writes into the
    array of its last observation. And an observation must fit its space: real numbers are rounded to its precision, but it
    is an error if anything else would be lost on the way to its type, or if the shape is another one.

    :param env_fns: Functions that make an environment each.
    :raises ValueError: If two of them give the same one; in ``step`` and ``reset``, if an observation doesn't fit its space.
    """

    checks_observations = True
    """Whether an observation that doesn't fit its space is an error here already."""

    def __init__(self, env_fns: list[Callable[[], gym.Env]]) -> None:
        super().__init__(env_fns)
        self.moves = Moves()
        self._prepare()

    def _prepare(self) -> None:
        """Make what a step has at hand."""
        self._steps: list[Step] = [find_step(env) for env in self.envs]
        # Where an observation is one array
        self._array = None if isinstance(self.observation_space, (spaces.Dict, spaces.Tuple)) else self._buffer(None)
        # And a vector: memoryviews take nothing of another type or shape
        self._rows = [memoryview(row) for row in self._array] if self._array is not None and self._array.ndim == 2 else []

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in _PREPARED}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._prepare()

    def step_async(self, actions: np.ndarray) -> None:
        """
        :param actions: One for each environment; taken by :meth:`step_wait`.
        """
        self.actions = actions
        self.moves.n_moves += 1

    def step_wait(self) -> VecEnvStepReturn:
        """
        :return: Observations, rewards, whether an episode ended, infos.
        """
        actions, steps, rows = self.actions, self._steps, self._rows
        rewards, dones = np.empty(self.num_envs, np.float32), np.zeros(self.num_envs, bool)
        infos = []
        for i, env in enumerate(self.envs):
            obs, rewards[i], done, info = steps[i](env, actions[i])
            if done:
                dones[i] = True
                info["terminal_observation"] = _own(obs)
                obs, reset_info = env.reset()
                self.reset_infos[i] = copy(reset_info)
            infos.append(info)
            if not rows:
                self._save_obs(i, obs)
                continue
            try:
                rows[i][:] = obs
            except (TypeError, ValueError):
                self._save_obs(i, obs)
        return self._obs_from_buf(), rewards, dones, infos

    def reset(self) -> VecEnvObs:
        """
        Reset all environments; with the seeds and options set before, once.

        :return: Their first observations.
        """
        obs = super().reset()
        self.reset_infos = [copy(info) for info in self.reset_infos]
        self._prepare()
        self.moves.n_moves += 1
        return obs

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """
        :param attr_name: Name of an attribute.
        :param value: Its new value.
        :param indices: In which environments. Default: in all.
        """
        super().set_attr(attr_name, value, indices)
        self._prepare()

    def _save_obs(self, env_idx: int, obs: VecEnvObs) -> None:
        for key in self.keys:
            part: Any = obs if key is None else self._part(obs, key)
            self._buffer(key)[env_idx] = self._declared(part, key)

    def _part(self, obs: Any, key: Any) -> Any:
        return obs[key] if isinstance(self.observation_space, spaces.Tuple) else part_of(obs, key, self._name)

    def _buffer(self, key: Any) -> np.ndarray:
        return self.buf_obs[key]

    def _declared(self, part: Any, key: Any) -> Any:
        """An observation, or its part under a key, of which nothing is lost if it is written into the buffer."""
        buffer = self._buffer(key)
        if isinstance(part, (np.ndarray, np.generic)) and part.dtype == buffer.dtype and part.shape == buffer.shape[1:]:
            return part
        if type(part) is int and buffer.ndim == 1 and buffer.dtype.kind in "iu":  # NumPy itself refuses one that is too large
            return part
        space: Any = self.observation_space if key is None else self.observation_space[key]  # type: ignore[index]
        name = "observation" if key is None else f"observation {key!r}"
        return as_declared(np.asarray(part), space, buffer.shape[1:], name, self._name)

    @cached_property
    def _name(self) -> str:
        """What errors call the environment."""
        return environment_name(self)

    def _obs_from_buf(self) -> VecEnvObs:
        return copy_of_buffers(self) if self._array is None else self._array.copy()


def _own(obs: Any) -> Any:
    """An observation that nobody else writes to."""
    return obs.copy() if type(obs) is np.ndarray else deepcopy(obs)
