"""Saving so that a failure leaves the last good file in place."""

import errno
import os
import pathlib
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress


def write_atomically(path: pathlib.Path, content: bytes) -> None:
    """
    Write a file so that ``path`` holds either its old content or all of the new.

    A file that has other names (hard links) or another owner, or is in a folder that takes no new files, keeps them: it is
    written in place, and gets its old content back if that fails. What is read while it is written (a pipe) is written to.

    :param path: Where to write; its folder is made if it is missing. A link is followed, and a file that is
        there keeps its permissions.
    :param content: The whole file.
    :raises OSError: If it can't be written (a full disk, no permission); ``path`` is untouched, and no folder has been made.
    """
    path = path.resolve()
    with _failure_named(path), _in_its_folder(path):
        before = path.stat() if path.exists() else None
        if before is None or (stat.S_ISREG(before.st_mode) and before.st_nlink == 1):
            _write_anew(path, content, before)
        elif stat.S_ISREG(before.st_mode):
            _write_in_place(path, content)
        else:
            _write_to_reader(path, content, before.st_mode)


@contextmanager
def _failure_named(path: pathlib.Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OSError(
            error.errno, f"Could not write '{path}': {error.strerror}. What was there before is untouched."
        ) from error


@contextmanager
def _in_its_folder(path: pathlib.Path) -> Iterator[None]:
    with removes_new_folders_on_error(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        yield


@contextmanager
def removes_new_folders_on_error(folder: pathlib.Path) -> Iterator[None]:
    """
    Within, a folder may be made, with those around it. If what is within fails, those that were not there before are removed
    again, as far as they are empty.

    :param folder: The folder.
    """
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        yield
    except BaseException:
        for each in missing:
            with suppress(OSError):  # it was not made, or somebody else has put something there
                each.rmdir()
        raise


def _write_anew(path: pathlib.Path, content: bytes, before: os.stat_result | None) -> None:
    """Beside the old file, which it then replaces."""
    if before is not None and not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, "it is write-protected")
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:50]}.")  # a name has up to 255 bytes
    except PermissionError:
        if before is None:
            raise
        return _write_in_place(path, content)
    temporary = pathlib.Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if not _takes_owner(temporary, before):
            return _write_in_place(path, content)
        temporary.chmod(_usual_permissions() if before is None else stat.S_IMODE(before.st_mode))  # mkstemp's are for secrets
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _takes_owner(temporary: pathlib.Path, before: os.stat_result | None) -> bool:
    """Whether the new file belongs to whom the old one belongs to."""
    now = temporary.stat()
    if before is None or (now.st_uid, now.st_gid) == (before.st_uid, before.st_gid):
        return True
    try:
        os.chown(temporary, before.st_uid, before.st_gid)
    except OSError:
        return False
    return True


def _write_in_place(path: pathlib.Path, content: bytes) -> None:
    old = path.read_bytes()
    with path.open("r+b") as file:
        try:
            _overwrite(file.fileno(), content)
        except BaseException:
            _overwrite(file.fileno(), old)
            raise


def _overwrite(descriptor: int, content: bytes) -> None:
    """Cut only at the end, so that the old content has its room until then."""
    os.lseek(descriptor, 0, os.SEEK_SET)
    _write_all(descriptor, content)
    os.ftruncate(descriptor, len(content))
    os.fsync(descriptor)


def _write_all(descriptor: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _write_to_reader(path: pathlib.Path, content: bytes, mode: int) -> None:
    if not stat.S_ISFIFO(mode) and not stat.S_ISCHR(mode):
        raise OSError(errno.EINVAL, "it is neither a file nor a pipe")
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK)  # or it would wait for ever where nobody reads
    except OSError as error:
        raise OSError(error.errno, f"nobody reads from it ({error.strerror})") from error
    try:
        os.set_blocking(descriptor, True)
        _write_all(descriptor, content)
    finally:
        os.close(descriptor)


def _usual_permissions() -> int:
    """Those that ``open`` would give a new file."""
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask
