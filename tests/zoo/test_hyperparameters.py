import pathlib
from typing import Any

import pytest
import rl_zoo3
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from rl_zoo3 import ALGOS
from stable_baselines3 import A2C, PPO, SAC

from sb3_reinforce import REINFORCE, RandomWeightSearch
from sb3_reinforce.zoo.experiment_manager import evaluate
from sb3_reinforce.zoo.hyperparameters import (
    HyperparameterError,
    check_entry,
    check_hyperparameters,
    check_numbers,
    check_policy_kwargs,
    read_yaml,
    tuned_for,
)

PLAIN = {"policy": "MlpPolicy", "n_timesteps": 1000}


def refusal(algorithm: Any = REINFORCE, **hyperparameters: Any) -> str:
    with pytest.raises(HyperparameterError) as refused:
        check_hyperparameters({**PLAIN, **hyperparameters}, algorithm, "mine")
    assert "\n" not in str(refused.value)
    return str(refused.value)


# Numbers


@given(st.floats() | st.integers(), st.sampled_from(["{}", "{:e}", "{:E}", "{:.0e}", "{:g}", " {} ", "+{}"]))
@example(1e-3, "{:.0e}")
@example(-0.5, "{:e}")
@example(float("inf"), "{}")
def test_the_line_to_write_is_read_as_the_number_that_was_meant(number: float, form: str) -> None:
    text = form.format(number)
    try:
        meant = float(text)
    except ValueError:  # "+-1"
        return
    with pytest.raises(HyperparameterError) as refused:
        check_numbers({"gamma": text}, "mine")
    line = str(refused.value).partition(", write ")[2].partition(". YAML takes")[0]
    read = yaml.safe_load(line)["gamma"]
    assert isinstance(read, (int, float))
    assert read == pytest.approx(meant, rel=1e-12, nan_ok=True)


@pytest.mark.parametrize(
    ("written", "line"),
    [
        ("1e-3", "learning_rate: 1.0e-3"),
        ("3E5", "learning_rate: 3.0e+5"),
        ("2.5e4", "learning_rate: 2.5e+4"),
        ("'0.5'", "learning_rate: 0.5"),
        ("'8'", "learning_rate: 8"),
        ("inf", "learning_rate: .inf"),
    ],
)
def test_a_text_where_a_number_is_meant_is_refused_with_the_line_to_write(written: str, line: str) -> None:
    entry = yaml.safe_load(f"{{policy: MlpPolicy, n_timesteps: 1000, learning_rate: {written}}}")
    says = refusal(**entry)
    assert (
        f"The hyperparameters of mine have a text where a number is meant: learning_rate is '{written.strip(chr(39))}', "
        in says
    )
    assert f", write {line}. YAML takes 1e-3 for a text" in says


def test_all_of_them_are_named_wherever_they_are() -> None:
    says = refusal(n_timesteps="1e4", gamma="0.9", policy_kwargs={"optimizer_kwargs": {"eps": "1e-5", "betas": [0.9, "1e2"]}})
    assert (
        "n_timesteps is '1e4', write n_timesteps: 1.0e+4; gamma is '0.9', write gamma: 0.9; "
        "policy_kwargs: optimizer_kwargs: eps is '1e-5', write eps: 1.0e-5; "
        "policy_kwargs: optimizer_kwargs: betas has '1e2', write 1.0e+2." in says
    )


def test_what_is_a_text_may_be_one() -> None:
    check_numbers({"policy": "MlpPolicy", "learning_rate": "lin_1e-3", "ent_coef": "auto", "normalize": "dict(a=1)"}, "mine")
    for key in ("env_kwargs", "train_env_kwargs"):  # an environment may be given any text
        check_numbers({key: {"map_name": "4", "inner": {"seed": "1e3"}}}, "mine")
    with pytest.raises(HyperparameterError, match=r"monitor_kwargs: inner: seed is '1e3'"):
        check_numbers({"monitor_kwargs": {"inner": {"seed": "1e3"}}}, "mine")


