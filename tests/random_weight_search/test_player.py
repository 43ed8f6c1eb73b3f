import warnings
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.atari_wrappers import EpisodicLifeEnv
from stable_baselines3.common.callbacks import BaseCallback, StopTrainingOnMaxEpisodes
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecMonitor

from sb3_reinforce import GymnasiumVecEnv, RandomWeightSearch
from tests.random_weight_search.scripted import ScriptedEnv, StopAfter, scripted, search, weight_of

LENGTH = 6
"""Of a game; each of its timesteps pays the action, so what a whole game pays says who played it."""


class Game(gym.Env[np.ndarray, np.ndarray]):
    """
    The observation is always 1, so the action is the candidate's only weight. A game has two lives, of half its length each.
    """

    def __init__(self) -> None:
        self.observation_space = self.action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
        self.ale = self  # which EpisodicLifeEnv asks for lives
        self.render_mode = None
        self.time = 0
        self.games: list[list[float]] = []

    def lives(self) -> int:
        return 2 - 2 * self.time // LENGTH

    def get_action_meanings(self) -> list[str]:
        return ["NOOP"]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.time = 0
        self.games.append([])
        return np.ones(1, np.float32), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        reward = float(np.asarray(action).flat[0])
        self.games[-1].append(reward)
        self.time += 1
        return np.ones(1, np.float32), reward, self.time == LENGTH, False, {}


class LifeLost(EpisodicLifeEnv):
    """Where a life is lost, the game goes on with the next step (not, as in Atari, with one that does nothing)."""

    def reset(self, **kwargs: Any) -> Any:
        if self.was_real_done:
            return super().reset(**kwargs)
        self.lives = self.env.unwrapped.ale.lives()  # type: ignore[attr-defined]
        return np.ones(1, np.float32), {}


ENVIRONMENTS: dict[str, Callable[[], gym.Env]] = {
    "bare": Game,
    "monitored": lambda: Monitor(Game()),
    "not to be reset early": lambda: Monitor(Game(), allow_early_resets=False),
    "lives": lambda: LifeLost(Monitor(Game())),
    "lives, not to be reset early": lambda: LifeLost(Monitor(Game(), allow_early_resets=False)),
}


def games_of(env: VecEnv) -> list[list[float]]:
    return [game for one in env.unwrapped.envs for game in one.unwrapped.games]


def assert_the_best_has_its_own_score(model: RandomWeightSearch) -> None:
    """What it was judged by is what it does in every game, and not what somebody else has done in a part of one."""
    if np.isfinite(model.best_mean_reward):
        assert model.best_mean_reward == pytest.approx(LENGTH * weight_of(model), abs=1e-4)


# Episodes begin where the environment begins them


class Follow(BaseCallback):
    """Looks at the best one after every step, and ends training at one."""

    def __init__(self, n_calls: int) -> None:
        super().__init__()
        self.stop_at = n_calls

    def _on_step(self) -> bool:
        assert_the_best_has_its_own_score(self.model)
        return self.n_calls < self.stop_at


@pytest.mark.filterwarnings("ignore:The environment has not ended one episode yet")
@settings(max_examples=40)
@given(
    kind=st.sampled_from(sorted(ENVIRONMENTS)),
    n_envs=st.integers(1, 3),
    threshold=st.sampled_from([-3.0, 0.0, 3.0]),
    n_eval_episodes=st.integers(1, 2),
    stops=st.lists(st.integers(1, 40), min_size=1, max_size=6),
    seed=st.integers(0, 100),
)
def test_a_score_is_of_whole_episodes_of_one_candidate(
    kind: str, n_envs: int, threshold: float, n_eval_episodes: int, stops: list[int], seed: int
) -> None:
    """Whoever stops the search, wherever, and lets it go on."""
    env = DummyVecEnv([ENVIRONMENTS[kind]] * n_envs)
    model = search(env, reward_threshold=threshold, n_eval_episodes=n_eval_episodes, n_confirmation_episodes=5, seed=seed)
    for i, stop in enumerate(stops):
        model.learn(1000 if i % 2 else stop, Follow(stop if i % 2 else 1000), reset_num_timesteps=i % 3 == 2)
        assert_the_best_has_its_own_score(model)
    if "not to be reset early" in kind:
        assert all(len(game) in (0, LENGTH) for one in env.envs for game in one.unwrapped.games[:-1])


