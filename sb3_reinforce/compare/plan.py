"""What a comparison runs: every algorithm on every environment with every seed, each with its hyperparameters."""

import contextlib
import copy
import difflib
import hashlib
import importlib
import importlib.metadata
import importlib.resources
import json
import pathlib
import platform
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import gymnasium as gym
import yaml
from gymnasium.envs.registration import EnvSpec
from huggingface_sb3 import EnvironmentName
from rl_zoo3 import ALGOS
from rl_zoo3.exp_manager import ExperimentManager
from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_reinforce.version import __version__
from sb3_reinforce.zoo import ALGORITHMS, register

register()

# What the numbers of a run depend on, beside its plan
PACKAGES = ("stable-baselines3", "sb3-contrib", "rl_zoo3", "gymnasium", "torch", "numpy")
# Those of some environments also on these, if they are installed
ENVIRONMENT_PACKAGES = ("ale-py", "box2d", "box2d-py", "mujoco", "opencv-python", "opencv-python-headless", "pygame")
# An environment is evaluated this often, by default, within its smallest budget
N_EVALUATIONS = 20

Hyperparameters = dict[str, Any]
# By algorithm, then by environment ("default" and "atari" stand for many)
HyperparameterTable = Mapping[str, Mapping[str, Hyperparameters]]


class RunName(NamedTuple):
    """Which run of a comparison it is."""

    algo: str
    env: str
    seed: int

    def __str__(self) -> str:
        return f"{self.algo} on {self.env}, seed {self.seed}"

    @property
    def folder(self) -> str:
        """Where it is in the comparison's folder, in the layout of the RL Zoo: the seed is the number of the experiment."""
        return f"{self.algo}/{EnvironmentName(self.env)}_{self.seed}"


@dataclass(frozen=True)
class Run:
    """One training, with all that a worker anywhere has to know of it."""

    name: RunName
    spec: EnvSpec
    """Travels with the run, so that a worker need not have registered the environment."""
    algorithm: type[BaseAlgorithm]
    """Travels, too: the RL Zoo of a worker need not know one that was added here."""
    hyperparameters: Hyperparameters
    """As the RL Zoo's YAML files have them, ``n_timesteps`` included."""
    eval_freq: int
    n_eval_episodes: int
    device: str

    @property
    def n_timesteps(self) -> int:
        """How long to train."""
        return int(self.hyperparameters["n_timesteps"])

    @property
    def evaluation_timesteps(self) -> list[int]:
        """The timesteps to evaluate at: the same for all runs of an environment as far as they go, and the end of each."""
        return [*range(self.eval_freq, self.n_timesteps, self.eval_freq), self.n_timesteps]


@dataclass(frozen=True)
class Plan:
    """All runs of a comparison, in the order in which they are started."""

    runs: list[Run]

    def as_dict(self) -> dict[str, Any]:
        """
        :return: All that the results depend on, as ``plan.json`` holds it.
        """
        hyperparameters: dict[str, dict[str, Hyperparameters]] = {}
        for run in self.runs:
            hyperparameters.setdefault(run.name.algo, {})[run.name.env] = run.hyperparameters
        return {
            "algos": list(hyperparameters),
            "envs": list(dict.fromkeys(run.name.env for run in self.runs)),
            "seeds": list(dict.fromkeys(run.name.seed for run in self.runs)),
            "eval_freq": {run.name.env: run.eval_freq for run in self.runs},
            "n_eval_episodes": self.runs[0].n_eval_episodes,
            "device": self.runs[0].device,
            "hyperparameters": hyperparameters,
            "versions": {**versions(), **installed(ENVIRONMENT_PACKAGES)},
        }

    def budgets(self) -> dict[str, dict[str, int]]:
        """
        :return: For each environment, for how many timesteps each algorithm trains.
        """
        budgets: dict[str, dict[str, int]] = {}
        for run in self.runs:
            budgets.setdefault(run.name.env, {})[run.name.algo] = run.n_timesteps
        return budgets

    def fingerprint(self) -> str:
        """
        :return: Eight characters that are the same for the same plan, also when an environment's package, for want of which
            its runs have failed, is there at last.
        """
        plan = {**self.as_dict(), "versions": versions()}
        return hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()[:8]


def versions() -> dict[str, str]:
    """
    :return: The versions of Python and of the packages that all results depend on.
    """
    return {"python": platform.python_version(), "sb3-reinforce": __version__, **installed(PACKAGES)}


