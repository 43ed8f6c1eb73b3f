"""The episodes of runs: from monitor files, folders and models."""

import os
import pathlib
from typing import NamedTuple, TypeAlias

import numpy as np
import pandas as pd
from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_reinforce.common.constraints import shown
from sb3_reinforce.common.log_keys import LENGTH, RETURN, TIMESTEPS
from sb3_reinforce.common.plots import read_progress

Run: TypeAlias = "str | os.PathLike[str] | BaseAlgorithm"
"""Whatever has the episodes of one run: a monitor file, a folder with such files or ``progress.csv``, or a model."""


class Episodes(NamedTuple):
    """Of one run, in the order in which they ended. Shapes ``(n_episodes,)``."""

    timesteps: np.ndarray
    """When each ended."""
    returns: np.ndarray
    lengths: np.ndarray


def read_run(run: Run) -> Episodes:
    """
    :param run: One of

        - a file that SB3's ``Monitor`` or ``VecMonitor`` has written;
        - a folder: its ``progress.csv``, if an :class:`~sb3_reinforce.EpisodeDurationCallback` was there, which counts the
          very episodes that were learned from; else all of its monitor files;
        - a model that was trained in this process, on environments with ``Monitor``.
    :return: Its episodes.
    :raises ValueError: If there are none.
    :raises OSError: If a file can't be read.
    """
    if isinstance(run, BaseAlgorithm):
        return _of_model(run)
    path = pathlib.Path(run)
    if not path.is_dir():
        return _in_order([pd.read_csv(path, comment="#")], path)
    if (path / "progress.csv").exists():
        progress = read_progress(path)
        if RETURN in progress:
            rows = progress.dropna(subset=[RETURN])
            return Episodes(*(rows[key].to_numpy(dtype=float) for key in (TIMESTEPS, RETURN, LENGTH)))
    return _in_order([pd.read_csv(file, comment="#") for file in sorted(path.glob("*monitor.csv"))], path)


def _of_model(model: BaseAlgorithm) -> Episodes:
    env = model.get_env()
    if env is None or not env.has_attr("get_episode_rewards"):
        raise ValueError(
            f"The environments of this {type(model).__name__} keep no returns: it was loaded from a file, or they have no "
            "Monitor each. Give the folder of its monitor files instead: VecMonitor(env, 'folder/monitor.csv')."
        )
    columns = {"r": "get_episode_rewards", "l": "get_episode_lengths", "t": "get_episode_times"}
    values = {name: env.env_method(method) for name, method in columns.items()}
    tables = [pd.DataFrame({name: values[name][i] for name in columns}) for i in range(env.num_envs)]
    return _in_order(tables, model)


def _in_order(tables: list[pd.DataFrame], run: object) -> Episodes:
    """Of several environments. How long they are adds up to when they ended, as SB3 counts it."""
    table = pd.concat(tables) if tables else pd.DataFrame()
    if len(table) == 0:
        raise ValueError(f"There is nothing to plot: no episode is known of {shown(run)}.")
    table = table.sort_values("t", kind="stable")
    lengths = table["l"].to_numpy(dtype=float)
    return Episodes(np.cumsum(lengths), table["r"].to_numpy(dtype=float), lengths)
