import io
import itertools
import pathlib
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import CombinedExtractor

from sb3_reinforce import REINFORCE, LinearGaussianPolicy, LinearSoftmaxPolicy
from sb3_reinforce.gradient.mixture import Mixture
from sb3_reinforce.policies import LinearPolicy

BOX = spaces.Box(-1, 1, (3,))


def randomize(policy: Any, seed: int = 0) -> Any:
    th.manual_seed(seed)
    for parameter in policy.double().actor_parameters():
        th.nn.init.normal_(parameter)
    return policy


def make(observation_space: spaces.Space = BOX, n_actions: int = 4, seed: int = 0, **kwargs: Any) -> LinearSoftmaxPolicy:
    return randomize(LinearSoftmaxPolicy(observation_space, spaces.Discrete(n_actions), lambda _: 0.1, **kwargs), seed)


def phi(states: np.ndarray, action: int) -> np.ndarray:
    """Features that are no block an action: five of them, for any action."""
    return np.stack(
        [np.sin(states[:, 0] + action), states[:, 1] * action, states[:, 2], np.full(len(states), action), states[:, 0]], 1
    )


def make_kind(kind: str, seed: int = 0) -> LinearPolicy:
    """A linear policy of each kind, with random parameters, in float64."""
    action_space: spaces.Space = {
        "discrete": spaces.Discrete(4),
        "phi": spaces.Discrete(4),
        "multi_discrete": spaces.MultiDiscrete([3, 2, 4]),
        "multi_binary": spaces.MultiBinary(3),
        "box": spaces.Box(-1, 1, (2, 2)),
    }[kind.removesuffix("_stack")]
    policy_class = LinearGaussianPolicy if isinstance(action_space, spaces.Box) else LinearSoftmaxPolicy
    kwargs: dict[str, Any] = {"phi": phi} if kind == "phi" else {"net_arch": [2, 4] if kind.endswith("_stack") else None}
    return randomize(policy_class(BOX, action_space, lambda _: 0.1, **kwargs), seed)


CLOSED_FORMS = ["discrete", "phi", "multi_discrete", "multi_binary", "box"]
STACKS = [f"{kind}_stack" for kind in CLOSED_FORMS if kind != "phi"]


def draw_actions(policy: LinearPolicy, obs: th.Tensor) -> th.Tensor:
    return policy.get_distribution(obs).sample().detach()


def score_by_autograd(policy: LinearPolicy, obs: th.Tensor, actions: th.Tensor) -> th.Tensor:
    rows = []
    for i in range(len(actions)):
        log_prob = policy.evaluate_actions(obs[i : i + 1], actions[i : i + 1])[1]
        gradients = th.autograd.grad(log_prob.sum(), policy.actor_parameters())
        rows.append(th.cat([gradient.flatten() for gradient in gradients]))
    return th.stack(rows)


def relative_error(a: th.Tensor, b: th.Tensor) -> float:
    return float((a - b).norm() / b.norm())


@settings(max_examples=25)
@given(st.integers(1, 5), st.integers(0, 1000))
@pytest.mark.parametrize("kind", CLOSED_FORMS + STACKS)
def test_score_equals_autograd(kind: str, batch: int, seed: int) -> None:
    policy = make_kind(kind, seed)
    obs = th.randn(batch, 3)
    actions = draw_actions(policy, obs)
    assert policy.has_closed_form == (kind in CLOSED_FORMS)
    score = policy.score(obs, actions)
    assert score.shape == (batch, sum(p.numel() for p in policy.actor_parameters()))
    assert score.dtype == th.float64
    assert relative_error(score, score_by_autograd(policy, obs, actions)) < 1e-8


@settings(max_examples=40)
@given(st.integers(1, 5), st.integers(1, 6), st.integers(1, 5), st.integers(0, 1000))
def test_score_of_any_shape_equals_autograd(batch: int, n_features: int, action_dim: int, seed: int) -> None:
    for policy_class, action_space in (
        (LinearSoftmaxPolicy, spaces.Discrete(action_dim + 1)),
        (LinearSoftmaxPolicy, spaces.MultiDiscrete([2 + k for k in range(action_dim)])),
        (LinearSoftmaxPolicy, spaces.MultiBinary(action_dim)),
        (LinearGaussianPolicy, spaces.Box(-1, 1, (action_dim,))),
    ):
        policy = randomize(policy_class(spaces.Box(-1, 1, (n_features,)), action_space, lambda _: 0.1), seed)
        obs = th.randn(batch, n_features)
        actions = draw_actions(policy, obs)
        assert relative_error(policy.score(obs, actions), score_by_autograd(policy, obs, actions)) < 1e-8


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


