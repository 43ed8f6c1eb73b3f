"""
Statistics of a comparison: from a table of evaluations to estimates with intervals.

The methods are those of Agarwal et al. (2021), "Deep reinforcement learning at the edge of the
statistical precipice", and the bootstrap is their library, rliable. What is resampled is seeds:
the intervals say what another set of seeds could have given, on the same environments.

Scores of an algorithm are an array of shape ``(n_seeds, n_envs, n_steps)`` throughout, the last
step the final score. ``n_envs`` is 1 within an environment, and ``n_seeds`` may differ between
algorithms.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pandas as pd

try:
    from rliable.library import get_interval_estimates
except ImportError as error:
    raise ImportError('Comparing algorithms needs rliable. Install it with: pip install "sb3-reinforce[compare]"') from error

# One row an evaluation. These columns are read, any others are left alone
COLUMNS = ("algo", "env", "seed", "timesteps", "mean_reward")
ALL_ENVIRONMENTS = "All environments"
CONFIDENCE = 0.95
N_RESAMPLES = 2000
BOOTSTRAP_SEED = 0
# With fewer seeds than this no two algorithms are told apart. Of two equal algorithms with normal scores, the
# interval of the probability of improvement wrongly tells apart 19% at 3 seeds, 9% at 5 and 5% at 10 (simulated)
MIN_SEEDS = 5
# A run whose last evaluation came before this share of the steps of its environment's longest run counts as a shorter one
SHORTER = 0.95

Estimate = tuple[np.ndarray, np.ndarray, np.ndarray]
Scores = dict[str, np.ndarray]


@dataclass(frozen=True)
class Section:
    """
    What one environment says about the algorithms, or all environments together.

    An interval that can't be computed, because there is one seed only, is NaN. A number of timesteps is
    infinite where the threshold was not reached.
    """

    title: str
    """The environment's id, or ``ALL_ENVIRONMENTS``."""
    threshold: float | None
    """The environment's reward threshold; 1 for all environments if each has one."""
    scores: Scores
    """The final score of each run. Shape ``(n_seeds, n_envs)`` for each algorithm."""
    curves: pd.DataFrame
    """``algo, timesteps, iqm, low, high``; for all environments ``timesteps`` is a share of each one's steps."""
    final: pd.DataFrame
    """``algo, iqm, low, high, n_seeds``, the highest interquartile mean first."""
    profiles: pd.DataFrame
    """``algo, score, share, low, high``."""
    improvements: pd.DataFrame
    """``algo, other, probability, low, high, verdict``, a row for each pair, the higher interquartile mean first."""
    times: pd.DataFrame | None
    """``algo, median, low, high, n_reached, n_seeds``; None where there is no threshold."""
    runs: pd.DataFrame | None
    """``algo, seed, timesteps`` to the threshold; None where there is no threshold."""


@dataclass(frozen=True)
class Statistics:
    """All that is computed from a table of evaluations, and what had to be left out of it."""

    sections: list[Section]
    """All environments together, if there are several and an algorithm has a seed in every one; then each environment."""
    ranges: pd.DataFrame
    """``env, zero, one, one_is``: which scores were set to 0 and to 1 for all environments together."""
    n_seeds: pd.DataFrame
    """``algo, env, n_seeds``: how many runs there are, 0 where there are none."""
    not_finite: pd.DataFrame
    """``algo, env, seed`` of runs with a score that is not finite; they are in no statistic."""
    shorter: pd.DataFrame
    """``algo, env, n_runs, shortest, longest``: how many runs trained for fewer steps than the environment's longest."""
    left_out: dict[str, list[int]]
    """For each algorithm, its seeds that lack an environment and so are not in ``ALL_ENVIRONMENTS``."""
    steps: pd.DataFrame
    """For how many timesteps each algorithm (a column) trained in each environment (a row), in its shortest run."""

    def same_steps(self, section: Section, algo: str, other: str) -> bool:
        """
        :param section: An environment, or all.
        :param algo: An algorithm.
        :param other: Another one.
        :return: Whether both trained for about as many timesteps, without which the verdict on them is no fair one.
        """
        pair = self.steps[[algo, other]]
        if section.title != ALL_ENVIRONMENTS:
            pair = pair.loc[[section.title]]
        return not (pair.min(axis=1) < SHORTER * pair.max(axis=1)).any()


