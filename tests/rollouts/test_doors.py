from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3.common.distributions import SquashedDiagGaussianDistribution
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import nn

from sb3_reinforce import REINFORCE
from sb3_reinforce.policies import LinearSoftmaxPolicy, MlpPolicy
from sb3_reinforce.rollouts.doors import ByDistribution, ByForward, door_of
from tests.policies.usual_and_unusual import (
    CASES,
    PLANE,
    SQUARE,
    THREE,
    VECTOR,
    Case,
    Cold,
    Delegate,
    LinearMasksInItsDoors,
    MaskingDelegate,
    MasksInGetDistribution,
    MasksInItsDoors,
    OwnFeatures,
    compiled,
    forbidden,
    settle,
)

OBS = th.tensor(np.random.default_rng(0).uniform(-1, 1, (6, 3)).astype(np.float32))


def make(cls: Any, action_space: spaces.Space = THREE) -> Any:
    policy = cls(VECTOR, action_space, lambda _: 0.1, net_arch=[4])
    settle(policy)
    return policy


# --- Which door


@pytest.mark.parametrize("cls", [ActorCriticPolicy, MlpPolicy, LinearSoftmaxPolicy, Cold, MasksInGetDistribution, OwnFeatures])
def test_by_default_it_is_the_distribution(cls: Any) -> None:
    """Which ``predict`` goes by as well."""
    assert type(door_of(make(cls))) is ByDistribution


@pytest.mark.parametrize("cls", [MasksInItsDoors, LinearMasksInItsDoors])
def test_for_a_policy_with_both_of_sb3s_doors_it_is_these(cls: Any) -> None:
    assert type(door_of(make(cls))) is ByForward


@pytest.mark.parametrize("wrap", [compiled, Delegate, MaskingDelegate])
def test_for_what_is_more_than_its_methods_too(wrap: Any) -> None:
    assert type(door_of(wrap(make(MlpPolicy)))) is ByForward


def test_a_distribution_of_its_own_is_asked_even_if_it_is_compiled() -> None:
    assert type(door_of(compiled(make(MasksInGetDistribution)))) is ByDistribution


class OnlyForward(MlpPolicy):
    def forward(self, obs: Any, deterministic: bool = False) -> Any:
        return super().forward(obs, deterministic)


class OnlyEvaluates(MlpPolicy):
    def evaluate_actions(self, obs: Any, actions: Any) -> Any:
        return super().evaluate_actions(obs, actions)


class BothAgain(OnlyForward, OnlyEvaluates): ...


@pytest.mark.parametrize(
    ("cls", "words"),
    [
        (OnlyForward, "OnlyForward overrides forward, but not evaluate_actions"),
        (OnlyEvaluates, "OnlyEvaluates overrides evaluate_actions, but not forward"),
    ],
)
@pytest.mark.parametrize("wrap", [lambda policy: policy, compiled])
def test_half_of_them_is_refused(wrap: Any, cls: Any, words: str) -> None:
    with pytest.raises(ValueError, match=f"{words}.*Override both.*or neither, and get_distribution"):
        door_of(wrap(make(cls)))


@pytest.mark.parametrize("register", ["register_forward_hook", "register_forward_pre_hook"])
def test_a_hook_that_only_one_of_them_knows_is_refused(register: str) -> None:
    policy = make(MlpPolicy)
    handle = getattr(policy, register)(lambda *_: None)
    with pytest.raises(ValueError, match="MlpPolicy has a forward hook on the policy itself"):
        door_of(policy)
    handle.remove()
    assert type(door_of(policy)) is ByDistribution


def test_halves_that_come_together_are_not() -> None:
    assert type(door_of(make(BothAgain))) is ByForward


# --- What is behind it


def both_doors(policy: Any) -> list[Any]:
    return [ByDistribution(policy), ByForward(policy)]


@pytest.mark.parametrize("name", ["MLP", "MLP, MultiDiscrete", "MLP, MultiBinary", "MLP, Box", "softmax", "gaussian"])
def test_both_say_the_same_of_a_policy_that_overrides_nothing(name: str) -> None:
    case = CASES[name]
    classes: dict[Any, Any] = {"MlpPolicy": MlpPolicy, "LinearSoftmaxPolicy": LinearSoftmaxPolicy}
    policy = make(classes.get(case.policy, MlpPolicy), case.action_space)
    actions = [door.sample(OBS) for door in both_doors(policy) if th.manual_seed(0)]
    assert th.equal(*actions)
    results = [door.evaluate(OBS, actions[0]) for door in both_doors(policy)]
    for first, second in zip(*results, strict=True):
        assert first.shape == (len(OBS),)
        assert first.requires_grad
        th.testing.assert_close(first, second)
    expected = policy.get_distribution(OBS)
    th.testing.assert_close(results[0][0], expected.log_prob(actions[0]))
    th.testing.assert_close(results[0][1], expected.entropy())


@pytest.mark.parametrize("policy", [make(MasksInItsDoors), make(MasksInGetDistribution), MaskingDelegate(make(MlpPolicy))])
def test_a_mask_is_kept_to_by_either(policy: nn.Module) -> None:
    door, obs = door_of(policy), OBS.repeat(100, 1)
    with th.no_grad():
        actions = door.sample(obs)
        assert not forbidden(obs)[th.arange(len(obs)), actions].any()
        log_prob = th.stack([door.evaluate(OBS, th.full((len(OBS),), action))[0] for action in range(3)], dim=1)
    assert (log_prob[forbidden(OBS).bool()] < -1e6).all()
    th.testing.assert_close(log_prob.exp().sum(dim=1), th.ones(len(OBS)))


@pytest.mark.parametrize("door", [ByDistribution, ByForward])
def test_who_knows_no_entropy_gives_minus_the_log_probability(door: Any) -> None:
    """Its mean over what is played is the entropy."""
    policy = make(MlpPolicy, SQUARE)
    policy.action_dist = SquashedDiagGaussianDistribution(2)
    actions = door(policy).sample(OBS)
    log_prob, entropy = door(policy).evaluate(OBS, actions)
    assert th.equal(entropy, -log_prob)
    assert entropy.requires_grad


@pytest.mark.parametrize("name", ["squashed", "temperature of action_dist", "sample of its own", "half the noise"])
def test_a_distribution_that_replaces_sb3s_is_asked(name: str) -> None:
    case: Case = CASES[name]
    policy = make(MlpPolicy, case.action_space)
    case.treat(policy)
    asked = mock.Mock(wraps=policy.action_dist.sample)
    policy.action_dist.sample = asked
    for door in both_doors(policy):
        door.sample(OBS)
    assert asked.call_count == 2
    actions = door_of(policy).sample(OBS)
    th.testing.assert_close(door_of(policy).evaluate(OBS, actions)[0], policy.get_distribution(OBS).log_prob(actions))


def test_actions_have_the_shape_of_their_space() -> None:
    assert door_of(make(MlpPolicy, PLANE)).sample(OBS).shape == (6, 2)
    assert door_of(make(MlpPolicy)).sample(OBS).shape == (6,)
    assert door_of(make(MasksInItsDoors)).sample(OBS).shape == (6,)


def test_a_policy_with_a_memory_is_refused_by_name() -> None:
    from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy

    with pytest.raises(ValueError, match=r"RecurrentActorCriticPolicy acts on more than .*\(lstm_states, episode_starts\)"):
        REINFORCE(RecurrentActorCriticPolicy, "CartPole-v1")
