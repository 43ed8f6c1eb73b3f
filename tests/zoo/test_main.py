"""The commands of the RL Zoo, run as users run them; in this process, for rl_zoo3 takes seconds to import."""

import pathlib
import pickle
import re
import shutil
import sys
from collections.abc import Iterator
from typing import Any

import huggingface_hub
import imageio.v3 as iio
import matplotlib as mpl
import numpy as np
import optuna
import pandas as pd
import pytest
import torch as th
import yaml
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from rl_zoo3 import ALGOS

from sb3_reinforce import REINFORCE, LinearSoftmaxPolicy, RandomWeightSearch
from sb3_reinforce.zoo import ALGORITHMS
from sb3_reinforce.zoo.__main__ import FUNCTIONS, SCRIPTS
from sb3_reinforce.zoo.samplers import CONVERTERS
from tests.processes import run_module
from tests.zoo.commands import main

EACH_ALGORITHM = pytest.mark.parametrize("algo", ALGORITHMS)
POLICIES = ("LinearSoftmaxPolicy", "MlpPolicy")
EACH_RUN = pytest.mark.parametrize(("algo", "run"), [(algo, run) for algo in ALGORITHMS for run in (1, 2)])
pytestmark = [
    pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning"),
    pytest.mark.filterwarnings("ignore:Training and eval env are not of the same type"),
    pytest.mark.filterwarnings("ignore:rich is experimental/alpha"),
    # rl_zoo3 runs scripts that its other commands import, here where all commands share a process
    pytest.mark.filterwarnings("ignore:.*found in sys.modules after import of package 'rl_zoo3'"),
]


@pytest.fixture(autouse=True)
def _as_it_was(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty folder, no window, and nothing left of what the RL Zoo sets for its process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    with mpl.rc_context():
        yield
        plt.close("all")


def zoo(*arguments: object) -> None:
    assert main([str(argument) for argument in arguments]) == 0


def train(algo: str, *arguments: object, env: str = "CartPole-v1", steps: int = 200) -> pathlib.Path:
    """Train, and return the folder of the run."""
    zoo("train", "--algo", algo, "--env", env, "-n", steps, "--seed", 1, "--verbose", 0, *arguments)
    runs = pathlib.Path("logs", algo).glob(f"{env}_*")
    return max(runs, key=lambda run: run.stat().st_ctime_ns, default=pathlib.Path())


def weights(model: Any) -> np.ndarray:
    return th.nn.utils.parameters_to_vector(model.policy.parameters()).detach().numpy()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A log folder with a run of each algorithm with each policy; not to be written to."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", sys.argv)
        for algo in ALGORITHMS:
            for policy in POLICIES:
                evaluation = ["--eval-freq", 300, "--n-eval-envs", 2, "--eval-episodes", 3]
                # Whole episodes are played: with few at a time, all runs end between their second and third evaluation
                params = [f"policy:'{policy}'", *(["n_episodes:2"] if algo == "reinforce" else [])]
                train(algo, "-params", *params, "--save-freq", 100, *evaluation, "--seed", 3, steps=650)
    return folder / "logs"


# train and enjoy


def test_in_a_process_of_its_own(trained: pathlib.Path) -> None:
    """Where nothing of the RL Zoo has been imported yet. The run is in the folder ``logs``, where it is looked for."""
    arguments = ["--algo", "reinforce", "--env", "CartPole-v1", "--no-render", "-n", "520"]
    assert "Mean reward" in run_module("sb3_reinforce.zoo", "enjoy", *arguments, folder=trained.parent)


@EACH_RUN
def test_train_leaves_what_the_zoo_leaves(trained: pathlib.Path, algo: str, run: int) -> None:
    folder = trained / algo / f"CartPole-v1_{run}"
    evaluations = np.load(folder / "evaluations.npz")
    model = ALGORITHMS[algo].load(folder / "CartPole-v1.zip")
    assert 650 <= model.num_timesteps < 900
    assert evaluations["timesteps"].tolist() == [300, 600]
    assert evaluations["results"].shape == (2, 3)
    assert {"best_model.zip", "rl_model_100_steps.zip", "rl_model_300_steps.zip"} <= {path.name for path in folder.iterdir()}
    assert len(pd.read_csv(folder / "0.monitor.csv", skiprows=1)) > 3
    config = yaml.unsafe_load((folder / "CartPole-v1" / "config.yml").read_text())
    assert config["policy"] == POLICIES[run - 1]
    assert isinstance(model.policy, LinearSoftmaxPolicy) == (run == 1)
    assert model.seed == 3


