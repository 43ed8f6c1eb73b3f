"""Zip files from anybody: read whole, and never larger than what they came as allows."""

import io
import os
import pathlib
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

MAX_EXPANSION = 100
"""By how much the members of a file may be larger than the file. A model's are not compressed at all."""
_ALWAYS_ALLOWED = 1 << 20
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)

Path = str | pathlib.Path | io.BufferedIOBase


class DamagedFileError(ValueError):
    """A file is not what it is taken for: damaged, of another kind, or forged."""


class UntrustedFileError(ValueError):
    """A file has parts that only a pickle can hold, and nobody has said that it is trusted."""


def name_of(path: Path) -> str:
    """
    :param path: Path of a file, or a file-like object.
    :return: What messages call it.
    """
    return repr(str(path)) if isinstance(path, (str, pathlib.Path)) else "the file"


@contextmanager
def damage_reported(what: str) -> Iterator[None]:
    """
    Whatever goes wrong within is the file's fault: zipfile, json, NumPy and torch raise errors of any kind at content
    that is none.

    :param what: Name of the file.
    :raises DamagedFileError: Instead of any other error. The message has the name of the file.
    """
    try:
        yield
    except Exception as error:
        reason = str(error) if isinstance(error, DamagedFileError) else f"{type(error).__name__}: {error}"
        raise DamagedFileError(f"{what} is not a saved model, or is damaged: {' '.join(reason.split())[:500]}") from error


def read_archive(file: IO[bytes]) -> dict[str, bytes]:
    """
    :param file: A zip file, at any position.
    :return: Its members by their names, which are names only: nothing is written anywhere.
    :raises DamagedFileError: If two members have one name, or they are compressed so strongly that they may be meant to fill
        the memory.
    :raises Exception: Of many kinds, if it is no zip file or a damaged one: see :func:`damage_reported`.
    """
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        if len({member.filename for member in members}) < len(members):
            raise DamagedFileError("it has two members of the same name")
        size = sum(member.file_size for member in members)
        if size > MAX_EXPANSION * file.seek(0, os.SEEK_END) + _ALWAYS_ALLOWED:
            raise DamagedFileError(f"it would expand to {size:,} bytes, more than {MAX_EXPANSION} times its own size")
        if any(member.compress_type not in _COMPRESSIONS for member in members):
            raise DamagedFileError("it is compressed in a way that no model is")
        return {member.filename: archive.read(member) for member in members}


def write_archive(members: dict[str, bytes]) -> io.BytesIO:
    """
    :param members: Contents by their names.
    :return: A zip file that has just these, not compressed.
    """
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    file.seek(0)
    return file
