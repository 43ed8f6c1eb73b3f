"""Checks that both algorithms make."""

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.policies import BasePolicy


def check_policy_name(name: str, aliases: dict[str, type[BasePolicy]]) -> type[BasePolicy]:
    """
    :param name: Name of a policy.
    :param aliases: The names there are.
    :return: The policy of that name.
    :raises ValueError: If there is none.
    """
    if name not in aliases:
        raise ValueError(f"Policy '{name}' is unknown. Use one of {', '.join(aliases)}, or a policy class.")
    return aliases[name]


def check_spaces(observation_space: spaces.Space, action_space: spaces.Space) -> None:
    """
    :param observation_space: Any that SB3's features extractors take.
    :param action_space: Discrete (from 0 on), MultiDiscrete, MultiBinary or bounded Box.
    :raises ValueError: If SB3's policies can't serve one of them.
    """
    observed = observation_space.spaces.values() if isinstance(observation_space, spaces.Dict) else [observation_space]
    for space in observed:
        if not isinstance(space, (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)):
            raise ValueError(
                f"Observations must be Box, Discrete, MultiDiscrete or MultiBinary, or a Dict of these, but they are {space}. "
                "Wrap the environment in gymnasium.wrappers.FlattenObservation."
            )
    for space in (*observed, action_space):
        if isinstance(space, (spaces.Discrete, spaces.MultiDiscrete)) and np.any(space.start != 0):
            raise ValueError(
                f"Discrete values must start at 0, as everywhere in SB3, but there is a {space}. Shift them with "
                "gymnasium.wrappers.TransformObservation or TransformAction."
            )


def check_that_episodes_end(longest: int, max_episode_steps: int) -> None:
    """
    :param longest: Timesteps so far of the longest episode that has not ended.
    :param max_episode_steps: How many it may have.
    :raises RuntimeError: If it has more.
    """
    if longest >= max_episode_steps:
        raise RuntimeError(
            f"An episode has not ended within {max_episode_steps} timesteps, but only whole episodes can be learned from. "
            "Give the environment a time limit (gymnasium.make(..., max_episode_steps=...) or "
            "gymnasium.wrappers.TimeLimit), or raise max_episode_steps if its episodes are that long."
        )
