import pathlib
import re
from typing import Any

import pytest
import yaml

from sb3_reinforce.compare.hyperparameters import hyperparameters_of, read_hyperparameters
from tests.compare.tiny import HYPERPARAMS


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("pppo: {default: {}}", "no algorithm in '.*own.yml' 'pppo': did you mean ppo"),
        ("ppo: {CartPool-v1: {}}", "no environment under ppo in '.*' 'CartPool-v1': did you mean CartPole-v1"),
        ("ppo: {default: 3}", "must map ppo to environments to hyperparameters, but maps it to {'default': 3}"),
        ("ppo", "must map algorithms to environments to hyperparameters, but it is 'ppo'"),
        ("", "must map algorithms.*None"),
        ("ppo: {", "is not a YAML file.*line 1"),
        ("ppo: {default: {seen: 2020-01-01}}", "hyperparameters of ppo in .* must be numbers, strings, lists and dicts"),
        (
            "ppo: {default: {learning_rate: 1e-3, gamma: '.9', policy_kwargs: {optimizer_kwargs: {betas: [0.9, 1e2]}}}}",
            "of ppo in '.*' have a text where a number is meant: default: learning_rate is '1e-3', write "
            "learning_rate: 1.0e-3; default: gamma is '.9', write gamma: .9; "
            "default: policy_kwargs: optimizer_kwargs: betas has '1e2', write 1.0e[+]2[.]",
        ),
    ],
)
def test_a_file_of_hyperparameters_that_is_wrong(tmp_path: pathlib.Path, text: str, says: str) -> None:
    (tmp_path / "own.yml").write_text(text)
    with pytest.raises(ValueError, match=re.compile(says, re.DOTALL)):
        read_hyperparameters(tmp_path / "own.yml")


def test_a_file_of_hyperparameters(tmp_path: pathlib.Path) -> None:
    own = {**HYPERPARAMS, "ppo": {"default": {"learning_rate": "lin_1e-3", "env_kwargs": {"map_name": "4"}}}}
    own["reinforce"] = {"default": {"policy": "LinearPolicy", "train_env_kwargs": {"map_name": "8"}}}
    (tmp_path / "own.yml").write_text(yaml.dump(own))
    assert read_hyperparameters(str(tmp_path / "own.yml")) == own
    with pytest.raises(FileNotFoundError, match=r"other\.yml"):
        read_hyperparameters("other.yml")


def test_hyperparameters_that_come_with_the_zoo_and_with_us() -> None:
    assert hyperparameters_of("reinforce", "CartPole-v1", {}, None).hyperparameters["policy"] == "LinearSoftmaxPolicy"
    ppo, tuned_for = hyperparameters_of("ppo", "CartPole-v1", {}, None)
    assert tuned_for == "CartPole-v1"
    assert (ppo["n_envs"], ppo["n_timesteps"]) == (8, 1e5)  # as rl_zoo3/hyperparams/ppo.yml has it
    assert ppo["learning_rate"] == "lin_0.001"
    assert hyperparameters_of("ppo", "CartPole-v1", {}, 300).hyperparameters == {**ppo, "n_timesteps": 300}


@pytest.mark.parametrize(
    ("algo", "env", "tuned_for", "expected"),
    [
        ("trpo", "HalfCheetah-v5", "HalfCheetah-v4", {"target_kl": 0.04, "normalize": True}),  # the zoo has no v5
        ("a2c", "Swimmer-v5", "Swimmer-v4", {"gamma": 0.9999}),
        ("ppo", "CartPole-v0", "CartPole-v1", {"n_envs": 8}),
        ("reinforce", "Hopper-v4", "Hopper-v5", {"n_episodes": 20}),
        ("reinforce", "Blackjack-v1", "Blackjack-v1", {}),
        ("reinforce", "Taxi-v999", "Taxi-v4", {}),
        ("trpo", "Blackjack-v1", "default", {}),
        ("reinforce", "FrozenLake8x8-v1", "default", {"policy": "MlpPolicy"}),  # another name is another task
    ],
)
def test_another_version_is_nearer_than_the_default(algo: str, env: str, tuned_for: str, expected: dict[str, Any]) -> None:
    found = hyperparameters_of(algo, env, {}, 100)
    assert found.tuned_for == tuned_for
    assert expected.items() <= found.hyperparameters.items()


def test_ones_own_are_for_what_is_named() -> None:
    own = {"trpo": {"HalfCheetah-v4": {"policy": "Mine"}}}
    assert hyperparameters_of("trpo", "HalfCheetah-v5", own, None).tuned_for == "HalfCheetah-v4"  # the zoo's
    assert hyperparameters_of("trpo", "HalfCheetah-v4", own, 5) == ({"policy": "Mine", "n_timesteps": 5}, None)
    own["trpo"]["default"] = {"policy": "Other"}
    assert hyperparameters_of("trpo", "HalfCheetah-v5", own, 5) == ({"policy": "Other", "n_timesteps": 5}, None)


@pytest.mark.parametrize("n_timesteps", [None, 0, -1.0, "1e4", [3]])
def test_how_long_to_train_has_to_be_said(n_timesteps: Any) -> None:
    own = {"ppo": {"CartPole-v1": {"policy": "MlpPolicy", "n_timesteps": n_timesteps}}}
    with pytest.raises(ValueError, match=r"of ppo for CartPole-v1 must say n_timesteps, a number of at least 1.*--timesteps"):
        hyperparameters_of("ppo", "CartPole-v1", own, None)
    assert hyperparameters_of("ppo", "CartPole-v1", own, 50).hyperparameters["n_timesteps"] == 50
