from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sb3_reinforce.gradient.estimators import (
    add_to_last,
    advantages_of,
    discounts,
    generalized_advantages,
    leave_one_out_baseline,
    mean_baseline,
    no_baseline,
    normalize,
    optimal_constants,
    reward_to_go,
    signal_to_noise,
    time_baseline,
    timesteps_of,
    total_return,
)

Baseline = Callable[[np.ndarray, np.ndarray], np.ndarray]

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


@given(episodes, st.floats(0, 1))
def test_the_total_return_is_that_of_the_whole_episode(rewards: list[list[float]], gamma: float) -> None:
    slow = [[sum(gamma**k * r for k, r in enumerate(episode))] * len(episode) for episode in rewards]
    np.testing.assert_allclose(total_return(*flat(rewards), gamma), flat(slow)[0], rtol=1e-9, atol=1e-9)


@given(episodes, st.floats(0, 1))
def test_discounts_count_from_the_start_of_each_episode(rewards: list[list[float]], gamma: float) -> None:
    slow = [[gamma**t for t in range(len(episode))] for episode in rewards]
    np.testing.assert_allclose(discounts(flat(rewards)[1], gamma), flat(slow)[0])


@given(episodes, st.floats(0, 1), st.floats(0, 1), st.integers(0, 10_000))
def test_generalized_advantages_are_the_weighed_mean_of_all_n_step_advantages(
    rewards: list[list[float]], gamma: float, lam: float, seed: int
) -> None:
    """As Schulman et al. (2016) define them, before eq. 16: for each n, n rewards and then a value."""
    rng, slow = np.random.default_rng(seed), []
    all_values = [rng.normal(size=len(episode)).tolist() for episode in rewards]
    for episode, values in zip(rewards, all_values, strict=True):
        for t in range(len(episode)):
            n_left, mean = len(episode) - t, 0.0
            for n in range(1, n_left + 1):
                n_step = sum(gamma**k * episode[t + k] for k in range(n))
                n_step += gamma**n * values[t + n] if n < n_left else 0.0
                mean += (lam ** (n - 1) * (1 - lam) if n < n_left else lam ** (n - 1)) * (n_step - values[t])
            slow.append(mean)
    flat_rewards, lengths = flat(rewards)
    fast = generalized_advantages(flat_rewards, flat(all_values)[0], lengths, gamma, lam)
    np.testing.assert_allclose(fast, slow, rtol=1e-7, atol=1e-7)
    monte_carlo = reward_to_go(flat_rewards, lengths, gamma) - flat(all_values)[0]
    np.testing.assert_allclose(
        generalized_advantages(flat_rewards, flat(all_values)[0], lengths, gamma, 1.0), monte_carlo, rtol=1e-7, atol=1e-7
    )


def test_what_would_have_followed_goes_to_the_last_action() -> None:
    rewards = np.array([1.0, 2.0, 4.0, 8.0, 3.0])
    credited = add_to_last(rewards, np.array([1, 3, 1]), np.array([2, 1]), np.array([0.5, 100.0]))
    np.testing.assert_array_equal(credited, [1.0, 2.0, 4.0, 108.0, 3.5])
    assert rewards[3] == 8.0, "the rewards themselves stay as they are"


@given(st.integers(2, 6), st.integers(1, 4), st.integers(0, 10_000))
def test_the_optimal_constant_is_that_of_the_other_episodes(n_episodes: int, n_parameters: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    estimates, scores = rng.normal(size=(2, n_episodes, n_parameters))
    constants = optimal_constants(estimates, scores)
    for i in range(n_episodes):
        for j in range(n_parameters):
            others = [k for k in range(n_episodes) if k != i]
            slow = sum(scores[k, j] * estimates[k, j] for k in others) / sum(scores[k, j] ** 2 for k in others)
            assert constants[i, j] == pytest.approx(slow, rel=1e-6)


def test_the_optimal_constant_leaves_the_least_variance_of_all_constants() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(4_000, 1))
    estimates = scores * (3.0 + rng.normal(size=(4_000, 1)) + scores**2)
    constants = optimal_constants(estimates, scores)
    best = constants.mean()
    assert constants.std() < 0.01
    by_constant = {b: (estimates - b * scores).var() for b in (best, best - 0.5, best + 0.5, 0.0)}
    assert min(by_constant, key=by_constant.__getitem__) == best


def test_the_optimal_constant_of_a_parameter_that_nothing_depends_on_is_zero() -> None:
    assert not optimal_constants(np.zeros((3, 2)), np.zeros((3, 2))).any()
    one_only = np.array([[2.0], [0.0], [0.0]])
    np.testing.assert_array_equal(optimal_constants(one_only, one_only).ravel(), [0.0, 1.0, 1.0])


