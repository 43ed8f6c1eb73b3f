"""How long episodes are, and what weights become: TensorBoard's tabs Histograms and Distributions."""

from collections import deque

import numpy as np
import torch as th

from sb3_reinforce.common.callbacks import EpisodeEndCallback
from sb3_reinforce.common.constraints import checked
from sb3_reinforce.common.tensorboard.writing import ARGUMENTS, IntervalCallback

MAX_EPISODES = 10_000


class EpisodeLengthHistogramCallback(EpisodeEndCallback, IntervalCallback):
    """
    Writes a histogram of the lengths of episodes to TensorBoard, for any SB3 algorithm: of those that have ended since the
    last histogram, the last 10,000 at most.

    :param every: Timesteps from one histogram to the next. Default: a tenth of the training.
    :raises ValueError: When training starts, if the algorithm has no TensorBoard, or its environment no Monitor.
    """

    hears_steps = True

    @checked(ARGUMENTS, "EpisodeLengthHistogramCallback")
    def __init__(self, every: int | None = None) -> None:
        IntervalCallback.__init__(self, every)
        self.lengths: deque[int] = deque(maxlen=MAX_EPISODES)

    def _on_training_start(self) -> None:
        EpisodeEndCallback._on_training_start(self)
        IntervalCallback._on_training_start(self)
        self.lengths.clear()

    def _on_episode_end(self, episode_return: float, length: int) -> None:
        self.lengths.append(length)

    def _record(self) -> None:
        if self.lengths:
            lengths = np.array(self.lengths)
            self._write(lambda writer: writer.add_histogram("rollout/episode_lengths", lengths, self.n_timesteps))
            self.lengths.clear()


class WeightHistogramCallback(IntervalCallback):
    """
    Writes a histogram of each of the policy's parameters to TensorBoard, for any SB3 algorithm.

    :param every: Timesteps from one histogram to the next. Default: a tenth of the training.
    :raises ValueError: When training starts, if the algorithm has no TensorBoard.
    """

    @checked(ARGUMENTS, "WeightHistogramCallback")
    def __init__(self, every: int | None = None) -> None:
        super().__init__(every)

    def _record(self) -> None:
        for name, parameter in self.model.policy.named_parameters():
            values = parameter.detach().cpu().flatten()
            values = values[th.isfinite(values)]
            if len(values):
                self._add(f"weights/{name}", values)

    def _add(self, tag: str, values: th.Tensor) -> None:
        self._write(lambda writer: writer.add_histogram(tag, values, self.n_timesteps))
