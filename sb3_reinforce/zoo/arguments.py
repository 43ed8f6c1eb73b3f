"""The arguments of the RL Zoo's commands: in the words of our commands, and what is wrong with them, said in a line."""

import argparse
import contextlib
import pathlib
import re
from collections.abc import Iterator, Sequence
from typing import Any
from unittest import mock

from sb3_reinforce.cli.run_folder import latest_number, latest_run_folder, name_of_environment
from sb3_reinforce.zoo import ALGORITHMS, check_algorithm
from sb3_reinforce.zoo.reading import PLAYING

# What the other commands call --log-folder and so on, the RL Zoo calls differently from command to command
SYNONYMS = {
    "train": {"--timesteps": "--n-timesteps", "--n-eval-episodes": "--eval-episodes"},
    "enjoy": {"--timesteps": "--n-timesteps", "--log-folder": "--folder"},
    "record_video": {"--timesteps": "--n-timesteps", "--log-folder": "--folder"},
    "push_to_hub": {"--timesteps": "--n-timesteps", "--log-folder": "--folder"},
    "load_from_hub": {"--log-folder": "--folder"},
    "plot_train": {"--log-folder": "--exp-folder"},
    "all_plots": {"--log-folder": "--exp-folders"},
}
_IN_ONE_FOLDER = (*PLAYING, "load_from_hub")
_OF_EVERY_ALGORITHM = "rl-trained-agents"
_OPTIONS = {
    "algos": ("-a", "--algos"),
    "envs": ("-e", "--env"),
    "folders": ("-f", "--folder", "--exp-folders"),
    "exp_id": ("--exp-id",),
}
_TIMESTEPS = ("-n", "--n-timesteps")
_MAY_BE_NEGATIVE = ("--log-interval",)
_VALUE_HINT = "must be NAME:VALUE with a value of Python, in which a text needs quotation marks (\"policy:'MlpPolicy'\")"


def in_the_zoos_words(command: str, arguments: Sequence[str]) -> list[str]:
    """
    :param command: A command of the RL Zoo.
    :param arguments: Its arguments, in the words of our commands or of its own. A number may be 1e5.
    :return: The same as the RL Zoo takes them. Runs of our algorithms are in ``logs``, where ``train`` puts them.
    """
    names, translated = SYNONYMS.get(command, {}), []
    for argument in arguments:
        name, equals, value = argument.partition("=") if argument.startswith("--") else ("", "", argument)
        translated.append(f"{names.get(name, name)}{equals}{_plain_number(value)}")
    if command in _IN_ONE_FOLDER and is_of_ours(translated) and not _given("folders", translated):
        translated += ["--folder", "logs"]
    return translated


def _plain_number(text: str) -> str:
    return str(int(float(text))) if re.fullmatch(r"\d+(\.\d+)?[eE]\+?\d+", text) else text


def is_of_ours(arguments: Sequence[str]) -> bool:
    """
    :param arguments: Of a command, in the RL Zoo's words.
    :return: Whether they name an algorithm of ours.
    """
    return bool(set(_given("algos", arguments)) & set(ALGORITHMS))


def _given(name: str, arguments: Sequence[str]) -> list[str]:
    """
    What an option says, before the RL Zoo reads it; nothing if it can't be read, which the RL Zoo will say. Options are
    known by the RL Zoo's abbreviations, too (``--algo`` is one of ``--algos``).
    """
    parser = argparse.ArgumentParser(add_help=False, exit_on_error=False)
    parser.add_argument(*_OPTIONS[name], nargs="+", dest="values", default=[])
    with contextlib.suppress(argparse.ArgumentError):
        return list(parser.parse_known_args(list(arguments))[0].values)
    return []


def check(command: str, arguments: Sequence[str]) -> None:
    """
    Say what rl_zoo3 would say less clearly, or not at all.

    :param command: A command of the RL Zoo.
    :param arguments: Its arguments, in the RL Zoo's words.
    :raises ValueError: If a number is negative that must not be, or there is no such algorithm.
    :raises CliError: If there is no run of what is to be played or plotted.
    """
    if command in ("train", *PLAYING):
        _check_numbers(arguments)
    algos, envs = _given("algos", arguments), _given("envs", arguments)
    for algo in algos:
        check_algorithm(algo.lower())
    folders = [folder for folder in _given("folders", arguments) if pathlib.Path(folder).name != _OF_EVERY_ALGORITHM]
    pairs = [(algo.lower(), env) for algo in algos for env in envs]
    if command in PLAYING and folders and len(pairs) == 1:
        _check_run(pathlib.Path(folders[0]), *pairs[0], _given("exp_id", arguments))
    elif command in ("plot_train", "all_plots") and folders and pairs and not _any_run(folders, pairs):
        raise FileNotFoundError(
            f"there is no run of {', '.join(algos)} on {', '.join(envs)} in '{', '.join(folders)}': name another folder (-f)"
        )


def _check_numbers(arguments: Sequence[str]) -> None:
    option = ""
    for argument in arguments:
        name, equals, value = argument.partition("=") if argument.startswith("--") else ("", "", argument)
        if name:
            option = name
        elif re.match("-[A-Za-z]", argument):
            option = argument
            continue
        is_too_low = re.fullmatch(r"-\d[\d._eE+-]*", value) is not None and value != "-1" and option not in _MAY_BE_NEGATIVE
        if (equals or not name) and (is_too_low or (option in _TIMESTEPS and value == "0")):
            raise ValueError(f"{option} must be a positive number, but got '{value}'")


def _check_run(folder: pathlib.Path, algo: str, env: str, exp_id: Sequence[str]) -> None:
    if exp_id and exp_id[0].startswith("-"):  # without folders of runs
        return
    latest = latest_run_folder(folder, algo, env)
    number = int(exp_id[0]) if exp_id and exp_id[0].isdecimal() else 0
    if number > 0 and not (latest.path.parent / f"{latest.env_name}_{number}").is_dir():
        last = latest_number(folder, algo, latest.env_name)
        raise FileNotFoundError(f"there is no run {number} of {algo} on {env} in '{folder}': the last one is {last}")


def _any_run(folders: Sequence[str], pairs: Sequence[tuple[str, str]]) -> bool:
    """As rl_zoo3's plots look for runs: by a part of the name."""
    return any(
        name_of_environment(env) in path.name
        for folder in folders
        for algo, env in pairs
        for path in pathlib.Path(folder, algo).glob("*/")
    )


@contextlib.contextmanager
def values_explained() -> Iterator[None]:
    """Within, a value that rl_zoo3 can't evaluate is an error of the option that it was given for."""
    from rl_zoo3.utils import StoreDict

    store: Any = StoreDict.__call__

    def store_or_explain(action: argparse.Action, parser: Any, namespace: Any, values: Any, option_string: Any = None) -> None:
        try:
            store(action, parser, namespace, values, option_string)
        except Exception as error:  # of any kind: it is Python that is evaluated
            raise argparse.ArgumentError(action, f"{_VALUE_HINT}, but got {' '.join(values)} ({error})") from error

    with mock.patch.object(StoreDict, "__call__", store_or_explain):
        yield
