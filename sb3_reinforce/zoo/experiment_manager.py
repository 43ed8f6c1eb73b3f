"""What the RL Zoo has to do for our algorithms beyond what it does for its own."""

import contextlib
import pathlib
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium as gym
import optuna
from rl_zoo3 import ALGOS, exp_manager, linear_schedule
from rl_zoo3.utils import get_wrapper_class
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from sb3_reinforce.common.base import EpisodicAlgorithm
from sb3_reinforce.common.masked_observations import tell_action_masks
from sb3_reinforce.common.normalization_files import write_normalization
from sb3_reinforce.common.saving import removes_new_folders_on_error
from sb3_reinforce.random_weight_search import RandomWeightSearch
from sb3_reinforce.vec_env import PythonVecEnv
from sb3_reinforce.zoo import ALGORITHMS, expressions
from sb3_reinforce.zoo.hyperparameters import (
    HyperparameterError,
    check_entry,
    check_hyperparameters,
    check_policy_kwargs,
    read_yaml,
)

HYPERPARAMS = pathlib.Path(__file__).parent / "hyperparams"


def evaluate(text: str) -> Any:
    """
    :param text: As for :func:`~sb3_reinforce.zoo.expressions.evaluate`, with whatever names rl_zoo3 offers.
    :return: Its value.
    :raises ValueError: If it has none.
    """
    return expressions.evaluate(text, vars(exp_manager))


def read_epsilon(text: str) -> Any:
    """
    :param text: ``"lin_0.3"``, which falls linearly to 0 as a learning rate would, or
        ``"EpsilonSchedule(start=1.0, end=0.05, decrement=0.002)"``, which falls by episode.
    :return: What REINFORCE takes as its epsilon.
    :raises ValueError: If it is neither.
    """
    return linear_schedule(text.removeprefix("lin_")) if text.startswith("lin_") else evaluate(text)


Wrapper = Callable[[gym.Env], gym.Env]


def in_order(*wrappers: Wrapper | None) -> Wrapper:
    """
    :param wrappers: Wrappers of environments, from the inside to the outside. None for one that there is not.
    :return: All of them as one.
    """

    def wrap(env: gym.Env) -> gym.Env:
        for wrapper in wrappers:
            env = env if wrapper is None else wrapper(env)
        return env

    return wrap


