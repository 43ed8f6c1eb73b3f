"""Which of EnvPool's MuJoCo environments are Gymnasium's."""

import warnings
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from sb3_reinforce import REINFORCE, NormalizedObservations
from sb3_reinforce.vec_env import make_fast_vec_env
from sb3_reinforce.vec_env.envpool import AGREEING_MUJOCO

pytest.importorskip("mujoco")

N_HIDDEN = {"HalfCheetah": 1, "Hopper": 1, "Walker2d": 1, "Swimmer": 2, "InvertedPendulum": 0}
"""So many positions, where on the ground it is, are not in the observation, and make no difference."""
N_STEPS = 30


def state_of(name: str, env: Any, obs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions and velocities."""
    if name == "Reacher":
        return np.r_[np.arctan2(obs[2:4], obs[:2]), obs[4:6]], np.r_[obs[6:8], 0, 0]
    if name == "InvertedDoublePendulum":
        return np.r_[obs[0], np.arctan2(obs[1:3], obs[3:5])], obs[5:8]
    n_positions = env.model.nq - N_HIDDEN[name]
    return np.r_[np.zeros(N_HIDDEN[name]), obs[:n_positions]], obs[n_positions : n_positions + env.model.nv]


@pytest.mark.parametrize("env_id", sorted(AGREEING_MUJOCO))
def test_gives_what_gymnasium_gives_for_the_same_states_and_actions(envpool: Any, env_id: str) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*out of date")
        env = gym.make(env_id)
        vec_env = make_fast_vec_env(env_id, n_envs=4, seed=3)
    assert vec_env.backend == "envpool"  # type: ignore[attr-defined]
    assert vec_env.action_space == env.action_space
    assert vec_env.observation_space == env.observation_space
    env.action_space.seed(0)
    unwrapped: Any = env.unwrapped
    n_ends = 0
    for start in range(3):
        obs = np.asarray(vec_env.reset())
        env.reset()
        unwrapped.set_state(*state_of(env_id.split("-")[0], unwrapped, obs[0]))
        np.testing.assert_allclose(unwrapped._get_obs(), obs[0], atol=1e-9)
        for _ in range(N_STEPS):
            action = env.action_space.sample() * (1.0 if start else 0.2)
            obs, rewards, dones, infos = vec_env.step(np.stack([action] * 4))  # type: ignore[assignment]
            expected, reward, terminated, truncated, _ = env.step(action)
            assert dones[0] == (terminated or truncated)
            seen = infos[0]["terminal_observation"] if dones[0] else obs[0]
            np.testing.assert_allclose(seen, expected, rtol=1e-6, atol=1e-6)
            assert rewards[0] == pytest.approx(reward, rel=1e-6, abs=1e-6)
            if dones[0]:
                assert infos[0]["TimeLimit.truncated"] == truncated
                n_ends += 1
                break
    assert n_ends or not env_id.startswith(("Hopper", "Walker2d", "Inverted"))


def test_auto_takes_no_others(envpool: Any) -> None:
    assert make_fast_vec_env("Ant-v5", 16).backend == "python (PythonVecEnv)"  # type: ignore[attr-defined]
    named = make_fast_vec_env("Ant-v5", backend="envpool")
    assert named.action_space == gym.make("Ant-v5").action_space


def test_what_was_learned_there_goes_on_in_gymnasium(envpool: Any, tmp_path: Any) -> None:
    policy_kwargs = {"features_extractor_class": NormalizedObservations}
    env = make_fast_vec_env("InvertedPendulum-v5", n_envs=4, seed=0)
    model = REINFORCE("LinearGaussianPolicy", env, seed=0, policy_kwargs=policy_kwargs).learn(300)
    model.save(tmp_path / "model")
    REINFORCE.load(tmp_path / "model", env=gym.make("InvertedPendulum-v5")).learn(50)
