import numpy as np
import pandas as pd
import pytest

from sb3_reinforce.compare.evaluation_table import (
    check_results,
    count_cut_off,
    count_seeds,
    score_table,
    scores_of_all,
    shorter_runs,
    split_off_not_finite,
    steps_trained,
    times_to_threshold,
)
from tests.compare.tables import comparison, evaluations


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


def test_shares_begin_before_training_where_all_were_evaluated_then() -> None:
    short = evaluations([0.0, 1.0, 2.0], env="E-v0", first=0)
    long = evaluations([9.0, 1.0, 2.0, 3.0, 4.0], env="F-v0", every=29, first=0)
    steps, scores, _ = scores_of_all(pd.concat([short, long]))
    np.testing.assert_array_equal(steps["a"], [0.0, 0.5, 1.0])
    np.testing.assert_array_equal(scores["a"], [[[0.0, 1.0, 2.0], [9.0, 2.0, 4.0]]])
    steps, _, _ = scores_of_all(pd.concat([short, long[long["timesteps"] > 0]]))
    np.testing.assert_array_equal(steps["a"], [0.5, 1.0])


def test_a_share_of_the_steps_is_not_rounded_below_its_evaluation() -> None:
    scores = np.arange(11.0)  # 3 / 11 * 110 < 30
    _, shares, _ = scores_of_all(pd.concat([evaluations(list(scores), env=env) for env in ("E-v0", "F-v0")]))
    np.testing.assert_array_equal(shares["a"], [[scores, scores]])


def test_the_score_before_a_first_evaluation_is_that_of_the_first() -> None:
    late = evaluations([7.0, 8.0], env="F-v0").assign(timesteps=[15, 20])
    _, scores, _ = scores_of_all(pd.concat([evaluations([1.0, 2.0], env="E-v0"), late]))
    np.testing.assert_array_equal(scores["a"], [[[1.0, 2.0], [7.0, 8.0]]])


def test_runs_that_are_not_finite_are_split_off() -> None:
    results = comparison(n_seeds=3)
    results.loc[5, "mean_reward"] = np.nan
    results.loc[len(results) - 1, "mean_reward"] = np.inf
    finite, not_finite = split_off_not_finite(results)
    assert list(not_finite.itertuples(index=False, name=None)) == [("good", "E-v0", 1), ("bad", "E-v0", 2)]
    assert len(finite) == 16


def test_seeds_are_counted_also_where_there_are_none() -> None:
    results = pd.concat([comparison(["a"], ["E-v0"], n_seeds=3), comparison(["b"], ["F-v0"], n_seeds=2)])
    counts = {(row.algo, row.env): row.n_seeds for row in count_seeds(results).itertuples()}
    assert counts == {("a", "E-v0"): 3, ("a", "F-v0"): 0, ("b", "E-v0"): 0, ("b", "F-v0"): 2}


def test_shorter_runs_and_the_steps_of_the_shortest() -> None:
    long, short, shorter = ([0.0] * n for n in (40, 39, 37))  # a share of 0.95 is 38
    results = pd.concat(
        [evaluations(long), evaluations(short, seed=1), evaluations(shorter, "b"), evaluations(long, "b", seed=1)]
    )
    assert list(shorter_runs(results).itertuples(index=False, name=None)) == [("b", "E-v0", 1, 370, 400)]
    assert steps_trained(results).loc["E-v0"].to_dict() == {"a": 390, "b": 370}


def test_episodes_that_were_cut_off_are_counted() -> None:
    table = pd.concat([evaluations([1.0, 2.0], "a"), evaluations([3.0, 4.0], "a", seed=1), evaluations([5.0, 6.0], "b")])
    cut_off = count_cut_off(table.assign(n_cut_off=[0, 3, 5, 0, 0, 0]))
    assert list(cut_off.itertuples(index=False, name=None)) == [("a", "E-v0", 8, 20)]
    assert count_cut_off(table.assign(n_cut_off=0)).empty
    assert count_cut_off(table).empty  # it is not known


def test_a_column_is_missing() -> None:
    with pytest.raises(ValueError, match=r"timesteps, mean_reward, but seed is missing; it has algo, env, timesteps"):
        check_results(comparison().drop(columns="seed"))


def test_an_evaluation_is_there_twice() -> None:
    results = comparison()
    with pytest.raises(ValueError, match="evaluation of bad in E-v0, seed 5, at 40 timesteps more than once"):
        check_results(pd.concat([results, results.tail(1)]))
