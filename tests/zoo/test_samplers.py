from typing import Any

import numpy as np
import optuna
import pytest
from stable_baselines3.common.env_util import make_vec_env
from torch import equal, isfinite
from torch.nn.utils import parameters_to_vector

from sb3_reinforce.zoo import ALGORITHMS
from sb3_reinforce.zoo.samplers import CONVERTERS, SAMPLERS


def trials(policy: str, n: int) -> list[optuna.Trial]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.set_user_attr("policy", policy)  # as rl_zoo3 does
    return [study.ask() for _ in range(n)]


@pytest.mark.parametrize("n_envs", [1, 3, 100])
@pytest.mark.parametrize("policy", ["LinearSoftmaxPolicy", "MlpPolicy"])
@pytest.mark.parametrize("algo", ALGORITHMS)
def test_whatever_is_proposed_can_be_learned_with(algo: str, policy: str, n_envs: int) -> None:
    env = make_vec_env("CartPole-v1", n_envs)
    for trial in trials(policy, 5):
        proposed: dict[str, Any] = SAMPLERS[algo](trial, 0, n_envs, {})
        model = ALGORITHMS[algo](policy, env, **proposed)
        for name, value in proposed.items():
            assert getattr(model, name) == value
        before = parameters_to_vector(model.policy.parameters()).detach().clone()
        model.learn(1)
        assert model.num_timesteps >= 1
        after = parameters_to_vector(model.policy.parameters()).detach()
        assert bool(isfinite(after).all())
        if algo == "reinforce":  # one rollout is learned from
            assert model._n_updates == 1
            assert not equal(after, before)


@pytest.mark.parametrize("policy", ["LinearSoftmaxPolicy", "MlpPolicy"])
@pytest.mark.parametrize("algo", ALGORITHMS)
def test_a_converter_says_what_the_sampler_proposed(algo: str, policy: str) -> None:
    for trial in trials(policy, 10):
        proposed = SAMPLERS[algo](trial, 0, 1, {})
        converted = CONVERTERS[algo](trial.params)
        if algo == "reinforce":
            learning_rate = proposed.pop("learning_rate")
            assert learning_rate(0.5) == learning_rate(1.0) / 2
            # As a YAML file has it
            assert converted.pop("learning_rate") == f"lin_{learning_rate(1.0)}"
        else:
            assert proposed.pop("reward_threshold") == np.inf
        assert converted == proposed


def test_every_environment_has_an_episode_to_play() -> None:
    proposed = [SAMPLERS["reinforce"](trial, 0, 32, {})["n_episodes"] for trial in trials("MlpPolicy", 100)]
    assert min(proposed) >= 32
    assert max(proposed) <= 64
    assert len(set(proposed)) > 10


def test_linear_policies_keep_their_policy_kwargs() -> None:
    assert "policy_kwargs" not in SAMPLERS["reinforce"](trials("LinearGaussianPolicy", 1)[0], 0, 1, {})
    proposed = SAMPLERS["reinforce"](trials("CnnPolicy", 1)[0], 0, 1, {})
    assert proposed["policy_kwargs"].keys() == {"net_arch", "activation_fn"}
