import dataclasses
import io
import pathlib
import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn

import gymnasium as gym
import numpy as np
import pytest
import torch as th
import yaml
from gymnasium import spaces
from gymnasium.envs.classic_control import CartPoleEnv
from gymnasium.envs.registration import EnvSpec
from rl_zoo3 import ALGOS
from stable_baselines3 import A2C, DQN
from threadpoolctl import threadpool_info, threadpool_limits

from sb3_reinforce.common.evaluation import EpisodeLimit
from sb3_reinforce.compare.plan import Run
from sb3_reinforce.compare.results import keep
from sb3_reinforce.compare.run import Experiment, Outcome, check, execute
from sb3_reinforce.zoo.__main__ import main as zoo
from tests.compare.tiny import HYPERPARAMS, plan


def tiny_run(algo: str = "reinforce", env: str = "CartPole-v1", **kwargs: Any) -> Run:
    return plan((algo,), (env,), **kwargs).runs[0]


def evaluations(outcome: Outcome) -> dict[str, np.ndarray]:
    assert outcome.files is not None, outcome.error
    return dict(np.load(io.BytesIO(outcome.files["evaluations.npz"])))


def test_a_run_leaves_what_the_zoo_would() -> None:
    outcome = execute(tiny_run("a2c"))
    assert outcome.files is not None
    monitors = {f"{i}.monitor.csv" for i in range(3)}
    models = {"CartPole-v1.zip", "best_model.zip"}
    assert set(outcome.files) == {*monitors, *models, "evaluations.npz", "CartPole-v1/args.yml", "CartPole-v1/config.yml"}
    args = yaml.load(outcome.files["CartPole-v1/args.yml"], Loader=yaml.UnsafeLoader)  # as the RL Zoo does
    assert (args["algo"], args["env"], args["seed"], args["env_kwargs"]) == ("a2c", "CartPole-v1", 1, None)
    assert A2C.load(io.BytesIO(outcome.files["CartPole-v1.zip"])).num_timesteps >= 200
    assert outcome.seconds > 0
    assert outcome.error == ""


@pytest.mark.parametrize("algo", HYPERPARAMS)
def test_evaluations_are_at_the_same_timesteps_whatever_the_number_of_environments(algo: str) -> None:
    found = evaluations(execute(tiny_run(algo, timesteps=250, eval_freq=100)))
    assert found["timesteps"].tolist() == [0, 100, 200, 250]
    assert found["results"].shape == found["ep_lengths"].shape == (4, 2)
    np.testing.assert_array_equal(found["results"], found["ep_lengths"])  # CartPole: 1 a step


def test_the_first_evaluation_is_of_the_untrained_policy() -> None:
    long, short = (evaluations(execute(tiny_run("a2c", timesteps=steps, eval_freq=100)))["results"] for steps in (300, 100))
    np.testing.assert_array_equal(long[0], short[0])
    assert long[0].mean() < 60  # of 500


def test_the_numbers_depend_on_the_run_alone() -> None:
    run, others = tiny_run("a2c"), [tiny_run("reinforce"), tiny_run("a2c", seeds=[2])]
    th.set_num_threads(2)
    np.random.seed(123)
    first = execute(run)
    assert th.get_num_threads() == 2
    th.set_num_threads(1)
    for other in others:
        execute(other)
    np.random.seed(456)
    th.rand(3)
    again = execute(run)
    for name, values in evaluations(first).items():
        np.testing.assert_array_equal(evaluations(again)[name], values)
    models = [A2C.load(io.BytesIO(outcome.files["CartPole-v1.zip"])).policy for outcome in (first, again)]  # type: ignore[index]
    assert all(th.equal(*pair) for pair in zip(*[model.state_dict().values() for model in models], strict=True))
    assert not np.array_equal(evaluations(execute(others[1]))["results"], evaluations(first)["results"])


class DrawnPole(CartPoleEnv):
    def __init__(self) -> None:
        super().__init__()
        self.length = np.random.uniform(0.1, 2.0)  # not from a generator of its own


