import os
import pathlib
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

import sb3_reinforce
from sb3_reinforce.cli import main
from sb3_reinforce.cli.main import COMMANDS
from tests.cli.helpers import ALL_FILES, error_of, files

pytestmark = pytest.mark.filterwarnings("ignore:rich is experimental/alpha")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["train", "--env", "CartPool-v1"], "environment 'CartPool-v1' can't be made.*CartPole"),
        (["train", "--env", "CartPole-v9"], "'CartPole-v9' can't be made"),
        (["train", "--env", "no_such_module:Env-v0"], "'no_such_module:Env-v0' can't be made"),
        (["train", "--algo", "ppo"], "invalid choice 'ppo' for argument '--algo'"),
        (["dance"], "there is no command 'dance'"),
        (["--dance"], "Unrecognized options: --dance"),
        (["train", "-n", "0"], "--timesteps: must be a whole number of at least 1, but got '0'"),
        (["train", "--timesteps", "1e-5"], "--timesteps: must be a whole number of at least 1, but got '1e-5'"),
        (["train", "--timesteps", "many"], "but got 'many'"),
        (["train", "--n-envs", "-2"], "--n-envs.*"),
        (["train", "--seed", "-1"], "--seed.*"),
        (["train", "--seed", "4294967296"], "--seed: must be a whole number from 0 to 4294967295, but got '4294967296'"),
        (["train", "--seed", "x"], "--seed.*'x'"),
        (["train", "--log-folder"], "--log-folder"),
        (["train", "-f", "file"], "'file/reinforce/.*' can't be made a folder: it is a file, .*--log-folder"),
        (["train", "--env", "Blackjack-v1", "--defaults"], "Observations must be Box.*Tuple"),
        (["train", "--env", "Unbounded-v0"], "must have finite bounds"),
        (["train", "--env", "Pair-v0"], "Tuple"),
        (["train", "--env", "Pair-v0", "--algo", "random_weight_search"], "Tuple"),
        (["train", "--max-episode-steps", "0"], "--max-episode-steps: must be a whole number of at least 1, but got '0'"),
        (["train", "--gamma", "much"], "--gamma: must be a number, but got 'much'"),
        (["train", "--gamma", "2"], "gamma of REINFORCE must be a finite number from 0 to 1, but got 2"),
        (["train", "--baseline", "median"], "baseline of REINFORCE must be.*'median'"),
        (["train", "--epsilon", "EpsilonSchedule(2)"], "'EpsilonSchedule\\(2\\)' can't be evaluated"),
        (["train", "--policy", "TreePolicy"], "TreePolicy"),
        (["train", "--policy", "no_such_module.Mine"], "There is no policy 'no_such_module.Mine': No module named"),
        (["train", "--policy", ""], "Policy '' is unknown"),
        (["train", "--policy-kwargs", "net_arch"], "policy_kwargs must be name=value pairs in dict.*'net_arch'"),
        (["train", "--policy-kwargs", "[1]"], "policy_kwargs must be name=value pairs in dict"),
        (["train", "--normalize", "dict(clip=1)"], "can't be wrapped in VecNormalize.*clip"),
        (["train", "--learning-rate", "lin_x"], "a schedule must be lin_ and a number.*'lin_x'"),
        (["train", "--policy", "os.getcwd"], "'os.getcwd' is no policy. Name a subclass of ActorCriticPolicy"),
        (["train", "--policy", "MlpPolicy", "--policy-kwargs", "dict(depth=3)"], "has no argument depth"),
        (["train", "--natrual-gradient"], "Perhaps you meant: --natural-gradient"),
        (["train", "--env-wrapper", "gymnasium.wrappers.Nothing"], "There is no wrapper 'gymnasium.wrappers.Nothing'"),
        (["train", "--env-wrapper", "os.getcwd"], "'os.getcwd' is no wrapper"),
        (["train", "--env-wrapper", "{gymnasium.wrappers.TimeLimit: {steps: 3}}"], r"can't be wrapped in \w*TimeLimit.*steps"),
        (["train", "--env-kwargs", "gravity"], "must be name:value"),
        (["train", "--env-kwargs", "lightness:3"], "'CartPole-v1' can't be made.*lightness"),
        (["train", "--fast", "--env-wrapper", "sb3_reinforce.SuccessRewardWrapper"], "not SuccessRewardWrapper"),
        (["enjoy"], "there is no run of reinforce on CartPole-v1 in 'logs'. Train one: sb3-reinforce train"),
        (["enjoy", "-f", "file"], "'file' is a file, not a folder with runs in it: name another"),
        (["enjoy", "--algo", "nope"], "There is no algorithm 'nope': there are a2c, .*ppo, .*reinforce, "),
        (["zoo", "train", "--algo", "pppo", "--env", "CartPole-v1"], "There is no algorithm 'pppo': did you mean ppo"),
        (["zoo", "all_plots", "-a", "nope", "-e", "CartPole-v1", "-f", "file"], "There is no algorithm 'nope': there are a2c"),
        (["enjoy", "file", "--max-episode-steps", "1.5"], "--max-episode-steps: must be a whole number .*'1.5'"),
        (["enjoy", "file", "--n-eval-episodes", "0"], "--n-eval-episodes"),
        (["enjoy", "file", "--video", "film.avi"], "--video must end in"),
        (["compare", "--algo", "reinforce", "--env", "CartPole-v1", "--backend", "foo"], "--backend.*loky"),
        (["compare", "--env", "CartPole-v1"], "--algo"),
        (["compare", "--algo", "reinforce", "--env", "CartPole-v1", "-f", "file"], "'file' can't be made a folder"),
        (["compare", "--algo", "reinforce", "--env", "CartPole-v1", "--seeds", "-1"], "--seeds"),
    ],
)
@pytest.mark.usefixtures("odd_envs")
def test_what_can_not_be_done_is_said_in_a_line(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    (tmp_path / "file").touch()
    assert re.search(says, error_of(capsys, *arguments))
    assert files(tmp_path) == {"file"}  # and nothing was left behind


def in_a_process(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    home = str(pathlib.Path(sb3_reinforce.__file__).parents[1])
    return subprocess.run(
        [sys.executable, "-m", "sb3_reinforce", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": home, **environment},
        check=False,
    )


@pytest.mark.parametrize("argument", ["--help", "-h"])
def test_help(capsys: pytest.CaptureFixture[str], argument: str) -> None:
    assert main([argument]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) < 80
    assert all(any(line.startswith(f"  {command}") for line in lines) for command in COMMANDS)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"sb3-reinforce {sb3_reinforce.__version__}\n"


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_what_can_be_said_at_once_imports_nothing_for_it(argument: str) -> None:
    code = (
        f"import sys; from sb3_reinforce.cli import main; main([{argument!r}]); "
        "assert not {'torch', 'numpy', 'gymnasium', 'tyro'} & set(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("command", ["train", "enjoy", "compare"])
def test_no_line_of_help_is_broken_at_80_columns(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main([command, "--help"]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    words = " ".join(out.replace("│", " ").split())
    for option in ("--env", "-n N", "--timesteps", "-f PATH", "--log-folder", "--n-eval-episodes", "--max-episode-steps"):
        assert option in words or (command, option) in (("enjoy", "-n N"), ("enjoy", "--timesteps"))
    assert "timesteps after which an episode" in words.lower()


def test_a_package_that_is_not_there(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)
    assert re.search(r"needs the package 'tqdm' .*: pip install \"\.\[extra\]\"", error_of(capsys, "train"))
    modules = ("train", "enjoy", "settings", "options", "loading", "environments")
    for name in {f"sb3_reinforce.cli.{module}" for module in modules} & set(sys.modules):
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tyro", None)
    for command in ("train", "enjoy"):
        assert f"error: sb3-reinforce {command} needs the package 'tyro'" in error_of(capsys, command)


@pytest.mark.parametrize("arguments", [[], ["--seed", "3"], ["train", "--seed=3"]])
def test_without_a_command_it_trains(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    from sb3_reinforce.cli import train

    called: list[list[str]] = []

    def record(given: list[str]) -> int:
        called.append(given)
        return 0

    monkeypatch.setattr(train, "main", record)
    assert main(arguments) == 0
    assert called == [[argument for argument in arguments if argument != "train"]]


def test_as_a_process(tmp_path: pathlib.Path) -> None:
    done = in_a_process("train", "--timesteps", "3e2", "--n-eval-episodes", "5", "-f", "out", COLUMNS="80")
    assert (done.returncode, done.stderr) == (0, "")
    assert "5 fresh episodes" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert files(tmp_path / "out" / "reinforce" / "CartPole-v1_1") == ALL_FILES


@pytest.mark.skipif(os.name != "posix", reason="a terminal of its own")
def test_a_terminal_is_told_at_once_that_something_happens(tmp_path: pathlib.Path) -> None:
    import pty

    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "sb3_reinforce", "train", "--help"], stdout=subprocess.PIPE, stderr=theirs
    )
    first = os.read(ours, 1000).decode()
    assert first.startswith(f"sb3-reinforce {sb3_reinforce.__version__}: importing PyTorch")
    assert "torch" in first.lower()
    assert process.poll() is None, "it has said so before it was through"
    process.kill()
    process.communicate()


ROOT = pathlib.Path(__file__).parents[2]
SHOWN = sorted(
    {
        line.strip().removeprefix("python -m sb3_reinforce ").removeprefix("sb3-reinforce ")
        for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"))
        for line in page.read_text(encoding="utf-8").splitlines()
        if re.match(r"    (python -m sb3_reinforce|sb3-reinforce) (train|enjoy|compare) ", line)
    }
)


@pytest.mark.parametrize("line", SHOWN)
def test_commands_that_are_shown_can_be_read(line: str) -> None:
    """Nothing is trained."""
    from sb3_reinforce.cli.enjoy import read_command
    from sb3_reinforce.cli.settings import read_plan
    from sb3_reinforce.compare.cli import read_arguments

    readers: dict[str, Callable[[list[str]], Any]] = {"train": read_plan, "enjoy": read_command, "compare": read_arguments}
    command, *arguments = shlex.split(line, comments=True)
    if "--help" in arguments or "--resume" in arguments:
        pytest.skip("says what it says elsewhere")
    assert readers[command](arguments)
