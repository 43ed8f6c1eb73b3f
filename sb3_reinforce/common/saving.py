"""Saving so that a failure leaves the last good file in place."""

import os
import pathlib
import stat
import tempfile


def write_atomically(path: pathlib.Path, content: bytes) -> None:
    """
    Write a file so that ``path`` holds either its old content or all of the new.

    :param path: Where to write; its folder is made if it is missing. A link is followed, and a file that is
        there keeps its permissions.
    :param content: The whole file.
    :raises OSError: If it can't be written (a full disk, no permission); ``path`` is untouched.
    """
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise OSError(error.errno, f"Could not write '{path}': {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, _permissions(path))  # mkstemp's own are for secrets
        os.replace(temporary, path)
    except OSError as error:
        raise OSError(
            error.errno, f"Could not write '{path}': {error.strerror}. What was there before is untouched."
        ) from error
    finally:
        pathlib.Path(temporary).unlink(missing_ok=True)


def _permissions(path: pathlib.Path) -> int:
    """Those of the file if it exists, else those that ``open`` would give it."""
    if path.exists():
        return stat.S_IMODE(path.stat().st_mode)
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask
