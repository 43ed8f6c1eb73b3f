"""What the RL Zoo has to do for our algorithms beyond what it does for its own."""

import pathlib
from typing import Any

import optuna
from rl_zoo3 import exp_manager, linear_schedule
from rl_zoo3.utils import get_wrapper_class
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv

import sb3_reinforce
from sb3_reinforce.random_weight_search import RandomWeightSearch
from sb3_reinforce.zoo import ALGORITHMS

HYPERPARAMS = pathlib.Path(__file__).parent / "hyperparams"


def evaluate(text: str) -> Any:
    """
    A Python expression of a YAML file, in which the public names of sb3_reinforce stand beside those
    that rl_zoo3 offers (``nn``, ``th``).

    :param text: For example ``"dict(net_arch=[64], activation_fn=nn.ReLU)"``.
    :return: Its value.
    :raises ValueError: If it has none.
    """
    names = {name: getattr(sb3_reinforce, name) for name in sb3_reinforce.__all__}
    try:
        return eval(text, {**vars(exp_manager), **names})
    except Exception as error:
        raise ValueError(f"The hyperparameter {text!r} can't be evaluated: {error}") from error


def read_epsilon(text: str) -> Any:
    """
    :param text: ``"lin_0.3"``, which falls linearly to 0 as a learning rate would, or
        ``"EpsilonSchedule(start=1.0, end=0.05, decrement=0.002)"``, which falls by episode.
    :return: What REINFORCE takes as its epsilon.
    :raises ValueError: If it is neither.
    """
    return linear_schedule(text.removeprefix("lin_")) if text.startswith("lin_") else evaluate(text)


class ExperimentManager(exp_manager.ExperimentManager):
    """
    rl_zoo3's, which finds the hyperparameters of our algorithms without ``--conf-file``, and reads what they may say.
    Beside the Zoo's ``env_wrapper`` and ``env_kwargs`` stand ``train_env_wrapper`` and ``train_env_kwargs``, written alike,
    for the training environments alone: help in finding a rare reward, which the environment that is evaluated has not.

    :param args: What rl_zoo3's takes.
    :param kwargs: What rl_zoo3's takes. ``config`` is None for the hyperparameters that an algorithm comes with.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.algo in ALGORITHMS and kwargs.get("config") is None:
            self.config = str(HYPERPARAMS / f"{self.algo}.yml")

    def _preprocess_hyperparams(self, hyperparams: dict[str, Any]) -> Any:
        for key, read in (("policy_kwargs", evaluate), ("epsilon", read_epsilon)):
            if isinstance(hyperparams.get(key), str):
                hyperparams[key] = read(hyperparams[key])
        self.train_env_wrapper = get_wrapper_class(hyperparams, "train_env_wrapper")
        hyperparams.pop("train_env_wrapper", None)
        self.train_env_kwargs = hyperparams.pop("train_env_kwargs", {})
        return super()._preprocess_hyperparams(hyperparams)

    def create_envs(self, n_envs: int, eval_env: bool = False, no_log: bool = False) -> VecEnv:
        """
        As the RL Zoo's, with ``train_env_kwargs`` and ``train_env_wrapper`` for those to train in.

        :param n_envs: How many.
        :param eval_env: Whether they are for evaluation.
        :param no_log: Whether Monitor writes no file.
        :return: The environments.
        """
        if eval_env:
            return super().create_envs(n_envs, eval_env, no_log)
        wrapper, train_wrapper, env_kwargs = self.env_wrapper, self.train_env_wrapper, self.env_kwargs
        if train_wrapper is not None:
            self.env_wrapper = lambda env: train_wrapper(env if wrapper is None else wrapper(env))
        self.env_kwargs = {**env_kwargs, **self.train_env_kwargs}
        try:
            return super().create_envs(n_envs, eval_env, no_log)
        finally:
            self.env_wrapper, self.env_kwargs = wrapper, env_kwargs

    def learn(self, model: BaseAlgorithm) -> None:
        """
        Train. A search that is continued keeps the best candidate that it has.

        :param model: The model that ``setup_experiment`` has made or loaded.
        """
        if isinstance(model, RandomWeightSearch):
            self.callbacks.append(_KeepWhatWasFound(model))
        super().learn(model)

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
