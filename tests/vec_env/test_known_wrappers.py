"""The short cut through known wrappers: when it is taken, and that it leaves no trace."""

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers.common import OrderEnforcing, PassiveEnvChecker
from hypothesis import given
from hypothesis import strategies as st
from rl_zoo3.gym_patches import PatchedTimeLimit
from stable_baselines3.common.monitor import Monitor

from sb3_reinforce.vec_env.known_wrappers import find_step, step_as_it_is
from tests.vec_env.walks import Walk, assert_same

TimeLimit = PatchedTimeLimit.__mro__[1]  # Gymnasium's own, in whose place rl_zoo3 puts its own
LIMITS = {"gymnasium": TimeLimit, "rl_zoo3": PatchedTimeLimit}


def in_known_wrappers(env: gym.Env, limit: int = 10, limit_class: Any = TimeLimit, **kwargs: Any) -> Monitor:
    return Monitor(limit_class(OrderEnforcing(PassiveEnvChecker(env)), limit), **kwargs)


def state_of(env: Any) -> dict[str, Any]:
    """What the wrappers keep, as seen from the outside."""
    monitor, limit, order, checker = env, env.env, env.env.env, env.env.env.env
    return {
        "monitor": {name: value for name, value in vars(monitor).items() if name not in ("env", "t_start", "episode_times")},
        "n_times": len(monitor.episode_times),
        "elapsed": limit._elapsed_steps,
        "has_reset": order.has_reset,
        "checked": [value for name, value in vars(checker).items() if name.startswith("checked")],
        "time": env.unwrapped.time,
    }


def without_time(info: dict[str, Any]) -> dict[str, Any]:
    episode = info.get("episode")
    return info if episode is None else {**info, "episode": {**episode, "t": None}}


@pytest.mark.parametrize("limit_class", LIMITS.values(), ids=LIMITS)
@given(limit=st.integers(1, 14), actions=st.lists(st.integers(0, 1), max_size=60), seed=st.integers(0, 100))
def test_it_gives_what_the_wrappers_give_and_leaves_them_as_they_would_be(
    limit_class: Any, limit: int, actions: list[int], seed: int
) -> None:
    keywords: dict[str, Any] = {"info_keywords": ("place",), "reset_keywords": ("seed",)}
    env, expected = (in_known_wrappers(Walk(), limit, limit_class, **keywords) for _ in range(2))
    step = find_step(env)
    assert step is not step_as_it_is
    assert_same(*(each.reset(seed=seed)[0] for each in (env, expected)))
    for action in actions:
        obs, reward, done, info = step(env, action)
        expected_obs, expected_reward, terminated, truncated, expected_info = expected.step(action)
        assert_same(obs, expected_obs)
        assert (reward, done) == (expected_reward, terminated or truncated)
        expected_info = {**expected_info, "TimeLimit.truncated": truncated and not terminated}
        assert_same(without_time(info), without_time(expected_info))
        assert_same(state_of(env), state_of(expected))
        if done:
            assert_same(*(each.reset(seed=seed)[0] for each in (env, expected)))


def test_what_is_made_by_gymnasium_is_known() -> None:
    for env_id in ("CartPole-v1", "Pendulum-v1", "FrozenLake-v1"):
        assert find_step(Monitor(gym.make(env_id))) is not step_as_it_is


class OwnMonitor(Monitor):
    pass


class OwnLimit(TimeLimit):  # type: ignore[valid-type]
    def step(self, action: Any) -> Any:
        return super().step(action)


def _replace_step(env: Any) -> Any:
    env.step = env.step
    return env


def _replace_step_inside(env: Any) -> Any:
    env.env.env.step = lambda action: Walk.step(env.unwrapped, action)
    return env


def _insert(env: Any) -> Any:
    env.env = gym.Wrapper(env.env)
    return env


