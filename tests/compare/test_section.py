import numpy as np
import pandas as pd
import pytest

from sb3_reinforce.compare import intervals
from sb3_reinforce.compare.evaluation_table import normalize
from sb3_reinforce.compare.section import MIN_SEEDS, environment_section, improvements, score_ranges
from tests.compare.tables import comparison, evaluations


@pytest.fixture(autouse=True)
def _few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intervals, "N_RESAMPLES", 200)


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
    assert list(ranges.itertuples(index=False, name=None)) == [("E-v0", 1.0, "lowest point of the curves", one, one_is)]
    scores = normalize(results, ranges)["mean_reward"]
    np.testing.assert_allclose(scores, (np.array([1, 4, 2, 9]) - 1) / (one - 1))


def test_zero_is_what_is_scored_before_training() -> None:
    runs = [evaluations([initial, 4.0, 9.0], "a", seed=seed, first=0) for seed, initial in enumerate([5.0, 7.0, 6.0, 5.0])]
    results = pd.concat([*runs, evaluations([7.0, 2.0, 9.0], "b", first=0), evaluations([100.0, 9.0, 9.0], "c", first=0)])
    section = environment_section("E-v0", results, 20.0)
    assert section.untrained == 6.25  # without the lowest and the highest: 5, 6, 7 and 7
    (found,) = score_ranges([section]).itertuples(index=False, name=None)
    assert found == ("E-v0", 6.25, "untrained policy", 20.0, "reward threshold")
    assert environment_section("E-v0", results[results["timesteps"] > 0], 20.0).untrained is None


def test_a_range_is_not_turned_round_by_training_that_harms() -> None:
    results = pd.concat([evaluations([9.0, 1.0], seed=seed, first=0) for seed in range(4)])
    ranges = score_ranges([environment_section("E-v0", results, 5.0)])
    assert tuple(ranges.iloc[0][["zero", "one"]]) == (9.0, 9.0)
    assert list(normalize(results, ranges)["mean_reward"]) == [0.0, -8.0] * 4


def test_one_broken_run_does_not_move_the_range() -> None:
    results = pd.concat([evaluations([1.0, 9.0], seed=seed) for seed in range(7)] + [evaluations([-1e6, -1e6], seed=7)])
    ranges = score_ranges([environment_section("E-v0", results, None)])
    assert tuple(ranges.iloc[0][["zero", "one"]]) == (1.0, 9.0)


def test_scores_that_never_move_stay_finite() -> None:
    results = evaluations([3.0, 3.0])
    ranges = score_ranges([environment_section("E-v0", results, None)])
    np.testing.assert_array_equal(normalize(results, ranges)["mean_reward"], [0.0, 0.0])


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


def test_without_a_threshold_there_is_no_time_to_it() -> None:
    section = environment_section("E-v0", comparison(), None)
    assert section.times is section.runs is section.threshold is None
