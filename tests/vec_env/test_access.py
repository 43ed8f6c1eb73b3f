"""Attributes, methods, wrappers and pictures of the environments inside."""

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import pytest
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv
from gymnasium.wrappers import vector as vector_wrappers
from stable_baselines3.common.monitor import Monitor

from sb3_reinforce.vec_env import GymnasiumVecEnv
from tests.vec_env.walks import (
    N_ENVS,
    Walk,
    native_cart_poles,
    walks,
)


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_attributes_and_methods_of_sub_environments(kind: str, async_env: Callable[..., AsyncVectorEnv]) -> None:
    vec_env = GymnasiumVecEnv(async_env() if kind == "async" else SyncVectorEnv(walks()))
    assert vec_env.get_attr("colour") == [7] * N_ENVS
    assert vec_env.get_attr("spec") == vec_env.get_attr("render_mode") == [None] * N_ENVS
    vec_env.set_attr("colour", 8, indices=[1, 3])
    vec_env.set_attr("colour", 9, indices=-1)
    assert vec_env.get_attr("colour") == [7, 8, 7, 8, 9]
    assert vec_env.get_attr("colour", indices=[4, 0]) == [9, 7]
    assert vec_env.env_method("call", 2, plus=3, indices=[0, 2]) == [5, 5]
    assert vec_env.get_attr("calls") == [1, 0, 1, 0, 0]
    assert vec_env.env_method("call", 2) == [2] * N_ENVS
    assert vec_env.has_attr("colour")
    assert not vec_env.has_attr("sound")
    with pytest.raises(AttributeError):
        vec_env.get_attr("sound")
    with pytest.raises(AttributeError):
        vec_env.env_method("sing")
    vec_env.set_attr("colour", 1)
    assert vec_env.get_attr("colour") == [1] * N_ENVS
    vec_env.reset()


def test_attributes_of_a_native_environment() -> None:
    vec_env = GymnasiumVecEnv(native_cart_poles())
    spec = vec_env.get_attr("spec", indices=0)[0]
    assert (spec.id, spec.reward_threshold) == ("CartPole-v1", 475.0)
    assert vec_env.get_attr("gravity") == [9.8] * N_ENVS
    assert vec_env.get_attr("gravity", indices=[1, 2]) == [9.8] * 2
    vec_env.set_attr("gravity", 1.6)
    assert vec_env.get_attr("gravity", indices=3) == [1.6]
    with pytest.raises(ValueError, match="one object for all"):
        vec_env.set_attr("gravity", 1.6, indices=[1])
    assert len(vec_env.env_method("__repr__")) == N_ENVS
    with pytest.raises(ValueError, match="one object for all"):
        vec_env.env_method("__repr__", indices=0)
    assert not vec_env.has_attr("sound")
    with pytest.raises(AttributeError, match="sound"):
        vec_env.get_attr("sound")


def test_env_is_wrapped() -> None:
    vec_env = GymnasiumVecEnv(SyncVectorEnv([lambda: gym.wrappers.TimeLimit(Walk(), 5), Walk]))
    assert vec_env.env_is_wrapped(Monitor) == [True, True]
    assert vec_env.env_is_wrapped(gym.wrappers.TimeLimit) == [True, False]
    assert vec_env.env_is_wrapped(gym.wrappers.TimeLimit, indices=1) == [False]
    assert GymnasiumVecEnv(native_cart_poles()).env_is_wrapped(gym.wrappers.TimeLimit, indices=0) == [False]


def test_pictures() -> None:
    vec_env = GymnasiumVecEnv(SyncVectorEnv(walks(render_mode="rgb_array")))
    vec_env.reset()
    assert vec_env.render_mode == "rgb_array"
    assert [image.shape for image in vec_env.get_images() if image is not None] == [(4, 6, 3)] * N_ENVS
    picture = vec_env.render()
    assert picture is not None
    assert picture.shape == (12, 12, 3)
    silent = GymnasiumVecEnv(SyncVectorEnv(walks()))
    with pytest.warns(UserWarning, match="rgb_array"):
        assert silent.get_images() == [None] * N_ENVS


def test_pictures_of_native_cart_poles() -> None:
    pytest.importorskip("pygame")
    vec_env = GymnasiumVecEnv(native_cart_poles(2, render_mode="rgb_array"))
    vec_env.reset()
    picture = vec_env.render()
    assert picture is not None
    assert picture.shape == (800, 600, 3)
    vec_env.close()


def test_attributes_in_wrappers_of_a_native_environment() -> None:
    with pytest.warns(UserWarning, match="only with the step after"):
        vec_env = GymnasiumVecEnv(vector_wrappers.TransformReward(native_cart_poles(), lambda rewards: 2 * rewards))
    assert vec_env.get_attr("gravity", indices=0) == [9.8]
    assert callable(vec_env.get_attr("func")[0])
    vec_env.set_attr("gravity", 1.6)
    vec_env.set_attr("mood", "good")
    assert vec_env.vector_env.unwrapped.gravity == 1.6
    assert vec_env.get_attr("mood") == ["good"] * N_ENVS
    assert vec_env.has_attr("mood")


@pytest.mark.parametrize("indices", [5, [0, 7], -6])
def test_environments_that_are_not_there(indices: Any) -> None:
    for vector_env in (SyncVectorEnv(walks()), native_cart_poles()):
        with pytest.raises(IndexError):
            GymnasiumVecEnv(vector_env).get_attr("render_mode", indices)