UNKNOWN: dict[str, Callable[[], Any]] = {
    "nothing": Walk,
    "no Monitor": lambda: in_known_wrappers(Walk()).env,
    "no limit": lambda: Monitor(OrderEnforcing(PassiveEnvChecker(Walk()))),
    "no checker": lambda: Monitor(TimeLimit(OrderEnforcing(Walk()), 3)),
    "another order": lambda: TimeLimit(Monitor(OrderEnforcing(PassiveEnvChecker(Walk()))), 3),
    "a wrapper around": lambda: gym.Wrapper(in_known_wrappers(Walk())),
    "a wrapper between": lambda: _insert(in_known_wrappers(Walk())),
    "another Monitor": lambda: OwnMonitor(in_known_wrappers(Walk()).env),
    "another limit": lambda: in_known_wrappers(Walk(), limit_class=OwnLimit),
    "a step replaced": lambda: _replace_step_inside(in_known_wrappers(Walk())),
}


@pytest.mark.parametrize("make", UNKNOWN.values(), ids=UNKNOWN)
def test_whatever_else_there_is_is_stepped_as_it_is(make: Callable[[], Any]) -> None:
    assert find_step(make()) is step_as_it_is


def test_a_class_whose_step_is_replaced_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    original = Monitor.step
    monkeypatch.setattr(Monitor, "step", lambda self, action: original(self, action))
    assert find_step(in_known_wrappers(Walk())) is step_as_it_is


@pytest.mark.parametrize("place", [0, 1, 2, 3])
def test_what_is_replaced_later_is_followed_from_the_next_episode_on(place: int) -> None:
    env = in_known_wrappers(Walk(), limit=4)
    step = find_step(env)
    wrapper: Any = env
    for _ in range(place):
        wrapper = wrapper.env
    calls = []
    env.reset(seed=0)
    for number in range(12):
        if number == 6:
            original = wrapper.step
            wrapper.step = lambda action: calls.append(number) or original(action)  # type: ignore[func-returns-value]  # noqa: B023
        *_, done, _ = step(env, number % 2)
        if done:
            env.reset()
    assert calls == [8, 9, 10, 11]


def test_a_wrapper_that_is_put_in_later_is_followed_from_the_next_episode_on() -> None:
    env = in_known_wrappers(Walk(), limit=4)
    step = find_step(env)
    lengths = []
    env.reset(seed=0)
    for number in range(12):
        if number == 6:
            env.env = TimeLimit(env.env, 2)
            env.env._elapsed_steps = 0
        *_, done, info = step(env, number % 2)
        if done:
            lengths.append(info["episode"]["l"])
            env.reset()
    assert lengths == [4, 4, 2, 2]


def test_another_environment_in_its_place_is_stepped_at_once() -> None:
    env, other = in_known_wrappers(Walk(), limit=4), in_known_wrappers(Walk(), limit=4)
    step = find_step(env)
    for each in (env, other):
        each.reset(seed=0)
        for number in range(3):
            step(each, number % 2)
    assert (env.total_steps, other.total_steps) == (3, 3)


@pytest.mark.filterwarnings("ignore:.*share an object")
def test_infos_are_of_the_callers_own() -> None:
    class OneInfo(Walk):
        info: dict[str, Any] = {"key": 1}

        def step(self, action: int) -> Any:
            return (*super().step(action)[:-1], self.info)

    for env in (in_known_wrappers(OneInfo(), limit=4), OneInfo()):
        step = find_step(env)
        env.reset(seed=0)
        for number in range(10):
            *_, done, info = step(env, number % 2)
            info["mine"] = True
            if done:
                env.reset(seed=0)
        assert OneInfo.info == {"key": 1}


def test_a_step_too_early_is_the_error_of_the_wrappers() -> None:
    env = in_known_wrappers(Walk(), limit=2)
    step = find_step(env)
    with pytest.raises(RuntimeError, match="needs reset"):
        step(env, 0)
    for _ in range(3):
        env.reset()
        step(env, 0)
        step(env, 1)
        with pytest.raises(RuntimeError, match="needs reset"):
            step(env, 0)
    env.needs_reset = False
    env.env.env.env.env.step = lambda action: (np.zeros(2, np.float32), "much", False, False, {})
    with pytest.raises(ValueError, match="much"):
        step(env, 0)
