"""The training environments: where episodes begin, what they give, and whether somebody else has moved them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.atari_wrappers import EpisodicLifeEnv
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvStepReturn

from sb3_reinforce.common.casting import as_declared
from sb3_reinforce.common.observations import Observations


class TrainingEnvironments:
    """
    What an algorithm that plays whole episodes has to know of its VecEnv.

    An episode begins where the environment says so. Between rollouts, environments that are in the middle of an episode are
    reset. Where an early reset is no start of an episode (``Monitor(allow_early_resets=False)``, ``EpisodicLifeEnv``), they
    play it to its end first.

    :param env: The training environment.
    """

    def __init__(self, env: VecEnv) -> None:
        self.env = env
        self.name = environment_name(env)
        self.reset_takes_a_step = bool(getattr(env.unwrapped, "has_reset_transitions", False))
        self._plays_out = _must_not_be_reset_early(env)
        self._counter = _count_moves(env)
        self._n_moves = self._counter.n_moves
        if isinstance(env.unwrapped, DummyVecEnv):
            _check_observations(env.unwrapped, self.name)

    @property
    def have_a_time_limit(self) -> bool:
        """Whether the environment was registered with one."""
        spec = self.env.get_attr("spec", indices=0)[0] if self.env.has_attr("spec") else None
        return getattr(spec, "max_episode_steps", None) is not None

    def were_moved(self) -> bool:
        """:return: Whether somebody else has stepped or reset them since we did."""
        return self._counter.n_moves != self._n_moves

    def step(self, actions: np.ndarray) -> VecEnvStepReturn:
        """
        One step of all of them.

        :param actions: As for ``VecEnv.step``.
        :return: What that gives.
        :raises RuntimeError: If somebody else has moved them in the middle of a rollout.
        """
        if self._counter.n_moves != self._n_moves:
            raise RuntimeError(
                f"Somebody else has stepped or reset the training environment {self.name} in the middle of a rollout, so that "
                "its episodes are no longer those of the policy. Nothing was learned from this rollout. Evaluate on an "
                "environment of its own. A callback that has none may evaluate in on_rollout_end."
            )
        result = self.env.step(actions)
        self._n_moves = self._counter.n_moves
        return result

    def start_rollout(self, last_obs: Observations, at_start: np.ndarray) -> tuple[Observations, np.ndarray]:
        """
        :param last_obs: What the environments showed last. Shape ``(n_envs, *observation_shape)``, or a dict of such.
        :param at_start: Which of them stand at the start of an episode, as far as the algorithm knows. Shape ``(n_envs,)``.
        :return: What they show now, and which of them stand at the start of an episode now.
        """
        moved = self.were_moved()
        if moved or self.reset_takes_a_step or not (at_start.all() or self._plays_out):
            last_obs = self.env.reset()  # type: ignore[assignment]
            at_start = np.full(self.env.num_envs, not (moved and self._plays_out))
        self._n_moves = self._counter.n_moves
        return last_obs, at_start

    @contextmanager
    def beginning(self, last_obs: Observations | None, at_start: np.ndarray | None) -> Iterator[np.ndarray]:
        """
        Around SB3's reset at the beginning of training. Environments that must not be reset early stay where they are.

        :param last_obs: What they showed last; None if they have not been reset yet.
        :param at_start: Which of them stand at the start of an episode; None if nobody knows. Shape ``(n_envs,)``.
        :return: Which will stand there after a reset. Shape ``(n_envs,)``.
        """
        moved, n_moves = self.were_moved(), self._counter.n_moves
        stays = self._plays_out and last_obs is not None and not moved
        if stays:
            self.env.reset = lambda: last_obs  # type: ignore[method-assign, assignment, return-value]
        try:
            yield at_start if stays and at_start is not None else np.full(self.env.num_envs, not (moved and self._plays_out))
        finally:
            if stays:
                del self.env.reset
            if self._counter.n_moves != n_moves:
                self._n_moves = self._counter.n_moves


def environment_name(env: VecEnv) -> str:
    """
    :param env: Any VecEnv.
    :return: What the environments in it are registered as, else what the VecEnv is.
    """
    spec = env.get_attr("spec", indices=0)[0] if env.has_attr("spec") else None
    registered = getattr(spec, "id", None)
    if registered is not None:
        return str(registered)
    envs = getattr(env.unwrapped, "envs", None)
    return type(envs[0].unwrapped if envs else env.unwrapped).__name__


def _must_not_be_reset_early(env: VecEnv) -> bool:
    if env.env_is_wrapped(EpisodicLifeEnv, indices=0)[0]:
        return True
    has_monitor = env.has_attr("allow_early_resets")
    return has_monitor and not all(env.get_attr("allow_early_resets"))


class _Counted:
    """
    A method of a VecEnv that counts its calls, whoever makes them. An object, so that the VecEnv can be copied and pickled.

    :param env: The VecEnv.
    :param name: The method.
    :param counter: The count.
    """

    def __init__(self, env: VecEnv, name: str, counter: "_Moves") -> None:
        self.env, self.counter = env, counter
        self.function = getattr(type(env), name)
        self.replacement = vars(env).get(name)  # somebody else's
        setattr(env, name, self)

    def __call__(self, *args: Any) -> Any:
        self.counter.n_moves += 1
        return self.function(self.env, *args) if self.replacement is None else self.replacement(*args)


class _Moves:
    """How often a VecEnv has been stepped or reset, by whomever."""

    n_moves = 0


def _count_moves(env: VecEnv) -> _Moves:
    innermost = env.unwrapped
    counted = vars(innermost).get("step_async")
    if isinstance(counted, _Counted):  # by another model, or by an earlier learn
        return counted.counter
    counter = _Moves()
    for name in ("step_async", "reset"):
        _Counted(innermost, name, counter)
    return counter


class _CheckedObservations:
    """
    ``DummyVecEnv._save_obs``, which writes observations into arrays of the space's type, whatever is lost by it: with a look
    at what is written.

    :param env: The VecEnv.
    :param environment: What an error calls the environment in it.
    """

    def __init__(self, env: DummyVecEnv, environment: str) -> None:
        self.env, self.function, self.environment = env, type(env)._save_obs, environment
        self.dtype, self.shape = env.observation_space.dtype, env.observation_space.shape  # None for Dict spaces
        env._save_obs = self  # type: ignore[method-assign]

    def __call__(self, env_idx: int, obs: Any) -> None:
        if type(obs) is not np.ndarray or obs.dtype is not self.dtype or obs.shape != self.shape:  # not as it nearly always is
            self._check(obs)
        self.function(self.env, env_idx, obs)

    def _check(self, obs: Any) -> None:
        spaces = getattr(self.env.observation_space, "spaces", None)
        if spaces is None:
            self._check_part(obs, self.env.observation_space, "observation")
            return
        for key, space in spaces.items():
            self._check_part(obs[key], space, f"observation {key!r}")

    def _check_part(self, part: Any, space: Any, name: str) -> None:
        is_integer = isinstance(part, (int, np.integer)) and space.shape == () and space.dtype.kind == "i"
        is_usual = isinstance(part, np.ndarray) and part.dtype == space.dtype and part.shape == space.shape
        if not is_integer and not is_usual:
            as_declared(np.asarray(part), space, space.shape, name, self.environment)


def _check_observations(env: DummyVecEnv, environment: str) -> None:
    if "_save_obs" not in vars(env):
        _CheckedObservations(env, environment)
