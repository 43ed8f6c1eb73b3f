import json
import pathlib
import tempfile
from typing import Any, NoReturn

import gymnasium as gym
import matplotlib.image
import numpy as np
import pandas as pd
import pytest
import yaml
from gymnasium import spaces
from stable_baselines3.common.monitor import load_results
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from sb3_reinforce import REINFORCE, EpsilonSchedule, FourierBasis
from sb3_reinforce.cli import environments, evaluating, main
from sb3_reinforce.common.evaluation import DEFAULT_MAX_EPISODE_STEPS
from sb3_reinforce.zoo import ALGORITHMS
from tests.cli.helpers import ALL_FILES, error_of, files, train
from tests.disks import fill

pytestmark = pytest.mark.filterwarnings("ignore:rich is experimental/alpha")


def evaluation_in(folder: pathlib.Path) -> dict[str, Any]:
    """What an evaluation has left."""
    return json.loads((folder / "evaluation.json").read_text())


def test_train_leaves_everything(trained: pathlib.Path) -> None:
    assert files(trained) == ALL_FILES
    assert (trained.name, trained.parent.name) == ("CartPole-v1_1", "reinforce")
    model = REINFORCE.load(trained / "CartPole-v1.zip")
    evaluation = evaluation_in(trained)
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
    episodes = pd.read_csv(trained / "0.monitor.csv", skiprows=1)["l"].tolist()
    progress = pd.read_csv(trained / "progress.csv")
    assert progress["rollout/episode_length"].dropna().tolist() == episodes
    assert sum(episodes) == model.num_timesteps
    events = EventAccumulator(str(trained)).Reload()
    assert [event.value for event in events.Scalars("rollout/episode_length")] == episodes
    assert {"train/policy_loss", "rollout/epsilon", "rollout/episode_return"} <= set(events.Tags()["scalars"])
    assert matplotlib.image.imread(trained / "learning_curve.png").std() > 0.01


def test_the_rl_zoo_finds_what_it_looks_for(trained: pathlib.Path) -> None:
    evaluations = np.load(trained / "evaluations.npz")
    assert evaluations["timesteps"].tolist() == [REINFORCE.load(trained / "CartPole-v1.zip").num_timesteps]
    assert evaluations["results"].tolist() == [evaluation_in(trained)["returns"]]
    assert load_results(str(trained))["l"].sum() == evaluations["timesteps"][0]
    arguments, config = (yaml.safe_load((trained / "CartPole-v1" / name).read_text()) for name in ("args.yml", "config.yml"))
    assert (arguments["env"], arguments["algo"], arguments["seed"], arguments["env_kwargs"]) == (
        "CartPole-v1",
        "reinforce",
        3,
        None,
    )
    assert config == {"policy": "LinearSoftmaxPolicy", "n_timesteps": 500}


def test_the_same_seed_gives_the_same_model(trained: pathlib.Path) -> None:
    same, other = (evaluation_in(train("-n", "500", "--seed", seed, "--defaults"))["returns"] for seed in ("3", "4"))
    assert same == evaluation_in(trained)["returns"] != other


def test_tuned_settings_are_used_and_told(capsys: pytest.CaptureFixture[str]) -> None:
    folder = train("--env", "Acrobot-v1", "-n", "1e3", "--gamma", "0.9", "--max-episode-steps", "50")
    out = capsys.readouterr().out
    assert "Tuned settings for Acrobot-v1" in out
    assert "n_envs: 4" in out
    assert "gamma: 0.9" not in out, "is the user's"
    assert "They were tuned for 500,000 timesteps." in out
    model = REINFORCE.load(folder / "Acrobot-v1.zip")
    assert (model.n_envs, model.gamma, model.n_episodes, model.ent_coef) == (4, 0.9, 8, 0.01)
    assert isinstance(model.policy.features_extractor, FourierBasis)
    assert model.learning_rate(0.5) == pytest.approx(0.025)
    untuned = train("--env", "Acrobot-v1", "-n", "10", "--defaults", "--max-episode-steps", "50")
    out = capsys.readouterr().out
    assert "Tuned" not in out
    assert "tuned for" not in out
    assert REINFORCE.load(untuned / "Acrobot-v1.zip").n_envs == 1


def test_the_tuned_settings_of_another_version_are_told_as_such(capsys: pytest.CaptureFixture[str]) -> None:
    train("--env", "CartPole-v0", "-n", "10", "--max-episode-steps", "50")
    assert "Tuned settings for CartPole-v1" in capsys.readouterr().out


