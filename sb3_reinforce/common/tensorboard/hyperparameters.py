"""Hyperparameters and what they have led to: TensorBoard's tab HPARAMS."""

import inspect
import pathlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.utils import FloatSchedule
from stable_baselines3.common.vec_env import VecEnv
from tensorboard.plugins.hparams.summary_v2 import hparams_pb
from torch.utils.tensorboard import SummaryWriter

from sb3_reinforce.common.log_keys import EVALUATION_LENGTH, EVALUATION_RETURN
from sb3_reinforce.common.tensorboard.writing import TensorBoardCallback, add_summary, writers_of

NO_HYPERPARAMETERS = {"self", "policy", "env", "tensorboard_log", "verbose", "device", "stats_window_size", "policy_kwargs"}
LONGEST_TEXT = 100
_SUFFIX = ".hyperparameters"
Value = bool | int | float | str


class HyperparametersCallback(TensorBoardCallback):
    """
    Writes an algorithm's hyperparameters for TensorBoard's tab HPARAMS, where runs are the rows of a table. Beside them stand
    the last values of what the run has logged, such as ``rollout/ep_rew_mean``; and ``eval/mean_reward``, if an
    ``EvalCallback`` or :func:`log_evaluation` has written it::

        PPO("MlpPolicy", "CartPole-v1", tensorboard_log="logs").learn(50_000, callback=HyperparametersCallback())

    :param further: What else a row shall say, by name.
    :raises ValueError: When training starts, if the algorithm has no TensorBoard.
    """

    def __init__(self, further: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.further = dict(further or {})

    def _on_training_start(self) -> None:
        super()._on_training_start()
        values = {**hyperparameters_of(self.model), **as_values(self.further)}
        self._write(lambda writer: add_summary(writer, hparams_pb(values)))


def hyperparameters_of(model: BaseAlgorithm) -> dict[str, Value]:
    """
    :param model: Any SB3 algorithm.
    :return: By name: the algorithm, policy and environment, and each argument of the constructor that the model keeps, as a
        number or a text. What is None is left out.
    """
    env = model.get_env()
    about = {
        "algorithm": type(model).__name__,
        "policy": type(model.policy).__name__,
        "env": None if env is None else _id_of(env),
        "n_envs": model.n_envs,
    }
    arguments = {name: getattr(model, name) for name in _arguments_of(type(model)) if hasattr(model, name)}
    return as_values({**about, **arguments, **model.policy_kwargs})


def as_values(values: Mapping[str, Any]) -> dict[str, Value]:
    """
    :param values: Anything, by name.
    :return: What TensorBoard can show of it: numbers as they are, a constant schedule as its number, all else as a text.
    """
    return {name: _as_value(value) for name, value in values.items() if value is not None}


def log_evaluation(logger: Logger, mean_return: float, mean_length: float, n_timesteps: int) -> None:
    """
    Write what a policy has scored to TensorBoard, where :class:`HyperparametersCallback`'s table shows it.

    :param logger: Of the model that was trained, not yet closed.
    :param mean_return: Over the evaluation's episodes.
    :param mean_length: Over the evaluation's episodes, in timesteps.
    :param n_timesteps: For how many the model was trained.
    """
    for writer in writers_of(logger):
        writer.add_scalar(EVALUATION_RETURN, mean_return, n_timesteps)
        writer.add_scalar(EVALUATION_LENGTH, mean_length, n_timesteps)
        writer.flush()


def write_run(
    folder: pathlib.Path, hyperparameters: Mapping[str, Any], scalars: Mapping[str, Iterable[tuple[int, float]]]
) -> None:
    """
    Write a run that had no TensorBoard while it was trained: a row of the tab HPARAMS, and its curves. What was written
    for the folder in this way before is replaced.

    :param folder: The run's.
    :param hyperparameters: By name.
    :param scalars: By their tag, timesteps and values in rising order. The last value is the one beside the hyperparameters.
    :raises OSError: If it can't be written.
    """
    for old in folder.glob(f"events.out.tfevents.*{_SUFFIX}"):
        old.unlink()
    with SummaryWriter(str(folder), filename_suffix=_SUFFIX) as writer:
        add_summary(writer, hparams_pb(as_values(hyperparameters)))
        for tag, points in scalars.items():
            for step, value in points:
                writer.add_scalar(tag, value, step)


def _id_of(env: VecEnv) -> str | None:
    spec = env.get_attr("spec", indices=0)[0] if env.has_attr("spec") else None
    return getattr(spec, "id", None)


def _arguments_of(kind: type) -> list[str]:
    """Of the constructor, and of the constructors that it hands others on to."""
    names: dict[str, None] = {}
    for parent in kind.__mro__:
        if "__init__" not in vars(parent):
            continue
        parameters = inspect.signature(vars(parent)["__init__"]).parameters.values()
        names.update(dict.fromkeys(p.name for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)))
        if not any(p.kind == p.VAR_KEYWORD for p in parameters):
            break
    return [name for name in names if name not in NO_HYPERPARAMETERS and not name.startswith("_")]


def unscheduled(value: Any) -> Any:
    """
    :param value: An algorithm's attribute.
    :return: What its user gave, where SB3 has made a ``FloatSchedule`` of that: a number, or a function.
    """
    return getattr(value.value_schedule, "val", value.value_schedule) if isinstance(value, FloatSchedule) else value


def _as_value(value: Any) -> Value:
    value = unscheduled(value)
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, type) or inspect.isroutine(value):
        return value.__qualname__
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))[:LONGEST_TEXT]
