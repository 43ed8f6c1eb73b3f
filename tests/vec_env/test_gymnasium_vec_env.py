"""GymnasiumVecEnv against DummyVecEnv, in every autoreset mode, and under SB3's wrappers and algorithms."""

import copy
import warnings
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv, VectorWrapper
from stable_baselines3 import DQN, PPO, SAC
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    VecCheckNan,
    VecEnv,
    VecExtractDictObs,
    VecFrameStack,
    VecMonitor,
    VecNormalize,
)

from sb3_reinforce import REINFORCE
from sb3_reinforce.vec_env import GymnasiumVecEnv
from tests.vec_env.walks import (
    MODES,
    N_ENVS,
    ReusesItsArrays,
    Walk,
    assert_same,
    assert_steps_like_dummy,
    native_cart_poles,
    walks,
)


@pytest.mark.parametrize("kind", ["box", "dict", "discrete"])
@pytest.mark.parametrize("copied", [True, False])
@pytest.mark.parametrize("mode", MODES)
def test_sync_is_dummy_in_every_mode(mode: AutoresetMode, copied: bool, kind: str) -> None:
    vec_env = GymnasiumVecEnv(SyncVectorEnv(walks(kind), copy=copied, autoreset_mode=mode))
    dummy = DummyVecEnv([lambda: Monitor(Walk(kind)) for _ in range(N_ENVS)])
    assert vec_env.observation_space == dummy.observation_space
    assert vec_env.action_space == dummy.action_space
    assert_steps_like_dummy(vec_env, dummy)


@pytest.mark.parametrize(
    ("mode", "shared_memory", "copied"),
    [
        (AutoresetMode.NEXT_STEP, True, True),
        (AutoresetMode.NEXT_STEP, True, False),
        (AutoresetMode.SAME_STEP, True, False),
        (AutoresetMode.SAME_STEP, False, True),
        (AutoresetMode.DISABLED, True, True),
        (AutoresetMode.DISABLED, False, False),
    ],
)
def test_async_is_dummy_in_every_mode(
    async_env: Callable[..., AsyncVectorEnv], mode: AutoresetMode, shared_memory: bool, copied: bool
) -> None:
    vec_env = GymnasiumVecEnv(async_env(autoreset_mode=mode, shared_memory=shared_memory, copy=copied))
    assert_steps_like_dummy(vec_env, DummyVecEnv([lambda: Monitor(Walk()) for _ in range(N_ENVS)]))


@pytest.mark.parametrize("mode", MODES)
def test_monitors_of_the_sub_environments_stand(mode: AutoresetMode) -> None:
    def clipped() -> gym.Env:
        return gym.wrappers.TransformReward(Monitor(Walk()), lambda reward: 100.0 + float(reward))

    vec_env = GymnasiumVecEnv(SyncVectorEnv([clipped] * N_ENVS, autoreset_mode=mode))
    assert_steps_like_dummy(vec_env, DummyVecEnv([clipped] * N_ENVS))


# Nothing that is handed out changes later


@pytest.mark.parametrize("make", [native_cart_poles, lambda: ReusesItsArrays(N_ENVS)])
def test_what_was_handed_out_stays_as_it_was(make: Callable[[], VectorEnv]) -> None:
    vec_env = GymnasiumVecEnv(make())
    kept: list[Any] = [vec_env.reset()]
    copies = copy.deepcopy(kept)
    for _ in range(40):
        step = vec_env.step(np.ones(N_ENVS, dtype=np.int64))
        kept.append(step)
        copies.append(copy.deepcopy(step))
    for one, other in zip(kept[1:], copies[1:], strict=True):
        for a, b in zip(one[:3], other[:3], strict=True):
            np.testing.assert_array_equal(a, b)
        for info, copied in zip(one[3], other[3], strict=True):
            assert_same(info, copied)
    np.testing.assert_array_equal(kept[0], copies[0])
    assert any(step[2].any() for step in kept[1:])


