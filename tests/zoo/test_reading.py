"""The RL Zoo's commands run nothing that is in the folder of a run of ours."""

import pathlib
import shutil
import sys
from typing import Any

import pytest
import yaml

from tests.common.forged import Poison
from tests.zoo.commands import main

N_TIMESTEPS = "60"  # more than an episode has
ENJOY = ["enjoy", "--algo", "reinforce", "--env", "CartPole-v1", "-f", "logs", "--no-render", "-n", N_TIMESTEPS]


@pytest.fixture(scope="module")
def run_with_normalize(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A log folder; not to be written to."""
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", sys.argv)
        (folder / "mine.yml").write_text(
            "CartPole-v1: {policy: LinearSoftmaxPolicy, n_timesteps: 30, normalize: 'dict(norm_obs=True)', n_episodes: 2,\n"
            "  env_wrapper: [{gymnasium.wrappers.TimeLimit: {max_episode_steps: 50}}]}\n"
        )
        arguments = ["--algo", "reinforce", "--env", "CartPole-v1", "--conf-file", "mine.yml", "--verbose", "0"]
        assert main(["train", *arguments, "--env-kwargs", "sutton_barto_reward:True"]) == 0
    return folder


@pytest.fixture
def run(run_with_normalize: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """The folder of a run without VecNormalize, in the current folder."""
    shutil.copytree(run_with_normalize / "logs", tmp_path / "logs")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "evil.py").write_text("import os\nos.mkdir('poisoned')\n")
    folder = tmp_path / "logs" / "reinforce" / "CartPole-v1_1" / "CartPole-v1"
    config = yaml.unsafe_load((folder / "config.yml").read_text())
    del config["normalize"]
    (folder / "config.yml").write_text(yaml.dump(config))
    for name in ("vecnormalize.pkl", "vecnormalize.json"):
        (folder / name).unlink()
    return folder


def change(path: pathlib.Path, **entries: Any) -> None:
    path.write_text(yaml.dump(yaml.unsafe_load(path.read_text()) | entries))


def test_a_run_of_ours_needs_no_trust(run: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(ENJOY) == 0
    assert "Mean reward" in capsys.readouterr().out


POISON = Poison(pathlib.Path("poisoned"))
HOSTILE = {
    "an object in config.yml": lambda run: change(run / "config.yml", of_mine=POISON),
    "an object in args.yml": lambda run: change(run / "args.yml", env_kwargs=POISON),
    "a text that is evaluated": lambda run: change(run / "config.yml", normalize="__import__('os').mkdir('poisoned')"),
    "a wrapper": lambda run: change(run / "config.yml", env_wrapper="evil.Wrapper"),
    "one of several wrappers": lambda run: change(
        run / "config.yml", env_wrapper=["gymnasium.wrappers.TimeLimit", {"evil.Wrapper": {}}]
    ),
    "a wrapper of vectors": lambda run: change(run / "config.yml", vec_env_wrapper="evil.Wrapper"),
    "a name in YAML": lambda run: (run / "config.yml").write_text("policy: !!python/name:evil.Wrapper"),
    "a module in YAML": lambda run: (run / "args.yml").write_text("env_kwargs: !!python/module:evil"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_what_would_run_is_refused_by_name(what: str, run: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    HOSTILE[what](run)
    assert main(ENJOY) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: This run has ")
    assert "--trusted" in error
    assert not pathlib.Path("poisoned").exists()


def test_it_runs_where_it_is_trusted(run: pathlib.Path) -> None:
    change(run / "config.yml", of_mine=POISON)
    assert main([*ENJOY, "--trusted"]) == 0
    assert pathlib.Path("poisoned").exists()


@pytest.mark.parametrize("algo", [["--algo", "reinforce"], ["--algo=reinforce"], ["--alg", "reinforce"]])
def test_statistics_are_read_from_the_file_that_is_no_pickle(
    algo: list[str],
    run_with_normalize: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(run_with_normalize, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", sys.argv)
    command = ["enjoy", *algo, *ENJOY[3:], "--seed", "1"]
    outputs = []
    for arguments in (command, [*command, "--trusted"]):
        assert main(arguments) == 0
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1]
    next(tmp_path.rglob("vecnormalize.json")).unlink()
    assert main(command) == 2
    assert "vecnormalize.pkl', a pickle" in capsys.readouterr().err


def test_an_agent_that_is_trained_on(run: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    agent = run.parent / "CartPole-v1.zip"
    command = ["train", *ENJOY[1:5], "-i", str(agent), "-n", "20", "--verbose", "0"]
    assert main(command) == 0
    agent.write_bytes(agent.read_bytes()[:5000])
    assert main(command) == 2
    assert "is not a saved model, or is damaged" in capsys.readouterr().err
    (run / "vecnormalize.pkl").write_bytes(b"anything")
    assert main(command) == 2
    assert "vecnormalize.pkl', a pickle" in capsys.readouterr().err
