from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import FlattenExtractor
from torch import nn

from sb3_reinforce import LinearSoftmaxPolicy
from sb3_reinforce.rollouts.acting import (
    Actor,
    dense_forward,
    dense_layers,
    feature_function,
    greedy_choice,
    gumbel,
    in_bulk,
    logistic,
    numpy_actor,
    torch_actor,
)
from sb3_reinforce.rollouts.doors import door_of

BOX4 = spaces.Box(-np.inf, np.inf, (4,))
OBSERVATION_SPACES: dict[str, spaces.Space] = {
    "vector": BOX4,
    "matrix": spaces.Box(-1, 1, (2, 3)),
    "float64": spaces.Box(-1, 1, (3,), np.float64),
    "bytes": spaces.Box(0, 255, (3,), np.uint8),
    "image": spaces.Box(0, 255, (3, 8, 8), np.uint8),
    "discrete": spaces.Discrete(5),
    "multi_discrete": spaces.MultiDiscrete([3, 2]),
    "multi_binary": spaces.MultiBinary(4),
}


def make(observation_space: spaces.Space = BOX4, action_space: spaces.Space | None = None, **kwargs: Any) -> ActorCriticPolicy:
    policy = ActorCriticPolicy(observation_space, action_space or spaces.Discrete(3), lambda _: 0.1, **kwargs)
    for parameter in policy.parameters():
        nn.init.normal_(parameter, std=0.5)
    return policy


def by_torch(policy: ActorCriticPolicy) -> Actor:
    return torch_actor(door_of(policy), policy.device, policy.action_space)


def outputs_by_torch(policy: ActorCriticPolicy, obs: np.ndarray) -> np.ndarray:
    with th.no_grad():
        features = policy.extract_features(policy.obs_to_tensor(obs)[0], policy.pi_features_extractor)
        assert isinstance(features, th.Tensor)
        return policy.action_net(policy.mlp_extractor.forward_actor(features)).numpy()


