import io
import pathlib
from typing import Any

import gymnasium as gym
import numpy as np
import pandas as pd
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3.common.callbacks import BaseCallback, CheckpointCallback, EvalCallback, StopTrainingOnMaxEpisodes
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.logger import configure
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecNormalize
from torch import nn

from sb3_reinforce import EpisodeDurationCallback, RandomWeightSearch
from tests.random_weight_search.scripted import Rule, scripted, search, tried, weight_of
from tests.testbed import Toy

BOX = spaces.Box(-1.0, 1.0, (3,), np.float32)


# CartPole, and the spaces that are served


@pytest.mark.parametrize(("env_id", "threshold"), [("CartPole-v0", 195), ("CartPole-v1", 475)])
@pytest.mark.parametrize("n_envs", [1, 8])
@pytest.mark.filterwarnings("ignore:.*environment CartPole-v0 is out of date")
def test_cartpole_is_solved(env_id: str, threshold: int, n_envs: int) -> None:
    env = make_vec_env(env_id, n_envs)
    # Over the default 100 episodes in the seed's environment, over fewer in the longer one
    n_confirmation_episodes = 100 if threshold == 195 else 20
    model = RandomWeightSearch("LinearSoftmaxPolicy", env, n_confirmation_episodes=n_confirmation_episodes, seed=0).learn()
    assert model.solved
    assert model.best_mean_reward >= threshold
    assert 1 <= model.n_candidates <= 2000
    assert model.num_timesteps < 500_000
    mean_reward, _ = evaluate_policy(model, make_vec_env(env_id, 10, seed=77), n_eval_episodes=20)
    assert mean_reward >= 0.9 * threshold  # it has met it over others


def test_a_hidden_layer_serves_as_well() -> None:
    model = RandomWeightSearch("LinearSoftmaxPolicy", "CartPole-v1", policy_kwargs={"net_arch": [2, 4]}, seed=0)
    model.learn(20_000)
    assert [weights.shape for weights in model.best_weights] == [(2, 4), (4, 2), (2, 4)]
    assert model.best_mean_reward > 50


@pytest.mark.parametrize("env_id", ["MountainCarContinuous-v0", "Pendulum-v1"])
@pytest.mark.parametrize("n_envs", [1, 3])
def test_box_actions(env_id: str, n_envs: int) -> None:
    model = RandomWeightSearch("MlpPolicy", make_vec_env(env_id, n_envs), seed=0).learn(4000)
    assert model.n_candidates >= 3
    assert np.isfinite(model.best_mean_reward)
    actions, _ = model.predict(model.env.observation_space.sample()[None])  # type: ignore[union-attr]
    assert model.action_space.contains(actions[0])


@pytest.mark.parametrize(
    ("policy", "action_space"),
    [
        ("LinearSoftmaxPolicy", spaces.Discrete(3)),
        ("LinearSoftmaxPolicy", spaces.MultiDiscrete([3, 2, 4])),
        ("MlpPolicy", spaces.MultiDiscrete([3, 3])),
        ("LinearSoftmaxPolicy", spaces.MultiBinary(3)),
        ("MlpPolicy", spaces.MultiBinary(1)),
        ("LinearGaussianPolicy", spaces.Box(-1, 1, (2, 2))),
        ("MlpPolicy", spaces.Box(-1, 1, (2,))),
    ],
)
@pytest.mark.parametrize("n_envs", [1, 3])
def test_every_action_space(policy: str, action_space: spaces.Space, n_envs: int) -> None:
    observation_space = spaces.Dict(a=BOX, b=spaces.Discrete(3)) if policy != "MlpPolicy" else BOX
    env = make_vec_env(lambda: Toy(observation_space, action_space), n_envs)
    model = RandomWeightSearch(policy, env, seed=0).learn(300)
    action_space.seed(0)
    chance = 5 * np.mean([np.mean(action_space.sample()) for _ in range(1000)])  # rewards are actions, episodes last for 5
    assert model.best_mean_reward > 1.2 * chance + 0.1
    assert all(action_space.contains(action) for action in model.predict(env.reset())[0])


