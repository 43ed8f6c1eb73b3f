"""Pickles: only from files that the user says are to be trusted, for to read one runs what it says."""

import io
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_MOVED = {
    "sb3_reinforce.common.baselines": "sb3_reinforce.gradient.baselines",
    "sb3_reinforce.common.epsilon": "sb3_reinforce.rollouts.epsilon",
    "sb3_reinforce.common.estimators": "sb3_reinforce.gradient.estimators",
    "sb3_reinforce.common.features": "sb3_reinforce.features",
    "sb3_reinforce.common.phi": "sb3_reinforce.features.phi",
    "sb3_reinforce.reinforce.policies": "sb3_reinforce.policies",
}
"""Modules of 0.1.0, and where that which was in them is now."""
_are_trusted = ContextVar("_are_trusted", default=False)


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        return super().find_class(_MOVED.get(module, module), name)


def unpickle(content: bytes) -> Any:
    """
    :param content: A pickle from a file that is to be trusted, of this version or of 0.1.0.
    :return: What it makes.
    :raises Exception: Of any kind.
    """
    return _Unpickler(io.BytesIO(content)).load()


@contextmanager
def trusted_files() -> Iterator[None]:
    """Within, all files that are loaded are trusted, as with ``trusted=True``: for code that calls ``load`` itself."""
    token = _are_trusted.set(True)
    try:
        yield
    finally:
        _are_trusted.reset(token)


def are_trusted(trusted: bool) -> bool:
    """
    :param trusted: What the argument of that name says.
    :return: Whether a file may run code: that, or whether it is within :func:`trusted_files`.
    """
    return trusted or _are_trusted.get()
