import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from rliable import metrics
from rliable.library import get_interval_estimates

from sb3_reinforce.compare import intervals
from sb3_reinforce.compare.intervals import (
    bootstrap,
    interquartile_mean,
    median_time,
    probability_of_improvement,
    share_at_or_above,
)

SCORES = st.integers(-3, 3).map(float)  # few values, so that there are ties


@pytest.fixture(autouse=True)
def _few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intervals, "N_RESAMPLES", 200)


@settings(max_examples=40)
@given(arrays(np.float64, array_shapes(min_dims=3, max_dims=3, max_side=7), elements=SCORES))
def test_interquartile_mean(scores: np.ndarray) -> None:
    def slow(step: int) -> float:
        ranked = sorted(score for run in scores[:, :, step].tolist() for score in run)
        n_cut = math.floor(len(ranked) / 4)
        middle = ranked[n_cut : len(ranked) - n_cut]
        return sum(middle) / len(middle)

    steps = range(scores.shape[2])
    np.testing.assert_allclose(interquartile_mean(scores), [slow(step) for step in steps], atol=1e-12)
    np.testing.assert_allclose(interquartile_mean(scores), [metrics.aggregate_iqm(scores[..., i]) for i in steps], atol=1e-12)


def test_interquartile_mean_by_hand() -> None:
    scores = np.array([-1000.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 1000.0]).reshape(4, 2, 1)
    np.testing.assert_array_equal(interquartile_mean(scores), [3.5])


@settings(max_examples=40)
@given(st.data(), st.integers(1, 6), st.integers(1, 6), st.integers(1, 3))
def test_probability_of_improvement(data: st.DataObject, n: int, n_others: int, n_envs: int) -> None:
    scores = data.draw(arrays(np.float64, (n, n_envs), elements=SCORES))
    others = data.draw(arrays(np.float64, (n_others, n_envs), elements=SCORES))

    def slow(env: int) -> float:
        wins = [
            1.0 if score > other else 0.5 if score == other else 0.0
            for score, other in itertools.product(scores[:, env], others[:, env])
        ]
        return sum(wins) / len(wins)

    (probability,) = probability_of_improvement(scores, others)
    assert probability == pytest.approx(np.mean([slow(env) for env in range(n_envs)]))
    assert probability == pytest.approx(1 - probability_of_improvement(others, scores)[0])
    assert probability == pytest.approx(metrics.probability_of_improvement(scores, others))


@settings(max_examples=40)
@given(arrays(np.float64, array_shapes(min_dims=2, max_dims=2, max_side=6), elements=SCORES))
def test_share_at_or_above(scores: np.ndarray) -> None:
    levels = np.arange(-4.0, 5.0)
    slow = [sum(score >= level for score in scores.ravel()) / scores.size for level in levels]
    np.testing.assert_allclose(share_at_or_above(scores, levels), slow)


