"""Checks that both algorithms make."""

import inspect
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.preprocessing import is_image_space, is_image_space_channels_first
from stable_baselines3.common.torch_layers import CombinedExtractor, FlattenExtractor, NatureCNN

from sb3_reinforce.common.observations import named_parts


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
    :param observation_space: Box, Discrete (from 0 on), MultiDiscrete or MultiBinary, or a Dict of these.
    :param action_space: Discrete (from 0 on), MultiDiscrete, MultiBinary or bounded Box.
    :raises ValueError: If SB3's policies can't serve one of them. The message names the part of a Dict, and what to do.
    """
    _check_kinds_of_observation(observation_space)
    _check_that_there_is_something("Observations", observation_space)
    for name, part in named_parts(observation_space).items():
        _check_numbering(f"the {name}", part, "gymnasium.wrappers.TransformObservation")
        if isinstance(part, spaces.Box) and part.shape == ():
            wrapper = "FlattenObservation" if isinstance(observation_space, spaces.Dict) else "ReshapeObservation"
            raise ValueError(
                f"Observations must have a dimension, but the {name} is a single number, {part}. Give it the shape (1,) with "
                f"gymnasium.wrappers.{wrapper}."
            )
    _check_order_of_channels(observation_space)
    _check_actions(action_space)


def _check_kinds_of_observation(space: spaces.Space) -> None:
    kinds = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)
    is_dict = isinstance(space, spaces.Dict)
    parts: dict[str, spaces.Space] = dict(space.spaces) if isinstance(space, spaces.Dict) else {"": space}
    not_served = {key: part for key, part in parts.items() if not isinstance(part, kinds)}
    if not not_served:
        return
    what = ", ".join(f"{key!r} is {part}" if is_dict else f"they are {part}" for key, part in not_served.items())
    raise ValueError(
        f"Observations must be Box, Discrete, MultiDiscrete or MultiBinary, or a Dict of these, but {what}. "
        + _advice_on_kinds(parts, not_served)
    )


def _check_that_there_is_something(what: str, space: spaces.Space) -> None:
    parts = named_parts(space)
    empty = [name for name, part in parts.items() if 0 in (part.shape or ())]
    if not parts or empty:
        raise ValueError(
            f"{what} must be at least one number, but they are {space}"
            + (f", in which the {empty[0]} is none" if len(parts) > 1 else "")
            + f". Leave out what is empty, or show a constant: gymnasium.wrappers.Transform{what.removesuffix('s')}."
        )


def _advice_on_kinds(parts: dict[str, spaces.Space], not_served: dict[str, spaces.Space]) -> str:
    """What to do about parts of an observation that are not served, so that no other error follows."""
    no_numbers = [key for key, part in not_served.items() if not _can_be_flattened(part)]
    if not no_numbers:
        return "Wrap the environment in gymnasium.wrappers.FlattenObservation."
    rest = {key: part for key, part in parts.items() if key not in no_numbers}
    if not rest:
        return "Make numbers of them: gymnasium.wrappers.TransformObservation(env, function, observation_space)."
    advice = f"Leave out what is no number: env = gymnasium.wrappers.FilterObservation(env, {list(rest)})."
    if len(no_numbers) < len(not_served):
        return f"{advice} Wrap that in gymnasium.wrappers.FlattenObservation."
    if any(is_image_space(part) and sorted(part.shape)[1] < NATURE_CNN_MIN_PIXELS for part in rest.values()):  # type: ignore[arg-type]
        return f"{advice} {_FOR_SMALL_IMAGES}"
    return advice


def _can_be_flattened(space: spaces.Space) -> bool:
    """Whether Gymnasium can make a vector of it that says what it says: the numbers of a text's letters do not."""
    if isinstance(space, (spaces.Dict, spaces.Tuple)):
        return all(map(_can_be_flattened, space.spaces.values() if isinstance(space, spaces.Dict) else space.spaces))
    try:
        return not isinstance(space, spaces.Text) and isinstance(spaces.flatten_space(space), spaces.Box)
    except NotImplementedError:  # a space of the environment's own
        return False


def _check_numbering(name: str, space: spaces.Space, wrapper: str) -> None:
    if isinstance(space, (spaces.Discrete, spaces.MultiDiscrete)) and np.any(space.start != 0):
        raise ValueError(
            f"Discrete values must start at 0, as everywhere in SB3, but {name} is {space}. Shift it with {wrapper}."
        )
    if isinstance(space, spaces.MultiDiscrete) and space.nvec.ndim > 1:
        raise ValueError(f"MultiDiscrete spaces must have one dimension, but {name} is {space}. Flatten it with {wrapper}.")


