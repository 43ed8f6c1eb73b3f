"""Models that somebody has saved, and what is known of how they were trained."""

import pathlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv, VecNormalize, unwrap_vec_normalize

from sb3_reinforce.cli.arguments import custom_objects_for, read_policy
from sb3_reinforce.cli.errors import CliError
from sb3_reinforce.cli.run_folder import (
    RunFolder,
    find_repository,
    find_run_folder,
    latest_run_folder,
    name_of_environment,
)
from sb3_reinforce.cli.shared import check_that_no_module_is_named, check_that_no_policy_is_imported
from sb3_reinforce.common.model_files import read_model_file
from sb3_reinforce.common.normalization_files import NORMALIZATION_FILES, read_normalization
from sb3_reinforce.common.origin import algorithm_of
from sb3_reinforce.sharing.repository import models_among
from sb3_reinforce.zoo import ALGORITHMS, check_algorithm, import_rl_zoo3


@dataclass(frozen=True)
class SavedModel:
    """
    A model's file, and what there is to know of it.

    :param path: The file.
    :param folder: The folder of its run; None if it has none.
    :param algo: The name of its algorithm.
    :param env_id: The environment that it plays; empty if nothing says which.
    """

    path: pathlib.Path
    folder: RunFolder | None
    algo: str = ""
    env_id: str = ""

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """What it was trained with, as the RL Zoo's files have it; of a file alone, whether it was with normalization."""
        if self.folder is None:
            if self.algo not in ALGORITHMS:
                return {"normalize": self.normalization is not None}
            statistics = read_model_file(self.path).data.get("_normalization") or {}
            return {"normalize": any(str(name).startswith("mean of observation") for name in statistics)}
        hyperparameters = self.folder.read_hyperparameters()
        of_the_command_line = self.folder.read_arguments().get("env_kwargs")
        return hyperparameters | ({"env_kwargs": of_the_command_line} if of_the_command_line else {})

    @property
    def normalization(self) -> pathlib.Path | None:
        """
        The file of a VecNormalize that belongs to the model of another's algorithm; None if there is none. Models of ours have
        it in their own file.
        """
        folder = self.path.parent if self.folder is None else self.folder.parameters
        files = [folder / name for name in NORMALIZATION_FILES]
        return None if self.algo in ALGORITHMS else next((file for file in files if file.is_file()), None)

    @staticmethod
    def at(path: pathlib.Path) -> "SavedModel":
        """
        :param path: The folder of a run, a model's file, or that without its suffix, or a folder with one model, as a
            repository of the Hub is.
        :return: The model.
        :raises CliError: If there is none.
        """
        folder = find_run_folder(path)
        if folder is not None:
            return SavedModel(folder.model, folder)
        for file in (path, pathlib.Path(f"{path}.zip"), *_only_model_in(path)):
            if file.is_file():
                return SavedModel(file, find_run_folder(file.parent) or find_repository(file.parent))
        raise CliError(f"there is no model at '{path}'")

    @staticmethod
    def of_last_run(log_folder: pathlib.Path, algo: str, env_id: str, number: int) -> "SavedModel":
        """
        :param log_folder: Where all runs are.
        :param algo: The algorithm.
        :param env_id: The environment.
        :param number: Of the run; 0 for the last.
        :return: The model.
        :raises CliError: If there is none.
        :raises ValueError: If there is no such algorithm.
        """
        check_algorithm(algo)
        folder = latest_run_folder(log_folder, algo, env_id)
        if number > 0:
            folder = RunFolder(log_folder / algo / f"{folder.env_name}_{number}", folder.env_name)
        return SavedModel(folder.model, folder, algo, env_id)

    def chosen(self, algo: str | None, env_id: str | None, best: bool) -> "SavedModel":
        """
        :param algo: The algorithm that the user names.
        :param env_id: The environment that the user names.
        :param best: Whether to take the best model of the run.
        :return: The model, of which algorithm and environment are known.
        :raises CliError: If they are not, or there is no such file.
        :raises ValueError: If there is no such algorithm.
        """
        path = self.path
        if best:
            if self.folder is None or not self.folder.best_model.is_file():
                raise CliError(f"there is no best model beside '{path}': it is kept by evaluations in training (--eval-freq)")
            path = self.folder.best_model
        if not path.is_file():
            raise CliError(f"there is no model at '{path}'")
        return replace(self, path=path, algo=self._algorithm(path, algo), env_id=env_id or self._environment())

    def _algorithm(self, path: pathlib.Path, given: str | None) -> str:
        """By its file if it is one of ours, else as the user or the folder says."""
        name = algorithm_of(read_model_file(path).data)
        for ours, algorithm in ALGORITHMS.items():
            if name is not None and name.endswith(f".{algorithm.__name__}"):
                return ours
        arguments = {} if self.folder is None else self.folder.read_arguments()
        told = given or self.algo or str(arguments.get("algo", ""))
        if told in ("", *ALGORITHMS):
            raise CliError(f"'{path}' was saved by neither of {', '.join(ALGORITHMS)}; name its algorithm with --algo")
        check_algorithm(told)
        return told

    def _environment(self) -> str:
        if self.env_id or self.folder is None:
            if not self.env_id:
                raise CliError(f"nothing beside '{self.path}' says what environment it plays; name it with --env")
            return self.env_id
        env_id = str(self.folder.read_arguments().get("env", ""))
        if self.folder.env_name not in ("", name_of_environment(env_id)) or not env_id:
            raise CliError(f"'{self.folder.parameters / 'args.yml'}' does not say what environment it is; name it with --env")
        check_that_no_module_is_named(env_id, f"'{self.folder.parameters / 'args.yml'}'")
        return env_id

    def load(self, env: VecEnv, trusted: bool, policy: str | None = None) -> tuple[BaseAlgorithm, VecEnv]:
        """
        :param env: Where it is to play.
        :param trusted: Whether its files may run code.
        :param policy: Module and class of the policy, if it is the user's own. The module is imported.
        :return: The model, and the environment with the normalization that belongs to the model.
        :raises CliError: If a file of another algorithm is not trusted.
        """
        if self.algo in ALGORITHMS:  # whose statistics are in the model's file
            if policy is None and self.folder is not None and not trusted:
                check_that_no_policy_is_imported(
                    self.hyperparameters.get("policy"), f"'{self.folder.parameters / 'config.yml'}'"
                )
            given = None if policy is None else custom_objects_for(read_policy(policy))
            return ALGORITHMS[self.algo].load(self.path, env, "cpu", given, trusted=trusted), env
        if not trusted:
            raise CliError(
                f"'{self.path}' is of {self.algo}, and SB3 runs what is in its file. If you know who made it and trust them, "
                "use --trusted"
            )
        algorithm = import_rl_zoo3("rl_zoo3").ALGOS[self.algo]
        env = self._normalized(env)
        # Of no use to play, and often not to be read by another version, as rl_zoo3 does it
        unused: Mapping[str, Any] = {"learning_rate": 0.0, "lr_schedule": _zero, "clip_range": _zero}
        return algorithm.load(self.path, env=env, device="cpu", custom_objects=dict(unused)), env

    def _normalized(self, env: VecEnv) -> VecEnv:
        """As the file says that is beside the model of another's algorithm, which is trusted."""
        normalized = unwrap_vec_normalize(env)
        if normalized is None:
            return env
        path = self.normalization
        if path is None:
            raise CliError(
                f"'{self.path}' was trained with normalization, and the file of its statistics is missing "
                f"({', '.join(NORMALIZATION_FILES)})"
            )
        is_plain, venv = path.suffix == ".json", normalized.venv
        saved = read_normalization(path, venv) if is_plain else VecNormalize.load(str(path), venv)
        for name in ("norm_obs", "norm_obs_keys", "clip_obs", "epsilon"):
            setattr(normalized, name, getattr(saved, name))
        if saved.norm_obs:
            normalized.obs_rms = saved.obs_rms
        return env


def _only_model_in(path: pathlib.Path) -> list[pathlib.Path]:
    models = models_among(file.name for file in path.iterdir()) if path.is_dir() else []
    return [path / models[0]] if len(models) == 1 else []


def _zero(progress_remaining: float) -> float:
    return 0.0
