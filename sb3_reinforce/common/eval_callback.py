"""SB3's EvalCallback at given timesteps, and the file that it writes."""

import pathlib
from collections.abc import Iterable
from typing import Any

import numpy as np
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.vec_env import VecEnv

from sb3_reinforce.common.evaluation import CutOffCounter
from sb3_reinforce.common.masked_observations import tell_masks_to

EVALUATIONS = "evaluations.npz"
MAX_EVAL_ENVS = 10
"""An evaluation plays this many episodes at a time."""
_NEVER = float("inf")


class EvalCallbackAtTimesteps(EvalCallback):
    """
    SB3's EvalCallback at given timesteps, so that runs with different numbers of environments have theirs in common, and a
    training that goes on has them where it would have had them. An evaluation takes place at the first step that reaches its
    timesteps, and is entered under these; that at 0 before training. The file of the evaluations keeps those from before
    the training was interrupted.

    :param eval_env: The environments to evaluate on.
    :param timesteps: The timesteps to evaluate at, in rising order; they may go on for ever.
    :param folder: Where the file of the evaluations and the best model go.
    :param n_episodes: Of an evaluation.
    :param deterministic: Whether the most probable actions are played.
    :param to_the_end: Whether the final policy is evaluated at those timesteps that are left if training ends before them, as
        when RandomWeightSearch has solved the environment.
    """

    hears_steps = True

    def __init__(
        self,
        eval_env: VecEnv,
        timesteps: Iterable[int],
        folder: pathlib.Path,
        n_episodes: int,
        deterministic: bool = True,
        to_the_end: bool = False,
    ) -> None:
        super().__init__(
            eval_env,
            eval_freq=1,
            n_eval_episodes=n_episodes,
            log_path=str(folder),
            best_model_save_path=str(folder),
            deterministic=deterministic,
            verbose=0,
        )
        self.n_cut_off: list[int] = []
        """For each evaluation so far, how many of its episodes were cut off because they did not end."""
        self.to_the_end = to_the_end
        self._counter = CutOffCounter()
        self._file = folder / EVALUATIONS
        self._to_come = iter(timesteps)
        self._next: float = next(self._to_come, _NEVER)

    def _on_training_start(self) -> None:
        tell_masks_to(self.model, self.eval_env)
        before = [row for row in zip(*read_evaluations(self._file), strict=True) if row[0] <= self.model.num_timesteps]
        for timesteps, returns, lengths in before:
            self.evaluations_timesteps.append(timesteps)
            self.evaluations_results.append(returns)
            self.evaluations_length.append(lengths)
            self.best_mean_reward = max(self.best_mean_reward, float(np.mean(returns)))
        while self._next < self.model.num_timesteps or self._next in self.evaluations_timesteps:
            self._next = next(self._to_come, _NEVER)
        self._evaluate_up_to(self.model.num_timesteps)

    def _on_step(self) -> bool:
        if self._next <= self.model.num_timesteps:
            self._evaluate_up_to(self.model.num_timesteps)
        return True

    def _on_training_end(self) -> None:
        if self.to_the_end:
            self._evaluate_up_to(_NEVER)

    def _evaluate_up_to(self, timesteps: float) -> None:
        while self._next <= timesteps and self._next != _NEVER:
            self.num_timesteps = int(self._next)
            self._next = next(self._to_come, _NEVER)
            self._counter = CutOffCounter()
            super()._on_step()
            self.n_cut_off.append(self._counter.n_cut_off)

    def _log_success_callback(self, locals_: dict[str, Any], globals_: dict[str, Any]) -> None:
        """What EvalCallback hands to ``evaluate_policy`` as its callback."""
        super()._log_success_callback(locals_, globals_)
        self._counter(locals_, globals_)


def read_evaluations(path: pathlib.Path) -> tuple[list[Any], list[Any], list[Any]]:
    """
    :param path: A file as SB3's EvalCallback writes it.
    :return: Timesteps, returns and lengths of each evaluation; none if the file can't be read.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            timesteps, returns, lengths = (list(file[name]) for name in ("timesteps", "results", "ep_lengths"))
    except (OSError, ValueError, KeyError, EOFError):
        return [], [], []
    return (timesteps, returns, lengths) if len(timesteps) == len(returns) == len(lengths) else ([], [], [])