@pytest.mark.parametrize("n_envs", [1, 3])
def test_features_of_states_and_actions(n_envs: int) -> None:
    """The seed's agent: four weights, and the sign of their product with the state."""
    phi = {"phi": lambda states, action: states * (2 * action - 1)}
    env = make_vec_env("CartPole-v1", n_envs)
    model = RandomWeightSearch(
        "LinearSoftmaxPolicy", env, reward_threshold=195, n_confirmation_episodes=20, policy_kwargs=phi, seed=0
    ).learn(100_000)
    assert model.solved
    assert [weights.shape for weights in model.best_weights] == [(1, 4)]
    assert evaluate_policy(model, make_vec_env("CartPole-v1", 10, seed=77), n_eval_episodes=20)[0] >= 0.9 * 195


@pytest.mark.parametrize("n_envs", [1, 3])
def test_discrete_observations(n_envs: int) -> None:
    env = make_vec_env("FrozenLake-v1", n_envs, env_kwargs={"is_slippery": False, "desc": ["SF", "HG"]})
    model = RandomWeightSearch("LinearSoftmaxPolicy", env, seed=0).learn(60_000)
    assert model.solved
    assert model.best_weights[0].shape == (4, 4)
    assert model.best_mean_reward == 1.0


def test_image_observations_are_flattened() -> None:
    class Screen(gym.Env[np.ndarray, int]):
        observation_space = spaces.Box(0, 255, (40, 36, 3), np.uint8)
        action_space = spaces.Discrete(2)  # type: ignore[assignment]
        render_mode = None

        def reset(
            self, *, seed: int | None = None, options: dict[str, Any] | None = None
        ) -> tuple[np.ndarray, dict[str, Any]]:
            super().reset(seed=seed)
            return np.full((40, 36, 3), 200, np.uint8), {}

        def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
            return np.full((40, 36, 3), 200, np.uint8), float(action), True, False, {}

    model = RandomWeightSearch(
        "LinearSoftmaxPolicy", Monitor(Screen()), reward_threshold=1.0, n_confirmation_episodes=3, seed=0
    ).learn(200)
    assert model.solved
    assert model.predict(np.full((40, 36, 3), 200, np.uint8))[0] == 1


# What a score is, and which candidate is kept


@pytest.mark.parametrize("monitored", [True, False])
@pytest.mark.parametrize("n_eval_episodes", [1, 3])
@pytest.mark.parametrize("n_envs", [1, 4])
def test_the_best_is_the_one_with_the_best_mean_return(n_envs: int, n_eval_episodes: int, monitored: bool) -> None:
    def rule(weight: float, n_plays: int) -> tuple[float, int]:
        return round(np.sin(50 * weight) + 3 * np.cos(17 * weight * (n_plays + 1)), 5), 1 + int(10 * abs(weight)) % 4

    env, envs = scripted(*[rule] * n_envs, monitored=monitored)
    model = search(env, n_eval_episodes=n_eval_episodes).learn(400)
    returns: dict[float, list[float]] = {}
    for weight, episode_return in (episode for e in envs for episode in e.episodes):
        if episode_return is not None:
            returns.setdefault(weight, []).append(episode_return)
    scores = {weight: np.mean(values) for weight, values in returns.items() if len(values) == n_eval_episodes}
    assert max(len(values) for values in returns.values()) == n_eval_episodes
    best = max(scores, key=scores.__getitem__)
    assert model.n_candidates == len(scores) > 20
    assert model.best_mean_reward == pytest.approx(scores[best])
    assert weight_of(model) == pytest.approx(best)
    assert not model.solved


def test_without_a_threshold_the_whole_budget_is_used() -> None:
    env, envs = scripted(lambda weight, n_plays: (weight, 2))
    model = search(env).learn(101)
    assert model.num_timesteps == 101 == envs[0].n_steps
    assert model.n_candidates == 50
    assert model.best_mean_reward == pytest.approx(max(tried(envs[0])[:50]), abs=1e-6)
    assert not model.solved


@pytest.mark.parametrize("n_envs", [1, 5])
def test_timesteps_are_those_of_the_environments(n_envs: int) -> None:
    env, envs = scripted(*[lambda weight, n_plays: (10.0 * (weight > 0.5), 1 + n_plays % 3)] * n_envs)
    model = search(env, reward_threshold=9.0, n_confirmation_episodes=7).learn(10_000)
    assert model.solved
    assert model.num_timesteps == sum(e.n_steps for e in envs)


def test_weights_lie_within_the_scale_and_fill_it() -> None:
    env, envs = scripted(lambda weight, n_plays: (weight, 1))
    search(env, weight_scale=0.3).learn(500)
    weights = np.array(tried(envs[0]))
    assert np.abs(weights).max() <= 0.3
    assert weights.min() < -0.28
    assert weights.max() > 0.28
    assert abs(weights.mean()) < 0.05


