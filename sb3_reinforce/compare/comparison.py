"""``compare``: from names of algorithms and environments to a report."""

import contextlib
import itertools
import pathlib
import shlex
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sb3_reinforce.common.extras import needs

if TYPE_CHECKING:  # which take seconds to import, and are an extra
    import pandas as pd

    from sb3_reinforce.compare.plan import Plan, Run, RunName
    from sb3_reinforce.compare.run import Outcome

# Of which the runs know nothing
REPORT_PACKAGES = ("joblib", "scipy", "pandas", "matplotlib")


@dataclass(frozen=True)
class Comparison:
    """What has come of a comparison."""

    folder: pathlib.Path
    """Where all of it is."""
    results: "pd.DataFrame"
    """One row an evaluation, as in ``results.csv``."""
    failures: "dict[RunName, str]"
    """What went wrong in each run that has failed: the last line of its traceback."""
    report: pathlib.Path
    """The report as a page."""


def compare(
    algos: Sequence[str],
    envs: Sequence[str],
    seeds: int | Sequence[int] = 10,
    *,
    timesteps: int | None = None,
    eval_freq: int | None = None,
    n_eval_episodes: int = 10,
    max_episode_steps: int | None = None,
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
    not stop the others; nor does an algorithm that can't be set up on one of the environments, all of whose runs have
    then failed. The numbers depend on the plan alone: not on the backend, the number of workers, or the order.

    A plan is told by all that the numbers depend on: also by the versions of packages, and by the source code of the user's
    own environments, wrappers and algorithms. What was edited is run again, and what is taken from disk is said.

    Evaluations are on environments of their own, at timesteps that all runs of an environment have in common, and at the end
    of each; actions are deterministic but for Atari and MiniGrid, as in the RL Zoo. A run that ends early, as
    RandomWeightSearch does when it has solved the environment, is evaluated for the rest of its timesteps as it then is.

    With ray and dask, and from a script, call it under ``if __name__ == "__main__":``.

    :param algos: "reinforce", "random_weight_search", and any that the RL Zoo knows: "ppo", "a2c", "dqn", "ars", ...
    :param envs: Gymnasium's ids of environments; ``module:Id-v0`` imports the module first, as ``gymnasium.make`` does.
    :param seeds: How many, counted from 1 on; or a list of them.
    :param timesteps: Environment steps of every run. Default: each one's ``n_timesteps`` of the hyperparameters.
    :param eval_freq: Environment steps between two evaluations. Default: 20 evaluations in the smallest budget of an
        environment's runs.
    :param n_eval_episodes: Episodes of an evaluation.
    :param max_episode_steps: Timesteps after which an episode of an evaluation is cut off, so that an evaluation ends whatever
        the policy does. Default: 2,000, or an environment's own time limit if that is longer. What was cut off is in the
        results as ``n_cut_off``, and in the report. Training goes by the algorithm's own limits.
    :param hyperparams: A YAML file, or what it would hold: algorithms, under each environments, under each hyperparameters
        as the RL Zoo's files have them. They take the place of those that come with the RL Zoo and with this package.
    :param folder: Where to put everything. Default: a folder under ``logs`` with a name of its own for each plan.
    :param backend: "loky" for processes on this machine, "ray" or "dask" for a cluster.
    :param n_jobs: Number of workers, each with one thread; -1 for one a core.
    :param address: Of the Ray or Dask cluster. Default: one is started on this machine.
    :param device: Where to train. Several workers share a GPU, and GPUs don't give the same numbers twice.
    :return: The results, and where they are.
    :raises ValueError: If a name is not known, the hyperparameters have another shape, another argument is refused, the
        folder holds another plan, or no algorithm can be set up on any environment. Nothing has been run then.
    :raises ImportError: If a package is not installed.
    :raises RuntimeError: If another comparison is at work in the folder.
    :raises OSError: If the table or the report can't be written.
    """
    with needs("compare", "A comparison"):
        from sb3_reinforce.compare import plan as planning
        from sb3_reinforce.compare import results as storage
        from sb3_reinforce.compare.execute import backend as running_on
        from sb3_reinforce.compare.execute import check_backend, execute_all
        from sb3_reinforce.compare.hparams import write_hyperparameters
        from sb3_reinforce.compare.locks import only_one_in, remove_leftovers
        from sb3_reinforce.compare.report import write_report
    check_backend(backend, n_jobs, address)
    plan = planning.make_plan(
        algos, envs, seeds, timesteps, eval_freq, n_eval_episodes, max_episode_steps, hyperparams, device
    )
    folder = pathlib.Path("logs") / f"comparison_{plan.fingerprint()}" if folder is None else pathlib.Path(folder)
    to_do = [run for run in plan.runs if not storage.is_finished(folder, run.name)]
    refused = _refused(to_do)
    if len(refused) == len(plan.runs):
        raise ValueError("; ".join(dict.fromkeys(map(str, refused.values()))))
    try:
        with only_one_in(folder):
            storage.open_folder(folder, plan)
            to_do = [
                run for run in to_do if not storage.is_finished(folder, run.name)
            ]  # another one may have finished meanwhile
            _mention_unequal_budgets(plan)
            _mention_stand_ins(plan)
            _mention_what_was_there(plan, to_do, folder)
            ready = [run for run in to_do if run.name not in refused]
            with running_on(backend, n_jobs, address) if ready else contextlib.nullcontext():
                outcomes = itertools.chain(_failed(refused), execute_all(ready))
                failures = _keep_all(outcomes, folder, len(plan.runs) - len(to_do), len(plan.runs))
            results = storage.read_results(folder)
            storage.write_table(folder / "results.csv", results)
            times = storage.read_times(folder)
            storage.write_table(folder / "times.csv", times)
            _mention_what_was_cut_off(results)
            thresholds = {run.name.env: run.spec.reward_threshold for run in plan.runs}
            write_hyperparameters(folder, plan, results)
            print("Writing the report: statistics and figures ...", file=sys.stderr)
            report = write_report(folder, results, thresholds, _details(plan, failures, times))
    finally:
        remove_leftovers()
    return Comparison(folder, results, failures, report)


def _mention_unequal_budgets(plan: "Plan") -> None:
    unequal = [
        f"on {env} " + ", ".join(f"{algo} {budget:,}" for algo, budget in budgets.items())
        for env, budgets in plan.budgets().items()
        if len(set(budgets.values())) > 1
    ]
    if unequal:
        advice = "Who trains longer has an advantage; timesteps (--timesteps) gives all the same."
        print(f"Not the same number of timesteps: {'; '.join(unequal)}. {advice}", file=sys.stderr)


def _mention_stand_ins(plan: "Plan") -> None:
    from sb3_reinforce.compare.text import stand_ins_in_words

    named = stand_ins_in_words(plan.stand_ins())
    if named:
        advice = "Who is tuned for an environment has an advantage; hyperparams (--hyperparams) takes your own."
        print(f"Hyperparameters that were not tuned for the environment itself: {named}. {advice}", file=sys.stderr)


def _mention_what_was_there(plan: "Plan", to_do: "list[Run]", folder: pathlib.Path) -> None:
    from sb3_reinforce.compare.results import when_finished

    names = {run.name for run in plan.runs} - {run.name for run in to_do}
    if names:
        times = sorted(when_finished(folder, name) for name in names)
        first, last = (f"{time:%Y-%m-%d %H:%M}" for time in (times[0], times[-1]))
        when = f"on {first}" if first == last else f"from {first} to {last}"
        n_runs = f"{len(names)} of {len(plan.runs)} runs"
        print(f"Taken from '{folder}', and not run again: {n_runs}, which finished {when}.", file=sys.stderr)


def _mention_what_was_cut_off(results: "pd.DataFrame") -> None:
    n_cut_off, n_episodes = int(results["n_cut_off"].sum()), int(results["n_episodes"].sum())
    if n_cut_off:
        print(
            f"{n_cut_off:,} of {n_episodes:,} episodes of evaluations did not end and were cut off; see the report.",
            file=sys.stderr,
        )


def _refused(runs: "list[Run]") -> "dict[RunName, ValueError]":
    """Set up each algorithm on each environment once, which takes no time; return the runs that can't be, and why."""
    from sb3_reinforce.compare.run import check

    problems: dict[tuple[str, str], ValueError] = {}
    for pair, run in {run.name[:2]: run for run in runs}.items():
        try:
            check(run)
        except ValueError as error:
            problems[pair] = error
    return {run.name: problems[run.name[:2]] for run in runs if run.name[:2] in problems}


def _failed(refused: "dict[RunName, ValueError]") -> "Iterator[Outcome]":
    """What has come of runs that can't be set up."""
    from sb3_reinforce.compare.run import Outcome

    for name, error in refused.items():
        yield Outcome(name, error="".join(traceback.format_exception(error.__cause__ or error)))


def _keep_all(outcomes: "Iterable[Outcome]", folder: pathlib.Path, n_finished: int, n_runs: int) -> "dict[RunName, str]":
    """Keep what comes of runs as it comes; return what went wrong."""
    from tqdm import tqdm

    from sb3_reinforce.compare.results import keep

    failures = {}
    said: set[tuple[str, str, str]] = set()
    with tqdm(outcomes, str(folder), n_runs, initial=n_finished, unit="run", smoothing=0) as bar:
        for outcome in bar:
            error = outcome.error
            try:
                keep(folder, outcome)
            except OSError as problem:  # a full disk, of which some may be free again for the next
                error = error or f"OSError: {problem}"
            if error:
                failures[outcome.name] = error.strip().splitlines()[-1]
                failure = (*outcome.name[:2], failures[outcome.name])
                if failure not in said:  # all seeds of what can't be set up fail alike
                    bar.write(f"Failed: {outcome.name}: {failures[outcome.name]}", file=sys.stderr)
                said.add(failure)
    return dict(sorted(failures.items()))


def _details(plan: "Plan", failures: "dict[RunName, str]", times: "pd.DataFrame") -> dict[str, Any]:
    """What the report says beside the results."""
    from sb3_reinforce.compare.plan import installed

    described = plan.as_dict()
    return {
        **described,
        "versions": {**described["versions"], **installed(REPORT_PACKAGES)},
        "command": shlex.join(sys.orig_argv),
        "times": times,
        "stand_ins": plan.stand_ins(),
        "failures": [{**name._asdict(), "error": error} for name, error in failures.items()],
    }
