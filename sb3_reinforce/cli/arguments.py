"""Arguments of an algorithm, of what the RL Zoo's files and the command line say, and of what the environments are like."""

from typing import Any

from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import VecEnv

from sb3_reinforce.cli.environments import read_text
from sb3_reinforce.zoo.imports import import_class


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
        try:
            return LinearSchedule(float(value.removeprefix("lin_")), 0.0, 1.0)
        except ValueError as error:
            raise ValueError(f"a schedule must be lin_ and a number, as lin_0.1, but got '{value}'") from error
    return read_text(value, is_ours) if "(" in value or value[:1] in ("[", "{") else value


def read_policy(name: str) -> str | type[ActorCriticPolicy]:
    """
    :param name: A name that the algorithm knows, or module and class of a policy, which the user has named: the module is
        imported.
    :return: The name, or the class.
    :raises ValueError: If there is no such class, or it is no policy.
    """
    return import_class(name, "policy", ActorCriticPolicy) if "." in name else name


def custom_objects_for(policy: str | type[ActorCriticPolicy]) -> dict[str, Any] | None:
    """
    :param policy: As from :func:`read_policy`.
    :return: What ``load`` is to take instead of what is in a model's file, so that a policy of the user's own needs no trust.
    """
    return None if isinstance(policy, str) else {"policy_class": policy}


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
