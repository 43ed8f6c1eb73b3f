"""What is said when an environment fails: which, when, what came of it, and what to do."""

import contextlib
import os
import signal
import socket
import threading
import weakref
from collections.abc import Sequence
from multiprocessing import connection
from typing import Any, NoReturn

import numpy as np
from gymnasium.vector import AsyncVectorEnv
from stable_baselines3.common.vec_env import SubprocVecEnv, VecEnv

from sb3_reinforce.common.casting import UnfitError
from sb3_reinforce.common.constraints import Interval, shown

SECONDS_TO_END = 2.0
"""For each worker process that is told to end, before it is made to."""
# Modules that handle what an environment returns; an error in them is about that, not the environment's own
_HANDLERS = ("stable_baselines3.", "gymnasium.vector.", "numpy.", "sb3_reinforce.vec_env.")


def raise_explained(error: Exception, env: VecEnv, name: str, step: int) -> NoReturn:
    """
    Say what has happened. What the environment itself has raised stays as it is.

    :param error: What was raised in a step or a reset of the environments.
    :param env: The environments.
    :param name: What an error calls them.
    :param step: Which step of the rollout it was, from 1 on; 0 for the reset before.
    :raises ValueError: If they have returned something that can't be used.
    :raises RuntimeError: If a worker process has ended.
    """
    when = f"at step {step} of the rollout" if step else "when it was reset"
    if isinstance(error, UnfitError):
        raise UnfitError(f"{error} It came {when}.") from error.__cause__
    owner = _owner_of_workers(env)
    workers = owner.processes if owner is not None else ()
    frame, function = _innermost_frame(error)
    is_environments = function == "_raise_if_errors"  # Gymnasium hands on what an environment has raised in its process
    if isinstance(error, (EOFError, OSError)) and not is_environments and (dead := _dead(workers)):
        message = _message_of_dead_workers(dead, workers, env, name, when)
        close_what_is_left(env)
        raise RuntimeError(message) from error
    if isinstance(reward := frame.get("reward", 0.0), (bool, np.bool_)) or not Interval(finite=False).allows(reward):
        raise ValueError(
            f"The environment {name} returned the reward {shown(reward)} {when}, of {type(reward)}, but a reward must be one "
            f"real number ({error}). Nothing was learned from this rollout. Mend the environment."
        ) from error
    if frame.get("__module__", "").startswith(_HANDLERS) and not is_environments:
        raise ValueError(
            f"What the environment {name} returned {when} can't be used: {type(error).__name__}: {error}. Nothing was learned "
            "from this rollout. Mend the environment (stable_baselines3.common.env_checker.check_env may find what is wrong)."
        ) from error
    if is_environments:  # Gymnasium has ended that worker, and the others are of no use without it
        close_what_is_left(env)
    if hasattr(error, "add_note"):  # from Python 3.11 on
        error.add_note(f"Raised by the environment {name} {when}, from which nothing was learned.")
    raise error


def watch_workers(env: VecEnv) -> None:
    """
    See to it that nobody waits for a worker that has died. Forked workers hold each other's pipes open, so that the pipe of a
    dead one would say nothing, ever.

    :param env: Any environments; those whose workers are not forked need no watch.
    """
    owner = env.unwrapped
    if isinstance(owner, SubprocVecEnv) and hasattr(os, "fork") and not hasattr(owner, "is_watched"):
        owner.is_watched = True  # type: ignore[attr-defined]
        # Weakly, for pipes end the workers when nobody holds them any more
        pipes = [(weakref.ref(pipe), os.fstat(pipe.fileno())) for pipe in owner.remotes if not pipe.closed]
        threading.Thread(target=_break_pipes_of_the_dead, args=(owner.processes, pipes), daemon=True).start()


def _break_pipes_of_the_dead(workers: Sequence[Any], pipes: Sequence[tuple[Any, os.stat_result]]) -> None:
    living = {worker.sentinel: pipe for worker, pipe in zip(workers, pipes, strict=False)}
    while living:
        for sentinel in connection.wait(list(living)):
            pipe, identity = living.pop(sentinel)
            with contextlib.suppress(OSError, AttributeError):  # it is closed, or gone
                _break_pipe(os.dup(pipe().fileno()), identity)


