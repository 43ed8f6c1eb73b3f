import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from rliable import metrics

from sb3_reinforce.compare import statistics
from sb3_reinforce.compare.statistics import (
    ALL_ENVIRONMENTS,
    MIN_SEEDS,
    bootstrap,
    check_results,
    compute_statistics,
    environment_section,
    improvements,
    interquartile_mean,
    median_time,
    normalize,
    probability_of_improvement,
    score_ranges,
    score_table,
    scores_of_all,
    share_at_or_above,
    split_off_not_finite,
    times_to_threshold,
)
from tests.compare.tables import comparison, evaluations

SCORES = st.integers(-3, 3).map(float)  # few values, so that there are ties


@pytest.fixture(autouse=True)
def _few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "N_RESAMPLES", 200)


# Estimators


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


@given(arrays(np.float64, array_shapes(min_dims=2, max_dims=2, max_side=6), elements=SCORES))
def test_share_at_or_above(scores: np.ndarray) -> None:
    levels = np.arange(-4.0, 5.0)
    slow = [sum(score >= level for score in scores.ravel()) / scores.size for level in levels]
    np.testing.assert_allclose(share_at_or_above(scores, levels), slow)


@given(st.lists(st.integers(1, 50).map(float) | st.just(np.inf), min_size=1, max_size=9))
def test_median_time(times: list[float]) -> None:
    ranked = sorted(times)
    slow = (ranked[(len(times) - 1) // 2] + ranked[len(times) // 2]) / 2
    (median,) = median_time(np.array(times)[:, None])
    assert median == slow
    assert np.isfinite(median) == (np.isfinite(times).sum() > len(times) / 2)


# The bootstrap


def test_the_interval_is_that_of_a_slow_bootstrap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "N_RESAMPLES", 4000)
    scores = np.random.default_rng(1).normal(size=(8, 2, 1)) + np.array([[[0.0], [5.0]]])
    estimate, low, high = bootstrap(interquartile_mean, scores)
    rng = np.random.default_rng(2)
    resamples = []
    for _ in range(4000):
        drawn = [rng.choice(scores[:, env, 0], size=8) for env in range(2)]  # each environment by itself
        resamples.append(metrics.aggregate_iqm(np.array(drawn)))
    spread = np.std(resamples)
    assert estimate == metrics.aggregate_iqm(scores)
    assert low == pytest.approx(np.percentile(resamples, 2.5), abs=0.15 * spread)
    assert high == pytest.approx(np.percentile(resamples, 97.5), abs=0.15 * spread)


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


# From the table of evaluations to arrays


def test_a_score_holds_until_the_next_evaluation() -> None:
    first = evaluations([1.0, 2.0, 3.0], seed=0)  # at 10, 20 and 30
    second = evaluations([5.0, 6.0], seed=1).assign(timesteps=[15, 25])
    table = score_table(pd.concat([second, first]))
    assert list(table.index) == [15, 20, 25, 30]
    np.testing.assert_array_equal(table[0], [1, 2, 2, 3])
    np.testing.assert_array_equal(table[1], [5, 5, 6, 6])


def test_time_to_threshold_is_the_first_evaluation_that_meets_it() -> None:
    results = pd.concat(
        [
            evaluations([1.0, 5.0, 2.0, 7.0], "a", seed=0),
            evaluations([5.0, 0.0, 0.0, 0.0], "a", seed=1),
            evaluations([4.9, 4.9, 4.9, 4.9], "a", seed=2),
            evaluations([0.0, 0.0, 0.0, 5.1], "b", seed=0),
        ]
    )
    times = times_to_threshold(results, 5.0)
    assert list(times.itertuples(index=False, name=None)) == [("a", 0, 20), ("a", 1, 10), ("a", 2, np.inf), ("b", 0, 40)]


def test_all_environments_need_the_same_seeds() -> None:
    results = comparison(["a", "b", "c"], ["E-v0", "F-v0"], n_seeds=4)
    lost = (results["algo"] == "a") & (results["env"] == "F-v0") & (results["seed"] == 2)
    lost |= (results["algo"] == "c") & (results["env"] == "E-v0")
    results = results[~lost]
    _, scores, left_out = scores_of_all(results)
    assert left_out == {"a": [2], "c": [0, 1, 2, 3]}
    assert {algo: array.shape for algo, array in scores.items()} == {"a": (3, 2, 4), "b": (4, 2, 4)}
    for row, seed in enumerate([0, 1, 3]):
        for column, env in enumerate(["E-v0", "F-v0"]):
            run = results[(results["algo"] == "a") & (results["env"] == env) & (results["seed"] == seed)]
            np.testing.assert_array_equal(scores["a"][row, column], run["mean_reward"])


def test_time_of_all_environments_is_a_share_of_each_ones_steps() -> None:
    short, long = evaluations([1.0, 2.0], env="E-v0"), evaluations([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], env="F-v0", every=29)
    steps, scores, _ = scores_of_all(pd.concat([short, long]))
    np.testing.assert_array_equal(steps["a"], [0.5, 1.0])
    np.testing.assert_array_equal(scores["a"], [[[1.0, 2.0], [3.0, 6.0]]])


def test_a_share_of_the_steps_is_not_rounded_below_its_evaluation() -> None:
    scores = np.arange(11.0)  # 3 / 11 * 110 < 30
    _, shares, _ = scores_of_all(pd.concat([evaluations(list(scores), env=env) for env in ("E-v0", "F-v0")]))
    np.testing.assert_array_equal(shares["a"], [[scores, scores]])


def test_the_score_before_a_first_evaluation_is_that_of_the_first() -> None:
    late = evaluations([7.0, 8.0], env="F-v0").assign(timesteps=[15, 20])
    _, scores, _ = scores_of_all(pd.concat([evaluations([1.0, 2.0], env="E-v0"), late]))
    np.testing.assert_array_equal(scores["a"], [[[1.0, 2.0], [7.0, 8.0]]])


# Normalisation


@pytest.mark.parametrize(
    ("threshold", "one", "one_is"),
    [
        (5.0, 5.0, "reward threshold"),
        (50.0, 50.0, "reward threshold"),
        (None, 9.0, "highest point of the curves"),
        (1.0, 9.0, "highest point of the curves"),
    ],
)
def test_the_range_of_an_environment(threshold: float | None, one: float, one_is: str) -> None:
    results = pd.concat([evaluations([1.0, 4.0], "a"), evaluations([2.0, 9.0], "b")])
    ranges = score_ranges([environment_section("E-v0", results, threshold)])
    assert list(ranges.itertuples(index=False, name=None)) == [("E-v0", 1.0, one, one_is)]
    scores = normalize(results, ranges)["mean_reward"]
    np.testing.assert_allclose(scores, (np.array([1, 4, 2, 9]) - 1) / (one - 1))


def test_one_broken_run_does_not_move_the_range() -> None:
    results = pd.concat([evaluations([1.0, 9.0], seed=seed) for seed in range(7)] + [evaluations([-1e6, -1e6], seed=7)])
    ranges = score_ranges([environment_section("E-v0", results, None)])
    assert tuple(ranges.iloc[0][["zero", "one"]]) == (1.0, 9.0)


def test_scores_that_never_move_stay_finite() -> None:
    results = evaluations([3.0, 3.0])
    ranges = score_ranges([environment_section("E-v0", results, None)])
    np.testing.assert_array_equal(normalize(results, ranges)["mean_reward"], [0.0, 0.0])


# Verdicts


def test_verdicts() -> None:
    low, high = np.arange(8.0)[:, None], np.arange(8.0)[:, None] + 100
    assert list(improvements({"low": low, "high": high})["verdict"]) == ["worse"]
    assert list(improvements({"high": high, "low": low})["verdict"]) == ["better"]
    assert list(improvements({"low": low, "same": low + 0.5})["verdict"]) == ["not told apart"]
    assert list(improvements({"low": low, "few": high[: MIN_SEEDS - 1]})["verdict"]) == ["too few seeds"]
    assert list(improvements({"low": low, "enough": high[:MIN_SEEDS]})["verdict"]) == ["worse"]
    assert improvements({"low": low}).empty


def test_a_draw_is_not_told_apart() -> None:
    (row,) = improvements({"a": np.full((9, 1), 500.0), "b": np.full((9, 1), 500.0)}).itertuples()
    assert (row.probability, row.low, row.high, row.verdict) == (0.5, 0.5, 0.5, "not told apart")


# All of it


def test_the_numbers_of_an_environment() -> None:
    results = comparison(["bad", "good"], n_seeds=8)
    results["mean_reward"] *= np.where(results["algo"] == "good", 2.0, 1.0)
    (section,) = compute_statistics(results, {"E-v0": 12.0}).sections
    assert (section.title, section.threshold) == ("E-v0", 12.0)
    last = results[results["timesteps"] == 40]
    for algo in ("bad", "good"):
        scores = last["mean_reward"][last["algo"] == algo].to_numpy()
        np.testing.assert_array_equal(section.scores[algo][:, 0], scores)
        (row,) = section.final[section.final["algo"] == algo].itertuples()
        assert row.iqm == pytest.approx(np.sort(scores)[2:6].mean())
        assert row.low < row.iqm < row.high
        assert row.n_seeds == 8
        profile = section.profiles[section.profiles["algo"] == algo]
        assert list(profile["share"].iloc[[0, -1]]) == [1.0, 0.0]
        np.testing.assert_allclose(profile["share"], [(scores >= score).mean() for score in profile["score"]])
    assert list(section.final["algo"]) == ["good", "bad"]
    assert list(section.curves["timesteps"]) == [10, 20, 30, 40] * 2
    assert list(section.improvements.iloc[0][["algo", "other", "probability", "verdict"]]) == ["good", "bad", 1.0, "better"]
    assert section.times is not None
    assert list(section.times["algo"]) == ["good", "bad"]
    assert list(section.times["n_reached"]) == [8, 0]
    assert np.isinf(section.times["median"][1])


def test_without_a_threshold_there_is_no_time_to_it() -> None:
    (section,) = compute_statistics(comparison(), {"E-v0": None}).sections
    assert section.times is section.runs is section.threshold is None


@pytest.mark.parametrize(("thresholds", "threshold"), [({"E-v0": 5.0, "F-v0": 8.0}, 1.0), ({"E-v0": 5.0}, None)])
def test_the_numbers_of_all_environments(thresholds: dict[str, float | None], threshold: float | None) -> None:
    results = comparison(["a", "b"], ["F-v0", "E-v0"])
    computed = compute_statistics(results, thresholds)
    assert [section.title for section in computed.sections] == [ALL_ENVIRONMENTS, "F-v0", "E-v0"]
    together = computed.sections[0]
    assert together.threshold == threshold
    assert together.times is None
    normalized = normalize(results, computed.ranges)
    final = normalized[(normalized["algo"] == "b") & (normalized["timesteps"] == 40)]["mean_reward"].to_numpy()
    assert together.scores["b"].shape == (6, 2)
    (row,) = together.final[together.final["algo"] == "b"].itertuples()
    assert row.iqm == pytest.approx(np.sort(final)[3:9].mean())


def test_the_order_of_seeds_does_not_matter() -> None:
    results = comparison(["a", "b"], ["E-v0", "F-v0"])
    thresholds: dict[str, float | None] = {"E-v0": 9.0, "F-v0": 9.0}
    shuffled = results.sort_values("seed", ascending=False, kind="stable")
    pairs = zip(
        compute_statistics(results, thresholds).sections, compute_statistics(shuffled, thresholds).sections, strict=True
    )
    for one, other in pairs:
        for table in ("final", "curves", "profiles", "improvements", "times"):
            if getattr(one, table) is not None:
                pd.testing.assert_frame_equal(getattr(one, table), getattr(other, table))


def test_runs_that_are_not_finite_are_left_out_and_named() -> None:
    results = comparison(n_seeds=3)
    results.loc[5, "mean_reward"] = np.nan
    results.loc[len(results) - 1, "mean_reward"] = np.inf
    finite, not_finite = split_off_not_finite(results)
    assert list(not_finite.itertuples(index=False, name=None)) == [("good", "E-v0", 1), ("bad", "E-v0", 2)]
    assert len(finite) == 16
    computed = compute_statistics(results, {})
    pd.testing.assert_frame_equal(computed.not_finite, not_finite)
    assert list(computed.n_seeds["n_seeds"]) == [2, 2]


def test_what_is_missing_is_counted() -> None:
    results = comparison(["a", "b"], ["E-v0", "F-v0"], n_seeds=5)
    results = results[~((results["algo"] == "b") & (results["env"] == "E-v0"))]
    cut = (results["algo"] == "a") & (results["env"] == "F-v0") & (results["seed"] > 2) & (results["timesteps"] > 20)
    results = results[~cut]
    computed = compute_statistics(results, {})
    counts = {(row.algo, row.env): row.n_seeds for row in computed.n_seeds.itertuples()}
    assert counts == {("a", "E-v0"): 5, ("a", "F-v0"): 5, ("b", "E-v0"): 0, ("b", "F-v0"): 5}
    assert list(computed.shorter.itertuples(index=False, name=None)) == [("a", "F-v0", 2, 20, 40)]
    assert computed.left_out == {"b": [0, 1, 2, 3, 4]}


def test_pairs_that_trained_for_the_same_steps() -> None:
    results = comparison(["a", "b", "c"], ["E-v0", "F-v0"])
    results = results[~((results["env"] == "F-v0") & (results["algo"] == "b") & (results["timesteps"] > 30))]
    results = results[~((results["env"] == "F-v0") & (results["algo"] == "c") & (results["timesteps"] > 30))]
    results = results[~((results["algo"] == "c") & (results["env"] == "E-v0"))]
    computed = compute_statistics(results, {})
    together, e, f = computed.sections
    assert computed.same_steps(e, "a", "b")
    assert not computed.same_steps(f, "a", "b")
    assert not computed.same_steps(f, "c", "a")
    assert computed.same_steps(f, "b", "c")  # both less than a
    assert not computed.same_steps(together, "a", "b")


def test_without_a_seed_in_every_environment_each_is_by_itself() -> None:
    results = pd.concat([comparison(["a"], ["E-v0"]), comparison(["b"], ["F-v0"])])
    computed = compute_statistics(results, {})
    assert [section.title for section in computed.sections] == ["E-v0", "F-v0"]
    assert set(computed.left_out) == {"a", "b"}


def test_no_run_at_all() -> None:
    computed = compute_statistics(comparison().iloc[:0], {})
    assert computed.sections == []
    assert computed.n_seeds.empty


def test_a_column_is_missing() -> None:
    with pytest.raises(ValueError, match=r"timesteps, mean_reward, but seed is missing; it has algo, env, timesteps"):
        check_results(comparison().drop(columns="seed"))


def test_an_evaluation_is_there_twice() -> None:
    results = comparison()
    with pytest.raises(ValueError, match="evaluation of bad in E-v0, seed 5, at 40 timesteps more than once"):
        check_results(pd.concat([results, results.tail(1)]))
