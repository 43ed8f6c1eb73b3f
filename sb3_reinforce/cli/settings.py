"""What a training is begun with: what the user gives, else the tuned settings of the environment, else the algorithm's own."""

import argparse
import contextlib
import pathlib
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from importlib import resources
from typing import Annotated, Any, Literal

from sb3_reinforce.cli.errors import CliError
from sb3_reinforce.cli.options import (
    COUNT,
    COUNT_OR_NONE_AT_ALL,
    FLAG,
    MAPPING,
    SEED,
    STRUCTURE,
    Option,
    options_of,
    parse,
)
from sb3_reinforce.cli.run_folder import RunFolder, Settings, find_run_folder
from sb3_reinforce.cli.shared import check_that_no_module_is_named, check_that_no_policy_is_imported
from sb3_reinforce.common.constraints import BOOLEAN, NONE, TEXT, Interval, OneOf, Table, check_arguments
from sb3_reinforce.common.constraints import SEED as SEED_RANGE
from sb3_reinforce.zoo import ALGORITHMS
from sb3_reinforce.zoo.hyperparameters import read_yaml, tuned_for

GIVEN_BY_THE_COMMAND = ("_init_setup_model", "env", "seed", "tensorboard_log")
"""Arguments of the algorithm that are no options of their own."""
OF_THE_RUN = ("algo", "env", "seed", "fast", "max_episode_steps", "n_eval_episodes", "eval_freq", "video_freq")
"""What ``args.yml`` keeps of the command. A training keeps it when it goes on."""
IN_THE_ZOO = {"timesteps": "n_timesteps"}
"""Names of options that the RL Zoo's files of hyperparameters have under another name."""
HYPERPARAMETERS = (
    "timesteps",
    "n_envs",
    "env_kwargs",
    "env_wrapper",
    "train_env_kwargs",
    "train_env_wrapper",
    "vec_env_wrapper",
    "normalize",
    "frame_stack",
)
"""Options of the command that ``config.yml`` keeps, beside the algorithm's arguments."""
ALIASES = {"timesteps": ("-n", "--n-timesteps"), "log_folder": ("-f",)}


@dataclass(frozen=True, kw_only=True)
class Command:
    """
    Train a model, evaluate it, and leave everything in a folder.

    :param algo: The algorithm.
    :param env: A Gymnasium environment. module:Id-v0 imports the module first.
    :param timesteps: Environment steps to train on. Without it: as tuned, else the algorithm's own.
    :param log_folder: Where runs are. This one is in FOLDER/ALGO/ENV_NUMBER.
    :param seed: Of all chance in the run.
    :param defaults: Don't use the tuned settings of the environment.
    :param resume: Go on with the training in this folder, which was interrupted.
    :param n_envs: Parallel environments.
    :param fast: Use the fastest vectorised environments there are.
    :param env_kwargs: What the environment is made with: is_slippery:False for example.
    :param env_wrapper: Wrappers of the environment, as in the RL Zoo's YAML files: gymnasium.wrappers.FlattenObservation, or
        "{gymnasium.wrappers.StickyAction: {repeat_action_probability: 0.2}}", or a list of these.
    :param train_env_kwargs: The same for training alone.
    :param train_env_wrapper: The same for training alone.
    :param vec_env_wrapper: Wrappers of all environments together.
    :param normalize: Normalize observations and rewards (VecNormalize): true, or "dict(norm_obs=False, norm_reward=True)".
    :param frame_stack: How many observations are stacked.
    :param n_eval_episodes: Fresh episodes of an evaluation. 0 for no evaluation at all.
    :param eval_freq: Environment steps between evaluations while it trains, whose best model is kept. 0 for only one, at the
        end.
    :param video_freq: Environment steps between videos of an episode in TensorBoard. 0 for none.
    :param max_episode_steps: Timesteps after which an episode is cut off where a policy is evaluated, never in training.
    :param checkpoint_seconds: From one checkpoint to the next.
    :param trusted: With --resume, run code that is in the folder. Only for folders of people whom you trust.
    """

    algo: Literal["reinforce", "random_weight_search"] = "reinforce"
    env: str = "CartPole-v1"
    timesteps: Annotated[int | None, COUNT] = None
    log_folder: pathlib.Path = pathlib.Path("logs")
    seed: Annotated[int, SEED] = 0
    defaults: Annotated[bool, FLAG] = False
    resume: pathlib.Path | None = None
    n_envs: Annotated[int, COUNT] = 1
    fast: Annotated[bool, FLAG] = False
    env_kwargs: Annotated[dict[str, Any] | None, MAPPING] = None
    env_wrapper: Annotated[Any, STRUCTURE] = None
    train_env_kwargs: Annotated[dict[str, Any] | None, MAPPING] = None
    train_env_wrapper: Annotated[Any, STRUCTURE] = None
    vec_env_wrapper: Annotated[Any, STRUCTURE] = None
    normalize: str | bool | None = None
    frame_stack: Annotated[int | None, COUNT] = None
    n_eval_episodes: Annotated[int, COUNT_OR_NONE_AT_ALL] = 100
    eval_freq: Annotated[int, COUNT_OR_NONE_AT_ALL] = 0
    video_freq: Annotated[int, COUNT_OR_NONE_AT_ALL] = 0
    max_episode_steps: Annotated[int | None, COUNT] = None
    checkpoint_seconds: float = 30.0
    trusted: Annotated[bool, FLAG] = False


