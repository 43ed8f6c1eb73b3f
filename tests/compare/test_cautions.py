import pathlib
from collections.abc import Iterator

import numpy as np
import pytest

from sb3_reinforce.common.evaluation import CUT_OFF_ADVICE
from sb3_reinforce.compare import intervals
from tests.compare.pages import short_report
from tests.compare.tables import comparison


@pytest.fixture(autouse=True, scope="module")
def _few_resamples() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(intervals, "N_RESAMPLES", 50)
        yield


def test_a_clean_comparison_has_no_warning(written_report: pathlib.Path) -> None:
    assert "\n>" not in (written_report / "report.md").read_text()


@pytest.mark.parametrize("n_seeds", [1, 4])
def test_too_few_seeds_are_said(n_seeds: int) -> None:
    text = short_report(comparison(n_seeds=n_seeds))
    assert f"> **Too few seeds:** {n_seeds} for every algorithm and environment. Below 5 seeds intervals are much too" in text
    assert ("| one seed |" in text) == (n_seeds == 1)
    assert "| better |" not in text


def test_different_numbers_of_seeds_are_said() -> None:
    results = comparison(["a", "b", "c"], ["E-v0", "F-v0"], n_seeds=9)
    results = results[~((results["algo"] == "a") & (results["env"] == "F-v0"))]
    results = results[~((results["algo"] == "b") & (results["seed"] >= 2))]
    results = results[~((results["algo"] == "c") & (results["env"] == "E-v0") & (results["seed"] == 4))]
    text = short_report(results)
    assert "**Too few seeds:** none for a in F-v0; 2 for b in E-v0 and F-v0." in text
    assert "**Not all have 9 seeds:** 8 for c in E-v0." in text
    left_out = "seeds of a 0, 1, 2, 3, 4, 5, 6, 7 and 8; of c 4."
    assert f"**Left out of the numbers for all environments,** which need a seed in every one of them: {left_out}" in text


def test_runs_that_failed_diverged_or_were_shorter_are_said() -> None:
    results = comparison(n_seeds=6)
    results.loc[(results["algo"] == "bad") & (results["seed"] == 3) & (results["timesteps"] == 20), "mean_reward"] = np.nan
    results = results[
        ~((results["algo"] == "good") & (results["seed"] < 2) & (results["timesteps"] > 10 + 10 * results["seed"]))
    ]
    failures = [{"algo": "bad", "env": "E-v0", "seed": seed, "error": "ValueError: no\nway"} for seed in (6, 7)]
    failures.append({"algo": "bad", "env": "E-v0", "seed": 8, "error": "OSError"})
    text = short_report(results, failures=failures)
    assert "> **3 runs failed** and can't be in any number." in text
    assert (
        '<a id="failures"></a>\n\n- **bad in E-v0, seeds 6 and 7:** ValueError: no way\n- **bad in E-v0, seed 8:** OSError\n'
        in text
    )
    assert "**Scores that are not finite.** Left out of every number: bad in E-v0, seed 3." in text
    fewer_steps = "2 runs of good in E-v0 (the shortest for 10 of 40 timesteps)."
    assert f"**Trained for fewer steps than others:** {fewer_steps}" in text


def test_episodes_that_were_cut_off_are_said() -> None:
    results = comparison(n_seeds=6).assign(n_cut_off=0)
    assert "cut off" not in short_report(results)
    results.loc[(results["algo"] == "bad") & (results["timesteps"] == 40), "n_cut_off"] = 2
    text = short_report(results, max_episode_steps={"E-v0": 3_000})
    who = "12 of 120 of bad in E-v0 (after 3,000 timesteps)"
    assert f"> **Episodes of evaluations that did not end and were cut off:** {who}. {CUT_OFF_ADVICE}" in text
    assert "12 of 120 of bad in E-v0. " in short_report(results)  # a table from elsewhere


def test_hyperparameters_that_were_tuned_for_something_else_are_said() -> None:
    text = short_report(comparison(n_seeds=6), stand_ins={"good": {"E-v0": "default"}, "b*d": {"E-v0": "E-v7"}})
    named = r"good in E-v0 (its default ones); b\*d in E-v0 (those for E-v7)."
    assert f"> **Hyperparameters that were not tuned for the environment itself:** {named} Who is tuned" in text
