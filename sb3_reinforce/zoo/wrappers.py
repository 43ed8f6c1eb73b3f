"""Wrappers as the RL Zoo's YAML files name them: by module and class, with arguments if there are any."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import gymnasium as gym
from stable_baselines3.common.vec_env import VecEnvWrapper

from sb3_reinforce.zoo.imports import import_class

KNOWN_PACKAGES = ("gymnasium.wrappers", "rl_zoo3.wrappers", "sb3_reinforce", "stable_baselines3.common")
"""Whose wrappers are imported also where a file names them that anybody may have written."""


class WrapperCall(NamedTuple):
    """A wrapper, and what it is made with."""

    wrapper: type[Any]
    arguments: dict[str, Any]

    def __call__(self, env: Any) -> Any:
        """
        :param env: What to wrap.
        :return: It, wrapped.
        """
        return self.wrapper(env, **self.arguments)


def named_wrappers(entry: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """
    :param entry: A name, a name with arguments (``{gymnasium.wrappers.StickyAction: {repeat_action_probability: 0.6}}``), or a
        list of these, from the inside to the outside. None for no wrapper.
    :return: Each name with its arguments.
    :raises ValueError: If it is nothing of the kind.
    """
    for part in entry if isinstance(entry, list) else [] if entry is None else [entry]:
        named = {part: {}} if isinstance(part, str) else part
        if not isinstance(named, dict) or not all(isinstance(name, str) for name in named):
            raise ValueError(
                f"A wrapper must be named as module.Class or as {{module.Class: {{name: value}}}}, but got {part!r}."
            )
        for name, arguments in named.items():
            yield name, dict(arguments or {})


def is_known(name: str) -> bool:
    """
    :param name: Module and class of a wrapper.
    :return: Whether it is of a package whose wrappers do no harm.
    """
    return name.startswith(tuple(f"{package}." for package in KNOWN_PACKAGES))


def read_wrappers(entry: Any) -> list[WrapperCall]:
    """
    Import the wrappers that an entry names.

    :param entry: As for :func:`named_wrappers`.
    :return: The wrappers, from the inside to the outside.
    :raises ValueError: If there is no such wrapper.
    """
    return [
        WrapperCall(import_class(name, "wrapper", gym.Wrapper, VecEnvWrapper), arguments)
        for name, arguments in named_wrappers(entry)
    ]
