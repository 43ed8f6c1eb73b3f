from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from gymnasium.vector.utils import batch_space
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv

from sb3_reinforce import FourierBasis, RandomWeightSearch
from sb3_reinforce.random_weight_search.candidates import Candidates, GreedyActor
from sb3_reinforce.random_weight_search.episodes import EndedEpisodes
from tests.testbed import Toy

BOX = spaces.Box(-1.0, 1.0, (3,), np.float32)
BYTES = spaces.Box(0, 255, (4,), np.uint8)
DICT = spaces.Dict(a=BOX, b=spaces.Discrete(3), c=BYTES)
N_ENVS = 4


def policy_of(policy: str, observation_space: spaces.Space, action_space: spaces.Space, **policy_kwargs: Any) -> Any:
    return RandomWeightSearch(policy, Toy(observation_space, action_space), policy_kwargs=policy_kwargs, seed=0).policy


def candidates_of(policy: Any, n_eval_episodes: int = 1, weight_scale: float = 1.0, n_envs: int = N_ENVS) -> Candidates:
    return Candidates(policy, n_envs, n_eval_episodes, weight_scale, seed=0)


def row(observations: Any, env: int) -> Any:
    return {key: values[env] for key, values in observations.items()} if isinstance(observations, dict) else observations[env]


# How candidates act

ACTIONS = [
    spaces.Discrete(3),
    spaces.MultiDiscrete([3, 2, 4]),
    spaces.MultiBinary(3),
    spaces.Box(-0.3, 0.2, (2, 2), np.float32),
    spaces.Box(-0.3, 0.2, (2,), np.float64),
    spaces.Box(np.array([-2, 0]), np.array([1, 3]), dtype=np.int32),
    spaces.Box(0, 5, (3,), np.uint8),
]
OBSERVATIONS = [BOX, BYTES, spaces.Discrete(5), spaces.MultiDiscrete([2, 3]), spaces.MultiBinary(4), spaces.Box(-1, 1, (2, 3))]


