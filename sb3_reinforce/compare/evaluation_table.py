"""The table of evaluations: what it must have, and the arrays that are made of it."""

import numpy as np
import pandas as pd

# One row an evaluation. These columns are read, any others are left alone
COLUMNS = ("algo", "env", "seed", "timesteps", "mean_reward")
# A run whose last evaluation came before this share of the steps of its environment's longest run counts as a shorter one
SHORTER = 0.95

Scores = dict[str, np.ndarray]


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


def score_table(runs: pd.DataFrame) -> pd.DataFrame:
    """
    :param runs: The evaluations of one algorithm in one environment.
    :return: The score of each seed (columns) at each time that one of them was evaluated (rows), from when all of
        them have been. In between and after its end, a run has the score of its last evaluation.
    """
    return runs.pivot(index="timesteps", columns="seed", values="mean_reward").sort_index().ffill().dropna()


def untrained_scores(results: pd.DataFrame) -> np.ndarray:
    """
    :param results: The evaluations in one environment.
    :return: The scores of all evaluations before training, at timestep 0. There may be none.
    """
    return results["mean_reward"][results["timesteps"] == 0].to_numpy(float)


def times_to_threshold(results: pd.DataFrame, threshold: float) -> pd.DataFrame:
    """
    :param results: The evaluations in one environment.
    :param threshold: Its reward threshold.
    :return: ``algo, seed, timesteps`` of each run's first evaluation at or above the threshold, infinite if
        there is none.
    """
    reached = results["timesteps"].astype(float).where(results["mean_reward"] >= threshold, np.inf)
    return reached.groupby([results["algo"], results["seed"]]).min().reset_index()


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
    trained = results[results["timesteps"] > 0].groupby(run)["timesteps"].count().groupby("env").max()
    n_shares = int(trained.reindex(budgets.index, fill_value=1).min())
    all_from_0 = (results.groupby(run)["timesteps"].min() == 0).all()
    parts = np.arange(0 if all_from_0 else 1, n_shares + 1)
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


def count_seeds(results: pd.DataFrame) -> pd.DataFrame:
    """
    :param results: A table of evaluations.
    :return: ``algo, env, n_seeds``: how many runs there are, 0 where there are none.
    """
    counts = results.groupby(["algo", "env"], sort=False)["seed"].nunique()
    everything = pd.MultiIndex.from_product([results["algo"].unique(), results["env"].unique()], names=["algo", "env"])
    return counts.reindex(everything, fill_value=0).rename("n_seeds").reset_index()


def steps_trained(results: pd.DataFrame) -> pd.DataFrame:
    """
    :param results: A table of evaluations.
    :return: For how many timesteps each algorithm (a column) trained in each environment (a row), in its shortest run.
    """
    return results.groupby(["env", "algo", "seed"])["timesteps"].max().groupby(["env", "algo"]).min().unstack()


def shorter_runs(results: pd.DataFrame) -> pd.DataFrame:
    """
    :param results: A table of evaluations.
    :return: ``algo, env, n_runs, shortest, longest``: how many runs trained for fewer timesteps than the environment's
        longest, as far as there are any.
    """
    last = results.groupby(["algo", "env", "seed"], sort=False)["timesteps"].max().reset_index()
    last["longest"] = last.groupby("env")["timesteps"].transform("max")
    groups = last[last["timesteps"] < SHORTER * last["longest"]].groupby(["algo", "env"], sort=False)
    table = groups.agg(n_runs=("seed", "count"), shortest=("timesteps", "min"), longest=("longest", "max"))
    return table.reset_index()


def count_cut_off(results: pd.DataFrame) -> pd.DataFrame:
    """
    :param results: A table of evaluations, with ``n_episodes`` and ``n_cut_off`` if that is known.
    :return: ``algo, env, n_cut_off, n_episodes``: how many of an algorithm's evaluation episodes were cut off because they
        did not end, as far as there are any.
    """
    columns = ["n_cut_off", "n_episodes"]
    if not set(columns) <= set(results.columns):
        return pd.DataFrame(columns=["algo", "env", *columns])
    table = results.groupby(["algo", "env"], sort=False)[columns].sum().reset_index()
    return table[table["n_cut_off"] > 0].reset_index(drop=True)
