"""A finished rollout."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch as th
from stable_baselines3.common.type_aliases import PyTorchObs

from sb3_reinforce.common.observations import Observations, map_observations, take_rows


class EpisodeBatch(NamedTuple):
    """
    Some of the rollout's timesteps, as tensors.

    :param observations: Shape ``(batch, *observation_shape)``, or a dict of such.
    :param actions: Shape ``(batch,)`` for Discrete actions, else ``(batch, action_dim)``.
    :param weights: What each action's log-probability is weighed by. Shape ``(batch,)``.
    :param episodes: The number, in start order, of the episode that each timestep
        belongs to. Shape ``(batch,)``.
    :param epsilon: How much each action was explored by; None for not at all. Shape ``(batch,)``.
    :param action_masks: Which choices were allowed; None for all. Booleans. Shape ``(batch, mask_size)``.
    """

    observations: PyTorchObs
    actions: th.Tensor
    weights: th.Tensor
    episodes: th.Tensor
    epsilon: th.Tensor | None
    action_masks: th.Tensor | None = None


class Block(NamedTuple):
    """
    Some timesteps of the rollout, in the order in which they were played.

    :param observations: None once they stand in episode order elsewhere. Shape ``(n_rows, *observation_shape)``.
    :param actions: Shape ``(n_rows, ...)``.
    :param rewards: Shape ``(n_rows,)``.
    :param episodes: Number of the episode, in start order. Shape ``(n_rows,)``.
    :param timesteps: Time since the episode's start, from 0. Shape ``(n_rows,)``.
    :param action_masks: Which choices were allowed; None for all. Shape ``(n_rows, mask_size)``.
    """

    observations: Observations | None
    actions: np.ndarray
    rewards: np.ndarray
    episodes: np.ndarray
    timesteps: np.ndarray
    action_masks: np.ndarray | None = None


@dataclass(frozen=True)
class Rollout:
    """
    The first episodes *started*, each to its end. Numbers of timesteps are in episode order: all timesteps of the first
    episode, then all of the second's.

    :param blocks: What was played.
    :param lengths: Timesteps of each episode. Shape ``(n_episodes,)``.
    :param epsilons: How much each episode was explored. Shape ``(n_episodes,)``.
    :param cut_off: Numbers of the episodes that a time limit cut off, where that was to be kept. Shape ``(n_cut_off,)``.
    :param last_observations: Those at which they were cut off. Shape ``(n_cut_off, *observation_shape)``; None for none.
    :param device: Where batches are.
    """

    blocks: list[Block]
    lengths: np.ndarray
    epsilons: np.ndarray
    cut_off: np.ndarray
    last_observations: Observations | None
    device: th.device

    @property
    def n_episodes(self) -> int:
        """Number of episodes."""
        return len(self.lengths)

    @property
    def n_timesteps(self) -> int:
        """Number of timesteps of all episodes."""
        return int(self.lengths.sum())

    @cached_property
    def _rows(self) -> list[np.ndarray]:
        """Where the timesteps of each block stand in episode order."""
        starts = np.cumsum(self.lengths) - self.lengths
        return [starts[block.episodes] + block.timesteps for block in self.blocks]

    @cached_property
    def timesteps(self) -> np.ndarray:
        """The time of each timestep since its episode's start, from 0. Shape ``(n_timesteps,)``."""
        return self._in_episode_order([block.timesteps for block in self.blocks])

    @cached_property
    def rewards(self) -> np.ndarray:
        """Float64. Whatever is written here is learned from. Shape ``(n_timesteps,)``."""
        return self._in_episode_order([block.rewards for block in self.blocks])

    @cached_property
    def observations(self) -> Observations:
        """Whatever is written here is learned from. Shape ``(n_timesteps, *observation_shape)``, or a dict of such."""
        parts = [block.observations for block in self.blocks]
        self.blocks[:] = [block._replace(observations=None) for block in self.blocks]
        return map_observations(lambda *arrays: self._in_episode_order(arrays), *parts)

    @cached_property
    def actions(self) -> np.ndarray:
        """Whatever is written here is learned from. Shape ``(n_timesteps,)`` or ``(n_timesteps, action_dim)``."""
        return self._in_episode_order([block.actions for block in self.blocks])

    def _in_episode_order(self, parts: Any) -> np.ndarray:
        """Arrays of the blocks' timesteps as one. No copy where they are in that order: one environment, one block."""
        if len(parts) == 1 and (np.diff(self._rows[0]) == 1).all():
            return parts[0]
        ordered = np.empty((self.n_timesteps, *parts[0].shape[1:]), parts[0].dtype)
        for rows, part in zip(self._rows, parts, strict=True):
            ordered[rows] = part
        return ordered

    def batches(self, weights: np.ndarray) -> Iterator[EpisodeBatch]:
        """
        The whole rollout, a block at a time.

        :param weights: One for each timestep, in episode order. Shape ``(n_timesteps,)``.
        :return: Batches that together hold each timestep once.
        """
        weights = weights.astype(np.float32, copy=False)
        explores = self.epsilons.any()
        for block, rows in zip(self.blocks, self._rows, strict=True):
            observations, actions = (self._of_block(name, block, rows) for name in ("observations", "actions"))
            yield EpisodeBatch(
                map_observations(self._to_device, observations),
                self._to_device(actions),
                self._to_device(weights[rows]),
                self._to_device(block.episodes),
                self._to_device(self.epsilons[block.episodes].astype(np.float32)) if explores else None,
                None if block.action_masks is None else self._to_device(block.action_masks),
            )

    def _of_block(self, name: str, block: Block, rows: np.ndarray) -> Any:
        """From where somebody may have written to it, if anybody has asked for it."""
        return take_rows(getattr(self, name), rows) if name in vars(self) else getattr(block, name)

    def _to_device(self, array: np.ndarray) -> th.Tensor:
        return th.as_tensor(array, device=self.device)
