"""Environments whose episode has ended are reset at once where that can be, and rightly in every autoreset mode."""

import warnings
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv
from gymnasium.wrappers import vector as vector_wrappers
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import (
    DummyVecEnv,
)

from sb3_reinforce.vec_env import GymnasiumVecEnv
from tests.vec_env.walks import (
    N_ENVS,
    Walk,
    assert_steps_like_dummy,
    native_cart_poles,
    walks,
)


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED])
def test_gymnasiums_wrappers_may_lie_between(mode: AutoresetMode) -> None:
    sync = SyncVectorEnv(walks(), autoreset_mode=mode)
    space = spaces.Box(-20.0, 20.0, (2,), np.float32)
    doubled = vector_wrappers.TransformObservation(
        sync, lambda obs: obs * np.float32(2.0), None, single_observation_space=space
    )
    vec_env = GymnasiumVecEnv(vector_wrappers.TransformReward(doubled, lambda rewards: rewards + 1.0))

    def same() -> gym.Env:
        env = gym.wrappers.TransformObservation(Walk(), lambda obs: obs * np.float32(2.0), space)
        return Monitor(gym.wrappers.TransformReward(env, lambda reward: float(reward) + 1.0))

    assert_steps_like_dummy(vec_env, DummyVecEnv([same] * N_ENVS))


def copy_states(native: CartPoleVectorEnv, dummy: DummyVecEnv, which: np.ndarray) -> None:
    for i in np.flatnonzero(which):
        dummy.envs[i].unwrapped.state = native.state[:, i].copy()  # type: ignore[attr-defined, index]


@pytest.mark.parametrize("kwargs", [{}, {"sutton_barto_reward": True}])
def test_native_cart_pole_is_dummy(kwargs: dict[str, Any]) -> None:
    native = native_cart_poles(8, max_episode_steps=25, **kwargs)
    vec_env = GymnasiumVecEnv(native)
    dummy = DummyVecEnv([lambda: Monitor(gym.make("CartPole-v1", max_episode_steps=25, **kwargs)) for _ in range(8)])
    vec_env.seed(1)
    reset_obs = vec_env.reset()
    dummy.reset()
    everyone = np.ones(8, dtype=bool)
    copy_states(native.unwrapped, dummy, everyone)
    rng = np.random.default_rng(1)
    n_timeouts = n_ended = 0
    for _ in range(300):
        actions = rng.integers(0, 2, 8)
        obs, rewards, dones, infos = vec_env.step(actions)
        dummy_obs, dummy_rewards, dummy_dones, dummy_infos = dummy.step(actions)
        np.testing.assert_array_equal(dones, dummy_dones)
        np.testing.assert_array_equal(rewards, dummy_rewards)
        assert isinstance(obs, np.ndarray)
        assert isinstance(dummy_obs, np.ndarray)
        np.testing.assert_allclose(obs[~dones], dummy_obs[~dones], rtol=1e-5, atol=1e-6)
        for i in np.flatnonzero(dones):
            assert np.abs(obs[i]).max() <= 0.05
            np.testing.assert_allclose(
                infos[i]["terminal_observation"], dummy_infos[i]["terminal_observation"], rtol=1e-5, atol=1e-6
            )
            for key in ("r", "l"):
                assert infos[i]["episode"][key] == dummy_infos[i]["episode"][key]
        timeouts = [info["TimeLimit.truncated"] for info in infos]
        assert timeouts == [info["TimeLimit.truncated"] for info in dummy_infos]
        n_timeouts, n_ended = n_timeouts + sum(timeouts), n_ended + dones.sum()
        copy_states(native.unwrapped, dummy, dones)
    assert np.abs(np.asarray(reset_obs)).max() <= 0.05
    assert n_timeouts >= 10
    assert n_ended - n_timeouts >= 10


def test_native_cart_pole_draws_as_it_would_itself() -> None:
    """The reset states are those of the bare vector environment, handed out a step earlier."""
    bare, vec_env = native_cart_poles(1), GymnasiumVecEnv(native_cart_poles(1))
    vec_env.seed(5)
    bare_obs, _ = bare.reset(seed=5)
    obs = vec_env.reset()
    left = np.zeros(1, dtype=np.int64)
    for _ in range(60):
        np.testing.assert_array_equal(obs, bare_obs)
        bare_obs, _, terminated, _, _ = bare.step(left)
        obs, _, dones, infos = vec_env.step(left)
        assert dones[0] == terminated[0]
        if terminated[0]:
            np.testing.assert_array_equal(infos[0]["terminal_observation"], bare_obs[0])
            bare_obs, *_ = bare.step(left)


def test_custom_reset_bounds_hold_for_later_resets_too() -> None:
    vec_env = GymnasiumVecEnv(native_cart_poles(4))
    vec_env.set_options({"low": 0.01, "high": 0.02})
    obs = np.asarray(vec_env.reset())
    assert obs.min() >= 0.0099
    for _ in range(30):
        obs, _, dones, _ = vec_env.step(np.zeros(4, dtype=np.int64))  # type: ignore[assignment]
        assert dones.sum() == 0 or obs[dones].min() >= 0.0099