def test_the_signal_to_noise_ratio_is_what_it_is_known_to_be() -> None:
    rng = np.random.default_rng(0)
    n_episodes, expected = 8, np.array([1.0, -2.0, 0.0])
    ratios = []
    for _ in range(2_000):
        estimates = expected + rng.normal(scale=3.0, size=(n_episodes, 3))
        noise = estimates.var(axis=0, ddof=1).sum() / n_episodes
        ratios.append(signal_to_noise(estimates) * noise)  # unbiased: |mean|^2 less what of it is noise
        assert signal_to_noise(estimates) == pytest.approx((estimates.mean(axis=0) ** 2).sum() / noise - 1)
    assert np.mean(ratios) == pytest.approx((expected**2).sum(), rel=0.1)
    assert signal_to_noise(np.zeros((4, 2))) == 0
    assert signal_to_noise(np.ones((4, 2))) == np.inf


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
    mean = np.mean(values) if len(returns) > 1 else 0.0  # compared with itself, none is better
    expected = np.full(len(values), mean)
    np.testing.assert_allclose(mean_baseline(*flat(returns)), expected)


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
@pytest.mark.parametrize("baseline", [no_baseline, leave_one_out_baseline, time_baseline])
def test_an_unbiased_baseline_knows_nothing_of_its_own_episode(
    baseline: Baseline, returns: list[list[float]], data: st.DataObject
) -> None:
    values, lengths = flat(returns)
    changed = values.copy()
    changed[: lengths[0]] = data.draw(st.lists(reward, min_size=int(lengths[0]), max_size=int(lengths[0])))
    before, after = baseline(values, lengths), baseline(changed, lengths)
    np.testing.assert_allclose(before[: lengths[0]], after[: lengths[0]], atol=1e-9)


@given(several_episodes, st.floats(-50, 50))
@pytest.mark.parametrize("baseline", [mean_baseline, leave_one_out_baseline])
def test_a_baseline_moves_with_the_returns(baseline: Baseline, returns: list[list[float]], shift: float) -> None:
    values, lengths = flat(returns)
    before, after = baseline(values, lengths), baseline(values + shift, lengths)
    np.testing.assert_allclose(after, before + shift, atol=1e-8)


@given(st.lists(reward, min_size=2, max_size=50, unique=True), st.integers(2, 3))
def test_normalize_gives_mean_0_and_standard_deviation_1(values: list[float], n_episodes: int) -> None:
    advantages = np.array(values)
    assume(advantages.std() > 1e-3)
    assert normalize(advantages, n_episodes).mean() == pytest.approx(0, abs=1e-6)
    assert normalize(advantages, n_episodes).std() == pytest.approx(1, abs=1e-4)


def test_normalize_of_equal_advantages_of_several_episodes_is_zero() -> None:
    np.testing.assert_array_equal(normalize(np.full(5, 3.0), 2), np.zeros(5))


@given(st.lists(reward, min_size=1, max_size=20))
def test_advantages_of_a_single_episode_keep_their_signs(values: list[float]) -> None:
    """They have nothing to be compared with: to subtract their mean would say that the later a reward, the worse."""
    advantages = np.round(values, 6)
    normalized = normalize(advantages, 1)
    np.testing.assert_array_equal(np.sign(normalized), np.sign(advantages))
    assume(np.abs(advantages).max() > 1e-3)
    assert (normalized**2).mean() == pytest.approx(1, rel=1e-3)


@given(st.integers(2, 9), st.integers(1, 300), st.floats(0.5, 0.999), st.floats(-100, 100))
def test_of_episodes_that_are_alike_there_is_nothing_to_learn(n: int, length: int, gamma: float, reward: float) -> None:
    lengths = np.full(n, length)
    returns = reward_to_go(np.full(n * length, reward), lengths, gamma)
    assert not advantages_of(returns, time_baseline(returns, lengths)).any()


def test_advantages_are_returns_less_their_baseline_however_small() -> None:
    returns, values = np.array([1e-9, 2e-9]), np.array([2e-9, 2e-9])
    np.testing.assert_array_equal(advantages_of(returns, values), [-1e-9, 0.0])
    returns, values = np.array([1000.0, 1000.0 + 1e-6]), np.array([1000.0, 1000.0])
    np.testing.assert_allclose(advantages_of(returns, values), [0.0, 1e-6], rtol=1e-3)
