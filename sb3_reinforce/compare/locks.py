"""Who is at work in a folder. A lock ends with its process, however that ends: it is the operating system's."""

import contextlib
import datetime
import os
import pathlib
import shutil
import socket
import tempfile
from collections.abc import Iterator
from typing import IO

try:
    import fcntl
except ImportError:  # on Windows, where nothing is locked
    fcntl = None  # type: ignore[assignment]

LOCK = ".lock"
PREFIX = "sb3_reinforce_"
"""Of the folders in which runs take place."""


@contextlib.contextmanager
def only_one_in(folder: pathlib.Path) -> Iterator[None]:
    """
    Within, no other process (nor thread) can be within for the same folder.

    :param folder: It is made if it is missing.
    :raises RuntimeError: If another one is. The message says who.
    :raises OSError: If the folder can't be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LOCK
    file = _lock(path)
    if file is None:
        who = path.read_text().strip() if path.exists() else "another process"
        raise RuntimeError(
            f"There is a comparison at work in '{folder}' already: {who}. Wait until it has finished (the same command then "
            "takes its runs from disk), or choose another folder."
        )
    try:
        _say_who(file)
        yield
    finally:
        path.unlink(missing_ok=True)
        file.close()


def _lock(path: pathlib.Path) -> IO[str] | None:
    """The file, locked; None if somebody else has it."""
    while True:
        file = path.open("a")
        if not _try_to_lock(file):
            file.close()
            return None
        if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
            return file
        file.close()  # whoever had it has removed it meanwhile


def _try_to_lock(file: IO[str]) -> bool:
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a disk without locks
        return True
    return True


def _say_who(file: IO[str]) -> None:
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}, since {datetime.datetime.now():%Y-%m-%d %H:%M:%S}\n")
    file.flush()


@contextlib.contextmanager
def temporary_folder() -> Iterator[str]:
    """
    A folder for one run, in which it also makes its temporary files. It is removed in the end; if the process is killed, by
    whoever needs such a folder next.

    :return: Its path.
    """
    remove_leftovers()
    with tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as folder:
        new = pathlib.Path(folder) / f"{LOCK}.new"
        with new.open("w") as file:
            _try_to_lock(file)
            new.rename(new.with_name(LOCK))  # only now does it say that the folder has an owner
            before, tempfile.tempdir = tempfile.tempdir, folder
            try:
                yield folder
            finally:
                tempfile.tempdir = before


def remove_leftovers() -> None:
    """Remove the temporary folders of runs whose process was killed."""
    if fcntl is None:
        return
    for lock in pathlib.Path(tempfile.gettempdir()).glob(f"{PREFIX}*/{LOCK}"):
        with contextlib.suppress(OSError), lock.open("a") as file:
            if _try_to_lock(file):
                shutil.rmtree(lock.parent, ignore_errors=True)