def compute_statistics(results: pd.DataFrame, thresholds: Mapping[str, float | None]) -> Statistics:
    """
    Everything, from the table of evaluations.

    Algorithms and environments keep the order in which they first appear.

    :param results: One row an evaluation, with the columns ``COLUMNS``.
    :param thresholds: The score at which an environment counts as solved, as far as it has one.
    :return: The statistics; the same for the same table, every time.
    :raises ValueError: If a column is missing, or an evaluation is there twice.
    """
    check_results(results)
    results, not_finite = split_off_not_finite(results)
    environments = [
        environment_section(str(env), runs, thresholds.get(str(env))) for env, runs in results.groupby("env", sort=False)
    ]
    ranges = score_ranges(environments)
    sections = environments
    left_out: dict[str, list[int]] = {}
    if len(environments) > 1:
        shares, scores, left_out = scores_of_all(normalize(results, ranges))
        all_have_thresholds = all(section.threshold is not None for section in environments)
        if scores:  # else no algorithm has a seed in every environment
            sections = [_section(ALL_ENVIRONMENTS, shares, scores, 1.0 if all_have_thresholds else None), *environments]
    return Statistics(sections, ranges, _n_seeds(results), not_finite, _shorter(results), left_out, _steps(results))


def check_results(results: pd.DataFrame) -> None:
    """
    :param results: A table of evaluations.
    :raises ValueError: If a column is missing, or an evaluation is there twice.
    """
    missing = [column for column in COLUMNS if column not in results]
    if missing:
        raise ValueError(
            f"results needs the columns {', '.join(COLUMNS)}, but {', '.join(missing)} is missing; "
            f"it has {', '.join(map(str, results.columns)) or 'none'}."
        )
    twice = results.duplicated(["algo", "env", "seed", "timesteps"])
    if twice.any():
        row = results[twice].iloc[0]
        raise ValueError(
            f"results has the evaluation of {row['algo']} in {row['env']}, seed {row['seed']}, "
            f"at {row['timesteps']} timesteps more than once. Drop the duplicates."
        )


