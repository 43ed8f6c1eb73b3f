import argparse
import json
import os
import pathlib
import pickle
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from typing import Any, NoReturn

import gymnasium as gym
import imageio.v3 as iio
import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from gymnasium import spaces
from stable_baselines3 import PPO
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sb3_reinforce import REINFORCE, RandomWeightSearch, cli
from sb3_reinforce.cli import main

pytestmark = pytest.mark.filterwarnings("ignore:rich is experimental/alpha")


@pytest.fixture(autouse=True)
def _few_evaluations(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "N_EVAL_EPISODES", 10)
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))  # or SDL complains on stderr
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A folder that the command line has left; not to be written to."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cli, "N_EVAL_EPISODES", 10)
        assert main(["train", "--timesteps", "500", "--seed", "3", "--output", str(folder)]) == 0
    return folder


class Refused(gym.Env[np.ndarray, Any]):
    """Spaces and rendering that nobody serves."""

    observation_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
    metadata = {"render_modes": []}
    render_mode = None

    def __init__(self, action_space: spaces.Space) -> None:
        self.action_space = action_space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        return np.zeros(2, np.float32), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        return np.zeros(2, np.float32), np.nan, True, False, {}


@pytest.fixture
def _refused_envs() -> Iterator[None]:
    actions = {
        "Unbounded-v0": spaces.Box(-np.inf, np.inf, (1,), np.float32),
        "Pair-v0": spaces.Tuple([spaces.Discrete(2), spaces.Discrete(2)]),
        "NaN-v0": spaces.Discrete(2),
    }
    for env_id, space in actions.items():
        gym.register(env_id, entry_point=Refused, kwargs={"action_space": space}, disable_env_checker=True)
    gym.register("Mute-v0", entry_point=lambda render_mode: Refused(spaces.Discrete(2)))
    yield
    for env_id in (*actions, "Mute-v0"):
        del gym.registry[env_id]


def error_of(capsys: pytest.CaptureFixture[str], *arguments: str | pathlib.Path) -> str:
    """The one line that a command line which can't be served gets."""
    capsys.readouterr()
    assert main([str(argument) for argument in arguments]) == 2
    out, err = capsys.readouterr()
    assert err.count("\n") == 1
    assert err.startswith("error: ")
    assert "Traceback" not in out + err
    return err


def files(folder: pathlib.Path) -> set[str]:
    return {"events" if path.name.startswith("events.out.tfevents") else path.name for path in folder.iterdir()}


ALL_FILES = {"model.zip", "events", "monitor.csv", "evaluation.json", "learning_curve.png", "progress.csv"}


# train


def test_train_leaves_everything(trained: pathlib.Path) -> None:
    assert files(trained) == ALL_FILES
    model = REINFORCE.load(trained / "model.zip")
    evaluation = json.loads((trained / "evaluation.json").read_text())
    assert evaluation["timesteps"] == model.num_timesteps >= 500
    assert (evaluation["env"], evaluation["algo"], evaluation["seed"], evaluation["n_envs"]) == (
        "CartPole-v1",
        "reinforce",
        3,
        1,
    )
    assert len(evaluation["returns"]) == len(evaluation["lengths"]) == evaluation["n_eval_episodes"] == 10
    assert evaluation["mean_reward"] == pytest.approx(np.mean(evaluation["returns"]))
    assert evaluation["mean_ep_length"] == pytest.approx(np.mean(evaluation["lengths"]))
    assert evaluation["solved"] is (evaluation["mean_reward"] >= evaluation["reward_threshold"] == 475)
    episodes = pd.read_csv(trained / "monitor.csv", skiprows=1)["l"].tolist()
    progress = pd.read_csv(trained / "progress.csv")
    assert progress["rollout/episode_length"].dropna().tolist() == episodes
    assert sum(episodes) == model.num_timesteps
    events = EventAccumulator(str(trained)).Reload()
    assert [event.value for event in events.Scalars("rollout/episode_length")] == episodes
    assert {"train/policy_loss", "rollout/epsilon", "rollout/episode_return"} <= set(events.Tags()["scalars"])
    assert matplotlib.image.imread(trained / "learning_curve.png").std() > 0.01


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


