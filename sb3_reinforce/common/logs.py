"""Logs that can't be written: no reason to lose what is learned."""

import functools
import warnings
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from stable_baselines3.common.logger import Logger
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import SubprocVecEnv, VecEnv, VecEnvWrapper

P = ParamSpec("P")
R = TypeVar("R")


class _Forgiving:
    """
    A method that says once that it can't write, and then goes on trying. An object, so that its owner can be copied and
    pickled.

    :param owner: What writes.
    :param method: The method's name.
    """

    def __init__(self, owner: Any, method: str) -> None:
        self.function, self.what, self.has_failed = getattr(owner, method), type(owner).__name__, False
        setattr(owner, method, self)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return self.function(*args, **kwargs)
        except OSError as error:
            if not self.has_failed:
                self.has_failed = True
                say_that_it_is_not_written(self.what, error)


def say_that_it_is_not_written(what: str, error: OSError) -> None:
    """
    :param what: Of which log.
    :param error: Why it can't be written.
    """
    warnings.warn(
        f"A log can't be written by {what}: {error}. Training goes on without; this is said once.",
        RuntimeWarning,
        stacklevel=3,
    )


def forgive_logs(logger: Logger, env: VecEnv) -> None:
    """
    From now on, a full disk or the like ends no training by what SB3's logger or a Monitor writes.

    :param logger: The algorithm's.
    :param env: The training environment. Monitors in the processes of an AsyncVectorEnv are out of reach: a VecMonitor around
        its GymnasiumVecEnv is not.
    """
    for output in logger.output_formats:
        _forgive(output, "write", "close")
    for monitor in _monitors(env):
        _forgive(monitor.results_writer, "write_row", "close")
    if isinstance(env.unwrapped, SubprocVecEnv) and any(env.env_is_wrapped(Monitor)):
        env.env_is_wrapped(_Forgiven)  # type: ignore[arg-type]


def _forgive(owner: Any, *methods: str) -> None:
    for method in methods:
        if not isinstance(getattr(owner, method, None), (_Forgiving, type(None))):
            _Forgiving(owner, method)


class _ForgivesWhomItIsShown(type):
    """
    Of a SubprocVecEnv, nothing can be called with its Monitors, which are in other processes. But it asks each wrapper there
    whether it is an instance of a class, and the class may take the opportunity.
    """

    def __instancecheck__(cls, wrapper: Any) -> bool:
        writer = getattr(wrapper, "results_writer", None) if isinstance(wrapper, Monitor) else None
        if writer is not None:
            _forgive(writer, "write_row", "close")
        return False


class _Forgiven(metaclass=_ForgivesWhomItIsShown):
    """Nothing is an instance of it."""


def _monitors(env: VecEnv) -> list[Any]:
    """Whatever in this process writes a line for each episode."""
    layers: list[Any] = [env]
    while isinstance(layers[-1], VecEnvWrapper):
        layers.append(layers[-1].venv)
    inside = getattr(layers[-1], "envs", None) or getattr(getattr(layers[-1], "vector_env", None), "envs", None) or []
    for layer in inside:
        layers.append(layer)
        while hasattr(layers[-1], "env") and layers[-1] is not layers[-1].env:
            layers.append(layers[-1].env)
    return [layer for layer in layers if getattr(layer, "results_writer", None) is not None]


def removes_outputs_on_error(learn: Callable[P, R]) -> Callable[P, R]:
    """
    Decorate an algorithm's ``learn`` so that an error leaves nothing behind of what a callback has put among the logger's
    outputs for this training: what has an attribute ``of_one_training``.

    :param learn: The method.
    :return: A method that does the same.
    """

    @functools.wraps(learn)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return learn(*args, **kwargs)
        except BaseException:
            outputs = getattr(getattr(args[0], "_logger", None), "output_formats", [])
            outputs[:] = [output for output in outputs if not hasattr(output, "of_one_training")]
            raise

    return wrapper
