"""State dicts that are to be taken over: whether they fit, and how to take all of them or none."""

import copy
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch as th

_COMPILED = "_orig_mod."
"""What torch.compile puts before the names of the parameters of a module that it wraps."""
_ADVICE = "Take over the policy alone: model.policy.load_state_dict(parameters['policy'])."
_STATES_LIKE_PARAMETERS = (
    th.optim.Adadelta,
    th.optim.Adagrad,
    th.optim.Adam,
    th.optim.Adamax,
    th.optim.NAdam,
    th.optim.RAdam,
    th.optim.RMSprop,
    th.optim.SGD,
)
"""Optimizers that keep numbers, and tensors of the shape of the parameter that they belong to (Adafactor keeps others)."""


def plain_name(name: str) -> str:
    """
    :param name: Of a parameter.
    :return: The name that it has in a module that is not compiled.
    """
    return str(name).replace(_COMPILED, "")  # a file may have numbers as names


def check_state(name: str, own: dict[str, Any], given: dict[str, Any]) -> None:
    """
    :param name: Of the module.
    :param own: Its state dict.
    :param given: The one that it is to take over.
    :raises ValueError: If that has other names or shapes.
    """
    missing, unknown = sorted(own.keys() - given.keys()), sorted(given.keys() - own.keys(), key=str)
    common = [key for key in own if key in given]
    no_tensors = [key for key in common if not isinstance(given[key], th.Tensor)]
    reshaped = [key for key in common if key not in no_tensors and own[key].shape != given[key].shape]
    differences = [
        *(f"{key} is missing" for key in missing),
        *(f"{key} is not known" for key in unknown),
        *(f"{key} is no tensor but {given[key]!r:.50}" for key in no_tensors),
        *(f"{key} has the shape {tuple(given[key].shape)} instead of {tuple(own[key].shape)}" for key in reshaped),
    ]
    if differences:
        more = f", and {len(differences) - 3} more" if len(differences) > 3 else ""
        raise ValueError(
            f"The parameters are not those of this {name}: {'; '.join(differences[:3])}{more}. Make the model with the "
            "policy, policy_kwargs and spaces of the one that they come from."
        )


def check_optimizer_state(name: str, own: th.optim.Optimizer, given: dict[str, Any]) -> None:
    """
    :param name: Of the optimizer.
    :param own: The optimizer.
    :param given: The one that it is to take over.
    :raises ValueError: If that is of another kind of optimizer. (torch would take it over, and fail at the next step.)
    """
    if not _is_state_of_optimizer(own, given):
        raise ValueError(f"The state of {name} is not that of an optimizer of these parameters. {_ADVICE}")
    own_settings, settings = own.state_dict()["param_groups"][0], given["param_groups"][0]
    # A version of torch may add settings, or drop some; another optimizer lacks some and has others
    lacking, others = own_settings.keys() - settings.keys(), settings.keys() - own_settings.keys()
    if lacking and others:
        raise ValueError(
            f"The state of {name} is that of another kind of optimizer, with {sorted(others)} instead of {sorted(lacking)}. "
            + _ADVICE
        )


def _is_state_of_optimizer(own: th.optim.Optimizer, given: dict[str, Any]) -> bool:
    parameters = [parameter for group in own.param_groups for parameter in group["params"]]
    own_settings = own.state_dict()["param_groups"][0]
    try:
        settings = given["param_groups"][0]
        numbers = [number for group in given["param_groups"] for number in group["params"]]
        states = [given["state"].get(number, {}) for number in numbers]
        fit = map(_is_state_of, states, parameters) if isinstance(own, _STATES_LIKE_PARAMETERS) else ()
        alike = (_is_like(settings[key], own_settings[key]) for key in settings.keys() & own_settings.keys())
        return len(numbers) == len(parameters) and all(fit) and all(alike)
    except (AttributeError, IndexError, KeyError, TypeError):
        return False


def _is_like(value: Any, own: Any) -> bool:
    """Whether a setting may be what is given."""
    numbers = (bool, int, float, th.Tensor)
    return value is None or own is None or isinstance(value, numbers if isinstance(own, numbers) else type(own))


def _is_state_of(state: dict[str, Any], parameter: th.Tensor) -> bool:
    tensors = [value for value in state.values() if isinstance(value, th.Tensor)]
    return all(tensor.numel() == 1 or tensor.shape == parameter.shape for tensor in tensors)


@contextmanager
def all_or_nothing(parts: Iterable[Any]) -> Iterator[None]:
    """
    Within, modules and optimizers take states over. If one can't, all have their old ones again.

    :param parts: The modules and optimizers.
    :raises ValueError: Instead of any error of torch.
    """
    before = [(part, copy.deepcopy(part.state_dict())) for part in parts]
    try:
        yield
    except Exception as error:
        for part, state in before:
            part.load_state_dict(state)
        if isinstance(error, ValueError):
            raise
        raise ValueError(f"The parameters can't be taken over ({type(error).__name__}: {error}).") from error
