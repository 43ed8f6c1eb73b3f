"""Two comparisons in one folder, and what killed ones leave behind."""

import os
import pathlib
import signal
import subprocess
import sys
import tempfile
from typing import Any

import pytest

from sb3_reinforce.compare import compare
from sb3_reinforce.compare.locks import LOCK, only_one_in, remove_leftovers, temporary_folder
from tests.compare.tiny import HYPERPARAMS

pytestmark = pytest.mark.skipif(os.name != "posix", reason="nothing is locked on this system")

# A process of its own that is within, says so, and stays until it is told to go on
WITHIN = """
import pathlib, sys
from sb3_reinforce.compare.locks import only_one_in, temporary_folder
with {within} as folder:
    print(folder or "within", flush=True)
    sys.stdin.readline()
"""


def _start(within: str, **environment: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", WITHIN.format(within=within)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    assert process.stdout is not None
    return process


def _tiny(folder: pathlib.Path) -> Any:
    return compare(["reinforce"], ["CartPole-v1"], 1, timesteps=100, n_eval_episodes=1, hyperparams=HYPERPARAMS, folder=folder)


def test_a_second_comparison_is_told_who_is_at_work(tmp_path: pathlib.Path, in_process: None, no_report: list[Any]) -> None:
    folder = tmp_path / "folder"
    with _start(f"only_one_in(pathlib.Path({str(folder)!r}))") as other:
        assert other.stdout is not None
        assert other.stdout.readline()
        with pytest.raises(RuntimeError, match=f"at work in .*folder.*: process {other.pid} on .*, since 20"):
            _tiny(folder)
        os.kill(other.pid, signal.SIGKILL)  # and a lock ends with its process
    assert not _tiny(folder).failures
    assert not (folder / LOCK).exists()


def test_threads_of_one_process_are_two(tmp_path: pathlib.Path) -> None:
    with only_one_in(tmp_path), pytest.raises(RuntimeError, match=f"process {os.getpid()}"), only_one_in(tmp_path):
        pass
    with only_one_in(tmp_path):
        pass


def test_what_a_killed_run_leaves_is_removed_by_the_next(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with (
        _start("temporary_folder()", TMPDIR=str(tmp_path)) as killed,
        _start("temporary_folder()", TMPDIR=str(tmp_path)) as lives,
    ):
        folders = [pathlib.Path(process.stdout.readline().strip()) for process in (killed, lives) if process.stdout]
        killed.kill()
        killed.wait()
        remove_leftovers()
        assert [folder.exists() for folder in folders] == [False, True]
        with temporary_folder() as mine:
            assert tempfile.gettempdir() == mine  # what the run itself makes is removed with it
            pathlib.Path(tempfile.mkdtemp()).joinpath("file").touch()
        lives.communicate("\n")
    assert not list(tmp_path.iterdir())


def test_a_comparison_leaves_nothing_in_the_folder_of_temporary_files(
    tmp_path: pathlib.Path, in_process: None, no_report: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    assert not _tiny(tmp_path / "folder").failures
    assert not list(temporary.iterdir())