def test_the_policy_holds_the_best_weights_and_no_biases() -> None:
    model = RandomWeightSearch("MlpPolicy", "CartPole-v1", weight_scale=0.7, seed=0)
    for parameter in model.policy.parameters():
        parameter.data.fill_(5.0)
    model.learn(2000)
    parameters = {name: p.detach().numpy() for name, p in model.policy.named_parameters()}
    names = ["mlp_extractor.policy_net.0", "mlp_extractor.policy_net.2", "action_net"]
    for name, weights in zip(names, model.best_weights, strict=True):
        np.testing.assert_array_equal(parameters[f"{name}.weight"], weights)
        assert np.abs(weights).max() <= 0.7
        assert not parameters[f"{name}.bias"].any()


def test_best_weights_are_a_copy() -> None:
    model = RandomWeightSearch("LinearSoftmaxPolicy", "CartPole-v1", seed=0).learn(500)
    model.best_weights[0][:] = 99.0
    assert np.abs(model.best_weights[0]).max() <= 1.0


@pytest.mark.parametrize("n_envs", [1, 3])
def test_the_best_score_is_of_what_predict_plays(n_envs: int) -> None:
    """Of all episodes, the best one is played again: by the policy, action by action."""

    class Diary(BaseCallback):
        def _on_training_start(self) -> None:
            self.playing: list[list[tuple[np.ndarray, Any]]] = [[] for _ in range(n_envs)]
            self.episodes: list[tuple[float, list[tuple[np.ndarray, Any]]]] = []
            self.obs = self.model._last_obs

        def _on_step(self) -> bool:
            for env, (obs, action) in enumerate(zip(self.obs, self.locals["actions"], strict=True)):
                self.playing[env].append((obs, action))
                if self.locals["dones"][env]:
                    self.episodes.append((self.locals["infos"][env]["episode"]["r"], self.playing[env]))
                    self.playing[env] = []
            self.obs = self.locals["new_obs"]
            return True

    for policy in ("LinearPolicy", "MlpPolicy"):
        model = RandomWeightSearch(policy, make_vec_env("CartPole-v1", n_envs), reward_threshold=np.inf, seed=0)
        model.learn(3000, diary := Diary())
        best_return, steps = max(diary.episodes, key=lambda episode: episode[0])
        assert best_return == model.best_mean_reward
        observations, actions = map(np.stack, zip(*steps, strict=True))
        np.testing.assert_array_equal(model.predict(observations)[0], actions)


class Dropping(BaseFeaturesExtractor):
    """Another policy at every step, but for evaluation."""

    def __init__(self, observation_space: spaces.Box) -> None:
        super().__init__(observation_space, 1)
        self.dropout = nn.Dropout(0.5)

    def forward(self, observations: th.Tensor) -> th.Tensor:
        return self.dropout(observations)


def test_features_are_those_of_evaluation() -> None:
    env, envs = scripted(lambda weight, n_plays: (weight, 5))
    model = RandomWeightSearch("LinearPolicy", env, policy_kwargs={"features_extractor_class": Dropping}, seed=0)
    model.policy.set_training_mode(True)
    model.learn(200)
    assert model.best_mean_reward == pytest.approx(max(tried(envs[0])), abs=1e-5)


def test_predict_is_greedy_whatever_is_asked_for() -> None:
    model = RandomWeightSearch("LinearSoftmaxPolicy", "CartPole-v1", seed=0).learn(500)
    obs = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)
    greedy = (obs @ model.best_weights[0].T).argmax(axis=1)
    assert set(greedy) == {0, 1}
    np.testing.assert_array_equal(model.predict(obs, deterministic=False)[0], greedy)
    np.testing.assert_array_equal(model.predict(obs)[0], greedy)


# Confirmation


def lucky_once(weight: float, n_plays: int) -> tuple[float, int]:
    """Everyone shines once; only weights above 0.8 do it again."""
    return (10.0 if n_plays == 0 or weight > 0.8 else 1.0), 2


