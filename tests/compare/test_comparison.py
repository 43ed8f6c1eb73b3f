import datetime
import errno
import importlib
import json
import multiprocessing
import os
import pathlib
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, NoReturn

import gymnasium as gym
import pandas as pd
import pytest
import yaml
from stable_baselines3 import A2C

import sb3_reinforce
from sb3_reinforce.cli import main
from sb3_reinforce.compare import Comparison, compare, results
from sb3_reinforce.compare.plan import RunName
from tests.compare.tiny import HYPERPARAMS

ALGOS = list(HYPERPARAMS)
ENVS = ["CartPole-v1", "FrozenLake-v1"]
TINY: dict[str, Any] = {"timesteps": 200, "eval_freq": 100, "n_eval_episodes": 2, "hyperparams": HYPERPARAMS, "n_jobs": 1}


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, in_process: None) -> None:
    (tmp_path / "own.yml").write_text(yaml.dump(HYPERPARAMS))
    monkeypatch.chdir(tmp_path)


ROOMS = """
import fees
import gymnasium as gym

class Rooms(gym.Env):
    observation_space, action_space = gym.spaces.Discrete(2), gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return 0, {}

    def step(self, action):
        return 0, 10.0 - fees.FEE, True, False, {}

gym.register("Rooms-v0", entry_point="rooms:Rooms")
"""


def arguments(*others: str, algos: list[str] = ALGOS, envs: list[str] = ENVS, n_jobs: int = 1) -> list[str]:
    """Of a command line that does what ``compare(algos, envs, **TINY)`` does."""
    tiny = ["--timesteps", "200", "--eval-freq", "100", "--n-eval-episodes", "2", "--hyperparams", "own.yml"]
    return ["compare", "--algo", *algos, "--env", *envs, *tiny, "--n-jobs", str(n_jobs), *others]


