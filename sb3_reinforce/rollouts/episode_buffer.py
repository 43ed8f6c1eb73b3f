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
_FIRST_BLOCK_ROWS = 256


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


class _Block(NamedTuple):
    """Some steps of the environments that were playing, one after the other. Shapes ``(n_rows, ...)``."""

    observations: Observations
    actions: np.ndarray
    rewards: np.ndarray
    episodes: np.ndarray
    timesteps: np.ndarray


class _Stretch(NamedTuple):
    """Steps, one after the other, in which the same episodes were played."""

    first_row: int
    episodes: np.ndarray
    starts: np.ndarray
    first_step: int

    def labels(self, next_row: int) -> tuple[np.ndarray, np.ndarray]:
        """Episode and timestep of each of its rows, the last of which is before ``next_row``."""
        n_steps = (next_row - self.first_row) // max(len(self.episodes), 1)
        if n_steps == 1:
            return self.episodes, self.first_step - self.starts
        steps = np.arange(self.first_step, self.first_step + n_steps, dtype=np.int32)
        return np.tile(self.episodes, n_steps), np.subtract.outer(steps, self.starts).ravel()


def _concatenate(parts: list[Any]) -> Any:
    """Arrays, or dicts of arrays, one after the other."""
    if isinstance(parts[0], dict):
        return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    return np.concatenate(parts)


def take_rows(observations: Observations, rows: np.ndarray | slice) -> Observations:
    """
    :param observations: Shape ``(n, *observation_shape)``, or a dict of such.
    :param rows: Which.
    :return: Those observations.
    """
    if isinstance(observations, dict):
        return {key: values[rows] for key, values in observations.items()}
    return observations[rows]


def _empty_like(observations: Observations, n_rows: int) -> Observations:
    """Room for so many observations of the same shapes and types."""
    if isinstance(observations, dict):
        return {key: np.empty((n_rows, *values.shape[1:]), values.dtype) for key, values in observations.items()}
    return np.empty((n_rows, *observations.shape[1:]), observations.dtype)


def _put(array: np.ndarray, rows: slice, values: np.ndarray, envs: np.ndarray | None) -> None:
    """Write the values of some environments into some rows; of all, if ``envs`` is None."""
    if envs is None:
        array[rows] = values
    else:  # a quarter of the time of array[rows] = values[envs]; "clip" does without a second copy, and nothing is clipped
        values.astype(array.dtype, copy=False).take(envs, axis=0, out=array[rows], mode="clip")


