"""
The folder of a comparison. Each finished run is in it whole or not at all, so that a comparison can be stopped at any time::

    plan.json                               what is compared
    <algo>/<env>_<seed>/evaluations.npz     each finished run, in the layout of the RL Zoo
    failures/<algo>-<env>_<seed>.txt        the traceback of each run that has failed
    results.csv                             all evaluations in one table
    times.csv                               how long each run took
"""

import datetime
import json
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from sb3_reinforce.common.saving import write_atomically
from sb3_reinforce.compare.locks import LOCK
from sb3_reinforce.compare.plan import Plan, RunName
from sb3_reinforce.compare.run import Outcome

COLUMNS = ["algo", "env", "seed", "timesteps", "mean_reward", "std_reward", "mean_ep_length", "n_episodes", "n_cut_off"]
# Runs are put together here, on the disk where they are to be
_UNFINISHED = ".unfinished"
_FAILURES = "failures"


def open_folder(folder: pathlib.Path, plan: Plan) -> None:
    """
    Make a folder ready for a plan, or go on with one that is.

    :param folder: The folder.
    :param plan: The plan.
    :raises ValueError: If the folder holds another plan, or something else.
    :raises OSError: If it can't be written to.
    """
    path = folder / "plan.json"
    new = plan.as_dict()
    if path.exists():
        old = json.loads(path.read_text())
        for key in ("versions", "code"):  # a package that was not installed then, or is not now, has made no difference
            old_ones, new_ones = old.get(key, {}), new[key]
            old[key], new[key] = {**new_ones, **old_ones}, {**old_ones, **new_ones}
        changes = list(_differences(old, json.loads(json.dumps(new)), ""))
        if changes:
            raise ValueError(
                f"The folder '{folder}' holds a comparison with another plan: {'; '.join(changes)}. "
                "Choose another folder, or remove this one."
            )
    elif folder.exists() and any(path.name != LOCK for path in folder.iterdir()):
        raise ValueError(f"The folder '{folder}' holds something else than a comparison. Choose another one.")
    write_atomically(path, (json.dumps(new, indent=2) + "\n").encode())
    for leftover in (_UNFINISHED, _FAILURES):  # whatever has failed is tried again
        shutil.rmtree(folder / leftover, ignore_errors=True)


def _differences(old: Any, new: Any, name: str) -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in {**old, **new}:
            yield from _differences(old.get(key), new.get(key), f"{name} {key}".strip())
    elif old != new and name.startswith("code "):
        yield f"the source of {name.removeprefix('code ')} has changed since"
    elif name == "first_evaluation" and old is None:
        yield "its runs were not evaluated before training, as they are now, so the two can't be put together"
    elif old != new:
        yield f"{name} was {old} there, and is {new} now"


def keep(folder: pathlib.Path, outcome: Outcome) -> None:
    """
    Put a run into the folder, or what is to be said of its failure; nothing if it is there already.

    :param folder: The comparison's folder.
    :param outcome: What has come of the run.
    :raises OSError: If it can't be written; then nothing of it is there.
    """
    final = folder / outcome.name.folder
    if final.exists():  # what has finished has not failed
        return
    if outcome.files is None:
        write_atomically(folder / _FAILURES / f"{outcome.name.folder.replace('/', '-')}.txt", outcome.error.encode())
        return
    finished = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    note = {"seconds": round(outcome.seconds, 3), "finished": finished, "n_cut_off": list(outcome.n_cut_off)}
    unfinished = folder / _UNFINISHED / final.name
    try:
        for name, content in {**outcome.files, "run.json": json.dumps(note).encode()}.items():
            write_atomically(unfinished / name, content)
        final.parent.mkdir(exist_ok=True)
        unfinished.rename(final)
    finally:
        shutil.rmtree(folder / _UNFINISHED, ignore_errors=True)


def is_finished(folder: pathlib.Path, name: RunName) -> bool:
    """
    :param folder: The comparison's folder.
    :param name: A run.
    :return: Whether it is there.
    """
    return (folder / name.folder).exists()


def when_finished(folder: pathlib.Path, name: RunName) -> datetime.datetime:
    """
    :param folder: The comparison's folder.
    :param name: A run that is there.
    :return: When it had finished.
    """
    return datetime.datetime.fromisoformat(_note(folder, name)["finished"])


def _note(folder: pathlib.Path, name: RunName) -> dict[str, Any]:
    """What is written down of a run beside what the RL Zoo would."""
    return json.loads((folder / name.folder / "run.json").read_text())


def read_results(folder: pathlib.Path) -> pd.DataFrame:
    """
    :param folder: The comparison's folder.
    :return: One row for each evaluation of the runs that have finished, sorted by its first columns: ``algo, env, seed,
        timesteps, mean_reward, std_reward`` (over the evaluation's episodes), ``mean_ep_length, n_episodes, n_cut_off`` (how
        many of these were cut off because they did not end).
    """
    tables = []
    for name in _finished_runs(folder):
        with np.load(folder / name.folder / "evaluations.npz") as evaluations:
            rewards, lengths = evaluations["results"], evaluations["ep_lengths"]
            columns = {
                "timesteps": evaluations["timesteps"],
                "mean_reward": rewards.mean(axis=1),
                "std_reward": rewards.std(axis=1),
                "mean_ep_length": lengths.mean(axis=1),
                "n_episodes": rewards.shape[1],
                "n_cut_off": _note(folder, name)["n_cut_off"],
            }
        tables.append(pd.DataFrame({**name._asdict(), **columns})[COLUMNS])
    table = pd.concat(tables) if tables else pd.DataFrame(columns=COLUMNS)
    return table.sort_values(COLUMNS[:4], ignore_index=True)


def read_times(folder: pathlib.Path) -> pd.DataFrame:
    """
    :param folder: The comparison's folder.
    :return: One row for each run that has finished: ``algo, env, seed, seconds``, its wall-clock time with evaluations.
    """
    rows = [{**name._asdict(), **_note(folder, name)} for name in _finished_runs(folder)]
    return pd.DataFrame(rows, columns=["algo", "env", "seed", "seconds"])


def _finished_runs(folder: pathlib.Path) -> list[RunName]:
    plan = json.loads((folder / "plan.json").read_text())
    names = [RunName(algo, env, seed) for algo in plan["algos"] for env in plan["envs"] for seed in plan["seeds"]]
    return sorted(name for name in names if is_finished(folder, name))


def write_table(path: pathlib.Path, table: pd.DataFrame) -> None:
    """
    :param path: Where to write.
    :param table: What to write, as CSV.
    :raises OSError: If it can't be written; what was there before is untouched.
    """
    write_atomically(path, table.to_csv(index=False, lineterminator="\n").encode())
