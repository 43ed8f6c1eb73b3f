"""
What is wrong with hyperparameters, said by name and before anything runs: the same for the RL Zoo's commands and for a
comparison. Hyperparameters are written as in the RL Zoo's files.
"""

import difflib
import inspect
import pathlib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import gymnasium as gym
import yaml
from gymnasium.envs.registration import parse_env_id
from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_reinforce.common.constraints import Interval, Table, Test, check_arguments

# What the RL Zoo and its plugin make use of themselves; all others are arguments of the algorithm
OF_THE_ZOO = frozenset(
    {"callback", "env_kwargs", "env_wrapper", "frame_stack", "monitor_kwargs", "n_envs", "n_timesteps", "normalize"}
    | {"train_env_kwargs", "train_env_wrapper", "vec_env_wrapper"}
)
# For algorithms that have the argument action_noise
OF_ACTION_NOISE = frozenset({"noise_std", "noise_type"})
# Arguments of the algorithm that the RL Zoo's command line gives
OF_THE_COMMAND_LINE = frozenset({"_init_setup_model", "device", "env", "seed", "tensorboard_log", "verbose"})
# Arguments of a policy that the algorithm gives
OF_THE_ALGORITHM = frozenset({"action_space", "lr_schedule", "observation_space"})
# An environment may well be given a text that reads as a number
OF_THE_ENVIRONMENT = frozenset({"env_kwargs", "train_env_kwargs"})


class HyperparameterError(ValueError):
    """A hyperparameter is not what it has to be. The message says in a line which, and what to write."""


def read_yaml(path: str | pathlib.Path) -> Any:
    """
    :param path: A YAML file.
    :return: What it holds.
    :raises HyperparameterError: If it is not YAML.
    :raises OSError: If it can't be read.
    """
    try:
        return yaml.safe_load(pathlib.Path(path).read_text())
    except yaml.YAMLError as error:
        raise HyperparameterError(f"'{path}' is not a YAML file: {error}") from error


def tuned_for(env_id: str, names: Collection[str]) -> str | None:
    """
    Which of a file's hyperparameters are for an environment. Those for another version of it are nearer than any default:
    files are not written anew for each version.

    :param env_id: The environment, without a module.
    :param names: The names that the file has.
    :return: The environment's own; else that of its newest version among them; else "atari" for a game of Atari; else None.
    """
    if env_id in names:
        return env_id
    versions = {version: name for name in names if (version := _version_of(name, env_id)) is not None}
    if versions:
        return versions[max(versions)]
    return "atari" if "atari" in names and is_atari(env_id) else None


def _version_of(name: str, env_id: str) -> int | None:
    """The version that a name has, if but for it it is that of the environment."""
    try:
        *environment, _ = parse_env_id(env_id)
        *other, version = parse_env_id(name)
    except gym.error.Error:  # a file may have any names
        return None
    return version if other == environment else None


def is_atari(env_id: str) -> bool:
    """
    :param env_id: An environment, without a module.
    :return: Whether it is a game of Atari.
    """
    spec = gym.registry.get(env_id)
    return spec is not None and "AtariEnv" in str(spec.entry_point)


def check_entry(table: Any, names: Sequence[str], algo: str, path: str) -> None:
    """
    :param table: What a file of hyperparameters of one algorithm holds.
    :param names: The names under which those that are looked for may stand.
    :param algo: The algorithm.
    :param path: The file.
    :raises HyperparameterError: If the file has another shape, or none of the names.
    """
    env, *others = names
    example = f"Write for example: {env}: {{policy: MlpPolicy, n_timesteps: 100000}}"
    if not isinstance(table, Mapping) or not all(isinstance(entry, Mapping) for entry in table.values()):
        raise HyperparameterError(
            f"'{path}' must map environments to hyperparameters of {algo}, but it is {table!r}. {example}"
        )
    if not any(name in table for name in names):
        raise HyperparameterError(
            f"'{path}' has no hyperparameters for {env}, and no '{', '.join(others)}'. "
            f"It has {', '.join(map(str, table)) or 'nothing'}. {example}"
        )


def check_hyperparameters(hyperparameters: Mapping[str, Any], algorithm: type[BaseAlgorithm], name: str) -> None:
    """
    :param hyperparameters: As the RL Zoo's files have them.
    :param algorithm: The algorithm.
    :param name: Whose hyperparameters they are, for the message.
    :raises HyperparameterError: If one is a text where a number is meant, out of its range, missing, or unknown.
    """
    check_numbers(hyperparameters, name)
    missing = [key for key in ("policy", "n_timesteps") if key not in hyperparameters]
    if missing:
        raise HyperparameterError(f"The hyperparameters of {name} must say {' and '.join(missing)}, but don't.")
    try:
        check_arguments(_TABLE, hyperparameters, name)
    except ValueError as error:
        raise HyperparameterError(str(error)) from error
    known = _arguments_of(algorithm, OF_THE_COMMAND_LINE)
    if known is not None:
        of_the_zoo = OF_THE_ZOO | (OF_ACTION_NOISE if "action_noise" in known else set())
        _check_known(hyperparameters, known, f"{algorithm.__name__} has no hyperparameter", of_the_zoo)


