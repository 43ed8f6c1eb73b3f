"""
The expressions of the RL Zoo's YAML files. rl_zoo3 evaluates them as Python, so whoever writes such a file can run anything.
What they nearly always say is read here without evaluating anything.
"""

import ast
import contextlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

import sb3_reinforce
from sb3_reinforce.common.plain_classes import class_of_name

_MODULES = {
    "nn": "torch.nn",
    "th.nn": "torch.nn",
    "torch.nn": "torch.nn",
    "th.optim": "torch.optim",
    "torch.optim": "torch.optim",
}
_CALLABLE: dict[str, Callable[..., Any]] = {"dict": dict, "EpsilonSchedule": sb3_reinforce.EpsilonSchedule}


class NotPlainExpressionError(Exception):
    """An expression says more than can be read without evaluating it."""


def read_expression(text: str) -> Any:
    """
    :param text: For example ``"dict(net_arch=[64, 64], activation_fn=nn.ReLU)"``: numbers, texts, lists, tuples, dictionaries,
        classes of ``nn`` and ``th.optim``, our own policies and features, and ``EpsilonSchedule`` with arguments like these.
    :return: Its value.
    :raises NotPlainExpressionError: If there is anything else in it.
    :raises Exception: If ``EpsilonSchedule`` or ``dict`` refuses its arguments.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise NotPlainExpressionError(f"{text!r} is no expression: {error}") from error
    try:
        return _value(tree.body)
    except RecursionError as error:
        raise NotPlainExpressionError(f"{text[:50]!r} is too deep") from error


def evaluate(text: str, names: Mapping[str, Any] | None = None) -> Any:
    """
    A Python expression of a user's own, in which the public names of sb3_reinforce, ``nn``, ``th`` and ``np`` stand. It is
    evaluated, as rl_zoo3 does, if it says more than :func:`read_expression` can read: it may run anything.

    :param text: For example ``"dict(net_arch=[64], activation_fn=nn.ReLU)"``.
    :param names: More names that may stand in it.
    :return: Its value.
    :raises ValueError: If it has none.
    """
    ours = {name: getattr(sb3_reinforce, name) for name in sb3_reinforce.__all__}
    try:
        with contextlib.suppress(NotPlainExpressionError):
            return read_expression(text)
        return eval(text, {"nn": torch.nn, "th": torch, "torch": torch, "np": np, **(names or {}), **ours})
    except Exception as error:
        raise ValueError(f"The hyperparameter {text!r} can't be evaluated: {error}") from error


def _value(node: ast.expr) -> Any:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return -value
        case ast.List(elts=parts):
            return [_value(part) for part in parts]
        case ast.Tuple(elts=parts):
            return tuple(_value(part) for part in parts)
        case ast.Dict(keys=keys, values=values) if None not in keys:
            return {_value(key): _value(value) for key, value in zip(keys, values, strict=True) if key is not None}
        case ast.Call(func=ast.Name(id=name), args=args, keywords=keywords) if name in _CALLABLE:
            return _CALLABLE[name](*map(_value, args), **{_name_of(word): _value(word.value) for word in keywords})
        case ast.Attribute() | ast.Name():
            return _class(ast.unparse(node))
    raise NotPlainExpressionError(f"{ast.unparse(node)!r} has to be evaluated")


def _name_of(word: ast.keyword) -> str:
    if word.arg is None:
        raise NotPlainExpressionError(f"{ast.unparse(word.value)!r} has to be evaluated")
    return word.arg


def _class(name: str) -> type:
    module, _, attribute = name.rpartition(".")
    homes = [_MODULES[module]] if module in _MODULES else []
    if module == "" and attribute in sb3_reinforce.__all__:
        homes = ["sb3_reinforce.policies", "sb3_reinforce.features"]
    for home in homes:
        try:
            return class_of_name(f"{home}.{attribute}")
        except ValueError:
            continue
    raise NotPlainExpressionError(f"{name!r} is no class that is known")
