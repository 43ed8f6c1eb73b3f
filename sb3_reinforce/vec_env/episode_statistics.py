"""Returns and lengths of the episodes that are being played, as Monitor counts them."""

import numpy as np


class EpisodeStatistics:
    """
    Sums of rewards and numbers of steps, in double precision.

    :param n_envs: Number of environments.
    """

    def __init__(self, n_envs: int) -> None:
        self._returns = np.zeros(n_envs)
        self._starts = np.zeros(n_envs, dtype=np.int64)
        self._n_steps = 0

    def start(self, envs: np.ndarray | slice = slice(None)) -> None:
        """
        :param envs: Where an episode starts with the next step. Default: in all environments.
        """
        self._returns[envs] = 0.0
        self._starts[envs] = self._n_steps

    def add(self, rewards: np.ndarray) -> None:
        """
        :param rewards: Of a step. Shape ``(n_envs,)``.
        """
        self._returns += rewards
        self._n_steps += 1

    def end(self, envs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """
        :param envs: Where an episode ended with the last step, and the next one starts.
        :return: Returns and lengths of the episodes that ended.
        """
        returns, lengths = self._returns[envs], self._n_steps - self._starts[envs]
        self.start(envs)
        return returns, lengths
