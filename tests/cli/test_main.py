import argparse
import os
import pathlib
import re
import subprocess
import sys

import pytest

import sb3_reinforce
from sb3_reinforce.cli import main, train
from sb3_reinforce.common.evaluation import DEFAULT_MAX_EPISODE_STEPS
from tests.cli.helpers import ALL_FILES, error_of, files

pytestmark = pytest.mark.filterwarnings("ignore:rich is experimental/alpha")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["train", "--env", "CartPool-v1"], "environment 'CartPool-v1' can't be made.*CartPole"),
        (["train", "--env", "CartPole-v9"], "'CartPole-v9' can't be made"),
        (["train", "--env", "no_such_module:Env-v0"], "'no_such_module:Env-v0' can't be made"),
        (["train", "--algo", "ppo"], "--algo: invalid choice: 'ppo'.*reinforce.*random_weight_search"),
        (["dance"], "invalid choice: 'dance'.*train.*enjoy"),
        (["--dance"], "unrecognized arguments: --dance"),
        (["train", "--timesteps", "0"], "--timesteps: must be a whole number of at least 1, but got '0'"),
        (["train", "--timesteps", "1e5"], "--timesteps.*'1e5'"),
        (["train", "--n-envs", "-2"], "--n-envs.*"),
        (["train", "--seed", "-1"], "--seed.*"),
        (["train", "--seed", "4294967296"], "--seed: must be a whole number from 0 to .*'4294967296'"),
        (["train", "--seed", "x"], "--seed.*'x'"),
        (["train", "--output"], "--output: expected one argument"),
        (["train", "--output", "file"], "File exists: 'file'"),
        (["train", "--env", "Blackjack-v1"], "Observations must be Box.*Tuple"),
        (["train", "--env", "Unbounded-v0"], "must have finite bounds"),
        (["train", "--env", "Pair-v0"], "Tuple"),
        (["train", "--env", "Pair-v0", "--algo", "random_weight_search"], "Tuple"),
        (["train", "--max-episode-steps", "0"], "--max-episode-steps: must be a whole number of at least 1, but got '0'"),
        (["enjoy"], "required: model"),
        (["enjoy", "file", "--max-episode-steps", "1e3"], "--max-episode-steps: must be a whole number .*'1e3'"),
        (["enjoy", "file", "--episodes", "0"], "--episodes"),
        (["enjoy", "file", "--render", "3d"], "--render: invalid choice: '3d'"),
    ],
)
@pytest.mark.usefixtures("odd_envs")
def test_what_can_not_be_done_is_said_in_a_line(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    (tmp_path / "file").touch()
    assert re.search(says, error_of(capsys, *arguments))
    assert files(tmp_path) == {"file"}  # and nothing was left behind


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as info:
        main(["--help"])
    assert info.value.code == 0
    out = capsys.readouterr().out
    assert "train" in out
    assert "enjoy" in out


@pytest.mark.parametrize("command", ["train", "enjoy", "compare"])
def test_every_command_says_when_it_cuts_an_episode_off(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    out = " ".join(capsys.readouterr().out.split())
    assert "--max-episode-steps MAX_EPISODE_STEPS timesteps after which an episode is cut off" in out
    assert f"(default: {DEFAULT_MAX_EPISODE_STEPS}, or the environment's own time limit if that is longer)" in out


def test_a_package_that_is_not_there(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "rich", None)
    assert "needs the package 'rich': pip install \"sb3-reinforce[extra]\"" in error_of(capsys, "train")


def test_no_argument_at_all_trains_cartpole(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[argparse.Namespace] = []
    monkeypatch.setattr(train, "run", called.append)
    assert main([]) == 0
    (options,) = called
    assert (options.algo, options.env, options.timesteps, options.seed, options.n_envs) == (
        "reinforce",
        "CartPole-v1",
        None,
        0,
        1,
    )


def test_without_a_sub_command_it_trains(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--timesteps", "100"]) == 0
    assert files(tmp_path / "logs" / "reinforce" / "CartPole-v1_1") == ALL_FILES
    assert main(["train", "--timesteps", "100"]) == 0
    assert files(tmp_path / "logs" / "reinforce" / "CartPole-v1_2") == ALL_FILES
    out = capsys.readouterr().out
    assert "Training REINFORCE (LinearSoftmaxPolicy) on CartPole-v1, seed 0" in out
    assert "Solved (threshold 475)" in out
    assert "tensorboard --logdir logs/reinforce/CartPole-v1_2" in out
    assert "python -m sb3_reinforce enjoy logs/reinforce/CartPole-v1_2" in out


def test_as_a_process(tmp_path: pathlib.Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "sb3_reinforce", *arguments],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(pathlib.Path(sb3_reinforce.__file__).parents[1])},
            check=False,
        )

    done = run("train", "--timesteps", "300", "--output", "out")
    assert (done.returncode, done.stderr) == (0, "")
    assert "100 fresh episodes" in done.stdout
    assert files(tmp_path / "out") == ALL_FILES
    failed = run("train", "--env", "Nope-v0")
    assert failed.returncode == 2
    assert failed.stderr.count("\n") == 1
    assert "Traceback" not in failed.stderr