def installed(packages: Iterable[str]) -> dict[str, str]:
    """
    :param packages: Names of packages.
    :return: The versions of those that are installed.
    """
    found = {}
    for package in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def make_plan(
    algos: Sequence[str],
    envs: Sequence[str],
    seeds: int | Sequence[int],
    timesteps: int | None,
    eval_freq: int | None,
    n_eval_episodes: int,
    hyperparams: str | pathlib.Path | HyperparameterTable | None,
    device: str,
) -> Plan:
    """
    Plan a comparison. Nothing is built yet.

    :param algos: Names of algorithms, as in the RL Zoo.
    :param envs: Gymnasium's ids of environments. ``module:Id-v0`` imports the module first, as ``gymnasium.make`` does.
    :param seeds: The seeds themselves, or how many, which are then counted from 1 on.
    :param timesteps: Environment steps of every run. None: ``n_timesteps`` of its hyperparameters.
    :param eval_freq: Environment steps between two evaluations. None: the smallest budget of an environment's runs / 20.
    :param n_eval_episodes: Episodes of an evaluation.
    :param hyperparams: A YAML file, or what it would hold; see :func:`read_hyperparameters`.
    :param device: Where to train.
    :return: The plan.
    :raises ValueError: If there is nothing to compare, or something named is not known or out of its range.
    """
    for name, value in (("algos", algos), ("envs", envs)):
        if isinstance(value, str) or not value:
            raise ValueError(f"{name} must be a list of at least one name, but got {value!r}.")
    for name, number in (("timesteps", timesteps), ("eval_freq", eval_freq), ("n_eval_episodes", n_eval_episodes)):
        if number is not None and number < 1:
            raise ValueError(f"{name} must be at least 1, but got {number}.")
    for algo in algos:
        _check_known("algorithm", algo, ALGOS)
    specs = [find_environment(env) for env in envs]
    own = read_hyperparameters(hyperparams)
    runs = []
    for spec in {spec.id: spec for spec in specs}.values():
        settings = {algo: _hyperparameters_of(algo, spec.id, own, timesteps) for algo in algos}
        smallest = min(int(setting["n_timesteps"]) for setting in settings.values())
        freq = max(1, smallest // N_EVALUATIONS) if eval_freq is None else eval_freq
        if freq > smallest:
            raise ValueError(f"eval_freq is {freq}, but there are runs of {spec.id} that have only {smallest} timesteps.")
        for algo, setting in settings.items():
            for seed in _check_seeds(seeds):
                runs.append(Run(RunName(algo, spec.id, seed), spec, ALGOS[algo], setting, freq, n_eval_episodes, device))
    # By seeds first, so that the time left can be told early, and what is there when it is stopped is balanced
    runs.sort(key=lambda run: run.name.seed)
    return Plan(runs)


def _check_known(what: str, name: str, known: Collection[str]) -> None:
    if name not in known:
        guesses = difflib.get_close_matches(str(name), known, n=1)
        hint = f"did you mean {guesses[0]}?" if guesses else f"there are {', '.join(sorted(known))}."
        raise ValueError(f"There is no {what} '{name}': {hint}")


def _check_seeds(seeds: int | Sequence[int]) -> list[int]:
    """The seeds, each once."""
    if isinstance(seeds, int):
        if seeds < 1:
            raise ValueError(f"seeds must be at least 1, but got {seeds}.")
        return list(range(1, seeds + 1))
    if not seeds or any(not 0 <= seed < 2**32 for seed in seeds):
        raise ValueError(f"seeds must be whole numbers from 0 to 2**32 - 1, and at least one, but got {list(seeds)}.")
    return list(dict.fromkeys(int(seed) for seed in seeds))


def find_environment(env: str) -> EnvSpec:
    """
    :param env: Gymnasium's id of an environment, or ``module:Id-v0``.
    :return: What Gymnasium knows of it.
    :raises ValueError: If it is not registered, or its module can't be imported.
    """
    module, _, env_id = env.rpartition(":")
    try:
        if module:
            importlib.import_module(module)
    except Exception as error:  # a module may do anything
        reason = f"the module '{module}' can't be imported: {type(error).__name__}: {error}"
        raise ValueError(f"There is no environment '{env}': {reason}") from error
    try:
        return gym.spec(env_id)
    except gym.error.Error as error:
        raise ValueError(f"There is no environment '{env}': {error}") from error


def read_hyperparameters(source: str | pathlib.Path | HyperparameterTable | None) -> HyperparameterTable:
    """
    The user's own hyperparameters: a mapping of algorithms, each a mapping of environments ("default" and "atari"
    stand for those not named), each a mapping of hyperparameters as the RL Zoo's files have them::

        ppo:
          CartPole-v1:
            policy: MlpPolicy
            n_timesteps: 100000
            n_envs: 8
            learning_rate: lin_0.001

    They take the place of the RL Zoo's: those that are not written have the algorithm's own defaults.

    :param source: A YAML file, or what it would hold. None for no hyperparameters of one's own.
    :return: The mapping.
    :raises ValueError: If it has another shape, or an algorithm or environment in it is not known.
    :raises OSError: If the file can't be read.
    """
    if source is None:
        return {}
    if isinstance(source, (str, pathlib.Path)):
        try:
            table, name = yaml.safe_load(pathlib.Path(source).read_text()), f"'{source}'"
        except yaml.YAMLError as error:
            raise ValueError(f"'{source}' is not a YAML file: {error}") from error
    else:
        table, name = source, "hyperparams"
    if not isinstance(table, Mapping):
        raise ValueError(f"{name} must map algorithms to environments to hyperparameters, but it is {table!r}.")
    for algo, entries in table.items():
        _check_known(f"algorithm in {name}", algo, ALGOS)
        if not isinstance(entries, Mapping) or not all(isinstance(entry, Mapping) for entry in entries.values()):
            raise ValueError(f"{name} must map {algo} to environments to hyperparameters, but maps it to {entries!r}.")
        for env in entries:
            _check_known(f"environment under {algo} in {name}", env, ["default", "atari", *gym.registry])
        _check_plain(entries, f"{algo} in {name}")
    return table


def _check_plain(entries: Mapping[str, Any], name: str) -> None:
    try:
        json.dumps(entries)
    except TypeError as error:
        raise ValueError(
            f"The hyperparameters of {name} must be numbers, strings, lists and dicts ({error}). Write anything else as a "
            'string of Python, as in the RL Zoo: policy_kwargs: "dict(activation_fn=nn.ReLU)".'
        ) from error
    texts = list(_numbers_as_text(entries, ""))
    if texts:
        raise ValueError(
            f"The hyperparameters of {name} have a text where a number is meant: {'; '.join(texts)}. YAML takes 1e-3 for a "
            "text: write 1.0e-3, or !!float 1e-3. A number has no quotation marks."
        )


def _numbers_as_text(value: Any, where: str) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key != "env_kwargs":  # an environment may well be given such a text
                yield from _numbers_as_text(inner, f"{where}{key}: ")
    elif isinstance(value, list):
        for inner in value:
            yield from _numbers_as_text(inner, where)
    elif isinstance(value, str) and _is_number(value):
        yield f"{where}'{value}'"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _hyperparameters_of(algo: str, env: str, own: HyperparameterTable, timesteps: int | None) -> Hyperparameters:
    """The user's own, or those that the algorithm comes with; with ``n_timesteps`` as it is to be."""
    names = [env, *(["atari"] if ExperimentManager.is_atari(env) else []), "default"]
    entries = [table[name] for table in (own.get(algo, {}), _packaged(algo)) for name in names if name in table]
    if not entries:
        raise ValueError(
            f"The RL Zoo has no hyperparameters of {algo} for {env}. Write some in a YAML file, and name it as hyperparams "
            f"(--hyperparams): {algo}: {{{env}: {{policy: MlpPolicy, n_timesteps: 100000}}}}"
        )
    entry = copy.deepcopy(dict(entries[0]))
    if timesteps is not None:
        entry["n_timesteps"] = timesteps
    n_timesteps = entry.get("n_timesteps")
    if not isinstance(n_timesteps, (int, float)) or n_timesteps < 1:
        raise ValueError(
            f"The hyperparameters of {algo} for {env} must say n_timesteps, a number of at least 1, but it is {n_timesteps}. "
            "Or give timesteps (--timesteps) for all."
        )
    return entry


def _packaged(algo: str) -> Mapping[str, Hyperparameters]:
    package = "sb3_reinforce.zoo" if algo in ALGORITHMS else "rl_zoo3"
    file = importlib.resources.files(package) / "hyperparams" / f"{algo}.yml"
    return yaml.safe_load(file.read_text()) if file.is_file() else {}
