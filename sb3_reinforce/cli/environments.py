"""The environments of a run, as its hyperparameters say: what is made, what goes around it, and what is normalized."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecEnv, VecFrameStack, VecNormalize

from sb3_reinforce.cli.errors import CliError
from sb3_reinforce.cli.shared import make_env
from sb3_reinforce.common.checks import check_spaces
from sb3_reinforce.common.evaluation import episode_limit, limit_episodes, own_time_limit
from sb3_reinforce.vec_env import PythonVecEnv, make_fast_vec_env
from sb3_reinforce.zoo.expressions import evaluate
from sb3_reinforce.zoo.reading import check_wrappers, read_plain_expression
from sb3_reinforce.zoo.wrappers import WrapperCall, read_wrappers


@dataclass(frozen=True)
class Environments:
    """
    How the environments of a run are made.

    :param env_id: Gymnasium's id.
    :param kwargs: What each is made with.
    :param wrappers: What goes around each, around its Monitor.
    :param vec_wrappers: What goes around all of them.
    :param normalization: Arguments of VecNormalize; None for none.
    :param frame_stack: How many observations are stacked; None for no stack.
    """

    env_id: str
    kwargs: dict[str, Any]
    wrappers: Sequence[WrapperCall]
    vec_wrappers: Sequence[WrapperCall]
    normalization: dict[str, Any] | None
    frame_stack: int | None

    def make(self, n_envs: int, limit: int | None = None, render_mode: str | None = None) -> tuple[list[Monitor], VecEnv]:
        """
        :param n_envs: How many.
        :param limit: Timesteps after which an episode is cut off, if there is a limit.
        :param render_mode: How the environments are rendered, if they are.
        :return: What monitors each of them, and all of them as one VecEnv.
        :raises CliError: If they can't be made.
        """
        rendered = {} if render_mode is None else {"render_mode": render_mode}  # not every environment knows of render modes
        monitors = [Monitor(make_env(self.env_id, **self.kwargs, **rendered)) for _ in range(n_envs)]
        envs: list[gym.Env] = []
        for monitor in monitors:
            env: gym.Env = monitor if limit is None else limit_episodes(monitor, limit)
            for wrap in self.wrappers:
                env = self._wrapped(wrap, env)
            check_spaces(env.observation_space, env.action_space)  # before SB3 fails on what it can't serve
            envs.append(env)
        return monitors, self.wrapped_as_one(PythonVecEnv([lambda env=env: env for env in envs]))  # type: ignore[misc]

    def episode_limit(self, given: int | None) -> int:
        """
        :param given: What the user has said, or None.
        :return: Timesteps after which an episode of an evaluation is cut off.
        """
        registered = own_time_limit(gym.registry.get(self.env_id.rpartition(":")[2]))
        return episode_limit(given, self.kwargs.get("max_episode_steps", registered))

    def make_fast(self, n_envs: int, seed: int | None) -> VecEnv:
        """
        :param n_envs: How many.
        :param seed: Of the environments.
        :return: The fastest VecEnv there is. A PythonVecEnv has Monitors in it; others count episodes themselves.
        :raises CliError: If they can't be made, or wrappers would have to go around each.
        """
        if self.wrappers:
            names = ", ".join(call.wrapper.__name__ for call in self.wrappers)
            raise CliError(f"--fast makes all environments as one, and nothing can go around each of them: not {names}")
        make_env(self.env_id, **self.kwargs).close()  # its errors are in one line
        return make_fast_vec_env(self.env_id, n_envs, seed, **self.kwargs)

    def wrapped_as_one(self, env: VecEnv) -> VecEnv:
        """
        :param env: The environments, each in what goes around it alone.
        :return: They, in what goes around all of them.
        """
        for wrap in self.vec_wrappers:
            env = self._wrapped(wrap, env)
        if self.normalization is not None:
            env = self._wrapped(WrapperCall(VecNormalize, self.normalization), env)
        if self.frame_stack is not None:
            env = self._wrapped(WrapperCall(VecFrameStack, {"n_stack": self.frame_stack}), env)
        return env

    def _wrapped(self, wrap: WrapperCall, env: Any) -> Any:
        try:
            return wrap(env)
        except (TypeError, ValueError, AssertionError) as error:
            raise CliError(f"'{self.env_id}' can't be wrapped in {wrap.wrapper.__name__}: {error}") from error


def environments_of(env_id: str, hyperparameters: Mapping[str, Any], trusted: bool, in_training: bool) -> Environments:
    """
    :param env_id: Gymnasium's id.
    :param hyperparameters: As the RL Zoo's files have them.
    :param trusted: Whether what stands in them may import and run anything.
    :param in_training: Whether it is to be learned from them: with what only training has, and statistics that move.
    :return: How the environments are made.
    :raises UntrustedFileError: If it would, and may not.
    :raises ValueError: If something in them is not what it may be.
    """
    train_only = ["train_env_wrapper"] if in_training else []
    entries = [hyperparameters.get(key) for key in ("env_wrapper", *train_only)]
    for entry in [] if trusted else [*entries, hyperparameters.get("vec_env_wrapper")]:
        check_wrappers(entry)
    kwargs = dict(hyperparameters.get("env_kwargs") or {})
    if in_training:
        kwargs |= hyperparameters.get("train_env_kwargs") or {}
    return Environments(
        env_id,
        kwargs,
        [call for entry in entries for call in read_wrappers(entry)],
        read_wrappers(hyperparameters.get("vec_env_wrapper")),
        _normalization(hyperparameters, trusted, in_training),
        hyperparameters.get("frame_stack") or None,
    )


def read_text(text: str, trusted: bool) -> Any:
    """
    :param text: An expression of Python.
    :param trusted: Whether it may run anything.
    :return: Its value.
    :raises UntrustedFileError: If it would, and may not.
    """
    return evaluate(text) if trusted else read_plain_expression(text)


def _normalization(hyperparameters: Mapping[str, Any], trusted: bool, in_training: bool) -> dict[str, Any] | None:
    entry = hyperparameters.get("normalize")
    given = read_text(entry, trusted) if isinstance(entry, str) else entry
    if not given:
        return None
    settings = dict(given) if isinstance(given, dict) else {}
    if not in_training:
        return {**settings, "training": False, "norm_reward": False}
    # With the algorithm's discount factor, as in the RL Zoo
    return settings | ({"gamma": hyperparameters["gamma"]} if "gamma" in hyperparameters else {})