def error_of(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    capsys.readouterr()
    assert main(list(command)) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: ")
    return last


def test_from_python(no_report: list[Any], capfd: pytest.CaptureFixture[str]) -> None:
    comparison = compare(["reinforce", "a2c"], ["CartPole-v1"], 2, folder="out", **TINY)
    assert isinstance(comparison, Comparison)
    assert (comparison.folder, comparison.report) == (pathlib.Path("out"), pathlib.Path("out/report.html"))
    assert comparison.failures == {}
    pd.testing.assert_frame_equal(pd.read_csv("out/results.csv"), comparison.results)
    assert len(comparison.results) == 2 * 2 * 3
    assert set(comparison.results["n_episodes"]) == {2}
    assert len(pd.read_csv("out/times.csv")) == 4
    ((folder, table, thresholds, details),) = no_report
    assert folder == comparison.folder
    assert table is comparison.results
    assert thresholds == {"CartPole-v1": 475.0}
    assert shlex.split(details["command"]) == sys.orig_argv
    assert details["failures"] == []
    assert details["hyperparameters"]["a2c"]["CartPole-v1"] == {**HYPERPARAMS["a2c"]["default"], "n_timesteps": 200}
    assert details["versions"]["sb3-reinforce"] == sb3_reinforce.__version__
    assert {"scipy", "joblib"} <= set(details["versions"])
    assert "joblib" not in pathlib.Path("out/plan.json").read_text()
    out, err = capfd.readouterr()
    assert out == ""
    assert "Not the same number of timesteps" not in err
    assert re.search(r"out: 100%.* 4/4 \[\d\d:\d\d<\d\d:\d\d", err)  # the progress, and the time left


def test_the_command_line_and_the_report(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments("--seeds", "3", "7", algos=["reinforce", "a2c"], envs=["CartPole-v1"])) == 0
    (folder,) = pathlib.Path("logs").iterdir()
    assert re.fullmatch("comparison_[0-9a-f]{8}", folder.name)
    out = capsys.readouterr().out
    assert f"The report:\n  {folder}/report.html" in out
    assert f"  tensorboard --logdir {folder}\n" in out
    assert len([*folder.glob("*/*/events.out.tfevents.*")]) == 4
    assert set(pd.read_csv(folder / "results.csv")["seed"]) == {3, 7}
    text = (folder / "report.md").read_text()
    for said in ("reinforce", "a2c", "CartPole-v1", "n_episodes", "stable-baselines3"):
        assert said in text
    assert "<html" in (folder / "report.html").read_text()


def test_the_same_command_goes_on_where_it_was_stopped(no_report: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    learned: list[int | None] = []
    learn = A2C.learn

    def interrupted(self: A2C, *args: Any, **kwargs: Any) -> A2C:
        if len(learned) == 2:
            raise KeyboardInterrupt
        learned.append(self.seed)
        return learn(self, *args, **kwargs)

    monkeypatch.setattr(A2C, "learn", interrupted)
    assert main(arguments("--seeds", "3", algos=["a2c"], envs=["CartPole-v1"])) == 130
    assert learned == [1, 2]
    (folder,) = pathlib.Path("logs").iterdir()
    assert sorted(path.name for path in (folder / "a2c").iterdir()) == ["CartPole-v1_1", "CartPole-v1_2"]
    learned.clear()
    assert main(arguments("--seeds", "3", algos=["a2c"], envs=["CartPole-v1"])) == 0
    assert learned == [3]
    learned.clear()
    assert main(arguments("--seeds", "3", algos=["a2c"], envs=["CartPole-v1"])) == 0  # nothing is left to do
    assert learned == []
    monkeypatch.setattr(A2C, "learn", learn)
    assert [path for path in pathlib.Path("logs").iterdir()] == [folder]
    once = compare(["a2c"], ["CartPole-v1"], 3, folder="once", **TINY)
    assert (folder / "results.csv").read_bytes() == (once.folder / "results.csv").read_bytes()


def test_what_is_taken_from_disk_is_said(no_report: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    def said(seeds: int) -> str:
        compare(["a2c"], ["CartPole-v1"], seeds, **TINY)
        return capsys.readouterr().err

    assert "Taken from" not in said(2)
    now = f"{datetime.datetime.now():%Y-%m-%d %H:}"
    (folder,) = pathlib.Path("logs").iterdir()
    taken = rf"Taken from '{folder}', and not run again: 2 of 2 runs, which finished (on|from) "
    assert re.search(taken + now, said(2))
    shutil.rmtree(folder / "a2c" / "CartPole-v1_2")
    note = json.loads((folder / "a2c" / "CartPole-v1_1" / "run.json").read_text())
    (folder / "a2c" / "CartPole-v1_1" / "run.json").write_text(json.dumps({**note, "finished": "2024-02-03T04:05:06+00:00"}))
    assert "and not run again: 1 of 2 runs, which finished on 2024-02-03 04:05.\n" in said(2)
    assert re.search(r"2 of 2 runs, which finished from 2024-02-03 04:05 to 20\d\d-", said(2))


def test_code_that_was_edited_is_run_again(
    tmp_path: pathlib.Path, no_report: list[Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def compared(**where: str) -> list[float]:
        for module in ("rooms", "fees"):
            sys.modules.pop(module, None)
        gym.registry.pop("Rooms-v0", None)
        importlib.invalidate_caches()
        results = compare(["reinforce"], ["rooms:Rooms-v0"], 1, **TINY, **where).results
        return results["mean_reward"].tolist()

    (tmp_path / "fees.py").write_text("FEE = 1.0")
    (tmp_path / "rooms.py").write_text(ROOMS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    assert compared() == compared(folder="kept") == [9.0] * 3
    (tmp_path / "fees.py").write_text("FEE = 2.0")
    assert compared() == [8.0] * 3
    assert len([*pathlib.Path("logs").iterdir()]) == 2
    with pytest.raises(ValueError, match=r"'kept' holds a comparison with another plan: the source of fees has changed since"):
        compared(folder="kept")
    (tmp_path / "fees.py").write_text("FEE = 1.0")
    capsys.readouterr()
    assert compared() == [9.0] * 3
    assert "1 of 1 runs, which finished on" in capsys.readouterr().err


def test_episodes_that_were_cut_off_are_said(no_report: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    command = arguments("--seeds", "2", "--max-episode-steps", "3", "--log-folder", "out", algos=["a2c"], envs=["CartPole-v1"])
    assert main(command) == 0
    assert "12 of 12 episodes of evaluations did not end and were cut off; see the report.\n" in capsys.readouterr().err
    results = pd.read_csv("out/results.csv")
    assert results["n_cut_off"].tolist() == [2] * 6
    assert results["mean_ep_length"].tolist() == [3.0] * 6
    assert no_report[0][3]["max_episode_steps"] == {"CartPole-v1": 3}


def forked(target: Callable[..., Any], *args: Any) -> Any:
    """
    A process of its own, which need import nothing. It runs all runs itself, as this one does: what becomes of workers whose
    client is killed, test_execute shows.
    """
    process = multiprocessing.get_context("fork").Process(target=target, args=args)
    process.start()
    return process


@needs_fork
def test_killed_twice_at_random(no_report: list[Any]) -> None:
    rng = random.Random(2)
    algos = ["reinforce", "a2c"]
    command = arguments("--seeds", "4", "--log-folder", "killed", algos=algos, envs=["CartPole-v1"])
    finished = pathlib.Path("killed")
    n_before = 0
    for _ in range(2):
        process = forked(main, command)
        n_finished = n_before + rng.randint(1, 3)
        while sum(1 for _ in finished.glob("*/*/run.json")) < n_finished:
            assert process.is_alive()
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.2))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        n_before = sum(1 for _ in finished.glob("*/*/run.json"))
        assert not (finished / "results.csv").exists()
    assert main(command) == 0
    compare(algos, ["CartPole-v1"], 4, folder="whole", **TINY)
    assert len(pd.read_csv("whole/results.csv")) == 2 * 4 * 3
    assert pathlib.Path("killed/results.csv").read_bytes() == pathlib.Path("whole/results.csv").read_bytes()


@pytest.mark.usefixtures("odd_envs")
def test_a_run_that_fails_does_not_stop_the_rest(no_report: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    command = arguments("--seeds", "2", "--log-folder", "out", algos=["reinforce"], envs=["odd_envs:Raises-v0", "CartPole-v1"])
    error = error_of(capsys, *command)
    assert (
        "runs that have failed, and are not in the results: reinforce on Raises-v0, seeds 1, 2 (RuntimeError: the cart has "
        in error
    )
    assert "'out/failures'" in error
    assert set(pd.read_csv("out/results.csv")["env"]) == {"CartPole-v1"}
    assert len(pd.read_csv("out/results.csv")) == 6
    assert "odd_envs.py" in pathlib.Path("out/failures/reinforce-Raises-v0_1.txt").read_text()
    failure = {"algo": "reinforce", "env": "Raises-v0", "seed": 1, "error": "RuntimeError: the cart has left the rails"}
    assert no_report[0][3]["failures"] == [failure, {**failure, "seed": 2}]
    assert error_of(capsys, *command) == error  # tried again


def test_when_all_have_failed_there_is_a_report_of_that(monkeypatch: pytest.MonkeyPatch) -> None:
    def learn(*_: Any, **__: Any) -> NoReturn:
        raise FloatingPointError("the gradient is not finite")

    monkeypatch.setattr(A2C, "learn", learn)
    comparison = compare(["a2c"], ["CartPole-v1"], 2, folder="out", **TINY)
    assert comparison.results.empty
    assert comparison.failures[RunName("a2c", "CartPole-v1", 2)] == "FloatingPointError: the gradient is not finite"
    text = comparison.report.with_suffix(".md").read_text()
    assert "no run has finished" in text
    assert "a2c in CartPole-v1, seeds 1 and 2:** FloatingPointError: the gradient is not finite" in text


def test_many_failures_are_counted(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def learn(model: A2C, *_: Any, **__: Any) -> NoReturn:
        raise FloatingPointError(f"with seed {model.seed} the gradient is not finite")

    monkeypatch.setattr(A2C, "learn", learn)
    error = error_of(capsys, *arguments("--seeds", "12", algos=["a2c"], envs=["CartPole-v1"]))
    assert "seed 10 (FloatingPointError: with seed 10 the gradient is not finite); and 2 more" in error
    assert "seed 11" not in error


@pytest.mark.usefixtures("odd_envs")
def test_what_can_not_be_set_up_has_failed_and_the_rest_goes_on(
    no_report: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    envs = ["CartPole-v1", "odd_envs:CanNotBeMade-v0"]
    command = arguments("--seeds", "2", "--log-folder", "out", algos=["a2c", "ddpg"], envs=envs)
    assert main(command) == 2
    err = capsys.readouterr().err
    assert err.count("Failed: a2c on CanNotBeMade-v0, seed 1: OSError: no rails") == err.count("Failed: a2c") == 1
    error = err.splitlines()[-1]
    for said in (
        "a2c on CanNotBeMade-v0, seeds 1, 2 (OSError: no rails)",
        "ddpg on CanNotBeMade-v0, seeds 1, 2 (OSError: no rails)",
        "ddpg on CartPole-v1, seeds 1, 2 (",
        "Discrete(2))",
    ):
        assert said in error
    table = pd.read_csv("out/results.csv")
    assert set(zip(table["algo"], table["env"], table["seed"], strict=True)) == {
        ("a2c", "CartPole-v1", 1),
        ("a2c", "CartPole-v1", 2),
    }
    assert len(no_report[0][3]["failures"]) == 2 * 3
    assert "no rails" in pathlib.Path("out/failures/a2c-CanNotBeMade-v0_1.txt").read_text()
    assert error_of(capsys, *command) == error  # also when nothing else is left to do


def test_nothing_runs_if_nothing_can_be_set_up(capsys: pytest.CaptureFixture[str]) -> None:
    own = {"a2c": {"default": {"policy": "MlpPolicy", "learningrate": 0.1}}, "ddpg": {"default": {"policy": "MlpPolicy"}}}
    pathlib.Path("own.yml").write_text(yaml.dump(own))
    error = error_of(capsys, *arguments("--log-folder", "out", algos=list(own), envs=["CartPole-v1"]))
    assert re.search("a2c can't be set up on .* no hyperparameter learningrate .*; ddpg can't be set up on", error)
    assert not pathlib.Path("out").exists()


def test_a_disk_that_is_full_for_a_while(
    no_report: list[Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write = results.write_atomically

    def write_to_full_disk(path: pathlib.Path, content: bytes) -> None:
        if "CartPole-v1_2" in str(path):
            raise OSError(errno.ENOSPC, f"Could not write '{path}': No space left on device")
        write(path, content)

    monkeypatch.setattr(results, "write_atomically", write_to_full_disk)
    command = arguments("--seeds", "3", "--log-folder", "out", algos=["a2c"], envs=["CartPole-v1"])
    error = error_of(capsys, *command)
    assert re.search("a2c on CartPole-v1, seed 2 .OSError: .*Could not write .*: No space left on device", error)
    assert set(pd.read_csv("out/results.csv")["seed"]) == {1, 3}
    monkeypatch.setattr(results, "write_atomically", write)
    assert main(command) == 0
    assert set(pd.read_csv("out/results.csv")["seed"]) == {1, 2, 3}


def main_on_a_full_disk(command: list[str], stderr: int) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
    sys.stderr = os.fdopen(stderr, "w")
    sys.exit(main(command))


@needs_fork
def test_a_disk_that_is_full() -> None:
    """Every write beyond a limit fails, those of a run and those of the comparison."""
    command = arguments("--seeds", "1", "--log-folder", "out", algos=["a2c"], envs=["CartPole-v1"])
    read, write = os.pipe()
    process = forked(main_on_a_full_disk, command, write)
    os.close(write)
    with open(read) as file:
        stderr = file.read()
    process.join()
    assert process.exitcode == 2
    assert re.search("Failed: a2c on CartPole-v1, seed 1: .*(File too large|write)", stderr)
    assert re.search("^error: .*Could not write .*report.html': File too large", stderr.splitlines()[-1])
    assert "Traceback" not in stderr


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (["--algo", "pppo"], "There is no algorithm 'pppo': did you mean ppo?"),
        (["--env", "CartPool-v1"], "There is no environment 'CartPool-v1'"),
        (["--hyperparams", "wrong.yml"], "a2c can't be set up on CartPole-v1.*A2C has no hyperparameter learningrate"),
        (["--hyperparams", "none.yml"], "No such file or directory: 'none.yml'"),
        (["--algo"], "algos must be a list of at least one name"),
        (["--n-jobs", "0"], "n_jobs must be an integer of at least 1 or -1 for all cores, but got 0"),
        (["--address", "host:1"], "loky works on this machine.*'host:1'. Use ray or dask"),
    ],
)
def test_what_can_not_be_done_is_said_before_anything_runs(
    capsys: pytest.CaptureFixture[str], changes: list[str], says: str
) -> None:
    pathlib.Path("wrong.yml").write_text("a2c: {default: {policy: MlpPolicy, learningrate: 0.1}}")
    error = error_of(capsys, *arguments("--log-folder", "out", *changes, algos=["a2c"], envs=["CartPole-v1"]))
    assert re.search(says, error)
    assert not pathlib.Path("out").exists()


def test_budgets_that_are_not_the_same_are_said(no_report: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    budgets = {"a2c": 300, "reinforce": 1200}
    own = {algo: {"default": {**HYPERPARAMS[algo]["default"], "n_timesteps": n}} for algo, n in budgets.items()}
    compare(list(own), ["CartPole-v1"], 1, **{**TINY, "timesteps": None, "hyperparams": own})
    assert "Not the same number of timesteps: on CartPole-v1 a2c 300, reinforce 1,200." in capsys.readouterr().err


def test_hyperparameters_that_were_tuned_for_something_else_are_said(
    no_report: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    own = {"a2c": HYPERPARAMS["a2c"]}  # the user knows where these come from
    compare(["a2c", "reinforce", "trpo"], ["CartPole-v0"], 1, **{**TINY, "hyperparams": own})
    named = "reinforce in CartPole-v0 (those for CartPole-v1); trpo in CartPole-v0 (those for CartPole-v1)."
    assert f"Hyperparameters that were not tuned for the environment itself: {named} Who" in capsys.readouterr().err
    ((*_, details),) = no_report
    assert details["stand_ins"] == {algo: {"CartPole-v0": "CartPole-v1"} for algo in ("reinforce", "trpo")}


def test_what_is_not_installed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sb3_reinforce.compare.plan", None)
    monkeypatch.delattr("sb3_reinforce.compare.plan")
    assert 'pip install ".[compare]"' in error_of(capsys, *arguments())


def test_the_command_line_takes_nothing_that_only_a_comparison_needs() -> None:
    code = "import sys, sb3_reinforce.compare.cli; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"joblib", "rl_zoo3", "scipy", "sb3_contrib"} & set(modules)
