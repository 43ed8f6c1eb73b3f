from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.wrappers import TimeLimit
from hypothesis import given
from hypothesis import strategies as st
from stable_baselines3.common.atari_wrappers import EpisodicLifeEnv
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv

from sb3_reinforce.common.evaluation import (
    DEFAULT_MAX_EPISODE_STEPS,
    CutOffCounter,
    EpisodeLimit,
    cut_off_message,
    episode_limit,
    limit_episodes,
    own_time_limit,
    was_cut_off,
)


class Walk(gym.Env[np.ndarray, int]):
    """Episodes of given lengths, one after the other, None for one that never ends. Observed is the number of the episode."""

    observation_space = spaces.Box(0, 1000, (1,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, lengths: list[int | None], truncates: bool = False) -> None:
        self.lengths, self.truncates, self.episode = lengths, truncates, -1

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.episode, self.time = self.episode + 1, 0
        return np.full(1, self.episode, np.float32), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.time += 1
        done = self.time == self.lengths[self.episode % len(self.lengths)]
        return np.full(1, self.episode, np.float32), 1.0, done and not self.truncates, done and self.truncates, {}


class Still:
    """A policy."""

    def predict(self, obs: np.ndarray, **_: Any) -> tuple[np.ndarray, None]:
        return np.zeros(len(obs), int), None


def evaluate(env: gym.Env, n_episodes: int) -> tuple[list[int], int]:
    """The lengths that SB3 reports, and how many of them were cut off."""
    counter = CutOffCounter()
    vec_env = DummyVecEnv([lambda: env])
    _, lengths = evaluate_policy(Still(), vec_env, n_episodes, callback=counter, return_episode_rewards=True)
    assert isinstance(lengths, list)
    return lengths, counter.n_cut_off


@given(
    lengths=st.lists(st.integers(1, 30) | st.none(), min_size=1, max_size=8),
    limit=st.integers(1, 30),
    truncates=st.booleans(),
)
def test_an_episode_that_has_not_ended_by_itself_is_cut_off(lengths: list[int | None], limit: int, truncates: bool) -> None:
    found, n_cut_off = evaluate(limit_episodes(Monitor(Walk(lengths, truncates)), limit), len(lengths))
    assert found == [limit if length is None else min(length, limit) for length in lengths]
    assert n_cut_off == sum(length is None or length > limit for length in lengths)


def test_what_the_environment_gives_is_handed_on() -> None:
    env = EpisodeLimit(Walk([3]), 3)
    assert env.reset(seed=0)[0] == [0]
    steps = [env.step(1) for _ in range(3)]
    assert [step[1:] for step in steps] == [(1.0, False, False, {})] * 2 + [(1.0, True, False, {})]
    assert not was_cut_off(steps[-1][-1])
    env = EpisodeLimit(Walk([4]), 3)
    env.reset()
    _, reward, terminated, truncated, info = [env.step(1) for _ in range(3)][-1]
    assert (reward, terminated, truncated) == (1.0, False, True)
    assert was_cut_off(info)


def test_only_episodes_that_count_are_counted() -> None:
    """Where two environments share the episodes, the one that is through plays on until the other is."""
    envs = [Walk([2, None]), Walk([40])]
    vec_env = DummyVecEnv([lambda env=env: limit_episodes(Monitor(env), 50) for env in envs])  # type: ignore[misc]
    for n_episodes, expected in ((3, 0), (4, 1)):
        for env in envs:
            env.episode = -1
        counter = CutOffCounter()
        evaluate_policy(Still(), vec_env, n_episodes, callback=counter)
        assert counter.n_cut_off == expected


def test_an_evaluation_after_another_starts_to_count_anew() -> None:
    """The first one leaves an episode behind after 8 timesteps; an episode of 9 in the next is whole."""
    env = Walk([9])
    vec_env = DummyVecEnv([lambda: limit_episodes(Monitor(env), 10)])
    for _ in range(5):
        vec_env.reset()
        for _ in range(8):
            vec_env.step(np.zeros(1, int))
        counter = CutOffCounter()
        _, lengths = evaluate_policy(Still(), vec_env, 1, callback=counter, return_episode_rewards=True)
        assert (lengths, counter.n_cut_off) == ([9], 0)


class Lives(gym.Env[np.ndarray, int]):
    """Three lives, which are lost after 5 timesteps each; in the second game one is never lost. As Atari's games are."""

    observation_space = spaces.Box(0, 255, (1,), np.uint8)
    action_space = spaces.Discrete(2)

    def __init__(self) -> None:
        self.ale, self.game = self, 0

    def lives(self) -> int:
        return self.n_lives

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.n_lives, self.time, self.game = 3, 0, self.game + 1
        return np.zeros(1, np.uint8), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.time += 1
        if self.time % 5 == 0 and not (self.game == 2 and self.n_lives == 1):
            self.n_lives -= 1
        return np.zeros(1, np.uint8), 1.0, self.n_lives == 0, False, {}


def test_a_game_of_several_lives_is_one_episode_and_the_next_begins_at_its_start() -> None:
    game = Lives()
    lengths, n_cut_off = evaluate(EpisodicLifeEnv(limit_episodes(Monitor(game), 40)), 3)
    assert (lengths, n_cut_off) == ([15, 40, 15], 1)
    assert game.game >= 3


@pytest.mark.parametrize("own", [None, 500])
def test_a_time_limit_around_monitor_does_not_keep_an_evaluation_from_ending(own: int | None) -> None:
    """Monitor sees no end of an episode that a wrapper around it has ended, and SB3 waits for one."""
    walk: gym.Env = Walk([None]) if own is None else TimeLimit(Walk([None]), own)
    lengths, n_cut_off = evaluate(TimeLimit(limit_episodes(Monitor(walk), 40), 20), 2)
    assert n_cut_off == len(lengths) == 2


def test_the_limit_is_what_the_user_says_or_leaves_an_environments_own_alone() -> None:
    assert episode_limit(None, None) == episode_limit(None, 7) == DEFAULT_MAX_EPISODE_STEPS
    assert episode_limit(None, 7 * DEFAULT_MAX_EPISODE_STEPS) == 7 * DEFAULT_MAX_EPISODE_STEPS
    assert episode_limit(7, None) == episode_limit(7, 3) == episode_limit(7, 100_000) == 7


def test_the_time_limit_of_an_environment() -> None:
    assert own_time_limit(None) is None
    assert own_time_limit(gym.spec("Blackjack-v1")) is None
    assert own_time_limit(gym.spec("CartPole-v1")) == 500
    assert own_time_limit(gym.make("CartPole-v1", max_episode_steps=9).spec) == 9
    assert own_time_limit(TimeLimit(gym.make("Blackjack-v1"), 30).spec) == 30


def test_atari_limits_its_games_itself() -> None:
    ale_py = pytest.importorskip("ale_py")
    gym.register_envs(ale_py)
    for env in ("BreakoutNoFrameskip-v4", "ALE/Pong-v5"):
        assert own_time_limit(gym.spec(env)) == 108_000  # frames


def test_in_words() -> None:
    assert cut_off_message(1, 10, 5_000) == "1 of 10 episodes had not ended after 5,000 timesteps, and were cut off."
