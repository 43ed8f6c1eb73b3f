"""
Values as JSON has them, and back, so that reading them runs nothing: what is made of None, bools, numbers, texts, lists,
tuples, dictionaries, deques, arrays and NumPy's scalars, paths, Gymnasium's spaces, and the classes and objects of
:mod:`~sb3_reinforce.common.plain_classes`.
"""

import base64
import math
import pathlib
import re
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces

from sb3_reinforce.common.plain_classes import OBJECTS, class_of_name, name_of_class, object_of_state

_KIND = "__kind__"
"""The key that tells an object of JSON that stands for something from a dictionary."""
_MAX_DEPTH = 50
_NUMBERS = re.compile(r"[<>|][biufc]\d{1,2}")

Json = Any
"""What the module json takes."""


class NotPlainError(ValueError):
    """
    There is no such form of a value.

    :param where: Which part of which value.
    :param value: The part.
    """

    def __init__(self, where: str, value: Any) -> None:
        what = value if isinstance(value, type) else type(value)
        super().__init__(f"{where} ({what.__module__}.{what.__qualname__})")


@dataclass(frozen=True)
class _Place:
    """
    Where a value is.

    :param name: What messages call it.
    :param depth: How many others it stands in.
    """

    name: str
    depth: int = 0

    def write(self, part: Any, name: str) -> Json:
        """A part of the value that is here."""
        return _write(part, _Place(f"{self.name}{name}", self.depth + 1))

    def write_each(self, parts: Iterable[Any]) -> list[Json]:
        return [self.write(part, f"[{i}]") for i, part in enumerate(parts)]

    def write_pairs(self, mapping: Mapping[Any, Any]) -> list[Json]:
        return [[self.write(key, f" key {key!r}"), self.write(part, f"[{key!r}]")] for key, part in mapping.items()]

    def write_state(self, state: Mapping[str, Any]) -> dict[str, Json]:
        return {key: self.write(part, f".{key}") for key, part in state.items()}


def to_plain(value: Any, name: str = "value") -> Json:
    """
    :param value: Any value.
    :param name: What messages call it.
    :return: What JSON can say, from which :func:`from_plain` makes the same value.
    :raises NotPlainError: If there is none.
    """
    return _write(value, _Place(name))


def _write(value: Any, place: _Place) -> Json:
    if value is None or type(value) in (bool, int, float, str):
        return value
    writer = _writer_of(value)
    if writer is None or place.depth > _MAX_DEPTH:  # it may hold itself
        raise NotPlainError(place.name, value)
    return writer(value, place)


def _writer_of(value: Any) -> Callable[[Any, _Place], Json] | None:
    if type(value) in _WRITERS:
        return _WRITERS[type(value)]
    if isinstance(value, (np.number, np.bool_)):
        return _array_to_plain
    if isinstance(value, pathlib.PurePath):
        return lambda path, place: {_KIND: "path", "path": str(path)}
    if isinstance(value, type):
        return _class_to_plain
    return _object_to_plain if OBJECTS.get(type(value).__name__) == type(value).__module__ else None


def _dict_to_plain(value: dict[Any, Any], place: _Place) -> Json:
    if _KIND in value or not all(type(key) is str for key in value):
        return {_KIND: "dict", "items": place.write_pairs(value)}
    return {key: place.write(part, f"[{key!r}]") for key, part in value.items()}


def _array_to_plain(value: Any, place: _Place) -> Json:
    if _NUMBERS.fullmatch(value.dtype.str) is None:
        raise NotPlainError(place.name, value)
    kind = "array" if isinstance(value, np.ndarray) else "scalar"
    data = base64.b64encode(value.tobytes()).decode()
    return {_KIND: kind, "dtype": value.dtype.str, "shape": list(value.shape), "data": data}


def _box_to_plain(space: spaces.Box, place: _Place) -> Json:
    bounds: dict[str, Any] = {"low": space.low, "high": space.high}
    if space.dtype.kind != "f":  # where infinity is the largest number, it is still remembered
        bounds |= {"bounded_below": space.bounded_below, "bounded_above": space.bounded_above}
    return {_KIND: "Box", **place.write_state(bounds)}


def _class_to_plain(cls: type, place: _Place) -> Json:
    name = name_of_class(cls)
    if name is None:
        raise NotPlainError(place.name, cls)
    return {_KIND: "class", "name": name}


