"""Files of models that somebody has changed."""

import base64
import io
import os
import pathlib
import pickle
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch as th


class Poison:
    """Whoever unpickles it makes a folder: the proof that code of the file has run."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


def members_of(content: bytes) -> dict[str, bytes]:
    """The members of a zip file by their names."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """A zip file of these members."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def saved(model: Any) -> bytes:
    """The file of a model."""
    file = io.BytesIO()
    model.save(file)
    return file.getvalue()


def as_sb3_pickles(value: Any) -> dict[str, str]:
    """An entry of the member "data"."""
    return {":type:": "<class 'float'>", ":serialized:": base64.b64encode(pickle.dumps(value)).decode()}


def tensors(value: Any, **how: Any) -> bytes:
    """What torch.save makes of it."""
    file = io.BytesIO()
    th.save(value, file, **how)
    return file.getvalue()


def mutations(content: bytes, rng: np.random.Generator, n: int) -> Iterator[bytes]:
    """
    The file with some bytes of it changed, cut out or repeated: of itself, of a member, or of a member of a member, in whose
    zip files the checksums then are right again.
    """
    for _ in range(n):
        depth = rng.integers(3)
        yield _mutated(content, rng, int(depth))


def _mutated(content: bytes, rng: np.random.Generator, depth: int) -> bytes:
    if depth > 0 and zipfile.is_zipfile(io.BytesIO(content)):
        members = members_of(content)
        name = list(members)[rng.integers(len(members))]
        return zipped({**members, name: _mutated(members[name], rng, depth - 1)})
    first, last = sorted(rng.integers(len(content) + 1, size=2))
    match rng.integers(4):
        case 0:
            return content[:first] + content[last:]
        case 1:
            return content[:last] + content[first:]
        case 2:
            return content[:first] + rng.bytes(int(rng.integers(1, 5))) + content[first:]
        case _:
            changed = bytearray(content)
            for place in rng.integers(len(content), size=rng.integers(1, 10)) if content else ():
                changed[place] = rng.integers(256)
            return bytes(changed)
