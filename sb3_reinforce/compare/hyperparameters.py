"""The hyperparameters of a comparison: the user's own, or those that the RL Zoo and this package have tuned."""

import copy
import importlib.resources
import json
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import gymnasium as gym
import yaml
from rl_zoo3 import ALGOS

from sb3_reinforce.common.names import check_known
from sb3_reinforce.zoo import ALGORITHMS, register
from sb3_reinforce.zoo.hyperparameters import check_numbers, is_atari, read_yaml, tuned_for

register()

Hyperparameters = dict[str, Any]
# By algorithm, then by environment ("default" and "atari" stand for many)
HyperparameterTable = Mapping[str, Mapping[str, Hyperparameters]]


def read_hyperparameters(source: str | pathlib.Path | HyperparameterTable | None) -> HyperparameterTable:
    """
    The user's own hyperparameters: a mapping of algorithms, each a mapping of environments ("default" and "atari"
    stand for those not named), each a mapping of hyperparameters as the RL Zoo's files have them::

        ppo:
          CartPole-v1:
            policy: MlpPolicy
            n_timesteps: 100000
            n_envs: 8
            learning_rate: lin_0.001

    They take the place of the RL Zoo's: those that are not written have the algorithm's own defaults.

    Such a file is code, as in the RL Zoo. A text like ``"dict(net_arch=[64], activation_fn=nn.ReLU)"`` is read without
    running anything (see :func:`~sb3_reinforce.zoo.expressions.read_expression`), but one that says more is evaluated as
    Python, and wrappers and callbacks are imported. Use only files that you have read.

    :param source: A YAML file, or what it would hold. None for no hyperparameters of one's own.
    :return: The mapping.
    :raises ValueError: If it has another shape, or an algorithm or environment in it is not known.
    :raises OSError: If the file can't be read.
    """
    if source is None:
        return {}
    if isinstance(source, (str, pathlib.Path)):
        table, name = read_yaml(source), f"'{source}'"
    else:
        table, name = source, "hyperparams"
    if not isinstance(table, Mapping):
        raise ValueError(f"{name} must map algorithms to environments to hyperparameters, but it is {table!r}.")
    for algo, entries in table.items():
        check_known(f"algorithm in {name}", algo, ALGOS)
        if not isinstance(entries, Mapping) or not all(isinstance(entry, Mapping) for entry in entries.values()):
            raise ValueError(f"{name} must map {algo} to environments to hyperparameters, but maps it to {entries!r}.")
        for env in entries:
            check_known(f"environment under {algo} in {name}", env, ["default", "atari", *gym.registry])
        _check_plain(entries, f"{algo} in {name}")
        check_numbers(entries, f"{algo} in {name}")
    return table


def _check_plain(entries: Mapping[str, Any], name: str) -> None:
    try:
        json.dumps(entries)
    except TypeError as error:
        raise ValueError(
            f"The hyperparameters of {name} must be numbers, strings, lists and dicts ({error}). Write anything else as a "
            'string of Python, as in the RL Zoo: policy_kwargs: "dict(activation_fn=nn.ReLU)".'
        ) from error


class Found(NamedTuple):
    """The hyperparameters of an algorithm for an environment."""

    hyperparameters: Hyperparameters
    tuned_for: str | None
    """The environment that the RL Zoo or we have tuned them for; or "atari", or "default". None: they are the user's."""


def hyperparameters_of(algo: str, env: str, own: HyperparameterTable, timesteps: int | None) -> Found:
    """
    :param algo: The algorithm.
    :param env: The environment.
    :param own: The user's own hyperparameters.
    :param timesteps: What takes the place of ``n_timesteps``, if it is given.
    :return: The user's own hyperparameters, or those that the algorithm comes with: for the environment, for another version
        of it, or its default ones.
    :raises ValueError: If there are none, or they don't say how long to train.
    """
    found = _own(env, own.get(algo, {})) or _packaged(env, _read_packaged(algo))
    if found is None:
        raise ValueError(
            f"The RL Zoo has no hyperparameters of {algo} for {env}. Write some in a YAML file, and name it as hyperparams "
            f"(--hyperparams): {algo}: {{{env}: {{policy: MlpPolicy, n_timesteps: 100000}}}}"
        )
    entry = found.hyperparameters
    if timesteps is not None:
        entry["n_timesteps"] = timesteps
    n_timesteps = entry.get("n_timesteps")
    if not isinstance(n_timesteps, (int, float)) or n_timesteps < 1:
        raise ValueError(
            f"The hyperparameters of {algo} for {env} must say n_timesteps, a number of at least 1, but it is {n_timesteps}. "
            "Or give timesteps (--timesteps) for all."
        )
    return found


def _own(env: str, table: Mapping[str, Hyperparameters]) -> Found | None:
    """A user's environment is what the user has named; another version of it is not."""
    for name in (env, *(["atari"] if is_atari(env) else []), "default"):
        if name in table:
            return Found(copy.deepcopy(dict(table[name])), None)
    return None


def _packaged(env: str, table: Mapping[str, Hyperparameters]) -> Found | None:
    name = tuned_for(env, table) or "default"
    return Found(copy.deepcopy(dict(table[name])), name) if name in table else None


def _read_packaged(algo: str) -> Mapping[str, Hyperparameters]:
    package = "sb3_reinforce.zoo" if algo in ALGORITHMS else "rl_zoo3"
    file = importlib.resources.files(package) / "hyperparams" / f"{algo}.yml"
    return yaml.safe_load(file.read_text()) if file.is_file() else {}
