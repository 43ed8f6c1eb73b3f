"""The arguments that both algorithms take as SB3 algorithms, and the policy that is made of them."""

import inspect
from typing import Any

import gymnasium as gym
import torch as th
from gymnasium import spaces
from gymnasium.vector import VectorEnv
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.common.type_aliases import Schedule
from torch import nn

from sb3_reinforce.common.constraints import (
    BOOLEAN,
    CALLABLE,
    MAPPING,
    NONE,
    PATH,
    SEED,
    TEXT,
    Interval,
    Table,
    Test,
    check_arguments,
    shown,
    subclass_of,
)


def _is_environment(value: Any) -> bool:
    """Also one of the old gym, which SB3 wraps, and whatever else has an environment's methods."""
    has_parts = all(hasattr(value, part) for part in ("reset", "step", "observation_space", "action_space"))
    return isinstance(value, gym.Env) or (has_parts and not isinstance(value, VectorEnv))


def _is_device(value: Any) -> bool:
    try:
        return isinstance(value, th.device) or value == "auto" or (isinstance(value, str) and th.device(value) is not None)
    except RuntimeError:
        return False


def _are_sizes(value: Any) -> bool:
    size = Interval(1, integer=True)
    if isinstance(value, dict):
        return set(value) <= {"pi", "vf"} and all(map(_are_sizes, value.values()))
    return isinstance(value, (list, tuple)) and all(map(size.allows, value))


def _are_sizes_as_they_were(value: Any) -> bool:
    """A dict in a list, which SB3 still takes."""
    return isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict) and _are_sizes(value[0])


_ENVIRONMENT = Test(
    "the name of a registered environment, an environment of Gymnasium or a VecEnv of SB3 (make_fast_vec_env or "
    "GymnasiumVecEnv make one of Gymnasium's VectorEnv)",
    _is_environment,
)

ALGORITHM: Table = {
    "policy": [Test("the name of a policy", TEXT.allows), subclass_of(ActorCriticPolicy, "a subclass of ActorCriticPolicy")],
    "env": [TEXT, _ENVIRONMENT, NONE],
    "stats_window_size": [Interval(1, integer=True)],
    "tensorboard_log": [PATH, NONE],
    "policy_kwargs": [MAPPING, NONE],
    "verbose": [Interval(0, integer=True), BOOLEAN],
    "seed": [SEED, NONE],
    "device": [Test("a device of PyTorch ('cpu', 'cuda', 'auto')", _is_device)],
    "_init_setup_model": [BOOLEAN],
}
"""Of an algorithm's constructor."""

LEARN: Table = {
    "total_timesteps": [Interval(0)],
    "callback": [
        Test("a function", lambda value: callable(value) and not isinstance(value, type)),
        Test("a callback", lambda value: isinstance(value, BaseCallback)),
        Test("a list of callbacks", lambda value: isinstance(value, list) and all(isinstance(v, BaseCallback) for v in value)),
        NONE,
    ],
    "log_interval": [Interval(1, integer=True), NONE],
    "tb_log_name": [TEXT],
    "reset_num_timesteps": [BOOLEAN],
    "progress_bar": [BOOLEAN],
}
"""Of ``learn``."""

_SWITCHES_OF_POLICIES = (
    "ortho_init",
    "use_sde",
    "full_std",
    "use_expln",
    "squash_output",
    "share_features_extractor",
    "normalize_images",
)
_POLICY: Table = {
    "net_arch": [
        Test("a list of sizes of layers, at least 1", _are_sizes),
        Test("a dict of two such lists, 'pi' and 'vf'", _are_sizes_as_they_were),
        NONE,
    ],
    "activation_fn": [
        Test("a class of modules, such as torch.nn.Tanh", lambda value: callable(value) and not isinstance(value, nn.Module))
    ],
    "log_std_init": [Interval()],
    "features_extractor_class": [Test("a class of features extractors", callable), NONE],
    "features_extractor_kwargs": [MAPPING, NONE],
    "optimizer_class": [Test("a class of optimizers, such as torch.optim.Adam", callable)],
    "optimizer_kwargs": [MAPPING, NONE],
    "phi": [CALLABLE, NONE],
    **{name: [BOOLEAN] for name in _SWITCHES_OF_POLICIES},
}
"""What SB3's and our own policies take as ``policy_kwargs``."""
_FILLED_IN = ("observation_space", "action_space", "lr_schedule")
_OF_POLICIES = ("stable_baselines3.", "sb3_reinforce.")


def make_policy(
    policy_class: type[BasePolicy],
    observation_space: spaces.Space,
    action_space: spaces.Space,
    lr_schedule: Schedule,
    policy_kwargs: dict[str, Any],
) -> ActorCriticPolicy:
    """
    :param policy_class: Its class.
    :param observation_space: Its observations.
    :param action_space: Its actions.
    :param lr_schedule: Its learning rate.
    :param policy_kwargs: What else it is made with.
    :return: The policy.
    :raises ValueError: If it can't be made with that. The message names the argument, what came, and what is allowed.
    """
    owners = _owners_of_arguments(policy_class)
    ours = {name: value for name, value in policy_kwargs.items() if owners.get(name, "").startswith(_OF_POLICIES)}
    check_arguments(_POLICY, ours, "policy_kwargs")
    try:
        policy: Any = policy_class(observation_space, action_space, lr_schedule, **policy_kwargs)
        return policy
    except (TypeError, AssertionError) as error:
        unknown = [name for name in policy_kwargs if name not in owners]
        if unknown:  # it may read further ones itself: so this is asked only now
            raise ValueError(
                f"policy_kwargs has {', '.join(map(repr, unknown))}, which {policy_class.__name__} does not take. It takes "
                f"{', '.join(name for name in owners if name not in _FILLED_IN)}.{_who_takes(unknown)}"
            ) from error
        raise ValueError(
            f"{policy_class.__name__} can't be made with policy_kwargs={shown(policy_kwargs)}: {error}"
        ) from error


def _owners_of_arguments(policy_class: type) -> dict[str, str]:
    """By the name of each argument of a class, the module in which it is."""
    owners: dict[str, str] = {}
    for parent in policy_class.__mro__:
        if "__init__" in vars(parent):
            parameters = list(inspect.signature(vars(parent)["__init__"]).parameters.values())[1:]
            named = [each.name for each in parameters if each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)]
            owners = {**dict.fromkeys(named, f"{parent.__module__}."), **owners}
            if not any(each.kind is each.VAR_KEYWORD for each in parameters):
                break
    return owners


def _who_takes(unknown: list[str]) -> str:
    return " phi is for the linear policies, such as 'LinearSoftmaxPolicy'." if "phi" in unknown else ""


def check_that_there_is_an_environment(env: Any, is_needed: bool) -> None:
    """
    :param env: As given to a constructor.
    :param is_needed: Whether a model is made at once.
    :raises ValueError: If it is needed and is None.
    """
    if env is None and is_needed:
        raise ValueError(f"env must be {_ENVIRONMENT}, but got None. A saved model is loaded without one: see load.")
