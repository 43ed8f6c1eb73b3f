import json
import pathlib
import tempfile
from typing import Any, NoReturn

import gymnasium as gym
import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sb3_reinforce import REINFORCE, RandomWeightSearch
from sb3_reinforce.cli import main, train
from sb3_reinforce.common.evaluation import DEFAULT_MAX_EPISODE_STEPS
from tests.cli.helpers import ALL_FILES, error_of, files
from tests.disks import fill

pytestmark = pytest.mark.filterwarnings("ignore:rich is experimental/alpha")


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

    monkeypatch.setattr(train, "evaluate_policy", interrupted)
    assert main(["train", "--timesteps", "100", "--output", "out"]) == 130
    assert "model.zip" in files(tmp_path / "out")
    assert capsys.readouterr().err == "Stopped.\n"


def test_a_folder_that_holds_a_model_is_left_alone(trained: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path.name: path.read_bytes() for path in trained.iterdir()}
    assert "already holds a model" in error_of(capsys, "train", "--timesteps", "100", "--output", trained)
    assert {path.name: path.read_bytes() for path in trained.iterdir()} == before


@pytest.mark.usefixtures("odd_envs")
def test_an_environment_that_goes_wrong_while_training(capsys: pytest.CaptureFixture[str]) -> None:
    assert "reward that is not finite" in error_of(capsys, "train", "--env", "NaN-v0", "--output", "out")


def evaluation_of(*arguments: str) -> dict[str, Any]:
    """What the evaluation after a short training has left."""
    assert main(["train", "--timesteps", "20", "--output", "out", *arguments]) == 0
    return json.loads(pathlib.Path("out", "evaluation.json").read_text())


@pytest.mark.usefixtures("odd_envs")
@pytest.mark.filterwarnings("ignore:The environment has not ended one episode yet")
@pytest.mark.parametrize(("arguments", "limit"), [([], DEFAULT_MAX_EPISODE_STEPS), (["--max-episode-steps", "7"], 7)])
@pytest.mark.parametrize("algo", ["reinforce", "random_weight_search"])
def test_a_policy_that_never_gets_to_an_end(
    capsys: pytest.CaptureFixture[str], algo: str, arguments: list[str], limit: int
) -> None:
    evaluation = evaluation_of("--algo", algo, "--env", "Alternation-v0", *arguments)
    assert (evaluation["max_episode_steps"], evaluation["n_cut_off"]) == (limit, 10)
    assert evaluation["lengths"] == evaluation["returns"] == [limit] * 10
    out = " ".join(capsys.readouterr().out.split())
    assert f"10 of 10 episodes had not ended after {limit:,} timesteps, and were cut off." in out
    for advice in ("gymnasium.wrappers.TimeLimit", "gymnasium.make(..., max_episode_steps=...)", "--max-episode-steps"):
        assert advice in out


@pytest.mark.parametrize(
    ("env", "arguments", "limit", "length", "n_cut_off"),
    [
        ("Pendulum-v1", [], DEFAULT_MAX_EPISODE_STEPS, 200, 0),
        ("Pendulum-v1", ["--max-episode-steps", "201"], 201, 200, 0),
        ("Pendulum-v1", ["--max-episode-steps", "200"], 200, 200, 0),  # its own time limit ends it
        ("Pendulum-v1", ["--max-episode-steps", "199"], 199, 199, 10),
        ("CartPole-v1", ["--max-episode-steps", "3"], 3, 3, 10),
    ],
)
def test_only_what_has_not_ended_by_itself_is_cut_off(
    capsys: pytest.CaptureFixture[str], env: str, arguments: list[str], limit: int, length: int, n_cut_off: int
) -> None:
    evaluation = evaluation_of("--env", env, *arguments)
    assert (evaluation["max_episode_steps"], evaluation["n_cut_off"]) == (limit, n_cut_off)
    assert evaluation["lengths"] == [length] * 10
    assert ("cut off" in " ".join(capsys.readouterr().out.split())) == (n_cut_off > 0)


def test_training_goes_by_another_limit(tmp_path: pathlib.Path) -> None:
    evaluation_of("--max-episode-steps", "2", "--timesteps", "200")
    assert pd.read_csv(tmp_path / "out" / "monitor.csv", skiprows=1)["l"].max() > 2


def test_the_evaluation_is_as_it_would_be_without_a_limit(
    trained: pathlib.Path, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    monkeypatch.setattr(train, "limit_episodes", lambda env, max_episode_steps: env)
    assert main(["train", "--timesteps", "500", "--seed", "3", "--output", "out"]) == 0
    without, limited = (json.loads((folder / "evaluation.json").read_text()) for folder in (tmp_path / "out", trained))
    assert without["returns"] == limited["returns"]


def test_a_full_disk_costs_no_model(
    small_disk: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    learn = REINFORCE.learn

    def fills_the_disk(model: REINFORCE, *args: Any, **kwargs: Any) -> REINFORCE:
        learn(model, *args, **kwargs)
        fill(small_disk)
        return model

    monkeypatch.setattr(REINFORCE, "learn", fills_the_disk)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert main(["train", "--timesteps", "300", "--output", str(small_disk / "run")]) == 2
    error = capsys.readouterr().err
    (path,) = tmp_path.glob("sb3_reinforce_model_*/model.zip")
    assert f"The model is saved as '{path}' instead" in error
    assert REINFORCE.load(path).num_timesteps >= 300