def _break_pipe(descriptor: int, identity: os.stat_result) -> None:
    """The pipe may have been closed in the meantime, and its descriptor be that of another one now, which is left alone."""
    if os.path.samestat(os.fstat(descriptor), identity):
        socket.socket(fileno=descriptor).shutdown(socket.SHUT_RDWR)
    else:
        os.close(descriptor)


def _innermost_frame(error: Exception) -> tuple[dict[str, Any], str]:
    """The variables where an error was raised, its module among them, and the function's name."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    if traceback is None:
        return {}, ""
    frame = traceback.tb_frame
    module = str(frame.f_globals.get("__name__", ""))
    variables = frame.f_locals if module.startswith(_HANDLERS) else {}
    return {**variables, "__module__": module}, frame.f_code.co_name


def _owner_of_workers(env: VecEnv) -> Any:
    """What has the processes in which the environments are; None if they are in this one."""
    innermost = env.unwrapped
    vector_env = getattr(getattr(innermost, "vector_env", None), "unwrapped", None)
    return next((owner for owner in (innermost, vector_env) if isinstance(owner, (SubprocVecEnv, AsyncVectorEnv))), None)


def check_open(env: VecEnv, name: str) -> None:
    """
    :param env: The environments.
    :param name: What an error calls them.
    :raises RuntimeError: If they are in processes that have ended.
    """
    owner = _owner_of_workers(env)
    if owner is not None and owner.closed:
        raise RuntimeError(f"The environments of {name} are closed. Make them anew, and go on: model.set_env(env).")


def _dead(workers: Sequence[Any]) -> dict[int, int]:
    """By their numbers, the exit codes of those that have ended."""
    for worker in workers:
        worker.join(0.2)  # the pipe may break a moment before the process has ended
        if not worker.is_alive():
            break
    return {i: worker.exitcode for i, worker in enumerate(workers) if not worker.is_alive()}


def _message_of_dead_workers(dead: dict[int, int], workers: Sequence[Any], env: VecEnv, name: str, when: str) -> str:
    who = " and ".join(f"worker {i} (of {len(workers)}, process {workers[i].pid})" for i in dead)
    causes = ", ".join(dict.fromkeys(map(_cause, dead.values())))
    return (
        f"{who.capitalize()} of the environment {name} has ended {when}: {causes}. Nothing was learned from this rollout, and "
        "the model is as after its last update. The environments are closed. Make them anew, and go on: "
        "model.set_env(env), model.learn(..., reset_num_timesteps=False)."
    )


def _cause(exit_code: int) -> str:
    if exit_code == 0:
        return "it was closed, or its environment has called exit"
    if exit_code > 0:
        return f"exit code {exit_code}; its environment has raised an error, whose traceback it has printed"
    with contextlib.suppress(ValueError):
        number = signal.Signals(-exit_code)
        if number == signal.SIGKILL:
            return "it was killed (SIGKILL), most likely because the machine or the container has run out of memory"
        if number in (signal.SIGTERM, signal.SIGINT):
            return f"somebody has ended it ({number.name})"
        return f"it crashed ({number.name}), most likely in a library of its environment"
    return f"exit code {exit_code}"


def close_what_is_left(env: VecEnv) -> None:
    """
    End the workers that are left of environments of which one has ended, so that ``env.close()`` does not wait for it.

    :param env: The environments. They count as closed then.
    """
    owner = _owner_of_workers(env)
    pipes = owner.remotes if isinstance(owner, SubprocVecEnv) else owner.parent_pipes
    for pipe in pipes:
        if pipe is not None:
            with contextlib.suppress(OSError, ValueError):
                pipe.send(("close", None))
    for worker in owner.processes:
        worker.join(SECONDS_TO_END)
        if worker.is_alive():
            worker.terminate()
            worker.join()
    for pipe in pipes:
        if pipe is not None:
            pipe.close()
    if isinstance(owner, SubprocVecEnv):
        owner.waiting = False
    owner.closed = True
