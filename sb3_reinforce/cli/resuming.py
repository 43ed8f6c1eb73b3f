"""What lets a training of the command line be interrupted, and go on."""

import argparse
import json
import os
import pathlib
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from stable_baselines3.common.logger import CSVOutputFormat, KVWriter, Logger, TensorBoardOutputFormat, configure
from stable_baselines3.common.monitor import ResultsWriter
from stable_baselines3.common.vec_env import VecEnv, VecMonitor

from sb3_reinforce.cli.shared import CliError, check_that_no_module_is_named
from sb3_reinforce.common.checkpoints import ResumableCheckpointCallback
from sb3_reinforce.common.saving import write_atomically

SETTINGS = ("algo", "env", "timesteps", "seed", "n_envs", "fast", "max_episode_steps")
"""Options that a training keeps when it goes on."""
_SETTINGS_FILE, _CHECKPOINTS, _MONITOR, _PROGRESS = "training.json", "checkpoints", "monitor.csv", "progress.csv"
_TIMESTEPS = "time/total_timesteps"


class Terminated(KeyboardInterrupt):
    """SIGTERM, which ends a training as Ctrl-C does."""


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """
    Within, the first SIGTERM ends what is done as Ctrl-C does, and others are ignored. Elsewhere than in the main thread,
    Python knows no signals.

    :raises Terminated: When it comes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: Any) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise Terminated

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def write_settings(folder: pathlib.Path, options: argparse.Namespace, is_finished: bool = False) -> None:
    """
    Leave in the folder what its training was begun with.

    :param folder: Where a training leaves everything.
    :param options: As parsed.
    :param is_finished: Whether there is nothing to go on with any more.
    """
    settings = {name: getattr(options, name) for name in SETTINGS}
    write_atomically(folder / _SETTINGS_FILE, (json.dumps({**settings, "finished": is_finished}, indent=2) + "\n").encode())
    if is_finished:
        shutil.rmtree(folder / _CHECKPOINTS, ignore_errors=True)


def options_of(folder: pathlib.Path, options: argparse.Namespace) -> argparse.Namespace:
    """
    :param folder: Where a training left everything.
    :param options: As parsed, of the command that goes on with it.
    :return: What it was begun with, read by the same parser.
    :raises CliError: If there is no such training, it has finished, or an option can't be another now.
    """
    try:
        settings = json.loads((folder / _SETTINGS_FILE).read_text())
        arguments = [argument for name in SETTINGS for argument in _as_arguments(name, settings[name])]
        is_finished = settings["finished"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise CliError(f"there is no training in '{folder}' to go on with") from error
    begun = options.parser.parse_args(arguments)
    if is_finished:
        raise CliError(f"the training in '{folder}' has finished; its model is '{folder / 'model.zip'}'")
    if options.env != begun.env:
        check_that_no_module_is_named(begun.env, f"'{folder / _SETTINGS_FILE}'")
    defaults = options.parser.parse_args([])
    for name in (*SETTINGS, "output"):
        given = getattr(options, name)
        if given not in (getattr(defaults, name), getattr(begun, name)):
            raise CliError(f"a training goes on with the --{name.replace('_', '-')} that it was begun with: leave it out")
    return argparse.Namespace(**{**vars(options), **{name: getattr(begun, name) for name in SETTINGS}})


def _as_arguments(name: str, value: Any) -> list[str]:
    option = f"--{name.replace('_', '-')}"
    if value is None or value is False:
        return []
    return [option] if value is True else [f"{option}={value}"]


class Checkpoints(ResumableCheckpointCallback):
    """
    Checkpoints that know how far the log was.

    :param folder: Where the training leaves everything.
    :param every_seconds: How long to wait from one to the next.
    """

    def __init__(self, folder: pathlib.Path, every_seconds: float) -> None:
        super().__init__(folder / _CHECKPOINTS, every_seconds=every_seconds)
        self._monitor = folder / _MONITOR

    @staticmethod
    def latest_of(folder: pathlib.Path) -> pathlib.Path | None:
        """
        :param folder: Where a training left everything.
        :return: Its last checkpoint; None if it has come to none.
        """
        return Checkpoints.latest(folder / _CHECKPOINTS)

    def _save(self) -> None:
        self.model.n_bytes_of_log = os.path.getsize(self._monitor)  # type: ignore[attr-defined]
        super()._save()


def monitored(env: VecEnv, folder: pathlib.Path, n_bytes: int | None) -> VecMonitor:
    """
    :param env: The environments.
    :param folder: Where the log of their episodes is.
    :param n_bytes: How far to keep the log that is there; None to begin one.
    :return: The environments, which log their episodes.
    """
    path = folder / _MONITOR
    if n_bytes is None or not path.exists():
        return VecMonitor(env, str(path))
    monitor = VecMonitor(env)
    os.truncate(path, min(n_bytes, path.stat().st_size))
    monitor.results_writer = ResultsWriter(str(path), override_existing=False)
    return monitor


def make_logger(folder: pathlib.Path, n_timesteps: int | None) -> Logger:
    """
    :param folder: Where to log.
    :param n_timesteps: Up to where to keep what was logged there; None to begin anew.
    :return: A logger for CSV and TensorBoard.
    """
    if n_timesteps is None:
        return configure(str(folder), ["csv", "tensorboard"])
    outputs: list[KVWriter] = [_ContinuedCsv(folder / _PROGRESS, n_timesteps), _ContinuedTensorBoard(folder, n_timesteps)]
    return Logger(str(folder), outputs)


class _ContinuedCsv(CSVOutputFormat):
    def __init__(self, path: pathlib.Path, n_timesteps: int) -> None:
        super().__init__(os.devnull)
        self.file.close()
        header, *rows = path.read_text().splitlines() if path.exists() and path.stat().st_size else [""]
        self.keys = header.split(",") if header else []
        kept = [row for row in rows if _timesteps_of(row, self.keys) <= n_timesteps]
        write_atomically(path, "".join(f"{line}\n" for line in (header, *kept) if line).encode())
        self.file = path.open("r+")
        self.file.seek(0, os.SEEK_END)


def _timesteps_of(row: str, keys: list[str]) -> float:
    """Infinity of a row that was not written to its end."""
    with suppress(ValueError, IndexError):
        values = row.split(",")
        return float(values[keys.index(_TIMESTEPS)]) if len(values) == len(keys) else float("inf")
    return float("inf")


class _ContinuedTensorBoard(TensorBoardOutputFormat):
    def __init__(self, folder: pathlib.Path, n_timesteps: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(log_dir=str(folder), purge_step=n_timesteps + 1)  # what comes later was logged in vain
        self._is_closed = False
