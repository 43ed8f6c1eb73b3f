"""One run of a comparison: an algorithm trains on an environment with a seed, and is evaluated at fixed timesteps."""

import argparse
import contextlib
import copy
import os
import pathlib
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import torch as th
from rl_zoo3 import ALGOS
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.utils import set_random_seed
from stable_baselines3.common.vec_env import VecEnv
from threadpoolctl import threadpool_limits

from sb3_reinforce.common.eval_callback import MAX_EVAL_ENVS, EvalCallbackAtTimesteps
from sb3_reinforce.common.evaluation import limit_episodes
from sb3_reinforce.compare.locks import temporary_folder
from sb3_reinforce.compare.plan import Run, RunName
from sb3_reinforce.zoo.experiment_manager import ExperimentManager, in_order

# Two runs at a time would share the global generators and standard output of their process
_ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True)
class Outcome:
    """What has come of a run. Workers need no common disk: they hand over the files themselves."""

    name: RunName
    seconds: float = 0.0
    """Wall-clock time, evaluations included."""
    files: dict[str, bytes] | None = None
    """By their path within the run's folder; None if the run has failed."""
    n_cut_off: Sequence[int] = ()
    """For each evaluation, how many of its episodes were cut off because they did not end."""
    error: str = ""
    """The traceback, if it has failed."""


def execute(run: Run) -> Outcome:
    """
    Train and evaluate. What comes out depends on the run alone: not on the process, nor on what ran there before.

    :param run: The run.
    :return: The files of the run, or the error in it.
    """
    start = time.perf_counter()
    try:
        with _ONE_AT_A_TIME, _one_thread(), _quiet(), temporary_folder() as folder:
            files, n_cut_off = _train(run, folder)
    except (Exception, SystemExit) as error:  # whatever it is that an environment does, the other runs go on
        return Outcome(run.name, error=_traceback_of(error))
    return Outcome(run.name, time.perf_counter() - start, files, n_cut_off)


def _traceback_of(error: BaseException) -> str:
    """With what was noted of it first, so that its last line is the error."""
    notes: list[str] = vars(error).pop("__notes__", [])
    return "\n".join([*notes, "".join(traceback.format_exception(error))])


def check(run: Run) -> None:
    """
    Build all that the run needs, and train nothing.

    :param run: The run.
    :raises ValueError: If the environment, the algorithm or one of the hyperparameters is refused.
    """
    try:
        with _quiet(), temporary_folder() as folder:
            experiment = Experiment(run, folder)
            experiment.build()
            experiment.close()
    except (Exception, SystemExit) as error:  # of any kind: it is the hyperparameters that choose what is called
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(f"{run.name.algo} can't be set up on {run.name.env} with {run.hyperparameters}: {reason}") from error


def _train(run: Run, folder: str) -> tuple[dict[str, bytes], list[int]]:
    gym.registry[run.name.env] = run.spec  # a worker of a cluster may have an older one
    ALGOS[run.name.algo] = run.algorithm
    set_random_seed(run.name.seed)
    experiment = Experiment(run, folder)
    model = experiment.build()
    try:
        model.learn(experiment.n_timesteps, callback=experiment.callbacks)
        experiment.save_trained_model(model)
    finally:
        experiment.close()
    path = pathlib.Path(experiment.save_path)
    files = {file.relative_to(path).as_posix(): file.read_bytes() for file in path.rglob("*") if file.is_file()}
    del files[f"{experiment.env_name}/command.txt"]  # that of the worker
    return files, experiment.evaluations.n_cut_off


class Experiment(ExperimentManager):
    """
    The RL Zoo's ExperimentManager, which makes environments and model of hyperparameters, for one run.

    :param run: The run.
    :param folder: Where its files go, in the layout of the RL Zoo.
    """

    def __init__(self, run: Run, folder: str) -> None:
        env_kwargs = run.hyperparameters.get("env_kwargs")
        # What the RL Zoo's commands read of how an agent was trained
        args = {**run.name._asdict(), "env_kwargs": env_kwargs, "device": run.device, "eval_freq": run.eval_freq}
        super().__init__(
            argparse.Namespace(**args),
            run.name.algo,
            run.name.env,
            folder,
            env_kwargs=env_kwargs,
            n_eval_episodes=run.n_eval_episodes,
            n_eval_envs=min(run.n_eval_episodes, MAX_EVAL_ENVS),
            seed=run.name.seed,
            device=run.device,
            verbose=0,
        )
        self.run = run
        self.envs: list[VecEnv] = []

    def build(self) -> Any:
        """
        :return: The model. Its environment and that of the evaluations are there as well.
        """
        setup = self.setup_experiment()
        assert setup is not None
        # SB3 counts up from the seed, so that runs of seeds 1 and 2 would have most environments in common
        self.envs[-1].seed(self._seed(0))
        return setup[0]

    def _seed(self, stream: int) -> int:
        return int(np.random.SeedSequence((self.seed, stream)).generate_state(1)[0])

    def close(self) -> None:
        """Close all environments."""
        for env in self.envs:
            env.close()

    def create_envs(self, n_envs: int, eval_env: bool = False, no_log: bool = False) -> VecEnv:
        """
        As the RL Zoo's, with a limit of timesteps for the episodes of evaluations.

        :param n_envs: How many.
        :param eval_env: Whether they are for evaluation.
        :param no_log: Whether Monitor writes no file.
        :return: The environments.
        """
        wrapper = in_order(self._limit_episodes, self.env_wrapper) if eval_env else self.env_wrapper
        with self.temporarily(env_wrapper=wrapper):
            self.envs.append(super().create_envs(n_envs, eval_env, no_log))
        return self.envs[-1]

    def _limit_episodes(self, env: gym.Env) -> gym.Env:
        assert isinstance(env, Monitor)  # SB3's make_vec_env puts it around the environment, and wrappers around it
        return limit_episodes(env, self.run.max_episode_steps)

    def read_hyperparameters(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """
        :return: Those of the run: to be used up, and to be saved.
        """
        return copy.deepcopy(self.run.hyperparameters), dict(sorted(self.run.hyperparameters.items()))

    def create_callbacks(self) -> None:
        """Evaluate at the run's timesteps, on environments that have a seed of their own."""
        eval_env = self.create_envs(self.n_eval_envs, eval_env=True)
        eval_env.seed(self._seed(1))
        self.evaluations = EvalCallbackAtTimesteps(
            eval_env,
            self.run.evaluation_timesteps,
            pathlib.Path(self.save_path),
            self.n_eval_episodes,
            self.deterministic_eval,
            to_the_end=True,
        )
        self.callbacks.append(self.evaluations)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Workers would get into each other's way, and sums depend on how they are divided among threads."""
    n_threads = th.get_num_threads()
    with threadpool_limits(1):
        th.set_num_threads(1)
        try:
            yield
        finally:
            th.set_num_threads(n_threads)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The RL Zoo and many environments print; what they have to say of an error is in its message."""
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        yield
