"""Every entry of the hyperparameter files makes a model that trains."""

import pathlib
import sys

import pytest
import yaml

from sb3_reinforce import zoo
from sb3_reinforce.zoo.experiment_manager import HYPERPARAMS, ExperimentManager
from sb3_reinforce.zoo.hyperparameters import OF_THE_ZOO, check_hyperparameters
from tests.zoo.commands import main

FILES = {algo: yaml.safe_load((HYPERPARAMS / f"{algo}.yml").read_text()) for algo in zoo.ALGORITHMS}
ENVIRONMENTS = {
    "CartPole-v1",
    "Acrobot-v1",
    "MountainCar-v0",
    "MountainCarContinuous-v0",
    "Pendulum-v1",
    "LunarLander-v3",
    "LunarLanderContinuous-v3",
    "FrozenLake-v1",
    "Taxi-v4",
    "Blackjack-v1",
}
CONTROL = {
    "Ant-v5",
    "BipedalWalker-v3",
    "HalfCheetah-v5",
    "Hopper-v5",
    "InvertedDoublePendulum-v5",
    "InvertedPendulum-v5",
    "Reacher-v5",
    "Swimmer-v5",
    "Walker2d-v5",
}
"""What guessing weights is not tuned for."""


@pytest.mark.parametrize("algo", FILES)
def test_files_name_what_there_is(algo: str) -> None:
    of_both = {env for env in FILES[algo] if env not in CONTROL}
    assert of_both == ENVIRONMENTS | {"default", "atari"}
    assert FILES["reinforce"].keys() >= CONTROL
    for env, entry in FILES[algo].items():
        check_hyperparameters(entry, zoo.ALGORITHMS[algo], env)
        assert {"n_timesteps", "policy"} <= entry.keys(), env


def test_the_file_of_linear_policies() -> None:
    entries = yaml.safe_load((HYPERPARAMS / "reinforce_linear.yml").read_text())
    assert entries.keys() <= CONTROL
    for env, entry in entries.items():
        check_hyperparameters(entry, zoo.ALGORITHMS["reinforce"], env)
        assert entry["policy"] == "LinearGaussianPolicy"
        assert FILES["reinforce"][env]["policy"] == "MlpPolicy", "else it stands twice"


def train(algo: str, env: str, n_timesteps: int) -> pathlib.Path:
    assert main(["train", "--algo", algo, "--env", env, "-n", str(n_timesteps), "--eval-freq", "-1", "--verbose", "0"]) == 0
    return pathlib.Path("logs", algo, f"{env}_1", f"{env}.zip")


@pytest.mark.parametrize(
    ("algo", "env"), [(algo, env) for algo, entries in FILES.items() for env in entries if env not in ("default", "atari")]
)
def test_every_entry_trains(algo: str, env: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", sys.argv)
    # One rollout, which REINFORCE plays to its end
    model = zoo.ALGORITHMS[algo].load(train(algo, env, 1 if algo == "reinforce" else 1000))
    entry = FILES[algo][env]
    assert model.n_envs == entry.get("n_envs", 1)
    for name in entry.keys() - OF_THE_ZOO - {"policy", "learning_rate", "epsilon", "policy_kwargs"}:
        assert getattr(model, name) == entry[name]
    if algo == "reinforce":
        assert model._n_updates == 1


@pytest.mark.parametrize("algo", FILES)
def test_the_default(algo: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", sys.argv)
    assert train(algo, "FrozenLake8x8-v1", 100).exists()


@pytest.mark.parametrize("algo", FILES)
def test_atari(algo: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ale_py")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", sys.argv)
    # Episodes are long: stop after a few steps, with everything made
    monkeypatch.setattr(
        ExperimentManager, "learn", lambda _, model: model.learn(1000, callback=lambda *_: model.num_timesteps < 50)
    )
    model = zoo.ALGORITHMS[algo].load(train(algo, "BreakoutNoFrameskip-v4", 1))
    assert model.observation_space.shape == (4, 84, 84)
