"""Which environment plays which episode."""

import numpy as np


class EpisodeOrder:
    """
    Which environment plays which of the first ``n_episodes`` episodes *started*.

    Every environment that stands at the start of an episode starts one at the beginning, in the order of the environments,
    and the next one as soon as its last has ended, until ``n_episodes`` have been started; from then
    on an environment whose episode ends is idle. So whether an episode counts is settled before its
    first action. To take the first ``n_episodes`` *finished* instead would favour short
    episodes, and bias every estimate made from them.

    An environment in the middle of an episode plays it to its end first, and that one does not count.

    :param n_episodes: How many episodes to play.
    :param at_start: Which environments stand at the start of an episode. Shape ``(n_envs,)``.
    :param reset_takes_a_step: Whether the step after an episode's end is only a reset, and belongs to no episode.
    """

    def __init__(self, n_episodes: int, at_start: np.ndarray, reset_takes_a_step: bool = False) -> None:
        n_starting = np.cumsum(at_start)
        starts_one = at_start & (n_starting <= n_episodes)
        self.n_episodes = n_episodes
        self.n_started = int(np.count_nonzero(starts_one))
        self.n_ended = 0
        self.n_steps = 0
        self.lengths = np.zeros(n_episodes, dtype=np.int64)
        """Timesteps of each episode; 0 for one that has not ended. Shape ``(n_episodes,)``."""
        self.starts = np.zeros(n_episodes, dtype=np.int64)
        """Before which step each episode starts. Shape ``(n_episodes,)``."""
        # Replaced and never written to, so that it can be kept
        self.episodes = np.where(starts_one, n_starting - 1, -1).astype(np.int32)
        """The number of the episode that each environment plays, in start order; -1 for none. Shape ``(n_envs,)``."""
        self.reset_takes_a_step = reset_takes_a_step

    @property
    def complete(self) -> bool:
        """Whether all ``n_episodes`` episodes have ended."""
        return self.n_ended == self.n_episodes

    @property
    def longest(self) -> int:
        """Timesteps so far of the longest episode that has not ended."""
        playing = self.episodes[self.episodes >= 0]
        if len(playing) == 0:  # all wait for episodes to end that do not count
            return 0 if self.complete else self.n_steps
        return int(self.n_steps - self.starts[playing].min())

    @property
    def is_playing(self) -> np.ndarray:
        """Which environments play an episode that counts, and are not idle. Shape ``(n_envs,)``."""
        is_playing = self.episodes >= 0
        return is_playing & (self.starts[self.episodes] <= self.n_steps) if self.reset_takes_a_step else is_playing

    def end_episodes(self, dones: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """
        Close the episodes that ended with the last step, and start the next ones. Count that step
        in ``n_steps`` first.

        :param dones: Which environments have ended an episode. Shape ``(n_envs,)``.
        :return: The environments that have ended an episode that counts, and the numbers of
            those episodes, in start order.
        """
        envs = dones.nonzero()[0]
        ended = self.episodes[envs]
        counting = envs
        if ended.min(initial=0) < 0:
            counts = ended >= 0
            counting, ended = envs[counts], ended[counts]
        self.lengths[ended] = self.n_steps - self.starts[ended]
        self.n_ended += len(ended)
        self._start_next(envs)
        return counting, ended

    def _start_next(self, envs: np.ndarray) -> None:
        n_next = min(len(envs), self.n_episodes - self.n_started)
        self.episodes = self.episodes.copy()
        if n_next < len(envs):
            self.episodes[envs[n_next:]] = -1
        if n_next > 0:
            n_started = self.n_started + n_next
            self.episodes[envs[:n_next]] = np.arange(self.n_started, n_started)
            self.starts[self.n_started : n_started] = self.n_steps + self.reset_takes_a_step
            self.n_started = n_started