def test_nor_on_what_an_environment_draws_when_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(gym.registry, "DrawnPole-v0", EnvSpec("DrawnPole-v0", DrawnPole, max_episode_steps=500))
    run = tiny_run("a2c", "DrawnPole-v0")
    found = []
    for seed in (1, 2):
        np.random.seed(seed)
        found.append(evaluations(execute(run))["results"].tolist())
    assert found[0] == found[1]


def test_a_run_has_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    learn, found = A2C.learn, []

    def look(self: A2C, *args: Any, **kwargs: Any) -> A2C:
        found.append(({pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}, th.get_num_threads()))
        return learn(self, *args, **kwargs)

    monkeypatch.setattr(A2C, "learn", look)
    th.set_num_threads(2)
    with threadpool_limits(2):
        execute(tiny_run("a2c"))
        assert {pool["num_threads"] for pool in threadpool_info()} == {th.get_num_threads()} == {2}
    with ThreadPoolExecutor(1) as thread:  # which starts with as many as torch was told last
        thread.submit(execute, tiny_run("a2c")).result()
    th.set_num_threads(1)
    assert found == [({1}, 1)] * 2


def test_a_run_that_ends_early_is_evaluated_as_it_then_is() -> None:
    # Any weights will do
    own = {"random_weight_search": {"default": {"policy": "LinearSoftmaxPolicy", "reward_threshold": 1.0}}}
    own["random_weight_search"]["default"]["n_confirmation_episodes"] = 2
    outcome = execute(tiny_run("random_weight_search", timesteps=2000, eval_freq=500, hyperparams=own))
    assert evaluations(outcome)["timesteps"].tolist() == [0, 500, 1000, 1500, 2000]
    assert outcome.files is not None
    steps = sum(int(line.split(",")[1]) for line in outcome.files["0.monitor.csv"].decode().splitlines()[2:])
    assert steps < 2000


class Alternation(gym.Env[np.ndarray, int]):
    """An episode ends with the first action that is not the one before; of a greedy policy, which sees nothing, never."""

    observation_space, action_space = spaces.Box(0, 1, (1,), np.float32), spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.last: int | None = None
        return np.zeros(1, np.float32), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        has_ended = self.last is not None and action != self.last
        self.last = int(action)
        return np.zeros(1, np.float32), 1.0, has_ended, False, {}


@pytest.mark.filterwarnings("ignore:The environment has not ended one episode yet")
@pytest.mark.parametrize("algo", HYPERPARAMS)
@pytest.mark.parametrize(
    "own",
    [
        {},
        {"normalize": True, "frame_stack": 2},
        {"env_wrapper": [{"gymnasium.wrappers.ClipReward": {"max_reward": 0.5}}]},
    ],
)
def test_an_evaluation_ends_whatever_the_policy_does(monkeypatch: pytest.MonkeyPatch, algo: str, own: dict[str, Any]) -> None:
    monkeypatch.setitem(gym.registry, "Alternation-v0", EnvSpec("Alternation-v0", Alternation))
    entries = {algo: {"default": {**HYPERPARAMS[algo]["default"], **own}}}
    outcome = execute(tiny_run(algo, "Alternation-v0", hyperparams=entries, max_episode_steps=7))
    assert list(outcome.n_cut_off) == [2, 2, 2], outcome.error
    for name in ("results", "ep_lengths"):
        np.testing.assert_array_equal(evaluations(outcome)[name], np.full((3, 2), 7))


def test_an_evaluation_ends_though_a_wrapper_keeps_monitor_from_seeing_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(gym.registry, "Alternation-v0", EnvSpec("Alternation-v0", Alternation))
    entry = {**HYPERPARAMS["a2c"]["default"], "env_wrapper": [{"gymnasium.wrappers.TimeLimit": {"max_episode_steps": 5}}]}
    outcome = execute(tiny_run("a2c", "Alternation-v0", hyperparams={"a2c": {"default": entry}}, max_episode_steps=20))
    assert list(outcome.n_cut_off) == [2, 2, 2]