def joint_actions(policy: LinearPolicy) -> list[tuple[int, ...]]:
    space = policy.action_space
    if isinstance(space, spaces.Discrete):
        return [(a,) for a in range(int(space.n))]
    return list(itertools.product(*(range(n) for n in getattr(space, "nvec", [2] * 3))))


@pytest.mark.parametrize("kind", ["discrete", "phi", "multi_discrete", "multi_binary"])
def test_fisher_is_the_covariance_of_the_score_over_all_actions(kind: str) -> None:
    policy = make_kind(kind)
    obs = th.randn(6, 3)
    expected: Any = 0.0
    for action in joint_actions(policy):
        actions = th.tensor([action] * 6, dtype=th.float64 if kind == "multi_binary" else th.long)
        actions = actions.flatten() if len(action) == 1 else actions
        pi = policy.get_distribution(obs).log_prob(actions).exp().detach()
        score = policy.score(obs, actions)
        expected = expected + (score * pi.unsqueeze(1)).T @ score
    assert relative_error(policy.fisher(obs), expected) < 1e-8


@pytest.mark.parametrize("kind", ["discrete", "phi", "multi_discrete", "multi_binary"])
def test_fisher_of_a_float32_policy_that_is_all_but_deterministic_keeps_its_digits(kind: str) -> None:
    policy, obs = make_kind(kind), th.randn(1, 3)
    with th.no_grad():
        for parameter in policy.actor_parameters():
            parameter *= 60
    fisher = policy.float().fisher(obs)
    eigenvalues = th.linalg.eigvalsh(fisher)
    assert 0 < eigenvalues[-1] < 1e-6
    assert eigenvalues[0] > -1e-12 * eigenvalues[-1]
    assert relative_error(fisher, policy.double().fisher(obs)) < 1e-8


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


def test_probabilities_of_multi_discrete_actions_lie_one_part_after_the_other() -> None:
    policy = make_kind("multi_discrete")
    obs = th.randn(5, 3)
    parts = policy.action_probabilities(obs).split([3, 2, 4], dim=1)
    for part, torchs in zip(parts, policy.get_distribution(obs).distribution, strict=True):
        th.testing.assert_close(part, torchs.probs.detach())


