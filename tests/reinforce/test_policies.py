import io
import pathlib
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import CombinedExtractor

from sb3_reinforce import REINFORCE, LinearSoftmaxPolicy

BOX = spaces.Box(-1, 1, (3,))


def make(observation_space: spaces.Space = BOX, n_actions: int = 4, seed: int = 0, **kwargs: Any) -> LinearSoftmaxPolicy:
    th.manual_seed(seed)
    policy = LinearSoftmaxPolicy(observation_space, spaces.Discrete(n_actions), lambda _: 0.1, **kwargs).double()
    for parameter in policy.actor_parameters():
        th.nn.init.normal_(parameter)
    return policy


def score_by_autograd(policy: LinearSoftmaxPolicy, obs: th.Tensor, actions: th.Tensor) -> th.Tensor:
    rows = []
    for i in range(len(actions)):
        log_prob = policy.evaluate_actions(obs[i : i + 1], actions[i : i + 1])[1]
        gradients = th.autograd.grad(log_prob.sum(), policy.actor_parameters())
        rows.append(th.cat([gradient.flatten() for gradient in gradients]))
    return th.stack(rows)


def relative_error(a: th.Tensor, b: th.Tensor) -> float:
    return float((a - b).norm() / b.norm())


@given(st.integers(1, 5), st.integers(2, 5), st.integers(0, 1000))
@pytest.mark.parametrize("net_arch", [None, [2, 4]])
def test_score_equals_autograd(net_arch: list[int] | None, batch: int, n_actions: int, seed: int) -> None:
    policy = make(n_actions=n_actions, seed=seed, net_arch=net_arch)
    obs, actions = th.randn(batch, 3), th.randint(n_actions, (batch,))
    score = policy.score(obs, actions)
    assert score.shape == (batch, sum(p.numel() for p in policy.actor_parameters()))
    assert score.dtype == th.float64
    assert relative_error(score, score_by_autograd(policy, obs, actions)) < 1e-8


@pytest.mark.parametrize("net_arch", [None, [2, 4]])
def test_score_equals_central_differences(net_arch: list[int] | None) -> None:
    policy = make(net_arch=net_arch)
    obs, actions = th.randn(6, 3), th.randint(4, (6,))
    score, columns, h = policy.score(obs, actions), [], 1e-6
    for parameter in policy.actor_parameters():
        flat = parameter.data.view(-1)
        for k in range(len(flat)):
            values = []
            for sign in (1, -2, 1):  # up, down, and back
                flat[k] += sign * h
                values.append(policy.evaluate_actions(obs, actions)[1].detach())
            columns.append((values[0] - values[1]) / (2 * h))
    assert relative_error(score, th.stack(columns, dim=1)) < 1e-5


@pytest.mark.parametrize("net_arch", [None, [2, 4]])
def test_the_mean_score_under_the_policy_is_zero(net_arch: list[int] | None) -> None:
    policy = make(net_arch=net_arch)
    obs = th.randn(6, 3)
    pi = policy.action_probabilities(obs)
    mean = sum(pi[:, a : a + 1] * policy.score(obs, th.full((6,), a)) for a in range(4))
    assert float(mean.abs().max()) < 1e-12  # type: ignore[union-attr]


def test_score_takes_arrays_and_tensors_and_action_columns() -> None:
    policy = make()
    obs, actions = np.ones((2, 3), np.float32), np.array([1, 2])
    expected = policy.score(th.tensor(obs), th.tensor(actions))
    th.testing.assert_close(policy.score(obs, actions), expected)
    th.testing.assert_close(policy.score(obs, actions[:, None]), expected)
    assert not expected.requires_grad


def test_action_probabilities_are_the_softmax() -> None:
    policy = make()
    obs = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    weight, bias = (p.detach().numpy() for p in policy.actor_parameters())
    logits = obs @ weight.T + bias
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(policy.action_probabilities(obs), expected, rtol=1e-6)


def test_discrete_observations_make_it_tabular() -> None:
    policy = make(spaces.Discrete(5), n_actions=2)
    weight, bias = policy.actor_parameters()
    expected = th.softmax(weight[:, 3] + bias, dim=0)
    th.testing.assert_close(policy.action_probabilities(np.array([3]))[0], expected)


@pytest.mark.parametrize(
    "space",
    [spaces.MultiDiscrete([2, 3]), spaces.MultiBinary(3), spaces.Box(0, 255, (3, 8, 8), np.uint8), spaces.Box(-1, 1, (2, 2))],
)
def test_takes_what_the_flatten_extractor_takes(space: spaces.Space) -> None:
    policy = make(space)
    obs = np.stack([space.sample() for _ in range(3)])
    np.testing.assert_allclose(policy.action_probabilities(obs).sum(dim=1), np.ones(3))
    assert policy.score(obs, np.zeros(3, dtype=int)).shape[0] == 3


def test_starts_as_the_uniform_policy() -> None:
    policy = LinearSoftmaxPolicy(BOX, spaces.Discrete(4), lambda _: 0.1)
    np.testing.assert_allclose(policy.action_probabilities(np.ones((1, 3), np.float32)), np.full((1, 4), 0.25))