@settings(max_examples=60)
@given(
    policy=st.sampled_from(["LinearPolicy", "MlpPolicy"]),
    observation_space=st.sampled_from([*OBSERVATIONS, DICT]),
    action_space=st.sampled_from(ACTIONS),
    frozen=st.lists(st.booleans(), min_size=6, max_size=6),
    seed=st.integers(0, 1000),
)
def test_what_a_candidate_plays_is_what_the_policy_predicts(
    policy: str, observation_space: spaces.Space, action_space: spaces.Space, frozen: list[bool], seed: int
) -> None:
    """All at once without torch, or one by one with it, or one for all; whatever is frozen."""
    if observation_space is DICT:
        policy = "LinearPolicy"
    net = policy_of(policy, observation_space, action_space, net_arch=[3, 4] if policy == "MlpPolicy" else [])
    th.manual_seed(seed)
    for parameter, is_frozen in zip(net.parameters(), frozen, strict=False):
        parameter.requires_grad_(not is_frozen)
        th.nn.init.normal_(parameter)
    net.action_net.weight.requires_grad_(True)
    space = batch_space(observation_space, N_ENVS)
    space.seed(seed)
    observations = space.sample()
    candidates, actor = candidates_of(net), GreedyActor(net)
    actions = actor.act(candidates.layers, observations)
    assert all(action_space.contains(action if actions.ndim > 1 else np.int64(action)) for action in actions)
    for env in range(N_ENVS):
        of_one = actor.act(candidates.layers_of(env), observations)
        candidates.put_into_policy(env)
        predicted, _ = net.predict(row(observations, env), deterministic=True)
        if isinstance(action_space, spaces.Box) and action_space.dtype.kind != "f":
            predicted = np.rint(predicted)  # SB3 leaves it to the environment
        np.testing.assert_allclose(actions[env], predicted, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(of_one[env], predicted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("observation_space", "policy_kwargs"),
    [
        (BOX, {"phi": lambda states, action: states * (2 * action - 1)}),
        (BOX, {"features_extractor_class": FourierBasis}),
        (spaces.Box(0, 255, (12, 10, 3), np.uint8), {}),
    ],
)
def test_features_are_the_policys_own(observation_space: spaces.Space, policy_kwargs: dict[str, Any]) -> None:
    net = policy_of("LinearPolicy", observation_space, spaces.Discrete(2), **policy_kwargs)
    space = batch_space(net.observation_space, 200)
    space.seed(0)
    observations = space.sample()
    candidates, actor = candidates_of(net), GreedyActor(net)
    seen = set()
    for env in range(N_ENVS):
        candidates.put_into_policy(env)
        actions = actor.act(candidates.layers_of(env), observations)
        np.testing.assert_array_equal(actions, net.predict(observations, deterministic=True)[0])
        seen.update(actions.tolist())
    assert seen == {0, 1}


def test_a_policy_of_double_precision_is_played_in_it() -> None:
    net = policy_of("LinearPolicy", BOX, spaces.Box(-5, 5, (1,), np.float64)).double()
    observations = batch_space(BOX, N_ENVS).sample()
    candidates = candidates_of(net)
    actions = GreedyActor(net).act(candidates.layers, observations)
    for env in range(N_ENVS):
        candidates.put_into_policy(env)
        exact = net.action_net.weight.detach().numpy() @ observations[env].astype(np.float64)
        np.testing.assert_allclose(actions[env], exact, rtol=1e-12)


# Guesses


def test_weights_are_drawn_uniformly_and_anew() -> None:
    candidates = candidates_of(policy_of("MlpPolicy", BOX, spaces.Discrete(2)), weight_scale=0.3, n_envs=50)
    before = [layer.weight.copy() for layer in candidates.layers]
    for weights in before:
        assert np.abs(weights).max() <= 0.3
        assert abs(weights.mean()) < 0.05
        assert weights.std() == pytest.approx(0.3 / np.sqrt(3), rel=0.1)
        assert len({weight.tobytes() for weight in weights}) == 50
    candidates.draw(np.array([3, 7]))
    for weights, layer in zip(before, candidates.layers, strict=True):
        changed = np.flatnonzero((weights != layer.weight).any(axis=(1, 2)))
        assert changed.tolist() == [3, 7]


# Scores


@given(
    st.lists(st.lists(st.tuples(st.integers(0, N_ENVS - 1), st.integers(-5, 5)), unique_by=lambda e: e[0]), max_size=15),
    st.integers(1, 3),
    st.lists(st.booleans(), min_size=N_ENVS, max_size=N_ENVS),
)
def test_scores_are_the_slow_version(steps: list[list[tuple[int, int]]], n_eval_episodes: int, at_start: list[bool]) -> None:
    """An episode that a candidate has not played from its start does not count."""
    candidates = candidates_of(policy_of("LinearPolicy", BOX, spaces.Discrete(2)), n_eval_episodes)
    candidates.begin(np.array(at_start))
    counts, returns = list(at_start), [[] for _ in range(N_ENVS)]  # type: ignore[var-annotated]
    for step in steps:
        ended = sorted(step)
        expected = {}
        for env, value in ended:
            if counts[env]:
                returns[env].append(value)
            counts[env] = True
            if len(returns[env]) == n_eval_episodes:
                expected[env] = np.mean(returns[env])
        envs, values = (
            (np.array(column, dtype=int) for column in zip(*ended, strict=True)) if ended else (np.empty(0, int),) * 2
        )
        scored = candidates.enter(EndedEpisodes(envs, values.astype(float)))
        assert dict(zip(scored.tolist(), candidates.scores(scored).tolist(), strict=True)) == pytest.approx(expected)
        candidates.draw(scored)
        for env in expected:
            returns[env] = []


# What environments return


class Returning(DummyVecEnv):
    """Observations of another type than declared, as a VecEnv of somebody's own may have them."""

    def __init__(self, space: spaces.Space, change: Any, n_envs: int = 2) -> None:
        super().__init__([lambda: Toy(space, spaces.Discrete(2))] * n_envs)
        self.change = change

    def reset(self) -> Any:
        return self.change(super().reset())

    def step_wait(self) -> Any:
        obs, rewards, dones, infos = super().step_wait()
        return self.change(obs), rewards, dones, infos


@pytest.mark.parametrize(
    ("space", "change", "message"),
    [
        (BYTES, lambda obs: obs / 255, "observation of type float64.*has the type uint8"),
        (spaces.Discrete(5), lambda obs: obs + 0.5, "observation of type float64.*has the type int64"),
        (spaces.MultiBinary(4), lambda obs: obs.astype(int) * 300, "observation of type int64.*has the type int8"),
        (BOX, lambda obs: obs.astype(np.float64) * 1e300, "observation of type float64.*has the type float32"),
        (BOX, lambda obs: obs[:, :2], r"observation of shape \(2, 2\)"),
        (BOX, lambda obs: obs[:1], r"observation of shape \(1, 3\)"),
        (DICT, lambda obs: {**obs, "c": obs["c"] / 255}, "observation 'c' of type float64"),
        (DICT, lambda obs: {**obs, "b": obs["b"][:, None]}, r"observation 'b' of shape \(2, 1\)"),
    ],
)
def test_observations_that_are_not_as_declared_are_refused(space: spaces.Space, change: Any, message: str) -> None:
    model = RandomWeightSearch("LinearPolicy", Returning(space, change), seed=0)
    with pytest.raises(ValueError, match=f"The environment Toy returned an {message}"):
        model.learn(100)


@pytest.mark.parametrize(
    ("space", "change"),
    [
        (BYTES, lambda obs: obs.astype(np.int64)),
        (BYTES, lambda obs: obs.astype(np.float64)),
        (spaces.Discrete(5), lambda obs: obs.astype(np.int8)),
        (BOX, lambda obs: obs.astype(np.float64)),
        (DICT, lambda obs: {**obs, "c": obs["c"].astype(np.int32)}),
    ],
)
def test_what_can_be_cast_without_a_loss_is_played_alike(space: spaces.Space, change: Any) -> None:
    first, second = (
        RandomWeightSearch("LinearPolicy", Returning(space, way), reward_threshold=np.inf, seed=0).learn(200)
        for way in (change, lambda obs: obs)
    )
    np.testing.assert_array_equal(first.best_weights[0], second.best_weights[0])
    assert first.best_mean_reward == second.best_mean_reward


class Spoilt(gym.Wrapper[np.ndarray, Any, np.ndarray, Any]):
    """From the seventh step on, the observation or the reward is not finite."""

    def __init__(self, env: gym.Env, what: str, value: float) -> None:
        super().__init__(env)
        self.what, self.value, self.n_steps = what, value, 0

    def step(self, action: Any) -> tuple[np.ndarray, Any, bool, bool, dict[str, Any]]:
        obs, reward, terminated, truncated, info = self.env.step(action)
        self.n_steps += 1
        if self.n_steps >= 7:
            if self.what == "observation":
                obs[0] = self.value
            reward = self.value if self.what == "reward" else reward
        return obs, reward, terminated, truncated, info


@pytest.mark.parametrize("policy", ["LinearSoftmaxPolicy", "MlpPolicy"])
@pytest.mark.parametrize("what", ["observation", "reward"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.filterwarnings("ignore:invalid value encountered in matmul")
def test_values_that_are_not_finite_are_refused(policy: str, what: str, value: float) -> None:
    env = make_vec_env(lambda: Spoilt(gym.make("CartPole-v1"), what, value))
    with pytest.raises(ValueError, match=f"{what}.* not finite"):
        RandomWeightSearch(policy, env, seed=0).learn(1000)
