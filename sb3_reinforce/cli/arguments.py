"""Arguments of an algorithm, of what the RL Zoo's files and the command line say, and of what the environments are like."""

from typing import Any

from gymnasium import spaces
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import VecEnv

from sb3_reinforce.cli.environments import read_text


def as_argument(value: Any, is_ours: bool) -> Any:
    """
    :param value: A hyperparameter, as the RL Zoo's files have it.
    :param is_ours: Whether it may run anything.
    :return: The argument of the algorithm: ``lin_0.1`` is a schedule that falls linearly from 0.1 to 0, and a call
        (``EpsilonSchedule(0.2, 0)``) what it gives.
    :raises UntrustedFileError: If it would run something, and may not.
    :raises ValueError: If it is nothing of the kind.
    """
    if not isinstance(value, str):
        return value
    if value.startswith("lin_"):
        return LinearSchedule(float(value.removeprefix("lin_")), 0.0, 1.0)
    return read_text(value, is_ours) if "(" in value or value[:1] in ("[", "{") else value


def choose_policy(algo: str, env: VecEnv) -> str:
    """
    The plainest policy that may do; for Box actions, which are seldom linear in what is observed, a network.

    :param algo: The algorithm.
    :param env: The environments.
    :return: The name of the policy.
    """
    if algo == "reinforce" and isinstance(env.observation_space, spaces.Dict):
        return "MultiInputPolicy"
    if algo == "reinforce" and is_image_space(env.observation_space):
        return "CnnPolicy"
    return "MlpPolicy" if isinstance(env.action_space, spaces.Box) else "LinearSoftmaxPolicy"