@pytest.mark.parametrize("n_envs", [1, 3])
@pytest.mark.parametrize("monitored", [True, False])
def test_who_is_lucky_once_is_rejected(n_envs: int, monitored: bool) -> None:
    env, envs = scripted(*[lucky_once] * n_envs, monitored=monitored)
    model = search(env, reward_threshold=10.0, n_confirmation_episodes=6, seed=1).learn(10_000)
    assert model.solved
    assert weight_of(model) > 0.8
    assert model.best_mean_reward == 10.0
    (winner,) = {weight for e in envs for weight in tried(e) if weight > 0.8 and e.plays[weight] >= 7}
    assert weight_of(model) == pytest.approx(winner)
    if n_envs == 1:
        assert tried(envs[0]).index(winner) + 1 == model.n_candidates > 3
        # One lucky episode and one of confirmation for each that was rejected; six for the one that held
        assert model.num_timesteps == 2 * (2 * (model.n_candidates - 1) + 7)


def test_who_is_rejected_has_the_score_of_the_confirmation() -> None:
    env, _ = scripted(lambda weight, n_plays: (10.0 if n_plays == 0 else 4.0 + weight, 1))
    model = search(env, reward_threshold=10.0).learn(100)
    assert not model.solved
    assert model.best_mean_reward == pytest.approx(4.0 + weight_of(model), abs=1e-5)


def test_a_confirmation_that_the_budget_cuts_off_solves_nothing() -> None:
    env, envs = scripted(lambda weight, n_plays: (10.0, 1))
    model = search(env, reward_threshold=10.0, n_confirmation_episodes=100).learn(50)
    assert model.num_timesteps == 50 == envs[0].n_steps
    assert not model.solved
    assert model.best_mean_reward == 10.0


def test_a_candidate_whose_confirmation_has_not_begun_keeps_its_score() -> None:
    env, envs = scripted(lambda weight, n_plays: (10.0, 5))
    model = search(env, reward_threshold=10.0).learn(5)
    assert envs[0].n_resets == 3  # at the start, before the rollout, and by the VecEnv after the episode
    assert not model.solved
    assert model.n_candidates == 1
    assert model.best_mean_reward == 10.0
    assert weight_of(model) == pytest.approx(envs[0].episodes[0][0])


def test_who_solves_is_kept_though_someone_unconfirmed_shone_brighter() -> None:
    first: list[float] = []

    def rule(weight: float, n_plays: int) -> tuple[float, int]:
        first.append(weight)
        return (10.0 if weight == first[0] else 8.0), 5

    env, _ = scripted(rule)
    model = search(env, reward_threshold=8.0, n_confirmation_episodes=3).learn(5)
    assert model.best_mean_reward == 10.0
    model.learn(100, reset_num_timesteps=False)
    assert model.solved
    assert model.best_mean_reward == 8.0
    assert weight_of(model) == pytest.approx(first[-1])
    assert first[-1] != first[0]


def test_constant_returns_hold_their_own_threshold() -> None:
    """The running mean of 0.1, 0.1, ... is a rounding error below 0.1."""
    env, _ = scripted(lambda weight, n_plays: (0.1, 1))
    model = search(env, reward_threshold=0.1).learn(200)
    assert model.solved
    assert model.n_candidates == 1


def test_others_go_on_after_a_confirmation() -> None:
    """What the slow environment's candidate has not finished when it is broken off is played again, and only that."""
    fast: Rule = lambda weight, n_plays: (10.0 if n_plays < 2 and weight > 0.5 else 0.0, 1)  # noqa: E731
    slow: Rule = lambda weight, n_plays: (-1.0, 1 if n_plays == 0 else 4)  # noqa: E731
    env, envs = scripted(fast, slow)
    search(env, reward_threshold=5.0, n_eval_episodes=2, n_confirmation_episodes=5).learn(200)
    confirmed = {weight for weight in tried(envs[0]) if weight > 0.5}
    log = [episode for episode in envs[1].episodes if episode[0] not in confirmed]
    played: dict[float, list[float | None]] = {}
    for weight, episode_return in log:
        played.setdefault(weight, []).append(episode_return)
    broken_off = [returns for returns in list(played.values())[:-1] if None in returns]
    assert [-1.0, None, -1.0] in broken_off
    for returns in list(played.values())[:-1]:
        assert [r for r in returns if r is not None] == [-1.0, -1.0]


