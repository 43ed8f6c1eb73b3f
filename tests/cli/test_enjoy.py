import os
import pathlib
import pickle
import re
import shutil
import sys
import zipfile
from collections.abc import Iterator
from typing import Any, NoReturn

import gymnasium as gym
import imageio.v3 as iio
import numpy as np
import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecNormalize

from sb3_reinforce import REINFORCE, PythonVecEnv
from sb3_reinforce.cli import main
from sb3_reinforce.cli.run_folder import RunFolder
from sb3_reinforce.common.evaluation import DEFAULT_MAX_EPISODE_STEPS
from sb3_reinforce.sharing import write_package
from tests.cli.helpers import error_of, files, train

pytestmark = pytest.mark.filterwarnings("ignore:rich is experimental/alpha")


@pytest.mark.parametrize("suffix", [".gif", ".mp4", ".GIF"])
def test_enjoy_writes_a_video(
    trained: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], suffix: str
) -> None:
    video = tmp_path / "videos" / f"two{suffix}"
    command = ["enjoy", str(trained), "--video", str(video), "--n-eval-episodes", "2", "--seed", "5"]
    assert main([*command, "--max-episode-steps", "15"]) == 0
    lengths = [int(length) for length in re.findall(r"after (\d+) timesteps, return", capsys.readouterr().out)]
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
    path = {"folder": trained, "file": trained / "CartPole-v1.zip", "file without suffix": trained / "CartPole-v1"}[what]
    assert main(["enjoy", str(path), "--no-render", "--n-eval-episodes", "1"]) == 0
    assert "Episode 1 finished after" in capsys.readouterr().out


