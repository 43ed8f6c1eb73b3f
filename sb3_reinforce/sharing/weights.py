"""The weights of a linear policy as plain JSON, for a slide, a spreadsheet or another language."""

import json
import math
import pathlib
from typing import Any

import numpy as np
import torch as th
from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_reinforce.common.archives import damage_reported, name_of
from sb3_reinforce.common.constraints import PATH, Test, check_arguments
from sb3_reinforce.common.saving import write_atomically
from sb3_reinforce.policies import LinearPolicy

FORMAT = "sb3-reinforce weights 1"
_ACTING = ("pi_features_extractor.", "mlp_extractor.policy_net.", "action_net.", "log_std")
_ARGUMENTS = {
    "model": [
        Test(
            "a model with a linear policy (LinearPolicy, LinearSoftmaxPolicy, LinearGaussianPolicy)",
            lambda model: isinstance(model, BaseAlgorithm) and isinstance(model.policy, LinearPolicy),
        )
    ],
    "path": [PATH],
}


def save_weights(model: BaseAlgorithm, path: str | pathlib.Path) -> pathlib.Path:
    """
    Write what a linear policy acts by as JSON: ``action_net.weight``, a row for each action with a number for each feature,
    ``action_net.bias``, and for Box actions ``log_std``. The value net is not in it.

    :param model: A model with a linear policy.
    :param path: Where to write. It holds either its old content or all of the new.
    :return: The path.
    :raises ValueError: If the policy is not linear, or a weight is not finite.
    :raises OSError: If the file can't be written.
    """
    check_arguments(_ARGUMENTS, locals(), "save_weights")
    parameters = {name: tensor.tolist() for name, tensor in _acting(model).items()}
    content = {
        "format": FORMAT,
        "policy": type(model.policy).__name__,
        "observation_space": str(model.observation_space),
        "action_space": str(model.action_space),
        "parameters": parameters,
    }
    path = pathlib.Path(path)
    write_atomically(path, json.dumps(content, indent=1, allow_nan=False).encode())
    return path


def load_weights(model: BaseAlgorithm, path: str | pathlib.Path) -> None:
    """
    Read what :func:`save_weights` has written, or somebody has edited. Nothing that is in the file is run.

    :param model: A model with a linear policy of the same shape, which then acts by these weights.
    :param path: Of the file.
    :raises ValueError: If the policy is not linear or the weights don't fit. The model is as it was then.
    :raises DamagedFileError: If the file is no file of weights. A ValueError.
    :raises OSError: If it can't be read.
    """
    check_arguments(_ARGUMENTS, locals(), "load_weights")
    path = pathlib.Path(path)
    content = path.read_bytes()
    with damage_reported(name_of(path)):
        read = json.loads(content)
        if read["format"] != FORMAT:
            raise KeyError("format")
        arrays = {name: np.array(value, dtype=np.float64) for name, value in read["parameters"].items()}
    own = _acting(model)
    _check_fit(name_of(path), own, arrays)
    with th.no_grad():
        for name, tensor in own.items():
            tensor.copy_(th.as_tensor(arrays[name]))


def _acting(model: BaseAlgorithm) -> dict[str, th.Tensor]:
    """The tensors themselves, so that what is copied into them is the policy's."""
    return {name: tensor for name, tensor in model.policy.state_dict().items() if name.startswith(_ACTING)}


def _check_fit(name: str, own: dict[str, th.Tensor], read: dict[str, Any]) -> None:
    expected = {key: tuple(tensor.shape) for key, tensor in own.items()}
    found = {key: array.shape for key, array in read.items()}
    if expected != found:
        raise ValueError(f"The weights in {name} don't fit: they are of shapes {found}, and the policy's of {expected}.")
    for key, array in read.items():
        if not all(map(math.isfinite, array.flat)):
            raise ValueError(f"The weights in {name} don't fit: {key} is not finite.")