def test_probabilities_of_multi_binary_actions_are_those_of_a_1() -> None:
    policy = make_kind("multi_binary")
    obs = th.randn(5, 3)
    th.testing.assert_close(policy.action_probabilities(obs), policy.get_distribution(obs).distribution.probs.detach())


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
    assert not policy.has_closed_form
    assert all(p.abs().sum() > 0 for p in policy.actor_parameters() if p.ndim == 2)
    double = policy.double()
    obs = th.randn(2, 3, dtype=th.float64)
    th.testing.assert_close(
        double.get_distribution(2 * obs).distribution.logits, double.get_distribution(2 * obs).distribution.logits
    )  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("policy", "space", "message"),
    [
        (LinearSoftmaxPolicy, BOX, r"LinearSoftmaxPolicy serves Discrete.*LinearGaussianPolicy.*MlpPolicy"),
        (LinearGaussianPolicy, spaces.Discrete(2), r"LinearGaussianPolicy serves Box.*LinearSoftmaxPolicy.*MlpPolicy"),
        (LinearGaussianPolicy, spaces.MultiDiscrete([2, 2]), "LinearGaussianPolicy serves Box"),
        (LinearGaussianPolicy, spaces.MultiBinary(2), "LinearGaussianPolicy serves Box"),
    ],
)
def test_other_actions_get_an_error_that_names_what_serves_them(policy: Any, space: spaces.Space, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        policy(BOX, space, lambda _: 0.1)


def test_the_error_comes_through_the_algorithm() -> None:
    with pytest.raises(ValueError, match="LinearGaussianPolicy"):
        REINFORCE("LinearSoftmaxPolicy", "Pendulum-v1")
    with pytest.raises(ValueError, match="LinearSoftmaxPolicy"):
        REINFORCE("LinearGaussianPolicy", "CartPole-v1")


def test_dict_observations_are_flattened_whatever_the_order_of_their_keys() -> None:
    image = spaces.Box(0, 255, (1, 8, 8), np.uint8)
    space = spaces.Dict({"b": spaces.Discrete(3), "a": spaces.Box(-1, 1, (2, 2)), "c": image})
    policy = make(space, n_actions=2)
    obs = {
        "c": np.full((4, 1, 8, 8), 255, np.uint8),
        "b": np.array([0, 1, 2, 0]),
        "a": np.random.rand(4, 2, 2).astype(np.float32),
    }
    x = np.concatenate([obs["a"].reshape(4, 4), np.eye(3)[obs["b"]], np.ones((4, 64))], axis=1)
    weight, bias = (parameter.detach() for parameter in policy.actor_parameters())
    expected = th.softmax(th.tensor(x) @ weight.T + bias, dim=1)
    th.testing.assert_close(policy.action_probabilities(obs), expected)
    assert policy.has_closed_form
    assert policy.score(obs, np.zeros(4, dtype=int)).shape == (4, 2 * 71 + 2)


def test_a_features_extractor_of_the_users_is_used_for_dicts_too() -> None:
    space = spaces.Dict({"a": spaces.Box(-1, 1, (2,)), "b": spaces.Discrete(3)})
    policy = LinearSoftmaxPolicy(space, spaces.Discrete(2), lambda _: 0.1, features_extractor_class=CombinedExtractor)
    assert type(policy.features_extractor) is CombinedExtractor


@pytest.mark.parametrize("kind", CLOSED_FORMS)
@pytest.mark.parametrize("epsilon", [None, 0.3])
@pytest.mark.parametrize("entropy_weight", [0.0, 0.7])
def test_accumulated_gradient_equals_backward(kind: str, epsilon: float | None, entropy_weight: float) -> None:
    policy = make_kind(kind)
    obs, weights = th.randn(7, 3), th.randn(7, dtype=th.float64)
    actions = draw_actions(policy, obs)
    log_uniform = th.linspace(-2, -1, 7, dtype=th.float64)
    log_uniform[3] = -th.inf  # what no uniform draw gives
    distribution = policy.get_distribution(obs)
    log_prob, entropy = distribution.log_prob(actions), distribution.entropy().sum()
    if epsilon is not None:
        log_prob = th.log((1 - epsilon) * log_prob.exp() + epsilon * log_uniform.exp())
    loss = -(weights * log_prob).sum()
    expected = th.autograd.grad(loss - entropy_weight * entropy, policy.actor_parameters())
    mixtures = [
        None if epsilon is None else Mixture(th.full((7,), epsilon, dtype=th.float64)[part], log_uniform[part])
        for part in (slice(0, 3), slice(3, 7), slice(0, 7))
    ]
    for part, mixture in zip((slice(0, 3), slice(3, 7)), mixtures[:2], strict=True):  # it adds up
        policy.accumulate_gradient(obs[part], actions[part], weights[part], mixture, entropy_weight)
    for parameter, gradient in zip(policy.actor_parameters(), expected, strict=True):
        assert parameter.grad is not None
        assert relative_error(parameter.grad, gradient) < 1e-8
    value, entropies = policy.accumulate_gradient(obs, actions, weights, mixtures[2])
    assert value == pytest.approx(loss.item())
    assert entropies == pytest.approx(entropy.item())


@pytest.mark.parametrize("algorithm", [A2C, PPO])
@pytest.mark.parametrize("net_arch", [None, [2, 4]])
@pytest.mark.parametrize("env_id", ["CartPole-v1", "Pendulum-v1"])
def test_serves_sb3s_own_algorithms(algorithm: Any, net_arch: list[int] | None, env_id: str) -> None:
    policy = LinearSoftmaxPolicy if env_id == "CartPole-v1" else LinearGaussianPolicy
    model = algorithm(policy, env_id, n_steps=64, seed=0, policy_kwargs={"net_arch": net_arch})
    before = model.policy.parameters_to_vector()
    model.learn(256)
    assert not np.array_equal(before, model.policy.parameters_to_vector())
    file = io.BytesIO()
    model.save(file)
    file.seek(0)
    obs = np.random.default_rng(0).normal(size=(20, *model.observation_space.shape)).astype(np.float32)
    np.testing.assert_array_equal(
        algorithm.load(file).predict(obs, deterministic=True)[0], model.predict(obs, deterministic=True)[0]
    )


@pytest.mark.parametrize("kind", CLOSED_FORMS + STACKS)
def test_saves_and_loads_by_itself(kind: str, tmp_path: pathlib.Path) -> None:
    policy = make_kind(kind).float()
    policy.save(str(tmp_path / "policy.pth"))
    loaded = type(policy).load(str(tmp_path / "policy.pth"))
    obs = th.randn(2, 3)
    actions = draw_actions(policy, obs)
    th.testing.assert_close(loaded.score(obs, actions), policy.score(obs, actions))


# --- LinearGaussianPolicy


def test_gaussian_policy_starts_from_means_of_zero_and_the_spread_asked_for() -> None:
    policy = LinearGaussianPolicy(BOX, spaces.Box(-1, 1, (2,)), lambda _: 0.1, log_std_init=-0.5)
    distribution = policy.get_distribution(th.randn(4, 3)).distribution
    assert not distribution.mean.any()  # type: ignore[union-attr]
    th.testing.assert_close(distribution.stddev.detach(), th.full((4, 2), float(np.exp(-0.5))))  # type: ignore[union-attr]
    assert [tuple(p.shape) for p in policy.actor_parameters()] == [(2, 3), (2,), (2,)]


def test_gaussian_score_by_hand() -> None:
    """Williams (1992), section 6: one number, mean 2 x + 1, standard deviation 2, and the action lies 3 above the mean."""
    policy = LinearGaussianPolicy(spaces.Box(-9, 9, (1,)), spaces.Box(-9, 9, (1,)), lambda _: 0.1)
    weight, bias, log_std = policy.actor_parameters()
    with th.no_grad():
        weight.fill_(2.0)
        bias.fill_(1.0)
        log_std.fill_(np.log(2.0))
    score = policy.score(np.array([[0.5]], np.float32), np.array([[5.0]], np.float32))
    np.testing.assert_allclose(score, [[3 / 4 * 0.5, 3 / 4, 9 / 4 - 1]], rtol=1e-6)


def test_gaussian_policy_refuses_state_dependent_exploration() -> None:
    with pytest.raises(ValueError, match="use_sde must be False"):
        LinearGaussianPolicy(BOX, BOX, lambda _: 0.1, use_sde=True)


def test_gaussian_policy_learns_a_linear_task() -> None:
    """The best action is -2 times the state, less 0.5."""

    class Track(gym.Env[Any, Any]):
        observation_space = spaces.Box(-1, 1, (1,))
        action_space = spaces.Box(-3, 3, (1,))
        render_mode = None

        def reset(self, **kwargs: Any) -> Any:
            super().reset(**kwargs)
            self.time = 0
            return self._look()

        def _look(self) -> Any:
            self.state = self.np_random.uniform(-1, 1, 1).astype(np.float32)
            return self.state, {}

        def step(self, action: Any) -> Any:
            self.time += 1
            reward = -float((action[0] + 2 * self.state[0] + 0.5) ** 2)
            return self._look()[0], reward, self.time == 10, False, {}

    model = REINFORCE("LinearGaussianPolicy", Track(), seed=0).learn(20_000)
    weight, bias, log_std = (parameter.item() for parameter in model.policy.actor_parameters())
    assert weight == pytest.approx(-2, abs=0.3)
    assert bias == pytest.approx(-0.5, abs=0.3)
    assert log_std < -0.5


# --- phi(s, a)


def make_phi(function: Any, observation_space: spaces.Space = BOX, n_actions: int = 3, **kwargs: Any) -> LinearSoftmaxPolicy:
    return LinearSoftmaxPolicy(observation_space, spaces.Discrete(n_actions), lambda _: 0.1, phi=function, **kwargs)


def test_logits_are_theta_times_phi() -> None:
    policy = make_kind("phi")
    obs = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    (theta,) = (parameter.detach().numpy() for parameter in policy.actor_parameters())
    logits = np.stack([phi(obs, action).astype(np.float32) @ theta[0] for action in range(4)], axis=1)
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(policy.action_probabilities(obs), expected, rtol=1e-6)


def test_the_score_is_phi_less_its_mean() -> None:
    policy = make_kind("phi")
    obs, actions = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32), np.array([0, 1, 2, 3, 0, 1])
    pi = policy.action_probabilities(obs).numpy()
    features = np.stack([phi(obs, action) for action in range(4)], axis=1)
    expected = features[np.arange(6), actions] - (pi[:, :, None] * features).sum(axis=1)
    np.testing.assert_allclose(policy.score(obs, actions), expected, rtol=1e-5, atol=1e-6)


