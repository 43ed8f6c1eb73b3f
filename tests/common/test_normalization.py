import copy
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from sb3_reinforce.common.normalization import is_statistics, put_back, statistics_of, take_over
from tests.testbed import Toy

BOX = spaces.Box(-1.0, 1.0, (3,), np.float32)
DICT = spaces.Dict(a=BOX, b=spaces.Box(-5.0, 5.0, (2, 2)))
SPACES = [BOX, DICT]


def env_of(space: gym.Space[Any], **arguments: Any) -> VecNormalize:
    return VecNormalize(DummyVecEnv([lambda: Toy(copy.deepcopy(space), spaces.Discrete(2))] * 2), **arguments)


def played(env: VecNormalize) -> VecNormalize:
    env.seed(0)
    env.reset()
    for _ in range(20):
        env.step(np.array([0, 1]))
    return env


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("arguments", [{}, {"norm_obs": False}, {"norm_reward": False}, {"gamma": 0.5}])
def test_whoever_takes_them_over_normalises_alike(space: gym.Space[Any], arguments: dict[str, Any]) -> None:
    env = played(env_of(space, **arguments))
    statistics = statistics_of(env)
    assert all(isinstance(values, np.ndarray) for values in statistics.values())
    other = env_of(space, **arguments)
    take_over(other, statistics)
    np.testing.assert_equal(statistics_of(other), statistics)
    for each in (env, other):
        each.seed(3)
    np.testing.assert_equal(env.reset(), other.reset())
    for _ in range(5):
        for ours, theirs in zip(env.step(np.array([1, 0]))[:3], other.step(np.array([1, 0]))[:3], strict=True):
            np.testing.assert_equal(ours, theirs)


def test_they_are_a_copy() -> None:
    env = played(env_of(BOX))
    statistics = statistics_of(env)
    before = {name: values.copy() for name, values in statistics.items()}
    played(env)
    np.testing.assert_equal(statistics, before)
    other = env_of(BOX)
    take_over(other, statistics)
    played(other)
    np.testing.assert_equal(statistics, before)


@pytest.mark.parametrize("space", SPACES)
def test_who_has_seen_something_keeps_its_own(space: gym.Space[Any]) -> None:
    seen = env_of(space)
    seen.reset()
    before = statistics_of(seen)
    take_over(seen, statistics_of(played(env_of(space))))
    np.testing.assert_equal(statistics_of(seen), before)
    put_back(seen, later := statistics_of(played(env_of(space))))
    np.testing.assert_equal(statistics_of(seen), later)


def test_parts_that_were_not_normalised_stay_fresh() -> None:
    statistics = statistics_of(played(env_of(DICT, norm_obs_keys=["a"])))
    other = env_of(DICT)
    take_over(other, statistics)
    assert other.obs_rms["a"].count > 1  # type: ignore[index]
    assert other.obs_rms["b"].count < 1  # type: ignore[index]


@pytest.mark.parametrize("value", [[], {"mean": 1.0}, {"mean": np.array(["a"])}, {"mean": np.array([np.nan])}])
def test_other_values_are_no_statistics(value: Any) -> None:
    assert not is_statistics(value)
    assert is_statistics(statistics_of(env_of(DICT)))


def test_statistics_of_others_do_not_fit() -> None:
    statistics = statistics_of(played(env_of(BOX)))
    with pytest.raises(ValueError, match="statistics of the observations that were saved do not fit"):
        take_over(env_of(spaces.Box(-1.0, 1.0, (4,), np.float32)), statistics)
