"""What a comparison runs: every algorithm on every environment with every seed, each with its hyperparameters."""

import contextlib
import hashlib
import importlib
import importlib.metadata
import json
import pathlib
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec
from huggingface_sb3 import EnvironmentName
from rl_zoo3 import ALGOS
from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_reinforce.common.arguments import ALGORITHM
from sb3_reinforce.common.constraints import NONE, SEED, Interval, Table, Test, checked
from sb3_reinforce.common.evaluation import episode_limit, own_time_limit
from sb3_reinforce.common.names import check_known
from sb3_reinforce.compare.hyperparameters import (
    Hyperparameters,
    HyperparameterTable,
    hyperparameters_of,
    read_hyperparameters,
)
from sb3_reinforce.compare.source_code import code_of_environment, code_of_hyperparameters, fingerprints, registration
from sb3_reinforce.version import __version__

# What the numbers of a run depend on, beside its plan
PACKAGES = ("stable-baselines3", "sb3-contrib", "rl_zoo3", "gymnasium", "torch", "numpy")
# Those of some environments also on these, if they are installed
ENVIRONMENT_PACKAGES = ("ale-py", "box2d", "box2d-py", "mujoco", "opencv-python", "opencv-python-headless", "pygame")
# An environment is evaluated this often, by default, within its smallest budget
N_EVALUATIONS = 20
# What an untrained policy scores
FIRST_EVALUATION = 0


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
    tuned_for: str | None
    """Where they come from, as ``hyperparameters_of`` says it."""
    eval_freq: int
    n_eval_episodes: int
    max_episode_steps: int
    """Timesteps after which an episode of an evaluation is cut off."""
    device: str

    @property
    def n_timesteps(self) -> int:
        """How long to train."""
        return int(self.hyperparameters["n_timesteps"])

    @property
    def evaluation_timesteps(self) -> list[int]:
        """
        The timesteps to evaluate at: before training, then the same for all runs of an environment as far as they go, and the
        end of each.
        """
        return [FIRST_EVALUATION, *range(self.eval_freq, self.n_timesteps, self.eval_freq), self.n_timesteps]


@dataclass(frozen=True)
class Plan:
    """All runs of a comparison, in the order in which they are started."""

    runs: list[Run]
    code: dict[str, str]
    """A fingerprint of the source of each module that the runs depend on, but for packages of known version."""

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
            "first_evaluation": FIRST_EVALUATION,
            "eval_freq": {run.name.env: run.eval_freq for run in self.runs},
            "n_eval_episodes": self.runs[0].n_eval_episodes,
            "max_episode_steps": {run.name.env: run.max_episode_steps for run in self.runs},
            "device": self.runs[0].device,
            "hyperparameters": hyperparameters,
            "registered": {run.name.env: registration(run.spec) for run in self.runs},
            "code": self.code,
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

    def stand_ins(self) -> dict[str, dict[str, str]]:
        """
        :return: ``{algo: {env: name}}`` where hyperparameters were not tuned for the environment itself: the name of its other
            version that they were tuned for, or "default".
        """
        found: dict[str, dict[str, str]] = {}
        for run in self.runs:
            if run.tuned_for not in (None, run.name.env, "atari"):
                found.setdefault(run.name.algo, {})[run.name.env] = run.tuned_for
        return found

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


def _are_seeds(value: Any) -> bool:
    return isinstance(value, Sequence) and len(value) > 0 and all(map(SEED.allows, value))


_ARGUMENTS: Table = {
    "seeds": [Interval(1, integer=True), Test("a list of integers from 0 to 2**32 - 1", _are_seeds)],
    "timesteps": [NONE, Interval(1)],
    "eval_freq": [NONE, Interval(1, integer=True)],
    "n_eval_episodes": [Interval(1, integer=True)],
    "max_episode_steps": [NONE, Interval(1, integer=True)],
    "device": ALGORITHM["device"],
}


@checked(_ARGUMENTS, "")
def make_plan(
    algos: Sequence[str],
    envs: Sequence[str],
    seeds: int | Sequence[int],
    timesteps: int | None,
    eval_freq: int | None,
    n_eval_episodes: int,
    max_episode_steps: int | None,
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
    :param max_episode_steps: Timesteps after which an episode of an evaluation is cut off. None: see ``episode_limit``.
    :param hyperparams: A YAML file, or what it would hold; see ``read_hyperparameters``.
    :param device: Where to train.
    :return: The plan.
    :raises ValueError: If there is nothing to compare, or something named is not known or out of its range.
    """
    for name, value in (("algos", algos), ("envs", envs)):
        if isinstance(value, str) or not value:
            raise ValueError(f"{name} must be a list of at least one name, but got {value!r}.")
    for algo in algos:
        check_known("algorithm", algo, ALGOS)
    specs = {spec.id: spec for spec in map(find_environment, envs)}
    own = read_hyperparameters(hyperparams)
    runs = []
    for env, spec in specs.items():
        settings = {algo: hyperparameters_of(algo, env, own, timesteps) for algo in algos}
        values = [setting.hyperparameters for setting in settings.values()]
        freq = _evaluation_frequency(env, values, eval_freq)
        limit = episode_limit(max_episode_steps, _longest_time_limit(spec, values))
        for algo, setting in settings.items():
            for seed in _each_seed(seeds):
                run = RunName(algo, env, seed)
                runs.append(Run(run, spec, ALGOS[algo], *setting, freq, n_eval_episodes, limit, device))
    # By seeds first, so that the time left can be told early, and what is there when it is stopped is balanced
    runs.sort(key=lambda run: run.name.seed)
    return Plan(runs, _code_of(runs))


def _each_seed(seeds: int | Sequence[int]) -> list[int]:
    return list(dict.fromkeys(map(int, seeds))) if isinstance(seeds, Sequence) else list(range(1, seeds + 1))


def _evaluation_frequency(env: str, settings: Iterable[Hyperparameters], eval_freq: int | None) -> int:
    smallest = min(int(setting["n_timesteps"]) for setting in settings)
    if eval_freq is None:
        return max(1, smallest // N_EVALUATIONS)
    if eval_freq > smallest:
        raise ValueError(f"eval_freq is {eval_freq}, but there are runs of {env} that have only {smallest} timesteps.")
    return eval_freq


def _longest_time_limit(spec: EnvSpec, settings: Iterable[Hyperparameters]) -> int:
    """The environment's own, as it was registered or as the hyperparameters of an algorithm have it made."""
    made = [(setting.get("env_kwargs") or {}).get("max_episode_steps") for setting in settings]
    return max(limit or 0 for limit in (own_time_limit(spec), *made))


def _code_of(runs: Iterable[Run]) -> dict[str, str]:
    once = {run.name[:2]: run for run in runs}.values()
    return fingerprints(
        code
        for run in once
        for code in (*code_of_environment(run.spec), *code_of_hyperparameters(run.hyperparameters), run.algorithm)
    )


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
