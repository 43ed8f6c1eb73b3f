import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from typing import Any

import gymnasium as gym
import numpy as np
import pandas as pd
import pytest
import torch as th
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sb3_reinforce import REINFORCE, RandomWeightSearch
from sb3_reinforce.cli import main
from tests.cli.helpers import ALL_FILES, error_of, files

pytestmark = pytest.mark.filterwarnings("ignore:rich is experimental/alpha")

LONG = ("--timesteps", "15000", "--n-envs", "3", "--seed", "1", "--checkpoint-seconds", "0")
KINDS: dict[str, Any] = {"reinforce": REINFORCE, "random_weight_search": RandomWeightSearch}


def started(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "sb3_reinforce", "train", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_checkpoints(folder: pathlib.Path, process: subprocess.Popen[str]) -> None:
    while not any("steps" in path.name and path.suffix == ".zip" for path in folder.glob("checkpoints/*")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


def assert_same_training(folder: pathlib.Path, other: pathlib.Path, algo: str) -> None:
    ours, theirs = (KINDS[algo].load(each / "model.zip") for each in (folder, other))
    assert ours.num_timesteps == theirs.num_timesteps
    th.testing.assert_close(ours.policy.state_dict(), theirs.policy.state_dict(), rtol=0, atol=0)
    for name, columns in (("monitor.csv", ["r", "l"]), ("progress.csv", ["rollout/episode_return", "time/total_timesteps"])):
        logs = [pd.read_csv(each / name, comment="#")[columns] for each in (folder, other)]
        pd.testing.assert_frame_equal(*logs)
    points = [
        [(event.step, event.value) for event in EventAccumulator(str(each)).Reload().Scalars("rollout/episode_return")]
        for each in (folder, other)
    ]
    assert points[0] == points[1]


@pytest.mark.parametrize("algo", KINDS)
def test_a_training_that_was_killed_goes_on_to_the_same_weights(tmp_path: pathlib.Path, algo: str) -> None:
    process = started("--algo", algo, *LONG, "--output", "killed")
    wait_for_checkpoints(tmp_path / "killed", process)
    process.kill()
    process.communicate()
    if (tmp_path / "killed" / "model.zip").exists():
        pytest.skip("It had finished before it could be killed")
    assert process.returncode == -signal.SIGKILL
    time.sleep(1.1)  # TensorBoard reads its files in the order of the seconds in their names
    assert main(["train", "--resume", "killed"]) == 0
    assert main(["train", "--algo", algo, *LONG, "--output", "whole"]) == 0
    assert_same_training(tmp_path / "killed", tmp_path / "whole", algo)
    assert files(tmp_path / "killed") == files(tmp_path / "whole") == ALL_FILES


def test_sigterm_saves_says_so_and_can_be_gone_on_with(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    process = started(*LONG, "--output", "out")
    wait_for_checkpoints(tmp_path / "out", process)
    process.terminate()
    out, err = process.communicate()
    assert process.returncode == 143
    assert err == "Stopped.\n"
    assert "Stopped early, after" in out
    assert "python -m sb3_reinforce train --resume out" in out
    assert 0 < REINFORCE.load(tmp_path / "out" / "model.zip").num_timesteps < 15_000
    assert "go on with --resume" in error_of(capsys, "train", "--output", _without_model(tmp_path / "out"))
    time.sleep(1.1)  # as above
    assert main(["train", "--resume", "out"]) == 0
    assert main(["train", *LONG, "--output", "whole"]) == 0
    assert_same_training(tmp_path / "out", tmp_path / "whole", "reinforce")
    assert "has finished" in error_of(capsys, "train", "--resume", "out")


def _without_model(folder: pathlib.Path) -> pathlib.Path:
    (folder / "model.zip").unlink()
    return folder


def interrupt(monkeypatch: pytest.MonkeyPatch, at: int, sent: int = signal.SIGINT) -> None:
    """A signal at a step of the environments."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets what it runs in the background ignore it
    step = gym.wrappers.TimeLimit.step
    n_steps = 0

    def interrupted_step(self: Any, action: Any) -> Any:
        nonlocal n_steps
        n_steps += 1
        if n_steps == at:
            os.kill(os.getpid(), sent)
        return step(self, action)

    monkeypatch.setattr(gym.wrappers.TimeLimit, "step", interrupted_step)


@pytest.mark.parametrize("seconds", ["0", "1000"])
@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_it_goes_on_from_the_last_checkpoint_or_from_the_beginning(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, seconds: str, sent: int, status: int
) -> None:
    arguments = ["train", "--timesteps", "2000", "--checkpoint-seconds", seconds]
    with monkeypatch.context() as context:
        interrupt(context, 1_000, sent)
        handler = signal.getsignal(signal.SIGTERM)
        assert main([*arguments, "--output", "out"]) == status
        assert signal.getsignal(signal.SIGTERM) is handler
    assert (tmp_path / "out" / "checkpoints").exists() == (seconds == "0")
    assert main(["train", "--resume", "out", "--checkpoint-seconds", seconds]) == 0
    assert main([*arguments, "--output", "whole"]) == 0
    assert_same_training(tmp_path / "out", tmp_path / "whole", "reinforce")


def test_native_environments(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["train", "--fast", "--n-envs", "8", "--timesteps", "4000", "--checkpoint-seconds", "0"]
    with monkeypatch.context() as context:
        train_one = REINFORCE.train
        n_rollouts = 0

        def interrupted(self: REINFORCE) -> None:
            nonlocal n_rollouts
            n_rollouts += 1
            if n_rollouts == 4:
                raise KeyboardInterrupt
            train_one(self)

        context.setattr(REINFORCE, "train", interrupted)
        assert main([*arguments, "--output", "out"]) == 0
    assert main(["train", "--resume", "out"]) == 0
    assert main([*arguments, "--output", "whole"]) == 0
    assert_same_training(tmp_path / "out", tmp_path / "whole", "reinforce")


def test_what_it_was_begun_with_stays(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as context:
        interrupt(context, 100)
        assert main(["train", "--timesteps", "300", "--seed", "5", "--output", "out"]) == 0
    settings = json.loads((tmp_path / "out" / "training.json").read_text())
    assert settings == {
        "algo": "reinforce",
        "env": "CartPole-v1",
        "timesteps": 300,
        "seed": 5,
        "n_envs": 1,
        "fast": False,
        "max_episode_steps": None,
        "finished": False,
    }
    for option in (["--seed", "6"], ["--timesteps", "400"], ["--env", "Acrobot-v1"], ["--fast"], ["--output", "other"]):
        assert f"with the {option[0]} that it was begun with" in error_of(capsys, "train", "--resume", "out", *option)
    assert main(["train", "--resume", "out", "--seed", "5", "--env", "CartPole-v1"]) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"env": "evil_module:CartPole-v1"}, "no module is imported because a file says so"),
        ({"n_envs": -3}, "must be a whole number of at least 1"),
        ({"algo": "ppo"}, "invalid choice"),
        ({"seed": [1]}, "must be a whole number"),
        ({"env": None, "seed": "--output=x"}, "must be a whole number"),
    ],
)
def test_settings_that_somebody_else_has_written(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], change: dict[str, Any], message: str
) -> None:
    settings = {"algo": "reinforce", "env": "CartPole-v1", "timesteps": 10, "seed": 0, "n_envs": 1, "fast": False}
    settings |= {"max_episode_steps": None, "finished": False, **change}
    (tmp_path / "training.json").write_text(json.dumps(settings))
    (tmp_path / "evil_module.py").write_text("raise SystemExit('imported')")
    assert message in error_of(capsys, "train", "--resume", tmp_path)


@pytest.mark.parametrize("content", [None, "", "[]", "{}", '{"algo": "reinforce"}', "\x00", "[" * 100_000])
def test_a_folder_with_no_training(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], content: str | None) -> None:
    if content is not None:
        (tmp_path / "training.json").write_text(content)
    assert "no training" in error_of(capsys, "train", "--resume", tmp_path)


@pytest.mark.parametrize("text", ["-1", "nan", "inf", "soon"])
def test_seconds_between_checkpoints(capsys: pytest.CaptureFixture[str], text: str) -> None:
    assert "must be a number of at least 0" in error_of(capsys, "train", f"--checkpoint-seconds={text}")


def test_a_log_whose_last_line_is_half_written(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as context:
        interrupt(context, 600, signal.SIGTERM)
        assert main(["train", "--timesteps", "1500", "--checkpoint-seconds", "0", "--output", "out"]) == 143
    progress, monitor = tmp_path / "out" / "progress.csv", tmp_path / "out" / "monitor.csv"
    progress.write_text(progress.read_text()[:-7])
    monitor.write_bytes(monitor.read_bytes() + b"12.0,1")
    assert main(["train", "--resume", "out"]) == 0
    assert main(["train", "--timesteps", "1500", "--output", "whole"]) == 0
    assert_same_training(tmp_path / "out", tmp_path / "whole", "reinforce")
    assert np.isfinite(pd.read_csv(monitor, comment="#")["r"]).all()
