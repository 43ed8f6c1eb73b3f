import dataclasses
import importlib.metadata
import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from rl_zoo3 import ALGOS
from stable_baselines3 import A2C

from sb3_reinforce.common.evaluation import DEFAULT_MAX_EPISODE_STEPS
from sb3_reinforce.compare.plan import RunName, find_environment, installed, make_plan
from tests.compare.tiny import plan


def test_every_algorithm_on_every_environment_with_every_seed() -> None:
    runs = plan(("reinforce", "a2c"), ("CartPole-v1", "FrozenLake-v1"), [5, 3]).runs
    names = [(algo, env, seed) for seed in (3, 5) for env in ("CartPole-v1", "FrozenLake-v1") for algo in ("reinforce", "a2c")]
    assert [tuple(run.name) for run in runs] == names


@pytest.mark.parametrize(("seeds", "expected"), [(3, [1, 2, 3]), ([7, 0, 7], [0, 7])])
def test_seeds_are_counted_or_given(seeds: Any, expected: list[int]) -> None:
    assert [run.name.seed for run in plan(seeds=seeds).runs] == expected


def test_what_is_named_twice_runs_once() -> None:
    assert len(plan(("a2c", "a2c"), ("CartPole-v1", "CartPole-v1")).runs) == 1


def test_a_run_has_the_folder_that_the_zoo_would_give_it() -> None:
    assert RunName("ppo", "ALE/Pong-v5", 3).folder == "ppo/ALE-Pong-v5_3"
    assert str(RunName("ppo", "ALE/Pong-v5", 3)) == "ppo on ALE/Pong-v5, seed 3"


def test_hyperparameters_that_come_with_the_zoo_and_with_us() -> None:
    reinforce, ppo, a2c = plan(("reinforce", "ppo", "a2c"), timesteps=None, eval_freq=None, hyperparams=None).runs
    assert reinforce.hyperparameters["policy"] == "LinearSoftmaxPolicy"
    assert ppo.hyperparameters["n_envs"] == 8  # as rl_zoo3/hyperparams/ppo.yml has it
    assert ppo.hyperparameters["learning_rate"] == "lin_0.001"
    assert (ppo.hyperparameters["n_timesteps"], a2c.hyperparameters["n_timesteps"]) == (1e5, 5e5)


def test_ones_own_hyperparameters_take_their_place() -> None:
    own = {"ppo": {"CartPole-v1": {"policy": "MlpPolicy", "n_timesteps": 300}}}
    cartpole, acrobot = plan(("ppo",), ("CartPole-v1", "Acrobot-v1"), timesteps=None, hyperparams=own).runs
    assert cartpole.hyperparameters == {"policy": "MlpPolicy", "n_timesteps": 300}
    assert acrobot.hyperparameters["n_envs"] == 16  # the RL Zoo's


def test_an_environment_without_an_entry_has_the_default() -> None:
    own = {"ppo": {"default": {"policy": "Mine"}}}
    (run,) = plan(("ppo",), hyperparams=own).runs
    assert run.hyperparameters == {"policy": "Mine", "n_timesteps": 200}
    assert own["ppo"]["default"] == {"policy": "Mine"}


def test_runs_of_an_environment_are_evaluated_at_the_same_timesteps() -> None:
    own = {"ppo": {"default": {"n_timesteps": 1000}}, "a2c": {"default": {"n_timesteps": 500.0}}}
    ppo, a2c = plan(("ppo", "a2c"), timesteps=None, eval_freq=None, hyperparams=own).runs
    assert list(a2c.evaluation_timesteps) == list(range(0, 501, 25))
    assert list(ppo.evaluation_timesteps)[:21] == list(a2c.evaluation_timesteps)
    assert ppo.evaluation_timesteps[-1] == 1000


