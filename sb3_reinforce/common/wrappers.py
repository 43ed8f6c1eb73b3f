"""Wrappers of environments."""

from typing import Any

import gymnasium as gym
from gymnasium.core import ActType, ObsType
from gymnasium.utils import RecordConstructorArgs
from gymnasium.wrappers import TimeLimit
from stable_baselines3.common.env_util import is_wrapped


class SuccessRewardWrapper(gym.Wrapper[ObsType, ActType, ObsType, ActType], RecordConstructorArgs):
    """
    Rewards success and nothing else: 1 with the last step of an episode that lasts to its time limit, 0
    with every other step. An episode that is terminated fails, even by the very step of the limit.

    It goes around an environment with a time limit, such as ``gymnasium.make`` gives, or around all environments of
    ``make_vec_env("CartPole-v1", n_envs=8, wrapper_class=SuccessRewardWrapper)``. There, ``Monitor`` is inside and goes on
    to report the environment's own returns. SB3 logs ``rollout/success_rate``, and so do its evaluations, from
    ``info["is_success"]``, which is set when an episode ends.

    :param env: An environment with a time limit.
    :raises ValueError: If it has none.
    """

    def __init__(self, env: gym.Env[ObsType, ActType]) -> None:
        if not is_wrapped(env, TimeLimit):
            raise ValueError(
                f"SuccessRewardWrapper rewards episodes that last to the time limit, but {env} has none. Give it one "
                "with gymnasium.make(..., max_episode_steps=...) or gymnasium.wrappers.TimeLimit, inside this wrapper."
            )
        RecordConstructorArgs.__init__(self)
        super().__init__(env)

    def step(self, action: ActType) -> tuple[ObsType, float, bool, bool, dict[str, Any]]:
        """
        :param action: What to do.
        :return: Observation, reward, terminated, truncated and info, as of every environment.
        """
        obs, _, terminated, truncated, info = self.env.step(action)
        is_success = truncated and not terminated
        if terminated or truncated:
            info["is_success"] = is_success
        return obs, float(is_success), terminated, truncated, info