def test_confirmation_goes_by_start_order() -> None:
    """Good episodes take long, bad ones end at once: who judges by what has ended first sees the bad ones only."""

    def shared(long: bool) -> Rule:
        def rule(weight: float, n_plays: int) -> tuple[float, int]:
            if n_plays == 0:
                return 10.0, 3
            return (10.0, 3) if long else (2.0, 1)

        return rule

    env, _ = scripted(shared(True), shared(False))
    # In start order: 10, 2 and the mean is 6; by what ends first: 2
    model = search(env, reward_threshold=6.0, n_confirmation_episodes=2).learn(1000)
    assert model.solved
    assert model.best_mean_reward == 6.0
    assert model.n_candidates == 2  # both were scored at the same step; the first was confirmed
    model = search(env, reward_threshold=6.5, n_confirmation_episodes=2).learn(40)
    assert not model.solved


# Life as an SB3 algorithm


@pytest.mark.parametrize("n_envs", [1, 4])
def test_the_same_seed_gives_the_same_search(n_envs: int) -> None:
    first, second, other = (
        RandomWeightSearch("LinearSoftmaxPolicy", make_vec_env("CartPole-v1", n_envs), seed=seed).learn(3000)
        for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first.best_weights[0], second.best_weights[0])
    assert (first.n_candidates, first.num_timesteps) == (second.n_candidates, second.num_timesteps)
    assert not np.array_equal(first.best_weights[0], other.best_weights[0])


def test_subprocesses_play_the_same() -> None:
    envs = [lambda: Monitor(gym.make("CartPole-v1"))] * 2
    in_process, apart = (
        RandomWeightSearch("LinearSoftmaxPolicy", env, seed=3).learn(600)
        for env in (DummyVecEnv(envs), SubprocVecEnv(envs, start_method="fork"))
    )
    apart.env.close()  # type: ignore[union-attr]
    np.testing.assert_array_equal(in_process.best_weights[0], apart.best_weights[0])