def test_episodes_that_end_by_themselves_are_not_cut_off() -> None:
    outcome = execute(tiny_run("a2c", "Pendulum-v1", max_episode_steps=200))
    assert evaluations(outcome)["ep_lengths"].tolist() == [[200, 200]] * 3
    assert list(outcome.n_cut_off) == [0, 0, 0]
    assert list(execute(tiny_run("a2c", "Pendulum-v1", max_episode_steps=199)).n_cut_off) == [2, 2, 2]


def test_only_evaluations_are_limited(tmp_path: pathlib.Path) -> None:
    experiment = Experiment(tiny_run("a2c", max_episode_steps=3), str(tmp_path))
    experiment.build()
    limited = [env.env_is_wrapped(EpisodeLimit) for env in experiment.envs]
    assert limited == [[True] * 2, [False] * 3]
    experiment.close()


def test_the_limit_changes_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    limited = execute(tiny_run("reinforce"))
    monkeypatch.setattr("sb3_reinforce.compare.run.limit_episodes", lambda env, max_episode_steps: env)
    unlimited = execute(tiny_run("reinforce"))
    for name, values in evaluations(limited).items():
        np.testing.assert_array_equal(evaluations(unlimited)[name], values)


def test_no_two_environments_of_a_comparison_play_the_same_episodes(tmp_path: pathlib.Path) -> None:
    firsts = []
    for run in plan(("a2c",), seeds=[1, 2]).runs:
        experiment = Experiment(run, str(tmp_path))
        experiment.build()
        firsts += [env.reset() for env in experiment.envs]
        experiment.close()
    assert len(np.unique(np.concatenate(firsts), axis=0)) == 2 * (3 + 2)  # those to train on, and to evaluate on


def test_arguments_of_the_environment_are_those_of_the_evaluations_too(tmp_path: pathlib.Path) -> None:
    own = {"reinforce": {"default": {"policy": "LinearSoftmaxPolicy", "env_kwargs": {"is_slippery": False}}}}
    experiment = Experiment(tiny_run(env="FrozenLake-v1", hyperparams=own), str(tmp_path))
    experiment.build()
    for env in experiment.envs:
        transitions = env.get_attr("unwrapped")[0].P
        assert all(len(outcomes) == 1 for actions in transitions.values() for outcomes in actions.values())
    experiment.close()


def test_normalisation_is_learned_in_training_and_used_in_evaluations() -> None:
    own = {"a2c": {"default": {"policy": "MlpPolicy", "normalize": True, "n_envs": 2}}}
    outcome = execute(tiny_run("a2c", hyperparams=own))
    assert outcome.files is not None
    assert "CartPole-v1/vecnormalize.pkl" in outcome.files
    np.testing.assert_array_equal(evaluations(outcome)["results"], evaluations(outcome)["ep_lengths"])  # as they are


