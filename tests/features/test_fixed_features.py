import contextlib
import itertools
import pathlib
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st
from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor

from sb3_reinforce import (
    REINFORCE,
    FourierBasis,
    LinearSoftmaxPolicy,
    NormalizedObservations,
    RandomFourierFeatures,
    RandomWeightSearch,
    TileCoding,
)
from sb3_reinforce.common.known import is_known
from sb3_reinforce.features.fixed_features import FixedFeatures, merge_moments, to_unit_cube, unobserved
from sb3_reinforce.rollouts.acting import feature_function, numpy_actor

Features = type[FourierBasis] | type[TileCoding] | type[NormalizedObservations] | type[RandomFourierFeatures]

UNIT = spaces.Box(0, 1, (2,))
UNBOUNDED = spaces.Box(-np.inf, np.inf, (2,))
HALF_BOUNDED = spaces.Box(np.array([-1, -np.inf], np.float32), np.array([3, np.inf], np.float32))
seeds = st.integers(0, 2**31)


def points_of(n: int, n_dims: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((n, n_dims), dtype=np.float32)


# --- Into the unit cube


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=5), st.floats(-10, 10), st.floats(0.1, 10))
def test_to_unit_cube_equals_one_by_one(values: list[float], low: float, width: float) -> None:
    slow = [min(1.0, max(0.0, (value - low) / width)) for value in values]
    column, bounds = np.array(values)[:, np.newaxis], (np.array([low]), np.array([width]))
    np.testing.assert_allclose(to_unit_cube(column, *bounds)[:, 0], slow)
    tensors = to_unit_cube(th.as_tensor(column), *map(th.as_tensor, bounds))
    np.testing.assert_allclose(tensors.numpy()[:, 0], slow)


