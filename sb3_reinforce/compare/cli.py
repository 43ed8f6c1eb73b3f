"""``python -m sb3_reinforce compare``"""

import argparse
import pathlib
from collections.abc import Callable

from sb3_reinforce.common.evaluation import MAX_EPISODE_STEPS_HELP
from sb3_reinforce.compare.comparison import Comparison, compare

N_NAMED = 10
_HYPERPARAMS_HELP = (
    "algorithms: environments: hyperparameters. What stands in it as Python is run, as in the RL Zoo: only for files that you "
    "have read"
)


def add_arguments(parser: argparse.ArgumentParser, positive: Callable[[str], int], seed: Callable[[str], int]) -> None:
    """
    :param parser: Of the sub-command.
    :param positive: Reads a whole number of at least 1.
    :param seed: Reads a seed.
    """
    parser.add_argument("--algos", nargs="+", required=True, help="names of algorithms, as in the RL Zoo")
    parser.add_argument("--envs", nargs="+", required=True, help="registered Gymnasium environments, or module:Id-v0")
    parser.add_argument("--seeds", nargs="+", type=seed, default=[10], help="how many; or several: these (default: 10)")
    parser.add_argument("--timesteps", type=positive, help="of every run (default: those of its hyperparameters)")
    parser.add_argument("--eval-freq", type=positive, help="timesteps between evaluations (default: 20 in the shortest run)")
    parser.add_argument("--n-eval-episodes", type=positive, default=10, help="episodes of an evaluation (default: 10)")
    parser.add_argument("--max-episode-steps", type=positive, help=MAX_EPISODE_STEPS_HELP)
    parser.add_argument("--hyperparams", type=pathlib.Path, metavar="YAML", help=_HYPERPARAMS_HELP)
    parser.add_argument("--folder", type=pathlib.Path, help="default: a folder under logs/ for each plan")
    parser.add_argument("--backend", default="loky", help="loky, ray or dask (default: loky)")
    parser.add_argument("--n-jobs", type=int, default=-1, help="workers; -1 for one a core (default: -1)")
    parser.add_argument("--address", help="of a Ray or Dask cluster (default: one on this machine)")
    parser.add_argument("--device", default="cpu", help="default: cpu")


def run(options: argparse.Namespace) -> None:
    """
    Compare, and say where the report is.

    :param options: As parsed.
    :raises RuntimeError: If a run has failed, when all others have finished.
    """
    comparison = compare(
        options.algos,
        options.envs,
        options.seeds if len(options.seeds) > 1 else options.seeds[0],
        timesteps=options.timesteps,
        eval_freq=options.eval_freq,
        n_eval_episodes=options.n_eval_episodes,
        max_episode_steps=options.max_episode_steps,
        hyperparams=options.hyperparams,
        folder=options.folder,
        backend=options.backend,
        n_jobs=options.n_jobs,
        address=options.address,
        device=options.device,
    )
    print(f"The report: {comparison.report}")
    if comparison.failures:
        raise RuntimeError(_failure_message(comparison))


def _failure_message(comparison: Comparison) -> str:
    alike: dict[tuple[str, str, str], list[str]] = {}
    for name, error in comparison.failures.items():
        alike.setdefault((name.algo, name.env, error), []).append(str(name.seed))
    named = [
        f"{algo} on {env}, {'seeds' if len(seeds) > 1 else 'seed'} {', '.join(seeds)} ({error})"
        for (algo, env, error), seeds in alike.items()
    ]
    if len(named) > N_NAMED:
        named[N_NAMED:] = [f"and {len(named) - N_NAMED} more"]
    return (
        f"runs that have failed, and are not in the results: {'; '.join(named)}. Their tracebacks are in "
        f"'{comparison.folder / 'failures'}'. The same command tries them again."
    )