def test_no_argument_at_all_trains_cartpole(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[argparse.Namespace] = []
    monkeypatch.setattr(cli, "train_command", called.append)
    assert main([]) == 0
    (options,) = called
    assert (options.algo, options.env, options.timesteps, options.seed, options.n_envs) == (
        "reinforce",
        "CartPole-v1",
        None,
        0,
        1,
    )


def test_the_same_seed_gives_the_same_model(trained: pathlib.Path, tmp_path: pathlib.Path) -> None:
    for seed in ("3", "4"):
        assert main(["train", "--timesteps", "500", "--seed", seed, "--output", seed]) == 0
    same, other = (json.loads((tmp_path / seed / "evaluation.json").read_text())["returns"] for seed in ("3", "4"))
    assert same == json.loads((trained / "evaluation.json").read_text())["returns"]
    assert same != other


@pytest.mark.parametrize("algo", ["reinforce", "random_weight_search"])
def test_several_environments(tmp_path: pathlib.Path, algo: str) -> None:
    assert main(["train", "--algo", algo, "--timesteps", "600", "--n-envs", "4", "--output", "out"]) == 0
    assert files(tmp_path / "out") == ALL_FILES
    evaluation = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert evaluation["n_envs"] == 4
    assert evaluation["timesteps"] % 4 == 0
    cls = {"reinforce": REINFORCE, "random_weight_search": RandomWeightSearch}[algo]
    assert cls.load(tmp_path / "out" / "model").n_envs == 4
    assert len(pd.read_csv(tmp_path / "out" / "monitor.csv", skiprows=1)) > 8


@pytest.mark.parametrize(
    ("algo", "env", "policy"),
    [
        ("reinforce", "Pendulum-v1", "MlpPolicy"),
        ("random_weight_search", "Pendulum-v1", "MlpPolicy"),
        ("reinforce", "FrozenLake-v1", "LinearSoftmaxPolicy"),
    ],
)
def test_other_spaces(tmp_path: pathlib.Path, algo: str, env: str, policy: str) -> None:
    assert main(["train", "--algo", algo, "--env", env, "--timesteps", "400", "--output", "out"]) == 0
    evaluation = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert evaluation["policy"] == policy
    assert evaluation["solved"] is (None if env == "Pendulum-v1" else False)


@pytest.mark.parametrize("algo", ["reinforce", "random_weight_search"])
def test_fast_uses_the_native_environments(tmp_path: pathlib.Path, algo: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--fast", "--n-envs", "16", "--timesteps", "2000", "--seed", "0", "--output", str(tmp_path / "run")]
    assert main(["train", "--algo", algo, *arguments]) == 0
    assert "16 x gymnasium (native)" in " ".join(capsys.readouterr().out.split())
    kind = {"reinforce": REINFORCE, "random_weight_search": RandomWeightSearch}[algo]
    assert kind.load(tmp_path / "run" / "model.zip").num_timesteps >= 2_000
    assert len(pd.read_csv(tmp_path / "run" / "monitor.csv", skiprows=1)) > 10


@pytest.mark.parametrize("algo", ["reinforce", "random_weight_search"])
def test_ctrl_c_keeps_what_was_learned(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], algo: str
) -> None:
    step = gym.wrappers.TimeLimit.step
    n_steps = 0

    def interrupted_step(self: Any, action: Any) -> Any:
        nonlocal n_steps
        n_steps += 1
        if n_steps == 700:
            raise KeyboardInterrupt
        return step(self, action)

    monkeypatch.setattr(gym.wrappers.TimeLimit, "step", interrupted_step)
    assert main(["train", "--algo", algo, "--output", "out", "--seed", "1"]) == 0
    assert "Stopped early" in capsys.readouterr().out
    assert files(tmp_path / "out") == ALL_FILES
    assert json.loads((tmp_path / "out" / "evaluation.json").read_text())["timesteps"] == 699
    cls = {"reinforce": REINFORCE, "random_weight_search": RandomWeightSearch}[algo]
    model: Any = cls.load(tmp_path / "out" / "model.zip")
    assert model.policy.action_net.weight.abs().sum() > 0


def test_ctrl_c_before_anything_was_learned(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: Any, **__: Any) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(REINFORCE, "learn", interrupted)
    assert main(["train", "--output", "out"]) == 0
    assert files(tmp_path / "out") == ALL_FILES - {"learning_curve.png"}
    assert "No learning curve: There is nothing to plot" in capsys.readouterr().out


def test_ctrl_c_while_evaluating(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: Any, **__: Any) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "evaluate_policy", interrupted)
    assert main(["train", "--timesteps", "100", "--output", "out"]) == 130
    assert "model.zip" in files(tmp_path / "out")
    assert capsys.readouterr().err == "Stopped.\n"


