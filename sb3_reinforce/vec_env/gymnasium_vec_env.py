"""Any Gymnasium vector environment as an SB3 VecEnv."""

import time
import warnings
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvObs, VecEnvStepReturn

from sb3_reinforce.common.observations import Observations
from sb3_reinforce.vec_env.access import find_access
from sb3_reinforce.vec_env.envpool import EnvPoolStepper
from sb3_reinforce.vec_env.episode_statistics import EpisodeStatistics
from sb3_reinforce.vec_env.lazy_infos import Ended, LazyInfos
from sb3_reinforce.vec_env.resets import find_resets, makes_new_arrays, warn_of_reset_transitions
from sb3_reinforce.vec_env.vector_envs import check_vector_env, is_envpool
from sb3_reinforce.vec_env.vector_infos import Info, allow_values_of_several_types, info_of


class GymnasiumVecEnv(VecEnv):
    """
    Any ``gymnasium.vector.VectorEnv`` as an SB3 ``VecEnv``, for every SB3 algorithm and wrapper.

    ``step`` hands back what ``DummyVecEnv`` of monitored environments would: the reset observation of an
    environment whose episode has ended, its last one in ``infos[i]["terminal_observation"]``,
    ``infos[i]["TimeLimit.truncated"]``, and in ``infos[i]["episode"]`` the return, length and time, as
    ``Monitor`` has them, whatever the environment itself has under these keys. Where the sub-environments are
    wrapped in ``Monitor`` themselves, theirs stand. Observations have the type in which the vector environment gives
    them. So have rewards of float32; others are float64.

    All three of Gymnasium's autoreset modes are served. In the mode "next step", which is the default
    of ``SyncVectorEnv`` and ``AsyncVectorEnv``, of the native CartPole and of EnvPool, environments are
    reset as soon as their episode has ended. That is not possible for any vector environment: of
    others, and within wrappers that can't be reset in part, the step after the end of an episode is only a
    reset, whose action does nothing and whose reward is 0. Then there is a warning; ``reset_transitions`` says
    which environments' last step was one, and so does ``infos[i]["reset_transition"]``. They
    do not count in the episode's statistics.

    A native vector environment is one object for all its sub-environments: ``get_attr``,
    ``set_attr`` and ``env_method`` read, set and call it once, for all of them.

    :param vector_env: The vector environment, e.g. from ``gymnasium.make_vec`` or ``envpool.make_gymnasium``.
    :raises TypeError: If it is none.
    :raises ValueError: If its spaces are not among SB3's, or if it can't be stepped rightly.
    """

    has_reset_transitions: bool
    """Whether there are steps that are only resets."""
    reset_transitions: np.ndarray
    """Of which environments the last step was only a reset. Shape ``(n_envs,)``."""
    takes_seeds: bool
    """Whether :meth:`seed` has an effect."""

    def __init__(self, vector_env: VectorEnv) -> None:
        check_vector_env(vector_env)
        self.vector_env = vector_env
        self._is_ready = False
        self.takes_seeds = not is_envpool(vector_env)
        self._stepper: Any = vector_env if self.takes_seeds else EnvPoolStepper(vector_env)
        self._access = find_access(vector_env)
        super().__init__(vector_env.num_envs, vector_env.single_observation_space, vector_env.single_action_space)
        self.metadata = dict(vector_env.metadata)
        self.autoreset_mode = AutoresetMode(vector_env.metadata.get("autoreset_mode", AutoresetMode.NEXT_STEP))
        self._resets = find_resets(vector_env, self._stepper, self.autoreset_mode)
        self.has_reset_transitions = self._resets.has_reset_transitions
        if self.has_reset_transitions:
            warn_of_reset_transitions(vector_env, stacklevel=2)
        self._hands_out_new_arrays = makes_new_arrays(vector_env)
        self._has_monitors = self._access.have_monitors()
        if isinstance(vector_env.unwrapped, (SyncVectorEnv, AsyncVectorEnv)):
            allow_values_of_several_types(vector_env.unwrapped)
        self._statistics = EpisodeStatistics(self.num_envs)
        self._dones = np.zeros(self.num_envs, dtype=bool)
        self.reset_transitions = np.zeros(self.num_envs, dtype=bool)
        self._action_dtype = self.action_space.dtype
        self._start_time = time.time()

    def reset(self) -> VecEnvObs:
        """
        Reset all environments; with the seeds and options set before, once.

        :return: Their first observations.
        :raises TypeError: If these are no NumPy arrays.
        """
        seed = self._seeds[0]
        first = self._stepper.reset(seed=None if seed is None else int(seed), options=self._common_options())
        obs, vector_infos = first if self._hands_out_new_arrays else deepcopy(first)
        if not isinstance(obs, (np.ndarray, dict)):
            raise TypeError(
                f"The vector environment gives observations of type {type(obs).__name__}, but SB3 takes NumPy arrays. "
                "Wrap it in gymnasium.wrappers.vector.JaxToNumpy, or its like."
            )
        self.reset_infos = [info_of(vector_infos, i) if vector_infos else {} for i in range(self.num_envs)]
        self._reset_seeds()
        self._reset_options()
        self._dones = np.zeros(self.num_envs, dtype=bool)
        self.reset_transitions = np.zeros(self.num_envs, dtype=bool)
        self._statistics.start()
        self._is_ready = True
        return obs

    def _common_options(self) -> Info | None:
        """The options set for the next reset, for all environments."""
        first = self._options[0]
        if any(options is not first and options != first for options in self._options):
            raise ValueError("A vector environment takes one dict of options for all its environments, but they differ.")
        return deepcopy(first) or None

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """
        Set the seed for the next reset. The environments of ``SyncVectorEnv`` and ``AsyncVectorEnv`` take
        ``seed``, ``seed + 1``, ...; a native vector environment draws for all of them from one generator.

        :param seed: None to draw one.
        :return: The seeds of the environments.
        """
        if not self.takes_seeds:
            warnings.warn("EnvPool takes its seed when it is made: envpool.make_gymnasium(..., seed=...).", stacklevel=2)
        return super().seed(seed)

    def step_async(self, actions: np.ndarray) -> None:
        """
        :param actions: One for each environment; taken by :meth:`step_wait`.
        :raises RuntimeError: If the environments are closed, or have not been reset.
        """
        if not self._is_ready:
            raise RuntimeError("The environments are closed, or have not been reset yet. Call reset() first.")
        self._actions = actions if actions.dtype == self._action_dtype else actions.astype(self._action_dtype)

    def step_wait(self) -> VecEnvStepReturn:
        """
        :return: Observations, rewards, whether an episode ended, infos.
        """
        step = self._stepper.step(self._actions)
        obs, rewards, terminated, truncated, vector_infos = step if self._hands_out_new_arrays else deepcopy(step)
        self._statistics.add(rewards)
        dones = np.logical_or(terminated, truncated)
        envs = dones.nonzero()[0]
        if len(envs):
            obs, infos = self._end_episodes(obs, terminated, truncated, vector_infos, envs)
        else:
            infos = LazyInfos(self.num_envs, vector_infos)
        if self.has_reset_transitions:
            self._mark_reset_transitions(infos, dones)
        return obs, _as_floats(rewards), dones, infos

    def _end_episodes(
        self, obs: Observations, terminated: np.ndarray, truncated: np.ndarray, vector_infos: Info, envs: np.ndarray
    ) -> tuple[Observations, LazyInfos]:
        """Close the statistics of the episodes that ended, and reset their environments."""
        returns, lengths = self._statistics.end(envs)
        step = self._resets(obs, vector_infos, envs)
        if step.reset_infos is not None:
            for i, info in zip(envs.tolist(), step.reset_infos, strict=True):
                self.reset_infos[i] = info
        ended = Ended(
            envs,
            terminated,
            truncated,
            step.last_observations,
            step.last_rows,
            step.last_infos,
            returns,
            lengths,
            time.time() - self._start_time,
            self._has_monitors,
        )
        return step.observations, LazyInfos(self.num_envs, step.vector_infos, ended)

    def _mark_reset_transitions(self, infos: LazyInfos, dones: np.ndarray) -> None:
        """The environments whose episode ended with the last step have only been reset by this one."""
        self.reset_transitions, self._dones = self._dones, dones
        envs = np.flatnonzero(self.reset_transitions)
        for i in envs.tolist():
            self.reset_infos[i] = info_of(infos.vector_infos, i)
            infos[i]["reset_transition"] = True
        self._statistics.start(envs)

    def close(self) -> None:
        """Close the environments; they can't be used any more."""
        self._is_ready = False
        self.vector_env.close()

    def get_images(self) -> Sequence[np.ndarray | None]:
        """
        :return: A picture of each environment, or None of each if ``render_mode`` is not "rgb_array".
        """
        if self.render_mode != "rgb_array":
            warnings.warn(f"The render mode is {self.render_mode}, but pictures need render_mode='rgb_array'.", stacklevel=2)
            return [None] * self.num_envs
        return self._access.images()

    def has_attr(self, attr_name: str) -> bool:
        """
        :param attr_name: Name of an attribute.
        :return: Whether all environments have it.
        """
        return self._access.has_attr(attr_name)

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """
        :param attr_name: Name of an attribute.
        :param indices: Of which environments. Default: of all.
        :return: Its value in each of them; what a native vector environment has, as often.
        :raises AttributeError: If they have none of that name.
        """
        return self._access.get_attr(attr_name, self._numbers(indices))

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """
        :param attr_name: Name of an attribute.
        :param value: Its new value.
        :param indices: In which environments. Default: in all.
        :raises ValueError: If a native vector environment is asked to set it for some only.
        """
        self._access.set_attr(attr_name, value, self._numbers(indices))

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        """
        :param method_name: Name of a method.
        :param method_args: Its positional arguments.
        :param indices: Of which environments. Default: of all.
        :param method_kwargs: Its keyword arguments.
        :return: What each of them returned; what a native vector environment returned, as often, but of ``action_masks`` each
            its own row.
        :raises AttributeError: If they have none of that name.
        :raises ValueError: If a native vector environment is asked to call it for some only.
        """
        return self._access.call(method_name, method_args, method_kwargs, self._numbers(indices))

    @property
    def action_masks(self) -> Callable[[], np.ndarray]:
        """
        Of environments with sb3-contrib's method ``action_masks()``, or of a native vector environment with one for all.

        :return: A function that gives what is allowed now. Shape ``(n_envs, mask_size)``.
        :raises AttributeError: If they have none.
        """
        if not self._access.has_attr("action_masks"):
            raise AttributeError(f"The environments of {self.vector_env} have no method action_masks().")
        return self._access.action_masks

    def env_is_wrapped(self, wrapper_class: type[gym.Wrapper], indices: VecEnvIndices = None) -> list[bool]:
        """
        :param wrapper_class: A wrapper of single environments.
        :param indices: Of which environments. Default: of all.
        :return: Whether each is wrapped in it. ``Monitor`` counts, since its statistics are given.
            Wrappers in the processes of an ``AsyncVectorEnv`` can't be seen.
        """
        numbers = self._numbers(indices)
        return [True] * len(numbers) if wrapper_class is Monitor else self._access.is_wrapped(wrapper_class, numbers)

    def _numbers(self, indices: VecEnvIndices) -> list[int]:
        return [range(self.num_envs)[i] for i in self._get_indices(indices)]


_FLOAT32 = np.dtype(np.float32)


def _as_floats(rewards: Any) -> np.ndarray:
    """In a type that SB3's algorithms may add to: float32 where that is what there is, else float64."""
    rewards = np.asarray(rewards)
    return rewards if rewards.dtype == _FLOAT32 else rewards.astype(np.float64, copy=False)