@dataclass(frozen=True)
class Plan:
    """What a training is begun with."""

    command: Command
    hyperparameters: Settings
    """As the RL Zoo's files have them. What is not named has the algorithm's own default."""
    tuned: Settings
    """Those of them that come from the tuned settings of the environment."""
    tuned_for: str | None = None
    """The environment that they were tuned for, maybe another version; or "atari"."""
    tuned_timesteps: int | None = None
    """How long a training with the tuned settings is to be."""
    folder: RunFolder | None = None
    """That of the training that goes on."""

    @property
    def arguments(self) -> Settings:
        """What ``args.yml`` keeps. ``env_kwargs`` stand there for the RL Zoo, which looks for them."""
        kept = {name: getattr(self.command, name) for name in OF_THE_RUN}
        return {**kept, "env_kwargs": self.hyperparameters.get("env_kwargs")}


def read_plan(arguments: Sequence[str]) -> Plan:
    """
    :param arguments: Of the command line, after ``train``.
    :return: What they say.
    :raises CliError: If there is nothing to go on with, or an option can't be another now.
    :raises SystemExit: If the arguments are not what they may be, which has been said then, or help was asked for.
    """
    first = _first_look(arguments)
    folder = None if first.resume is None else _unfinished(pathlib.Path(first.resume))
    if folder is None:
        stored = {"algo": first.algo, "env": first.env}
        tuned_env, tuned = (None, {}) if first.defaults else tuned_settings(first.algo, first.env)
    else:
        tuned_env, stored, tuned = None, _stored_arguments(folder), folder.read_hyperparameters()
    check_arguments(_TABLE, {**{name: tuned[name] for name in HYPERPARAMETERS if name in tuned}, **stored}, "")
    options = _options(stored, tuned)
    values = parse(options, arguments, "sb3-reinforce train", _DESCRIPTION, ALIASES)
    check_arguments(_TABLE, values, "")
    if folder is not None:
        _check_that_it_is_the_same(options, values)
        if first.env is None:
            check_that_no_module_is_named(stored["env"], f"'{folder.parameters / 'args.yml'}'")
        if first.policy is None:
            check_that_no_policy_is_imported(tuned.get("policy"), f"'{folder.parameters / 'config.yml'}'")
    hyperparameters = _hyperparameters(values, tuned)
    command = Command(**{field.name: values[field.name] for field in fields(Command)})
    in_use = {name: value for name, value in tuned.items() if name in hyperparameters and hyperparameters[name] == value}
    return Plan(command, hyperparameters, in_use, tuned_env, tuned.get("n_timesteps"), folder)


_TABLE: Table = {
    "algo": [OneOf(list(ALGORITHMS))],
    "env": [TEXT],
    "timesteps": [Interval(1, integer=True), NONE],
    "seed": [SEED_RANGE],
    "n_envs": [Interval(1, integer=True)],
    "fast": [BOOLEAN],
    "frame_stack": [Interval(1, integer=True), NONE],
    "n_eval_episodes": [Interval(0, integer=True)],
    "eval_freq": [Interval(0, integer=True)],
    "video_freq": [Interval(0, integer=True)],
    "max_episode_steps": [Interval(1, integer=True), NONE],
    "checkpoint_seconds": [Interval(0)],
}
_DESCRIPTION = """Train a model, evaluate it, and leave everything in a folder.

Tuned settings of an environment are the defaults: see train --env ID --help.

Every argument of the algorithm is an option: see train --algo NAME --help."""


