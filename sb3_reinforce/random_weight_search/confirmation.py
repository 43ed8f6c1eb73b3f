"""Whether a candidate holds the threshold, or was lucky."""

import numpy as np

from sb3_reinforce.random_weight_search.episodes import EndedEpisodes
from sb3_reinforce.rollouts.episode_order import EpisodeOrder


class Confirmation:
    """
    Fresh episodes of one candidate, which all environments play.

    :param n_episodes: Over how many episodes it has to hold the threshold.
    :param threshold: What their mean return has to meet.
    :param at_start: Which environments stand at the start of an episode. Shape ``(n_envs,)``.
    """

    def __init__(self, n_episodes: int, threshold: float, at_start: np.ndarray) -> None:
        self._order = EpisodeOrder(n_episodes, at_start)
        self._returns = np.full(n_episodes, np.nan)
        self._threshold = threshold
        self._n_envs = len(at_start)
        self._holds = True

    def enter(self, ended: EndedEpisodes) -> None:
        """
        :param ended: Episodes that have ended.
        """
        is_over = np.zeros(self._n_envs, dtype=bool)
        is_over[ended.envs] = True
        envs, episodes = self._order.end_episodes(is_over)
        self._returns[episodes] = ended.returns[np.isin(ended.envs, envs)]
        self._holds = holds_threshold(self._returns, self._threshold)

    @property
    def is_settled(self) -> bool:
        """Whether there is no need to play on."""
        return self._order.complete or not self._holds

    @property
    def is_passed(self) -> bool:
        """Whether the candidate has held the threshold over all episodes."""
        return self._holds and self._order.complete

    @property
    def returns(self) -> np.ndarray:
        """Of the episodes up to the first that has not ended, in start order."""
        return ended_in_order(self._returns)


def ended_in_order(returns: np.ndarray) -> np.ndarray:
    """
    :param returns: In start order, NaN for an episode that has not ended. Shape ``(n_episodes,)``.
    :return: Those before the first episode that has not ended: what ends before an earlier one has
        is short, and has to wait.
    """
    not_ended = np.isnan(returns)
    return returns[: int(not_ended.argmax())] if not_ended.any() else returns


def holds_threshold(returns: np.ndarray, threshold: float) -> bool:
    """
    Whether the mean of the episodes so far has met a threshold after each of them, taken in the order they
    were started. Means that miss it by rounding alone meet it.

    :param returns: In start order, NaN for an episode that has not ended. Shape ``(n_episodes,)``.
    :param threshold: What the means have to meet.
    :return: Also True while the first episode has not ended.
    """
    ended = ended_in_order(returns)
    means = np.cumsum(ended) / np.arange(1, len(ended) + 1)
    return bool((means >= threshold - 1e-9 * max(1.0, abs(threshold))).all())
