"""Every example runs as a user would run it, from an empty folder."""

import pathlib
import subprocess
import sys

import pytest

EXAMPLES = pathlib.Path(__file__).parent.parent / "examples"


def run(script: str, *arguments: str, folder: pathlib.Path) -> str:
    process = subprocess.run(
        [sys.executable, EXAMPLES / script, *arguments], cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


def test_quickstart(tmp_path: pathlib.Path) -> None:
    output = run("quickstart.py", folder=tmp_path)
    assert "over 20 fresh episodes" in output
    assert "angular velocity" in output
    assert (tmp_path / "runs" / "reinforce_cartpole.zip").exists()
    assert list((tmp_path / "runs").glob("REINFORCE_1/events*"))


def test_random_weights(tmp_path: pathlib.Path) -> None:
    output = run("random_weights.py", folder=tmp_path)
    assert output.count(": solved after") == 2


@pytest.mark.parametrize("algo", ["reinforce", "random_weight_search"])
def test_solve_cartpole(algo: str, tmp_path: pathlib.Path) -> None:
    output = run("solve_cartpole.py", "--seeds", "1", "--timesteps", "400", "--algo", algo, folder=tmp_path)
    assert "of 1 seeds at 475 or better" in output


def test_benchmark_speed(tmp_path: pathlib.Path) -> None:
    output = run("benchmark_speed.py", "--repetitions", "1", "--only", "GymnasiumVecEnv", "--output", "speed", folder=tmp_path)
    assert "| GymnasiumVecEnv alone, native | 1024 |" in output
    assert "| bare loop, native x 1024 | 1024 |" in (tmp_path / "speed.md").read_text()
    assert (tmp_path / "speed.png").stat().st_size > 10_000


def test_benchmark_solve(tmp_path: pathlib.Path) -> None:
    output = run("benchmark_solve.py", "--seeds", "1", "--ppo-seeds", "0", "--output", "solve", folder=tmp_path)
    assert "| REINFORCE linear, one environment | 1 of 1 |" in output
    assert "to solved:" in (tmp_path / "solve.md").read_text()
