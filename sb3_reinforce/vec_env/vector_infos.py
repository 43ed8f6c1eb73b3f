"""Gymnasium's vector infos: values of all sub-environments by key, with a mask under ``_key`` of those that have it."""

from functools import partial
from typing import Any, TypeAlias

import numpy as np
from gymnasium.vector import VectorEnv

Info: TypeAlias = dict[str, Any]
_FLOAT64 = np.dtype(np.float64)


def info_of(vector_infos: Info, index: int) -> Info:
    """
    One sub-environment's part of a vector environment's infos.

    :param vector_infos: Values for all sub-environments by key. A mask under ``_key`` says which of them have it;
        without a mask, all have it. A number or a text is of the vector environment as a whole.
    :param index: Number of the sub-environment.
    :return: Its own info.
    """
    masks = {f"_{key}" for key in vector_infos}
    info = {}
    for key, values in vector_infos.items():
        if key in masks:
            continue
        mask = vector_infos.get(f"_{key}")
        if mask is None or mask[index]:
            info[key] = _value_of(values, index)
    return info


def _value_of(values: Any, index: int) -> Any:
    if isinstance(values, dict):
        return info_of(values, index)
    is_of_all = isinstance(values, (str, bytes)) or not hasattr(values, "__len__") or getattr(values, "ndim", 1) == 0
    return values if is_of_all else values[index]


def allow_values_of_several_types(vector_env: VectorEnv) -> None:
    """
    Let the sub-environments of a ``SyncVectorEnv`` or ``AsyncVectorEnv`` have values of different types under one key.

    Gymnasium collects a step's values in an array of the first one's type. It casts another number to that type, 2.5
    perhaps to 2, and fails on anything else. So it fails when an environment has a number under ``"episode"`` and
    ``Monitor`` puts a dict there at an episode's end. With this, such values share an array of objects. All
    others are collected as before.

    :param vector_env: The vector environment; it is changed.
    """
    vector_env._add_info = partial(_add_info, vector_env._add_info)  # type: ignore[method-assign]


def _add_info(add_values_of_one_type: Any, vector_infos: Info, env_info: Info, env_num: int) -> Info:
    if not vector_infos:
        add_values_of_one_type(vector_infos, env_info, env_num)
        return vector_infos
    for key, value in env_info.items():
        values: Any = vector_infos.get(key)
        mask = vector_infos.get(f"_{key}")
        if mask is None or (isinstance(values, dict) and isinstance(value, dict)):
            add_values_of_one_type(vector_infos, {key: value}, env_num)
            continue
        if not _is_of_their_type(value, values):
            vector_infos[key] = values = _as_objects(values, mask)
        values[env_num] = value
        mask[env_num] = True
    return vector_infos


def _is_of_their_type(value: Any, values: Any) -> bool:
    """Whether a value can stand among those of other sub-environments and stay what it is."""
    if isinstance(values, dict) or isinstance(value, dict):
        return False
    if values.dtype == object:
        return True
    if type(value) is float:  # as most are
        return values.dtype == _FLOAT64 and values.ndim == 1
    if not isinstance(value, (bool, int, float, complex, np.generic, np.ndarray)):
        return False
    array = np.asarray(value)
    return array.dtype == values.dtype and array.shape == values.shape[1:]


def _as_objects(values: Any, mask: np.ndarray) -> np.ndarray:
    """The values of those sub-environments that have one, each as it is."""
    objects = np.full(len(mask), None, dtype=object)
    for index in np.flatnonzero(mask).tolist():
        objects[index] = _value_of(values, index)
    return objects
