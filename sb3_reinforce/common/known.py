"""
What is known exactly: the one place that decides whether a short cut gives what the policy itself would give.

Acting in NumPy and scores in closed form are such short cuts. They are taken only where every part between
observation and action is of a type known here by identity, with no method overridden, no hook, no parametrization
and nothing replaced. Everywhere else torch acts, and autograd differentiates.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any, TypeVar

from gymnasium import spaces
from stable_baselines3.common.distributions import (
    BernoulliDistribution,
    CategoricalDistribution,
    DiagGaussianDistribution,
    MultiCategoricalDistribution,
    make_proba_distribution,
)
from stable_baselines3.common.policies import ActorCriticCnnPolicy, ActorCriticPolicy, MultiInputActorCriticPolicy
from stable_baselines3.common.torch_layers import FlattenExtractor, MlpExtractor
from torch import nn
from torch.nn.modules import module as torch_module

AnyType = TypeVar("AnyType", bound=type)

_KNOWN: set[type] = {
    ActorCriticPolicy,
    ActorCriticCnnPolicy,
    MultiInputActorCriticPolicy,
    FlattenExtractor,
    MlpExtractor,
    nn.Sequential,
    nn.Flatten,
    nn.Linear,
    nn.Identity,
    nn.Tanh,
    nn.ReLU,
    CategoricalDistribution,
    MultiCategoricalDistribution,
    BernoulliDistribution,
    DiagGaussianDistribution,
}
# What a subclass of a policy may override without a change of how it acts: what it builds is looked at part by part
_BUILDERS = {
    "__init__",
    "_build",
    "_build_mlp_extractor",
    "_get_constructor_parameters",
    "_dummy_schedule",
    "init_weights",
    "make_features_extractor",
    "predict_values",
}
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_GLOBAL_HOOKS = tuple(f"_global{name}" for name in _HOOKS)
_HOOKS_OF_PARAMETERS = ("_backward_hooks", "_post_accumulate_grad_hooks")


def known_exactly(cls: AnyType) -> AnyType:
    """
    Class decorator: what the class computes is known, and a short cut that goes by its type is right.

    :param cls: A policy, a module or a distribution. Its subclasses are not known by this.
    """
    _KNOWN.add(cls)
    return cls


def all_is_known(module: nn.Module) -> bool:
    """
    :param module: A module with others inside, such as a features extractor.
    :return: Whether what it computes is known: all of them are.
    """
    return all(is_known(part) for part in module.modules())


def is_known(part: Any) -> bool:
    """
    :param part: A module or a distribution.
    :return: Whether what it computes itself is known: its type is, it has no hooks, and no method of its own.
    """
    if type(part) is nn.Flatten and (part.start_dim, part.end_dim) != (1, -1):
        return False
    return type(part) in _KNOWN and not _has_methods_of_its_own(part) and not has_hooks(part)


def acts_as_known(policy: Any) -> bool:
    """
    :param policy: Any policy.
    :return: Whether it goes from observation to distribution in the way of SB3's ``ActorCriticPolicy``, whatever the modules
        that it goes through.
    """
    return (
        isinstance(policy, ActorCriticPolicy)
        and not any(_overridden_methods(type(policy)))
        and not _has_methods_of_its_own(policy)
        and not has_hooks(policy)
        and is_known(policy.action_dist)
        and _is_of_space(policy.action_dist, policy.action_space)
    )


def overrides(policy: Any, method: str) -> bool:
    """
    :param policy: Any policy.
    :param method: Name of a method of ``ActorCriticPolicy``.
    :return: Whether the policy's is another one.
    """
    return method in vars(policy) or getattr(type(policy), method, None) is not getattr(ActorCriticPolicy, method)


def has_hooks(part: Any) -> bool:
    """
    :param part: Any object.
    :return: Whether torch calls a function of somebody's when the module, or any module, or a gradient of its own
        parameters is computed.
    """
    if not isinstance(part, nn.Module):
        return False
    if any(getattr(part, name) for name in _HOOKS) or any(getattr(torch_module, name) for name in _GLOBAL_HOOKS):
        return True
    parameters = (parameter for parameter in part._parameters.values() if parameter is not None)
    return any(getattr(parameter, name, None) for parameter in parameters for name in _HOOKS_OF_PARAMETERS)


def _overridden_methods(policy_class: type) -> Iterator[str]:
    """What a class, or another one beside those that are known, changes of these, beside how its parts are built."""
    known = next(cls for cls in policy_class.__mro__ if cls in _KNOWN)
    for cls in policy_class.__mro__:
        if cls in _KNOWN or cls in ActorCriticPolicy.__mro__:
            continue
        for name, value in vars(cls).items():
            is_method = callable(value) or isinstance(value, (property, classmethod, staticmethod))
            if is_method and name not in _BUILDERS and hasattr(known, name):
                yield name


def _has_methods_of_its_own(part: Any) -> bool:
    """Whether a method of the class is replaced in the object."""
    return not _methods(type(part)).isdisjoint(vars(part))  # type: ignore[arg-type]


@cache
def _methods(cls: Any) -> frozenset[str]:
    return frozenset(name for name in dir(cls) if callable(getattr(cls, name, None)))


def _is_of_space(distribution: Any, action_space: spaces.Space) -> bool:
    """Whether it is what SB3 makes for the space, or a subclass known exactly, with as many choices."""
    expected = make_proba_distribution(action_space)
    sizes = ("action_dim", "action_dims")
    return isinstance(distribution, type(expected)) and all(
        list(_flat(getattr(distribution, size, None))) == list(_flat(getattr(expected, size, None))) for size in sizes
    )


def _flat(size: Any) -> list[Any]:
    return list(size) if hasattr(size, "__iter__") else [size]
