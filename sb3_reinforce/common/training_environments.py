"""The training environments: where episodes begin, what they give, and whether somebody else has moved them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from stable_baselines3.common.atari_wrappers import EpisodicLifeEnv
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvStepReturn

from sb3_reinforce.common.casting import as_declared
from sb3_reinforce.common.observations import Observations, map_observations


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


class _Replaced:
    """
    A method of a VecEnv that does something more. An object, so that the VecEnv can be copied and pickled with it.

    :param env: The VecEnv.
    :param name: The method.
    """

    def __init__(self, env: VecEnv, name: str) -> None:
        self.env, self.name = env, name
        setattr(env, name, self)

    def original(self, *args: Any, **kwargs: Any) -> Any:
        return getattr(type(self.env), self.name)(self.env, *args, **kwargs)


class _Counted(_Replaced):
    def __init__(self, env: VecEnv, name: str, counter: "_Moves") -> None:
        super().__init__(env, name)
        self.counter = counter

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.counter.n_moves += 1
        return self.original(*args, **kwargs)


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


class _CheckedObservations(_Replaced):
    """DummyVecEnv writes observations into arrays of the space's type, whatever is lost by it."""

    def __init__(self, env: DummyVecEnv, environment: str) -> None:
        super().__init__(env, "_save_obs")
        self.environment = environment
        self.is_dict = hasattr(env.observation_space, "spaces")
        self.dtypes = map_observations(lambda array: array.dtype, dict(env.buf_obs))

    def __call__(self, env_idx: int, obs: Any) -> None:
        if self.is_dict:
            for key, dtype in self.dtypes.items():
                self._check(obs[key], dtype, self.env.observation_space[key], f"observation {key!r}")  # type: ignore[index]
        else:
            self._check(obs, self.dtypes[None], self.env.observation_space, "observation")
        self.original(env_idx, obs)

    def _check(self, obs: Any, dtype: np.dtype, space: Any, name: str) -> None:
        is_usual = isinstance(obs, np.ndarray) and (obs.dtype is dtype or obs.dtype.kind == dtype.kind == "f")
        if not (is_usual and obs.shape == space.shape) and not (isinstance(obs, (int, np.integer)) and dtype.kind == "i"):
            as_declared(np.asarray(obs), space, space.shape, name, self.environment)


def _check_observations(env: DummyVecEnv, environment: str) -> None:
    if type(env)._save_obs is DummyVecEnv._save_obs and "_save_obs" not in vars(env):
        _CheckedObservations(env, environment)
