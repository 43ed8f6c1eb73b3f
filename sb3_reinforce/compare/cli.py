"""``sb3-reinforce compare``"""

import importlib
import pathlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

from sb3_reinforce.cli.errors import Stopped, busy
from sb3_reinforce.cli.options import COUNT, PATH, SEED, Option, options_of, parse
from sb3_reinforce.common.extras import needs
from sb3_reinforce.compare.comparison import Comparison, compare

N_NAMED = 10
# Names of options, in the words of the other commands, and how they are read
_OPTIONS: dict[str, tuple[str, Any]] = {
    "algos": ("algo", list[str]),
    "envs": ("env", list[str]),
    "seeds": ("seeds", list[Annotated[int, SEED]]),
    "timesteps": ("timesteps", Annotated[int | None, COUNT]),
    "eval_freq": ("eval_freq", Annotated[int | None, COUNT]),
    "n_eval_episodes": ("n_eval_episodes", Annotated[int, COUNT]),
    "max_episode_steps": ("max_episode_steps", Annotated[int | None, COUNT]),
    "hyperparams": ("hyperparams", Annotated[pathlib.Path | None, PATH]),
    "folder": ("log_folder", Annotated[pathlib.Path | None, PATH]),
    "backend": ("backend", Literal["loky", "ray", "dask"]),
}
_ALIASES = {
    "algo": ("-a",),
    "env": ("-e",),
    "timesteps": ("-n", "--n-timesteps"),
    "log_folder": ("-f",),
}


def _option(option: Option) -> Option:
    name, kind = _OPTIONS.get(option.argument, (option.name, option.type))
    default = [10] if option.argument == "seeds" else option.default
    return replace(option, name=name, type=kind, default=default)


def main(arguments: Sequence[str]) -> int:
    """
    Compare, print the results, and say where the report is.

    :param arguments: Of the command line, after ``compare``.
    :return: Exit status.
    :raises RuntimeError: If a run has failed, when all others have finished.
    :raises Stopped: After Ctrl-C.
    """
    given = read_arguments(arguments)
    with busy("Importing the RL Zoo, pandas and matplotlib"), needs("compare", "sb3-reinforce compare"):
        importlib.import_module("sb3_reinforce.compare.execute")
        importlib.import_module("sb3_reinforce.compare.report")
    try:
        comparison = compare(**given)
    except KeyboardInterrupt as stop:
        raise Stopped("Stopped. What has finished is kept: the same command goes on from there.") from stop
    from sb3_reinforce.compare.overview import results_table

    print(results_table(comparison.results))
    print(f"The report:\n  {comparison.report}")
    print(f"Hyperparameters and scores of all runs side by side:\n  tensorboard --logdir {comparison.folder}")
    if comparison.failures:
        raise RuntimeError(_failure_message(comparison))
    return 0


def read_arguments(arguments: Sequence[str]) -> dict[str, Any]:
    """
    :param arguments: Of the command line, after ``compare``.
    :return: Arguments of :func:`~sb3_reinforce.compare.comparison.compare`.
    :raises SystemExit: If they are not what they may be, which has been said then, or help was asked for.
    """
    options = [_option(option) for option in options_of(compare)]
    description = "Train many algorithms with many seeds, and report which is better."
    values = parse(options, arguments, "sb3-reinforce compare", description, _ALIASES)
    given = {option.argument: values[option.name] for option in options}
    given["seeds"] = given["seeds"] if len(given["seeds"]) > 1 else given["seeds"][0]
    return given


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
