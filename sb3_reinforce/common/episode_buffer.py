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


class _Block(NamedTuple):
    """Some steps of the environments that were playing, one after the other. Shapes ``(n_rows, ...)``."""

    observations: Observations
    actions: np.ndarray
    rewards: np.ndarray
    episodes: np.ndarray
    timesteps: np.ndarray


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
        ended = np.flatnonzero(dones[self.envs])
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

    Steps are kept as they came and joined into blocks of about 1 MiB, so that a rollout of unknown
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
        self._forget_steps()
        self._cut_off: dict[int, Any] = {}
        self.order = EpisodeOrder(self.n_episodes, self.n_envs)

    def _forget_steps(self) -> None:
        self._steps: list[tuple[Any, ...]] = []
        self._n_rows_of_steps = 0

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
        if n < self.n_envs:
            obs = take_rows(obs, envs)
            actions, rewards = actions[envs], rewards[envs]
        else:  # environments may write their next step into the same arrays
            obs = {key: values.copy() for key, values in obs.items()} if isinstance(obs, dict) else obs.copy()
            rewards = rewards.copy()
        self._steps.append((obs, actions, rewards, episodes, starts, order.n_steps))
        order.n_steps += 1
        self._n_rows_of_steps += n
        if self._n_rows_of_steps >= self._rows_per_block:
            self._join_steps()

    def _join_steps(self) -> None:
        """Make a block of the steps so far."""
        if self._n_rows_of_steps == 0:
            return
        obs, actions, rewards, episodes, starts, numbers = zip(*self._steps, strict=True)
        counts = [len(step) for step in starts]
        block = _Block(
            _concatenate(list(obs)),
            np.concatenate(actions).astype(self._action_dtype, copy=False).reshape(-1, *self._action_shape),
            np.concatenate(rewards).astype(np.float32, copy=False),
            np.concatenate(episodes),
            np.repeat(np.array(numbers, dtype=np.int32), counts) - np.concatenate(starts),
        )
        self._forget_steps()
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
        return sum(len(block.rewards) for block in self._blocks) + self._n_rows_of_steps

    def _require_complete(self) -> None:
        if not self.order.complete:
            raise RuntimeError(
                f"The rollout has {self.order.n_ended} of its {self.n_episodes} episodes: it must be complete first."
            )
        self._join_steps()
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