# Seeds, options, actions


def test_seeds_and_options_are_used_once() -> None:
    vec_env = GymnasiumVecEnv(SyncVectorEnv(walks()))
    vec_env.seed(np.int64(2))  # type: ignore[arg-type]
    vec_env.set_options({"shift": 5.0})
    first = np.asarray(vec_env.reset())
    assert first[:, 0].min() > 3.0
    assert vec_env.reset_infos[0]["options"] == "{'shift': 5.0}"
    again = np.asarray(vec_env.reset())
    assert again[:, 0].max() < 3.0
    assert vec_env.reset_infos[0]["options"] == "None"
    assert not np.allclose(first[:, 0] - 5.0, again[:, 0])


@pytest.mark.parametrize("make", [native_cart_poles, lambda: SyncVectorEnv(walks())])
def test_the_seed_decides(make: Callable[[], VectorEnv]) -> None:
    def play(seed: int) -> list[Any]:
        vec_env = GymnasiumVecEnv(make())
        assert vec_env.seed(seed) == [seed + i for i in range(N_ENVS)]
        played: list[Any] = [vec_env.reset()]
        return played + [vec_env.step(np.ones(N_ENVS, dtype=np.int64))[0] for _ in range(30)]

    first, same, other = play(4), play(4), play(5)
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)


def test_options_that_differ_are_refused() -> None:
    vec_env = GymnasiumVecEnv(SyncVectorEnv(walks()))
    vec_env.set_options([{"shift": float(i)} for i in range(N_ENVS)])
    with pytest.raises(ValueError, match="they differ"):
        vec_env.reset()


def test_arrays_of_another_library_are_refused() -> None:
    class Lists(VectorWrapper):
        def reset(self, **kwargs: Any) -> Any:
            obs, infos = self.env.reset(**kwargs)
            return obs.tolist(), infos

    vec_env = GymnasiumVecEnv(Lists(SyncVectorEnv(walks(), autoreset_mode=AutoresetMode.SAME_STEP)))
    with pytest.raises(TypeError, match="observations of type list"):
        vec_env.reset()


def test_steps_before_the_reset_and_after_the_end_are_refused() -> None:
    vec_env = GymnasiumVecEnv(native_cart_poles())
    with pytest.raises(RuntimeError, match="reset"):
        vec_env.step(np.ones(N_ENVS, dtype=np.int64))
    vec_env.reset()
    vec_env.close()
    vec_env.close()
    with pytest.raises(RuntimeError, match="closed"):
        vec_env.step(np.ones(N_ENVS, dtype=np.int64))


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8, np.float32])
def test_actions_of_other_types(dtype: Any) -> None:
    vec_env = GymnasiumVecEnv(native_cart_poles())
    vec_env.reset()
    vec_env.step(np.ones(N_ENVS, dtype=dtype))


def test_float64_actions_for_a_float32_box() -> None:
    vec_env = GymnasiumVecEnv(gym.make_vec("Pendulum-v1", num_envs=2, vectorization_mode="sync"))
    vec_env.reset()
    vec_env.step(np.zeros((2, 1), dtype=np.float64))


# SB3's wrappers and algorithms


def test_sb3_wrappers_stack() -> None:
    vec_env: VecEnv = GymnasiumVecEnv(native_cart_poles(max_episode_steps=20))
    with pytest.warns(UserWarning, match="already wrapped"):
        vec_env = VecMonitor(vec_env)
    vec_env = VecFrameStack(VecNormalize(VecCheckNan(vec_env, raise_exception=True)), 3)
    vec_env.seed(0)
    obs = vec_env.reset()
    assert np.shape(obs) == (N_ENVS, 12)
    n_ended = 0
    for _ in range(100):
        obs, _, dones, infos = vec_env.step(np.random.default_rng(0).integers(0, 2, N_ENVS))
        for i in np.flatnonzero(dones):
            assert infos[i]["terminal_observation"].shape == (12,)
            assert infos[i]["episode"]["l"] <= 20
            n_ended += 1
    assert n_ended > 5


