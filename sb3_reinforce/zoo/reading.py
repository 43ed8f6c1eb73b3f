"""
What the RL Zoo's commands read of a run: with our algorithms, nothing in its folder is run, unless the user trusts it.

rl_zoo3 runs what is in ``config.yml`` and ``args.yml`` (YAML that makes objects, texts that are evaluated, wrappers that are
imported) and in ``vecnormalize.pkl``. While a command runs, these ways of reading are replaced.
"""

import contextlib
import importlib
import pathlib
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, NoReturn
from unittest import mock

import yaml
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from sb3_reinforce.common.archives import UntrustedFileError
from sb3_reinforce.common.normalization_files import read_normalization
from sb3_reinforce.common.pickles import trusted_files
from sb3_reinforce.zoo.expressions import NotPlainExpressionError, read_expression
from sb3_reinforce.zoo.wrappers import is_known, named_wrappers

TRUSTED = "--trusted"
PLAYING = ("enjoy", "record_video", "push_to_hub")
"""Commands that read a run. ``train`` reads the agent that it goes on with."""


@contextlib.contextmanager
def reading_a_run(command: str, is_ours: bool, trusted: bool) -> Iterator[None]:
    """
    Within, a command of the RL Zoo reads a run.

    :param command: The command.
    :param is_ours: Whether it is given an algorithm of ours. With others, SB3 and the RL Zoo read as they always do.
    :param trusted: Whether what is in the run may run code.
    :raises UntrustedFileError: If it would, and may not.
    """
    if trusted:
        with trusted_files():
            yield
    elif not is_ours:
        yield
    else:
        with contextlib.ExitStack() as stack:
            for replacement in _replacements(command):
                stack.enter_context(replacement)
            yield


def _replacements(command: str) -> Iterator[Any]:
    yield mock.patch.object(yaml, "UnsafeLoader", _PlainLoader)
    yield mock.patch.object(VecNormalize, "load", _read_statistics)
    if command in PLAYING:
        utils = importlib.import_module("rl_zoo3.utils")
        yield mock.patch.object(utils, "eval", read_plain_expression, create=True)
        yield mock.patch.object(utils, "get_wrapper_class", _known_wrappers(utils.get_wrapper_class))


class _PlainLoader(yaml.SafeLoader):  # type: ignore[misc]
    """Makes what YAML has by itself, and the ordered dictionaries and tuples that the RL Zoo writes."""

    def refused(self, suffix: str, node: yaml.Node) -> NoReturn:
        raise _refusal(f"a YAML file with an object of Python, {suffix!r}")


def _ordered_dict(loader: yaml.SafeLoader, node: yaml.Node) -> OrderedDict[Any, Any]:
    (pairs,) = loader.construct_sequence(node, deep=True)
    return OrderedDict(pairs)


_PlainLoader.add_constructor("tag:yaml.org,2002:python/object/apply:collections.OrderedDict", _ordered_dict)
_PlainLoader.add_constructor(
    "tag:yaml.org,2002:python/tuple",
    lambda loader, node: tuple(loader.construct_sequence(node, deep=True)),
)
_PlainLoader.add_multi_constructor("tag:yaml.org,2002:python/", _PlainLoader.refused)


def read_plain_expression(text: str) -> Any:
    """
    Read an expression of a file, instead of evaluating it.

    :param text: As for :func:`~sb3_reinforce.zoo.expressions.read_expression`.
    :return: Its value.
    :raises UntrustedFileError: If it says more than can be read so.
    """
    try:
        return read_expression(text)
    except NotPlainExpressionError as error:
        raise _refusal(f"the expression {text!r}") from error


def _read_statistics(load_path: str, venv: VecEnv) -> VecNormalize:
    """Instead of a pickle, what :class:`~sb3_reinforce.zoo.experiment_manager.ExperimentManager` has written beside it."""
    plain = pathlib.Path(load_path).with_suffix(".json")
    if not plain.is_file():
        raise _refusal(f"{str(load_path)!r}, a pickle")
    return read_normalization(plain, venv)


def _known_wrappers(get_wrapper_class: Any) -> Any:
    def checked(hyperparams: dict[str, Any], key: str = "env_wrapper") -> Any:
        check_wrappers(hyperparams.get(key))
        return get_wrapper_class(hyperparams, key)

    return checked


def check_wrappers(entry: Any) -> None:
    """
    :param entry: Wrappers that a file names, as for :func:`~sb3_reinforce.zoo.wrappers.named_wrappers`.
    :raises UntrustedFileError: If one is of a package that is not known.
    """
    for name, _ in named_wrappers(entry):
        if not is_known(name):
            raise _refusal(f"the wrapper {name!r}, whose module would be imported")


def read_plain_yaml(text: str) -> Any:
    """
    :param text: YAML of a run, as the RL Zoo or our ``train`` writes it.
    :return: What it says, without objects of Python.
    :raises UntrustedFileError: If it has others.
    :raises yaml.YAMLError: If it is not YAML.
    """
    return yaml.load(text, _PlainLoader)


def _refusal(what: str) -> UntrustedFileError:
    return UntrustedFileError(
        f"This run has {what}. To read that may run any code. If you know who made it and trust them, use {TRUSTED}."
    )
