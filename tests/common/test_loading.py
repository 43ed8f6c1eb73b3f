import io
import pathlib
from typing import Any

import numpy as np
import pytest
import torch as th
from sb3_contrib import ARS, QRDQN, TQC, TRPO, CrossQ, MaskablePPO, RecurrentPPO
from stable_baselines3 import A2C, DDPG, DQN, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import nn

from sb3_reinforce import REINFORCE, RandomWeightSearch
from sb3_reinforce.common.model_files import read_model_file
from sb3_reinforce.common.origin import algorithm_of

CARTPOLE, PENDULUM = "CartPole-v1", "Pendulum-v1"
OBS = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
OTHERS: dict[Any, tuple[str, str]] = {
    **{algorithm: ("MlpPolicy", CARTPOLE) for algorithm in (A2C, PPO, TRPO, MaskablePPO, DQN, QRDQN)},
    **{algorithm: ("MlpPolicy", PENDULUM) for algorithm in (SAC, TD3, DDPG, TQC, CrossQ)},
    ARS: ("LinearPolicy", CARTPOLE),
    RecurrentPPO: ("MlpLstmPolicy", CARTPOLE),
}
ACTOR_CRITICS = [A2C, PPO, TRPO, MaskablePPO]


def other(algorithm: Any) -> BaseAlgorithm:
    policy, env = OTHERS[algorithm]
    return algorithm(policy, env, device="cpu", seed=1)


def search(**arguments: Any) -> RandomWeightSearch:
    return RandomWeightSearch("LinearSoftmaxPolicy", CARTPOLE, seed=0, **arguments)


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "model.zip"


@pytest.mark.parametrize(
    "arguments", [{"trusted": "no"}, {"trusted": 1}, {"force_reset": None}, {"custom_objects": ["gamma"]}], ids=str
)
def test_arguments_that_load_can_not_have(arguments: dict[str, Any], path: pathlib.Path) -> None:
    search().save(path)
    with pytest.raises(ValueError, match=f"^{next(iter(arguments))} of RandomWeightSearch.load must be "):
        RandomWeightSearch.load(path, **arguments)


# Whose file it is


@pytest.mark.parametrize("algorithm", OTHERS)
def test_the_algorithm_of_a_file_is_told(algorithm: Any, path: pathlib.Path) -> None:
    other(algorithm).save(path)
    expected = "TD3" if algorithm is DDPG else algorithm.__name__
    assert algorithm_of(read_model_file(path).data) == f"{algorithm.__module__.split('.')[0]}.{expected}"
    for ours in (REINFORCE, RandomWeightSearch):
        with pytest.raises(ValueError, match=rf"{ours.__name__} can't load '.*model.zip': it is a model of {expected}\."):
            ours.load(path)


@pytest.mark.parametrize("algorithm", [PPO, REINFORCE])
def test_a_policy_class_of_the_users_own_changes_nothing(algorithm: Any, path: pathlib.Path) -> None:
    class Own(ActorCriticPolicy):
        pass

    algorithm(Own, CARTPOLE, device="cpu").save(path)
    assert algorithm_of(read_model_file(path).data).endswith(f".{algorithm.__name__}")


def test_a_subclass_loads_what_it_and_its_base_have_saved(path: pathlib.Path) -> None:
    class Mine(REINFORCE):
        pass

    for saver in (Mine, REINFORCE):
        saver("MlpPolicy", CARTPOLE).save(path)
        for loader in (Mine, REINFORCE):
            assert type(loader.load(path)) is loader


def test_what_is_excluded_from_a_file_does_not_make_it_another_algorithms(path: pathlib.Path) -> None:
    REINFORCE("MlpPolicy", CARTPOLE, reward_to_go=False).save(path, exclude=["reward_to_go"])
    assert REINFORCE.load(path).reward_to_go


def test_a_file_like_object_and_a_path_without_its_suffix(path: pathlib.Path) -> None:
    model = REINFORCE("MlpPolicy", CARTPOLE, seed=0)
    file = io.BytesIO()
    model.save(file)
    model.save(path)
    for source in (file, path.with_suffix(""), str(path.with_suffix(""))):
        loaded = REINFORCE.load(source)
        np.testing.assert_array_equal(loaded.predict(OBS, deterministic=True)[0], model.predict(OBS, deterministic=True)[0])
    file = io.BytesIO()
    PPO("MlpPolicy", CARTPOLE, device="cpu").save(file)
    with pytest.raises(ValueError, match="can't load the file: it is a model of PPO"):
        REINFORCE.load(file)