class ExperimentManager(exp_manager.ExperimentManager):
    """
    rl_zoo3's, which finds the hyperparameters of our algorithms without ``--conf-file``, and reads what they may say.
    Beside the Zoo's ``env_wrapper`` and ``env_kwargs`` stand ``train_env_wrapper`` and ``train_env_kwargs``, written alike,
    for the training environments alone: help in finding a rare reward, which the environment that is evaluated has not.

    :param args: What rl_zoo3's takes.
    :param kwargs: What rl_zoo3's takes. ``config`` is None for the hyperparameters that an algorithm comes with.
    """

    action_masks: Any = None
    """As among the hyperparameters."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.algo in ALGORITHMS and kwargs.get("config") is None:
            self.config = str(HYPERPARAMS / f"{self.algo}.yml")
        if self.vec_env_class is DummyVecEnv:
            self.vec_env_class = PythonVecEnv

    def read_hyperparameters(self) -> Any:
        """
        As the RL Zoo's.

        :return: The hyperparameters: to be used up, and to be saved.
        :raises HyperparameterError: If the file can't be read, or has none for the environment.
        """
        try:
            if self.config.endswith((".yml", ".yaml")):
                names = [self.env_name.gym_id, "atari" if self._is_atari else "default"]
                check_entry(read_yaml(self.config), names, self.algo, self.config)
            return super().read_hyperparameters()
        except (OSError, ImportError) as error:
            raise HyperparameterError(f"The hyperparameters '{self.config}' can't be read: {error}") from error

    def _preprocess_hyperparams(self, hyperparams: dict[str, Any]) -> Any:
        check_hyperparameters(hyperparams, ALGOS[self.algo], f"{self.algo} for {self.env_name.gym_id}")
        readers = {"policy_kwargs": evaluate, "epsilon": read_epsilon, "normalize": evaluate, "monitor_kwargs": evaluate}
        for key, read in readers.items():
            if isinstance(hyperparams.get(key), str):
                hyperparams[key] = read(hyperparams[key])
        self.train_env_wrapper = get_wrapper_class(hyperparams, "train_env_wrapper")
        hyperparams.pop("train_env_wrapper", None)
        self.train_env_kwargs = hyperparams.pop("train_env_kwargs", {})
        self.action_masks = hyperparams.get("action_masks")
        preprocessed = super()._preprocess_hyperparams(hyperparams)
        check_policy_kwargs(hyperparams.get("policy_kwargs") or {}, hyperparams["policy"], ALGOS[self.algo])
        return preprocessed

    def create_envs(self, n_envs: int, eval_env: bool = False, no_log: bool = False) -> VecEnv:
        """
        As the RL Zoo's, with ``train_env_kwargs`` and ``train_env_wrapper`` for those to train in.

        :param n_envs: How many.
        :param eval_env: Whether they are for evaluation.
        :param no_log: Whether Monitor writes no file.
        :return: The environments.
        """
        if eval_env:
            return self._telling_masks(super().create_envs(n_envs, eval_env, no_log))
        with self.temporarily(
            env_wrapper=in_order(self.env_wrapper, self.train_env_wrapper),
            env_kwargs={**self.env_kwargs, **self.train_env_kwargs},
        ):
            return super().create_envs(n_envs, eval_env, no_log)

    def _telling_masks(self, env: VecEnv) -> VecEnv:
        is_ours = issubclass(ALGOS[self.algo], EpisodicAlgorithm)
        return tell_action_masks(env, self.action_masks) if is_ours else env

    @contextlib.contextmanager
    def temporarily(self, **attributes: Any) -> Iterator[None]:
        """
        :param attributes: Values that attributes of this object are to have within the context.
        """
        before = {name: getattr(self, name) for name in attributes}
        vars(self).update(attributes)
        try:
            yield
        finally:
            vars(self).update(before)

    def learn(self, model: BaseAlgorithm) -> None:
        """
        Train. A search that is continued keeps the best candidate that it has.

        :param model: The model that ``setup_experiment`` has made or loaded.
        """
        if isinstance(model, RandomWeightSearch):
            self.callbacks.append(_KeepWhatWasFound(model))
        super().learn(model)

    def save_trained_model(self, model: BaseAlgorithm) -> None:
        """
        As the RL Zoo's; beside its pickle of VecNormalize's statistics, the same in a file that can be read without trust.

        :param model: The model.
        """
        super().save_trained_model(model)
        normalization = model.get_vec_normalize_env()
        if normalization is not None and self.algo in ALGORITHMS:
            write_normalization(normalization, pathlib.Path(self.params_path) / "vecnormalize.json")

    def objective(self, trial: optuna.Trial) -> float:
        """
        Train with hyperparameters that Optuna proposes.

        :param trial: Optuna's trial.
        :return: The mean reward of the last evaluation.
        :raises optuna.TrialPruned: If the trial is not worth going on with, or its gradient was not finite.
        """
        try:
            return super().objective(trial)
        except FloatingPointError as error:
            raise optuna.TrialPruned(str(error)) from error


class CommandExperiment(ExperimentManager):
    """The ExperimentManager of the commands: what can't be set up is said in a line, and leaves no folder."""

    def setup_experiment(self) -> tuple[BaseAlgorithm, dict[str, Any]] | None:
        """
        As the RL Zoo's.

        :return: The model, unless hyperparameters are searched for, and the hyperparameters.
        :raises HyperparameterError: If the environment, the algorithm or a hyperparameter is refused.
        """
        with _leaving_no_folder(pathlib.Path(self.save_path)):
            try:
                if self.optimize_hyperparameters and self.storage is not None and not self.storage.endswith(".log"):
                    optuna.storages.get_storage(self.storage)  # before a trial is trained
                return super().setup_experiment()
            except (HyperparameterError, FileExistsError, NotADirectoryError):  # the folder is what can't be made
                raise
            except Exception as error:  # of any kind: it is the hyperparameters that choose what is called
                raise HyperparameterError(f"{self.algo} can't be set up on {self.env_name.gym_id}: {error}") from error


@contextlib.contextmanager
def _leaving_no_folder(path: pathlib.Path) -> Iterator[None]:
    """Within, a folder is made. After an error it is gone, with those around it that were not there before."""
    is_new = not path.exists()
    with removes_new_folders_on_error(path.parent):
        try:
            yield
        except BaseException:
            if is_new:
                shutil.rmtree(path, ignore_errors=True)
            raise


class _KeepWhatWasFound(BaseCallback):
    """``learn`` counts timesteps anew in the RL Zoo, with which RandomWeightSearch forgets what it has found."""

    def __init__(self, model: RandomWeightSearch) -> None:
        super().__init__()
        self._found = model.n_candidates, model.best_mean_reward, model.solved

    def _on_training_start(self) -> None:
        assert isinstance(self.model, RandomWeightSearch)
        self.model.n_candidates, self.model.best_mean_reward, self.model.solved = self._found

    def _on_step(self) -> bool:
        return True
