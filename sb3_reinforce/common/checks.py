"""Checks that both algorithms make."""

import inspect
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.torch_layers import CombinedExtractor, FlattenExtractor, NatureCNN


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
        if isinstance(space, spaces.MultiDiscrete) and space.nvec.ndim > 1:
            raise ValueError(f"MultiDiscrete spaces must have one dimension, but there is a {space}. Flatten it.")
    if isinstance(action_space, spaces.MultiBinary) and len(action_space.shape) > 1:
        raise ValueError(f"MultiBinary actions must have one dimension, but they are {action_space}. Flatten them.")
    if any(isinstance(space, spaces.Box) and space.shape == () for space in observed):
        raise ValueError(
            f"Observations must have a dimension, but there is a single number in {observation_space}. Give it the shape (1,) "
            "with gymnasium.wrappers.ReshapeObservation."
        )


_NATURE_CNN_LEAST = 36


def check_features(policy: type[BasePolicy], policy_kwargs: dict[str, Any], observation_space: spaces.Space) -> None:
    """
    :param policy: The policy's class.
    :param policy_kwargs: What it will be made with.
    :param observation_space: Images with channels first.
    :raises ValueError: If it will be made with a features extractor of SB3 that does not serve the observations.
    """
    default = inspect.signature(policy).parameters.get("features_extractor_class")
    extractor = policy_kwargs.get("features_extractor_class", default and default.default)
    is_dict = isinstance(observation_space, spaces.Dict)
    if extractor is NatureCNN:
        _check_images(policy, policy_kwargs, observation_space)
    elif extractor is CombinedExtractor and not is_dict:
        raise ValueError(
            f"{policy.__name__} serves Dict observations, but these are {observation_space}. Use 'CnnPolicy' for images, "
            "else 'MlpPolicy' or a linear policy."
        )
    elif extractor is FlattenExtractor and is_dict:
        raise ValueError(
            f"{policy.__name__} does not serve Dict observations, but these are {observation_space}. Use 'MultiInputPolicy' "
            "or a linear policy."
        )


def _check_images(policy: type[BasePolicy], policy_kwargs: dict[str, Any], observation_space: spaces.Space) -> None:
    if not is_image_space(observation_space, normalized_image=not policy_kwargs.get("normalize_images", True)):
        instead = "MultiInputPolicy" if isinstance(observation_space, spaces.Dict) else "MlpPolicy"
        raise ValueError(
            f"{policy.__name__} serves images (a Box of three dimensions, uint8 from 0 to 255; with "
            f"policy_kwargs=dict(normalize_images=False), any other numbers), but these observations are {observation_space}. "
            f"Use '{instead}' or a linear policy."
        )
    if min(observation_space.shape[1:]) < _NATURE_CNN_LEAST:  # type: ignore[index]
        raise ValueError(
            f"The network of {policy.__name__} needs images of {_NATURE_CNN_LEAST} by {_NATURE_CNN_LEAST} pixels or more, but "
            f"these are {observation_space}. Enlarge them (gymnasium.wrappers.ResizeObservation), use 'MlpPolicy', or give "
            "policy_kwargs=dict(features_extractor_class=...) a network of your own."
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