@pytest.mark.parametrize("activation", [nn.Tanh, nn.ReLU, nn.Identity])
@pytest.mark.parametrize("net_arch", [[], [8], [16, 8]])
def test_numpy_computes_what_torch_computes(activation: type[nn.Module], net_arch: list[int]) -> None:
    policy = make(activation_fn=activation, net_arch=net_arch)
    obs = np.random.default_rng(0).normal(size=(7, 4)).astype(np.float32)
    layers = dense_layers(policy)
    assert layers is not None
    np.testing.assert_allclose(dense_forward(layers, obs), outputs_by_torch(policy, obs), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", OBSERVATION_SPACES)
def test_features_are_those_of_sb3(name: str) -> None:
    space = OBSERVATION_SPACES[name]
    space.seed(0)
    policy = make(space, net_arch=[])
    obs = np.stack([space.sample() for _ in range(4)])
    layers = dense_layers(policy)
    assert layers is not None
    features = feature_function(policy)(obs)
    assert features.dtype == np.float32
    np.testing.assert_allclose(dense_forward(layers, features), outputs_by_torch(policy, obs), rtol=1e-4, atol=1e-5)


def test_layers_share_the_policys_memory() -> None:
    policy = make()
    layers = dense_layers(policy)
    assert layers is not None
    with th.no_grad():
        policy.action_net.weight.fill_(3.0)  # type: ignore[union-attr, operator]
    assert (layers[-1].weight == 3.0).all()
    layers[-1].weight[0, 0] = -1.0
    assert policy.action_net.weight[0, 0] == -1.0  # type: ignore[index]


class _OwnWay(ActorCriticPolicy):
    def get_distribution(self, obs: Any) -> Any:
        return super().get_distribution(obs)


class _OwnExtractor(FlattenExtractor):
    def forward(self, observations: th.Tensor) -> th.Tensor:
        return 2 * super().forward(observations)


def test_a_policy_that_acts_in_a_way_of_its_own_is_left_to_torch() -> None:
    assert dense_layers(_OwnWay(BOX4, spaces.Discrete(2), lambda _: 0.1)) is None
    assert dense_layers(make(activation_fn=nn.GELU)) is None
    assert numpy_actor(_OwnWay(BOX4, spaces.Discrete(2), lambda _: 0.1), 1, np.random.default_rng(0)) is None


def test_a_features_extractor_of_the_users_is_used() -> None:
    policy = make(features_extractor_class=_OwnExtractor, net_arch=[])
    obs = np.ones((2, 4), np.float32)
    np.testing.assert_allclose(feature_function(policy)(obs), 2 * obs)


def test_gumbel_and_logistic_draws_have_the_distributions_that_they_are_named_for() -> None:
    n, points = 200_000, np.linspace(-3, 6, 19)
    for draw, cdf in (
        (gumbel, lambda x: np.exp(-np.exp(-x))),
        (logistic, lambda x: 1 / (1 + np.exp(-x))),
    ):
        draws = draw(np.random.default_rng(0), (n,))
        assert draws.dtype == np.float32
        for x in points:
            p = cdf(x)
            assert abs((draws <= x).mean() - p) < 5 * np.sqrt(p * (1 - p) / n) + 1e-4, (draw.__name__, x)


class _Zeros:
    """The rarest of draws."""

    def standard_exponential(self, shape: Any, dtype: Any) -> np.ndarray:
        return np.zeros(shape, dtype)

    random = standard_exponential


@pytest.mark.filterwarnings("error")
def test_a_draw_of_zero_is_no_warning() -> None:
    assert gumbel(_Zeros(), (2,)).tolist() == [np.inf, np.inf]
    assert logistic(_Zeros(), (2,)).tolist() == [-np.inf, -np.inf]


@pytest.mark.parametrize("shape", [(1,), (3, 2), (5000,)])
def test_in_bulk_hands_out_what_one_draw_after_the_other_would(shape: tuple[int, ...]) -> None:
    rng, same = np.random.default_rng(0), np.random.default_rng(0)
    arrays = in_bulk(rng.random, shape)
    for _ in range(6000 // int(np.prod(shape)) + 3):
        np.testing.assert_array_equal(next(arrays), same.random(shape))


@given(st.lists(st.floats(-3, 3), min_size=2, max_size=5), st.integers(0, 2**31))
def test_actions_are_drawn_from_the_softmax(logits: list[float], seed: int) -> None:
    n = 4000
    policy = LinearSoftmaxPolicy(spaces.Discrete(1), spaces.Discrete(len(logits)), lambda _: 0.1)
    with th.no_grad():
        policy.action_net.bias[:] = th.tensor(logits)  # type: ignore[index, operator]
    act = numpy_actor(policy, n, np.random.default_rng(seed))
    assert act is not None
    p = np.exp(logits) / np.exp(logits).sum()
    frequency = np.bincount(act(np.zeros(n, dtype=int)), minlength=len(logits)) / n
    assert (np.abs(frequency - p) < 6 * np.sqrt(p * (1 - p) / n) + 1e-3).all()


@pytest.mark.parametrize("n_actions", [2, 3])
@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_actors_draw_from_the_policy(kind: str, n_actions: int) -> None:
    th.manual_seed(0)
    policy = make(net_arch=[8], action_space=spaces.Discrete(n_actions))
    obs = np.tile(np.array([0.3, -0.2, 0.5, 1.0], np.float32), (20_000, 1))
    act = numpy_actor(policy, len(obs), np.random.default_rng(0)) if kind == "numpy" else by_torch(policy)
    assert act is not None
    p = policy.get_distribution(policy.obs_to_tensor(obs[:1])[0]).distribution.probs[0].detach().numpy()  # type: ignore[union-attr]
    frequency = np.bincount(act(obs), minlength=n_actions) / len(obs)
    np.testing.assert_allclose(frequency, p, atol=0.02)


@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_gaussian_actors_draw_from_the_policy(kind: str) -> None:
    th.manual_seed(0)
    policy = make(action_space=spaces.Box(-1, 1, (2,)), log_std_init=-0.5, net_arch=[8])
    obs = np.tile(np.array([0.3, -0.2, 0.5, 1.0], np.float32), (20_000, 1))
    act = numpy_actor(policy, len(obs), np.random.default_rng(0)) if kind == "numpy" else by_torch(policy)
    assert act is not None
    actions = act(obs)
    assert actions.dtype == np.float32
    np.testing.assert_allclose(actions.mean(axis=0), outputs_by_torch(policy, obs[:1])[0], atol=0.05)
    np.testing.assert_allclose(actions.std(axis=0), policy.log_std.detach().exp().numpy(), rtol=0.05)  # type: ignore[union-attr, operator]


@pytest.mark.parametrize("kind", ["numpy", "torch"])
@pytest.mark.parametrize("sizes", [[2], [3, 2, 4], [3, 3]])
def test_multi_discrete_actors_draw_every_part_from_the_policy(kind: str, sizes: list[int]) -> None:
    th.manual_seed(0)
    policy = make(action_space=spaces.MultiDiscrete(sizes), net_arch=[8])
    obs = np.tile(np.array([0.3, -0.2, 0.5, 1.0], np.float32), (20_000, 1))
    act = numpy_actor(policy, len(obs), np.random.default_rng(0)) if kind == "numpy" else by_torch(policy)
    assert act is not None
    actions = act(obs)
    assert actions.shape == (len(obs), len(sizes))
    assert actions.dtype == np.int64
    parts = policy.get_distribution(policy.obs_to_tensor(obs[:1])[0]).distribution
    for k, part in enumerate(parts):
        frequency = np.bincount(actions[:, k], minlength=sizes[k]) / len(obs)
        np.testing.assert_allclose(frequency, part.probs[0].detach().numpy(), atol=0.02)
    if len(sizes) > 1:  # and independently of each other
        first, second = (actions[:, k] == 0 for k in range(2))
        assert (first & second).mean() == pytest.approx(first.mean() * second.mean(), abs=0.02)


@pytest.mark.parametrize("kind", ["numpy", "torch"])
@pytest.mark.parametrize("n_bits", [1, 3])
def test_multi_binary_actors_draw_every_bit_from_the_policy(kind: str, n_bits: int) -> None:
    th.manual_seed(0)
    policy = make(action_space=spaces.MultiBinary(n_bits), net_arch=[8])
    obs = np.tile(np.array([0.3, -0.2, 0.5, 1.0], np.float32), (20_000, 1))
    act = numpy_actor(policy, len(obs), np.random.default_rng(0)) if kind == "numpy" else by_torch(policy)
    assert act is not None
    actions = act(obs)
    assert actions.shape == (len(obs), n_bits)
    assert policy.action_space.contains(actions[0])
    p = policy.get_distribution(policy.obs_to_tensor(obs[:1])[0]).distribution.probs[0].detach().numpy()
    np.testing.assert_allclose(actions.mean(axis=0), p, atol=0.02)


@pytest.mark.parametrize(
    "space",
    [spaces.Discrete(2), spaces.Discrete(5), spaces.MultiDiscrete([3, 2, 4]), spaces.MultiBinary(3), spaces.MultiBinary(1)],
)
def test_greedy_choice_is_what_sb3_predicts(space: spaces.Space) -> None:
    th.manual_seed(0)
    policy = make(action_space=space)
    obs = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    actions = greedy_choice(space)(outputs_by_torch(policy, obs))
    np.testing.assert_array_equal(actions, policy.predict(obs, deterministic=True)[0])


PHI_SPACES = {**OBSERVATION_SPACES, "dict": spaces.Dict(a=BOX4, b=spaces.Discrete(3))}


@pytest.mark.parametrize("n_actions", [2, 3])
@pytest.mark.parametrize("name", PHI_SPACES)
def test_phi_acts_in_numpy_as_in_torch(name: str, n_actions: int) -> None:
    space = PHI_SPACES[name]

    def phi(states: Any, action: int) -> np.ndarray:
        parts = states.values() if isinstance(states, dict) else [states]
        x = np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)
        return np.stack([x[:, 0] * action, np.cos(x.sum(axis=1) + action)], axis=1)

    policy = LinearSoftmaxPolicy(space, spaces.Discrete(n_actions), lambda _: 0.1, phi=phi)
    for parameter in policy.actor_parameters():
        nn.init.normal_(parameter, std=2.0)
    space.seed(0)
    samples = [space.sample() for _ in range(4)]
    if isinstance(space, spaces.Dict):
        obs: Any = {key: np.stack([sample[key] for sample in samples] * 2_000) for key in space.spaces}
    else:
        obs = np.stack(samples * 2_000)
    layers = dense_layers(policy)
    assert layers is not None
    pi = policy.action_probabilities(obs)
    logits = th.as_tensor(dense_forward(layers, feature_function(policy)(obs)))
    np.testing.assert_allclose(th.softmax(logits, dim=1), pi, rtol=1e-4, atol=1e-5)
    act = numpy_actor(policy, 8_000, np.random.default_rng(0))
    assert act is not None
    actions = act(obs).reshape(2_000, 4)
    frequency = np.stack([(actions == action).mean(axis=0) for action in range(n_actions)], axis=1)
    np.testing.assert_allclose(frequency, pi[:4], atol=0.05)


def test_the_torch_actor_refuses_observations_that_are_not_finite() -> None:
    with pytest.raises(ValueError, match="not finite"):
        by_torch(make())(np.full((1, 4), np.nan, np.float32))


def test_linear_softmax_policy_acts_in_numpy() -> None:
    policy = LinearSoftmaxPolicy(spaces.Discrete(3), spaces.Discrete(2), lambda _: 0.1)
    with th.no_grad():
        policy.action_net.weight[:] = th.tensor([[9.0, -9.0, 0.0], [-9.0, 9.0, 0.0]])  # type: ignore[index, operator]
        policy.action_net.bias[:] = th.tensor([0.0, 5.0])
    act = numpy_actor(policy, 4, np.random.default_rng(0))
    assert act is not None
    assert act(np.array([0, 1, 2, 0])).tolist() == [0, 1, 1, 0]


@pytest.mark.parametrize("n", [1, 7, 256, 257, 1000])  # from a table, and beyond it
def test_one_hot_vectors_are_those_of_torch(n: int) -> None:
    policy = make(observation_space=spaces.Discrete(n))
    observations = np.random.default_rng(0).integers(n, size=9)
    features = feature_function(policy)(observations)
    assert np.array_equal(features, policy.extract_features(th.as_tensor(observations)).numpy())
    features[:] = 2.0  # which leaves the table as it is
    assert feature_function(policy)(observations).sum() == 9
