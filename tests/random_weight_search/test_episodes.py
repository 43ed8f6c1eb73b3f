import warnings
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor

from sb3_reinforce.common.patience import Patience
from sb3_reinforce.random_weight_search.episodes import OngoingEpisodes

PATIENCE = Patience(1000, 1000, warns=False)
BARE = [lambda: gym.make("CartPole-v1")] * 3


def infos(*returns: float | None) -> list[dict[str, Any]]:
    return [{} if value is None else {"episode": {"r": value, "l": 1}} for value in returns]


def test_without_a_monitor_returns_are_sums_of_rewards() -> None:
    episodes = OngoingEpisodes(DummyVecEnv(BARE), PATIENCE)
    episodes.step(np.array([1.0, 2.0, 3.0]))
    episodes.step(np.array([10.0, 20.0, 30.0]))
    ended = episodes.end(np.array([0, 2]), infos(None, None))
    assert (ended.envs.tolist(), ended.returns.tolist()) == ([0, 2], [11.0, 33.0])
    episodes.step(np.array([5.0, 5.0, 5.0]))
    ended = episodes.end(np.array([0, 1, 2]), infos(None, None, None))
    assert ended.returns.tolist() == [5.0, 27.0, 5.0]


@pytest.mark.parametrize("env", [lambda: make_vec_env("CartPole-v1", 3), lambda: VecMonitor(DummyVecEnv(BARE))])
def test_monitor_says_what_an_episode_is_and_returns(env: Any) -> None:
    """Lives that a wrapper makes episodes of are none."""
    episodes = OngoingEpisodes(env(), PATIENCE)
    episodes.step(np.ones(3))
    ended = episodes.end(np.array([0, 1, 2]), infos(7.0, None, -7.0))
    assert (ended.envs.tolist(), ended.returns.tolist()) == ([0, 2], [7.0, -7.0])
    ended = episodes.end(np.array([1]), infos(None))
    assert len(ended.envs) == len(ended.returns) == 0


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("monitored", [True, False])
def test_returns_that_are_not_finite_are_refused(value: float, monitored: bool) -> None:
    episodes = OngoingEpisodes(make_vec_env("CartPole-v1", 3) if monitored else DummyVecEnv(BARE), PATIENCE)
    episodes.step(np.array([0.0, value, 0.0]))
    with pytest.raises(ValueError, match="not finite"):
        episodes.end(np.array([1]), infos(value if monitored else None))


def test_what_was_begun_is_forgotten() -> None:
    episodes = OngoingEpisodes(DummyVecEnv(BARE), PATIENCE)
    episodes.step(np.ones(3))
    episodes.begin(Patience(1, 1, warns=True))
    episodes.step(np.ones(3))
    ended = episodes.end(np.arange(3), infos(None, None, None))
    assert ended.returns.tolist() == [1.0, 1.0, 1.0]


def test_the_longest_is_waited_for_and_no_longer() -> None:
    episodes = OngoingEpisodes(DummyVecEnv(BARE), Patience(5, 1000, warns=False))
    for step in range(1, 9):
        episodes.step(np.zeros(3))
        if step in (3, 5):
            episodes.end(np.array([0, 1] if step == 3 else [2]), infos(None, None)[: 2 if step == 3 else 1])
        if step < 8:
            episodes.check()
    with pytest.raises(RuntimeError, match="not ended within 5 timesteps"):
        episodes.check()


@pytest.mark.parametrize("ends_at", [2, 4, None])
def test_none_that_ended_is_told_when_the_timesteps_are_used_up(ends_at: int | None) -> None:
    episodes = OngoingEpisodes(DummyVecEnv(BARE), Patience(100, 4, warns=True))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for step in range(1, 10):
            episodes.step(np.zeros(3))
            if step == ends_at:
                episodes.end(np.array([1]), infos(None))
            episodes.check()
            assert len(told) == (step >= 4 and ends_at is None)
