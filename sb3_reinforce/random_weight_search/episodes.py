"""The episodes that the environments are in the middle of, and those that have ended."""

from typing import Any, NamedTuple

import numpy as np
from stable_baselines3.common.vec_env import VecEnv

from sb3_reinforce.common.callbacks import is_monitored
from sb3_reinforce.common.patience import Patience


class EndedEpisodes(NamedTuple):
    """
    Episodes that have ended with one step.

    :param envs: The environments that played them, in order. Shape ``(n,)``.
    :param returns: Their returns. Shape ``(n,)``.
    """

    envs: np.ndarray
    returns: np.ndarray


_MIN_STEPS, _MIN_EPISODES = 2_000, 50
NO_EPISODES = EndedEpisodes(np.empty(0, dtype=np.int64), np.empty(0))


class OngoingEpisodes:
    """
    The episodes that the environments are in the middle of.

    What an episode is and what it returns is for Monitor to say, as in SB3's ``evaluate_policy``: wrappers may end episodes
    that are not over (a lost life), and change rewards. Without a Monitor, it ends where the environment says so, and its
    return is the sum of its rewards.

    :param env: The environments.
    :param patience: How long to wait for them to end.
    """

    def __init__(self, env: VecEnv, patience: Patience) -> None:
        self._is_monitored = is_monitored(env)
        self._sums = np.zeros(env.num_envs)
        self._starts = np.zeros(env.num_envs, dtype=np.int64)
        self._n_steps = 0
        self._n_ended = 0
        self._longest = 0
        self._patience = patience

    def begin(self, patience: Patience) -> None:
        """
        Begin new ones, from where the environments stand. Those that have not ended are forgotten.

        :param patience: How long to wait for them to end.
        """
        self._sums[:] = 0.0
        self._starts[:] = 0
        self._n_steps = 0
        self._n_ended = 0
        self._longest = 0
        self._patience = patience

    def step(self, rewards: np.ndarray) -> None:
        """
        Count a step of every environment.

        :param rewards: Shape ``(n_envs,)``.
        """
        self._n_steps += 1
        self._sums += rewards

    def end(self, envs: np.ndarray, infos: list[dict[str, Any]]) -> EndedEpisodes:
        """
        :param envs: Environments that say that their episode has ended with the step.
        :param infos: What each of them says of it, with ``"episode"`` from Monitor alone.
        :return: The episodes that have ended.
        :raises ValueError: If a return is not finite.
        """
        if self._is_monitored:
            envs = envs[[("episode" in info) for info in infos]]
            returns = np.array([info["episode"]["r"] for info in infos if "episode" in info], dtype=np.float64)
        else:
            returns = self._sums[envs]
        if not np.isfinite(returns).all():
            raise ValueError(f"The environment returned rewards that are not finite: the return of an episode is {returns}.")
        self._longest = max(self._longest, int(self._n_steps - self._starts[envs].min(initial=self._n_steps)))
        self._sums[envs] = 0.0
        self._starts[envs] = self._n_steps
        self._n_ended += len(envs)
        return EndedEpisodes(envs, returns)

    def check(self) -> None:
        """
        Look whether they end.

        :raises RuntimeError: If one is longer than episodes may be.
        """
        if self._n_steps >= self._patience.next_check:
            self._patience.check(self._n_steps, self._n_ended, self._longest_ongoing)

    @property
    def _longest_ongoing(self) -> int:
        return int(self._n_steps - self._starts.min())

    @property
    def may_be_broken_off(self) -> bool:
        """
        Whether so much was played since they were begun that it makes no difference to play once more what has not ended.
        (Long episodes are broken off more often than short ones, which this keeps below one in fifty.)
        """
        ongoing = self._longest_ongoing
        return self._n_steps >= max(_MIN_STEPS, _MIN_EPISODES * max(self._longest, ongoing) if ongoing else 0)
