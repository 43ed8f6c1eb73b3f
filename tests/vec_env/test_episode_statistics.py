"""Returns and lengths against sums of what was added since an episode's start."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sb3_reinforce.vec_env.episode_statistics import EpisodeStatistics

STEP = st.tuples(st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=3), st.lists(st.booleans(), min_size=3, max_size=3))


@given(st.lists(STEP, max_size=12), st.sampled_from([np.float32, np.float64, np.int64]))
def test_they_are_sums_since_the_start(steps: list[tuple[list[float], list[bool]]], dtype: type) -> None:
    statistics = EpisodeStatistics(3)
    played: list[list[float]] = [[], [], []]
    for rewards, dones in steps:
        given_rewards: np.ndarray = np.array(rewards).astype(dtype)
        statistics.add(given_rewards)
        for env, reward in enumerate(given_rewards.tolist()):
            played[env].append(reward)
        envs = np.flatnonzero(dones)
        returns, lengths = statistics.end(envs)
        np.testing.assert_allclose(returns, [sum(played[env]) for env in envs], rtol=1e-9, atol=1e-6)
        assert lengths.tolist() == [len(played[env]) for env in envs]
        for env in envs:
            played[env] = []


def test_an_episode_that_starts_anew_forgets_what_was() -> None:
    statistics = EpisodeStatistics(2)
    statistics.add(np.array([5.0, 6.0]))
    statistics.start(np.array([1]))
    statistics.add(np.array([1.0, 1.0]))
    assert [part.tolist() for part in statistics.end(np.array([0, 1]))] == [[6.0, 1.0], [2, 1]]
    statistics.add(np.array([1.0, 1.0]))
    statistics.start()
    statistics.add(np.array([2.0, 3.0]))
    assert [part.tolist() for part in statistics.end(np.array([0, 1]))] == [[2.0, 3.0], [1, 1]]