@settings(max_examples=40)
@given(st.lists(st.integers(1, 50).map(float) | st.just(np.inf), min_size=1, max_size=9))
def test_median_time(times: list[float]) -> None:
    ranked = sorted(times)
    slow = (ranked[(len(times) - 1) // 2] + ranked[len(times) // 2]) / 2
    (median,) = median_time(np.array(times)[:, None])
    assert median == slow
    assert np.isfinite(median) == (np.isfinite(times).sum() > len(times) / 2)


# The bootstrap


def test_the_interval_is_that_of_a_slow_bootstrap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intervals, "N_RESAMPLES", 20_000)
    scores = np.random.default_rng(1).normal(size=(8, 2, 1)) + np.array([[[0.0], [5.0]]])
    estimate, low, high = bootstrap(interquartile_mean, scores)
    rng = np.random.default_rng(2)
    resamples = []
    for _ in range(3000):
        drawn = [rng.choice(scores[:, env, 0], size=8) for env in range(2)]  # each environment by itself
        resamples.append(metrics.aggregate_iqm(np.array(drawn)))
    spread = np.std(resamples)
    assert estimate == metrics.aggregate_iqm(scores)
    assert low == pytest.approx(np.percentile(resamples, 2.5), abs=0.15 * spread)
    assert high == pytest.approx(np.percentile(resamples, 97.5), abs=0.15 * spread)


@pytest.mark.parametrize("name", ["improvement", "profile"])
def test_intervals_are_those_of_rliable(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intervals, "N_RESAMPLES", 10_000)
    rng = np.random.default_rng(3)
    scores, others = rng.normal(size=(9, 3)), rng.normal(0.4, 1, size=(7, 3))
    levels = np.array([-0.5, 0.5])
    ours, theirs, samples = {
        "improvement": (
            probability_of_improvement,
            lambda x, y: np.array([metrics.probability_of_improvement(x, y)]),
            [scores, others],
        ),
        "profile": (
            lambda x: share_at_or_above(x, levels),
            lambda x: np.array([metrics.aggregate_mean(x > level) for level in levels]),
            [scores],
        ),
    }[name]
    _, low, high = bootstrap(ours, *samples)
    n_repetitions = 300 if name == "improvement" else 2_000  # a p-value in each takes its time
    np.random.seed(0)
    _, ends = get_interval_estimates({"": samples}, theirs, reps=n_repetitions)
    np.testing.assert_allclose([low, high], ends[""], atol=0.05 if name == "improvement" else 0.04)
    assert np.all(high - low > 0.15)  # so that the above says something


def test_many_at_once_are_as_one_after_the_other() -> None:
    rng = np.random.default_rng(4)
    scores, others = rng.integers(0, 9, (5, 6, 2)).astype(float), rng.integers(0, 9, (5, 4, 2)).astype(float)
    for function, samples in (
        (interquartile_mean, [scores[..., None]]),
        (probability_of_improvement, [scores, others]),
        (lambda x: share_at_or_above(x, np.arange(9.0)), [scores]),
        (median_time, [scores[..., :1]]),
    ):
        np.testing.assert_array_equal(function(*samples), [function(*one) for one in zip(*samples, strict=True)])


@pytest.mark.parametrize("max_numbers", [1, 1_000])
def test_memory_makes_no_difference(monkeypatch: pytest.MonkeyPatch, max_numbers: int) -> None:
    scores = np.random.default_rng(0).normal(size=(7, 2, 3))
    expected = bootstrap(interquartile_mean, scores)
    monkeypatch.setattr(intervals, "_MAX_NUMBERS", max_numbers)
    np.testing.assert_array_equal(bootstrap(interquartile_mean, scores), expected)


def test_samples_are_resampled_each_by_itself_and_may_differ_in_size() -> None:
    scores, others = np.arange(6.0)[:, None], np.arange(2.5, 11.5)[:, None]
    (probability,), (low,), (high,) = bootstrap(probability_of_improvement, scores, others)
    assert probability == pytest.approx(6 / 54)
    assert 0 <= low < probability < high < 0.5


def test_the_same_every_time_and_numpys_generator_is_left_alone() -> None:
    scores = np.random.default_rng(0).normal(size=(7, 1, 3))
    np.random.seed(5)
    first = bootstrap(interquartile_mean, scores)
    drawn = np.random.random()
    np.random.seed(5)
    assert drawn == np.random.random()
    np.testing.assert_array_equal(first, bootstrap(interquartile_mean, scores))
    assert np.all(first[1] < first[2])


def test_of_one_seed_there_is_no_interval() -> None:
    scores = np.arange(3.0).reshape(1, 1, 3)
    estimate, low, high = bootstrap(interquartile_mean, scores)
    np.testing.assert_array_equal(estimate, [0.0, 1.0, 2.0])
    assert np.isnan([low, high]).all()
    _, low, high = bootstrap(probability_of_improvement, np.zeros((9, 1)), np.ones((1, 1)))
    assert np.isnan([low, high]).all()


@settings(max_examples=40)
@given(st.lists(st.integers(1, 50).map(float) | st.just(np.inf), min_size=2, max_size=9))
def test_an_interval_of_times_is_never_nan(times: list[float]) -> None:
    (median,), (low,), (high,) = bootstrap(median_time, np.array(times)[:, None])
    assert low <= median <= high
    assert low >= min(times)
    assert np.isinf(high) or high <= max(t for t in times if np.isfinite(t))


def test_an_interval_of_times_may_end_at_never() -> None:
    assert [float(end[0]) for end in bootstrap(median_time, np.full((5, 1), np.inf))] == [np.inf] * 3
    assert [float(end[0]) for end in bootstrap(median_time, np.full((5, 1), 30.0))] == [30.0] * 3
    times = np.array([10.0, 20.0, 30.0, 40.0, np.inf, np.inf])[:, None]
    (median,), (low,), (high,) = bootstrap(median_time, times)
    assert (median, high) == (35, np.inf)
    assert 10 <= low < 35
