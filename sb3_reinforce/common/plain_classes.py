"""
The classes that a file may name. A name is looked up here, never imported: a file can choose among these, and nothing else.
"""

import importlib
import inspect
from typing import Any

import torch as th
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor

CLASSES: dict[str, type] = {
    "sb3_reinforce.policies": BasePolicy,
    "sb3_reinforce.features": BaseFeaturesExtractor,
    "stable_baselines3.common.policies": BasePolicy,
    "stable_baselines3.common.torch_layers": BaseFeaturesExtractor,
    "stable_baselines3.common.sb2_compat.rmsprop_tf_like": th.optim.Optimizer,
    "torch.nn": th.nn.Module,
    "torch.optim": th.optim.Optimizer,
}
"""Modules, and of what kind those of their classes must be that a file may name: what a model is made with."""

OBJECTS: dict[str, str] = {
    "ConstantSchedule": "stable_baselines3.common.utils",
    "EpsilonSchedule": "sb3_reinforce.rollouts.epsilon",
    "FloatSchedule": "stable_baselines3.common.utils",
    "LinearBaseline": "sb3_reinforce.gradient.baselines",
    "LinearSchedule": "stable_baselines3.common.utils",
    "RunningMeanStd": "stable_baselines3.common.running_mean_std",
    "SimpleLinearSchedule": "rl_zoo3.utils",
    "StepMemory": "sb3_reinforce.gradient.step_memory",
}
"""Classes of objects whose attributes say all about them, and the modules they are in."""


def class_of_name(name: str) -> type:
    """
    :param name: A module of :data:`CLASSES`, a dot, and the name of a class in it.
    :return: The class.
    :raises ValueError: If there is none, or it is of another kind.
    """
    module, _, attribute = name.rpartition(".")
    kind = CLASSES.get(module)
    found = None if kind is None else vars(importlib.import_module(module)).get(attribute)
    if kind is None or not inspect.isclass(found) or not issubclass(found, kind):
        raise ValueError(f"a model is not made with {name!r}")
    return found


def name_of_class(cls: type) -> str | None:
    """
    :param cls: A class.
    :return: The name from which :func:`class_of_name` gets it; None if it is none of these.
    """
    for module, kind in CLASSES.items():
        if issubclass(cls, kind) and vars(importlib.import_module(module)).get(cls.__name__) is cls:
            return f"{module}.{cls.__name__}"
    return None


def object_of_state(name: str, state: dict[str, Any]) -> Any:
    """
    :param name: One of :data:`OBJECTS`.
    :param state: Its attributes.
    :return: An object made with those of them that are arguments, and then given all.
    :raises ValueError: If it has not just these attributes, or takes no such values.
    """
    module = OBJECTS.get(name)
    if module is None:
        raise ValueError(f"{name!r} is no object that a file may have")
    cls = getattr(importlib.import_module(module), name)
    arguments = {key: state[key] for key in inspect.signature(cls).parameters if key in state}
    made = cls(**arguments)
    if vars(made).keys() != state.keys():
        raise ValueError(f"{name} has the attributes {list(vars(made))}, not {list(state)}")
    vars(made).update(state)
    return made