def test_a_folder_that_holds_a_model_is_left_alone(trained: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path.name: path.read_bytes() for path in trained.iterdir()}
    assert "already holds a model" in error_of(capsys, "train", "--timesteps", "100", "--output", trained)
    assert {path.name: path.read_bytes() for path in trained.iterdir()} == before


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
        (["train", "--env", "Unbounded-v0"], "can't be trained on 'Unbounded-v0'.*finite"),
        (["train", "--env", "Pair-v0"], "Tuple"),
        (["train", "--env", "Pair-v0", "--algo", "random_weight_search"], "Tuple"),
        (["enjoy"], "required: model"),
        (["enjoy", "file", "--episodes", "0"], "--episodes"),
        (["enjoy", "file", "--render", "3d"], "--render: invalid choice: '3d'"),
    ],
)
@pytest.mark.usefixtures("_refused_envs")
def test_what_can_not_be_done_is_said_in_a_line(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    (tmp_path / "file").touch()
    assert re.search(says, error_of(capsys, *arguments))
    assert files(tmp_path) == {"file"}  # and nothing was left behind


@pytest.mark.usefixtures("_refused_envs")
def test_an_environment_that_goes_wrong_while_training(capsys: pytest.CaptureFixture[str]) -> None:
    assert "reward that is not finite" in error_of(capsys, "train", "--env", "NaN-v0", "--output", "out")


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as info:
        main(["--help"])
    assert info.value.code == 0
    out = capsys.readouterr().out
    assert "train" in out
    assert "enjoy" in out


def test_a_package_that_is_not_there(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "rich", None)
    assert "needs the package 'rich': pip install \"sb3-reinforce[extra]\"" in error_of(capsys, "train")


# enjoy


@pytest.mark.parametrize("suffix", [".gif", ".mp4", ".GIF"])
def test_enjoy_writes_a_video(
    trained: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], suffix: str
) -> None:
    video = tmp_path / "videos" / f"two{suffix}"
    assert main(["enjoy", str(trained), "--video", str(video), "--episodes", "2", "--seed", "5"]) == 0
    lengths = [int(line.split()[4]) for line in capsys.readouterr().out.splitlines() if line.startswith("Episode")]
    assert len(lengths) == 2
    frames = iio.imread(video, extension=suffix.lower())
    assert len(frames) <= sum(lengths)
    if suffix == ".mp4":
        assert len(frames) == sum(lengths)  # a GIF joins frames that are the same
    assert frames.shape[1:] == (400, 600, 3)
    assert frames[0].std() > 1
    assert (frames[0] != frames[-1]).any()
    assert files(video.parent) == {video.name}


@pytest.mark.parametrize("what", ["folder", "file", "file without suffix"])
def test_enjoy_finds_the_model(trained: pathlib.Path, capsys: pytest.CaptureFixture[str], what: str) -> None:
    path = {"folder": trained, "file": trained / "model.zip", "file without suffix": trained / "model"}[what]
    assert main(["enjoy", str(path), "--render", "rgb_array", "--episodes", "1"]) == 0
    assert "Episode 1 finished after" in capsys.readouterr().out


