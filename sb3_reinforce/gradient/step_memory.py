"""What natural steps know of the rollouts before."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch as th

from sb3_reinforce.gradient.fisher_blocks import FisherBlock


@dataclass
class StepMemory:
    """
    The mean Fisher matrix over the timesteps of all rollouts so far, each with the policy that played it; and which part of
    the parameters is to be forgotten.

    :param n_steps: Steps taken.
    :param n_timesteps: Timesteps that they came from.
    :param matrices: Those of the mean matrix's blocks. Each of shape ``(n_unknowns, n_unknowns)``.
    :param recent: What bold steps have added to the parameters and is not forgotten yet. Shape ``(n_parameters,)``.
    """

    n_steps: int = 0
    n_timesteps: int = 0
    matrices: list[np.ndarray] = field(default_factory=list)
    recent: np.ndarray = field(default_factory=lambda: np.zeros(0))

    def fits(self, blocks: Sequence[FisherBlock], n_parameters: int) -> bool:
        """
        :param blocks: Of a rollout.
        :param n_parameters: Of the policy, those that are learned.
        :return: Whether this is of the same parameters. Before the first step, and when others are learned, it is not.
        """
        shapes = [block.matrix.shape for block in blocks]
        return shapes == [matrix.shape for matrix in self.matrices] and self.recent.shape == (n_parameters,)

    def mean(self, blocks: Sequence[FisherBlock]) -> list[FisherBlock]:
        """
        :param blocks: Of a rollout that this :meth:`fits`.
        :return: The blocks of the mean.
        """
        return [
            replace(block, matrix=th.as_tensor(matrix).to(block.matrix))
            for block, matrix in zip(blocks, self.matrices, strict=True)
        ]

    def mean_with(self, blocks: Sequence[FisherBlock], n_timesteps: int) -> list[FisherBlock]:
        """
        :param blocks: The mean over a rollout that this :meth:`fits`.
        :param n_timesteps: Over so many timesteps.
        :return: The blocks of the mean over all timesteps, with these.
        """
        share = n_timesteps / (self.n_timesteps + n_timesteps)
        return [old.times(1 - share).plus(new.times(share)) for old, new in zip(self.mean(blocks), blocks, strict=True)]

    def start(self, blocks: Sequence[FisherBlock], n_parameters: int) -> None:
        """
        Forget all. The mean is that of the first rollout, and the parameters are kept.

        :param blocks: Of the rollout.
        :param n_parameters: Of the policy, those that are learned.
        """
        self.n_steps = self.n_timesteps = 0
        self.recent = np.zeros(n_parameters)
        self._set_mean(blocks)

    def add(self, mean: Sequence[FisherBlock], n_timesteps: int, recent: th.Tensor) -> None:
        """
        Count a step.

        :param mean: The blocks of the mean, with the rollout that it came from.
        :param n_timesteps: Of this rollout.
        :param recent: What is to be forgotten now. Shape ``(n_parameters,)``.
        """
        self.n_steps += 1
        self.n_timesteps += n_timesteps
        self.recent = recent.cpu().numpy()
        self._set_mean(mean)

    def _set_mean(self, blocks: Sequence[FisherBlock]) -> None:
        self.matrices = [block.matrix.cpu().numpy() for block in blocks]