def test_async_that_does_not_forget_its_autoreset_is_refused(async_env: Callable[..., AsyncVectorEnv]) -> None:
    with pytest.raises(ValueError, match="shared_memory=True"):
        GymnasiumVecEnv(async_env(shared_memory=False))


class CountingPipe:
    """Passes everything on, and counts what is sent."""

    def __init__(self, pipe: Any) -> None:
        self.pipe, self.n_sent = pipe, 0

    def send(self, message: Any) -> None:
        self.n_sent += 1
        self.pipe.send(message)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.pipe, name)


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED])
def test_nobody_waits_for_workers_whose_episode_goes_on(async_env: Callable[..., AsyncVectorEnv], mode: AutoresetMode) -> None:
    base = async_env(autoreset_mode=mode)
    vec_env = GymnasiumVecEnv(base)
    vec_env.seed(3)
    vec_env.reset()
    pipes = [CountingPipe(pipe) for pipe in base.parent_pipes]
    base.parent_pipes = pipes  # type: ignore[assignment]
    n_ended = np.zeros(N_ENVS, dtype=int)
    for _ in range(30):
        n_ended += vec_env.step(np.ones(N_ENVS, dtype=np.int64))[2]
    assert len(set(n_ended)) > 1
    assert [pipe.n_sent for pipe in pipes] == (30 + n_ended).tolist()


# What other algorithms can't be spared


class NextStepOnly(CartPoleVectorEnv):
    """Like any vector environment nobody knows: it can't be reset in part."""


def test_unknown_next_step_environments_have_reset_transitions() -> None:
    with pytest.warns(UserWarning, match="only with the step after"):
        vec_env = GymnasiumVecEnv(NextStepOnly(4, max_episode_steps=20))
    twin = NextStepOnly(4, max_episode_steps=20)
    vec_env.seed(0)
    obs = vec_env.reset()
    np.testing.assert_array_equal(obs, twin.reset(seed=0)[0])
    rng = np.random.default_rng(0)
    before = np.zeros(4, dtype=bool)
    lengths = np.zeros(4, dtype=int)
    assert not vec_env.reset_transitions.any()
    n_ended = 0
    for _ in range(200):
        actions = rng.integers(0, 2, 4)
        obs, rewards, dones, infos = vec_env.step(actions)
        twin_obs, twin_rewards, terminated, truncated, _ = twin.step(actions)
        np.testing.assert_array_equal(obs, twin_obs)
        np.testing.assert_array_equal(rewards, twin_rewards)
        np.testing.assert_array_equal(dones, terminated | truncated)
        np.testing.assert_array_equal(vec_env.reset_transitions, before)
        assert [info.get("reset_transition", False) for info in infos] == before.tolist()
        lengths = np.where(before, 0, lengths + 1)
        for i in np.flatnonzero(dones):
            np.testing.assert_array_equal(infos[i]["terminal_observation"], twin_obs[i])
            assert infos[i]["episode"]["l"] == infos[i]["episode"]["r"] == lengths[i]
            n_ended += 1
        before = dones
    assert n_ended > 10
    vec_env.reset()
    assert not vec_env.reset_transitions.any()
    vec_env.step(np.zeros(4, dtype=np.int64))
    assert not vec_env.reset_transitions.any()


@pytest.mark.parametrize(
    "wrapper",
    [vector_wrappers.NormalizeObservation, vector_wrappers.NormalizeReward, vector_wrappers.RecordEpisodeStatistics],
)
def test_wrappers_that_can_not_be_reset_in_part_are_named(wrapper: Callable[[VectorEnv], VectorEnv]) -> None:
    with pytest.warns(UserWarning, match=getattr(wrapper, "__name__", "")):
        vec_env = GymnasiumVecEnv(wrapper(SyncVectorEnv(walks())))
    vec_env.reset()
    n_resets = 0
    for _ in range(30):
        _, _, _, infos = vec_env.step(np.ones(N_ENVS, dtype=np.int64))
        n_resets += sum("reset_transition" in info for info in infos)
    assert n_resets >= N_ENVS


def test_a_wrapped_native_environment_is_not_reset_behind_its_wrappers() -> None:
    doubled = vector_wrappers.TransformReward(native_cart_poles(), lambda rewards: 2 * rewards)
    with pytest.warns(UserWarning, match="only with the step after"):
        vec_env = GymnasiumVecEnv(doubled)
    vec_env.reset()
    np.testing.assert_array_equal(vec_env.step(np.ones(N_ENVS, dtype=np.int64))[1], np.full(N_ENVS, 2.0))


def test_no_warning_where_all_is_well() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        vec_env = GymnasiumVecEnv(native_cart_poles())
        vec_env.reset()
        for _ in range(40):
            vec_env.step(np.ones(N_ENVS, dtype=np.int64))
            assert not vec_env.reset_transitions.any()