def _check_order_of_channels(space: spaces.Space) -> None:
    images = {name: part for name, part in named_parts(space).items() if is_image_space(part)}
    channels_first = {name: is_image_space_channels_first(part) for name, part in images.items()}
    if len(set(channels_first.values())) == 2:
        order = ", ".join(f"the {name} has them {'first' if first else 'last'}" for name, first in channels_first.items())
        raise ValueError(
            f"The images of a Dict must all have their channels first or all have them last, but {order}. Transpose some with "
            "gymnasium.wrappers.TransformObservation."
        )


def _check_actions(space: spaces.Space) -> None:
    if not isinstance(space, (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)):
        raise ValueError(
            f"Actions must be Discrete, MultiDiscrete, MultiBinary or a bounded Box, but they are {space}. Make them one of "
            "these with gymnasium.wrappers.TransformAction(env, function, action_space)."
        )
    _check_that_there_is_something("Actions", space)
    _check_numbering("the action", space, "gymnasium.wrappers.TransformAction")
    if isinstance(space, spaces.MultiBinary) and len(space.shape) > 1:
        raise ValueError(
            f"MultiBinary actions must have one dimension, but they are {space}. Flatten them with "
            "gymnasium.wrappers.TransformAction."
        )
    if isinstance(space, spaces.Box) and not (np.isfinite(space.low).all() and np.isfinite(space.high).all()):
        raise ValueError(
            f"Box actions must have finite bounds, but they are {space}. Give them some: "
            "gymnasium.wrappers.TransformAction(env, lambda action: action, gymnasium.spaces.Box(low, high))."
        )


NATURE_CNN_MIN_PIXELS = 36
"""Smaller images leave nothing after the three convolutions of SB3's NatureCNN."""
_FOR_SMALL_IMAGES = (
    "Use a linear policy, which takes images of any size, or gymnasium.wrappers.FlattenObservation with 'MlpPolicy', or give "
    "policy_kwargs=dict(features_extractor_class=...) a network of your own."
)


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
        _check_that_it_is_an_image(policy, policy_kwargs, observation_space)
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
    if extractor in (NatureCNN, CombinedExtractor):
        for name, part in named_parts(observation_space).items():
            if is_image_space(part, normalized_image=_takes_any_numbers(policy_kwargs)):
                _check_size(policy, name, part)


def _takes_any_numbers(policy_kwargs: dict[str, Any]) -> bool:
    """Whether SB3 takes every Box of three dimensions for an image, else those of uint8 from 0 to 255 only."""
    extractor_kwargs = policy_kwargs.get("features_extractor_kwargs") or {}
    return not policy_kwargs.get("normalize_images", True) or bool(extractor_kwargs.get("normalized_image", False))


def _check_that_it_is_an_image(
    policy: type[BasePolicy], policy_kwargs: dict[str, Any], observation_space: spaces.Space
) -> None:
    if not is_image_space(observation_space, normalized_image=_takes_any_numbers(policy_kwargs)):
        instead = "MultiInputPolicy" if isinstance(observation_space, spaces.Dict) else "MlpPolicy"
        raise ValueError(
            f"{policy.__name__} serves images (a Box of three dimensions, uint8 from 0 to 255; with "
            f"policy_kwargs=dict(normalize_images=False), any other numbers), but these observations are {observation_space}. "
            f"Use '{instead}' or a linear policy."
        )


def _check_size(policy: type[BasePolicy], name: str, image: spaces.Box) -> None:
    channels, height, width = image.shape
    if min(height, width) >= NATURE_CNN_MIN_PIXELS:
        return
    advice = _FOR_SMALL_IMAGES
    if width < min(channels, height):  # SB3 moves the channels of uint8 images only
        advice = "If its channels come last, put them first with gymnasium.wrappers.TransformObservation."
    elif name == "observation":
        advice = f"Enlarge it with gymnasium.wrappers.ResizeObservation(env, (84, 84)). {advice}"
    raise ValueError(
        f"The network of {policy.__name__} needs images of {NATURE_CNN_MIN_PIXELS} by {NATURE_CNN_MIN_PIXELS} pixels or more, "
        f"but the {name} has {channels} channels of {height} by {width}: {image}. {advice}"
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