# What the RL Zoo reads itself


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("learning_rate", "fast", "a finite number or lin_ and a number"),
        ("learning_rate", "lin_fast", "a finite number or lin_ and a number"),
        ("learning_rate", [0.1], "a finite number or lin_ and a number"),
        ("learning_rate", None, "a finite number or lin_ and a number"),
        ("n_timesteps", 0, "a finite number of at least 1"),
        ("n_timesteps", "many", "a finite number of at least 1"),
        ("n_envs", 2.5, "an integer of at least 1"),
        ("n_envs", True, "an integer of at least 1"),
    ],
)
def test_what_is_out_of_its_range_is_refused(name: str, value: Any, allowed: str) -> None:
    says = refusal(**{name: value})
    assert says.startswith(f"{name} of mine must be {allowed}")
    assert f"but got {value!r}" in says


@pytest.mark.parametrize("name", PLAIN)
def test_what_has_to_be_said_is(name: str) -> None:
    with pytest.raises(HyperparameterError, match=f"hyperparameters of mine must say {name}, but don't"):
        check_hyperparameters({key: value for key, value in PLAIN.items() if key != name}, REINFORCE, "mine")


# Names


@pytest.mark.parametrize(
    ("algorithm", "hyperparameters", "says"),
    [
        (REINFORCE, {"n_steps": 128, "batch_size": 64}, "REINFORCE has no hyperparameter n_steps, batch_size. It has "),
        (REINFORCE, {"n_episode": 8}, "n_episode (did you mean n_episodes?)"),
        (REINFORCE, {"n_env": 8}, "n_env (did you mean n_envs?)"),
        (RandomWeightSearch, {"learning_rate": 0.1}, "RandomWeightSearch has no hyperparameter learning_rate. It has "),
        (PPO, {"n_episodes": 8}, "PPO has no hyperparameter n_episodes. It has batch_size, "),
        (REINFORCE, {"noise_type": "normal", "noise_std": 0.1}, "REINFORCE has no hyperparameter noise_type, noise_std."),
        # The command line has options for these
        (A2C, {"seed": 3, "verbose": 1}, "A2C has no hyperparameter seed, verbose. It has "),
    ],
)
def test_what_an_algorithm_does_not_have_is_named_and_what_it_has(
    algorithm: Any, hyperparameters: dict[str, Any], says: str
) -> None:
    message = refusal(algorithm, **hyperparameters)
    assert says in message
    assert "gamma" in message or algorithm is RandomWeightSearch
    assert "The RL Zoo itself has callback, env_kwargs, env_wrapper, " in message
    assert " seed, " not in message.partition("It has")[2]


def test_what_there_is_is_allowed() -> None:
    of_sac = {"noise_type": "normal", "noise_std": 0.1, "gamma": 0.9, "buffer_size": 1000}
    check_hyperparameters({**PLAIN, **of_sac}, SAC, "mine")
    assert "A2C has no hyperparameter noise_type, noise_std, buffer_size. It has " in refusal(A2C, **of_sac)
    of_the_zoo = {"n_envs": 2, "normalize": True, "callback": "a.B", "frame_stack": 2, "train_env_wrapper": "a.B"}
    check_hyperparameters({**PLAIN, **of_the_zoo}, REINFORCE, "mine")
    check_hyperparameters({**PLAIN, **of_the_zoo}, A2C, "mine")


class TakesAnything(A2C):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args)


def test_an_algorithm_that_takes_any_name_may_be_given_it() -> None:
    check_hyperparameters({**PLAIN, "n_anything": 3}, TakesAnything, "mine")
    with pytest.raises(HyperparameterError, match="n_timesteps of mine"):
        check_hyperparameters({**PLAIN, "n_timesteps": -1}, TakesAnything, "mine")


@pytest.mark.parametrize("algorithm", [REINFORCE, PPO])
def test_arguments_of_the_policy(algorithm: Any) -> None:
    check_policy_kwargs({"net_arch": [16], "optimizer_kwargs": {"eps": 1e-5}}, "MlpPolicy", algorithm)
    check_policy_kwargs({"net_arch": {"pi": [16], "vf": []}}, "MlpPolicy", algorithm)
    with pytest.raises(
        HyperparameterError, match=r"MlpPolicy has no argument net_ark \(did you mean net_arch\?\)\. It has activ"
    ):
        check_policy_kwargs({"net_ark": [16]}, "MlpPolicy", algorithm)


