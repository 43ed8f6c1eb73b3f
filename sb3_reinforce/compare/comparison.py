"""``compare``: from names of algorithms and environments to a report."""

import contextlib
import pathlib
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # which take seconds to import, and are an extra
    import pandas as pd

    from sb3_reinforce.compare.plan import Plan, Run, RunName


@dataclass(frozen=True)
class Comparison:
    """What has come of a comparison."""

    folder: pathlib.Path
    """Where all of it is."""
    results: "pd.DataFrame"
    """One row an evaluation, as in ``results.csv``."""
    failures: "dict[RunName, str]"
    """What went wrong in each run that has failed: the last line of its traceback."""
    report: pathlib.Path | None
    """The report as a page; None if no run has finished."""


def compare(
    algos: Sequence[str],
    envs: Sequence[str],
    seeds: int | Sequence[int] = 10,
    *,
    timesteps: int | None = None,
    eval_freq: int | None = None,
    n_eval_episodes: int = 10,
    hyperparams: str | pathlib.Path | Mapping[str, Mapping[str, dict[str, Any]]] | None = None,
    folder: str | pathlib.Path | None = None,
    backend: str = "loky",
    n_jobs: int = -1,
    address: str | None = None,
    device: str = "cpu",
) -> Comparison:
    """
    Train every algorithm on every environment with every seed, evaluate while they train, and report which is better.
    Needs the extra ``compare``.

    Every run that has finished is on disk at once, and the same call goes on where it was stopped. A run that fails does
    not stop the others. The numbers depend on the plan alone: not on the backend, the number of workers, or the order.

    Evaluations are on environments of their own, at timesteps that all runs of an environment have in common; actions are
    deterministic but for Atari and MiniGrid, as in the RL Zoo. A run that ends early, as RandomWeightSearch does when it
    has solved the environment, is evaluated for the rest of its timesteps as it then is.

    With ray and dask, and from a script, call it under ``if __name__ == "__main__":``.

    :param algos: "reinforce", "random_weight_search", and any that the RL Zoo knows: "ppo", "a2c", "dqn", "ars", ...
    :param envs: Gymnasium's ids of environments; ``module:Id-v0`` imports the module first, as ``gymnasium.make`` does.
    :param seeds: How many, counted from 1 on; or a list of them.
    :param timesteps: Environment steps of every run. Default: each one's ``n_timesteps`` of the hyperparameters.
    :param eval_freq: Environment steps between two evaluations. Default: 20 evaluations in the smallest budget of an
        environment's runs.
    :param n_eval_episodes: Episodes of an evaluation.
    :param hyperparams: A YAML file, or what it would hold: algorithms, under each environments, under each hyperparameters
        as the RL Zoo's files have them. They take the place of those that come with the RL Zoo and with this package.
    :param folder: Where to put everything. Default: a folder under ``logs`` with a name of its own for each plan.
    :param backend: "loky" for processes on this machine, "ray" or "dask" for a cluster.
    :param n_jobs: Number of workers, each with one thread; -1 for one a core.
    :param address: Of the Ray or Dask cluster. Default: one is started on this machine.
    :param device: Where to train. Several workers share a GPU, and GPUs don't give the same numbers twice.
    :return: The results, and where they are.
    :raises ValueError: If an algorithm, an environment, a hyperparameter or another argument is refused, or the folder
        holds another plan. Nothing has been run then.
    :raises ImportError: If a package is not installed.
    :raises OSError: If the table or the report can't be written.
    """
    try:
        from sb3_reinforce.compare import plan as planning
        from sb3_reinforce.compare import results as storage
        from sb3_reinforce.compare.execute import backend as running_on
        from sb3_reinforce.compare.report import write_report
        from sb3_reinforce.compare.run import check
    except ImportError as error:
        raise ImportError(f'A comparison needs more packages ({error}): pip install "sb3-reinforce[compare]"') from error
    plan = planning.make_plan(algos, envs, seeds, timesteps, eval_freq, n_eval_episodes, hyperparams, device)
    for run in {(run.name.algo, run.name.env): run for run in plan.runs}.values():
        check(run)
    folder = pathlib.Path("logs") / f"comparison_{plan.fingerprint()}" if folder is None else pathlib.Path(folder)
    storage.open_folder(folder, plan)
    to_do = [run for run in plan.runs if not storage.is_finished(folder, run.name)]
    with running_on(backend, n_jobs, address) if to_do else contextlib.nullcontext():
        failures = _run_all(to_do, folder, len(plan.runs))
    results = storage.read_results(folder)
    storage.write_table(folder / "results.csv", results)
    storage.write_table(folder / "times.csv", storage.read_times(folder))
    if results.empty:
        return Comparison(folder, results, failures, None)
    thresholds = {run.name.env: run.spec.reward_threshold for run in plan.runs}
    report = write_report(folder, results, thresholds, _details(plan, failures))
    return Comparison(folder, results, failures, report)


def _run_all(runs: "list[Run]", folder: pathlib.Path, n_runs: int) -> "dict[RunName, str]":
    """Execute runs and keep what comes of them; return what went wrong."""
    from tqdm import tqdm

    from sb3_reinforce.compare.execute import execute_all
    from sb3_reinforce.compare.results import keep

    failures = {}
    with tqdm(execute_all(runs), str(folder), n_runs, initial=n_runs - len(runs), unit="run", smoothing=0) as bar:
        for outcome in bar:
            error = outcome.error
            try:
                keep(folder, outcome)
            except OSError as problem:  # a full disk, of which some may be free again for the next
                error = error or f"OSError: {problem}"
            if error:
                failures[outcome.name] = error.strip().splitlines()[-1]
                bar.write(f"Failed: {outcome.name}: {failures[outcome.name]}", file=sys.stderr)
    return dict(sorted(failures.items()))


def _details(plan: "Plan", failures: "dict[RunName, str]") -> dict[str, Any]:
    """What the report says beside the results."""
    return {
        **plan.as_dict(),
        "command": shlex.join(sys.orig_argv),
        "failures": [{**name._asdict(), "error": error} for name, error in failures.items()],
    }
