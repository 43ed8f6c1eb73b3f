"""The folder of a run, in the RL Zoo's layout: what the Zoo, ``compare`` and ``train`` leave, each of them reads."""

import pathlib
import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from sb3_reinforce.cli.errors import CliError
from sb3_reinforce.common.saving import write_atomically
from sb3_reinforce.zoo import ALGORITHMS
from sb3_reinforce.zoo.reading import read_plain_yaml

Settings = dict[str, Any]


@dataclass(frozen=True)
class RunFolder:
    """
    The folder of one run: ``<env>.zip``, ``<env>/config.yml`` and so on.

    :param path: The folder itself: ``<log folder>/<algo>/<env>_<number>``.
    :param env_name: The environment, as files are named after it.
    """

    path: pathlib.Path
    env_name: str

    @property
    def model(self) -> pathlib.Path:
        """The model, as training has left it."""
        return self.path / f"{self.env_name}.zip"

    @property
    def best_model(self) -> pathlib.Path:
        """The best model of the evaluations while it was trained."""
        return self.path / "best_model.zip"

    @property
    def parameters(self) -> pathlib.Path:
        """What the run was made by."""
        return self.path / self.env_name

    def write_settings(self, arguments: Settings, hyperparameters: Settings) -> None:
        """
        :param arguments: Of the command line.
        :param hyperparameters: As the RL Zoo's files have them.
        """
        for name, content in (("args.yml", arguments), ("config.yml", hyperparameters)):
            write_atomically(self.parameters / name, yaml.safe_dump(content).encode())
        write_atomically(self.parameters / "command.txt", shlex.join(sys.orig_argv).encode())

    def read_arguments(self) -> Settings:
        """
        :return: The arguments of the command line that has made the run; none if they can't be read.
        """
        return self._read("args.yml")

    def read_hyperparameters(self) -> Settings:
        """
        :return: The hyperparameters of the run, as the RL Zoo's files have them; none if they can't be read.
        """
        return self._read("config.yml")

    def _read(self, name: str) -> Settings:
        try:
            content = read_plain_yaml((self.parameters / name).read_text())
        except (OSError, UnicodeError, yaml.YAMLError, RecursionError, ValueError) as error:
            if isinstance(error, ValueError) and not isinstance(error, UnicodeError):
                raise  # an object of Python in it: the message says what to do
            return {}
        return dict(content) if isinstance(content, Mapping) else {}


def name_of_environment(env_id: str) -> str:
    """
    :param env_id: Gymnasium's id of an environment, perhaps with a module before it.
    :return: What its files are named after: without the module, and without what a file's name must not have.
    """
    return re.sub(r"[^\w.+-]", "-", env_id.rpartition(":")[2])


def latest_number(log_folder: pathlib.Path, algo: str, env_name: str) -> int:
    """
    :param log_folder: Where all runs are.
    :param algo: The algorithm.
    :param env_name: As from :func:`name_of_environment`.
    :return: The number of the last run; 0 if there is none.
    """
    names = [path.name for path in (log_folder / algo).glob("*")]
    matches = [re.fullmatch(rf"{re.escape(env_name)}_(\d+)", name) for name in names]
    return max((int(match[1]) for match in matches if match), default=0)


def new_run_folder(log_folder: pathlib.Path, algo: str, env_id: str) -> RunFolder:
    """
    Make the folder of a new run.

    :param log_folder: Where all runs are.
    :param algo: The algorithm.
    :param env_id: The environment.
    :return: The folder, with the next free number.
    """
    env_name = name_of_environment(env_id)
    number = latest_number(log_folder, algo, env_name) + 1
    while True:
        path = log_folder / algo / f"{env_name}_{number}"
        try:
            path.mkdir(parents=True)
            return RunFolder(path, env_name)
        except FileExistsError:  # by another process, just now
            if not path.exists():
                raise
            number += 1


def find_run_folder(path: pathlib.Path) -> RunFolder | None:
    """
    :param path: Where the folder of a run may be.
    :return: The folder; None if it is none.
    """
    found = sorted(path.glob("*/config.yml")) if path.is_dir() else []
    return RunFolder(path, found[0].parent.name) if found else None


def find_repository(path: pathlib.Path) -> RunFolder | None:
    """
    :param path: Where a run may be that the RL Zoo has uploaded to the Hub: all files are in one folder.
    :return: The folder; None if it is none.
    """
    return RunFolder(path, "") if (path / "config.yml").is_file() else None


def latest_run_folder(log_folder: pathlib.Path, algo: str, env_id: str) -> RunFolder:
    """
    :param log_folder: Where all runs are.
    :param algo: The algorithm.
    :param env_id: The environment.
    :return: The folder of the last run.
    :raises CliError: If there is none.
    """
    if log_folder.is_file():
        raise CliError(f"'{log_folder}' is a file, not a folder with runs in it: name another (--log-folder)")
    env_name = name_of_environment(env_id)
    number = latest_number(log_folder, algo, env_name)
    if number == 0:
        raise CliError(
            f"there is no run of {algo} on {env_id} in '{log_folder}'. Train one: "
            f"sb3-reinforce {'' if algo in ALGORITHMS else 'zoo '}train --algo {algo} --env {env_id} -f {log_folder}"
        )
    return RunFolder(log_folder / algo / f"{env_name}_{number}", env_name)