def _stack(rows: list[Any]) -> Any:
    """Observations as rows of an array, or of a dict of arrays."""
    if rows and isinstance(rows[0], dict):
        return {key: np.stack([row[key] for row in rows]) for key in rows[0]}
    return np.stack(rows) if rows else np.empty(0)


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
        self.n_envs = n_envs
        # One entry for each environment that is playing; replaced and never written to, so that they can be kept
        self.envs: np.ndarray = np.arange(self.n_started)
        self.episodes: np.ndarray = np.arange(self.n_started, dtype=np.int32)
        self.starts: np.ndarray = np.zeros(self.n_started, dtype=np.int32)
        self.n_steps = 0

    @property
    def complete(self) -> bool:
        """Whether all ``n_episodes`` episodes have ended."""
        return self.n_ended == self.n_episodes

    @property
    def longest(self) -> int:
        """Timesteps so far of the longest episode that has not ended."""
        return int((self.n_steps - self.starts).max(initial=0))

    @property
    def is_playing(self) -> np.ndarray:
        """Which environments play an episode that counts, and are not idle. Shape ``(n_envs,)``."""
        is_playing = np.zeros(self.n_envs, dtype=bool)
        is_playing[self.envs] = True
        return is_playing

    def end_episodes(self, dones: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """
        Close the episodes that ended with the last step, and start the next ones. Count that step
        in ``n_steps`` first.

        :param dones: Which environments have ended an episode. Shape ``(n_envs,)``.
        :return: The environments that have ended an episode that counts, and the numbers of
            those episodes, in start order.
        """
        ended = dones.take(self.envs).nonzero()[0]
        if len(ended) == 0:
            return ended, ended
        envs, episodes = self.envs[ended], self.episodes[ended]
        self.lengths[episodes] = self.n_steps - self.starts[ended]
        self.n_ended += len(ended)
        n_next = min(len(ended), self.n_episodes - self.n_started)
        if n_next > 0:
            self._start_next(ended[:n_next])
        if n_next < len(ended):
            self._let_idle(ended[n_next:])
        return envs, episodes

    def _start_next(self, positions: np.ndarray) -> None:
        n_started = self.n_started + len(positions)
        self.episodes, self.starts = self.episodes.copy(), self.starts.copy()
        self.episodes[positions] = np.arange(self.n_started, n_started)
        self.starts[positions] = self.n_steps
        self.n_started = n_started

    def _let_idle(self, positions: np.ndarray) -> None:
        going_on = np.ones(len(self.envs), dtype=bool)
        going_on[positions] = False
        self.envs = self.envs[going_on]
        self.episodes = self.episodes[going_on]
        self.starts = self.starts[going_on]


class EpisodeBuffer(BaseBuffer):
    """
    Holds one rollout: the first ``n_episodes`` episodes *started*, each to its end.

    :class:`EpisodeOrder` says which environment plays which; what idle ones do is not stored.

    Steps are written into blocks of up to 1 MiB, so that a rollout of unknown length is never copied to make
    room, and takes little more of it than its arrays need. The numbers of a timestep (rewards, returns,
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
        self._n_rows_closed = 0
        self.reset()

    def _choose_rows_per_block(self) -> int:
        space = self.observation_space
        parts = space.spaces.values() if isinstance(space, spaces.Dict) else [space]
        n_bytes = self.action_dim * np.dtype(self._action_dtype).itemsize + 12
        for part in parts:
            assert part.shape is not None
            n_bytes += int(np.prod(part.shape)) * np.dtype(part.dtype).itemsize
        return max(1, min(_BLOCK_BYTES // n_bytes, _BLOCK_MAX_ROWS))

    def reset(self) -> None:
        """Forget everything; the environments start the rollout's first episodes."""
        super().reset()
        self._blocks: list[_Block] = []
        self._rows: list[np.ndarray] = []
        """Where the timesteps of each block stand in episode order; empty until the rollout is complete."""
        self._open: _Block | None = None
        self._n_rows_expected = max(_FIRST_BLOCK_ROWS, self._n_rows_closed)
        self._n_rows, self._n_rows_closed = 0, 0
        self._stretches: list[_Stretch] = []
        self._cut_off: dict[int, Any] = {}
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
        envs, episodes, starts = order.envs, order.episodes, order.starts
        if resets is not None and resets.any():
            stepped = ~resets[envs]
            envs, episodes, starts = envs[stepped], episodes[stepped], starts[stepped]
            order.starts = order.starts + ~stepped
        n = len(envs)
        block = self._open
        if block is None or self._n_rows + n > len(block.rewards):
            block = self._open_block(obs, n)
        first, self._n_rows = self._n_rows, self._n_rows + n
        rows, some = slice(first, self._n_rows), envs if n < self.n_envs else None
        observations: Any = block.observations
        if isinstance(obs, dict):
            for key, values in obs.items():
                _put(observations[key], rows, values, some)
        else:
            _put(observations, rows, obs, some)
        _put(block.actions, rows, actions, some)
        _put(block.rewards, rows, rewards, some)
        stretches = self._stretches
        if not stretches or stretches[-1].episodes is not episodes or stretches[-1].starts is not starts:
            stretches.append(_Stretch(first, episodes, starts, order.n_steps))
        order.n_steps += 1

    def _open_block(self, obs: Observations, n_rows: int) -> _Block:
        """Room for the next steps, at least ``n_rows``: for as many as in the last rollout, or as much again as there is."""
        self._close_block()
        n_rows = max(n_rows, min(self._rows_per_block, max(self._n_rows_closed, self._n_rows_expected)))
        actions = np.empty((n_rows, *self._action_shape), self._action_dtype)
        numbers = np.empty(0, np.int32)  # of episodes and timesteps; known when the block is closed
        self._open = _Block(_empty_like(obs, n_rows), actions, np.empty(n_rows, np.float32), numbers, numbers)
        return self._open

    def _close_block(self) -> None:
        """Put the open block to the others."""
        if self._open is None or self._n_rows == 0:
            return
        rows = slice(self._n_rows)
        next_rows = [stretch.first_row for stretch in self._stretches[1:]] + [self._n_rows]
        labels = [stretch.labels(row) for stretch, row in zip(self._stretches, next_rows, strict=True)]
        episodes, timesteps = (np.concatenate(part) for part in zip(*labels, strict=True))
        observations, actions, rewards = self._open[:3]
        block = _Block(take_rows(observations, rows), actions[rows], rewards[rows], episodes, timesteps)
        self._open = None
        self._n_rows, self._n_rows_closed = 0, self._n_rows_closed + self._n_rows
        self._stretches = []
        _check_finite(block)
        self._blocks.append(block)

    def add_cut_off(self, episode: int, last_obs: Any) -> None:
        """
        Keep the observation at which a time limit cut an episode off.

        :param episode: Its number.
        :param last_obs: Shape ``observation_shape``, or a dict of such.
        """
        self._cut_off[episode] = last_obs

    def cut_off(self) -> tuple[np.ndarray, Observations]:
        """:return: Numbers of the episodes given to :meth:`add_cut_off`, and their observations, a row each."""
        return np.array(list(self._cut_off), dtype=np.int64), _stack(list(self._cut_off.values()))

    def size(self) -> int:
        """:return: Timesteps stored so far."""
        return self._n_rows_closed + self._n_rows

    def _require_complete(self) -> None:
        if not self.order.complete:
            raise RuntimeError(
                f"The rollout has {self.order.n_ended} of its {self.n_episodes} episodes: it must be complete first."
            )
        self._close_block()
        if len(self._rows) < len(self._blocks):
            starts = np.cumsum(self.lengths) - self.lengths
            self._rows = [starts[block.episodes] + block.timesteps for block in self._blocks]

    def rewards(self) -> np.ndarray:
        """
        :return: The rewards in episode order; ``lengths`` says where an episode ends.
            Shape ``(n_timesteps,)``.
        :raises RuntimeError: Before the rollout is complete.
        :raises ValueError: If a reward or an observation is NaN or infinite.
        """
        self._require_complete()
        rewards = np.empty(self.size(), dtype=np.float64)
        for block, rows in zip(self._blocks, self._rows, strict=True):
            rewards[rows] = block.rewards
        return rewards

    def observations(self) -> Observations:
        """
        :return: The observations in episode order, as arrays of their own. Shape ``(n_timesteps, *observation_shape)``.
        :raises RuntimeError: Before the rollout is complete.
        """
        self._require_complete()
        observations = _concatenate([block.observations for block in self._blocks])
        order = np.argsort(np.concatenate(self._rows))
        return take_rows(observations, order)

    def get(self, weights: np.ndarray) -> Iterator[EpisodeBatch]:
        """
        The whole rollout, a block at a time.

        :param weights: One for each timestep, in episode order. Shape ``(n_timesteps,)``.
        :return: Batches that together hold each timestep once.
        :raises RuntimeError: Before the rollout is complete.
        """
        self._require_complete()
        weights = weights.astype(np.float32, copy=False)
        for block, rows in zip(self._blocks, self._rows, strict=True):
            observations: PyTorchObs
            if isinstance(block.observations, dict):
                observations = {key: self._to_device(values) for key, values in block.observations.items()}
            else:
                observations = self._to_device(block.observations)
            yield EpisodeBatch(
                observations,
                self._to_device(block.actions),
                self._to_device(weights[rows]),
                self._to_device(block.episodes),
            )

    def _to_device(self, array: np.ndarray) -> th.Tensor:
        return self.to_torch(array, copy=False)

    def _get_samples(self, batch_inds: np.ndarray, env: Any = None) -> EpisodeBatch:  # type: ignore[override]
        raise NotImplementedError("Episodes are whole: a rollout is read with get(), never sampled from.")


def _check_finite(block: _Block) -> None:
    """Looked at block by block: early enough to save the weights, and all but free."""
    obs = block.observations
    named = {f"observation {key!r}": v for key, v in obs.items()} if isinstance(obs, dict) else {"observation": obs}
    for name, values in {**named, "reward": block.rewards}.items():
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            row = int(np.argwhere(~np.isfinite(values))[0][0])
            raise ValueError(
                f"The environment returned a {name} that is not finite: {values[row]} at timestep "
                f"{block.timesteps[row]} of an episode. Nothing was learned from this rollout. Mend the environment "
                "(stable_baselines3.common.vec_env.VecCheckNan stops at the step that goes wrong)."
            )