@pytest.mark.parametrize("policy", ["LinearSoftmaxPolicy", "MlpPolicy"])
@pytest.mark.parametrize("kind", ["str", "path", "stream"])
def test_save_and_load(tmp_path: pathlib.Path, policy: str, kind: str) -> None:
    model = RandomWeightSearch(policy, "CartPole-v1", weight_scale=2.0, seed=0).learn(1000)
    where: Any = {"str": str(tmp_path / "model"), "path": tmp_path / "model.zip", "stream": io.BytesIO()}[kind]
    model.save(where)
    if kind == "stream":
        where.seek(0)
    loaded = RandomWeightSearch.load(where)
    obs = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    np.testing.assert_array_equal(loaded.predict(obs)[0], model.predict(obs)[0])
    for mine, theirs in zip(loaded.best_weights, model.best_weights, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    for name in ("n_candidates", "best_mean_reward", "solved", "num_timesteps", "weight_scale"):
        assert getattr(loaded, name) == getattr(model, name)


def test_learning_goes_on() -> None:
    env, envs = scripted(lambda weight, n_plays: (weight, 1))
    model = search(env).learn(30)
    best = model.best_mean_reward
    model.learn(20, reset_num_timesteps=False)
    assert (model.num_timesteps, model.n_candidates) == (50, 50)
    assert model.best_mean_reward >= best
    assert model.best_mean_reward == pytest.approx(max(tried(envs[0])), abs=1e-6)
    model.learn(20)
    assert (model.num_timesteps, model.n_candidates) == (20, 20)
    assert model.best_mean_reward == pytest.approx(max(tried(envs[0])[-20:]), abs=1e-6)


def test_a_loaded_search_makes_new_guesses(tmp_path: pathlib.Path) -> None:
    env, envs = scripted(lambda weight, n_plays: (weight, 1))
    search(env).learn(30).save(tmp_path / "model")
    model = RandomWeightSearch.load(tmp_path / "model", env=env)
    model.learn(30, reset_num_timesteps=False)
    assert (model.num_timesteps, model.n_candidates) == (60, 60)
    assert len(tried(envs[0])) == 60
    assert model.best_mean_reward == pytest.approx(max(tried(envs[0])), abs=1e-6)


def test_a_solved_search_does_not_go_on() -> None:
    env, envs = scripted(lambda weight, n_plays: (1.0, 1))
    model = search(env, reward_threshold=1.0, n_confirmation_episodes=5).learn(100)
    assert model.solved
    n_steps = envs[0].n_steps
    model.learn(100, reset_num_timesteps=False)
    assert envs[0].n_steps == n_steps


@pytest.mark.filterwarnings("ignore:.*environment CartPole-v0 is out of date")
def test_the_threshold_is_that_of_the_environment_at_hand() -> None:
    model = RandomWeightSearch("LinearSoftmaxPolicy", "CartPole-v1", n_confirmation_episodes=5, seed=0).learn(10)
    model.set_env(make_vec_env("CartPole-v0", seed=0))
    model.learn()
    assert model.solved
    assert 195 <= model.best_mean_reward <= 200
    assert model.reward_threshold is None


def test_sb3_callbacks(tmp_path: pathlib.Path) -> None:
    callbacks: list[BaseCallback] = [
        EvalCallback(make_vec_env("CartPole-v1"), eval_freq=200, n_eval_episodes=2, log_path=str(tmp_path), verbose=0),
        CheckpointCallback(500, str(tmp_path)),
        EpisodeDurationCallback(),
        StopTrainingOnMaxEpisodes(40),
    ]
    model = RandomWeightSearch("LinearSoftmaxPolicy", "CartPole-v1", reward_threshold=1e9, seed=0)
    model.learn(20_000, callbacks)
    assert model.n_candidates == 40
    assert model.num_timesteps < 20_000
    evaluated = np.load(tmp_path / "evaluations.npz")["timesteps"]
    assert evaluated.tolist() == list(range(200, model.num_timesteps + 1, 200))
    assert RandomWeightSearch.load(tmp_path / "rl_model_500_steps.zip").num_timesteps == 500


@pytest.mark.filterwarnings("ignore:rich is experimental/alpha")
def test_progress_bar(capsys: pytest.CaptureFixture[str]) -> None:
    model = RandomWeightSearch("LinearSoftmaxPolicy", "CartPole-v1", reward_threshold=1e9, seed=0)
    model.learn(700, progress_bar=True)
    out, err = capsys.readouterr()
    assert "700/700" in out + err


def test_progress_remaining_falls() -> None:
    class Watch(BaseCallback):
        seen: list[float] = []

        def _on_step(self) -> bool:
            self.seen.append(self.model._current_progress_remaining)
            return True

    env, _ = scripted(lambda weight, n_plays: (0.0, 1))
    search(env).learn(4, watch := Watch())
    assert watch.seen == [1.0, 0.75, 0.5, 0.25]


def test_vec_normalize() -> None:
    env = VecNormalize(make_vec_env("CartPole-v1", 2))
    model = RandomWeightSearch("LinearSoftmaxPolicy", env, seed=0).learn(10_000)
    assert model.best_mean_reward > 100  # the environment's own returns, not the normalised ones
    assert env.obs_rms.count > 1000  # type: ignore[union-attr]


def test_verbose_tells_the_outcome(capsys: pytest.CaptureFixture[str]) -> None:
    env, _ = scripted(lambda weight, n_plays: (1.0, 1))
    search(env, reward_threshold=1.0, n_confirmation_episodes=5, verbose=1).learn(100, log_interval=None)
    assert "RandomWeightSearch: solved after 1 candidates and 6 timesteps, best mean reward 1.00" in capsys.readouterr().out


def test_logs(tmp_path: pathlib.Path) -> None:
    env, _ = scripted(lambda weight, n_plays: (weight, 2))
    model = search(env)
    model.set_logger(configure(str(tmp_path), ["csv"]))
    model.learn(50, log_interval=10)
    model.logger.close()
    progress = pd.read_csv(tmp_path / "progress.csv")
    assert progress["rollout/candidates"].tolist() == [10, 20, 25]
    assert progress["time/total_timesteps"].tolist() == [20, 40, 50]
    assert progress["rollout/best_mean_reward"].is_monotonic_increasing
    assert progress["rollout/best_mean_reward"].iloc[-1] == pytest.approx(model.best_mean_reward)
    assert progress["rollout/solved"].tolist() == [0, 0, 0]
    assert progress["rollout/ep_len_mean"].tolist() == [2, 2, 2]


@pytest.mark.filterwarnings("ignore:The environment has not ended one episode yet")
def test_nothing_is_logged_twice_and_no_score_that_there_is_not(tmp_path: pathlib.Path) -> None:
    env, _ = scripted(lambda weight, n_plays: (weight, 2))
    model = search(env)
    model.set_logger(configure(str(tmp_path), ["csv"]))
    model.learn(1, log_interval=2)  # not even one episode
    model.learn(20, log_interval=10, reset_num_timesteps=False)
    model.logger.close()
    progress = pd.read_csv(tmp_path / "progress.csv")
    assert progress["rollout/candidates"].tolist() == [0, 10]
    assert progress["rollout/best_mean_reward"].isna().tolist() == [True, False]