def check_numbers(hyperparameters: Mapping[str, Any], name: str) -> None:
    """
    YAML takes 1e-3 for a text, and whatever stands in quotation marks.

    :param hyperparameters: As the RL Zoo's files have them, or several of these by name.
    :param name: Whose hyperparameters they are, for the message.
    :raises HyperparameterError: If there is a text where a number is meant. The message has the line to write.
    """
    texts = list(_numbers_as_text(hyperparameters, []))
    if texts:
        raise HyperparameterError(
            f"The hyperparameters of {name} have a text where a number is meant: {'; '.join(texts)}. "
            "YAML takes 1e-3 for a text, and whatever stands in quotation marks."
        )


def _numbers_as_text(value: Any, path: list[str]) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key not in OF_THE_ENVIRONMENT:
                yield from _numbers_as_text(inner, [*path, str(key)])
    elif isinstance(value, list):
        for inner in value:
            if isinstance(inner, str) and _is_number(inner):
                yield f"{': '.join(path)} has '{inner}', write {_in_yaml(inner)}"
            else:
                yield from _numbers_as_text(inner, path)
    elif isinstance(value, str) and _is_number(value):
        yield f"{': '.join(path)} is '{value}', write {path[-1]}: {_in_yaml(value)}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _in_yaml(text: str) -> str:
    """A number as YAML reads it, as like to what the user has written as can be."""
    mantissa, _, exponent = text.strip().lower().partition("e")
    sign = "" if exponent[:1] in ("+", "-") else "+"
    with_point = f"{mantissa}{'' if '.' in mantissa else '.0'}e{sign}{exponent}"
    return next(
        (form for form in (text, with_point) if yaml.safe_load(form) == float(text)),
        yaml.safe_dump(float(text)).split()[0],
    )


def _is_schedule(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch("[^_]+_[^_]+", value) is not None and _is_number(value.partition("_")[2])


# Of what the RL Zoo reads itself; the algorithms check the rest
_SCHEDULE = Test("lin_ and a number (lin_0.001 falls linearly from 0.001 to 0)", _is_schedule)
_TABLE: Table = {
    "n_timesteps": [Interval(1)],
    "n_envs": [Interval(1, integer=True)],
    **{name: [Interval(), _SCHEDULE] for name in ("learning_rate", "clip_range", "clip_range_vf", "delta_std")},
}


def check_policy_kwargs(policy_kwargs: Mapping[str, Any], policy: str | type, algorithm: type[BaseAlgorithm]) -> None:
    """
    :param policy_kwargs: What the policy will be made with.
    :param policy: The policy, or its name.
    :param algorithm: The algorithm, which knows the policies by their names.
    :raises HyperparameterError: If the policy has no argument of that name, or the layers are such as SB3 no longer makes.
    """
    if not isinstance(policy_kwargs, Mapping):
        raise HyperparameterError(f"policy_kwargs must be name=value pairs in dict(...), but got {policy_kwargs!r}.")
    cls = algorithm.policy_aliases.get(policy) if isinstance(policy, str) else policy
    known = None if cls is None else _arguments_of(cls, OF_THE_ALGORITHM)
    if known is not None:
        _check_known(policy_kwargs, known, f"policy_kwargs: {policy} has no argument", ())
    net_arch = policy_kwargs.get("net_arch")
    if isinstance(net_arch, list) and len({isinstance(layer, dict) for layer in net_arch}) > 1:
        raise HyperparameterError(
            f"policy_kwargs: net_arch is {net_arch}, but SB3 has had no layers that policy and value "
            "function share since 1.8. Write net_arch=dict(pi=[...], vf=[...]), with all layers of each."
        )


def _arguments_of(cls: type, given: Collection[str]) -> set[str] | None:
    """The names of what it is made with, but for what is given anyway; None if it takes any name."""
    parameters = inspect.signature(cls).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return {parameter.name for parameter in parameters} - set(given)


def _check_known(names: Iterable[str], known: Collection[str], beginning: str, of_the_zoo: Collection[str]) -> None:
    unknown = [name for name in names if name not in known and name not in of_the_zoo]
    if unknown:
        guesses = [difflib.get_close_matches(name, [*known, *of_the_zoo], n=1, cutoff=0.8) for name in unknown]
        hints = [f"{name} (did you mean {guess[0]}?)" if guess else name for name, guess in zip(unknown, guesses, strict=True)]
        zoo = f" The RL Zoo itself has {', '.join(sorted(of_the_zoo))}." if of_the_zoo else ""
        raise HyperparameterError(f"{beginning} {', '.join(hints)}. It has {', '.join(sorted(known))}.{zoo}")