@pytest.mark.usefixtures("odd_envs")
def test_an_environment_that_raises(capsys: pytest.CaptureFixture[str]) -> None:
    outcome = execute(tiny_run(env="odd_envs:Raises-v0"))
    assert outcome.files is None
    assert outcome.error.strip().splitlines()[-1] == "RuntimeError: the cart has left the rails"
    assert "Traceback" in outcome.error
    assert "odd_envs.py" in outcome.error
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("error", [SystemExit(3), MemoryError("all of it"), OSError(28, "No space left on device")])
def test_whatever_a_run_raises_is_an_outcome(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def learn(*_: Any, **__: Any) -> NoReturn:
        raise error

    monkeypatch.setattr(A2C, "learn", learn)
    outcome = execute(tiny_run("a2c"))
    assert outcome.files is None
    assert type(error).__name__ in outcome.error.splitlines()[-1]


def test_ctrl_c_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    def learn(*_: Any, **__: Any) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(A2C, "learn", learn)
    with pytest.raises(KeyboardInterrupt):
        execute(tiny_run("a2c"))


def test_an_environment_that_the_worker_has_not_registered() -> None:
    spec = gym.spec("CartPole-v1")
    gym.register("Elsewhere-v0", entry_point=spec.entry_point, max_episode_steps=9)
    run = tiny_run(env="Elsewhere-v0")
    del gym.registry["Elsewhere-v0"]
    try:
        assert evaluations(execute(run))["results"].max() <= 9
    finally:
        gym.registry.pop("Elsewhere-v0", None)


class Mine(A2C):
    """An algorithm of a user's own."""


def test_an_algorithm_that_the_zoo_of_the_worker_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ALGOS, "mine", Mine)
    run = tiny_run("mine", hyperparams={"mine": HYPERPARAMS["a2c"]})
    del ALGOS["mine"]
    assert evaluations(execute(pickle.loads(pickle.dumps(run))))["timesteps"].tolist() == [0, 100, 200]


def test_what_an_earlier_run_has_left_in_the_worker_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    run, spec = tiny_run("a2c"), gym.spec("CartPole-v1")
    monkeypatch.setitem(gym.registry, "CartPole-v1", dataclasses.replace(spec, max_episode_steps=3))
    monkeypatch.setitem(ALGOS, "a2c", DQN)
    assert evaluations(execute(run))["results"].max() > 3


@pytest.mark.parametrize(
    ("own", "says"),
    [
        (
            {"policy": "MlpPolicy", "learningrate": 0.1},
            "a2c can't be set up on CartPole-v1.*A2C has no hyperparameter learningrate .did you mean learning_rate",
        ),
        ({"policy": "MlpPolice"}, "MlpPolice.*ValueError: Policy MlpPolice unknown"),
        (
            {"policy": "MlpPolicy", "policy_kwargs": "dict(net_ark=[8])"},
            "MlpPolicy has no argument net_ark .did you mean net_arch",
        ),
        ({"policy": "MlpPolicy", "env_wrapper": "no.such.Wrapper"}, "No module named 'no'"),
        ({"policy": "MlpPolicy", "learning_rate": "lin_fast"}, "learning_rate of a2c for CartPole-v1 must be .*'lin_fast'"),
    ],
)
def test_hyperparameters_are_checked_before_anything_runs(own: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        check(tiny_run("a2c", hyperparams={"a2c": {"default": own}}))


@pytest.mark.usefixtures("odd_envs")
def test_so_are_environments() -> None:
    with pytest.raises(ValueError, match=r"reinforce can't be set up on CanNotBeMade-v0.*OSError: no rails"):
        check(tiny_run(env="odd_envs:CanNotBeMade-v0"))
    with pytest.raises(ValueError, match=r"ddpg can't be set up on CartPole-v1.*Discrete"):
        check(tiny_run("ddpg"))
    check(tiny_run())


def test_the_zoos_tools_work_on_the_folder(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MPLBACKEND", "Agg")
    for run in plan(("reinforce", "a2c"), seeds=[2, 3]).runs:
        keep(tmp_path, execute(run))
    assert zoo(["all_plots", "-a", "reinforce", "a2c", "-e", "CartPole-v1", "-f", str(tmp_path), "-o", str(tmp_path / "out"),
                "--no-display", "-print"]) == 0  # fmt: skip
    out = capsys.readouterr().out
    assert f"CartPole-v1-REINFORCE-{tmp_path}: 2" in out
    assert f"CartPole-v1-A2C-{tmp_path}: 2" in out
    assert (tmp_path / "out.pkl").exists()
    command = [
        "enjoy",
        "--algo",
        "a2c",
        "--env",
        "CartPole-v1",
        "-f",
        str(tmp_path),
        "--exp-id",
        "3",
        "--no-render",
        "-n",
        "30",
    ]
    assert zoo(command) == 0
    assert "a2c/CartPole-v1_3" in capsys.readouterr().out
