"""Callbacks for any SB3 algorithm."""

import io
import pathlib
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback, ConvertCallback
from stable_baselines3.common.logger import HumanOutputFormat, KVWriter, filter_excluded_keys
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecEnv, VecMonitor, is_vecenv_wrapped

from sb3_reinforce.common.saving import write_atomically


def environment_reward_threshold(env: VecEnv) -> float | None:
    """
    The mean return from which on the environment counts as solved, as it was registered.

    :param env: Any VecEnv.
    :return: None if the environment names none.
    """
    spec = env.get_attr("spec", indices=0)[0] if env.has_attr("spec") else None
    return getattr(spec, "reward_threshold", None)


def is_monitored(env: VecEnv) -> bool:
    """
    :param env: Any VecEnv.
    :return: Whether it reports returns and lengths of episodes, in the way of Monitor or VecMonitor.
    """
    return is_vecenv_wrapped(env, VecMonitor) or env.env_is_wrapped(Monitor, indices=0)[0]


def is_heard(callback: BaseCallback) -> bool:
    """
    :param callback: As SB3 hands it to an algorithm.
    :return: Whether anybody listens: False for what SB3 puts in the place of no callback at all.
    """
    return not (isinstance(callback, ConvertCallback) and callback.callback is None)


class _EpisodeCallback(BaseCallback):
    """Calls :meth:`_on_episode` with the return and length of each episode, as Monitor has them."""

    def _on_training_start(self) -> None:
        if not is_monitored(self.training_env):
            raise ValueError(
                f"{type(self).__name__} reads returns and lengths from Monitor, but the training environment is not wrapped "
                "in one. Use stable_baselines3.common.env_util.make_vec_env, or VecMonitor(env)."
            )

    def _on_step(self) -> bool:
        dones = self.locals["dones"]
        if not np.count_nonzero(dones):
            return True
        infos = self.locals["infos"]
        # What REINFORCE's idle environments still finish are the short episodes: they would bias the mean
        counted = self.locals.get("learned_from")
        for i in np.flatnonzero(dones if counted is None else dones & counted):
            if "episode" in infos[i]:
                self._on_episode(infos[i]["episode"]["r"], int(infos[i]["episode"]["l"]))
        return True

    def _on_episode(self, episode_return: float, length: int) -> None:
        raise NotImplementedError


class EpisodeDurationCallback(_EpisodeCallback):
    """
    Logs every episode's length and return as it ends, for any SB3 algorithm, with the running
    mean and the best so far.

    ``rollout/episode_length`` and ``rollout/episode_return`` go to TensorBoard, CSV and JSON as a
    point for every episode, at the timestep at which it ended. On stdout, the last of them stand
    in the algorithm's next table with ``rollout/episode_length_mean``,
    ``rollout/episode_return_mean`` and ``rollout/episode_return_best``, which every output
    shows once a log.

    With REINFORCE, the episodes of its rollouts count, those of idle environments do not.

    :param window_size: Over how many of the last episodes the running means go.
    :param verbose: Verbosity level: 0 for no output, 1 for a line at each new best return.
    :raises ValueError: When training starts, if the environment has no Monitor.
    """

    def __init__(self, window_size: int = 100, verbose: int = 0) -> None:
        super().__init__(verbose)
        if window_size < 1:
            raise ValueError(f"window_size must be at least 1, but got {window_size}.")
        self.returns: deque[float] = deque(maxlen=window_size)
        self.lengths: deque[int] = deque(maxlen=window_size)
        self.n_episodes = 0
        self.best_return = -np.inf

    def _on_episode(self, episode_return: float, length: int) -> None:
        self.n_episodes += 1
        self.returns.append(episode_return)
        self.lengths.append(length)
        if episode_return > self.best_return:
            self.best_return = episode_return
            if self.verbose >= 1:
                print(f"Episode {self.n_episodes}: new best return {episode_return:g} in {length} timesteps")
        self._log_episode({"rollout/episode_length": length, "rollout/episode_return": episode_return})

    def _log_episode(self, values: dict[str, float]) -> None:
        """A point for this episode where points are kept; a table for each would drown the terminal."""
        point = {**values, "time/total_timesteps": self.num_timesteps}
        excluded: dict[str, tuple[str, ...]] = {key: () for key in values}
        excluded["time/total_timesteps"] = ("tensorboard",)
        for output in self.logger.output_formats:
            if not isinstance(output, HumanOutputFormat):
                output.write(point, excluded, self.num_timesteps)
        for key, value in values.items():
            self.logger.record(key, value, exclude=("tensorboard", "csv", "json"))

    def _on_rollout_end(self) -> None:
        if self.returns:
            self.logger.record("rollout/episode_length_mean", float(np.mean(self.lengths)))
            self.logger.record("rollout/episode_return_mean", float(np.mean(self.returns)))
            self.logger.record("rollout/episode_return_best", float(self.best_return))


