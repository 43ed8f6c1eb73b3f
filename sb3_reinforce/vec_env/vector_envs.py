"""What kind of vector environment something is, and whether SB3 can take it."""

from typing import Any

from gymnasium import spaces
from gymnasium.vector import VectorEnv, VectorWrapper
from gymnasium.wrappers import vector as vector_wrappers
from stable_baselines3.common.preprocessing import check_for_nested_spaces

_SERVED_SPACES = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)


def is_envpool(vector_env: Any) -> bool:
    """
    :param vector_env: Any object.
    :return: Whether EnvPool made it.
    """
    # EnvPool makes its classes at run time: their own module is "abc"
    return any(cls.__module__.split(".")[0] == "envpool" for cls in type(vector_env).__mro__)


def class_name(vector_env: Any) -> str:
    """
    :param vector_env: Any object.
    :return: Its class, as ``module:class``.
    """
    return f"{type(vector_env).__module__}:{type(vector_env).__qualname__}"


def wrappers_of(vector_env: Any) -> list[VectorWrapper]:
    """
    :param vector_env: A vector environment.
    :return: The wrappers around it, outermost first.
    """
    found = []
    while isinstance(vector_env, VectorWrapper):
        found.append(vector_env)
        vector_env = vector_env.env
    return found


def check_vector_env(vector_env: Any) -> None:
    """
    :param vector_env: Any object.
    :raises TypeError: If it is no vector environment.
    :raises ValueError: If its spaces are not among SB3's, or if a wrapper makes other infos than vector infos.
    """
    if not isinstance(vector_env, VectorEnv) and not is_envpool(vector_env):
        raise TypeError(
            f"GymnasiumVecEnv takes a gymnasium.vector.VectorEnv, but got {vector_env!r}. "
            "Make one with gymnasium.make_vec(env_id, num_envs=...)."
        )
    if any(isinstance(wrapper, vector_wrappers.DictInfoToList) for wrapper in wrappers_of(vector_env)):
        raise ValueError("GymnasiumVecEnv makes lists of infos itself: give it the environment without DictInfoToList.")
    observation_space, action_space = vector_env.single_observation_space, vector_env.single_action_space
    is_dict = isinstance(observation_space, spaces.Dict)
    if is_dict:
        check_for_nested_spaces(observation_space)
    for space in observation_space.spaces.values() if is_dict else [observation_space]:
        if not isinstance(space, _SERVED_SPACES):
            raise ValueError(
                f"SB3 has no observations like {space}. Use Box, Discrete, MultiDiscrete, MultiBinary or a Dict of these, "
                "for example by gymnasium.wrappers.FlattenObservation."
            )
    if not isinstance(action_space, _SERVED_SPACES):
        raise ValueError(f"SB3 has no actions like {action_space}. Use Box, Discrete, MultiDiscrete or MultiBinary.")
