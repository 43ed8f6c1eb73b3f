"""Access to attributes and methods of the environments in a vector environment: a class for each kind, chosen once."""

from abc import ABC, abstractmethod
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv
from stable_baselines3.common.env_util import is_wrapped
from stable_baselines3.common.monitor import Monitor

from sb3_reinforce.vec_env.async_workers import ask_workers
from sb3_reinforce.vec_env.vector_envs import is_envpool, wrappers_of


class Access(ABC):
    """
    The way to the environments inside of a vector environment, by their numbers.

    :param vector_env: The vector environment, perhaps in wrappers.
    """

    def __init__(self, vector_env: Any) -> None:
        self._vector_env = vector_env
        self._base: Any = vector_env.unwrapped

    @abstractmethod
    def has_attr(self, name: str) -> bool:
        """
        :param name: Name of an attribute.
        :return: Whether all environments have it.
        """

    @abstractmethod
    def get_attr(self, name: str, envs: list[int]) -> list[Any]:
        """
        :param name: Name of an attribute.
        :param envs: Numbers of environments.
        :return: Its value in each of them.
        :raises AttributeError: If they have none of that name.
        """

    @abstractmethod
    def set_attr(self, name: str, value: Any, envs: list[int]) -> None:
        """
        :param name: Name of an attribute.
        :param value: Its new value.
        :param envs: Numbers of environments.
        :raises ValueError: If they are one object, and not all of them are meant.
        """

    @abstractmethod
    def call(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], envs: list[int]) -> list[Any]:
        """
        :param name: Name of a method.
        :param args: Its positional arguments.
        :param kwargs: Its keyword arguments.
        :param envs: Numbers of environments.
        :return: What it returned in each of them.
        :raises AttributeError: If they have none of that name.
        :raises ValueError: If they are one object, and not all of them are meant.
        """

    def action_masks(self) -> np.ndarray:
        """:return: What sb3-contrib's method ``action_masks()`` gives in each environment. Shape ``(n_envs, mask_size)``."""
        return np.stack(self.call("action_masks", (), {}, list(range(self._vector_env.num_envs))))

    def is_wrapped(self, wrapper_class: type[gym.Wrapper], envs: list[int]) -> list[bool]:
        """
        :param wrapper_class: A wrapper of single environments.
        :param envs: Numbers of environments.
        :return: Whether each is known to be wrapped in it.
        """
        return [False] * len(envs)

    def have_monitors(self) -> bool:
        """:return: Whether every environment has a Monitor of its own."""
        return False

    def images(self) -> list[np.ndarray]:
        """:return: A picture of each environment."""
        return list(self._vector_env.render())


class SyncAccess(Access):
    """The environments of a ``SyncVectorEnv``, in this process."""

    def has_attr(self, name: str) -> bool:
        """See :class:`Access`."""
        return all(env.has_wrapper_attr(name) for env in self._base.envs)

    def get_attr(self, name: str, envs: list[int]) -> list[Any]:
        """See :class:`Access`."""
        return [self._base.envs[i].get_wrapper_attr(name) for i in envs]

    def set_attr(self, name: str, value: Any, envs: list[int]) -> None:
        """See :class:`Access`."""
        for i in envs:
            self._base.envs[i].set_wrapper_attr(name, value)

    def call(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], envs: list[int]) -> list[Any]:
        """See :class:`Access`."""
        return [method(*args, **kwargs) for method in self.get_attr(name, envs)]

    def is_wrapped(self, wrapper_class: type[gym.Wrapper], envs: list[int]) -> list[bool]:
        """See :class:`Access`."""
        return [is_wrapped(self._base.envs[i], wrapper_class) for i in envs]

    def have_monitors(self) -> bool:
        """See :class:`Access`."""
        return all(is_wrapped(env, Monitor) for env in self._base.envs)


class AsyncAccess(Access):
    """The environments of an ``AsyncVectorEnv``, in processes of their own. Their wrappers can't be seen."""

    def has_attr(self, name: str) -> bool:
        """See :class:`Access`."""
        return all(self._base.call("has_wrapper_attr", name))

    def get_attr(self, name: str, envs: list[int]) -> list[Any]:
        """See :class:`Access`."""
        self._check_that_all_have(name)
        return ask_workers(self._base, envs, ("_call", ("get_wrapper_attr", (name,), {})))

    def set_attr(self, name: str, value: Any, envs: list[int]) -> None:
        """See :class:`Access`."""
        ask_workers(self._base, envs, ("_setattr", (name, value)))

    def call(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], envs: list[int]) -> list[Any]:
        """See :class:`Access`."""
        self._check_that_all_have(name)
        return ask_workers(self._base, envs, ("_call", (name, args, kwargs)))

    def have_monitors(self) -> bool:
        """See :class:`Access`."""
        return self.has_attr("get_episode_rewards")

    def _check_that_all_have(self, name: str) -> None:
        """A worker that has to answer with an error is lost: ask first."""
        if not self.has_attr(name):
            raise AttributeError(f"The sub-environments of {self._vector_env} have no attribute {name!r}.")


class SharedAccess(Access):
    """A native vector environment, which is one object for all its environments."""

    def has_attr(self, name: str) -> bool:
        """See :class:`Access`."""
        return bool(self._holders_of(name))

    def get_attr(self, name: str, envs: list[int]) -> list[Any]:
        """See :class:`Access`. The one value, as often as it is asked for."""
        return [self._attribute(name)] * len(envs)

    def set_attr(self, name: str, value: Any, envs: list[int]) -> None:
        """See :class:`Access`."""
        self._check_that_all_are_meant(envs)
        setattr([*self._holders_of(name), self._base][0], name, value)

    def call(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], envs: list[int]) -> list[Any]:
        """See :class:`Access`. It is called once."""
        if name == "action_masks":
            return [self.action_masks()[i] for i in envs]
        self._check_that_all_are_meant(envs)
        return [self._attribute(name)(*args, **kwargs)] * len(envs)

    def action_masks(self) -> np.ndarray:
        """See :class:`Access`. In one call."""
        return self._attribute("action_masks")()

    def _holders_of(self, name: str) -> list[Any]:
        """Those of the vector environment and its wrappers that have an attribute, outermost first."""
        return [env for env in (*wrappers_of(self._vector_env), self._base) if hasattr(env, name)]

    def _attribute(self, name: str) -> Any:
        holders = self._holders_of(name)
        if not holders:
            raise AttributeError(f"{self._vector_env} has no attribute {name!r}.")
        return getattr(holders[0], name)

    def _check_that_all_are_meant(self, envs: list[int]) -> None:
        n_envs = self._vector_env.num_envs
        if set(envs) != set(range(n_envs)):
            raise ValueError(f"{self._vector_env} is one object for all its {n_envs} environments: leave out indices={envs}.")


class EnvPoolAccess(SharedAccess):
    """An EnvPool."""

    def images(self) -> list[np.ndarray]:
        """See :class:`Access`."""
        return list(self._vector_env.render(np.arange(self._vector_env.num_envs)))


def find_access(vector_env: Any) -> Access:
    """
    :param vector_env: A vector environment.
    :return: The way to its environments.
    """
    if is_envpool(vector_env):
        return EnvPoolAccess(vector_env)
    if isinstance(vector_env.unwrapped, SyncVectorEnv):
        return SyncAccess(vector_env)
    if isinstance(vector_env.unwrapped, AsyncVectorEnv):
        return AsyncAccess(vector_env)
    return SharedAccess(vector_env)
