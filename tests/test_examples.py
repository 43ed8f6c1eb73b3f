"""Every example runs as a user would run it, from an empty folder."""

import pathlib
import subprocess
import sys

import pytest

from tests.processes import run_script

EXAMPLES = pathlib.Path(__file__).parent.parent / "examples"


def run(script: str, *arguments: str, folder: pathlib.Path) -> str:
    return run_script(EXAMPLES / script, *arguments, folder=folder)


def test_quickstart(tmp_path: pathlib.Path) -> None:
    command = [sys.executable, EXAMPLES / "quickstart.py"]  # with nothing imported before
    output = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=True).stdout
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


@pytest.mark.parametrize("env", ["Acrobot-v1", "MountainCar-v0", "LunarLander-v3", "Pendulum-v1"])
def test_solve_control(env: str, tmp_path: pathlib.Path) -> None:
    if env == "LunarLander-v3":
        pytest.importorskip("envpool")
    output = run(
        "solve_control.py", "--seeds", "1", "--timesteps", "1", "--eval-episodes", "10", "--env", env, folder=tmp_path
    )
    assert f"\n{env}, 10 fresh episodes each" in output
    assert "; 0 of 1 at" in output, "not after a single step"


def test_solve_mujoco(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("mujoco")
    output = run("solve_mujoco.py", "--env", "InvertedPendulum-v5", "--timesteps", "1", "--curve", "1", folder=tmp_path)
    assert "training return" in output
    assert "\nInvertedPendulum-v5        MlpPolicy               0 " in output


def test_benchmark_control(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("mujoco")
    at_once = ("--seeds", "1", "--goal=-1e9", "--every", "1", "--most", "12000", "--episodes", "1")
    output = run("benchmark_control.py", *at_once, folder=tmp_path)
    rows = [line.split() for line in output.splitlines() if line.startswith(("reinforce", "ppo", "trpo"))]
    assert [(row[0], len(row)) for row in rows] == [("reinforce", 5), ("ppo", 5), ("trpo", 5)], "all have reached it"


def test_benchmark_speed(tmp_path: pathlib.Path) -> None:
    output = run("benchmark_speed.py", "--repetitions", "1", "--only", "GymnasiumVecEnv", "--output", "speed", folder=tmp_path)
    assert "| GymnasiumVecEnv alone, native | 1024 |" in output
    assert "| bare loop, native x 1024 | 1024 |" in (tmp_path / "speed.md").read_text()
    assert (tmp_path / "speed.png").stat().st_size > 10_000


def test_benchmark_solve(tmp_path: pathlib.Path) -> None:
    output = run(
        "benchmark_solve.py", "--seeds", "1", "--ppo-seeds", "1", "--timesteps", "5000", "--output", "solve", folder=tmp_path
    )
    assert "| REINFORCE linear, natural gradient, native x 8 | 1 of 1 |" in output
    assert "| SB3 PPO, RL Zoo settings, DummyVecEnv x 8 | 0 of 1 |" in output
    assert "to solved:" in (tmp_path / "solve.md").read_text()


def test_benchmark_compare(tmp_path: pathlib.Path) -> None:
    output = run(
        "benchmark_compare.py", "--algos", "a2c", "--seeds", "1", "--timesteps", "60", "--n-jobs", "1", "1", folder=tmp_path
    )
    assert "1 runs of 60 timesteps on CartPole-v1, backend loky" in output
    assert "The results are the same to the last bit." in output


def test_baseline_variance(tmp_path: pathlib.Path) -> None:
    size = ("--stages", "2", "--rollouts", "8", "--warm-up", "1")
    output = run("baseline_variance.py", *size, "--output", "variance.md", folder=tmp_path)
    table = (tmp_path / "variance.md").read_text()
    assert table in output
    assert table.count("\n|") == 8
    assert "| none | 1 | 1 |\n" in table


def test_benchmark_scaling(tmp_path: pathlib.Path) -> None:
    output = run(
        "benchmark_scaling.py",
        "--largest",
        "16",
        "--length",
        "50",
        "--timesteps",
        "800",
        "--output",
        "scaling",
        folder=tmp_path,
    )
    assert (tmp_path / "scaling.md").read_text() in output
    assert "| 16 |" in output
    assert "| 4,096 |" not in output
    assert (tmp_path / "scaling.png").stat().st_size > 10_000


def test_pixels(tmp_path: pathlib.Path) -> None:
    output = run("pixels.py", "--parts", "2", "--games", "64", folder=tmp_path)
    assert "after    64 games: catches" in output
    assert "after   128 games: catches" in output


def test_soak(tmp_path: pathlib.Path) -> None:
    output = run("soak.py", "--rollouts", "4", "--output", "soak", folder=tmp_path)
    lines = (tmp_path / "soak.md").read_text().splitlines()
    assert len(lines) == 2 + 15, "a row for each baseline, step and callback"
    assert all("| 4 |" in line or "search" in line for line in lines[2:])
    assert lines[-1] in output
    assert (tmp_path / "soak.png").stat().st_size > 10_000
    assert (tmp_path / "soak.csv").read_text().count("baseline value,") == 4


def test_travelling_salesman(tmp_path: pathlib.Path) -> None:
    sizes = ["--cities", "5", "--more-cities", "6", "--maps", "20", "--seeds", "1", "--timesteps", "300"]
    output = run("travelling_salesman.py", *sizes, folder=tmp_path)
    rows = [row.split("|") for row in output.splitlines() if row.startswith("|")][2:]
    lengths = {cells[1].strip(): float(cells[5]) for cells in rows}
    assert set(lengths) == {"nearest neighbour", "linear", "MLP on phi", "MlpPolicy", "optimum"}
    assert all(length >= lengths["optimum"] > 1.0 for length in lengths.values())


def test_taxi(tmp_path: pathlib.Path) -> None:
    output = run("taxi.py", "--seeds", "1", "--limit", "1000", folder=tmp_path)
    assert "| 0 | more than 1,000 | more than 1,000 |" in output


def test_benchmark_masks(tmp_path: pathlib.Path) -> None:
    output = run("benchmark_masks.py", "--steps", "400", "--repetitions", "1", folder=tmp_path)
    assert output.count("steps a second") == 5
    assert "MaskablePPO" in output


def test_benchmark_parallel(tmp_path: pathlib.Path) -> None:
    kinds = ("--kinds", "DummyVecEnv", "PythonVecEnv", "--n-envs", "2", "--seconds", "0.05", "--repetitions", "1")
    output = run("benchmark_parallel.py", "--envs", "CartPole-v1", *kinds, folder=tmp_path)
    assert [line.split()[3] for line in output.splitlines()] == ["DummyVecEnv", "PythonVecEnv"]


def test_details(tmp_path: pathlib.Path) -> None:
    small = ("--seeds", "2", "--timesteps", "400", "--only", "epsilon")
    output = run("details.py", *small, folder=tmp_path)
    assert "epsilon" in output
