import numpy as np
import pandas as pd
import pytest

from sb3_reinforce.compare import intervals
from sb3_reinforce.compare.evaluation_table import normalize, split_off_not_finite
from sb3_reinforce.compare.section import ALL_ENVIRONMENTS
from sb3_reinforce.compare.statistics import compute_statistics
from tests.compare.tables import comparison


@pytest.fixture(autouse=True)
def _few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intervals, "N_RESAMPLES", 200)


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