def test_no_file_and_no_model(path: pathlib.Path) -> None:
    with pytest.raises(FileNotFoundError):
        REINFORCE.load(path)
    path.write_bytes(b"no zip-file")
    with pytest.raises(ValueError, match=r"model.zip' is not a saved model, or is damaged"):
        REINFORCE.load(path)


# The way out that the messages name


@pytest.mark.parametrize("algorithm", ACTOR_CRITICS)
def test_the_policy_of_an_actor_critic_can_be_taken_over(algorithm: Any, path: pathlib.Path) -> None:
    theirs = other(algorithm)
    theirs.save(path)
    with pytest.raises(ValueError, match=r"model.policy.load_state_dict\(\w+\.\w+\.load\('.*'\).policy.state_dict\(\)\)\.$"):
        REINFORCE.load(path)
    model = REINFORCE("MlpPolicy", CARTPOLE)
    model.policy.load_state_dict(algorithm.load(path).policy.state_dict())
    np.testing.assert_array_equal(model.predict(OBS, deterministic=True)[0], theirs.predict(OBS, deterministic=True)[0])
    model.learn(100)


def test_our_algorithms_take_over_each_others_policies(path: pathlib.Path) -> None:
    found = search().learn(500)
    found.save(path)
    with pytest.raises(ValueError, match=r"sb3_reinforce.RandomWeightSearch.load\('.*'\).policy.state_dict\(\)"):
        REINFORCE.load(path)
    model = REINFORCE("LinearSoftmaxPolicy", CARTPOLE)
    model.policy.load_state_dict(RandomWeightSearch.load(path).policy.state_dict())
    np.testing.assert_array_equal(model.predict(OBS, deterministic=True)[0], found.predict(OBS)[0])
    model.save(path)
    with pytest.raises(ValueError, match=r"it is a model of REINFORCE\. .*sb3_reinforce.REINFORCE.load"):
        RandomWeightSearch.load(path)


def test_what_another_kind_of_policy_does_can_be_learned(path: pathlib.Path) -> None:
    other(DQN).save(path)
    with pytest.raises(ValueError, match=r"of another kind.*model.policy.fit\(observations, stable_baselines3.DQN.load"):
        REINFORCE.load(path)
    model = REINFORCE("MlpPolicy", CARTPOLE)
    theirs = DQN.load(path).predict(OBS, deterministic=True)[0]
    model.policy.fit(OBS, theirs, n_epochs=100)
    assert (model.predict(OBS, deterministic=True)[0] == theirs).mean() > 0.9


@pytest.mark.parametrize("algorithm", [PPO, A2C])
def test_sb3s_algorithms_load_our_files_and_learn_on(algorithm: Any, path: pathlib.Path) -> None:
    model = REINFORCE("MlpPolicy", CARTPOLE, seed=0)
    model.save(path)
    loaded = algorithm.load(path, env=make_vec_env(CARTPOLE), device="cpu", learning_rate=1e-3, max_grad_norm=0.5)
    np.testing.assert_array_equal(loaded.predict(OBS, deterministic=True)[0], model.predict(OBS, deterministic=True)[0])
    assert loaded.learn(100).num_timesteps >= 100


# Arguments


@pytest.mark.parametrize(
    "arguments", [{"n_episodes": 3}, {"learning_rate": 0.003}, {"baseline": "value"}, {"gamma": 0.9, "ent_coef": 0.1}]
)
def test_arguments_may_be_others_than_those_saved(arguments: dict[str, Any], path: pathlib.Path) -> None:
    REINFORCE("MlpPolicy", CARTPOLE, seed=0).learn(200).save(path)
    model = REINFORCE.load(path, env=make_vec_env(CARTPOLE, 2), **arguments)
    n_updates = model._n_updates
    model.learn(200, reset_num_timesteps=False)
    assert model._n_updates > n_updates
    assert {name: getattr(model, name) for name in arguments} == arguments
    if "learning_rate" in arguments:
        assert model.policy.optimizer.param_groups[0]["lr"] == pytest.approx(0.003)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_episodes": 0}, "n_episodes"),
        ({"gamma": 2.0}, "gamma"),
        ({"baseline": "valeu"}, "baseline"),
        ({"n_epsiodes": 3}, "does not know 'n_epsiodes'"),
        ({"learning_rat": 0.1}, "does not know 'learning_rat'"),
    ],
)
def test_arguments_are_checked(arguments: dict[str, Any], message: str, path: pathlib.Path) -> None:
    REINFORCE("MlpPolicy", CARTPOLE).save(path)
    with pytest.raises(ValueError, match=message):
        REINFORCE.load(path, **arguments)


