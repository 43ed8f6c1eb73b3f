"""One step uphill, through train."""

from typing import Any

import numpy as np
import pytest
import torch as th
from stable_baselines3.common.env_util import make_vec_env

from sb3_reinforce import REINFORCE
from sb3_reinforce.policies import LinearPolicy

OPTIMIZERS: list[tuple[type[th.optim.Optimizer], dict[str, Any]]] = [
    (th.optim.Adam, {}),
    (th.optim.SGD, {"momentum": 0.9}),
    (th.optim.RMSprop, {}),
]


def moves(policy: Any, env: str, n_steps: int, **policy_kwargs: Any) -> dict[str, np.ndarray]:
    """How far the first update takes each parameter of the last layer."""
    model = REINFORCE(policy, make_vec_env(env, seed=0), seed=3, n_episodes=3, policy_kwargs=policy_kwargs)
    before = {name: p.detach().clone() for name, p in model.policy.action_net.named_parameters()}
    model.learn(n_steps, log_interval=None)
    return {name: (p.detach() - before[name]).numpy() for name, p in model.policy.action_net.named_parameters()}


@pytest.mark.parametrize(("optimizer_class", "optimizer_kwargs"), OPTIMIZERS)
@pytest.mark.parametrize(("policy", "env"), [("LinearSoftmaxPolicy", "CartPole-v1"), ("LinearGaussianPolicy", "Pendulum-v1")])
def test_the_bias_of_a_linear_policy_takes_a_fifth_of_the_optimizers_step(
    policy: str, env: str, optimizer_class: Any, optimizer_kwargs: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    kwargs = {"optimizer_class": optimizer_class, "optimizer_kwargs": optimizer_kwargs}
    a_fifth = moves(policy, env, 1, **kwargs)
    monkeypatch.setattr(LinearPolicy, "step_fractions", lambda self: {})
    all_of_it = moves(policy, env, 1, **kwargs)
    assert np.abs(all_of_it["bias"]).min() > 0
    np.testing.assert_allclose(a_fifth["bias"], 0.2 * all_of_it["bias"], rtol=1e-4)
    np.testing.assert_allclose(a_fifth["weight"], all_of_it["weight"], rtol=1e-4)


def test_the_bias_of_another_policy_takes_the_whole_step() -> None:
    bias = moves("MlpPolicy", "CartPole-v1", 1)["bias"]
    np.testing.assert_allclose(np.abs(bias), 0.005, rtol=1e-2)  # Adam's first step is the learning rate


def test_a_frozen_bias_stays() -> None:
    model = REINFORCE("LinearSoftmaxPolicy", "CartPole-v1", seed=0)
    model.policy.action_net.bias.requires_grad = False
    with th.no_grad():
        model.policy.action_net.bias[0] = 0.25
    model.learn(1_000, log_interval=None)
    assert model.policy.action_net.bias.tolist() == [0.25, 0.0]
