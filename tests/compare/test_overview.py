import re

import numpy as np
import pandas as pd

from sb3_reinforce.compare.overview import results_table
from sb3_reinforce.compare.statistics import compute_statistics
from sb3_reinforce.compare.text import interval, number
from tests.compare.pages import scored
from tests.compare.tables import comparison


def test_the_final_scores_of_a_small_comparison() -> None:
    results = pd.concat([scored("E-v0", bad=[1.0] * 6, good=[475.0] * 6), scored("F-v0", good=[-3.0])], ignore_index=True)
    assert results_table(results).splitlines() == [
        "Final scores: the interquartile mean over seeds, the highest first",
        "",
        "E-v0",
        "        score    95% interval  seeds",
        "  good  475.0  475.0 to 475.0      6",
        "  bad    1.00    1.00 to 1.00      6",
        "",
        "F-v0",
        "        score    95% interval  seeds",
        "  good  -3.00        one seed      1",
    ]


def test_its_numbers_are_those_of_the_report() -> None:
    results = comparison(["bad", "good"], n_seeds=8)
    text = results_table(results)
    (section,) = compute_statistics(results, {}).sections
    for row in section.final.itertuples():
        assert " ".join(f"{row.algo} {number(row.iqm)} {interval(row.low, row.high)} 8".split()) in " ".join(text.split())


def test_long_names_fit_into_80_columns() -> None:
    results = comparison(["a" * 90, "b"], ["E" * 100])
    results.loc[results["timesteps"] == 40, "mean_reward"] -= 1e6
    lines = results_table(results).splitlines()
    assert max(map(len, lines)) == 80
    assert any(re.match(r"  a{30,}\.\.\.  -", line) for line in lines)


def test_runs_that_are_not_finite_are_left_out() -> None:
    results = scored(good=[1.0, 2.0, np.nan])
    assert results_table(results).splitlines()[-1].endswith(" 2")
    assert results_table(results[results["seed"] == 2]) == "No run has finished with finite scores."
