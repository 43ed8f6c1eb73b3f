import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy

from sb3_reinforce.gradient.value_net import ValueNet, check_value_targets, in_chunks


def make_policy() -> ActorCriticPolicy:
    th.manual_seed(0)
    return ActorCriticPolicy(spaces.Box(-1, 1, (2,)), spaces.Discrete(2), lambda _: 1e-2, net_arch=[16])


def test_the_value_net_learns_the_returns_and_leaves_the_actor_alone() -> None:
    policy = make_policy()
    value_net = ValueNet(policy, np.random.default_rng(0))
    observations = np.random.default_rng(1).uniform(-1, 1, size=(2_000, 2)).astype(np.float32)
    returns = 5.0 * observations[:, 0]
    actor = [p.detach().clone() for p in (*policy.mlp_extractor.policy_net.parameters(), *policy.action_net.parameters())]
    loss = value_net.fit(observations, returns, n_updates=300, vf_coef=0.5, max_grad_norm=None)
    np.testing.assert_allclose(value_net.predict(observations), returns, atol=1.0)
    assert 0 < loss < returns.var()
    after = (*policy.mlp_extractor.policy_net.parameters(), *policy.action_net.parameters())
    assert all(th.equal(before, now) for before, now in zip(actor, after, strict=True))


def test_the_value_net_refuses_returns_that_blow_up() -> None:
    policy = make_policy()
    before = policy.parameters_to_vector()
    value_net = ValueNet(policy, np.random.default_rng(0))
    with pytest.raises(FloatingPointError, match="value net's gradient is not finite"):
        value_net.fit(np.ones((3, 2), np.float32), np.full(3, 1e30), n_updates=1, vf_coef=0.5, max_grad_norm=None)
    np.testing.assert_array_equal(policy.parameters_to_vector(), before)


def test_the_loss_of_the_value_net_is_given_without_its_coefficient() -> None:
    observations, returns = np.zeros((1, 2), np.float32), np.array([3.0])  # one timestep: it is what is drawn
    for vf_coef in (0.0, 1e-9, 1.0):
        value_net = ValueNet(make_policy(), np.random.default_rng(0))
        error = returns - value_net.predict(observations)
        assert value_net.fit(observations, returns, 1, vf_coef, None) == pytest.approx(error**2)


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