def _object_to_plain(value: Any, place: _Place) -> Json:
    try:
        object_of_state(type(value).__name__, vars(value))
    except (TypeError, ValueError) as error:  # somebody has given it more
        raise NotPlainError(place.name, value) from error
    return {_KIND: "object", "class": type(value).__name__, "state": place.write_state(vars(value))}


_WRITERS: dict[type, Callable[[Any, _Place], Json]] = {
    list: lambda value, place: place.write_each(value),
    dict: _dict_to_plain,
    tuple: lambda value, place: {_KIND: "tuple", "items": place.write_each(value)},
    deque: lambda value, place: {_KIND: "deque", "items": place.write_each(value), "maxlen": value.maxlen},
    np.ndarray: _array_to_plain,
    np.memmap: _array_to_plain,
    spaces.Box: _box_to_plain,
    spaces.Discrete: lambda space, place: {
        _KIND: "Discrete",
        "n": int(space.n),
        "start": int(space.start),
        "dtype": space.dtype.str,
    },
    spaces.MultiDiscrete: lambda space, place: {
        _KIND: "MultiDiscrete",
        **place.write_state({"nvec": space.nvec, "start": space.start}),
    },
    spaces.MultiBinary: lambda space, place: {_KIND: "MultiBinary", "n": place.write(space.n, ".n")},
    spaces.Dict: lambda space, place: {_KIND: "Dict", "parts": place.write_pairs(space.spaces)},
}


def from_plain(value: Json) -> Any:
    """
    :param value: As from :func:`to_plain`.
    :return: The value. Nothing that the file names is imported or called but what :func:`to_plain` would have written.
    :raises Exception: Of many kinds, if it is damaged: see :func:`~sb3_reinforce.common.archives.damage_reported`.
    """
    if isinstance(value, list):
        return [from_plain(part) for part in value]
    if not isinstance(value, dict):
        return value
    fields = {key: from_plain(part) for key, part in value.items()}
    kind = fields.pop(_KIND, None)
    return fields if kind is None else _MAKERS[kind](**fields)


def _make_array(dtype: str, shape: list[int], data: str) -> np.ndarray:
    if _NUMBERS.fullmatch(dtype) is None:
        raise ValueError(f"an array can't be of the type {dtype!r}")
    content = base64.b64decode(data, validate=True)
    if any(n < 0 for n in shape) or math.prod(shape) * np.dtype(dtype).itemsize != len(content):
        raise ValueError(f"an array of shape {shape} and type {dtype} does not have {len(content)} bytes")
    return np.frombuffer(content, dtype).reshape(shape).copy()


def _make_box(low: np.ndarray, high: np.ndarray, **bounded: np.ndarray) -> spaces.Box:
    space = spaces.Box(low, high, dtype=low.dtype.type)
    for name in ("bounded_below", "bounded_above"):
        if name in bounded:
            part = bounded.pop(name)
            if part.shape != low.shape or part.dtype != bool:
                raise ValueError(f"{name} does not fit the space {space}")
            setattr(space, name, part)
    if bounded:
        raise ValueError(f"a Box has no {list(bounded)}")
    return space


def _make_discrete(n: int, start: int, dtype: str) -> spaces.Discrete:
    # The argument dtype is newer than the oldest Gymnasium that is served
    newer: dict[str, Any] = {} if np.dtype(dtype) == np.int64 else {"dtype": np.dtype(dtype).type}
    return spaces.Discrete(n, start=start, **newer)


_MAKERS: dict[str, Callable[..., Any]] = {
    "dict": lambda items: dict(items),
    "tuple": lambda items: tuple(items),
    "deque": lambda items, maxlen: deque(items, maxlen),
    "array": _make_array,
    "scalar": lambda dtype, shape, data: _make_array(dtype, shape, data)[()],
    "path": lambda path: pathlib.Path(path),
    "class": lambda name: class_of_name(name),
    "object": lambda state, **name: object_of_state(name["class"], state),
    "Box": _make_box,
    "Discrete": _make_discrete,
    "MultiDiscrete": lambda nvec, start: spaces.MultiDiscrete(nvec, dtype=nvec.dtype.type, start=start),
    "MultiBinary": lambda n: spaces.MultiBinary(n),
    "Dict": lambda parts: spaces.Dict(OrderedDict(parts)),  # in the order that it had
}
