"""What the attributes of a model may be that come from a file."""

import inspect
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy

from sb3_reinforce.common.archives import DamagedFileError

_NEEDED = ("policy_class", "policy_kwargs", "observation_space", "action_space", "verbose")
_SIZES = ("n_envs", "n_episodes")
_MAX_SIZE = 10_000_000
"""A model makes arrays of these sizes."""


def check_attributes(cls: type[BaseAlgorithm], attributes: Mapping[str, Any], variables: Iterable[str]) -> None:
    """
    The algorithm checks its arguments itself. The others, which no user ever gives, are compared with those of a model that
    was made just now.

    :param cls: The algorithm.
    :param attributes: Its attributes.
    :param variables: Names of tensors that are to be attributes.
    :raises DamagedFileError: If one is missing, is of another type, or would take the place of a method.
    """
    missing = [name for name in _NEEDED if name not in attributes]
    if missing:
        raise DamagedFileError(f"it has no {', '.join(missing)}")
    policy_class = attributes["policy_class"]
    if not inspect.isclass(policy_class) or not issubclass(policy_class, BasePolicy):
        raise DamagedFileError(f"its policy_class is no policy but {policy_class!r}")
    fresh: Any = cls(policy_class, None, device="cpu", _init_setup_model=False)  # type: ignore[call-arg]
    unknown = set(variables) - set(fresh._get_torch_save_params()[1])
    if unknown:
        raise DamagedFileError(f"a {cls.__name__} has no tensors {sorted(unknown)}")
    arguments = {name for base in cls.__mro__ for name in inspect.signature(base).parameters} - {"verbose"}
    for name, value in attributes.items():
        default = inspect.getattr_static(fresh, name, None)  # the class's own ones, too
        if callable(getattr(cls, name, None)) or (name not in arguments and not _is_like(value, default)):
            raise DamagedFileError(f"its {name!r} can't be {value!r}")
        if name == "ep_info_buffer" and not _has_episodes(value):
            raise DamagedFileError("its ep_info_buffer holds something else than returns and lengths of episodes")
        if name in _SIZES and value is not None and value > _MAX_SIZE:
            raise DamagedFileError(f"its {name} is {value:,}")


def _is_like(value: Any, default: Any) -> bool:
    """Whether it may stand where a model that was made just now has its default."""
    if default is None or isinstance(default, property):  # a value that a property hides is never read
        return True
    if isinstance(default, bool):
        return isinstance(value, (bool, np.bool_))
    if isinstance(default, (int, float)):
        is_number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
        return is_number and (isinstance(default, float) or value >= min(default, 0))
    return isinstance(value, type(default))


def _has_episodes(buffer: Any) -> bool:
    """Whether it is a buffer of what Monitor says of episodes, or none."""
    episodes = () if buffer is None else buffer
    return isinstance(episodes, (deque, tuple)) and all(isinstance(e, dict) and {"r", "l"} <= e.keys() for e in episodes)