def split_off_not_finite(results: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """
    A run that diverged to NaN or infinity has no score that could be ranked or averaged.

    :param results: A table of evaluations.
    :return: The evaluations of the runs whose scores are all finite; and ``algo, env, seed`` of the others.
    """
    run = ["algo", "env", "seed"]
    finite = np.isfinite(results["mean_reward"].astype(float))
    keep = finite.groupby([results[column] for column in run]).transform("all").astype(bool)
    return results[keep], results.loc[~keep, run].drop_duplicates().reset_index(drop=True)


def interquartile_mean(scores: np.ndarray) -> np.ndarray:
    """
    The mean of the middle half of all runs, over seeds and environments: a quarter of the runs, rounded
    down, is dropped at each end. With fewer than four it is the mean. As robust to a lucky or a broken run as
    the median, and it needs fewer seeds. Agarwal et al. (2021), section 4.3.

    rliable's ``aggregate_iqm`` for all steps at once, which a bootstrap can wait for.

    :param scores: Shape ``(n_seeds, n_envs, n_steps)``.
    :return: Shape ``(n_steps,)``.
    """
    ranked = np.sort(scores.reshape(-1, scores.shape[-1]), axis=0)
    n_cut = len(ranked) // 4
    return ranked[n_cut : len(ranked) - n_cut].mean(axis=0)


def probability_of_improvement(scores: np.ndarray, others: np.ndarray) -> np.ndarray:
    """
    How probable it is that a run of one algorithm scores higher than a run of the other, a tie counting
    half, averaged over the environments. Agarwal et al. (2021), section 4.4; the Mann-Whitney U statistic
    as a share of all pairs.

    rliable's ``probability_of_improvement`` without the p-value that takes nearly all of its time.

    :param scores: Final scores. Shape ``(n_seeds, n_envs)``.
    :param others: Final scores of the other algorithm. Shape ``(n_other_seeds, n_envs)``.
    :return: Shape ``(1,)``, from 0 to 1.
    """
    difference = scores[:, None] - others[None]
    return np.array([(np.sign(difference).mean() + 1) / 2])


def share_at_or_above(scores: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """
    The performance profile: the share of runs that score at least so much. Agarwal et al. (2021),
    section 4.2, have "more than"; "at least" counts a run that just meets a threshold as one that does.

    :param scores: Final scores. Shape ``(n_seeds, n_envs)``.
    :param levels: Shape ``(n_levels,)``.
    :return: Shape ``(n_levels,)``.
    """
    return (scores[..., None] >= levels).mean(axis=(0, 1))


def median_time(times: np.ndarray) -> np.ndarray:
    """
    The median of times of which some are known only to be longer than the run. It is infinite unless more
    than half of the runs have a finite time, since a half that never arrives has no middle.

    :param times: Shape ``(n_seeds, 1)``, infinite where the threshold was not reached.
    :return: Shape ``(1,)``.
    """
    return np.median(times, axis=0)


def bootstrap(function: Callable[..., np.ndarray], *samples: np.ndarray) -> Estimate:
    """
    Percentile interval of rliable's stratified bootstrap: each sample's seeds are drawn with replacement,
    within each environment on its own. The seed is fixed, so the interval is the same every time.

    :param function: From arrays like ``samples`` to shape ``(n,)``.
    :param samples: Each of shape ``(n_seeds, n_envs, ...)``; infinity is allowed.
    :return: The estimate, the lower and the upper end of its interval, each of shape ``(n,)``. Ends are NaN
        where a sample has only one seed: nothing is known then of how seeds differ.
    """
    estimate = function(*samples)
    if min(map(len, samples)) < 2:
        return estimate, np.full_like(estimate, np.nan), np.full_like(estimate, np.nan)
    # Percentiles lie between two resamples, and between a number and infinity there is nothing but NaN
    huge = np.finfo(np.float64).max / 4
    with _numpy_seeded(BOOTSTRAP_SEED):
        _, intervals = get_interval_estimates(
            {"": [np.minimum(sample, huge) for sample in samples]},
            function,
            reps=N_RESAMPLES,
            confidence_interval_size=CONFIDENCE,
        )
    low, high = np.where(intervals[""] > 1e-6 * huge, np.inf, intervals[""])
    return estimate, low, high


@contextmanager
def _numpy_seeded(seed: int) -> Iterator[None]:
    """rliable draws from NumPy's global generator, whatever ``random_state`` it is given."""
    state = np.random.get_state()
    np.random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(state)


def score_table(runs: pd.DataFrame) -> pd.DataFrame:
    """
    :param runs: The evaluations of one algorithm in one environment.
    :return: The score of each seed (columns) at each time that one of them was evaluated (rows), from when all of
        them have been. In between and after its end, a run has the score of its last evaluation.
    """
    return runs.pivot(index="timesteps", columns="seed", values="mean_reward").sort_index().ffill().dropna()


def environment_section(env: str, results: pd.DataFrame, threshold: float | None) -> Section:
    """
    :param env: Its id.
    :param results: The evaluations in this environment.
    :param threshold: Its reward threshold, if it has one.
    :return: What the environment says.
    """
    tables = {str(algo): score_table(runs) for algo, runs in results.groupby("algo", sort=False)}
    steps = {algo: table.index.to_numpy(float) for algo, table in tables.items()}
    scores = {algo: table.to_numpy(float).T[:, None] for algo, table in tables.items()}
    runs = None if threshold is None else times_to_threshold(results, threshold)
    return _section(env, steps, scores, threshold, runs)


def _section(title: str, steps: Scores, scores: Scores, threshold: float | None, runs: pd.DataFrame | None = None) -> Section:
    final = {algo: array[..., -1] for algo, array in scores.items()}
    curves = learning_curves(steps, scores)
    table = final_scores(curves, final)
    return Section(
        title=title,
        threshold=threshold,
        scores=final,
        curves=curves,
        final=table,
        profiles=performance_profiles(final),
        improvements=improvements({algo: final[algo] for algo in table["algo"]}),
        times=None if runs is None else median_times(runs),
        runs=runs,
    )


def learning_curves(steps: Scores, scores: Scores) -> pd.DataFrame:
    """
    Sample efficiency: the interquartile mean at each evaluation. The band holds at each step by itself.

    :param steps: When the evaluations were. Shape ``(n_steps,)`` for each algorithm.
    :param scores: Shape ``(n_seeds, n_envs, n_steps)`` for each algorithm.
    :return: ``algo, timesteps, iqm, low, high``.
    """
    columns = ["algo", "timesteps", "iqm", "low", "high"]
    tables = []
    for algo, array in scores.items():
        iqm, low, high = bootstrap(interquartile_mean, array)
        tables.append(pd.DataFrame(dict(zip(columns, (algo, steps[algo], iqm, low, high), strict=True))))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)


def final_scores(curves: pd.DataFrame, final: Scores) -> pd.DataFrame:
    """
    :param curves: Learning curves.
    :param final: Final scores. Shape ``(n_seeds, n_envs)`` for each algorithm.
    :return: The last point of each curve as ``algo, iqm, low, high, n_seeds``, the highest first.
    """
    table = curves.groupby("algo", sort=False).tail(1).drop(columns="timesteps")
    table = table.assign(n_seeds=[len(final[algo]) for algo in table["algo"]])
    return table.sort_values("iqm", ascending=False, kind="stable", ignore_index=True)


def performance_profiles(final: Scores) -> pd.DataFrame:
    """
    :param final: Final scores. Shape ``(n_seeds, n_envs)`` for each algorithm.
    :return: ``algo, score, share, low, high`` at 101 scores from just below the lowest to just above the highest.
    """
    columns = ["algo", "score", "share", "low", "high"]
    if not final:
        return pd.DataFrame(columns=columns)
    everything = np.concatenate([array.ravel() for array in final.values()])
    margin = 0.03 * (np.ptp(everything) or 1.0)
    levels = np.linspace(everything.min() - margin, everything.max() + margin, 101)
    tables = []
    for algo, array in final.items():
        share, low, high = bootstrap(lambda scores: share_at_or_above(scores, levels), array)
        tables.append(pd.DataFrame(dict(zip(columns, (algo, levels, share, low, high), strict=True))))
    return pd.concat(tables, ignore_index=True)


def improvements(final: Scores) -> pd.DataFrame:
    """
    The probability of improvement of each pair. Its interval decides whether the two are told apart: it must
    lie on one side of 1/2, and both must have ``MIN_SEEDS`` seeds.

    :param final: Final scores. Shape ``(n_seeds, n_envs)`` for each algorithm.
    :return: ``algo, other, probability, low, high, verdict``, where the verdict on ``algo`` is "better", "worse",
        "not told apart" or "too few seeds".
    """
    rows = []
    for algo, other in itertools.combinations(final, 2):
        samples = final[algo], final[other]
        (probability,), (low,), (high,) = bootstrap(probability_of_improvement, *samples)
        rows.append((algo, other, probability, low, high, _verdict(low, high, min(map(len, samples)))))
    return pd.DataFrame(rows, columns=["algo", "other", "probability", "low", "high", "verdict"])


def _verdict(low: float, high: float, n_seeds: int) -> str:
    if n_seeds < MIN_SEEDS:
        return "too few seeds"
    if low > 0.5:
        return "better"
    return "worse" if high < 0.5 else "not told apart"


def times_to_threshold(results: pd.DataFrame, threshold: float) -> pd.DataFrame:
    """
    :param results: The evaluations in one environment.
    :param threshold: Its reward threshold.
    :return: ``algo, seed, timesteps`` of each run's first evaluation at or above the threshold, infinite if
        there is none.
    """
    reached = results["timesteps"].astype(float).where(results["mean_reward"] >= threshold, np.inf)
    return reached.groupby([results["algo"], results["seed"]]).min().reset_index()


def median_times(runs: pd.DataFrame) -> pd.DataFrame:
    """
    :param runs: ``algo, seed, timesteps``, infinite where the threshold was not reached.
    :return: ``algo, median, low, high, n_reached, n_seeds``, the shortest median first. An end of an interval that
        is infinite lies somewhere after the end of training.
    """
    rows = []
    for algo, times in runs.groupby("algo", sort=False)["timesteps"]:
        (median,), (low,), (high,) = bootstrap(median_time, times.to_numpy()[:, None])
        rows.append((algo, median, low, high, int(np.isfinite(times).sum()), len(times)))
    table = pd.DataFrame(rows, columns=["algo", "median", "low", "high", "n_reached", "n_seeds"])
    return table.sort_values("median", kind="stable", ignore_index=True)


def score_ranges(environments: list[Section]) -> pd.DataFrame:
    """
    What is set to 0 and to 1 so that scores of several environments can be put together.

    0 is the lowest point of the environment's learning curves, over all algorithms: close to what an
    agent scores that has learned nothing, and no single broken run can move it, as it could the lowest score. 1 is the
    reward threshold; where there is none, or all curves lie above it, the highest point of the curves. Both can be seen
    in the figures. Normalised scores depend on which algorithms were compared, so they mean nothing outside
    of their own comparison.

    :param environments: The environments' sections.
    :return: ``env, zero, one, one_is``.
    """
    rows = []
    for section in environments:
        zero, one, one_is = section.curves["iqm"].min(), section.curves["iqm"].max(), "highest point of the curves"
        if section.threshold is not None and section.threshold > zero:
            one, one_is = section.threshold, "reward threshold"
        rows.append((section.title, zero, one, one_is))
    return pd.DataFrame(rows, columns=["env", "zero", "one", "one_is"])


def normalize(results: pd.DataFrame, ranges: pd.DataFrame) -> pd.DataFrame:
    """
    :param results: A table of evaluations.
    :param ranges: What is 0 and what is 1 in each environment.
    :return: The table with normalised scores. Curves that never move have no range: their scores are only shifted.
    """
    ranges = ranges.set_index("env")
    width = (ranges["one"] - ranges["zero"]).replace(0.0, 1.0)
    env = results["env"]
    return results.assign(mean_reward=(results["mean_reward"] - env.map(ranges["zero"])) / env.map(width))


def scores_of_all(results: pd.DataFrame) -> tuple[Scores, Scores, dict[str, list[int]]]:
    """
    Scores over all environments. An algorithm's array must be rectangular, so only the seeds that it has in every
    environment are used. Time is a share of the steps of the environment's longest run.

    :param results: A table of evaluations, with normalised scores.
    :return: For each algorithm with a seed in every environment: the shares, of shape ``(n_steps,)``, and the
        scores, of shape ``(n_seeds, n_envs, n_steps)``. And for each algorithm the seeds that were left out.
    """
    run = ["algo", "env", "seed"]
    budgets = results.groupby("env", sort=False)["timesteps"].max()
    # As many shares as the run with the fewest evaluations has, for the other runs have one in each share as well
    n_shares = results.groupby(run)["timesteps"].count().groupby("env").max().min()
    parts = np.arange(1, n_shares + 1)
    n_envs = results.drop_duplicates(run).groupby(["algo", "seed"], sort=False)["env"].count()
    steps, scores, left_out = {}, {}, {}
    for algo, counts in n_envs.groupby("algo", sort=False):
        seeds = sorted(seed for (_, seed), count in counts.items() if count == len(budgets))
        left_out[str(algo)] = sorted({seed for _, seed in counts.index} - set(seeds))
        if seeds:
            chosen = results[(results["algo"] == algo) & results["seed"].isin(seeds)]
            tables = [score_table(chosen[chosen["env"] == env]) for env in budgets.index]
            held = [
                table.reindex(parts * budget / n_shares, method="ffill").fillna(table.iloc[0])
                for table, budget in zip(tables, budgets, strict=True)
            ]
            steps[str(algo)] = parts / n_shares
            scores[str(algo)] = np.stack([table.to_numpy(float).T for table in held], axis=1)
    return steps, scores, {algo: seeds for algo, seeds in left_out.items() if seeds}


def _n_seeds(results: pd.DataFrame) -> pd.DataFrame:
    counts = results.groupby(["algo", "env"], sort=False)["seed"].nunique()
    everything = pd.MultiIndex.from_product([results["algo"].unique(), results["env"].unique()], names=["algo", "env"])
    return counts.reindex(everything, fill_value=0).rename("n_seeds").reset_index()


def _steps(results: pd.DataFrame) -> pd.DataFrame:
    return results.groupby(["env", "algo", "seed"])["timesteps"].max().groupby(["env", "algo"]).min().unstack()


def _shorter(results: pd.DataFrame) -> pd.DataFrame:
    last = results.groupby(["algo", "env", "seed"], sort=False)["timesteps"].max().reset_index()
    last["longest"] = last.groupby("env")["timesteps"].transform("max")
    groups = last[last["timesteps"] < SHORTER * last["longest"]].groupby(["algo", "env"], sort=False)
    table = groups.agg(n_runs=("seed", "count"), shortest=("timesteps", "min"), longest=("longest", "max"))
    return table.reset_index()