def test_phi_of_a_block_an_action_is_the_policy_without() -> None:
    def blocks(states: np.ndarray, action: int) -> np.ndarray:
        x = np.concatenate([states, np.ones((len(states), 1))], axis=1)
        return np.kron(np.eye(3)[action], x)

    models = []
    for kwargs in ({}, {"phi": blocks}):
        env = gym.make("Acrobot-v1", max_episode_steps=50)
        models.append(REINFORCE("LinearSoftmaxPolicy", env, seed=0, n_episodes=2, policy_kwargs=kwargs).learn(400))
    obs = np.random.default_rng(0).normal(size=(20, 6)).astype(np.float32)
    th.testing.assert_close(*(model.policy.action_probabilities(obs) for model in models), rtol=1e-3, atol=1e-4)


def test_phi_starts_as_the_uniform_policy_and_has_a_value_net() -> None:
    policy = make_phi(phi)
    obs = th.randn(2, 3)
    np.testing.assert_allclose(policy.action_probabilities(obs), np.full((2, 3), 1 / 3), rtol=1e-6)
    assert policy.predict_values(obs).shape == (2, 1)
    assert policy.value_net.in_features == 3 * 5


@pytest.mark.parametrize("algorithm", [REINFORCE, A2C])
def test_phi_learns_saves_and_loads(algorithm: Any) -> None:
    gain = 1.0  # saved with the function

    def pushes(states: np.ndarray, action: int) -> np.ndarray:
        return gain * states * (2 * action - 1)

    model = algorithm(LinearSoftmaxPolicy, "CartPole-v1", seed=0, policy_kwargs={"phi": pushes}).learn(500)
    assert sum(parameter.numel() for parameter in model.policy.actor_parameters()) == 4
    assert all(parameter.any() for parameter in model.policy.actor_parameters())
    file = io.BytesIO()
    model.save(file)
    file.seek(0)
    trust = {"trusted": True} if algorithm is REINFORCE else {}  # a function is in a pickle
    loaded = algorithm.load(file, env=gym.make("CartPole-v1"), **trust)
    obs = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    th.testing.assert_close(loaded.policy.action_probabilities(obs), model.policy.action_probabilities(obs))
    np.testing.assert_array_equal(loaded.predict(obs, deterministic=True)[0], model.predict(obs, deterministic=True)[0])
    loaded.learn(100)


