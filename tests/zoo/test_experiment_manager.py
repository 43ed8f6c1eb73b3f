import argparse
import pathlib

import gymnasium as gym
import pytest
import rl_zoo3
import yaml
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import SubprocVecEnv
from torch import nn

from sb3_reinforce import EpsilonSchedule, LinearSoftmaxPolicy, PythonVecEnv, SuccessRewardWrapper
from sb3_reinforce.zoo import register
from sb3_reinforce.zoo.experiment_manager import ExperimentManager, evaluate, in_order, read_epsilon


def test_epsilon_that_falls_by_progress() -> None:
    epsilon = read_epsilon("lin_0.5")
    assert [epsilon(progress) for progress in (1.0, 0.5, 0.0)] == [0.5, 0.25, 0.0]


def test_epsilon_that_falls_by_episode() -> None:
    assert read_epsilon("EpsilonSchedule(0.5, end=0.25)") == EpsilonSchedule(start=0.5, end=0.25)


def test_expressions_know_our_names_and_those_of_the_zoo() -> None:
    assert evaluate("dict(a=LinearSoftmaxPolicy, b=nn.ReLU)") == {"a": LinearSoftmaxPolicy, "b": nn.ReLU}


def test_whatever_the_zoo_has_in_its_own_files_is_still_read() -> None:
    package = pathlib.Path(rl_zoo3.__file__).parent
    entries = [
        entry for file in (package / "hyperparams").glob("*.yml") for entry in yaml.safe_load(file.read_text()).values()
    ]
    texts = {entry["policy_kwargs"] for entry in entries if isinstance(entry.get("policy_kwargs"), str)}
    assert len(texts) > 10
    assert all(isinstance(evaluate(text), dict) for text in texts)


@pytest.mark.parametrize("text", ["EpsilonSchedule(start=2.0)", "EpsilonShedule()", "0.1 0.2", "half"])
def test_what_is_not_an_epsilon_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match="can't be evaluated") as refused:
        read_epsilon(text)
    assert repr(text) in str(refused.value)


def test_a_linear_epsilon_starts_at_a_number() -> None:
    with pytest.raises(ValueError, match="could not convert string to float: 'much'"):
        read_epsilon("lin_much")


def test_wrappers_go_around_each_other_in_their_order() -> None:
    env = gym.make("CartPole-v1")
    wrapped = in_order(Monitor, None, SuccessRewardWrapper)(env)
    assert isinstance(wrapped, SuccessRewardWrapper)
    assert isinstance(wrapped.env, Monitor)
    assert wrapped.env.env is env
    assert in_order(None, None)(env) is env


@pytest.mark.parametrize("algo", ["reinforce", "random_weight_search", "ppo", "dqn"])
@pytest.mark.parametrize("eval_env", [True, False])
def test_environments_of_every_algorithm_are_stepped_by_python_vec_env(
    algo: str, eval_env: bool, tmp_path: pathlib.Path
) -> None:
    register()
    manager = ExperimentManager(argparse.Namespace(), algo, "CartPole-v1", str(tmp_path), verbose=0)
    manager.train_env_wrapper, manager.train_env_kwargs = None, {}
    env = manager.create_envs(2, eval_env=eval_env, no_log=True)
    assert type(env.unwrapped) is PythonVecEnv
    assert env.env_is_wrapped(Monitor) == [True, True]
    env.close()


def test_environments_in_processes_stay_there(tmp_path: pathlib.Path) -> None:
    manager = ExperimentManager(argparse.Namespace(), "ppo", "CartPole-v1", str(tmp_path), verbose=0, vec_env_type="subproc")
    assert manager.vec_env_class is SubprocVecEnv
