from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy

from sb3_reinforce.gradient.value_net import NoValueNet, PolicyValueNet, check_value_targets, in_chunks
from sb3_reinforce.rollouts.rollout import Block, Rollout


def make_policy() -> ActorCriticPolicy:
    th.manual_seed(0)
    return ActorCriticPolicy(spaces.Box(-1, 1, (2,)), spaces.Discrete(2), lambda _: 1e-2, net_arch=[16])


def rollout_of(observations: np.ndarray) -> Rollout:
    """One episode."""
    n = len(observations)
    block = Block(observations, np.zeros(n, np.int64), np.zeros(n), np.zeros(n, np.int32), np.arange(n))
    none = np.empty(0, dtype=np.int64)
    return Rollout([block], np.array([n]), np.zeros(1), none, None, th.device("cpu"))


def make(policy: ActorCriticPolicy, n_updates: int = 1, vf_coef: float = 0.5, **kwargs: Any) -> PolicyValueNet:
    return PolicyValueNet(policy, np.random.default_rng(0), n_updates, vf_coef, None, **kwargs)


def test_the_value_net_learns_the_returns_and_leaves_the_actor_alone() -> None:
    policy = make_policy()
    value_net = make(policy, n_updates=300)
    observations = np.random.default_rng(1).uniform(-1, 1, size=(2_000, 2)).astype(np.float32)
    returns = 5.0 * observations[:, 0]
    actor = [p.detach().clone() for p in (*policy.mlp_extractor.policy_net.parameters(), *policy.action_net.parameters())]
    loss = value_net.fit(rollout_of(observations), returns)["value_loss"]
    np.testing.assert_allclose(value_net.predict(observations), returns, atol=1.0)
    assert 0 < loss < returns.var()
    after = (*policy.mlp_extractor.policy_net.parameters(), *policy.action_net.parameters())
    assert all(th.equal(before, now) for before, now in zip(actor, after, strict=True))


def test_a_frozen_value_net_stays_as_it_is() -> None:
    policy = make_policy()
    for parameter in (*policy.mlp_extractor.value_net.parameters(), *policy.value_net.parameters()):
        parameter.requires_grad_(False)
    before = policy.parameters_to_vector()
    logged = make(policy, n_updates=5).fit(rollout_of(np.ones((3, 2), np.float32)), np.full(3, 7.0))
    np.testing.assert_array_equal(policy.parameters_to_vector(), before)
    assert logged["value_loss"] > 0


def test_the_value_net_refuses_returns_that_blow_up() -> None:
    policy = make_policy()
    before = policy.parameters_to_vector()
    with pytest.raises(FloatingPointError, match="value net's gradient is not finite"):
        make(policy).fit(rollout_of(np.ones((3, 2), np.float32)), np.full(3, 1e30))
    np.testing.assert_array_equal(policy.parameters_to_vector(), before)


def test_the_loss_of_the_value_net_is_given_without_its_coefficient() -> None:
    observations, returns = np.zeros((1, 2), np.float32), np.array([3.0])  # one timestep: it is what is drawn
    for vf_coef in (0.0, 1e-9, 1.0):
        value_net = make(make_policy(), vf_coef=vf_coef)
        error = returns - value_net.predict(observations)
        assert value_net.fit(rollout_of(observations), returns)["value_loss"] == pytest.approx(float(error[0] ** 2))


def test_a_step_size_of_its_own_takes_the_place_of_the_optimizers() -> None:
    policy = make_policy()
    make(policy, step_size=0.125).fit(rollout_of(np.zeros((1, 2), np.float32)), np.ones(1))
    assert policy.optimizer.param_groups[0]["lr"] == 0.125


def test_where_none_is_needed_nothing_is_done() -> None:
    rollout, value_net = rollout_of(np.zeros((3, 2), np.float32)), NoValueNet()
    assert value_net.complete(rollout, 0.9) is rollout.rewards
    assert value_net.fit(rollout, value_net.targets(rollout.rewards, rollout.lengths, 0.9)) == {}
    assert not value_net.predict(np.zeros((3, 2))).any()


def test_value_targets_must_have_squares_in_float32() -> None:
    check_value_targets(np.array([1e19, -1e19]))
    for bad in (1e20, -1e20, np.inf, np.nan):
        with pytest.raises(FloatingPointError, match=r"Nothing was learned from this rollout.*Scale the rewards"):
            check_value_targets(np.array([0.0, bad]))


@pytest.mark.parametrize("n", [1, 4095, 4096, 10_000])
def test_in_chunks_is_the_function_of_all_rows(n: int) -> None:
    x = np.random.default_rng(0).normal(size=(n, 2))
    np.testing.assert_array_equal(in_chunks(lambda obs: 2 * np.asarray(obs), x), 2 * x)
    np.testing.assert_array_equal(in_chunks(lambda obs: 2 * obs["a"], {"a": x}), 2 * x)  # type: ignore[call-overload]
