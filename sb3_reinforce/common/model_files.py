"""
The files of our models. They are SB3's, so that SB3's own algorithms can read them (which unpickles what is in ``data``), and
have a member more, with all attributes that have a plain form. We read that one, and unpickle nothing but what has none, and
only from files that are to be trusted.
"""

import base64
import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

from stable_baselines3.common.save_util import open_path

from sb3_reinforce.common.archives import (
    DamagedFileError,
    Path,
    UntrustedFileError,
    damage_reported,
    name_of,
    read_archive,
    write_archive,
)
from sb3_reinforce.common.pickles import unpickle
from sb3_reinforce.common.plain import NotPlainError, from_plain, to_plain
from sb3_reinforce.common.tensor_files import n_elements, no_more_parameters_than, read_tensors, write_tensors

PLAIN = "sb3_reinforce.json"
"""The member with what has a plain form."""
DERIVED = frozenset({"lr_schedule"})
"""Attributes that are made of others whenever a model is made."""
_DATA, _VARIABLES, _SYSTEM_INFO, _SUFFIX = "data", "pytorch_variables", "system_info.txt", ".pth"


def add_plain_attributes(file: io.BytesIO, attributes: Mapping[str, Any]) -> None:
    """
    :param file: What SB3 has saved. The plain form of what is in it is added.
    :param attributes: Those of the model, by name.
    """
    plain, not_plain = {}, {}
    with zipfile.ZipFile(file, "a") as archive:
        for name in json.loads(archive.read(_DATA)).keys() - DERIVED:
            try:
                plain[name] = to_plain(attributes[name], name)
            except NotPlainError as error:
                not_plain[name] = str(error)
        archive.writestr(PLAIN, json.dumps({"attributes": plain, "not_plain": not_plain}))


@dataclass(frozen=True)
class ModelFile:
    """
    What is in a file, and nothing of it has been run.

    :param name: What messages call it.
    :param data: SB3's attributes, as JSON has them: many in pickles.
    :param plain: Attributes in their plain form.
    :param not_plain: Those that have none, and the parts of them that are at fault.
    :param tensors: Parameters, by the names of what they belong to.
    :param system_info: On what system it was saved.
    """

    name: str
    data: dict[str, Any]
    plain: dict[str, Any]
    not_plain: dict[str, str]
    tensors: dict[str, Any]
    system_info: str

    @property
    def attributes(self) -> set[str]:
        """Their names."""
        return self.data.keys() | self.plain.keys()

    @property
    def parameters(self) -> dict[str, Any]:
        """State dicts, by the names of modules and optimizers."""
        return {name: state for name, state in self.tensors.items() if name != _VARIABLES}

    @property
    def variables(self) -> dict[str, Any]:
        """Tensors that are attributes of the algorithm, by their names."""
        return self.tensors.get(_VARIABLES, {})

    def read_attributes(self, trusted: bool, given: Mapping[str, Any]) -> dict[str, Any]:
        """
        :param trusted: Whether pickles may be run.
        :param given: What takes the place of what is in the file.
        :return: The attributes, those among them that are given.
        :raises UntrustedFileError: If one has no plain form, is not given, and the file is not trusted.
        :raises DamagedFileError: If one can't be read.
        """
        read = self.attributes - DERIVED - given.keys()
        pickled = {name for name in read - self.plain.keys() if _is_pickled(self.data[name])}
        if pickled and not trusted:
            raise UntrustedFileError(self._refusal(sorted(pickled)))
        with damage_reported(self.name):
            values = {name: from_plain(self.plain[name]) for name in read & self.plain.keys()}
            values |= {name: unpickle(base64.b64decode(self.data[name][":serialized:"])) for name in pickled}
            values |= {name: self.data[name] for name in read - self.plain.keys() - pickled}
        return values | {name: value for name, value in given.items() if name in self.attributes}

    def _refusal(self, pickled: list[str]) -> str:
        parts = ", ".join(repr(self.not_plain.get(name, name))[1:-1][:200] for name in pickled)
        anew = f"Or give them anew, as arguments or with custom_objects={{{pickled[0]!r}: ...}}."
        if not self.plain:
            anew = "A file of SB3 or of version 0.1.0 has them all in pickles; saved again, it needs that no more."
        return (
            f"{self.name} has parts that only a pickle can hold: {parts}. To read a pickle runs code that is in the file. If "
            f"you know who made it and trust them, load it with trusted=True (on the command line: --trusted). {anew}"
        )

    def without_attributes(self, names: Mapping[str, Any]) -> io.BytesIO:
        """
        :param names: Of attributes that are there.
        :return: A file for SB3, with parameters, and with None for all attributes.
        """
        tensors = {f"{name}{_SUFFIX}": write_tensors(state) for name, state in self.tensors.items()}
        return write_archive({_DATA: json.dumps(dict.fromkeys(names)).encode(), **tensors})


def read_model_file(path: Path) -> ModelFile:
    """
    :param path: A file that an SB3 algorithm has saved, ours or another.
    :return: What is in it.
    :raises DamagedFileError: If it is none, or is damaged.
    :raises OSError: If it can't be opened.
    """
    with _opened(path) as file, damage_reported(name_of(path)):
        members = read_archive(file)
        plain = json.loads(members.get(PLAIN, b'{"attributes": {}, "not_plain": {}}'))
        data = json.loads(members[_DATA])
        system_info = members.get(_SYSTEM_INFO, b"").decode(errors="replace")
        tensors = {
            name.removesuffix(_SUFFIX): read_tensors(content) for name, content in members.items() if name.endswith(_SUFFIX)
        }
        for part in (data, plain["attributes"], plain["not_plain"], *tensors.values()):
            if not isinstance(part, dict):
                raise DamagedFileError("a part of it is no mapping")
        return ModelFile(name_of(path), data, plain["attributes"], plain["not_plain"], tensors, _printable(system_info))


@contextmanager
def making_a_model_of(file: ModelFile) -> Iterator[None]:
    """
    Within, a model is made of what was read. It gets no more parameters than there are in the file.

    :param file: The file.
    :raises DamagedFileError: If no model can be made of it.
    :raises ValueError: As it is, where it is a ValueError that says what does not fit.
    """
    try:
        with no_more_parameters_than(sum(map(n_elements, file.parameters.values()))):
            yield
    except Exception as error:
        # SB3 looks for old files when a parameter does not fit, and may fail at that
        reasons = [reason for reason in (error, error.__context__) if isinstance(reason, ValueError)]
        if reasons and not isinstance(reasons[0], DamagedFileError):
            raise reasons[0] from error
        with damage_reported(file.name):
            raise


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    file = open_path(path, "r", suffix="zip")
    try:
        yield file
    finally:
        if file is not path:
            file.close()


def _is_pickled(value: Any) -> bool:
    return isinstance(value, dict) and ":serialized:" in value


def _printable(text: str) -> str:
    """Without what would do something to a terminal."""
    return "".join(letter for letter in text if letter.isprintable() or letter == "\n")
