"""
Steps through the wrappers that ``gymnasium.make`` and ``Monitor`` put around an environment, in one call instead of five.

It is a short cut, and gives what the wrappers themselves would give. It is taken only where these wrappers, and no others, are
known exactly, with no ``step`` of theirs replaced, and only once two of them have nothing left to do: OrderEnforcing has seen
a reset, and PassiveEnvChecker has looked at the steps that it looks at. At the end of each episode it is looked whether this
still holds.
"""

import time
from collections.abc import Callable
from functools import cache
from typing import Any, TypeAlias

import gymnasium as gym

from sb3_reinforce.vec_env.vector_infos import Info

Step: TypeAlias = Callable[[gym.Env, Any], tuple[Any, Any, Any, Info]]
"""From an environment and an action to observation, reward, whether the episode has ended, and an info of the caller's own."""

# From the outside to the inside, by name: the RL Zoo puts a class of its own in the place of Gymnasium's TimeLimit. It differs
# only in an entry of info that a VecEnv writes itself
_KNOWN = (
    ("stable_baselines3.common.monitor:Monitor",),
    ("gymnasium.wrappers.common:TimeLimit", "rl_zoo3.gym_patches:PatchedTimeLimit"),
    ("gymnasium.wrappers.common:OrderEnforcing",),
    ("gymnasium.wrappers.common:PassiveEnvChecker",),
)


def find_step(env: gym.Env) -> Step:
    """
    :param env: An environment.
    :return: The fastest way to step it.
    """
    wrappers: list[Any] = []
    inner: Any = env
    for _ in _KNOWN:
        wrappers.append(inner)
        inner = getattr(inner, "env", None)
    steps = [getattr(wrapper, "step", None) for wrapper in wrappers]
    known = all(map(_is_known, map(type, wrappers), (getattr(step, "__func__", None) for step in steps), _KNOWN))
    return _step_through(*wrappers) if known else step_as_it_is


@cache
def _is_known(wrapper_class: Any, step: Any, names: tuple[str, ...]) -> bool:
    """Whether it is one of these classes, and the step is that of its source code."""
    name = _name(wrapper_class)
    return name in names and step is not None and _name(step) == f"{name}.step"


def _name(of: Any) -> str:
    return f"{of.__module__}:{of.__qualname__}"


def step_as_it_is(env: gym.Env, action: Any) -> tuple[Any, Any, Any, Info]:
    """
    :param env: Any environment.
    :param action: What to do.
    :return: As of every :data:`Step`.
    """
    obs, reward, terminated, truncated, info = env.step(action)
    info = info.copy()
    info["TimeLimit.truncated"] = truncated and not terminated
    return obs, reward, terminated or truncated, info


def _step_through(monitor: Any, limit: Any, order: Any, checker: Any) -> Step:
    """What the wrappers do around the step of the environment inside. A function, for it is called at each step."""
    inner = checker.env

    def parts() -> tuple[Any, ...]:
        return monitor.step, monitor.env, limit.step, limit.env, order.step, order.env, checker.step, checker.env

    known_parts, is_known = parts(), False
    # The last that it looks at; older versions of Gymnasium look at one step only
    last_check = "checked_data_reuse" if hasattr(checker, "checked_data_reuse") else "checked_step"

    def step(env: Any, action: Any) -> tuple[Any, Any, Any, Info]:
        nonlocal is_known
        if not is_known or env is not monitor or monitor.needs_reset:
            is_known = order.has_reset and getattr(checker, last_check) and parts() == known_parts
            return step_as_it_is(env, action)
        obs, reward, terminated, truncated, info = inner.step(action)
        limit._elapsed_steps = n_steps = limit._elapsed_steps + 1
        monitor.rewards.append(float(reward))
        monitor.total_steps += 1
        info = info.copy()
        if terminated or truncated or n_steps >= limit._max_episode_steps:
            info["episode"] = _end_episode(monitor, info)
            info["TimeLimit.truncated"] = not terminated
            is_known = parts() == known_parts
            return obs, reward, True, info
        info["TimeLimit.truncated"] = False
        return obs, reward, False, info

    return step


def _end_episode(monitor: Any, info: Info) -> Info:
    """What Monitor does at the end of an episode, and says of it."""
    monitor.needs_reset = True
    total, length, seconds = sum(monitor.rewards), len(monitor.rewards), time.time() - monitor.t_start
    episode = {"r": round(total, 6), "l": length, "t": round(seconds, 6)}
    for key in monitor.info_keywords:
        episode[key] = info[key]
    episode.update(monitor.current_reset_info)
    monitor.episode_returns.append(total)
    monitor.episode_lengths.append(length)
    monitor.episode_times.append(seconds)
    if monitor.results_writer:
        monitor.results_writer.write_row(episode)
    return episode
