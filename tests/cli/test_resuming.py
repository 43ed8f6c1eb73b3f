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
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sb3_reinforce import REINFORCE, RandomWeightSearch
from sb3_reinforce.cli import main
from sb3_reinforce.cli.run_folder import RunFolder
from tests.cli.helpers import ALL_FILES, FEW, error_of, files, train

pytestmark = pytest.mark.filterwarnings("ignore:rich is experimental/alpha")

LONG = (
    "--defaults",
    "--n-eval-episodes",
    "3",
    "--timesteps",
    "15000",
    "--n-envs",
    "3",
    "--seed",
    "1",
    "--checkpoint-seconds",
    "0",
)
KINDS: dict[str, Any] = {"reinforce": REINFORCE, "random_weight_search": RandomWeightSearch}


RUN = pathlib.Path("logs", "reinforce", "CartPole-v1_1")


def started(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "sb3_reinforce", "train", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def go_on(folder: pathlib.Path, *arguments: str) -> None:
    """In another second: TensorBoard reads its files in the order of the seconds in their names."""
    time.sleep(1.0 - time.time() % 1.0)
    assert main(["train", "--resume", str(folder), *arguments]) == 0


def wait_for_checkpoints(folder: pathlib.Path, process: subprocess.Popen[str]) -> None:
    while not any("steps" in path.name and path.suffix == ".zip" for path in folder.glob("checkpoints/*")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


def assert_same_training(folder: pathlib.Path, other: pathlib.Path, algo: str) -> None:
    ours, theirs = (KINDS[algo].load(each / "CartPole-v1.zip") for each in (folder, other))
    assert ours.num_timesteps == theirs.num_timesteps
    th.testing.assert_close(ours.policy.state_dict(), theirs.policy.state_dict(), rtol=0, atol=0)
    monitors = [(path.name, ["r", "l"]) for path in other.glob("*monitor.csv")]
    for name, columns in (*monitors, ("progress.csv", ["rollout/episode_return", "time/total_timesteps"])):
        logs = [pd.read_csv(each / name, comment="#")[columns] for each in (folder, other)]
        pd.testing.assert_frame_equal(*logs)
    points = [
        [(event.step, event.value) for event in EventAccumulator(str(each)).Reload().Scalars("rollout/episode_return")]
        for each in (folder, other)
    ]
    assert points[0] == points[1]


@pytest.mark.parametrize("algo", KINDS)
def test_a_training_that_was_killed_goes_on_to_the_same_weights(algo: str) -> None:
    killed = pathlib.Path("logs", algo, "CartPole-v1_1")
    process = started("--algo", algo, *LONG)
    wait_for_checkpoints(killed, process)
    process.kill()
    process.communicate()
    if (killed / "CartPole-v1.zip").exists():
        pytest.skip("It had finished before it could be killed")
    assert process.returncode == -signal.SIGKILL
    go_on(killed)
    whole = train("--algo", algo, *LONG, into="whole")
    assert_same_training(killed, whole, algo)
    assert files(killed) == files(whole) == ALL_FILES | {f"{i}.monitor.csv" for i in range(3)}


def test_sigterm_saves_says_so_and_can_be_gone_on_with(capsys: pytest.CaptureFixture[str]) -> None:
    process = started(*LONG)
    wait_for_checkpoints(RUN, process)
    process.terminate()
    out, err = process.communicate()
    assert process.returncode == 143
    assert err == "Stopped.\n"
    assert "Stopped early." in out
    assert f"sb3-reinforce train --resume {RUN}" in out
    assert 0 < REINFORCE.load(RUN / "CartPole-v1.zip").num_timesteps < 15_000
    go_on(RUN)
    assert_same_training(RUN, train(*LONG, into="whole"), "reinforce")
    assert "has finished" in error_of(capsys, "train", "--resume", RUN)


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
    monkeypatch: pytest.MonkeyPatch, seconds: str, sent: int, status: int
) -> None:
    arguments = ["--timesteps", "2000", "--checkpoint-seconds", seconds, *FEW]
    with monkeypatch.context() as context:
        interrupt(context, 1_000, sent)
        handler = signal.getsignal(signal.SIGTERM)
        assert main(["train", *arguments]) == status
        assert signal.getsignal(signal.SIGTERM) is handler
    assert (RUN / "checkpoints").exists() == (seconds == "0")
    go_on(RUN, "--checkpoint-seconds", seconds)
    assert_same_training(RUN, train(*arguments, into="whole"), "reinforce")


def test_a_policy_of_ones_own(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "my_policies.py").write_text(
        "from stable_baselines3.common.policies import ActorCriticPolicy\n\n\nclass Mine(ActorCriticPolicy): ...\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    arguments, named = ["--n-eval-episodes", "1", "--checkpoint-seconds", "0"], ["--policy", "my_policies.Mine"]
    with monkeypatch.context() as context:
        interrupt(context, 300, signal.SIGINT)
        assert main(["train", "-n", "400", *arguments, *named]) == 0
    assert f"sb3-reinforce train --resume {RUN} --policy my_policies.Mine" in capsys.readouterr().out
    for command in (["train", "--resume", RUN], ["enjoy", RUN, "--no-render"]):
        assert "no module is imported because a file says so" in error_of(capsys, *command)
    go_on(RUN, *named)
    assert f"sb3-reinforce enjoy {RUN} --policy my_policies.Mine" in capsys.readouterr().out
    assert main(["enjoy", str(RUN), "--no-render", "--n-eval-episodes", "1", *named]) == 0
    assert type(REINFORCE.load(RUN / "CartPole-v1.zip", trusted=True).policy).__name__ == "Mine"


@pytest.mark.parametrize("kind", ["native", "normalized and evaluated"])
def test_other_environments(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    arguments = ["--n-envs", "8", "--timesteps", "4000", "--checkpoint-seconds", "0", *FEW]
    arguments += ["--fast"] if kind == "native" else ["--normalize", "true", "--frame-stack", "2", "--eval-freq", "500"]
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
        assert main(["train", *arguments]) == 0
    go_on(RUN)
    whole = train(*arguments, into="whole")
    assert_same_training(RUN, whole, "reinforce")
    for name in ("timesteps", "results"):
        ours, theirs = (np.load(folder / "evaluations.npz")[name] for folder in (RUN, whole))
        assert ours.shape == theirs.shape
        assert name == "results" or ours.tolist() == theirs.tolist()


def test_what_it_was_begun_with_stays(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with monkeypatch.context() as context:
        interrupt(context, 100)
        assert main(["train", "--timesteps", "300", "--seed", "5", "--baseline", "mean", *FEW]) == 0
    arguments, config = (yaml.safe_load((RUN / "CartPole-v1" / name).read_text()) for name in ("args.yml", "config.yml"))
    assert arguments == {
        "algo": "reinforce",
        "env": "CartPole-v1",
        "env_kwargs": None,
        "seed": 5,
        "fast": False,
        "max_episode_steps": None,
        "n_eval_episodes": 10,
        "eval_freq": 0,
        "video_freq": 0,
        "finished": False,
    }
    assert config == {
        "policy": "LinearSoftmaxPolicy",
        "n_timesteps": 300,
        "n_episodes": 8,
        "learning_rate": "lin_0.2",
        "baseline": "mean",
    }
    for option in (
        *(["--seed", "6"], ["--timesteps", "400"], ["--fast"], ["--baseline", "value"], ["--no-reward-to-go"]),
        *(["--log-folder", "other"], ["--env", "Acrobot-v1"]),
    ):
        assert f"with the {option[0]} that it was begun with".replace("no-", "") in error_of(
            capsys, "train", "--resume", RUN, *option
        )
    go_on(RUN, "--seed", "5", "--env", "CartPole-v1")


@pytest.mark.parametrize(
    ("arguments", "config", "message"),
    [
        ({"env": "evil_module:CartPole-v1"}, {}, "no module is imported because a file says so"),
        ({}, {"n_envs": -3}, "must be an integer of at least 1"),
        ({"algo": "ppo"}, {}, "algo must be"),
        ({"algo": [1]}, {}, "algo must be"),
        ({"seed": [1]}, {}, "seed must be"),
        ({"seed": "--log-folder=x"}, {}, "seed must be"),
        ({}, {"env_wrapper": "evil_module.Wrapper"}, "use --trusted"),
        ({}, {"train_env_wrapper": [{"evil_module.Wrapper": {}}]}, "use --trusted"),
        ({}, {"vec_env_wrapper": "evil_module.Wrapper"}, "use --trusted"),
        ({}, {"normalize": "__import__('evil_module')"}, "use --trusted"),
        ({}, {"epsilon": "__import__('evil_module')"}, "use --trusted"),
        ({}, {"policy_kwargs": "dict(a=__import__('evil_module'))"}, "use --trusted"),
    ],
)
def test_settings_that_somebody_else_has_written(
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    arguments: dict[str, Any],
    config: dict[str, Any],
    message: str,
) -> None:
    settings = {"algo": "reinforce", "env": "CartPole-v1", "seed": 0, "fast": False, "finished": False}
    settings |= {"max_episode_steps": None, "n_eval_episodes": 1, "eval_freq": 0, "video_freq": 0, "env_kwargs": None}
    RunFolder(tmp_path, "CartPole-v1").write_settings(settings | arguments, {"n_timesteps": 10} | config)
    (tmp_path / "evil_module.py").write_text("raise SystemExit('imported')")
    assert message in error_of(capsys, "train", "--resume", tmp_path)


@pytest.mark.parametrize("content", [None, "", "[]", "{}", "algo: reinforce", "\x00", "[" * 1_000, "a: !!python/tuple [1]"])
def test_a_folder_with_no_training(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], content: str | None) -> None:
    if content is not None:
        RunFolder(tmp_path, "CartPole-v1").write_settings({}, {})
        (tmp_path / "CartPole-v1" / "args.yml").write_text(content)
    assert "no training" in error_of(capsys, "train", "--resume", tmp_path)


@pytest.mark.parametrize("text", ["-1", "nan", "inf", "soon"])
def test_seconds_between_checkpoints(capsys: pytest.CaptureFixture[str], text: str) -> None:
    assert "must be a" in error_of(capsys, "train", f"--checkpoint-seconds={text}")


def test_a_log_whose_last_line_is_half_written(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as context:
        interrupt(context, 600, signal.SIGTERM)
        assert main(["train", "--timesteps", "1500", "--checkpoint-seconds", "0", *FEW]) == 143
    progress, monitor = RUN / "progress.csv", RUN / "0.monitor.csv"
    progress.write_text(progress.read_text()[:-7])
    monitor.write_bytes(monitor.read_bytes() + b"12.0,1")
    go_on(RUN)
    assert_same_training(RUN, train("--timesteps", "1500", into="whole"), "reinforce")
    assert np.isfinite(pd.read_csv(monitor, comment="#")["r"]).all()
