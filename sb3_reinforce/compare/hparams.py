"""What each run was made with, and what it has scored: for TensorBoard's tab HPARAMS."""

import pathlib

import pandas as pd

from sb3_reinforce.common.log_keys import EVALUATION_LENGTH, EVALUATION_RETURN
from sb3_reinforce.common.tensorboard import write_run
from sb3_reinforce.compare.plan import Plan

_EVENTS = "events.out.tfevents.*"


def write_hyperparameters(folder: pathlib.Path, plan: Plan, results: pd.DataFrame) -> None:
    """
    Write for TensorBoard what the runs were made with, and their evaluations; a run that has it already is left as it is.
    ``tensorboard --logdir FOLDER`` then has a row for each run in its tab HPARAMS.

    :param folder: The comparison's folder.
    :param plan: The plan.
    :param results: One row an evaluation, of the runs that have finished.
    :raises OSError: If it can't be written.
    """
    evaluations = dict(list(results.groupby(["algo", "env", "seed"])))
    for run in plan.runs:
        path = folder / run.name.folder
        if tuple(run.name) in evaluations and not any(path.glob(_EVENTS)):
            rows = evaluations[tuple(run.name)]
            scalars = {
                tag: list(zip(rows["timesteps"].tolist(), rows[column].tolist(), strict=True))
                for tag, column in ((EVALUATION_RETURN, "mean_reward"), (EVALUATION_LENGTH, "mean_ep_length"))
            }
            about = {"algorithm": run.name.algo, "env": run.name.env, "seed": run.name.seed}
            write_run(path, {**about, **run.hyperparameters}, scalars)