@pytest.mark.parametrize("kind", ENVIRONMENTS)
@pytest.mark.parametrize("n_envs", [1, 3])
def test_the_search_goes_its_way_in_any_environment(kind: str, n_envs: int) -> None:
    env = DummyVecEnv([ENVIRONMENTS[kind]] * n_envs)
    model = search(env, reward_threshold=0.9 * LENGTH, n_confirmation_episodes=10).learn(20_000)
    assert model.solved
    assert model.best_mean_reward >= 0.9 * LENGTH
    assert_the_best_has_its_own_score(model)
    assert model.num_timesteps == sum(len(game) for game in games_of(env))


class Interrupts(BaseCallback):
    """An error at a step, as Ctrl-C makes one."""

    def __init__(self, n_calls: int) -> None:
        super().__init__()
        self.at = n_calls

    def _on_step(self) -> bool:
        if self.n_calls == self.at:
            raise KeyboardInterrupt
        return True


@pytest.mark.parametrize("kind", ENVIRONMENTS)
def test_a_search_that_was_interrupted_begins_new_episodes(kind: str) -> None:
    env = DummyVecEnv([ENVIRONMENTS[kind]])
    model = search(env, n_confirmation_episodes=3, reward_threshold=2.0)
    for n_calls in range(1, 20):  # in the middle, at the end and just behind it
        with pytest.raises(KeyboardInterrupt):
            model.learn(1000, [Follow(1000), Interrupts(n_calls)], reset_num_timesteps=False)
        assert_the_best_has_its_own_score(model)
        model.solved = False
    model.learn(100, Follow(1000), reset_num_timesteps=False)
    assert model.n_candidates > 1


class ResetsWithTheNextStep(gym.vector.SyncVectorEnv):
    """Nobody knows how to reset some environments of a subclass alone, so the step after an episode's end is spent on it."""


@pytest.mark.filterwarnings("ignore:.*resets an environment only with the step after")
@pytest.mark.parametrize("n_envs", [1, 3])
@pytest.mark.parametrize("threshold", [-3.0, 0.0, 5.0])
def test_a_step_that_only_resets_belongs_to_no_episode(n_envs: int, threshold: float) -> None:
    env = GymnasiumVecEnv(ResetsWithTheNextStep([Game] * n_envs))
    assert env.has_reset_transitions
    model = search(env, reward_threshold=threshold, n_confirmation_episodes=5, max_episode_steps=LENGTH + 2)
    model.learn(2000, Follow(10_000))
    assert model.solved
    assert_the_best_has_its_own_score(model)


# Somebody else moves the environment


class Moves(BaseCallback):
    """Plays on the training environment, as an evaluation without one of its own does."""

    def __init__(self, when: str, n_steps: int) -> None:
        super().__init__()
        self.when, self.n_steps = when, n_steps

    def _move(self, when: str) -> None:
        if when == self.when:
            self.training_env.reset()
            for _ in range(self.n_steps):
                self.training_env.step(np.full((self.training_env.num_envs, 1), 0.5, np.float32))

    def _on_training_start(self) -> None:
        self._move("training start")

    def _on_rollout_start(self) -> None:
        self._move("rollout start")

    def _on_rollout_end(self) -> None:
        self._move("rollout end")

    def _on_step(self) -> bool:
        assert_the_best_has_its_own_score(self.model)
        self._move("step")
        return True


@pytest.mark.parametrize("n_steps", [0, 1, 4])
@pytest.mark.parametrize("kind", ENVIRONMENTS)
def test_an_environment_that_was_moved_in_the_middle_is_noticed(kind: str, n_steps: int) -> None:
    if "not to be reset" in kind or (kind == "lives" and n_steps == 0):
        pytest.skip("it says so itself, or stays where it is when it is reset")
    model = search(DummyVecEnv([ENVIRONMENTS[kind]] * 2))
    with pytest.raises(RuntimeError, match=r"Somebody else has stepped or reset the training environment.*own"):
        model.learn(100, Moves("step", n_steps))
    model.learn(100, Follow(1000), reset_num_timesteps=False)
    assert model.n_candidates > 5


