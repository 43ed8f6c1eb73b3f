from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecMonitor

from sb3_reinforce import REINFORCE, GymnasiumVecEnv, RandomWeightSearch


class Numbered(gym.Env[np.ndarray, int]):
    """Episodes of ten timesteps, each of which pays 1; the environment says "episode" to something of its own."""

    def __init__(self, own: Any = 7) -> None:
        self.observation_space, self.action_space = spaces.Box(-1, 1, (2,)), spaces.Discrete(2)  # type: ignore[assignment]
        self.own = own

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.time = 0
        return np.zeros(2, np.float32), {"episode": self.own}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.time += 1
        is_over = self.time == 10
        return np.zeros(2, np.float32), 1.0, is_over, False, {"episode": self.own, "is_success": is_over}


BARE = {
    "DummyVecEnv": lambda own: DummyVecEnv([lambda: Numbered(own)] * 2),
    "SubprocVecEnv": lambda own: SubprocVecEnv([lambda: Numbered(own)] * 2, start_method="fork"),
}
MONITORED = {
    "plain": lambda own: Numbered(own),
    "VecMonitor": lambda own: VecMonitor(DummyVecEnv([lambda: Numbered(own)] * 2)),
    "SyncVectorEnv": lambda own: GymnasiumVecEnv(gym.vector.SyncVectorEnv([lambda: Numbered(own)] * 2)),
}


@pytest.mark.parametrize("own", [7, "seven", {"id": 7}, [1.0, 2]])
@pytest.mark.parametrize("env", [*BARE, *MONITORED])
@pytest.mark.parametrize("algorithm", [REINFORCE, RandomWeightSearch])
def test_what_the_environment_calls_an_episode_is_not_taken_for_monitors(algorithm: Any, env: str, own: Any) -> None:
    model = algorithm("LinearSoftmaxPolicy", {**BARE, **MONITORED}[env](own), seed=0)
    model.learn(200, log_interval=1)
    lengths = [episode["l"] for episode in model.ep_info_buffer]
    assert lengths == ([10] * len(lengths) if env in MONITORED else [])
    assert (len(lengths) > 5) == (env in MONITORED)
    assert set(model.ep_success_buffer) == {True}
    model.get_env().close()