def test_layers_that_sb3_took_away() -> None:
    shared = [64, {"pi": [16], "vf": [16]}]
    with pytest.raises(HyperparameterError, match=r"net_arch is \[64, .*Write net_arch=dict\(pi=\[\.\.\.\], vf=\[\.\.\.\]\)"):
        check_policy_kwargs({"net_arch": shared}, "MlpPolicy", REINFORCE)


def test_all_that_comes_with_the_zoo_is_allowed() -> None:
    files = sorted((pathlib.Path(rl_zoo3.__file__).parent / "hyperparams").glob("*.yml"))
    n_entries = 0
    for file in files:
        if file.stem in ALGOS:
            for env, entry in read_yaml(file).items():
                check_hyperparameters(entry, ALGOS[file.stem], env)
                policy_kwargs = entry.get("policy_kwargs") or {}
                made = evaluate(policy_kwargs) if isinstance(policy_kwargs, str) else policy_kwargs
                check_policy_kwargs(made, entry["policy"], ALGOS[file.stem])
                n_entries += 1
    assert n_entries > 200


# Files


def test_a_file_has_to_be_yaml(tmp_path: pathlib.Path) -> None:
    (tmp_path / "good.yml").write_text("CartPole-v1: {gamma: 0.5}")
    assert read_yaml(tmp_path / "good.yml") == {"CartPole-v1": {"gamma": 0.5}}
    (tmp_path / "bad.yml").write_text("CartPole-v1: {")
    with pytest.raises(HyperparameterError, match=r"bad\.yml' is not a YAML file: .*"):
        read_yaml(tmp_path / "bad.yml")


NAMES = ["CartPole-v1", "default"]
EXAMPLE = "Write for example: CartPole-v1: {policy: MlpPolicy, n_timesteps: 100000}"


@pytest.mark.parametrize(
    ("table", "says"),
    [
        (
            {"Acrobot-v1": {}},
            f"'my.yml' has no hyperparameters for CartPole-v1, and no 'default'. It has Acrobot-v1. {EXAMPLE}",
        ),
        ({}, f"'my.yml' has no hyperparameters for CartPole-v1, and no 'default'. It has nothing. {EXAMPLE}"),
        (None, f"'my.yml' must map environments to hyperparameters of reinforce, but it is None. {EXAMPLE}"),
        (
            {"policy": "MlpPolicy"},
            f"must map environments to hyperparameters of reinforce, but it is {{'policy': 'MlpPolicy'}}. {EXAMPLE}",
        ),
        (
            {"CartPole-v1": None},
            f"must map environments to hyperparameters of reinforce, but it is {{'CartPole-v1': None}}. {EXAMPLE}",
        ),
        # That is what a comparison reads
        ({"reinforce": {"CartPole-v1": {}}}, f"and no 'default'. It has reinforce. {EXAMPLE}"),
    ],
)
def test_an_environment_that_is_missing(table: Any, says: str) -> None:
    with pytest.raises(HyperparameterError) as refused:
        check_entry(table, NAMES, "reinforce", "my.yml")
    assert says in str(refused.value)


@pytest.mark.parametrize("name", NAMES)
def test_an_environment_that_is_not_missing(name: str) -> None:
    table: dict[str, Any] = {name: {}, "Acrobot-v1": {}}
    check_entry(table, NAMES, "reinforce", "my.yml")
    with pytest.raises(HyperparameterError, match=f"It has {name}, Acrobot-v1"):
        check_entry(table, ["Pendulum-v1", "atari"], "reinforce", "my.yml")


# Whose they are


@pytest.mark.parametrize(
    ("env_id", "names", "expected"),
    [
        ("A-v1", ["A-v0", "A-v1", "A-v2"], "A-v1"),
        ("A-v1", ["A-v0", "A-v10", "A-v9"], "A-v10"),
        ("A", ["A-v0", "AB-v1"], "A-v0"),
        ("space/A-v1", ["A-v0", "space/A-v3", "other/A-v4"], "space/A-v3"),
        ("A-v1", ["a-v1", "AA-v1", "default", "atari", "not an id", ""], None),
        ("not an id", ["not an id-v2", "default"], None),
        ("CartPole-v1", ["atari", "default"], None),
    ],
)
def test_for_which_environment_hyperparameters_are(env_id: str, names: list[str], expected: str | None) -> None:
    assert tuned_for(env_id, names) == expected
