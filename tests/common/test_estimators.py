import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sb3_reinforce.common.estimators import (
    BASELINES,
    baseline_values,
    leave_one_out_baseline,
    mean_baseline,
    no_baseline,
    normalize,
    reward_to_go,
    time_baseline,
    timesteps_of,
)

reward = st.floats(-100, 100)
episodes = st.lists(st.lists(reward, min_size=1, max_size=12), min_size=1, max_size=6)
several_episodes = st.lists(st.lists(reward, min_size=1, max_size=12), min_size=2, max_size=6)


def flat(lists: list[list[float]]) -> tuple[np.ndarray, np.ndarray]:
    return np.concatenate([np.array(x) for x in lists]), np.array([len(x) for x in lists])


@given(episodes, st.floats(0, 1))
def test_reward_to_go_is_the_discounted_sum_of_what_follows(rewards: list[list[float]], gamma: float) -> None:
    slow = [[sum(gamma**k * r for k, r in enumerate(episode[t:])) for t in range(len(episode))] for episode in rewards]
    np.testing.assert_allclose(reward_to_go(*flat(rewards), gamma), flat(slow)[0], rtol=1e-9, atol=1e-9)


def test_reward_to_go_by_hand() -> None:
    returns = reward_to_go(np.array([1.0, 2.0, 4.0, 8.0, 3.0]), np.array([1, 3, 1]), gamma=0.5)
    np.testing.assert_array_equal(returns, [1.0, 6.0, 8.0, 8.0, 3.0])


def test_reward_to_go_leaves_the_rewards_alone() -> None:
    rewards = np.ones(4)
    reward_to_go(rewards, np.array([4]), 1.0)
    np.testing.assert_array_equal(rewards, np.ones(4))


def test_reward_to_go_of_float32_rewards_is_summed_in_float64() -> None:
    rewards = np.full(100_000, 0.1, dtype=np.float32)
    assert reward_to_go(rewards, np.array([100_000]), 1.0)[0] == pytest.approx(100_000 * float(np.float32(0.1)), rel=1e-12)


@given(st.lists(st.integers(1, 20), min_size=1, max_size=8))
def test_timesteps_of_counts_from_zero_in_each_episode(lengths: list[int]) -> None:
    np.testing.assert_array_equal(timesteps_of(np.array(lengths)), np.concatenate([np.arange(n) for n in lengths]))


@given(episodes)
def test_no_baseline_is_zero(returns: list[list[float]]) -> None:
    np.testing.assert_array_equal(no_baseline(*flat(returns)), np.zeros(len(flat(returns)[0])))


@given(episodes)
def test_mean_baseline_is_the_mean_over_all_timesteps(returns: list[list[float]]) -> None:
    values = flat(returns)[0]
    np.testing.assert_allclose(mean_baseline(*flat(returns)), np.full(len(values), np.mean(values)))


@given(several_episodes)
def test_leave_one_out_is_the_mean_over_the_other_episodes(returns: list[list[float]]) -> None:
    slow = []
    for i, episode in enumerate(returns):
        others = [value for j, other in enumerate(returns) if j != i for value in other]
        slow += [np.mean(others)] * len(episode)
    np.testing.assert_allclose(leave_one_out_baseline(*flat(returns)), slow, atol=1e-9)


@given(several_episodes)
def test_time_baseline_is_the_mean_over_the_others_at_that_time(returns: list[list[float]]) -> None:
    slow = []
    for i, episode in enumerate(returns):
        for t in range(len(episode)):
            others = [other[t] for j, other in enumerate(returns) if j != i and t < len(other)]
            slow.append(np.mean(others) if others else 0.0)
    np.testing.assert_allclose(time_baseline(*flat(returns)), slow, atol=1e-9)


@given(several_episodes, st.data())
@pytest.mark.parametrize("name", ["none", "leave_one_out", "time"])
def test_an_unbiased_baseline_knows_nothing_of_its_own_episode(
    name: str, returns: list[list[float]], data: st.DataObject
) -> None:
    values, lengths = flat(returns)
    changed = values.copy()
    changed[: lengths[0]] = data.draw(st.lists(reward, min_size=int(lengths[0]), max_size=int(lengths[0])))
    before, after = baseline_values(name, values, lengths), baseline_values(name, changed, lengths)
    np.testing.assert_allclose(before[: lengths[0]], after[: lengths[0]], atol=1e-9)


@given(several_episodes, st.floats(-50, 50))
@pytest.mark.parametrize("name", [name for name in BASELINES if name not in ("none", "time")])
def test_a_baseline_moves_with_the_returns(name: str, returns: list[list[float]], shift: float) -> None:
    values, lengths = flat(returns)
    before, after = baseline_values(name, values, lengths), baseline_values(name, values + shift, lengths)
    np.testing.assert_allclose(after, before + shift, atol=1e-8)


@given(st.lists(reward, min_size=2, max_size=50, unique=True))
def test_normalize_gives_mean_0_and_standard_deviation_1(values: list[float]) -> None:
    advantages = np.array(values)
    if advantages.std() > 1e-3:
        assert normalize(advantages).mean() == pytest.approx(0, abs=1e-6)
        assert normalize(advantages).std() == pytest.approx(1, abs=1e-4)


def test_normalize_of_equal_advantages_is_zero() -> None:
    np.testing.assert_array_equal(normalize(np.full(5, 3.0)), np.zeros(5))