@pytest.mark.parametrize("n_steps", [0, 1, 4])
@pytest.mark.parametrize("when", ["training start", "rollout start", "rollout end"])
@pytest.mark.parametrize("kind", ["bare", "monitored", "lives"])
def test_between_rollouts_it_may_be_moved(kind: str, when: str, n_steps: int) -> None:
    model = search(DummyVecEnv([ENVIRONMENTS[kind]] * 2), reward_threshold=3.0, n_confirmation_episodes=4)
    model.learn(1000, Moves(when, n_steps))
    assert model.solved
    assert_the_best_has_its_own_score(model)


# Callbacks


class See(BaseCallback):
    """Keeps what it sees of every step."""

    def _on_training_start(self) -> None:
        self.steps: list[dict[str, Any]] = []

    def _on_step(self) -> bool:
        names = ("actions", "new_obs", "rewards", "dones", "infos", "env", "self")
        self.steps.append({name: self.locals[name] for name in names})
        return True


@pytest.mark.parametrize("n_envs", [1, 3])
def test_callbacks_see_the_locals_of_sb3(n_envs: int) -> None:
    model = search(make_vec_env(Game, n_envs))
    model.learn(20 * n_envs, see := See())
    assert len(see.steps) == 20
    for number, step in enumerate(see.steps, start=1):
        assert step["self"] is model
        assert step["env"] is model.env
        assert [step[name].shape for name in ("actions", "new_obs", "rewards", "dones")] == [(n_envs, 1)] * 2 + [(n_envs,)] * 2
        np.testing.assert_array_equal(step["rewards"], step["actions"][:, 0])
        assert step["dones"].all() == (number % LENGTH == 0)
        assert [("episode" in info) for info in step["infos"]] == step["dones"].tolist()


def test_what_is_not_among_the_locals_is_told() -> None:
    class Asks(BaseCallback):
        def _on_step(self) -> bool:
            return bool(self.locals["values"])

    with pytest.raises(KeyError, match=r"no 'values' among the local variables.*new_obs"):
        search(Game()).learn(10, Asks())


@pytest.mark.parametrize("n_calls", [1, 5, 9])
def test_a_callback_that_stops_stops(n_calls: int) -> None:
    # Five calls play the first candidate, the others confirm it
    env, envs = scripted(lambda weight, n_plays: (1.0, 5))
    model = search(env, reward_threshold=1.0).learn(1000, StopAfter(n_calls))
    assert model.num_timesteps == n_calls == envs[0].n_steps
    assert not model.solved
    model.learn(5, reset_num_timesteps=False)
    assert model.num_timesteps == n_calls + 5


@pytest.mark.parametrize("n_envs", [1, 3])
@pytest.mark.parametrize("threshold", [None, 0.5])
def test_the_step_that_a_callback_stops_on_counts(n_envs: int, threshold: float | None) -> None:
    env, envs = scripted(*[lambda weight, n_plays: (1.0, 5)] * n_envs)
    model = search(env, reward_threshold=threshold).learn(1000, StopAfter(5))
    assert model.n_candidates == n_envs
    assert model.best_mean_reward == 1.0
    assert weight_of(model) == pytest.approx(envs[0].episodes[0][0])
    assert not model.solved


def test_a_confirmation_may_be_completed_by_the_step_that_a_callback_stops_on() -> None:
    env, envs = scripted(lambda weight, n_plays: (1.0, 5))
    model = search(env, reward_threshold=1.0, n_confirmation_episodes=3).learn(1000, StopAfter(20))
    assert model.solved
    assert model.num_timesteps == envs[0].n_steps == 20


@pytest.mark.parametrize(("n_envs", "max_episodes"), [(1, 1), (1, 7), (4, 3)])
def test_as_many_episodes_as_asked_for_are_judged(n_envs: int, max_episodes: int) -> None:
    model = search(make_vec_env(Game, n_envs)).learn(10_000, StopTrainingOnMaxEpisodes(max_episodes))
    assert model.n_candidates == n_envs * max_episodes
    assert model.num_timesteps == n_envs * max_episodes * LENGTH


