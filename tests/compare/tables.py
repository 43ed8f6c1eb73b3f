"""Tables of evaluations to test with."""

from collections.abc import Sequence

import numpy as np
import pandas as pd


def evaluations(
    scores: Sequence[float], algo: str = "a", env: str = "E-v0", seed: int = 0, every: int = 10, first: int = 1
) -> pd.DataFrame:
    """The evaluations of one run."""
    timesteps = np.arange(first, first + len(scores)) * every
    return pd.DataFrame(
        {"algo": algo, "env": env, "seed": seed, "timesteps": timesteps, "mean_reward": scores, "n_episodes": 5}
    )


def comparison(
    algos: Sequence[str] = ("good", "bad"), envs: Sequence[str] = ("E-v0",), n_seeds: int = 6, n_evaluations: int = 4
) -> pd.DataFrame:
    """Each algorithm is better than the next, by more than seeds differ, and all learn."""
    rng = np.random.default_rng(0)
    progress = np.linspace(0, 1, n_evaluations)
    return pd.concat(
        [
            evaluations((10 - 3 * i) * progress + rng.random() * progress + rng.random() / 10, algo, env, seed)
            for i, algo in enumerate(algos)
            for env in envs
            for seed in range(n_seeds)
        ],
        ignore_index=True,
    )