def test_phi_solves_cartpole_with_four_weights() -> None:
    model = REINFORCE("LinearSoftmaxPolicy", "CartPole-v1", seed=0, policy_kwargs={"phi": lambda s, a: s * (2 * a - 1)}).learn(
        40_000
    )
    assert evaluate_policy(model, make_vec_env("CartPole-v1", n_envs=10, seed=1_000), 50)[0] >= 450


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"phi": 3}, "phi must be a function"),
        ({"phi": lambda s, a: s[:, 0]}, r"shape \(batch, n_features\).*its shape is \(2,\)"),
        ({"phi": lambda s, a: s[:, :0]}, r"its shape is \(2, 0\)"),
        ({"phi": lambda s, a: s[:1]}, r"its shape is \(1, 3\)"),
        ({"phi": lambda s, a: s[:, : a + 1]}, r"as many features for every action: \(2, 1\).*action 1 it is \(2, 2\)"),
        ({"phi": lambda s, a: s / 0}, "not finite"),
        ({"phi": lambda s, a: s, "net_arch": [2]}, "leave net_arch"),
        ({"phi": lambda s, a: s, "features_extractor_class": CombinedExtractor}, "features_extractor_class out"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
def test_what_phi_must_be_is_said(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_phi(arguments.pop("phi"), **arguments)


@pytest.mark.parametrize("space", [spaces.MultiDiscrete([2, 2]), spaces.MultiBinary(2)])
def test_phi_is_for_discrete_actions(space: spaces.Space) -> None:
    with pytest.raises(ValueError, match=r"phi.*serves Discrete"):
        LinearSoftmaxPolicy(BOX, space, lambda _: 0.1, phi=phi)


def test_is_an_actor_critic_policy_for_any_registered_environment() -> None:
    env = gym.make("FrozenLake-v1")
    assert issubclass(LinearSoftmaxPolicy, ActorCriticPolicy)
    model = REINFORCE("LinearSoftmaxPolicy", env, seed=0).learn(500)
    action, _ = model.predict(np.array(3), deterministic=True)
    assert env.action_space.contains(int(action))
