"""What SB3's DummyVecEnv is shown, looked at before it is cast, and copied in less time."""

from collections import OrderedDict
from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import DummyVecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs
from stable_baselines3.common.vec_env.util import dict_to_obs

from sb3_reinforce.common.casting import as_declared, part_of
from sb3_reinforce.common.moves import replacement_of


class _CheckedObservations:
    """
    ``DummyVecEnv._save_obs``, which writes observations into arrays of the space's type, whatever is lost by it: with a look
    at what is written. And ``_obs_from_buf``, which hands out a copy of them: without its ``deepcopy``, which takes a third of
    a step of CartPole.

    :param env: The VecEnv.
    :param environment: What an error calls the environment in it.
    """

    def __init__(self, env: DummyVecEnv, environment: str) -> None:
        self.env, self.function, self.environment = env, type(env)._save_obs, environment
        self.dtype, self.shape = env.observation_space.dtype, env.observation_space.shape  # None for Dict spaces
        buffers: dict[Any, np.ndarray] = env.buf_obs  # under None, if an observation is one array
        buffer = buffers.get(None) if self.function is DummyVecEnv._save_obs else None
        self.buffer = np.empty(0) if buffer is None else buffer
        # Methods, which are called faster than an object is
        env._save_obs = self.save if buffer is None else self.save_one_array  # type: ignore[method-assign]
        if type(env)._obs_from_buf is DummyVecEnv._obs_from_buf and replacement_of(env, "_obs_from_buf") is None:
            env._obs_from_buf = self.copy if buffer is None else self.copy_of_one_array  # type: ignore[method-assign]

    def save_one_array(self, env_idx: int, obs: Any) -> None:
        """Where an observation is one array, and fits, as it nearly always does: what the function does, without a call."""
        if type(obs) is np.ndarray and obs.dtype is self.dtype and obs.shape == self.shape:
            self.buffer[env_idx] = obs
        else:
            self.save(env_idx, obs)

    def save(self, env_idx: int, obs: Any) -> None:
        """What the function does, after a look."""
        self._check(obs)
        self.function(self.env, env_idx, obs)

    def copy_of_one_array(self) -> np.ndarray:
        """What was saved, where an observation is one array."""
        return self.buffer.copy()

    def copy(self) -> VecEnvObs:
        """What was saved."""
        return copy_of_buffers(self.env)

    def _check(self, obs: Any) -> None:
        spaces = getattr(self.env.observation_space, "spaces", None)
        if spaces is None:
            self._check_part(obs, self.env.observation_space, "observation")
            return
        for key, space in spaces.items():
            self._check_part(part_of(obs, key, self.environment), space, f"observation {key!r}")

    def _check_part(self, part: Any, space: Any, name: str) -> None:
        is_integer = isinstance(part, (int, np.integer)) and space.shape == () and space.dtype.kind == "i"
        is_usual = isinstance(part, np.ndarray) and part.dtype == space.dtype and part.shape == space.shape
        if not is_integer and not is_usual:
            as_declared(np.asarray(part), space, space.shape, name, self.environment)


def copy_of_buffers(env: DummyVecEnv) -> VecEnvObs:
    """
    :param env: Whose observations are copied.
    :return: What ``_obs_from_buf`` gives, without its ``deepcopy``.
    """
    copies = OrderedDict((key, values.copy()) for key, values in env.buf_obs.items())
    return dict_to_obs(env.observation_space, copies)


def check_observations(env: DummyVecEnv, environment: str) -> None:
    """
    From now on, what does not fit its space is an error.

    :param env: The VecEnv.
    :param environment: What an error calls the environment in it.
    """
    if replacement_of(env, "_save_obs") is None:
        _CheckedObservations(env, environment)
