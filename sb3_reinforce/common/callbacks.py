"""Callbacks for any SB3 algorithm."""

import sys
from collections import deque
from itertools import takewhile
from typing import Any, NamedTuple

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback, CallbackList, ConvertCallback
from stable_baselines3.common.logger import HumanOutputFormat
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecEnv, VecMonitor, is_vecenv_wrapped

from sb3_reinforce.common.constraints import BOOLEAN, NONE, Interval, Table, checked
from sb3_reinforce.common.flags import any_set
from sb3_reinforce.common.log_keys import LENGTH, RETURN, TIMESTEPS

ARGUMENTS: Table = {
    "window_size": [Interval(1, integer=True)],
    "n_episodes": [Interval(1, integer=True)],
    "reward_threshold": [Interval(finite=False), NONE],
    "verbose": [Interval(0, integer=True), BOOLEAN],
}
"""Of the callbacks."""


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


def monitored_episode(info: dict[str, Any]) -> dict[str, Any] | None:
    """
    :param info: Of an environment's step.
    :return: What Monitor says of the episode that ended with the step, ``"r"`` its return and ``"l"`` its length; None if no
        episode ended, or ``info["episode"]`` is something of the environment's own.
    """
    episode = info.get("episode")
    return episode if isinstance(episode, dict) and "r" in episode and "l" in episode else None


class Listening(NamedTuple):
    """
    When a callback is to be called. To call one at each step costs a fast learner a tenth of its time.

    :param each_step: At each step.
    :param ends: At each step that ends an episode.
    """

    each_step: bool
    ends: bool


def listening(callback: BaseCallback) -> Listening:
    """
    :param callback: As SB3 hands it to an algorithm.
    :return: When anybody listens: never, for what SB3 puts in the place of no callback at all, and for callbacks that say so
        by ``hears_steps = False``; at the ends of episodes, for those whose ``_on_step`` is of a class with
        ``hears_only_ends = True``.
    """
    if isinstance(callback, CallbackList):
        each = [listening(part) for part in callback.callbacks]
        return Listening(any(part.each_step for part in each), any(part.ends for part in each))
    is_none = isinstance(callback, ConvertCallback) and callback.callback is None
    if is_none or not getattr(callback, "hears_steps", True):
        return Listening(False, False)
    return Listening(not _hears_only_ends(type(callback)), True)


def _hears_only_ends(cls: type[BaseCallback]) -> bool:
    """Whoever overrides what is called at a step is called at each."""
    owner = next(owner for owner in cls.__mro__ if "_on_step" in vars(owner))
    return cls.on_step is BaseCallback.on_step and vars(owner).get("hears_only_ends", False)


def stops_when_told(model: BaseAlgorithm) -> bool:
    """
    :param model: Any SB3 algorithm.
    :return: Whether its training ends when a callback's ``on_step`` returns False. ARS does not look at that.
    """
    sb3_contrib = sys.modules.get("sb3_contrib")  # nobody has a model of it without
    return sb3_contrib is None or not isinstance(model, sb3_contrib.ARS)


class EpisodeEndCallback(BaseCallback):
    """
    Calls :meth:`_on_episode_end` for each episode of the training as it ends, with its return and length as Monitor has them.

    Algorithms tell of their episodes in one of two ways. Nearly all show a callback each step, with ``dones`` and ``infos``
    among their locals. ARS does not, for it plays by SB3's ``evaluate_policy``: its episodes are known when it has recorded
    them for its own statistics, in ``ep_info_buffer``.

    :param verbose: Verbosity level.
    :raises ValueError: When training starts, if the environment has no Monitor.
    """

    hears_only_ends = True

    def _on_training_start(self) -> None:
        if not is_monitored(self.training_env):
            raise ValueError(
                f"{type(self).__name__} reads returns and lengths from Monitor, but the training environment is not wrapped "
                "in one. Use stable_baselines3.common.env_util.make_vec_env, or VecMonitor(env)."
            )
        recorded = self.model.ep_info_buffer
        self._last_recorded = recorded[-1] if recorded else None

    def _on_step(self) -> bool:
        dones = self.locals.get("dones")
        if dones is None or any_set(dones):  # most steps end no episode, and shall cost next to nothing
            for episode in self._newly_recorded() if dones is None else self._episodes_of_step(dones):
                self._on_episode_end(float(episode["r"]), int(episode["l"]))
        return True

    def _on_rollout_end(self) -> None:
        if "dones" not in self.locals:  # those since the last step
            EpisodeEndCallback._on_step(self)

    def _episodes_of_step(self, dones: np.ndarray) -> list[dict[str, Any]]:
        # What REINFORCE's idle environments still finish are the short episodes: they would bias the mean
        counted = self.locals.get("learned_from")
        envs = np.flatnonzero(dones if counted is None else dones & counted)
        episodes = [monitored_episode(self.locals["infos"][i]) for i in envs]
        return [episode for episode in episodes if episode is not None]

    def _newly_recorded(self) -> list[dict[str, Any]]:
        new = list(takewhile(lambda episode: episode is not self._last_recorded, reversed(self.model.ep_info_buffer or ())))
        if new:
            self._last_recorded = new[0]
        return new[::-1]

    def _on_episode_end(self, episode_return: float, length: int) -> None:
        raise NotImplementedError