@pytest.mark.parametrize(("timesteps", "expected"), [(250, [0, 100, 200, 250]), (300, [0, 100, 200, 300]), (100, [0, 100])])
def test_the_first_evaluation_is_before_training_and_the_last_at_the_end(timesteps: int, expected: list[int]) -> None:
    (run,) = plan(timesteps=timesteps, eval_freq=100).runs
    assert run.evaluation_timesteps == expected


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"algos": ()}, r"algos must be a list of at least one name, but got \(\)"),
        ({"algos": "ppo"}, "algos must be a list of at least one name, but got 'ppo'"),
        ({"envs": []}, "envs must be a list"),
        ({"algos": ("reinforc",)}, "no algorithm 'reinforc': did you mean reinforce?"),
        ({"algos": ("q",)}, "no algorithm 'q': there are a2c, ars, .*random_weight_search"),
        ({"envs": ("CartPool-v1",)}, "no environment 'CartPool-v1'.*CartPole"),
        (
            {"envs": ("no_such_module:CartPole-v1",)},
            "no environment 'no_such_module:CartPole-v1': the module 'no_such_module' can't be imported: .*No module named",
        ),
        ({"seeds": 0}, "seeds must be an integer of at least 1 or a list of integers from 0 to .*, but got 0"),
        ({"seeds": []}, r"seeds must be .*, but got \[\]"),
        ({"seeds": [1, -1]}, r"seeds must be .* integers from 0 to .*, but got \[1, -1\]"),
        ({"seeds": [2**32]}, "seeds must be .* integers from 0 to"),
        ({"seeds": "5"}, "seeds must be .*, but got '5'. It is a text: leave out the quotation marks"),
        ({"seeds": ["1", "2"]}, r"seeds must be .* integers from 0 to .*\['1', '2'\]"),
        ({"timesteps": 0}, "timesteps must be None or a finite number of at least 1, but got 0"),
        ({"timesteps": "1e5"}, "timesteps must be .*, but got '1e5'. It is a text: leave out the quotation marks"),
        ({"eval_freq": -5}, "eval_freq must be None or an integer of at least 1, but got -5"),
        ({"eval_freq": "20"}, "eval_freq must be .*, but got '20'. It is a text"),
        ({"n_eval_episodes": 0}, "n_eval_episodes must be an integer of at least 1, but got 0"),
        ({"n_eval_episodes": "10"}, "n_eval_episodes must be .*, but got '10'. It is a text"),
        ({"max_episode_steps": 0}, "max_episode_steps must be None or an integer of at least 1, but got 0"),
        ({"max_episode_steps": "500"}, "max_episode_steps must be .*, but got '500'. It is a text"),
        ({"eval_freq": 201}, "eval_freq is 201, but there are runs of CartPole-v1 that have only 200 timesteps"),
        ({"timesteps": None}, "reinforce for CartPole-v1 must say n_timesteps.*None.*--timesteps"),
    ],
)
def test_what_can_not_be_planned(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        plan(**arguments)


def test_an_algorithm_that_somebody_has_added_to_the_zoo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ALGOS, "mine", A2C)
    with pytest.raises(ValueError, match=r"no hyperparameters of mine for CartPole-v1.*--hyperparams"):
        plan(("mine",))
    (run,) = plan(("mine",), hyperparams={"mine": {"CartPole-v1": {"policy": "MlpPolicy"}}}).runs
    assert run.hyperparameters["policy"] == "MlpPolicy"


def test_a_module_that_raises(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_envs.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match="the module 'broken_envs' can't be imported: ZeroDivisionError: division by zero"):
        find_environment("broken_envs:Mine-v0")


@pytest.mark.usefixtures("odd_envs")
def test_an_environment_of_a_module_that_registers_it() -> None:
    spec = find_environment("odd_envs:Raises-v0")
    assert spec.id == "Raises-v0"
    (run,) = plan(envs=("odd_envs:Raises-v0",)).runs
    assert run.name.env == "Raises-v0"


def test_a_plan_is_told_by_all_that_its_results_depend_on(monkeypatch: pytest.MonkeyPatch) -> None:
    assert plan().fingerprint() == plan().fingerprint()
    others = [plan(seeds=2), plan(("a2c",)), plan(envs=("FrozenLake-v1",)), plan(timesteps=300), plan(eval_freq=50)]
    others += [plan(n_eval_episodes=3), plan(max_episode_steps=50)]
    others.append(plan(hyperparams={"reinforce": {"default": {"policy": "MlpPolicy"}}}))
    fingerprints = {other.fingerprint() for other in others}
    without = plan().fingerprint()
    assert without not in fingerprints
    version = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda package: "0.1" if package == "torch" else version(package))
    assert plan().fingerprint() not in {without, *fingerprints}
    # What failed without a package is tried again with it
    monkeypatch.setattr(importlib.metadata, "version", lambda package: "0.1" if package == "mujoco" else version(package))
    assert plan().fingerprint() == without
    assert plan().as_dict()["versions"]["mujoco"] == "0.1"


LAKE = """
import gymnasium as gym
from gymnasium.envs.toy_text import FrozenLakeEnv

REWARD = 1.0

class Lake(FrozenLakeEnv):
    def step(self, action):
        obs, reward, *rest = super().step(action)
        return obs, REWARD * reward, *rest

class Slow(gym.RewardWrapper):
    def reward(self, reward):
        return reward - 0.01

gym.register("Lake-v0", entry_point="lake:Lake", max_episode_steps=100, kwargs={"map_name": "4x4"})
"""
OWN = {"reinforce": {"Lake-v0": {"policy": "LinearSoftmaxPolicy", "env_wrapper": "lake.Slow"}}}
IN_ANOTHER_PROCESS = f"""
from tests.compare.tiny import plan
print(plan(envs=("lake:Lake-v0",), hyperparams={OWN!r}).fingerprint())
"""