def test_enjoy_on_the_screen(
    trained: pathlib.Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(gym.envs.classic_control.CartPoleEnv.metadata, "render_fps", 1000)
    assert main(["enjoy", str(trained), "--n-eval-episodes", "1"]) == 0
    out, err = capsys.readouterr()
    assert "Episode 1 finished after" in out
    assert err == ""


def test_enjoy_plays_new_episodes_each_time_but_the_same_with_a_seed(
    trained: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def played(*arguments: str) -> str:
        assert main(["enjoy", str(trained), "--no-render", "--n-eval-episodes", "4", *arguments]) == 0
        return capsys.readouterr().out

    assert played("--seed", "1") == played("--seed", "1") != played("--seed", "2")
    assert played() != played()


@pytest.mark.parametrize("algo", ["random_weight_search", "reinforce"])
def test_enjoy_a_model_of_box_actions(capsys: pytest.CaptureFixture[str], algo: str) -> None:
    train("--algo", algo, "--env", "Pendulum-v1", "-n", "200", "--defaults")
    capsys.readouterr()
    command = ["enjoy", "--algo", algo, "--env", "Pendulum-v1", "--no-render", "--n-eval-episodes", "1"]
    assert main(command) == 0
    assert "Episode 1 finished after 200 timesteps" in capsys.readouterr().out


def test_enjoy_a_model_from_elsewhere(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    REINFORCE("LinearSoftmaxPolicy", "CartPole-v1").save("mine")
    assert "name it with --env" in error_of(capsys, "enjoy", "mine")
    (tmp_path / "evaluation.json").write_text("[]")
    assert "name it with --env" in error_of(capsys, "enjoy", "mine")
    assert main(["enjoy", "mine", "--env", "CartPole-v1", "--no-render", "--n-eval-episodes", "1"]) == 0


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
    content = bytearray((trained / "CartPole-v1.zip").read_bytes())
    with zipfile.ZipFile(trained / "CartPole-v1.zip") as archive:
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
    with zipfile.ZipFile(trained / "CartPole-v1.zip") as archive, zipfile.ZipFile("forged.zip", "w") as forged:
        for name in archive.namelist():
            forged.writestr(name, content if name == part else archive.read(name))
    assert error_of(capsys, "enjoy", "forged.zip", "--env", "CartPole-v1") != "error: \n"


def test_enjoy_in_another_environment(trained: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "spaces do not match" in error_of(capsys, "enjoy", trained, "--env", "Acrobot-v1", "--no-render")
    assert "'Nope-v0' can't be made" in error_of(capsys, "enjoy", trained, "--env", "Nope-v0")


@pytest.mark.usefixtures("odd_envs")
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


def test_a_video_that_breaks_off_leaves_the_old_one(
    trained: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: Any) -> NoReturn:
        raise OSError(28, "No space left on device")

    (tmp_path / "film.gif").write_bytes(b"old")
    monkeypatch.setattr(os, "replace", full)
    assert "No space left" in error_of(capsys, "enjoy", trained, "--video", "film.gif", "--max-episode-steps", "5")
    assert (tmp_path / "film.gif").read_bytes() == b"old"
    assert files(tmp_path) == {"film.gif"}


def test_ctrl_c_while_playing(
    trained: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: Any, **__: Any) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(REINFORCE, "predict", interrupted)
    assert main(["enjoy", str(trained), "--no-render"]) == 0
    assert "Stopped." in capsys.readouterr().out


@pytest.mark.usefixtures("odd_envs")
@pytest.mark.parametrize(("arguments", "limit"), [([], DEFAULT_MAX_EPISODE_STEPS), (["--max-episode-steps", "5"], 5)])
def test_enjoy_a_policy_that_never_gets_to_an_end(
    capsys: pytest.CaptureFixture[str], arguments: list[str], limit: int
) -> None:
    REINFORCE("LinearSoftmaxPolicy", "Alternation-v0").save("still")
    command = ["enjoy", "still", "--env", "Alternation-v0", "--no-render", "--n-eval-episodes", "2", *arguments]
    assert main(command) == 0
    out = capsys.readouterr().out
    for episode in (1, 2):
        assert f"Episode {episode} was cut off after {limit} timesteps, return {limit}\n" in out
    assert f"2 of 2 episodes had not ended after {limit:,} timesteps, and were cut off." in out
    assert "gymnasium.wrappers.TimeLimit" in out


@pytest.mark.usefixtures("odd_envs")
def test_a_video_of_it_ends_too(capsys: pytest.CaptureFixture[str]) -> None:
    REINFORCE("LinearSoftmaxPolicy", "Alternation-v0").save("still")
    command = ["enjoy", "still", "--env", "Alternation-v0", "--video", "still.mp4", "--n-eval-episodes", "1"]
    assert main([*command, "--max-episode-steps", "6"]) == 0
    assert len(iio.imread("still.mp4")) == 6


def test_enjoy_cuts_off_only_what_has_not_ended_by_itself(trained: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["enjoy", str(trained), "--no-render", "--n-eval-episodes", "3", "--seed", "0"]
    assert main(command) == 0
    whole = capsys.readouterr().out
    assert "cut off" not in whole
    lengths = [int(length) for length in re.findall(r"after (\d+) timesteps, return", whole)]
    assert main([*command, "--max-episode-steps", str(max(lengths))]) == 0
    assert capsys.readouterr().out == whole
    assert main([*command, "--max-episode-steps", str(max(lengths) - 1)]) == 0
    assert f"1 of 3 episodes had not ended after {max(lengths) - 1:,} timesteps" in capsys.readouterr().out


# Runs of others


def test_the_normalization_of_a_model_comes_with_it(capsys: pytest.CaptureFixture[str]) -> None:
    folder = train("--env", "Pendulum-v1", "-n", "400", "--defaults", "--normalize", "true", "--n-eval-episodes", "2")
    capsys.readouterr()
    command = ["--no-render", "--seed", "3", "--n-eval-episodes", "2"]
    assert main(["enjoy", str(folder), *command]) == 0
    of_the_folder = capsys.readouterr().out.splitlines()[1:]
    shutil.copy(folder / "Pendulum-v1.zip", "alone.zip")
    assert main(["enjoy", "alone.zip", "--env", "Pendulum-v1", *command]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == of_the_folder
    model, env = REINFORCE.load("alone.zip"), PythonVecEnv([lambda: Monitor(gym.make("Pendulum-v1"))])
    env.seed(3)
    normalized = VecNormalize.load(str(folder / "Pendulum-v1" / "vecnormalize.pkl"), env)
    normalized.training = normalized.norm_reward = False
    returns, _ = evaluate_policy(model, normalized, 2, return_episode_rewards=True)
    assert f"Episode 1 finished after 200 timesteps, return {returns[0]:g}" in of_the_folder[0]


@pytest.mark.parametrize("algo", ["reinforce", "ppo"])
def test_enjoy_a_run_of_the_zoo(capsys: pytest.CaptureFixture[str], algo: str) -> None:
    settings = ["-n", "64", "-params", "n_envs:1", "normalize:True", *(["n_steps:32", "batch_size:32"] * (algo == "ppo"))]
    assert main(["zoo", "train", "--algo", algo, "--env", "CartPole-v1", "-f", "logs", "--eval-freq", "40", *settings]) == 0
    command = ["enjoy", "--algo", algo, "--env", "CartPole-v1", "--no-render", "--n-eval-episodes", "1", "--load-best"]
    if algo == "ppo":
        assert "SB3 runs what is in its file" in error_of(capsys, *command)
        command.append("--trusted")
    assert main(command) == 0
    assert f"best_model.zip, {algo} on CartPole-v1" in capsys.readouterr().out


def packaged_ppo() -> PPO:
    """In ``package``, as it goes to the Hub. It has seen angles a hundred times as large as they are."""
    env = VecNormalize(make_vec_env("CartPole-v1"), clip_obs=3.0)
    model = PPO("MlpPolicy", env, n_steps=32, batch_size=32, n_epochs=1, seed=0, device="cpu").learn(64)
    env.obs_rms.mean, env.obs_rms.var = np.array([0.0, 0.5, 0.0, 1.0]), np.full(4, 0.01)
    write_package(model, "package", "CartPole-v1", "me/ppo", n_eval_episodes=1, video_length=0)
    return model


@pytest.mark.parametrize("statistics", ["vec_normalize.json", "vec_normalize.pkl"])
def test_enjoy_what_was_downloaded_from_the_hub(capsys: pytest.CaptureFixture[str], statistics: str) -> None:
    model = packaged_ppo()
    if statistics.endswith(".pkl"):  # as the RL Zoo uploads it
        pathlib.Path("package/vec_normalize.json").unlink()
        model.get_vec_normalize_env().save(f"package/{statistics}")
    command = ["--algo", "ppo", "--env", "CartPole-v1", "--trusted", "--no-render", "--n-eval-episodes", "2", "--seed", "3"]
    said = []
    for path in ("package", "package/ppo-CartPole-v1.zip"):
        assert main(["enjoy", path, *command]) == 0
        said.append(capsys.readouterr().out)
    assert said[0] == said[1]
    assert f"Observations are normalized by package/{statistics}" in said[0]
    env = VecNormalize(
        PythonVecEnv([lambda: Monitor(gym.make("CartPole-v1"))]), training=False, norm_reward=False, clip_obs=3.0
    )
    env.obs_rms = model.get_vec_normalize_env().obs_rms
    env.seed(3)
    returns, _ = evaluate_policy(model, env, 2, return_episode_rewards=True)
    assert [float(text) for text in re.findall(r"return (\d+)\n", said[0])] == returns


def test_enjoy_a_repository_of_the_zoo_which_says_what_it_plays(
    trained: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(trained / "CartPole-v1", "repository")
    shutil.copy(trained / "CartPole-v1.zip", "repository")
    assert main(["enjoy", "repository", "--no-render", "--n-eval-episodes", "1"]) == 0
    assert "reinforce on CartPole-v1" in capsys.readouterr().out
    shutil.copy(trained / "CartPole-v1.zip", "repository/other.zip")
    assert "there is no model at 'repository'" in error_of(capsys, "enjoy", "repository")


def test_the_run_that_is_meant(trained: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    logs = str(trained.parents[1])
    assert "there is no run of reinforce on Acrobot-v1" in error_of(capsys, "enjoy", "-f", logs, "--env", "Acrobot-v1")
    assert "there is no model at" in error_of(capsys, "enjoy", "-f", logs, "--exp-id", "7")
    assert "there is no best model beside" in error_of(capsys, "enjoy", "-f", logs, "--load-best")
    assert main(["enjoy", "-f", logs, "--exp-id", "1", "--no-render", "--n-eval-episodes", "1", "--stochastic"]) == 0


# Files from strangers


@pytest.fixture
def evil(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[pathlib.Path]:
    """A module in the current folder, and the file that it makes when it is imported."""
    (tmp_path / "evil.py").write_text(
        "import pathlib, gymnasium\n"
        "pathlib.Path('imported').touch()\n"
        "gymnasium.register('Evil-v0', entry_point=gymnasium.envs.classic_control.CartPoleEnv)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    before = dict(gym.registry)
    yield tmp_path / "imported"
    sys.modules.pop("evil", None)
    gym.registry.clear()
    gym.registry.update(before)


@pytest.fixture
def foreign(trained: pathlib.Path, tmp_path: pathlib.Path) -> RunFolder:
    """A run whose files somebody may have written to."""
    shutil.copytree(trained, tmp_path / "foreign")
    return RunFolder(tmp_path / "foreign", "CartPole-v1")


@pytest.mark.parametrize("name", ["evil:CartPole-v1", "evil :CartPole-v1", "\x1b[2Jevil:CartPole-v1", ":CartPole-v1"])
def test_no_module_is_imported_because_a_file_names_it(
    evil: pathlib.Path, foreign: RunFolder, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    foreign.write_settings({"env": name}, {})
    error = error_of(capsys, "enjoy", foreign.path, "--no-render")
    assert "no module is imported because a file says so" in error
    assert error.isprintable()
    assert not evil.exists()


@pytest.mark.parametrize("arguments", [{}, {"env": ""}, {"env": "Acrobot-v1"}, {"env": ["CartPole-v1"]}])
def test_a_folder_that_does_not_say_what_it_plays(
    foreign: RunFolder, capsys: pytest.CaptureFixture[str], arguments: dict[str, Any]
) -> None:
    foreign.write_settings(arguments, {})
    assert "name it with --env" in error_of(capsys, "enjoy", foreign.path, "--no-render")


@pytest.mark.parametrize(
    "hyperparameters",
    [
        {"env_wrapper": "evil.Wrapper"},
        {"env_wrapper": [{"evil.Wrapper": {}}]},
        {"vec_env_wrapper": "evil.Wrapper"},
        {"normalize": "__import__('evil')"},
    ],
)
def test_nothing_else_in_its_folder_runs(
    evil: pathlib.Path, foreign: RunFolder, capsys: pytest.CaptureFixture[str], hyperparameters: dict[str, Any]
) -> None:
    foreign.write_settings({"env": "CartPole-v1"}, hyperparameters)
    assert "use --trusted" in error_of(capsys, "enjoy", foreign.path, "--no-render")
    (foreign.parameters / "config.yml").write_text("a: !!python/object/apply:os.getcwd []")
    assert "use --trusted" in error_of(capsys, "enjoy", foreign.path, "--no-render")
    assert not evil.exists()


def test_a_module_that_the_user_names_is_imported(evil: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    REINFORCE("LinearSoftmaxPolicy", "CartPole-v1").save("model")
    command = ["enjoy", "model.zip", "--env", "evil:Evil-v0", "--no-render", "--n-eval-episodes", "1"]
    assert main([*command, "--max-episode-steps", "5"]) == 0
    assert evil.exists()


def test_a_file_with_a_pickle_is_played_where_it_is_trusted(capsys: pytest.CaptureFixture[str]) -> None:
    REINFORCE("LinearSoftmaxPolicy", "CartPole-v1", learning_rate=lambda _: 0.1).save("model")
    command = ["enjoy", "model.zip", "--env", "CartPole-v1", "--no-render", "--n-eval-episodes", "1"]
    assert "learning_rate (builtins.function)" in error_of(capsys, *command)
    assert "--trusted" in error_of(capsys, *command)
    assert main([*command, "--trusted"]) == 0