def test_custom_objects_take_the_place_of_what_is_in_the_file(path: pathlib.Path) -> None:
    REINFORCE("MlpPolicy", CARTPOLE).save(path)
    model = REINFORCE.load(path, custom_objects={"learning_rate": 0.01, "lr_schedule": lambda _: 0.01, "n_episodes": 5})
    assert model.n_episodes == 5
    assert model.lr_schedule(1.0) == 0.01


# Parameters


def values(model: Any) -> dict[str, th.Tensor]:
    return {name: tensor.clone() for name, tensor in model.policy.state_dict().items()}


@pytest.mark.parametrize("algorithm", ACTOR_CRITICS)
def test_parameters_of_another_algorithm_that_fit(algorithm: Any, path: pathlib.Path) -> None:
    theirs = other(algorithm)
    theirs.save(path)
    for source in (str(path), theirs.get_parameters()):
        model = REINFORCE("MlpPolicy", CARTPOLE, seed=0)
        if algorithm is A2C:  # its optimizer is another
            with pytest.raises(ValueError, match=r"another kind of optimizer.*load_state_dict\(parameters\['policy'\]\)"):
                model.set_parameters(source)
            model.policy.load_state_dict(theirs.get_parameters()["policy"])
        else:
            model.set_parameters(source)
        th.testing.assert_close(values(model), values(theirs), rtol=0, atol=0)
        model.learn(100)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: REINFORCE("LinearSoftmaxPolicy", CARTPOLE), r"not those of this policy: .*is not known"),
        (lambda: REINFORCE("MlpPolicy", "Acrobot-v1"), r"has the shape \(2, 64\) instead of \(3, 64\)"),
        (
            lambda: REINFORCE("MlpPolicy", CARTPOLE, policy_kwargs={"net_arch": [64, 64, 8]}),
            r"policy_net.4.bias is missing; .*, and \d more\. .*policy_kwargs",
        ),
        (lambda: search(), "those of policy, policy.optimizer, but a RandomWeightSearch has those of policy"),
    ],
)
def test_parameters_that_do_not_fit_change_nothing(make: Any, message: str) -> None:
    model = make()
    before = values(model)
    with pytest.raises(ValueError, match=message):
        model.set_parameters(other(PPO).get_parameters())
    th.testing.assert_close(values(model), before, rtol=0, atol=0)


def test_parameters_of_another_kind_of_policy_are_not_those() -> None:
    for algorithm in (DQN, SAC, ARS):
        with pytest.raises(ValueError, match=r"The parameters are (not )?those of"):
            REINFORCE("MlpPolicy", CARTPOLE).set_parameters(other(algorithm).get_parameters())


def test_some_parameters_only() -> None:
    theirs = other(PPO)
    model = REINFORCE("MlpPolicy", CARTPOLE, seed=0)
    weight = theirs.policy.action_net.weight
    model.set_parameters({"policy": {"action_net.weight": weight}}, exact_match=False)
    th.testing.assert_close(model.policy.action_net.weight, weight, rtol=0, atol=0)


# torch.compile puts a module into another, and a word into the names of its parameters


def compile_policy(model: Any) -> None:
    model.policy = th.compile(model.policy, backend="eager")


def compile_a_part(model: Any) -> None:
    model.policy.mlp_extractor.policy_net = th.compile(model.policy.mlp_extractor.policy_net, backend="eager")


def compile_two_parts(model: Any) -> None:
    compile_a_part(model)
    model.policy.value_net = th.compile(model.policy.value_net, backend="eager")


@pytest.mark.parametrize("compile_it", [compile_policy, compile_a_part, compile_two_parts])
def test_a_compiled_policy_is_saved_under_plain_names(compile_it: Any, path: pathlib.Path) -> None:
    model: Any = REINFORCE("MlpPolicy", CARTPOLE, seed=0)
    expected = values(model)
    compile_it(model)
    model.save(path)
    loaded = REINFORCE.load(path, env=make_vec_env(CARTPOLE))
    th.testing.assert_close(values(loaded), expected, rtol=0, atol=0)
    assert not any("_orig_mod" in name for name in loaded.policy.state_dict())
    loaded.learn(100)


@pytest.mark.parametrize("compile_it", [compile_policy, compile_a_part, compile_two_parts])
def test_a_compiled_policy_takes_over_plain_parameters(compile_it: Any) -> None:
    model: Any = REINFORCE("MlpPolicy", CARTPOLE, seed=0)
    compile_it(model)
    theirs = REINFORCE("MlpPolicy", CARTPOLE, seed=1)
    model.set_parameters(theirs.get_parameters())
    for own, given in zip(nn.Module.parameters(model.policy), theirs.policy.parameters(), strict=True):
        th.testing.assert_close(own, given, rtol=0, atol=0)
