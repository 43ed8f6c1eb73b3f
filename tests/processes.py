"""Scripts in processes of their own, several times as fast as by starting Python."""

import functools
import multiprocessing
import os
import pathlib
import runpy
import sys
from collections.abc import Callable
from typing import Any

import pytest

SECONDS = 300
"""Until a process is ended."""


def run_script(script: pathlib.Path, *arguments: str, folder: pathlib.Path) -> str:
    """
    Run a script as ``python script arguments`` in a folder would, in a fresh process of the fork server, which has imported
    the libraries already: see conftest.py. The variables of the environment are those with which the fork server was started.

    :param script: Its path.
    :param arguments: Of the command line.
    :param folder: The current directory.
    :return: What it has printed to stdout. If it has failed, the test fails with what it has printed to stderr.
    """
    return _run_in_process(functools.partial(runpy.run_path, str(script)), str(script), arguments, folder)


def run_module(module: str, *arguments: str, folder: pathlib.Path) -> str:
    """
    Run a module as ``python -m module arguments`` would: see :func:`run_script`.

    :param module: Its name.
    :param arguments: Of the command line.
    :param folder: The current directory.
    :return: What it has printed to stdout.
    """
    return _run_in_process(functools.partial(runpy.run_module, module, alter_sys=True), module, arguments, folder)


def _run_in_process(run: Callable[..., Any], name: str, arguments: tuple[str, ...], folder: pathlib.Path) -> str:
    outputs = {stream: folder.parent / f"{folder.name}_{stream}.txt" for stream in ("stdout", "stderr")}
    start_method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context: Any = multiprocessing.get_context(start_method)
    process = context.Process(target=_run, args=(run, [name, *arguments], folder, outputs))
    process.start()
    process.join(SECONDS)
    if process.is_alive():
        process.kill()
        process.join()
    if process.exitcode != 0:
        pytest.fail(f"{name} has ended with {process.exitcode}:\n{outputs['stderr'].read_text()}")
    return outputs["stdout"].read_text()


def _run(run: Callable[..., Any], argv: list[str], folder: pathlib.Path, outputs: dict[str, pathlib.Path]) -> None:
    os.chdir(folder)
    sys.argv = argv
    sys.path[0] = str(pathlib.Path(argv[0]).parent) if os.sep in argv[0] else str(folder)
    for stream, path in zip((sys.stdout, sys.stderr), outputs.values(), strict=True):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream.fileno())
    run(run_name="__main__")