class EpisodeDurationCallback(EpisodeEndCallback):
    """
    Logs every episode's length and return as it ends, for any SB3 algorithm, with the running
    mean and the best so far.

    ``rollout/episode_length`` and ``rollout/episode_return`` go to TensorBoard, CSV and JSON as a
    point for every episode, at the timestep at which it ended. On stdout, the last of them stand
    in the algorithm's next table with ``rollout/episode_length_mean``,
    ``rollout/episode_return_mean`` and ``rollout/episode_return_best``. CSV and JSON have these once a log;
    TensorBoard has not, for they repeat the points and SB3's ``rollout/ep_rew_mean`` and ``rollout/ep_len_mean``.

    With REINFORCE, the episodes of its rollouts count, those of idle environments do not. With ARS, an episode's point
    stands at the timestep at which its candidate has been evaluated.

    :param window_size: Over how many of the last episodes the running means go.
    :param verbose: Verbosity level: 0 for no output, 1 for a line at each new best return.
    :raises ValueError: When training starts, if the environment has no Monitor.
    """

    @checked(ARGUMENTS, "EpisodeDurationCallback")
    def __init__(self, window_size: int = 100, verbose: int = 0) -> None:
        super().__init__(verbose)
        self.returns: deque[float] = deque(maxlen=window_size)
        self.lengths: deque[int] = deque(maxlen=window_size)
        self.n_episodes = 0
        self.best_return = -np.inf

    def _on_episode_end(self, episode_return: float, length: int) -> None:
        self.n_episodes += 1
        self.returns.append(episode_return)
        self.lengths.append(length)
        if episode_return > self.best_return:
            self.best_return = episode_return
            if self.verbose >= 1:
                print(f"Episode {self.n_episodes}: new best return {episode_return:g} in {length} timesteps")
        self._log_episode({LENGTH: length, RETURN: episode_return})

    def _log_episode(self, values: dict[str, float]) -> None:
        """A point for this episode where points are kept; a table for each would drown the terminal."""
        point = {**values, TIMESTEPS: self.num_timesteps}
        excluded: dict[str, tuple[str, ...]] = {key: () for key in values}
        excluded[TIMESTEPS] = ("tensorboard",)
        for output in self.logger.output_formats:
            if not isinstance(output, HumanOutputFormat):
                output.write(point, excluded, self.num_timesteps)
        for key, value in values.items():
            self.logger.record(key, value, exclude=("tensorboard", "csv", "json"))

    def _on_rollout_end(self) -> None:
        super()._on_rollout_end()
        if self.returns:
            self.logger.record(f"{LENGTH}_mean", sum(self.lengths) / len(self.lengths), exclude="tensorboard")
            self.logger.record(f"{RETURN}_mean", sum(self.returns) / len(self.returns), exclude="tensorboard")
            self.logger.record(f"{RETURN}_best", float(self.best_return), exclude="tensorboard")


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


class StopTrainingOnSolved(EpisodeEndCallback):
    """
    Stops training once the mean return of the last ``n_episodes`` training episodes has reached the
    environment's reward threshold: Gymnasium's notion of solved.

    These are episodes played while learning, exploration included; what the policy reaches is for
    ``evaluate_policy`` to say.

    :param reward_threshold: Mean return to reach. Default: the environment's own.
    :param n_episodes: How many episodes the mean goes over.
    :param verbose: Verbosity level: 0 for no output, 1 for a line when training ends because of this.
    :raises ValueError: When training starts, if the environment has no Monitor, or no threshold and
        none was given; or if the algorithm does not stop when a callback tells it to, as ARS.
    """

    hears_only_ends = True

    @checked(ARGUMENTS, "StopTrainingOnSolved")
    def __init__(self, reward_threshold: float | None = None, n_episodes: int = 100, verbose: int = 0) -> None:
        super().__init__(verbose)
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
        if not stops_when_told(self.model):
            raise ValueError(
                f"{type(self.model).__name__} goes on when a callback tells it to stop, so StopTrainingOnSolved can't end "
                "its training. Leave the callback out, and choose total_timesteps instead."
            )
        self.returns.clear()
        self.solved = False

    def _on_episode_end(self, episode_return: float, length: int) -> None:
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
