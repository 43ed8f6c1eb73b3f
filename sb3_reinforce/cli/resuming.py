"""What lets a training of the command line be interrupted, and go on."""

import os
import pathlib
import shutil
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from stable_baselines3.common.logger import CSVOutputFormat, KVWriter, Logger, TensorBoardOutputFormat, configure
from stable_baselines3.common.monitor import Monitor, ResultsWriter
from stable_baselines3.common.vec_env import VecMonitor

from sb3_reinforce.cli.errors import Terminated
from sb3_reinforce.common.checkpoints import ResumableCheckpointCallback
from sb3_reinforce.common.saving import write_atomically

_CHECKPOINTS, _MONITORS, _PROGRESS = "checkpoints", "*monitor.csv", "progress.csv"
_TIMESTEPS = "time/total_timesteps"


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


class Checkpoints(ResumableCheckpointCallback):
    """
    Checkpoints that know how far the log was.

    :param folder: Where the training leaves everything.
    :param every_seconds: How long to wait from one to the next.
    """

    def __init__(self, folder: pathlib.Path, every_seconds: float) -> None:
        super().__init__(folder / _CHECKPOINTS, every_seconds=every_seconds)
        self._folder = folder

    @staticmethod
    def latest_of(folder: pathlib.Path) -> pathlib.Path | None:
        """
        :param folder: Where a training left everything.
        :return: Its last checkpoint; None if it has come to none.
        """
        return Checkpoints.latest(folder / _CHECKPOINTS)

    def _save(self) -> None:
        sizes = {path.name: path.stat().st_size for path in self._folder.glob(_MONITORS)}
        self.model.n_bytes_of_logs = sizes  # type: ignore[attr-defined]
        super()._save()


def remove_checkpoints(folder: pathlib.Path) -> None:
    """
    :param folder: Of a training that has finished.
    """
    shutil.rmtree(folder / _CHECKPOINTS, ignore_errors=True)


def log_episodes(
    monitors: Sequence[Monitor | VecMonitor], folder: pathlib.Path, env_id: str, n_bytes: dict[str, int] | None
) -> None:
    """
    Let environments write what their episodes were, into files as SB3 and the RL Zoo name them.

    :param monitors: What monitors them.
    :param folder: Where the files go.
    :param env_id: Which environment they are.
    :param n_bytes: How far to keep the files that are there, by their names; None to begin new ones.
    """
    for i, monitor in enumerate(monitors):
        path = folder / ("monitor.csv" if isinstance(monitor, VecMonitor) else f"{i}.monitor.csv")
        is_continued = n_bytes is not None and path.exists() and n_bytes.get(path.name, 0) > 0
        if n_bytes is not None and is_continued:
            os.truncate(path, min(n_bytes[path.name], path.stat().st_size))
        header: dict[str, float | str] = {"t_start": time.time(), "env_id": env_id}
        monitor.results_writer = ResultsWriter(str(path), header, override_existing=not is_continued)


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
