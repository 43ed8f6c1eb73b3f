"""EnvPool as a VecEnv."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.evaluation import evaluate_policy

from sb3_reinforce import REINFORCE
from sb3_reinforce.vec_env import GymnasiumVecEnv, make_fast_vec_env


@pytest.mark.filterwarnings("ignore:.*precision lowered")
def test_envpool_steps_as_a_vec_env_should(envpool: Any) -> None:
    """Against the bare EnvPool with the same seed, whose resets come a step later."""
    vec_env = make_fast_vec_env("CartPole-v1", 16, seed=3, backend="envpool")
    assert vec_env.backend == "envpool"
    assert vec_env.get_attr("spec")[0].reward_threshold == 475.0
    obs = np.asarray(vec_env.reset())
    rng = np.random.default_rng(0)
    env = gym.make("CartPole-v1")
    env.reset()
    lengths = np.zeros(16, dtype=int)
    n_ended, most_at_once = 0, 0
    for _ in range(150):
        actions = rng.integers(0, 2, 16)
        expected = [cart_pole_step(env, row, action) for row, action in zip(obs, actions, strict=True)]
        obs, rewards, dones, infos = vec_env.step(actions)  # type: ignore[assignment]
        lengths += 1
        assert rewards.tolist() == [1.0] * 16
        most_at_once = max(most_at_once, dones.sum())
        for i in range(16):
            after = infos[i]["terminal_observation"] if dones[i] else obs[i]
            np.testing.assert_allclose(after, expected[i], rtol=1e-3, atol=1e-4)
            assert infos[i]["elapsed_step"] == lengths[i]
            if dones[i]:
                assert np.abs(obs[i]).max() <= 0.05
                assert infos[i]["episode"]["l"] == infos[i]["episode"]["r"] == lengths[i]
                assert not infos[i]["TimeLimit.truncated"]
                assert vec_env.reset_infos[i] == {"elapsed_step": 0}
                lengths[i] = 0
                n_ended += 1
    assert n_ended > 40
    assert most_at_once >= 3


def cart_pole_step(env: gym.Env, obs: np.ndarray, action: int) -> np.ndarray:
    env.unwrapped.state = obs.astype(np.float64)  # type: ignore[attr-defined]
    env.unwrapped.steps_beyond_terminated = None  # type: ignore[attr-defined]
    return env.unwrapped.step(action)[0]


@pytest.mark.filterwarnings("ignore:.*precision lowered")
def test_envpool_seeds(envpool: Any) -> None:
    first, same, other, any_, any_other = (
        np.asarray(make_fast_vec_env("CartPole-v1", 3, seed, "envpool").reset()) for seed in (1, 1, 2, None, None)
    )
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)
    assert not np.array_equal(any_, any_other)
    vec_env = make_fast_vec_env("CartPole-v1", 3, 1, "envpool")
    with pytest.warns(UserWarning, match="when it is made"):
        vec_env.seed(5)
    vec_env.reset()


@pytest.mark.filterwarnings("ignore:.*precision lowered")
def test_envpool_refusals(envpool: Any) -> None:
    with pytest.raises(ValueError, match="no environment 'KartPole-v1'"):
        make_fast_vec_env("KartPole-v1", backend="envpool")
    with pytest.raises(ValueError, match="without batch_size"):
        GymnasiumVecEnv(envpool.make_gymnasium("CartPole-v1", num_envs=4, batch_size=2))


@pytest.mark.filterwarnings("ignore:.*precision lowered")
def test_learning_on_envpool(envpool: Any) -> None:
    vec_env = make_fast_vec_env("CartPole-v1", 4, 0, "envpool")
    model = PPO("MlpPolicy", vec_env, n_steps=32, device="cpu").learn(256)
    REINFORCE("LinearSoftmaxPolicy", vec_env).learn(500)
    assert len(evaluate_policy(model, vec_env, 4, return_episode_rewards=True)[0]) == 4  # type: ignore[arg-type]