@pytest.fixture
def lake(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[pathlib.Path]:
    """The file of a module in which an environment and a wrapper are."""
    (tmp_path / "lake.py").write_text(LAKE)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path / "lake.py"
    sys.modules.pop("lake", None)
    gym.registry.pop("Lake-v0", None)


def test_so_it_is_by_the_code(lake: pathlib.Path) -> None:
    before = plan(envs=("lake:Lake-v0",), hyperparams=OWN)
    assert before.code.keys() == {"lake"}
    lake.write_text(LAKE.replace("REWARD = 1.0", "REWARD = 5.0"))
    after = plan(envs=("lake:Lake-v0",), hyperparams=OWN)
    assert after.fingerprint() != before.fingerprint()
    lake.write_text(f"# Only a comment\n{LAKE}")
    assert plan(envs=("lake:Lake-v0",), hyperparams=OWN).fingerprint() == before.fingerprint()


def test_the_same_code_has_the_same_fingerprint_in_another_process(lake: pathlib.Path) -> None:
    command = [sys.executable, "-c", IN_ANOTHER_PROCESS]
    paths = [str(pathlib.Path(__file__).parents[2]), *sys.path]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONHASHSEED": "7"}
    out = subprocess.run(command, cwd=lake.parent, env=env, capture_output=True, text=True, check=True).stdout
    assert out.split()[-1] == plan(envs=("lake:Lake-v0",), hyperparams=OWN).fingerprint()


@pytest.mark.filterwarnings("ignore:.*Overriding environment Lake-v0 already in registry")
@pytest.mark.parametrize("change", [{"max_episode_steps": 50}, {"kwargs": {"map_name": "8x8"}}])
def test_and_by_how_an_environment_is_registered(
    lake: pathlib.Path, change: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = plan(envs=("lake:Lake-v0",), hyperparams=OWN).fingerprint()
    monkeypatch.setitem(gym.registry, "Lake-v0", dataclasses.replace(gym.spec("Lake-v0"), **change))
    assert plan(envs=("Lake-v0",), hyperparams=OWN).fingerprint() != before


@pytest.mark.parametrize(
    ("env", "own", "given", "limit"),
    [
        ("CartPole-v1", {}, None, DEFAULT_MAX_EPISODE_STEPS),
        ("CartPole-v1", {}, 50, 50),
        ("CartPole-v1", {"max_episode_steps": 9_000}, None, 9_000),
        ("CartPole-v1", {"max_episode_steps": 9_000}, 8_000, 8_000),
        ("Blackjack-v1", {"sab": True}, None, DEFAULT_MAX_EPISODE_STEPS),
    ],
)
def test_when_an_episode_of_an_evaluation_is_cut_off(env: str, own: dict[str, Any], given: int | None, limit: int) -> None:
    entries = {"reinforce": {"default": {"policy": "LinearSoftmaxPolicy", "env_kwargs": own}}}
    entries["a2c"] = {"default": {"policy": "MlpPolicy"}}
    tiny = plan(("reinforce", "a2c"), (env,), max_episode_steps=given, hyperparams=entries)
    assert {run.max_episode_steps for run in tiny.runs} == {limit}  # the same for all in an environment
    assert tiny.as_dict()["max_episode_steps"] == {env: limit}


def test_versions_are_those_of_what_is_installed() -> None:
    assert installed(["numpy", "no-such-package"]) == {"numpy": np.__version__}


def test_budgets_are_by_environment() -> None:
    own = {"ppo": {"default": {"n_timesteps": 1000}}, "a2c": {"default": {"n_timesteps": 5e2}}}
    budgets = plan(("ppo", "a2c"), ("CartPole-v1", "FrozenLake-v1"), timesteps=None, hyperparams=own).budgets()
    assert budgets == {env: {"ppo": 1000, "a2c": 500} for env in ("CartPole-v1", "FrozenLake-v1")}


def test_a_plan_can_be_written_and_read() -> None:
    written = plan(("reinforce", "a2c"), seeds=[1, 2]).as_dict()
    assert json.loads(json.dumps(written)) == written
    assert (written["algos"], written["envs"], written["seeds"]) == (["reinforce", "a2c"], ["CartPole-v1"], [1, 2])
    assert written["eval_freq"] == {"CartPole-v1": 100}
    assert written["hyperparameters"]["a2c"]["CartPole-v1"]["n_envs"] == 3
    assert {"torch", "stable-baselines3", "sb3-reinforce", "rl_zoo3", "python"} <= set(written["versions"])


def test_numbers_of_numpy_are_numbers_of_a_plan() -> None:
    kinds = [
        plan(seeds=kind(2), timesteps=kind(200), eval_freq=kind(100), n_eval_episodes=kind(2)) for kind in (int, np.int64)
    ]
    assert kinds[0].fingerprint() == kinds[1].fingerprint()


@pytest.mark.parametrize("device", ["foo", 3])
def test_a_device_that_is_none_is_told_before_anything_runs(device: Any) -> None:
    with pytest.raises(ValueError, match=f"device must be a device of PyTorch .*, but got {device!r}"):
        make_plan(["reinforce"], ["CartPole-v1"], 1, 100, None, 1, None, None, device)