@pytest.mark.parametrize("mode", MODES)
def test_sb3_wrappers_see_what_they_see_on_dummy(mode: AutoresetMode) -> None:
    stacks: list[VecEnv] = []
    for inner in (
        GymnasiumVecEnv(SyncVectorEnv(walks("dict"), autoreset_mode=mode)),
        DummyVecEnv([lambda: Monitor(Walk("dict")) for _ in range(N_ENVS)]),
    ):
        stacks.append(VecFrameStack(VecNormalize(VecExtractDictObs(inner, "place")), 2))
    assert_steps_like_dummy_approximately(*stacks)


def assert_steps_like_dummy_approximately(vec_env: VecEnv, dummy: VecEnv) -> None:
    vec_env.seed(3)
    dummy.seed(3)
    np.testing.assert_allclose(vec_env.reset(), dummy.reset())  # type: ignore[arg-type]
    rng = np.random.default_rng(0)
    for _ in range(60):
        actions = rng.integers(0, 2, N_ENVS)
        obs, rewards, dones, infos = vec_env.step(actions)
        dummy_obs, dummy_rewards, dummy_dones, dummy_infos = dummy.step(actions)
        np.testing.assert_allclose(obs, dummy_obs)  # type: ignore[arg-type]
        np.testing.assert_allclose(rewards, dummy_rewards, rtol=1e-6)
        for i in np.flatnonzero(dones | dummy_dones):
            np.testing.assert_allclose(infos[i]["terminal_observation"], dummy_infos[i]["terminal_observation"])


def test_evaluate_policy_and_reinforce() -> None:
    vec_env = GymnasiumVecEnv(native_cart_poles(8))
    model = REINFORCE("LinearSoftmaxPolicy", vec_env, seed=0)
    model.learn(2000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        returns, lengths = evaluate_policy(model, vec_env, n_eval_episodes=10, return_episode_rewards=True)
    assert len(returns) == 10  # type: ignore[arg-type]
    assert returns == lengths
    assert model.ep_info_buffer


def test_ppo_learns_as_on_dummy() -> None:
    """Three seeds each; what is compared is the mean of the last 30 episodes of training, which varies by a sixth a seed."""

    def learn(env: VecEnv, seed: int) -> float:
        settings = dict(n_steps=32, batch_size=256, n_epochs=20, gae_lambda=0.8, gamma=0.98, learning_rate=1e-3)
        model = PPO("MlpPolicy", env, stats_window_size=30, seed=seed, device="cpu", **settings)
        return float(np.mean([info["r"] for info in model.learn(6_000).ep_info_buffer]))

    on_native = [learn(GymnasiumVecEnv(native_cart_poles(8)), seed) for seed in range(3)]
    on_dummy = [learn(make_vec_env("CartPole-v1", 8), seed) for seed in range(3)]
    assert min(*on_native, *on_dummy) > 50, "a random policy reaches 22"
    assert 0.65 < np.mean(on_native) / np.mean(on_dummy) < 1.55, (on_native, on_dummy)


def test_off_policy_algorithms_run() -> None:
    cart_poles = GymnasiumVecEnv(native_cart_poles(4))
    DQN("MlpPolicy", cart_poles, learning_starts=100, buffer_size=1000, seed=0, device="cpu").learn(400)
    pendulums = GymnasiumVecEnv(gym.make_vec("Pendulum-v1", num_envs=2, vectorization_mode="sync"))
    model = SAC("MlpPolicy", pendulums, learning_starts=100, buffer_size=1000, seed=0, device="cpu")
    model.learn(450)
    # An episode of Pendulum is always cut off at 200 steps, and never terminates
    assert model.replay_buffer is not None
    assert model.replay_buffer.timeouts[199].all()
    assert model.replay_buffer.timeouts.sum() == 2
