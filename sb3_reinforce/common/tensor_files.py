"""Files of torch from anybody: tensors and numbers, and nothing else."""

import io
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch as th
from torch.nn.modules.module import register_module_parameter_registration_hook

from sb3_reinforce.common.archives import DamagedFileError, read_archive, write_archive

# What torch.save writes. A program (TorchScript) has members of other names, and old versions of torch would run it
_MEMBERS = re.compile(
    r"[^/]+/(data\.pkl|data/\d+|byteorder|version|\.format_version|\.storage_alignment|\.data/serialization_id)"
)

_SLACK = 1 << 20
"""How many more parameters may be made: parts that are replaced while a policy is made are counted twice."""


def read_tensors(content: bytes) -> Any:
    """
    :param content: What ``torch.save`` has written since torch 1.6.
    :return: The dictionaries, lists, numbers and tensors in it, on the CPU.
    :raises DamagedFileError: If there is anything else in it.
    :raises Exception: Of many kinds, if it is damaged.
    """
    members = read_archive(io.BytesIO(content))
    for name in members:
        if _MEMBERS.fullmatch(name) is None:
            raise DamagedFileError(f"its parameters are no tensors: they have the member {name!r}")
    # Written anew, so that torch sees what was looked at here, whatever else the bytes may be read as
    loaded = th.load(write_archive(members), map_location="cpu", weights_only=True)
    for tensor in _tensors_in(loaded):
        _check_tensor(tensor)
    return loaded


def _tensors_in(value: Any) -> Iterator[th.Tensor]:
    """All tensors in containers, each container once: there are small pickles of endless lists."""
    seen, waiting = set(), [value]
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, dict):
            waiting += [*value, *value.values()]
        elif type(value) in (list, tuple):
            waiting += value
        elif isinstance(value, th.Tensor):
            yield value
        elif not isinstance(value, (type(None), bool, int, float, str)):
            raise DamagedFileError(f"its parameters are no tensors: there is a {type(value).__name__}")


def _check_tensor(tensor: th.Tensor) -> None:
    """A tensor may say that it is larger than what is stored of it."""
    is_plain = type(tensor) in (th.Tensor, th.nn.Parameter) and tensor.layout is th.strided and tensor.device.type == "cpu"
    if not is_plain or tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise DamagedFileError(f"there is a tensor of an unusual kind, of shape {tuple(tensor.shape)}, among its parameters")


def write_tensors(state: Any) -> bytes:
    """
    :param state: As from :func:`read_tensors`.
    :return: What :func:`read_tensors` reads.
    """
    file = io.BytesIO()
    th.save(state, file)
    return file.getvalue()


def n_elements(state: Any) -> int:
    """
    :param state: Dictionaries, lists and tensors.
    :return: How many numbers the tensors in it have.
    """
    return sum(tensor.numel() for tensor in _tensors_in(state))


@contextmanager
def no_more_parameters_than(n: int) -> Iterator[None]:
    """
    A few numbers in a file may ask for layers of any size. Within, modules of this thread are refused that have much more
    parameters than the file has, before they are filled and take memory.

    :param n: How many numbers there are in the file.
    :raises DamagedFileError: If more are made.
    """
    thread, n_left = threading.get_ident(), 4 * n + _SLACK

    def count(module: th.nn.Module, name: str, parameter: th.nn.Parameter | None) -> None:
        nonlocal n_left
        if parameter is not None and threading.get_ident() == thread:
            n_left -= parameter.numel()
            if n_left < 0:
                raise DamagedFileError(f"it asks for a policy with many more parameters than the {n:,} numbers that it has")

    hook = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        hook.remove()