class LiveChartCallback(EpisodeDurationCallback):
    """
    Draws each episode's duration, the loss and epsilon while an SB3 algorithm trains: in a Jupyter notebook below the cell, or
    into a PNG file. It logs what :class:`EpisodeDurationCallback` logs, and takes its place. Needs matplotlib and pandas
    (the extra ``extra``)::

        REINFORCE("LinearSoftmaxPolicy", "CartPole-v1").learn(callback=LiveChartCallback())

    :param path: The PNG file to keep up to date; None to draw in the notebook.
    :param seconds: At least so many seconds lie between two drawings, and twenty times as long as one takes, so that
        training is hardly slowed.
    :param window_size: Over how many of the last episodes the running means go.
    :param verbose: Verbosity level: 0 for no output, 1 for a line at each new best return.
    :raises ImportError: If matplotlib or pandas is missing.
    :raises ValueError: When training starts, if there is no path and no notebook, or the environment has no Monitor.
    """

    def __init__(
        self, path: str | pathlib.Path | None = None, seconds: float = 1.0, window_size: int = 100, verbose: int = 0
    ) -> None:
        super().__init__(window_size, verbose)
        from sb3_reinforce.common.plots import plot_learning_curve  # early, should something be missing

        self._plot = plot_learning_curve
        self.path = None if path is None else pathlib.Path(path)
        self.seconds = seconds
        self._log = _KeptLog()

    def _on_training_start(self) -> None:
        super()._on_training_start()
        self._show = _into_notebook() if self.path is None else self._save
        self._next_drawing = 0.0
        self.logger.output_formats.append(self._log)

    def _on_rollout_start(self) -> None:
        if time.monotonic() >= self._next_drawing:
            self._draw()

    def _on_training_end(self) -> None:
        self._draw()
        self.logger.output_formats.remove(self._log)

    def _draw(self) -> None:
        if self.n_episodes == 0:
            return
        start = time.monotonic()
        png = io.BytesIO()
        self._plot(self._log.rows, title=type(self.model).__name__).savefig(png, format="png")
        self._show(png.getvalue())
        end = time.monotonic()
        self._next_drawing = end + max(self.seconds, 20 * (end - start))

    def _save(self, png: bytes) -> None:
        assert self.path is not None
        write_atomically(self.path, png)


class _KeptLog(KVWriter):
    """Rows as in SB3's ``progress.csv``."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def write(self, key_values: dict[str, Any], key_excluded: dict[str, tuple[str, ...]], step: int = 0) -> None:
        self.rows.append(filter_excluded_keys(key_values, key_excluded, "csv"))

    def close(self) -> None:
        pass


def _into_notebook() -> Callable[[bytes], None]:
    """A function that shows one picture in the place of the last."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if not hasattr(shell, "kernel"):
        raise ValueError(
            "LiveChartCallback draws in a Jupyter notebook. Elsewhere, give it a file: LiveChartCallback('chart.png')."
        )
    from IPython.display import Image, display

    handle = display(display_id=True)
    return lambda png: handle.update(Image(png))


class EpsilonCallback(BaseCallback):
    """
    Logs how much the algorithm explores by epsilon, as ``rollout/epsilon``: REINFORCE's epsilon,
    DQN's exploration rate, or that of any algorithm with an ``exploration_rate``.

    :param verbose: Verbosity level.
    :raises ValueError: When training starts, if the algorithm does not explore by epsilon.
    """

    def _on_training_start(self) -> None:
        if not hasattr(self.model, "exploration_rate"):
            raise ValueError(
                f"EpsilonCallback logs the exploration rate of REINFORCE or DQN, but {type(self.model).__name__} has none."
            )

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        self.logger.record("rollout/epsilon", float(self.model.exploration_rate))  # type: ignore[attr-defined]


class StopTrainingOnSolved(_EpisodeCallback):
    """
    Stops training once the mean return of the last ``n_episodes`` training episodes has reached the
    environment's reward threshold: Gymnasium's notion of solved.

    These are episodes played while learning, exploration included; what the policy reaches is for
    ``evaluate_policy`` to say.

    :param reward_threshold: Mean return to reach. Default: the environment's own.
    :param n_episodes: How many episodes the mean goes over.
    :param verbose: Verbosity level: 0 for no output, 1 for a line when training ends because of this.
    :raises ValueError: When training starts, if the environment has no Monitor, or no threshold and
        none was given.
    """

    def __init__(self, reward_threshold: float | None = None, n_episodes: int = 100, verbose: int = 0) -> None:
        super().__init__(verbose)
        if n_episodes < 1:
            raise ValueError(f"n_episodes must be at least 1, but got {n_episodes}.")
        self.reward_threshold = reward_threshold
        self.returns: deque[float] = deque(maxlen=n_episodes)
        self.solved = False

    def _init_callback(self) -> None:
        threshold = self.reward_threshold
        if threshold is None:
            threshold = environment_reward_threshold(self.training_env)
        if threshold is None:
            raise ValueError(
                "The environment has no reward_threshold of its own to stop at. Pass one: "
                "StopTrainingOnSolved(reward_threshold=...)."
            )
        self._threshold = threshold

    def _on_training_start(self) -> None:
        super()._on_training_start()
        self.returns.clear()
        self.solved = False

    def _on_episode(self, episode_return: float, length: int) -> None:
        if not self.solved:
            self.returns.append(episode_return)
            self.solved = len(self.returns) == self.returns.maxlen and bool(np.mean(self.returns) >= self._threshold)

    def _on_step(self) -> bool:
        super()._on_step()
        if self.solved and self.verbose >= 1:
            print(
                f"Solved: mean return {np.mean(self.returns):.2f} over the last {len(self.returns)} episodes "
                f"(threshold {self._threshold:g}), after {self.num_timesteps} timesteps"
            )
        return not self.solved