@given(st.lists(st.integers(1, 6), min_size=1, max_size=4), st.floats(-100, 100), st.floats(0.01, 10), seeds)
def test_moments_by_parts_are_those_of_the_whole(sizes: list[int], mean: float, std: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    parts = [th.as_tensor(rng.normal(mean, std, (size, 2))) for size in sizes]
    moments, n = (th.zeros(2, dtype=th.float64), th.ones(2, dtype=th.float64)), 0
    for part in parts:
        moments = merge_moments(*moments, th.tensor(n), part)
        n += len(part)
    whole = th.cat(parts).numpy()
    np.testing.assert_allclose(moments[0], whole.mean(axis=0), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(moments[1], whole.var(axis=0), rtol=1e-6, atol=1e-9)


def recovered(extractor: FixedFeatures, observations: np.ndarray) -> np.ndarray:
    """The points of the unit cube, from the features of the uncoupled Fourier basis of order 1."""
    with th.no_grad():
        features = extractor(th.as_tensor(observations)).numpy()
    return np.arccos(features[:, :0:-1]) / np.pi


def test_the_bounds_of_the_space_are_the_ends_of_the_cube() -> None:
    space = spaces.Box(np.array([-1.2, -0.07], np.float32), np.array([0.6, 0.07], np.float32))
    extractor = FourierBasis(space, order=1, max_coupling=1).eval()
    points = recovered(extractor, np.array([[-1.2, 0.07], [0.6, -0.07], [-0.3, 0.0], [5.0, -5.0]], np.float32))
    np.testing.assert_allclose(points, [[0, 1], [1, 0], [0.5, 0.5], [1, 0]], atol=1e-3)


@pytest.mark.parametrize("bound", [np.inf, np.finfo(np.float32).max, 1e7])
def test_without_bounds_the_range_is_three_standard_deviations_around_the_mean(bound: float) -> None:
    extractor = FourierBasis(spaces.Box(-bound, bound, (2,)), order=1, max_coupling=1)
    observations = np.random.default_rng(0).normal([50, -3], [10, 0.1], (20_000, 2)).astype(np.float32)
    extractor.train()(th.as_tensor(observations))
    extractor.eval()
    points = recovered(extractor, np.array([[50, -3], [80, -3.3], [35, -2.85], [200, -5]], np.float32))
    np.testing.assert_allclose(points, [[0.5, 0.5], [1, 0], [0.25, 0.75], [1, 0]], atol=0.02)


def test_where_only_some_dimensions_have_no_bounds_the_others_keep_theirs() -> None:
    extractor = FourierBasis(HALF_BOUNDED, order=1, max_coupling=1)
    extractor.train()(th.tensor([[0.0, 10.0], [0.1, 20.0]]))
    points = recovered(extractor.eval(), np.array([[-1, 15], [3, 30], [1, 0]], np.float32))
    np.testing.assert_allclose(points, [[0, 0.5], [1, 1], [0.5, 0]], atol=1e-3)


def test_a_dimension_that_never_moves_is_no_division_by_zero() -> None:
    extractor = TileCoding(UNBOUNDED, n_tilings=2, n_tiles=2)
    extractor.train()(th.full((5, 2), 7.0))
    assert extractor.eval()(th.full((1, 2), 7.0)).sum() == 2
    fixed = FourierBasis(spaces.Box(np.array([2.0, 0.0]), np.array([2.0, 1.0]), dtype=np.float64))
    assert th.isfinite(fixed(th.tensor([[2.0, 0.5]]))).all()


# --- As a features extractor


ALL: list[Features] = [FourierBasis, TileCoding, NormalizedObservations, RandomFourierFeatures]
EACH = pytest.mark.parametrize("features", ALL)
ARGUMENTS: dict[Features, dict[str, int]] = {
    FourierBasis: {"order": 2},
    TileCoding: {"n_tilings": 4, "n_tiles": 2},
    NormalizedObservations: {},
    RandomFourierFeatures: {"n_features": 20},
}


@EACH
def test_has_no_parameters(features: Features) -> None:
    extractor = features(HALF_BOUNDED)
    assert isinstance(extractor, BaseFeaturesExtractor)
    assert list(extractor.parameters()) == []
    obs = th.as_tensor(points_of(5, 2))
    assert extractor(obs).shape == (5, extractor.features_dim)
    policy = LinearSoftmaxPolicy(HALF_BOUNDED, spaces.Discrete(3), lambda _: 0.1, features_extractor_class=features)
    assert policy.has_closed_form
    assert policy.score(obs, np.zeros(5)).shape == (5, 3 * extractor.features_dim + 3)


@EACH
def test_statistics_are_taken_in_training_mode_and_used_from_the_next_evaluation_mode_on(features: Features) -> None:
    extractor, obs, far = features(UNBOUNDED), th.as_tensor(points_of(50, 2)), 100 + th.as_tensor(points_of(50, 2))
    extractor.eval()
    before = extractor(obs)
    extractor(far)
    extractor.eval()
    assert th.equal(extractor(obs), before)  # acting changes nothing
    extractor.train()
    for _ in range(3):  # several passes and batches: all see the features that were acted with
        assert th.equal(extractor(obs), before)
    extractor.eval()
    after = extractor(obs)
    assert not th.equal(after, before)
    extractor.eval()
    assert th.equal(extractor(obs), after)


@pytest.mark.parametrize(
    "space",
    [
        UNIT,
        HALF_BOUNDED,
        spaces.Box(-1, 1, (1, 2)),
        spaces.Box(-1, 1, (2,), np.float64),
        spaces.Box(0, 255, (2,), np.uint8),
        spaces.Box(-5, 5, (2,), np.int64),
    ],
    ids=str,
)
@EACH
def test_numpy_and_torch_see_the_same_features(features: Features, space: spaces.Box) -> None:
    policy = ActorCriticPolicy(space, spaces.Discrete(2), lambda _: 0.1, features_extractor_class=features)
    space.seed(0)
    obs = np.stack([space.sample() for _ in range(500)])
    tensor = policy.obs_to_tensor(obs)[0]
    policy.set_training_mode(True)
    policy.get_distribution(tensor)
    policy.set_training_mode(False)
    by_numpy = feature_function(policy)(obs)
    by_torch = policy.extract_features(tensor, policy.pi_features_extractor)
    assert by_numpy.dtype == np.float32
    if features is TileCoding:
        np.testing.assert_array_equal(by_numpy, by_torch)
    else:
        np.testing.assert_allclose(by_numpy, by_torch, atol=1e-5)
    assert is_known(policy.features_extractor)
    assert numpy_actor(policy, 500, np.random.default_rng(0)) is not None


class _Squared(FourierBasis):
    def forward(self, observations: th.Tensor) -> th.Tensor:
        return super().forward(observations) ** 2


def test_a_subclass_with_a_forward_of_its_own_is_left_to_torch() -> None:
    policy = ActorCriticPolicy(UNIT, spaces.Discrete(2), lambda _: 0.1, features_extractor_class=_Squared)
    obs = points_of(5, 2)
    assert not is_known(policy.features_extractor)
    np.testing.assert_allclose(feature_function(policy)(obs), FourierBasis(UNIT)(th.as_tensor(obs)) ** 2, atol=1e-5)


# --- Errors


@EACH
@pytest.mark.parametrize(
    "space", [spaces.Discrete(3), spaces.Dict(a=UNIT), spaces.MultiBinary(2), spaces.Box(0, 255, (3, 8, 8), np.uint8)], ids=str
)
def test_other_spaces_are_refused(features: Features, space: spaces.Space) -> None:
    with pytest.raises(ValueError, match="serves Box observations that are no images"):
        features(space)


# --- Graphs that are to run without Python


@pytest.mark.parametrize("space", [UNIT, UNBOUNDED, spaces.Box(-1, 1, (1, 2))], ids=str)
@pytest.mark.parametrize("training", [True, False])
@EACH
def test_a_recorded_graph_gives_the_features_and_takes_no_notice(
    features: Features, space: spaces.Box, training: bool
) -> None:
    extractor = features(space)
    extractor.train()(th.as_tensor(points_of(50, 2)).reshape(-1, *space.shape))
    obs = th.as_tensor(points_of(20, 2)).reshape(-1, *space.shape)
    expected = extractor.eval()(obs)
    n_observed = int(extractor.n_observed)
    extractor.train(training)
    recorded = [th.jit.trace(extractor, obs[:3], check_trace=False), th.export.export(extractor, (obs,)).module()]
    assert extractor.n_observed == n_observed
    for graph in recorded:
        th.testing.assert_close(graph(obs), expected)


# --- With algorithms


def model_with(features: Features, env: Any, algorithm: Any = REINFORCE, **kwargs: Any) -> Any:
    return algorithm(
        "LinearSoftmaxPolicy" if algorithm is REINFORCE else "MlpPolicy",
        env,
        seed=0,
        policy_kwargs=dict(features_extractor_class=features, features_extractor_kwargs=kwargs),
    )


class _Watcher(FourierBasis):
    """Remembers the range of every use."""

    def forward(self, observations: th.Tensor) -> th.Tensor:
        USES.append((self.training, self.running_width.tolist(), int(self.n_observed)))
        return super().forward(observations)


USES: list[tuple[bool, list[float], int]] = []


def test_reinforce_learns_with_the_features_it_acted_with() -> None:
    USES.clear()
    env = make_vec_env("CartPole-v1", n_envs=2)
    model = model_with(_Watcher, env, max_coupling=1).learn(1_500)
    phases = [list(uses) for _, uses in itertools.groupby(USES, key=lambda use: use[0])]
    acting, learning = phases[0::2], phases[1::2]
    assert len(learning) == model._n_updates > 3
    widths = []
    for collected, learned in zip(acting, learning, strict=True):
        assert not collected[0][0]
        used = {tuple(width) for _, width, _ in (*collected, *learned)}
        assert len(used) == 1
        widths.append(used.pop())
        assert len({n for _, _, n in collected}) == 1
    assert len({width[1] for width in widths}) == len(widths)  # velocity has no bounds
    assert [width[0] for width in widths] == pytest.approx([9.6] * len(widths))


@EACH
def test_predictions_are_the_same_after_saving_and_loading(features: Features, tmp_path: pathlib.Path) -> None:
    env = make_vec_env("CartPole-v1", n_envs=4)
    model = model_with(features, env, **ARGUMENTS[features]).learn(2_000)
    model.save(tmp_path / "model")
    loaded = REINFORCE.load(tmp_path / "model", env=env)
    obs = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)
    expected = model.policy.action_probabilities(obs)
    th.testing.assert_close(loaded.policy.action_probabilities(obs), expected, rtol=0, atol=0)
    np.testing.assert_array_equal(loaded.predict(obs, deterministic=True)[0], model.predict(obs, deterministic=True)[0])
    th.testing.assert_close(loaded.policy.action_probabilities(obs), model.policy.action_probabilities(obs), rtol=0, atol=0)
    assert int(loaded.policy.features_extractor.n_observed) > 0
    loaded.learn(500)


@EACH
@pytest.mark.parametrize("algorithm", [REINFORCE, A2C])
@pytest.mark.parametrize("net_arch", [None, [4]])
def test_looking_and_evaluating_change_nothing(features: Features, algorithm: Any, net_arch: list[int] | None) -> None:
    """SB3's algorithms leave the policy in training mode."""
    policy_kwargs = dict(features_extractor_class=features, features_extractor_kwargs=ARGUMENTS[features], net_arch=net_arch)
    model = algorithm(LinearSoftmaxPolicy, make_vec_env("CartPole-v1", n_envs=4), seed=0, policy_kwargs=policy_kwargs)
    look_at(model)
    model.learn(1_000)
    assert model.policy.features_extractor.n_observed > 0
    look_at(model)


def look_at(model: Any) -> None:
    obs = np.random.default_rng(0).normal(100, 1, size=(20, 4)).astype(np.float32)
    policy = model.policy
    with unchanged(policy):
        probabilities = policy.action_probabilities(obs)
        policy.score(obs, np.zeros(20, dtype=int))
        if policy.has_closed_form:
            policy.fisher(th.as_tensor(obs))
        th.testing.assert_close(policy.action_probabilities(obs), probabilities, rtol=0, atol=0)
    policy.set_training_mode(False)
    with unchanged(policy):
        evaluate_policy(model, make_vec_env("CartPole-v1"), 3)


@contextlib.contextmanager
def unchanged(policy: th.nn.Module) -> Iterator[None]:
    before = {name: tensor.clone() for name, tensor in policy.state_dict().items()}
    yield
    for name, tensor in policy.state_dict().items():
        assert th.equal(tensor, before[name]), name


def test_a_model_is_in_evaluation_mode_whenever_it_does_not_learn(tmp_path: pathlib.Path) -> None:
    model = model_with(FourierBasis, "CartPole-v1")
    assert not model.policy.training
    assert not model.learn(1).policy.training
    model.save(tmp_path / "model")
    assert not REINFORCE.load(tmp_path / "model").policy.training


@pytest.mark.parametrize(
    ("policy", "arguments"),
    [
        ("LinearSoftmaxPolicy", {}),
        ("LinearSoftmaxPolicy", {"baseline": "linear"}),
        ("LinearSoftmaxPolicy", {"baseline": "value", "bootstrap_truncated": True}),
        ("LinearSoftmaxPolicy", {"baseline": "optimal", "epsilon": 0.1}),
        ("LinearSoftmaxPolicy", {"natural_gradient": True}),
        ("LinearSoftmaxPolicy", {"log_gradient_snr": True}),
        ("MlpPolicy", {}),
        ("MlpPolicy", {"baseline": "value", "log_gradient_snr": True}),
    ],
)
def test_reinforce_observes_each_rollout_once(policy: str, arguments: dict[str, Any]) -> None:
    policy_kwargs = dict(features_extractor_class=FourierBasis, features_extractor_kwargs={"order": 1})
    model = REINFORCE(policy, "CartPole-v1", seed=0, n_episodes=4, policy_kwargs=policy_kwargs, **arguments).learn(200)
    assert model._n_updates > 1
    assert model.policy.features_extractor.n_observed == model.num_timesteps  # type: ignore[union-attr]


def test_a_fit_observes_each_example_once() -> None:
    policy = LinearSoftmaxPolicy(UNBOUNDED, spaces.Discrete(2), lambda _: 0.1, features_extractor_class=FourierBasis)
    states = 100 * points_of(150, 2)
    policy.fit(states, np.arange(150) % 2, n_epochs=3)
    assert policy.features_extractor.n_observed == 150
    low = states.mean(axis=0) - 3 * states.std(axis=0)
    np.testing.assert_allclose(policy.features_extractor.running_low, low, rtol=1e-4)  # type: ignore[arg-type]


def test_unobserved_ends_with_an_error_too() -> None:
    extractor = FourierBasis(UNBOUNDED).train()
    with pytest.raises(RuntimeError), unobserved(extractor):
        extractor(th.zeros(1, 3))
    extractor(th.zeros(1, 2))
    assert extractor.n_observed == 1


@pytest.mark.parametrize(
    ("algorithm", "arguments"),
    [(A2C, {}), (PPO, {"n_steps": 128, "n_epochs": 2}), (DQN, {"learning_starts": 50, "target_update_interval": 100})],
)
def test_goes_with_sb3s_own_algorithms(algorithm: Any, arguments: dict[str, Any]) -> None:
    policy_kwargs = dict(features_extractor_class=FourierBasis, features_extractor_kwargs={"order": 2, "max_coupling": 2})
    model = algorithm("MlpPolicy", "CartPole-v1", policy_kwargs=policy_kwargs, **arguments).learn(250)
    extractors = [module for module in model.policy.modules() if isinstance(module, FourierBasis)]
    assert len(extractors) == (2 if algorithm is DQN else 1)  # DQN's target net has one
    for extractor in extractors:
        assert extractor.running_width[0] == pytest.approx(9.6)
        assert extractor.running_width[1] != 6.0


def test_random_weight_search_acts_by_them() -> None:
    model = RandomWeightSearch(
        "LinearSoftmaxPolicy", "CartPole-v1", seed=0, policy_kwargs=dict(features_extractor_class=FourierBasis)
    ).learn(300)
    assert model.predict(np.zeros(4, np.float32))[0] in (0, 1)


class Middle(gym.Env[np.ndarray, int]):
    """1 for telling whether the observation is in the middle: no straight line tells that."""

    def __init__(self) -> None:
        self.observation_space, self.action_space = spaces.Box(-1, 1, (1,)), spaces.Discrete(2)  # type: ignore[assignment]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.time = 0
        return self._observation(), {}

    def _observation(self) -> np.ndarray:
        self.x = float(self.np_random.uniform(-1, 1))
        return np.array([self.x], np.float32)

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        reward = float(action == (abs(self.x) < 0.5))
        self.time += 1
        return self._observation(), reward, self.time == 10, False, {}


def test_a_linear_policy_learns_with_them_what_it_can_not_without() -> None:
    scores = {}
    for name, policy_kwargs in {
        "none": {},
        "fourier": dict(features_extractor_class=FourierBasis),
        "tiles": dict(features_extractor_class=TileCoding),
    }.items():
        env = make_vec_env(Middle, n_envs=4, seed=0)
        model = REINFORCE("LinearSoftmaxPolicy", env, seed=0, policy_kwargs=policy_kwargs).learn(4_000)
        scores[name] = evaluate_policy(model, make_vec_env(Middle, seed=1), 50)[0]
    assert scores["none"] < 8.2  # 7.5 is what the best straight line gets
    assert scores["fourier"] > 9
    assert scores["tiles"] > 9
