"""Whole episodes, in the order they were started."""

from typing import Any

import numpy as np
import torch as th
from gymnasium import spaces
from gymnasium.vector.utils import create_empty_array
from stable_baselines3.common.buffers import BaseBuffer

from sb3_reinforce.common.casting import observations_as_declared
from sb3_reinforce.common.observations import Observations, map_observations, named_parts, stack_observations
from sb3_reinforce.rollouts.episode_order import EpisodeOrder
from sb3_reinforce.rollouts.rollout import Block, Rollout

_BLOCK_BYTES = 1 << 20
_BLOCK_MAX_ROWS = 16_384
_FIRST_BLOCK_STEPS = 256
_NO_ENVS = np.empty(0, dtype=np.int64)


class EpisodeBuffer(BaseBuffer):
    """
    Holds one rollout: the first ``n_episodes`` episodes *started*, each to its end.

    :class:`~sb3_reinforce.rollouts.episode_order.EpisodeOrder` says which environment plays which; what idle ones do is
    not kept. Arrays have the types of the spaces, and nothing is cast to them with a loss.

    Steps are written into blocks of up to 1 MiB, so that a rollout of unknown length is never copied to make
    room, and takes little more of it than its arrays need.

    When the rollout is complete, :meth:`rollout` is what is learned from. Its ``rewards``, ``observations`` and ``actions``
    are attributes here too, as with SB3's ``RolloutBuffer``, but in episode order: what a callback writes there is learned
    from.

    :param n_episodes: Episodes of a rollout.
    :param observation_space: Observation space; Dict spaces are stored key by key.
    :param action_space: Action space.
    :param device: Where batches are put.
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
        self.environment = ""
        """What errors call the environment."""
        self._action_shape = () if isinstance(action_space, spaces.Discrete) else (self.action_dim,)
        # Float for MultiBinary too, since torch's Bernoulli wants the type of its probabilities
        self._action_dtype = np.float32 if isinstance(action_space, (spaces.Box, spaces.MultiBinary)) else np.int64
        self._no_dones = bytes(n_envs)
        self._dtype, self._shape = observation_space.dtype, (n_envs, *(observation_space.shape or ()))
        self._max_steps = self._choose_max_steps()
        self.reset()

    def _choose_max_steps(self) -> int:
        """Steps of the largest blocks."""
        one_row = [create_empty_array(self.observation_space, 1), np.empty((1, *self._action_shape), self._action_dtype)]
        n_bytes = sum(part.nbytes for parts in one_row for part in named_parts(parts).values()) + 16
        return max(1, min(_BLOCK_BYTES // n_bytes, _BLOCK_MAX_ROWS) // self.n_envs)

    def reset(
        self,
        epsilons: np.ndarray | None = None,
        at_start: np.ndarray | None = None,
        reset_takes_a_step: bool = False,
        keep_cut_off: bool = False,
    ) -> None:
        """
        Forget everything, and make ready for a rollout.

        :param epsilons: How much each of its episodes is explored; None for not at all. Shape ``(n_episodes,)``.
        :param at_start: Which environments stand at the start of an episode; None for all. Shape ``(n_envs,)``.
        :param reset_takes_a_step: Whether the step after an episode's end is only a reset.
        :param keep_cut_off: Whether to keep the observations at which time limits cut episodes off.
        """
        super().reset()
        self.epsilons: np.ndarray = np.zeros(self.n_episodes) if epsilons is None else epsilons
        self.order = EpisodeOrder(
            self.n_episodes, np.ones(self.n_envs, dtype=bool) if at_start is None else at_start, reset_takes_a_step
        )
        self._keep_cut_off = keep_cut_off
        self._cut_off: dict[int, Any] = {}
        self._blocks: list[Block] = []
        self._pieces: list[Block] = []
        self._rollout: Rollout | None = None
        self._n_block_steps, self._step = 0, 0
        self._changes: list[tuple[int, np.ndarray]] = []

    @property
    def complete(self) -> bool:
        """Whether all episodes have ended."""
        return self.order.complete

    @property
    def lengths(self) -> np.ndarray:
        """Timesteps of each episode; 0 for one that has not ended. Shape ``(n_episodes,)``."""
        return self.order.lengths

    def add(  # type: ignore[override]
        self,
        obs: Observations,
        actions: np.ndarray,
        rewards: np.ndarray,
        dones: np.ndarray,
        infos: list[dict[str, Any]],
        action_masks: np.ndarray | None = None,
    ) -> np.ndarray:
        """
        Store one step of every environment.

        :param obs: What the actions were chosen on. Shape ``(n_envs, *observation_shape)``, or a dict of such.
        :param actions: Shape ``(n_envs,)`` for Discrete, else ``(n_envs, action_dim)``.
        :param rewards: Shape ``(n_envs,)``.
        :param dones: Which environments have ended an episode. Shape ``(n_envs,)``.
        :param infos: As from ``VecEnv.step``.
        :param action_masks: Which choices were allowed; None, always or never in a rollout, for all. Shape
            ``(n_envs, mask_size)``.
        :return: The environments that have ended an episode that counts.
        :raises ValueError: If an observation is of another shape than its space, or of a type that can't be cast to that of
            its space without a loss.
        """
        step = self._step
        if step == self._n_block_steps:
            self._close_block()
            self._open_block(None if action_masks is None else action_masks.shape[1])
            step = 0
        if isinstance(obs, dict):
            obs = self._declared(obs)
            for key, array in self._observations.items():
                array[step] = obs[key]
        else:
            fits = obs.dtype is self._dtype and obs.shape == self._shape
            self._observations[step] = obs if fits else self._declared(obs)
        self._actions[step] = actions
        self._rewards[step] = rewards
        if action_masks is not None:
            self._action_masks[step] = action_masks
        self._step = step + 1
        self.order.n_steps += 1
        # At every step: many times as fast as any()
        return _NO_ENVS if dones.tobytes() == self._no_dones else self._end_episodes(dones, infos)

    def _declared(self, obs: Any) -> Any:
        """Observations of all environments in the types of their spaces."""
        return observations_as_declared(obs, self.observation_space, self.n_envs, environment=self.environment)

    def _end_episodes(self, dones: np.ndarray, infos: list[dict[str, Any]]) -> np.ndarray:
        envs, episodes = self.order.end_episodes(dones)
        if self._keep_cut_off:
            for env, episode in zip(envs.tolist(), episodes.tolist(), strict=True):
                if infos[env].get("TimeLimit.truncated", False):
                    self._cut_off[episode] = infos[env]["terminal_observation"]
        self._changes.append((self._step, self.order.episodes))
        return envs

    def _open_block(self, mask_size: int | None) -> None:
        """Room for the next steps: for as many again as there are, whatever other rollouts took."""
        self._n_block_steps = n_steps = min(max(_FIRST_BLOCK_STEPS, self.order.n_steps), self._max_steps)
        shape = (n_steps, self.n_envs)
        empty: Any = create_empty_array(self.observation_space, n_steps * self.n_envs, fn=np.empty)
        self._observations: Any = map_observations(lambda values: values.reshape(*shape, *values.shape[1:]), empty)
        self._actions = np.empty((*shape, *self._action_shape), self._action_dtype)
        self._rewards = np.empty(shape, np.float64)
        self._action_masks: Any = None if mask_size is None else np.empty((*shape, mask_size), bool)
        self._changes = [(0, self.order.episodes)]
        self._first_step = self.order.n_steps

    def _close_block(self) -> None:
        """Put what the open block holds of episodes that count to the others."""
        n_steps, self._step, self._n_block_steps = self._step, 0, 0
        if n_steps == 0:
            return
        at, episodes = zip(*self._changes, strict=True)
        numbers = np.repeat(np.stack(episodes), np.diff([*at, n_steps]), axis=0).ravel()
        timesteps = np.repeat(np.arange(self._first_step, self._first_step + n_steps), self.n_envs)
        timesteps -= self.order.starts.take(numbers, mode="wrap")  # of those that play none, -1, any will do
        counts = numbers >= 0
        if self.order.reset_takes_a_step:
            counts &= timesteps >= 0
        parts: Any = [self._observations, self._actions, self._rewards]
        parts += [] if self._action_masks is None else [self._action_masks]
        parts = [map_observations(lambda array: _flat(array, n_steps), part) for part in parts]
        if not counts.all():
            rows = counts.nonzero()[0]
            parts = [map_observations(lambda array: array.take(rows, axis=0), part) for part in parts]
            numbers, timesteps = numbers.take(rows), timesteps.take(rows)
        self._pieces.append(Block(parts[0], parts[1], parts[2], numbers, timesteps, *parts[3:]))
        if sum(len(piece.rewards) for piece in self._pieces) >= self._max_steps * self.n_envs:
            self._join_pieces()

    def _join_pieces(self) -> None:
        """Make one block of what is left of several when the steps of idle environments are left out."""
        if self._pieces:
            block = self._pieces[0] if len(self._pieces) == 1 else Block(*map(_concatenate, zip(*self._pieces, strict=True)))
            self._pieces = []
            _check_finite(block)
            self._blocks.append(block)

    def size(self) -> int:
        """:return: Timesteps of the rollout, when it is complete."""
        return int(self.lengths.sum())

    def rollout(self) -> Rollout:
        """
        :return: The rollout, as it is learned from: what has been written into its arrays is in it.
        :raises RuntimeError: Before the rollout is complete.
        :raises ValueError: If a reward or an observation is NaN or infinite.
        """
        if not self.complete:
            raise RuntimeError(
                f"The rollout has {self.order.n_ended} of its {self.n_episodes} episodes: it must be complete first."
            )
        if self._rollout is None:
            self._close_block()
            self._join_pieces()
            name, space = "observation where a time limit ended the episode", self.observation_space
            last = [observations_as_declared(obs, space, None, name, self.environment) for obs in self._cut_off.values()]
            self._rollout = Rollout(
                self._blocks,
                self.lengths,
                self.epsilons,
                np.array(list(self._cut_off), dtype=np.int64),
                stack_observations(last) if last else None,
                th.device(self.device),
            )
        return self._rollout

    @property
    def rewards(self) -> np.ndarray:
        """Float64, in episode order: ``lengths`` says where an episode ends. Shape ``(n_timesteps,)``."""
        return self.rollout().rewards

    @rewards.setter
    def rewards(self, values: np.ndarray) -> None:
        _overwrite(self.rollout().rewards, values)

    @property
    def observations(self) -> Observations:
        """In episode order. Shape ``(n_timesteps, *observation_shape)``, or a dict of such."""
        return self.rollout().observations

    @observations.setter
    def observations(self, values: Observations) -> None:
        map_observations(_overwrite, self.rollout().observations, values)

    @property
    def actions(self) -> np.ndarray:
        """In episode order. Shape ``(n_timesteps,)`` for Discrete, else ``(n_timesteps, action_dim)``."""
        return self.rollout().actions

    @actions.setter
    def actions(self, values: np.ndarray) -> None:
        _overwrite(self.rollout().actions, values)

    def _get_samples(self, batch_inds: np.ndarray, env: Any = None) -> Any:
        raise NotImplementedError("Episodes are whole: a rollout is read with rollout(), never sampled from.")


def _overwrite(array: np.ndarray, values: np.ndarray) -> None:
    if np.ndim(values) > 0 and np.shape(values) != array.shape:
        raise ValueError(f"The rollout has arrays of shape {array.shape} here, but got one of shape {np.shape(values)}.")
    np.copyto(array, values)  # which raises TypeError where it would have to cast real numbers to integers


def _flat(array: np.ndarray, n_steps: int) -> np.ndarray:
    """The first steps, one row for each environment and step."""
    return array[:n_steps].reshape(-1, *array.shape[2:])


def _concatenate(parts: tuple[Any, ...]) -> Any:
    """Arrays, or dicts of arrays, one after the other; None where there are none."""
    if parts[0] is None:
        return None
    return map_observations(lambda *arrays: np.concatenate(arrays), *parts)


def _check_finite(block: Block) -> None:
    """Looked at block by block: early enough to save the weights, and all but free."""
    for name, values in {**named_parts(block.observations), "reward": block.rewards}.items():
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            row = int(np.argwhere(~np.isfinite(values))[0][0])
            raise ValueError(
                f"The environment returned {'a' if name == 'reward' else 'an'} {name} that is not finite: {values[row]} at "
                f"timestep {block.timesteps[row]} of an episode. Nothing was learned from this rollout. Mend the environment "
                "(stable_baselines3.common.vec_env.VecCheckNan stops at the step that goes wrong)."
            )