# Episodes that do not end


class Endless(gym.Env[np.ndarray, int]):
    """Never done."""

    def __init__(self) -> None:
        self.observation_space, self.action_space = spaces.Box(-1, 1, (2,)), spaces.Discrete(2)  # type: ignore[assignment]
        self.n_steps = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        return np.zeros(2, np.float32), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.n_steps += 1
        return np.zeros(2, np.float32), 1.0, False, False, {}


@pytest.mark.parametrize("total_timesteps", [1, 10, 1000])
@pytest.mark.parametrize("n_envs", [1, 3])
def test_an_environment_that_has_not_ended_an_episode_is_warned_about(total_timesteps: int, n_envs: int) -> None:
    model = RandomWeightSearch("LinearPolicy", make_vec_env(Endless, n_envs), seed=0)
    with pytest.warns(UserWarning, match=r"has not ended one episode yet.*TimeLimit") as told:
        model.learn(total_timesteps)
    assert len(told) == 1
    assert model.num_timesteps == -(-total_timesteps // n_envs) * n_envs
    assert model.n_candidates == 0


@pytest.mark.parametrize("env", ["CartPole-v1", lambda: scripted(lambda weight, n_plays: (1.0, 3))[0]])
def test_who_is_known_to_end_or_has_ended_is_not_warned_about(env: Any) -> None:
    """CartPole was registered with a time limit; the others have ended an episode of two."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if isinstance(env, str):
            RandomWeightSearch("LinearPolicy", env, seed=0).learn(3)
        else:
            search(env()).learn(5)


@pytest.mark.parametrize("n_envs", [1, 2])
def test_an_episode_that_never_ends_is_noticed(n_envs: int) -> None:
    env, _ = scripted(lambda weight, n_plays: (0.0, 10**9), *[lambda weight, n_plays: (0.0, 3)] * (n_envs - 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(RuntimeError, match=r"not ended within 50 timesteps.*TimeLimit"):
            search(env, max_episode_steps=50).learn(1000)


def test_a_confirmation_that_never_ends_is_noticed() -> None:
    env, _ = scripted(lambda weight, n_plays: (1.0, 10**9 if n_plays == 1 else 3))
    with pytest.raises(RuntimeError, match=r"not ended within 50 timesteps"):
        search(env, max_episode_steps=50, reward_threshold=1.0).learn(1000)


def test_an_episode_may_be_as_long_as_allowed() -> None:
    env, _ = scripted(lambda weight, n_plays: (0.0, 50))
    assert search(env, max_episode_steps=50).learn(200).num_timesteps == 200


# What the environment itself calls an episode


class CallsItEpisode(gym.Wrapper[np.ndarray, np.ndarray, np.ndarray, np.ndarray]):
    """The environment's own infos have the key of Monitor's."""

    def __init__(self, env: gym.Env, own: Any) -> None:
        super().__init__(env)
        self.own = own

    def step(self, action: np.ndarray) -> Any:
        obs, reward, terminated, truncated, info = self.env.step(action)
        return obs, reward, terminated, truncated, {**info, "episode": self.own}


@pytest.mark.parametrize("own", [7, None, "seven", [1.0, 2], {"id": 3}, {"r": 99.0}])
@pytest.mark.parametrize(
    "make",
    [
        lambda env: DummyVecEnv([lambda: env()]),
        lambda env: DummyVecEnv([lambda: Monitor(env())]),
        lambda env: VecMonitor(DummyVecEnv([lambda: env(), lambda: env()])),
    ],
)
def test_what_the_environment_calls_an_episode_is_not_taken_for_monitors(make: Any, own: Any) -> None:
    model = search(make(lambda: CallsItEpisode(ScriptedEnv(lambda weight, n_plays: (weight, 2)), own))).learn(50)
    assert model.n_candidates == 25 if model.n_envs == 1 else 24
    assert model.best_mean_reward == pytest.approx(weight_of(model), abs=1e-5)