def test_net_arch_gives_a_stack_of_linear_layers_that_starts_from_random_weights() -> None:
    policy = LinearSoftmaxPolicy(BOX, spaces.Discrete(2), lambda _: 0.1, net_arch=[2, 4])
    assert [tuple(p.shape) for p in policy.actor_parameters()] == [(2, 3), (2,), (4, 2), (4,), (2, 4), (2,)]
    assert not policy.is_linear
    assert all(p.abs().sum() > 0 for p in policy.actor_parameters() if p.ndim == 2)
    double = policy.double()
    obs = th.randn(2, 3, dtype=th.float64)
    th.testing.assert_close(
        double.get_distribution(2 * obs).distribution.logits, double.get_distribution(2 * obs).distribution.logits
    )  # type: ignore[union-attr]


@pytest.mark.parametrize("space", [spaces.Box(-1, 1, (2,)), spaces.MultiDiscrete([2, 2]), spaces.MultiBinary(2)])
def test_other_actions_get_an_error_that_names_what_serves_them(space: spaces.Space) -> None:
    with pytest.raises(ValueError, match=r"LinearSoftmaxPolicy serves Discrete.*MlpPolicy.*CnnPolicy.*MultiInputPolicy"):
        LinearSoftmaxPolicy(BOX, space, lambda _: 0.1)
    with pytest.raises(ValueError, match="MlpPolicy"):
        REINFORCE("LinearSoftmaxPolicy", "Pendulum-v1")


def test_dict_observations_need_an_extractor_that_takes_them() -> None:
    space = spaces.Dict({"a": spaces.Box(-1, 1, (2,)), "b": spaces.Discrete(3)})
    with pytest.raises(ValueError, match=r"can not flatten Dict.*FlattenObservation.*MultiInputPolicy"):
        LinearSoftmaxPolicy(space, spaces.Discrete(2), lambda _: 0.1)
    policy = LinearSoftmaxPolicy(space, spaces.Discrete(2), lambda _: 0.1, features_extractor_class=CombinedExtractor)
    obs = {"a": np.zeros((4, 2), np.float32), "b": np.array([0, 1, 2, 0])}
    assert policy.score(obs, np.zeros(4, dtype=int)).shape == (4, 2 * 5 + 2)


@pytest.mark.parametrize("epsilon", [None, 0.3])
def test_accumulated_gradient_equals_backward(epsilon: float | None) -> None:
    policy = make()
    obs, actions, weights = th.randn(7, 3), th.randint(4, (7,)), th.randn(7, dtype=th.float64)
    log_prob = policy.get_distribution(obs).log_prob(actions)
    if epsilon is not None:
        log_prob = th.log((1 - epsilon) * log_prob.exp() + epsilon / 4)
    loss = -(weights * log_prob).sum()
    expected = th.autograd.grad(loss, policy.actor_parameters())
    epsilons = None if epsilon is None else th.full((7,), epsilon, dtype=th.float64)
    for part in (slice(0, 3), slice(3, 7)):  # it adds up
        policy.accumulate_gradient(
            obs[part], actions[part], weights[part], -np.log(4), None if epsilons is None else epsilons[part]
        )
    for parameter, gradient in zip(policy.actor_parameters(), expected, strict=True):
        assert parameter.grad is not None
        assert relative_error(parameter.grad, gradient) < 1e-8
    for parameter in policy.parameters():
        parameter.grad = None
    value, entropy = policy.accumulate_gradient(obs, actions, weights, -np.log(4), epsilons)
    assert value == pytest.approx(loss.item())
    assert entropy == pytest.approx(float(policy.get_distribution(obs).entropy().sum().detach()))  # type: ignore[union-attr]


@pytest.mark.parametrize("algorithm", [A2C, PPO])
@pytest.mark.parametrize("net_arch", [None, [2, 4]])
def test_serves_sb3s_own_algorithms(algorithm: Any, net_arch: list[int] | None) -> None:
    model = algorithm(LinearSoftmaxPolicy, "CartPole-v1", n_steps=64, seed=0, policy_kwargs={"net_arch": net_arch})
    before = model.policy.parameters_to_vector()
    model.learn(256)
    assert not np.array_equal(before, model.policy.parameters_to_vector())
    file = io.BytesIO()
    model.save(file)
    file.seek(0)
    obs = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    np.testing.assert_array_equal(
        algorithm.load(file).predict(obs, deterministic=True)[0], model.predict(obs, deterministic=True)[0]
    )


def test_saves_and_loads_by_itself(tmp_path: pathlib.Path) -> None:
    policy = LinearSoftmaxPolicy(BOX, spaces.Discrete(2), lambda _: 0.1, net_arch=[3])
    policy.save(str(tmp_path / "policy.pth"))
    loaded = LinearSoftmaxPolicy.load(str(tmp_path / "policy.pth"))
    obs = np.ones((2, 3), np.float32)
    th.testing.assert_close(loaded.action_probabilities(obs), policy.action_probabilities(obs))


def test_is_an_actor_critic_policy_for_any_registered_environment() -> None:
    env = gym.make("FrozenLake-v1")
    assert issubclass(LinearSoftmaxPolicy, ActorCriticPolicy)
    model = REINFORCE("LinearSoftmaxPolicy", env, seed=0).learn(500)
    action, _ = model.predict(np.array(3), deterministic=True)
    assert env.action_space.contains(int(action))