def test_enjoy_on_the_screen(
    trained: pathlib.Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(gym.envs.classic_control.CartPoleEnv.metadata, "render_fps", 1000)
    assert main(["enjoy", str(trained), "--episodes", "1"]) == 0
    out, err = capsys.readouterr()
    assert "Episode 1 finished after" in out
    assert err == ""


def test_enjoy_plays_new_episodes_each_time_but_the_same_with_a_seed(
    trained: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def played(*arguments: str) -> str:
        assert main(["enjoy", str(trained), "--render", "rgb_array", "--episodes", "4", *arguments]) == 0
        return capsys.readouterr().out

    assert played("--seed", "1") == played("--seed", "1") != played("--seed", "2")
    assert played() != played()


@pytest.mark.parametrize("algo", ["random_weight_search", "reinforce"])
def test_enjoy_a_model_of_box_actions(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], algo: str) -> None:
    assert main(["train", "--algo", algo, "--env", "Pendulum-v1", "--timesteps", "200", "--output", "out"]) == 0
    capsys.readouterr()
    assert main(["enjoy", "out", "--render", "rgb_array", "--episodes", "1"]) == 0
    assert "Episode 1 finished after 200 timesteps" in capsys.readouterr().out


def test_enjoy_a_model_from_elsewhere(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    REINFORCE("LinearSoftmaxPolicy", "CartPole-v1").save("mine")
    assert "name it with --env" in error_of(capsys, "enjoy", "mine")
    (tmp_path / "evaluation.json").write_text("[]")
    assert "name it with --env" in error_of(capsys, "enjoy", "mine")
    assert main(["enjoy", "mine", "--env", "CartPole-v1", "--render", "rgb_array", "--episodes", "1"]) == 0


def test_enjoy_what_is_no_model(tmp_path: pathlib.Path, trained: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty.zip").touch()
    (tmp_path / "text.zip").write_text("not a zip")
    with zipfile.ZipFile("other.zip", "w") as archive:
        archive.writestr("readme", "hello")
    for data in ("[]", "3", "{}", "{"):
        with zipfile.ZipFile(f"data{len(data)}{ord(data[0])}.zip", "w") as archive:
            archive.writestr("data", data)
    PPO("MlpPolicy", "CartPole-v1", device="cpu").save("ppo")
    assert "there is no model at 'nowhere'" in error_of(capsys, "enjoy", "nowhere")
    assert "there is no model at" in error_of(capsys, "enjoy", tmp_path)
    for name in sorted(path.name for path in tmp_path.glob("*.zip")):
        error = error_of(capsys, "enjoy", name, "--env", "CartPole-v1")
        assert f"'{name}'" in error
        assert "is damaged" in error or "was saved by neither of reinforce, random_weight_search" in error


@pytest.mark.parametrize("part", ["data", "policy.pth", "policy.optimizer.pth", "pytorch_variables.pth"])
def test_enjoy_a_damaged_model(
    tmp_path: pathlib.Path, trained: pathlib.Path, capsys: pytest.CaptureFixture[str], part: str
) -> None:
    content = bytearray((trained / "model.zip").read_bytes())
    with zipfile.ZipFile(trained / "model.zip") as archive:
        start = archive.getinfo(part).header_offset + 30 + len(part)
    content[start + 100] ^= 0xFF
    (tmp_path / "damaged.zip").write_bytes(content)
    assert "'damaged.zip' is not a saved model, or is damaged" in error_of(
        capsys, "enjoy", "damaged.zip", "--env", "CartPole-v1"
    )
    (tmp_path / "cut.zip").write_bytes(content[: len(content) // 2])
    assert "'cut.zip' is not a saved model, or is damaged" in error_of(capsys, "enjoy", "cut.zip", "--env", "CartPole-v1")


@pytest.mark.parametrize("part", ["policy.pth", "pytorch_variables.pth"])
@pytest.mark.parametrize(
    "content", [b"", b"nonsense", pickle.dumps({"a": 1}, protocol=2)], ids=["empty", "nonsense", "pickle"]
)
def test_enjoy_a_model_whose_weights_are_no_weights(
    trained: pathlib.Path, capsys: pytest.CaptureFixture[str], part: str, content: bytes
) -> None:
    with zipfile.ZipFile(trained / "model.zip") as archive, zipfile.ZipFile("forged.zip", "w") as forged:
        for name in archive.namelist():
            forged.writestr(name, content if name == part else archive.read(name))
    error_of(capsys, "enjoy", "forged.zip", "--env", "CartPole-v1")


def test_enjoy_in_another_environment(trained: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "spaces do not match" in error_of(capsys, "enjoy", trained, "--env", "Acrobot-v1", "--render", "rgb_array")
    assert "'Nope-v0' can't be made" in error_of(capsys, "enjoy", trained, "--env", "Nope-v0")


@pytest.mark.usefixtures("_refused_envs")
@pytest.mark.filterwarnings("ignore:.*not in the possible render_modes")
@pytest.mark.parametrize(
    ("env", "says"), [("NaN-v0", "'NaN-v0' can't be made.*render_mode"), ("Mute-v0", "'Mute-v0' can't be rendered")]
)
def test_enjoy_where_nothing_can_be_seen(capsys: pytest.CaptureFixture[str], env: str, says: str) -> None:
    REINFORCE("LinearSoftmaxPolicy", "NaN-v0").save("blind")
    assert re.search(says, error_of(capsys, "enjoy", "blind", "--env", env, "--video", "blind.gif"))
    assert not pathlib.Path("blind.gif").exists()


@pytest.mark.parametrize("name", ["film.avi", "film", "gif"])
def test_enjoy_with_another_suffix(trained: pathlib.Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert f"--video must end in .mp4 or .gif, but got '{name}'" in error_of(capsys, "enjoy", trained, "--video", name)


def test_a_video_is_not_played_on_the_screen(trained: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--video needs --render rgb_array" in error_of(capsys, "enjoy", trained, "--video", "a.gif", "--render", "human")


def test_a_video_that_breaks_off_leaves_the_old_one(
    trained: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: Any) -> NoReturn:
        raise OSError(28, "No space left on device")

    (tmp_path / "film.gif").write_bytes(b"old")
    monkeypatch.setattr(pathlib.Path, "replace", full)
    assert "No space left" in error_of(capsys, "enjoy", trained, "--video", "film.gif", "--episodes", "1")
    assert (tmp_path / "film.gif").read_bytes() == b"old"
    assert files(tmp_path) == {"film.gif"}


def test_ctrl_c_while_playing(
    trained: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: Any, **__: Any) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(REINFORCE, "predict", interrupted)
    assert main(["enjoy", str(trained), "--render", "rgb_array"]) == 0
    assert "Stopped." in capsys.readouterr().out


# As a process


def test_as_a_process(tmp_path: pathlib.Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "sb3_reinforce", *arguments],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(pathlib.Path(cli.__file__).parents[1])},
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