def test_every_argument_of_the_algorithm_is_an_option() -> None:
    folder = train(
        *(
            "--policy",
            "MlpPolicy",
            "--baseline",
            "value",
            "--natural-gradient",
            "--no-reward-to-go",
            "--n-value-updates",
            "1e1",
        ),
        *("--epsilon", "EpsilonSchedule(0.2, 0)", "--learning-rate", "lin_0.5", "--max-grad-norm", "none", "-n", "2_00"),
        *("--policy-kwargs", "dict(net_arch=[3], activation_fn=nn.ReLU)", "--model-max-episode-steps", "600"),
    )
    model = REINFORCE.load(folder / "CartPole-v1.zip")
    assert (model.baseline, model.natural_gradient, model.reward_to_go) == ("value", True, False)
    assert (model.n_value_updates, model.max_episode_steps) == (10, 600)
    assert model.max_grad_norm is None
    assert model.epsilon == EpsilonSchedule(0.2, 0)
    assert model.learning_rate(0.5) == 0.25
    assert model.policy_kwargs == {"net_arch": [3], "activation_fn": nn.ReLU}
    config = yaml.safe_load((folder / "CartPole-v1" / "config.yml").read_text())
    assert (config["epsilon"], config["max_episode_steps"]) == ("EpsilonSchedule(0.2, 0)", 600)


def test_wrappers_and_arguments_of_environments(capsys: pytest.CaptureFixture[str]) -> None:
    folder = train(
        *("--env", "FrozenLake-v1", "--env-kwargs", "is_slippery:False", "map_name:8x8", "-n", "200", "--n-envs", "2"),
        *("--train-env-wrapper", "[{gymnasium.wrappers.StickyAction: {repeat_action_probability: 0.5}}]"),
        *("--train-env-kwargs", "{max_episode_steps: 7}"),
    )
    assert pd.read_csv(folder / "0.monitor.csv", skiprows=1)["l"].max() <= 7
    assert max(evaluation_in(folder)["lengths"]) > 7
    assert REINFORCE.load(folder / "FrozenLake-v1.zip").observation_space == spaces.Discrete(64)
    assert main(["enjoy", str(folder), "--no-render", "--n-eval-episodes", "1"]) == 0


def test_an_observation_that_has_to_be_flattened() -> None:
    folder = train("--env", "Blackjack-v1", "-n", "100")  # as its tuned settings say
    assert REINFORCE.load(folder / "Blackjack-v1.zip").observation_space.shape == (45,)


@pytest.mark.parametrize("algo", ["reinforce", "random_weight_search"])
def test_several_environments(algo: str) -> None:
    folder = train("--algo", algo, "-n", "600", "--n-envs", "4", "--frame-stack", "2", "--normalize", "true")
    assert files(folder) == ALL_FILES | {f"{i}.monitor.csv" for i in range(4)}
    assert {"vecnormalize.pkl", "vecnormalize.json"} <= files(folder / "CartPole-v1")
    evaluation = evaluation_in(folder)
    assert evaluation["n_envs"] == 4
    assert evaluation["timesteps"] % 4 == 0
    model = ALGORITHMS[algo].load(folder / "CartPole-v1.zip")
    assert (model.n_envs, model.observation_space.shape) == (4, (8,))
    assert len(load_results(str(folder))) > 8


@pytest.mark.parametrize(
    ("algo", "env", "policy"),
    [
        ("reinforce", "Pendulum-v1", "MlpPolicy"),
        ("random_weight_search", "Pendulum-v1", "MlpPolicy"),
        ("reinforce", "FrozenLake-v1", "LinearSoftmaxPolicy"),
    ],
)
def test_other_spaces(algo: str, env: str, policy: str) -> None:
    evaluation = evaluation_in(train("--algo", algo, "--env", env, "-n", "400", "--defaults"))
    assert evaluation["policy"] == policy
    assert evaluation["solved"] is (None if env == "Pendulum-v1" else False)


@pytest.mark.parametrize("algo", ["reinforce", "random_weight_search"])
def test_fast_uses_the_native_environments(algo: str) -> None:
    folder = train("--algo", algo, "--fast", "--n-envs", "16", "-n", "2000", "--seed", "0")
    assert ALGORITHMS[algo].load(folder / "CartPole-v1.zip").num_timesteps >= 2_000
    assert len(pd.read_csv(folder / "monitor.csv", skiprows=1)) > 10


def test_evaluations_while_it_trains() -> None:
    folder = train("-n", "600", "--eval-freq", "200", "--n-eval-episodes", "3")
    evaluations = np.load(folder / "evaluations.npz")
    timesteps = evaluations["timesteps"].tolist()
    total = evaluation_in(folder)["timesteps"]
    assert timesteps == [*range(200, total, 200), total]
    assert evaluations["results"].shape == evaluations["ep_lengths"].shape == (len(timesteps), 3)
    assert (folder / "best_model.zip").exists()


def test_what_tensorboard_shows() -> None:
    folder = train("-n", "300", "--video-freq", "300", "--max-episode-steps", "10")
    tags = EventAccumulator(str(folder)).Reload().Tags()
    assert {"eval/mean_reward", "rollout/episode_return"} <= set(tags["scalars"])
    assert tags["histograms"]
    assert tags["images"], "a video"
    assert "_hparams_/session_start_info" in tags["tensors"]