@EACH_RUN
@pytest.mark.parametrize("which", [(), ("--load-best",), ("--load-checkpoint", 200), ("--load-last-checkpoint",)])
def test_enjoy(
    trained: pathlib.Path, algo: str, run: int, which: tuple[object, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    zoo("enjoy", "--algo", algo, "--env", "CartPole-v1", "-f", trained, "--exp-id", run, "--no-render", "-n", 520, *which)
    assert "Mean reward: " in capsys.readouterr().out


def test_hyperparameters_are_found_and_a_file_of_the_users_own_is_honoured(capsys: pytest.CaptureFixture[str]) -> None:
    pathlib.Path("mine.yml").write_text(
        "CartPole-v1:\n  policy: MlpPolicy\n  n_timesteps: 50\n  n_envs: 3\n  n_episodes: 5\n  learning_rate: lin_0.125\n"
        "  epsilon: EpsilonSchedule(start=0.5)\n"
        "  policy_kwargs: dict(net_arch=[7] if REINFORCE else [], activation_fn=nn.ReLU)\n"
    )
    theirs = REINFORCE.load(train("reinforce", steps=20) / "CartPole-v1.zip")
    assert "sb3_reinforce/zoo/hyperparams/reinforce.yml" in capsys.readouterr().out
    folder = train("reinforce", "--conf-file", "mine.yml", steps=-1)
    assert "Loading hyperparameters from: mine.yml" in capsys.readouterr().out
    mine = REINFORCE.load(folder / "CartPole-v1.zip")
    assert isinstance(theirs.policy, LinearSoftmaxPolicy)
    assert (mine.n_episodes, mine.n_envs, mine.epsilon.start) == (5, 3, 0.5)
    assert mine.policy.mlp_extractor.policy_net[0].out_features == 7
    assert isinstance(mine.policy.mlp_extractor.policy_net[1], th.nn.ReLU)
    assert mine.lr_schedule(0.5) == pytest.approx(0.0625)


REFUSED = {
    "text": ("CartPole-v1: {policy: MlpPolicy, n_timesteps: 2000, learning_rate: 1e-3}", "write learning_rate: 1.0e-3. YAML"),
    "steps": ("CartPole-v1: {policy: MlpPolicy, n_timesteps: 1e4}", "n_timesteps is '1e4', write n_timesteps: 1.0e+4. YAML"),
    "nested": (
        "CartPole-v1: {policy: MlpPolicy, n_timesteps: 1, policy_kwargs: {optimizer_kwargs: {eps: 1e-5}}}",
        "policy_kwargs: optimizer_kwargs: eps is '1e-5', write eps: 1.0e-5. YAML",
    ),
    "missing": ("Acrobot-v1: {policy: MlpPolicy, n_timesteps: 2000}", "'own.yml' has no hyperparameters for CartPole-v1"),
    "empty": ("", "'own.yml' must map environments to hyperparameters of reinforce, but it is None."),
    "broken": ("CartPole-v1: {", "'own.yml' is not a YAML file: "),
    "unknown": (
        "CartPole-v1: {policy: MlpPolicy, n_timesteps: 1, batch_size: 64}",
        "REINFORCE has no hyperparameter batch_size",
    ),
    "policy": (
        "CartPole-v1: {policy: MlpPolicy, n_timesteps: 1, policy_kwargs: 'dict(net_ark=[8])'}",
        "policy_kwargs: MlpPolicy has no argument net_ark (did you mean net_arch?)",
    ),
    "shared": (
        "CartPole-v1: {policy: MlpPolicy, n_timesteps: 1, policy_kwargs: 'dict(net_arch=[8, dict(pi=[8])])'}",
        "Write net_arch=dict(pi=[...], vf=[...])",
    ),
    "rate": ("CartPole-v1: {policy: MlpPolicy, n_timesteps: 1, learning_rate: fast}", "must be a finite number or lin_ and a"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_hyperparameters_that_are_refused_are_said_in_a_line(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    text, says = REFUSED[case]
    pathlib.Path("own.yml").write_text(text)
    assert main(["train", "--algo", "reinforce", "--env", "CartPole-v1", "-c", "own.yml", "--verbose", "0"]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ")
    assert says in error
    assert not pathlib.Path("logs").exists()


@pytest.mark.parametrize("name", ["nowhere.yml", "nowhere.py", "nowhere"])
def test_a_file_that_is_not_there(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--algo", "reinforce", "--env", "CartPole-v1", "-c", name]) == 2
    assert f"error: The hyperparameters '{name}' can't be read: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("algo", "given", "says"),
    [
        ("reinforce", "learning_rate:'1e-3'", "write learning_rate: 1.0e-3"),
        ("ppo", "ent_coef:'1e-2'", "write ent_coef: 1.0e-2"),
        ("ppo", "n_episodes:8", "PPO has no hyperparameter n_episodes"),
    ],
)
def test_so_are_those_of_the_command_line(algo: str, given: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--algo", algo, "--env", "CartPole-v1", "-params", given]) == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("algo", ["ppo", "trpo"])
def test_the_zoos_own_algorithms_are_still_there(algo: str, capsys: pytest.CaptureFixture[str]) -> None:
    folder = train(algo, "-params", "n_envs:1", "n_steps:32", "batch_size:32", steps=64)
    assert f"rl_zoo3/hyperparams/{algo}.yml" in capsys.readouterr().out
    assert ALGOS[algo].load(folder / "CartPole-v1.zip").num_timesteps == 64
    zoo("enjoy", "--algo", algo, "--env", "CartPole-v1", "-f", "logs", "--no-render", "-n", 520)


def test_reinforce_goes_on_from_a_trained_agent(trained: pathlib.Path) -> None:
    agent = trained / "reinforce" / "CartPole-v1_2" / "CartPole-v1.zip"
    before = weights(REINFORCE.load(agent))
    stays = train("reinforce", "-i", agent, "-params", "policy:'MlpPolicy'", "learning_rate:0.0", steps=1)
    np.testing.assert_array_equal(weights(REINFORCE.load(stays / "CartPole-v1.zip")), before)
    moves = train("reinforce", "-i", agent, "-params", "policy:'MlpPolicy'", "learning_rate:0.001", steps=1)
    change = np.abs(weights(REINFORCE.load(moves / "CartPole-v1.zip")) - before).max()
    assert 1e-5 < change < 2e-3  # one step of Adam


def test_a_search_goes_on_from_its_best_candidate(trained: pathlib.Path) -> None:
    agent = trained / "random_weight_search" / "CartPole-v1_1" / "CartPole-v1.zip"
    before = RandomWeightSearch.load(agent)
    assert before.best_mean_reward > 30
    after = RandomWeightSearch.load(
        train("random_weight_search", "-i", agent, "-params", "reward_threshold:1000", steps=300) / "CartPole-v1.zip"
    )
    assert after.num_timesteps == 300
    assert after.n_candidates > before.n_candidates
    assert after.best_mean_reward == before.best_mean_reward
    np.testing.assert_array_equal(weights(after), weights(before))


@EACH_ALGORITHM
def test_normalized_and_stacked(algo: str, capsys: pytest.CaptureFixture[str]) -> None:
    folder = train(algo, "-params", "normalize:True", "frame_stack:3", "n_envs:2", "--eval-freq", 100)
    assert ALGORITHMS[algo].load(folder / "CartPole-v1.zip").observation_space.shape == (12,)
    assert (folder / "best_model.zip").exists()
    assert pickle.loads((folder / "CartPole-v1" / "vecnormalize.pkl").read_bytes()).obs_rms.count > 200
    zoo("enjoy", "--algo", algo, "--env", "CartPole-v1", "-f", "logs", "--no-render", "-n", 520)
    output = capsys.readouterr().out
    assert "Loading running average" in output
    assert "Stacking 3 frames" in output
    assert "Mean reward: " in output


@pytest.mark.parametrize(
    ("entry", "lengths"),
    [
        ("train_env_kwargs: {max_episode_steps: 5}", {5}),
        # Monitor is inside of wrappers, and sees no episode end
        ("train_env_wrapper: [{gymnasium.wrappers.TimeLimit: {max_episode_steps: 5}}]", set()),
    ],
)
def test_what_only_training_has(entry: str, lengths: set[int]) -> None:
    """Episodes of training are cut off after 5 steps, those of the evaluation are not."""
    pathlib.Path("short.yml").write_text(f"""
CartPole-v1:
  n_timesteps: 100
  policy: LinearSoftmaxPolicy
  n_envs: 2
  env_wrapper: rl_zoo3.wrappers.TimeFeatureWrapper
  {entry}
""")
    folder = train("reinforce", "--conf-file", "short.yml", "--eval-freq", 50, steps=100)
    assert REINFORCE.load(folder / "CartPole-v1.zip").observation_space.shape == (5,), "what is for all is there"
    assert entry.split(":")[0] in yaml.unsafe_load((folder / "CartPole-v1" / "config.yml").read_text())
    assert np.load(folder / "evaluations.npz")["ep_lengths"].min() > 5
    assert set(pd.read_csv(folder / "0.monitor.csv", skiprows=1)["l"]) == lengths


def test_environments_in_processes_of_their_own() -> None:
    folder = train("reinforce", "--vec-env", "subproc", "-params", "n_envs:2", steps=50)
    assert REINFORCE.load(folder / "CartPole-v1.zip").n_envs == 2


def test_what_the_options_of_training_reach() -> None:
    folder = train("reinforce", "-tb", "tensorboard", "--num-threads", 1, "--uuid", "--log-interval", 1, "-P", steps=50)
    assert (folder / "CartPole-v1" / "command.txt").exists()
    assert list(pathlib.Path("tensorboard", "CartPole-v1").glob("REINFORCE_1/events*"))


# The search for hyperparameters


@pytest.mark.parametrize("policy", POLICIES)
@EACH_ALGORITHM
def test_optimize(algo: str, policy: str) -> None:
    evaluation = ["--n-evaluations", 1, "--eval-episodes", 1, "--n-startup-trials", 1]
    storage = ["--storage", "study.log", "--study-name", "study"]
    chosen = ["-params", f"policy:'{policy}'"]
    train(algo, "--optimize", "--n-trials", 3, "--no-optim-plots", *evaluation, *storage, *chosen, steps=100)
    (report,) = pathlib.Path("logs", algo).glob("report_CartPole-v1_3-trials-100-tpe-median_*.csv")
    trials = pd.read_csv(report)
    assert len(trials) == 3
    assert set(trials["state"]) <= {"COMPLETE", "PRUNED"}
    assert np.isfinite(trials["value"]).all()
    sampled = load_study().trials[2].params
    assert ("net_arch" in sampled) == ((algo, policy) == ("reinforce", "MlpPolicy"))
    config = yaml.unsafe_load((train(algo, *storage, "--trial-id", 2, *chosen) / "CartPole-v1" / "config.yml").read_text())
    assert {**CONVERTERS[algo](sampled), "policy": policy}.items() <= config.items()


def load_study() -> optuna.Study:
    backend = optuna.storages.journal.JournalFileBackend("study.log")
    return optuna.load_study(study_name="study", storage=optuna.storages.JournalStorage(backend))


def test_a_trial_whose_gradient_is_not_finite_is_pruned(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def diverge(model: REINFORCE) -> None:
        raise FloatingPointError("The gradient is not finite")

    monkeypatch.setattr(REINFORCE, "train", diverge)
    storage = ["--storage", "study.log", "--study-name", "study"]
    arguments = ["--algo", "reinforce", "--env", "CartPole-v1", "-n", "200", "--no-optim-plots", "--n-trials", "2"]
    assert main(["train", "--optimize", *arguments, *storage]) == 2
    # With no trial completed there is no best one, which is rl_zoo3's to say
    assert "No trials are completed" in capsys.readouterr().err
    assert [trial.state for trial in load_study().trials] == [optuna.trial.TrialState.PRUNED] * 2


TRAINING = ["train", "--algo", "reinforce", "--env", "CartPole-v1", "-n", "10"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["-params", "gamma:2"], "can't be set up on CartPole-v1: gamma of REINFORCE must be"),
        (["-params", "policy:MlpPolicy"], "in which a text needs quotation marks"),
        (["-params", "gamma"], "must be NAME:VALUE"),
        (["--env-kwargs", "lightness:3"], "can't be set up on CartPole-v1: .*lightness"),
        (["-f", "file"], "'file/reinforce' can't be made a folder: it is a file, .*--log-folder"),
        (["-i", "missing.zip"], "must be a valid path to a .zip file"),
        (["--env", "CartPool-v1"], "CartPool-v1 not found .*CartPole"),
        (["--optimize", "--storage", "file"], "can't be set up on CartPole-v1: .*URL"),
    ],
)
def test_what_can_not_be_trained_is_said_in_a_line_and_leaves_no_folder(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pathlib.Path("file").touch()
    assert main([*TRAINING, *arguments]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "error: " in error
    assert re.search(says, error)
    assert [path.name for path in pathlib.Path().iterdir()] == ["file"]


def test_an_environment_that_can_not_be_made_again(trained: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--algo", "reinforce", "--env", "CartPole-v1", "-f", str(trained), "--no-render"]
    assert main(["enjoy", *arguments, "--env-kwargs", "lightness:3"]) == 2
    assert re.search("error: environment 'CartPole-v1' can't be made: .*lightness", capsys.readouterr().err)


# Plots, videos, the hub


def shown(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that a command shows from now on."""
    figures: list[Figure] = []
    monkeypatch.setattr(plt, "show", lambda: figures.extend(plt.figure(number) for number in plt.get_fignums()))
    return figures


@EACH_ALGORITHM
def test_plot_train(trained: pathlib.Path, algo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = shown(monkeypatch)
    zoo("plot_train", "-a", algo, "-e", "CartPole-v1", "-f", trained, "-w", 3)
    (figure,) = figures
    lines = figure.axes[0].get_lines()
    assert [line.get_label() for line in lines] == ["CartPole-v1_1", "CartPole-v1_2"]
    episodes = pd.read_csv(trained / algo / "CartPole-v1_2" / "0.monitor.csv", skiprows=1)["r"]
    np.testing.assert_allclose(lines[1].get_ydata(), episodes.rolling(3).mean().dropna())


def test_all_plots_and_plot_from_file(
    trained: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = shown(monkeypatch)
    zoo("all_plots", "-a", *ALGORITHMS, "-e", "CartPole-v1", "-f", trained, "-l", "test", "--no-million", "-o", "results")
    labels = {"REINFORCE-test", "RANDOM_WEIGHT_SEARCH-test"}
    assert {line.get_label() for line in figures[0].axes[0].get_lines()} == labels
    assert "|Environments|REINFORCE|RANDOM_WEIGHT_SEARCH|" in capsys.readouterr().out.replace(" ", "")
    results = pickle.loads(pathlib.Path("results.pkl").read_bytes())
    last = [np.load(folder)["results"][-1].mean() for folder in (trained / "reinforce").glob("*/evaluations.npz")]
    np.testing.assert_allclose(sorted(results["CartPole-v1"]["REINFORCE-test"]["last_evals"]), sorted(last))
    plt.close("all")
    zoo("plot_from_file", "-i", "results", "-o", "plot.png", "--format", "png", "-b")
    assert iio.imread("plot.png").std() > 10


@EACH_ALGORITHM
def test_record_video(trained: pathlib.Path, algo: str) -> None:
    zoo("record_video", "--algo", algo, "--env", "CartPole-v1", "-f", trained, "-n", 30, "-o", "videos", "--exp-id", 1)
    (video,) = pathlib.Path("videos").glob("final-model-*.mp4")
    assert len(iio.imread(video)) >= 30


class _Hub:
    """The Hugging Face hub as far as it is written to."""

    uploads: list[tuple[str, pathlib.Path]] = []

    def create_repo(self, repo_id: str, **kwargs: object) -> str:
        return f"https://huggingface.co/{repo_id}"

    def snapshot_download(self, repo_id: str, local_dir: pathlib.Path) -> None:
        local_dir.mkdir(parents=True)

    def upload_folder(self, repo_id: str, folder_path: pathlib.Path, commit_message: str) -> None:
        self.uploads.append((repo_id, folder_path))


@EACH_ALGORITHM
def test_push_to_hub_packs_the_model(trained: pathlib.Path, algo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub, "HfApi", _Hub)
    monkeypatch.setattr(_Hub, "uploads", [])
    zoo("push_to_hub", "--algo", algo, "--env", "CartPole-v1", "-f", trained, "-orga", "me", "-n", 30, "--exp-id", 1)
    ((repo, folder),) = _Hub.uploads
    assert repo == f"me/{algo}-CartPole-v1"
    ALGORITHMS[algo].load(folder / f"{algo}-CartPole-v1.zip")
    assert {"config.yml", "args.yml", "results.json", "train_eval_metrics.zip"} <= {path.name for path in folder.iterdir()}
    assert (folder / "replay.mp4").exists() == (shutil.which("ffmpeg") is not None)
    _, metadata, card = (folder / "README.md").read_text().split("---\n", 2)
    (result,) = yaml.safe_load(metadata)["model-index"]
    assert result["name"] == ALGORITHMS[algo].__name__
    assert result["results"][0]["dataset"]["name"] == "CartPole-v1"
    assert f"**{ALGORITHMS[algo].__name__}** Agent playing **CartPole-v1**" in card


# The command line itself


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 0
    output = capsys.readouterr().out
    assert all(command in output for command in (*FUNCTIONS, *SCRIPTS))


def test_an_unknown_command_prints_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trian"]) == 2
    error = capsys.readouterr().err
    assert "usage: " in error
    assert "error: there is no command 'trian'" in error


@pytest.mark.parametrize("command", [*FUNCTIONS, *SCRIPTS])
def test_every_command_has_the_options_of_the_zoo(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    output = "".join(capsys.readouterr().out.split())
    if "plot" not in command:
        assert "{a2c,ddpg,dqn,ppo,sac,td3,ars,crossq,qrdqn,tqc,trpo,ppo_lstm,reinforce,random_weight_search}" in output


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "rl_zoo3.train", None)
    assert main(["train"]) == 2
    assert 'pip install ".[zoo]"' in capsys.readouterr().err
