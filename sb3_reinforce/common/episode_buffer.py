"""Whole episodes, in the order they were started."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.buffers import BaseBuffer
from stable_baselines3.common.type_aliases import PyTorchObs

Observations = np.ndarray | dict[str, np.ndarray]

_BLOCK_BYTES = 1 << 20
_BLOCK_MAX_ROWS = 8192


class EpisodeBatch(NamedTuple):
    """
    Some of the rollout's timesteps, as tensors.

    :param observations: Shape ``(batch, *observation_shape)``, or a dict of such.
    :param actions: Shape ``(batch,)`` for Discrete actions, else ``(batch, action_dim)``.
    :param weights: What each action's log-probability is weighed by. Shape ``(batch,)``.
    :param episodes: The number, in start order, of the episode that each timestep
        belongs to. Shape ``(batch,)``.
    """

    observations: PyTorchObs
    actions: th.Tensor
    weights: th.Tensor
    episodes: th.Tensor


class _Block:
    """A piece of storage of fixed size; ``size`` rows of it are in use."""

    def __init__(self, n_rows: int, observation_space: spaces.Space, action_shape: tuple[int, ...], action_dtype: Any) -> None:
        self.observations: Observations
        if isinstance(observation_space, spaces.Dict):
            self.observations = {
                key: np.empty((n_rows, *space.shape), dtype=space.dtype)  # type: ignore[misc]
                for key, space in observation_space.spaces.items()
            }
        else:
            self.observations = np.empty((n_rows, *observation_space.shape), dtype=observation_space.dtype)  # type: ignore[misc]
        self.actions = np.empty((n_rows, *action_shape), dtype=action_dtype)
        self.rewards = np.empty(n_rows, dtype=np.float32)
        self.episodes = np.empty(n_rows, dtype=np.int32)
        self.timesteps = np.empty(n_rows, dtype=np.int32)
        self.n_rows = n_rows
        self.size = 0

    def arrays(self) -> Iterator[tuple[str, np.ndarray]]:
        """The observations and rewards in use, by name."""
        if isinstance(self.observations, dict):
            for key, values in self.observations.items():
                yield f"observation {key!r}", values[: self.size]
        else:
            yield "observation", self.observations[: self.size]
        yield "reward", self.rewards[: self.size]


class EpisodeOrder:
    """
    Which environment plays which of the first ``n_episodes`` episodes *started*.

    Every environment starts an episode at the beginning, in the order of the environments, and
    the next one as soon as its last has ended, until ``n_episodes`` have been started; from then
    on an environment whose episode ends is idle. So whether an episode counts is settled before its
    first action. To take the first ``n_episodes`` *finished* instead would favour short
    episodes, and bias every estimate made from them.

    :param n_episodes: How many episodes to play.
    :param n_envs: Number of parallel environments, all at the start of an episode.
    """

    def __init__(self, n_episodes: int, n_envs: int) -> None:
        self.n_episodes = n_episodes
        self.n_started = min(n_envs, n_episodes)
        self.n_ended = 0
        self.lengths = np.zeros(n_episodes, dtype=np.int64)
        self.is_playing = np.arange(n_envs) < self.n_started
        # One entry for each environment that is playing
        self.envs: np.ndarray = np.arange(self.n_started)
        self.episodes: np.ndarray = np.arange(self.n_started, dtype=np.int32)
        self.timesteps: np.ndarray = np.zeros(self.n_started, dtype=np.int32)

    @property
    def complete(self) -> bool:
        """Whether all ``n_episodes`` episodes have ended."""
        return self.n_ended == self.n_episodes

    @property
    def longest(self) -> int:
        """Timesteps so far of the longest episode that has not ended."""
        return int(self.timesteps.max(initial=0))

    def end_episodes(self, dones: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """
        Close the episodes that ended with the last step, and start the next ones. Count that step
        in ``timesteps`` first.

        :param dones: Which environments have ended an episode. Shape ``(n_envs,)``.
        :return: The environments that have ended an episode that counts, and the numbers of
            those episodes, in start order.
        """
        ended = np.flatnonzero(dones[self.envs])
        if len(ended) == 0:
            return ended, ended
        envs, episodes = self.envs[ended], self.episodes[ended]
        self.lengths[episodes] = self.timesteps[ended]
        self.n_ended += len(ended)
        n_next = min(len(ended), self.n_episodes - self.n_started)
        self.episodes[ended[:n_next]] = np.arange(self.n_started, self.n_started + n_next)
        self.timesteps[ended[:n_next]] = 0
        self.n_started += n_next
        idle = ended[n_next:]
        if len(idle):
            self.is_playing = self.is_playing.copy()  # whoever holds the last step's mask keeps it
            self.is_playing[self.envs[idle]] = False
            going_on = self.is_playing[self.envs]
            self.envs = self.envs[going_on]
            self.episodes = self.episodes[going_on]
            self.timesteps = self.timesteps[going_on]
        return envs, episodes


class EpisodeBuffer(BaseBuffer):
    """
    Holds one rollout: the first ``n_episodes`` episodes *started*, each to its end.

    :class:`EpisodeOrder` says which environment plays which; what idle ones do is not stored.

    Timesteps are kept as they came, in blocks of about 1 MiB, so that a rollout of unknown
    length is never copied to make room. The numbers of a timestep (rewards, returns,
    advantages) are handed out and taken back *in episode order*: all of the first
    episode's timesteps, then all of the second's.

    :param n_episodes: Episodes of a rollout.
    :param observation_space: Observation space; Dict spaces are stored key by key.
    :param action_space: Action space.
    :param device: Where :meth:`get` puts its tensors.
    :param n_envs: Number of parallel environments.
    """

    def __init__(
        self,
        n_episodes: int,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        device: th.device | str = "cpu",
        n_envs: int = 1,
    ) -> None:
        super().__init__(n_episodes, observation_space, action_space, device, n_envs=n_envs)
        self.n_episodes = n_episodes
        self._action_shape = () if isinstance(action_space, spaces.Discrete) else (self.action_dim,)
        # Float for MultiBinary too, since torch's Bernoulli wants the type of its probabilities
        self._action_dtype = np.float32 if isinstance(action_space, (spaces.Box, spaces.MultiBinary)) else np.int64
        self._rows_per_block = self._choose_rows_per_block()
        self.reset()

    def _choose_rows_per_block(self) -> int:
        one_row = _Block(1, self.observation_space, self._action_shape, self._action_dtype)
        observations = one_row.observations
        n_bytes = sum(v.nbytes for v in observations.values()) if isinstance(observations, dict) else observations.nbytes
        n_bytes += one_row.actions.nbytes + 12
        return max(self.n_envs, min(_BLOCK_BYTES // n_bytes, _BLOCK_MAX_ROWS))

    def reset(self) -> None:
        """Forget everything; the environments start the rollout's first episodes."""
        super().reset()
        self._blocks: list[_Block] = []
        self._block = _Block(0, self.observation_space, self._action_shape, self._action_dtype)
        self.order = EpisodeOrder(self.n_episodes, self.n_envs)

    @property
    def lengths(self) -> np.ndarray:
        """Timesteps of each episode; 0 for one that has not ended. Shape ``(n_episodes,)``."""
        return self.order.lengths

    def add(self, obs: Observations, actions: np.ndarray, rewards: np.ndarray, resets: np.ndarray | None = None) -> None:
        """
        Store one step of every environment that is playing; the idle ones are left out.

        :param obs: What the actions were chosen on. Shape ``(n_envs, *observation_shape)``.
        :param actions: Shape ``(n_envs, *action_shape)``.
        :param rewards: Shape ``(n_envs,)``.
        :param resets: Of which environments the step was only a reset, and is left out too; None for none.
            Shape ``(n_envs,)``.
        """
        order = self.order
        envs, episodes, timesteps = order.envs, order.episodes, order.timesteps
        if resets is not None and resets.any():
            stepped = ~resets[envs]
            envs, episodes, timesteps = envs[stepped], episodes[stepped], timesteps[stepped]
            order.timesteps[stepped] += 1
        else:
            order.timesteps = timesteps + 1
        n = len(envs)
        block = self._block
        if block.size + n > block.n_rows:
            block = self._next_block()
        rows = slice(block.size, block.size + n)
        if n < self.n_envs:
            obs = {key: values[envs] for key, values in obs.items()} if isinstance(obs, dict) else obs[envs]
            actions, rewards = actions[envs], rewards[envs]
        if isinstance(obs, dict):
            assert isinstance(block.observations, dict)
            for key, values in obs.items():
                block.observations[key][rows] = values
        else:
            block.observations[rows] = obs  # type: ignore[index]
        block.actions[rows] = actions.reshape(n, *self._action_shape) if self._action_shape else actions
        block.rewards[rows] = rewards
        block.episodes[rows] = episodes
        block.timesteps[rows] = timesteps
        block.size += n

    def _next_block(self) -> _Block:
        self._check_finite(self._block)
        self._block = _Block(self._rows_per_block, self.observation_space, self._action_shape, self._action_dtype)
        self._blocks.append(self._block)
        return self._block

    def _check_finite(self, block: _Block) -> None:
        """Looked at block by block: early enough to save the weights, and all but free."""
        for name, values in block.arrays():
            if values.dtype.kind == "f" and not np.isfinite(values).all():
                row = int(np.argwhere(~np.isfinite(values))[0][0])
                raise ValueError(
                    f"The environment returned a {name} that is not finite: {values[row]} at timestep "
                    f"{block.timesteps[row]} of an episode. Nothing was learned from this rollout. Mend the environment "
                    "(stable_baselines3.common.vec_env.VecCheckNan stops at the step that goes wrong)."
                )

    def size(self) -> int:
        """:return: Timesteps stored so far."""
        return sum(block.size for block in self._blocks)

    def _require_complete(self) -> None:
        if not self.order.complete:
            raise RuntimeError(
                f"The rollout has {self.order.n_ended} of its {self.n_episodes} episodes: it must be complete first."
            )

    def _episode_order(self, block: _Block) -> np.ndarray:
        starts = np.cumsum(self.lengths) - self.lengths
        return starts[block.episodes[: block.size]] + block.timesteps[: block.size]

    def rewards(self) -> np.ndarray:
        """
        :return: The rewards in episode order; ``lengths`` says where an episode ends.
            Shape ``(n_timesteps,)``.
        :raises RuntimeError: Before the rollout is complete.
        :raises ValueError: If a reward or an observation is NaN or infinite.
        """
        self._require_complete()
        self._check_finite(self._block)
        rewards = np.empty(self.size(), dtype=np.float64)
        for block in self._blocks:
            rewards[self._episode_order(block)] = block.rewards[: block.size]
        return rewards

    def get(self, weights: np.ndarray) -> Iterator[EpisodeBatch]:
        """
        The whole rollout, a block at a time.

        :param weights: One for each timestep, in episode order. Shape ``(n_timesteps,)``.
        :return: Batches that together hold each timestep once.
        :raises RuntimeError: Before the rollout is complete.
        """
        self._require_complete()
        weights = weights.astype(np.float32, copy=False)
        for block in self._blocks:
            used = slice(block.size)
            observations: PyTorchObs
            if isinstance(block.observations, dict):
                observations = {key: self._to_device(values[used]) for key, values in block.observations.items()}
            else:
                observations = self._to_device(block.observations[used])
            yield EpisodeBatch(
                observations,
                self._to_device(block.actions[used]),
                self._to_device(weights[self._episode_order(block)]),
                self._to_device(block.episodes[used]),
            )

    def _to_device(self, array: np.ndarray) -> th.Tensor:
        return self.to_torch(array, copy=False)

    def _get_samples(self, batch_inds: np.ndarray, env: Any = None) -> EpisodeBatch:  # type: ignore[override]
        raise NotImplementedError("Episodes are whole: a rollout is read with get(), never sampled from.")