def test_without_an_evaluation() -> None:
    folder = train("-n", "100", "--n-eval-episodes", "0", "--eval-freq", "50")
    assert files(folder) == ALL_FILES - {"evaluation.json", "evaluations.npz"}


def test_an_environment_of_a_module(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "my_module.py").write_text(
        "import gymnasium\n"
        "gymnasium.register('mine/Pole-v0', 'gymnasium.envs.classic_control:CartPoleEnv', max_episode_steps=20)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    folder = train("--env", "my_module:mine/Pole-v0", "-n", "50")
    assert folder == pathlib.Path("logs", "reinforce", "mine-Pole-v0_1")
    assert (folder / "mine-Pole-v0.zip").exists()
    assert f"sb3-reinforce enjoy {folder} --env my_module:mine/Pole-v0" in capsys.readouterr().out
    assert "no module is imported because a file says so" in error_of(capsys, "enjoy", folder, "--no-render")
    assert main(["enjoy", str(folder), "--env", "my_module:mine/Pole-v0", "--no-render"]) == 0
    del gym.registry["mine/Pole-v0"]


@pytest.mark.parametrize("algo", ["reinforce", "random_weight_search"])
def test_ctrl_c_keeps_what_was_learned(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], algo: str) -> None:
    step = gym.wrappers.TimeLimit.step
    n_steps = 0

    def interrupted_step(self: Any, action: Any) -> Any:
        nonlocal n_steps
        n_steps += 1
        if n_steps == 700:
            raise KeyboardInterrupt
        return step(self, action)

    monkeypatch.setattr(gym.wrappers.TimeLimit, "step", interrupted_step)
    folder = train("--algo", algo, "--seed", "1")
    out = capsys.readouterr().out
    assert "Stopped early" in out
    assert f"sb3-reinforce train --resume {folder}" in out
    assert files(folder) == ALL_FILES - {"evaluations.npz"}
    assert evaluation_in(folder)["timesteps"] == 699
    assert ALGORITHMS[algo].load(folder / "CartPole-v1.zip").policy.action_net.weight.abs().sum() > 0


def test_ctrl_c_before_anything_was_learned(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(*_: Any, **__: Any) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(REINFORCE, "learn", interrupted)
    assert files(train()) == ALL_FILES - {"learning_curve.png", "evaluations.npz"}
    assert "No learning curve: There is nothing to plot" in capsys.readouterr().out


@pytest.mark.parametrize("is_stopped_before", [False, True])
def test_ctrl_c_while_evaluating(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], is_stopped_before: bool
) -> None:
    def interrupted(*_: Any, **__: Any) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluating, "evaluate_policy", interrupted)
    if is_stopped_before:
        monkeypatch.setattr(REINFORCE, "train", interrupted)
    assert main(["train", "-n", "100"]) == 130
    folder = pathlib.Path("logs", "reinforce", "CartPole-v1_1")
    error = capsys.readouterr().err
    assert f"The model is {folder / 'CartPole-v1.zip'}" in error
    assert f"sb3-reinforce enjoy {folder} --no-render --n-eval-episodes 100" in error
    assert (f"sb3-reinforce train --resume {folder}" in error) == is_stopped_before
    assert main(["enjoy", str(folder), "--no-render", "--n-eval-episodes", "1"]) == 0


def test_each_run_has_a_folder_of_its_own() -> None:
    assert [train("-n", "20", "--n-eval-episodes", "0").name for _ in range(2)] == ["CartPole-v1_1", "CartPole-v1_2"]


@pytest.mark.usefixtures("odd_envs")
def test_an_environment_that_goes_wrong_while_training(capsys: pytest.CaptureFixture[str]) -> None:
    assert "reward that is not finite" in error_of(capsys, "train", "--env", "NaN-v0")


def evaluation_of(*arguments: str) -> dict[str, Any]:
    """What the evaluation after a short training has left."""
    return evaluation_in(train("-n", "20", "--defaults", *arguments))


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


def test_training_goes_by_another_limit() -> None:
    folder = train("-n", "200", "--max-episode-steps", "2")
    assert pd.read_csv(folder / "0.monitor.csv", skiprows=1)["l"].max() > 2


def test_the_evaluation_is_as_it_would_be_without_a_limit(trained: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments, "limit_episodes", lambda env, max_episode_steps: env)
    without = train("-n", "500", "--seed", "3", "--defaults")
    assert evaluation_in(without)["returns"] == evaluation_in(trained)["returns"]


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
    assert main(["train", "-n", "300", "-f", str(small_disk)]) == 2
    error = capsys.readouterr().err
    (path,) = tmp_path.glob("sb3_reinforce_model_*/CartPole-v1.zip")
    assert f"The model is saved as '{path}' instead" in error
    assert REINFORCE.load(path).num_timesteps >= 300