def _first_look(arguments: Sequence[str]) -> argparse.Namespace:
    """What decides which options there are, and what they are by default."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--algo")
    parser.add_argument("--env")
    parser.add_argument("--policy")
    parser.add_argument("--resume")
    parser.add_argument("--defaults", action="store_true")
    with contextlib.suppress(argparse.ArgumentError):  # the whole parser will say it
        looked = parser.parse_known_args(list(arguments))[0]
        if looked.resume is None:
            looked.algo = looked.algo if looked.algo in ALGORITHMS else "reinforce"
            looked.env = looked.env or Command.env
        return looked
    return argparse.Namespace(algo="reinforce", env=Command.env, policy=None, resume=None, defaults=True)


def tuned_settings(algo: str, env_id: str) -> tuple[str | None, Settings]:
    """
    :param algo: The algorithm.
    :param env_id: The environment.
    :return: The environment that the package has tuned hyperparameters for, as ``tuned_for`` finds it, and these.
    """
    with resources.as_file(resources.files("sb3_reinforce.zoo") / "hyperparams" / f"{algo}.yml") as path:
        table = read_yaml(path)
    name = tuned_for(env_id.rpartition(":")[2], table)
    entry = {} if name in (None, "default") else table[name]
    return name, {key: int(value) if key == "n_timesteps" else value for key, value in entry.items()}


def _options(stored: Settings, tuned: Settings) -> list[Option]:
    """All options, with what is given as their defaults."""
    of_the_command, of_the_algorithm = _own_options(stored.get("algo"))
    given = [
        *(tuned.get(_key(option)) if _is_hyperparameter(option) else stored.get(option.name) for option in of_the_command),
        *(tuned.get(option.argument) for option in of_the_algorithm),
    ]
    options = [*of_the_command, *of_the_algorithm]
    return [option if value is None else replace(option, default=value) for option, value in zip(options, given, strict=True)]


def _own_options(algo: Any) -> tuple[list[Option], list[Option]]:
    """The options of the command and those of the algorithm, with their own defaults."""
    of_the_command = options_of(Command)
    taken = [option.name for option in of_the_command]
    of_the_algorithm = options_of(ALGORITHMS[algo], without=GIVEN_BY_THE_COMMAND, taken=taken)
    # Which policy will do depends on the spaces
    return of_the_command, [
        replace(option, default=None) if option.name == "policy" else option for option in of_the_algorithm
    ]


def _is_hyperparameter(option: Option) -> bool:
    return option.name in HYPERPARAMETERS


def _key(option: Option) -> str:
    """The name of an option in the RL Zoo's files."""
    return IN_THE_ZOO.get(option.argument, option.argument)


def _hyperparameters(values: Settings, tuned: Settings) -> Settings:
    """Those that were tuned, with what the user says instead, and those that are not the algorithm's own defaults."""
    of_the_command, of_the_algorithm = _own_options(values["algo"])
    options = [*filter(_is_hyperparameter, of_the_command), *of_the_algorithm]
    return {
        _key(option): values[option.name]
        for option in options
        if values[option.name] != option.default or (_key(option) in tuned and values[option.name] is not None)
    }


def _unfinished(path: pathlib.Path) -> RunFolder:
    """The folder of a training that has not finished."""
    folder = find_run_folder(path)
    arguments = {} if folder is None else folder.read_arguments()
    if folder is None or "finished" not in arguments:
        raise CliError(f"there is no training in '{path}' to go on with")
    if arguments["finished"]:
        raise CliError(f"the training in '{path}' has finished; its model is '{folder.model}'")
    return folder


def _stored_arguments(folder: RunFolder) -> Settings:
    stored = folder.read_arguments()
    if not all(name in stored for name in OF_THE_RUN) or not isinstance(stored["env"], str):
        raise CliError(f"there is no training in '{folder.path}' to go on with")
    return {name: stored[name] for name in OF_THE_RUN}


def _check_that_it_is_the_same(options: list[Option], values: Settings) -> None:
    free = {"resume", "checkpoint_seconds", "trusted"}
    for option in options:
        if option.name not in free and values[option.name] != option.default:
            name = option.name.replace("_", "-")
            raise CliError(f"a training goes on with the --{name} that it was begun with: leave it out")
