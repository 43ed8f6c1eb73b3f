"""EnvPool as one of Gymnasium's vector environments, which it nearly is."""

from typing import Any

import numpy as np

from sb3_reinforce.common.observations import Observations
from sb3_reinforce.vec_env.vector_infos import Info

_AGREEING = ("HalfCheetah", "Hopper", "InvertedDoublePendulum", "InvertedPendulum", "Reacher", "Swimmer", "Walker2d")
AGREEING_MUJOCO = frozenset(f"{name}-{version}" for name in _AGREEING for version in ("v4", "v5"))
"""
MuJoCo's environments that give the same observations, rewards and ends as Gymnasium's for the same states and actions. Seen
with EnvPool 1.2.5, which holds MuJoCo 3.6.0, and Gymnasium 1.4 with mujoco 3.6.0 and 4.0.0. Rewards are float32 in EnvPool.
Contacts multiply the last digit, so that trajectories of HalfCheetah part after some 60 steps. Ant agrees with mujoco 3.6.0
only: with 4.0.0 its contacts differ from the first step on.
"""


class EnvPoolStepper:
    """
    Steps and resets an EnvPool.

    :param pool: What ``envpool.make_gymnasium`` makes.
    :raises ValueError: If it steps only some of its environments at a time.
    """

    def __init__(self, pool: Any) -> None:
        if pool.config["batch_size"] != pool.config["num_envs"]:
            raise ValueError("SB3 steps all environments at once: make the EnvPool without batch_size.")
        self._pool = pool

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[Observations, Info]:
        """
        :param seed: Not used: EnvPool takes its seed when it is made.
        :param options: Passed on if there are any.
        :return: Observations and infos of all environments.
        """
        obs, vector_infos = self._pool.reset(**({"options": options} if options else {}))
        return obs, _without_numbers(vector_infos)

    def step(self, actions: np.ndarray) -> tuple[Observations, np.ndarray, np.ndarray, np.ndarray, Info]:
        """
        :param actions: One for each environment.
        :return: As of any vector environment.
        """
        obs, rewards, terminated, truncated, vector_infos = self._pool.step(actions)
        return obs, rewards, terminated, truncated, _without_numbers(vector_infos)

    def reset_some(self, envs: np.ndarray) -> tuple[Observations, Info, np.ndarray]:
        """
        :param envs: Numbers of some environments, in order.
        :return: Their observations and infos, and which row of these is of the first, the second and so on.
        """
        obs, vector_infos = self._pool.reset(envs.astype(np.int32))
        # As a rule in the order asked for, but EnvPool promises only to say which is which
        return obs, _without_numbers(vector_infos), np.argsort(vector_infos["env_id"])


def _without_numbers(vector_infos: Info) -> Info:
    """EnvPool tells every environment's number at every step."""
    return {key: values for key, values in vector_infos.items() if key not in ("env_id", "players")}
