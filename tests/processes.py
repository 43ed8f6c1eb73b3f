"""Scripts in processes of their own, several times as fast as by starting Python."""

import multiprocessing
import os
import pathlib
import runpy
import sys

import pytest


def run_script(script: pathlib.Path, *arguments: str, folder: pathlib.Path, seconds: float = 300) -> str:
    """
    Run a script as ``python script arguments`` in a folder would, in a fresh process of the fork server, which has imported
    the libraries already: see conftest.py.

    :param script: Its path.
    :param arguments: Of the command line.
    :param folder: The current directory.
    :param seconds: After which it is ended.
    :return: What it has printed to stdout. If it has failed, the test fails with what it has printed to stderr.
    """
    outputs = {name: folder.parent / f"{folder.name}_{name}.txt" for name in ("stdout", "stderr")}
    start_method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    process = multiprocessing.get_context(start_method).Process(  # type: ignore[attr-defined]
        target=_run, args=(script, arguments, folder, outputs), daemon=False
    )
    process.start()
    process.join(seconds)
    if process.is_alive():
        process.kill()
        process.join()
    if process.exitcode != 0:
        pytest.fail(f"{script} has ended with {process.exitcode}:\n{outputs['stderr'].read_text()}")
    return outputs["stdout"].read_text()


def _run(script: pathlib.Path, arguments: tuple[str, ...], folder: pathlib.Path, outputs: dict[str, pathlib.Path]) -> None:
    os.chdir(folder)
    sys.argv = [str(script), *arguments]
    sys.path[0] = str(script.parent)
    for stream, path in zip((sys.stdout, sys.stderr), outputs.values(), strict=True):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream.fileno())
    runpy.run_path(str(script), run_name="__main__")
