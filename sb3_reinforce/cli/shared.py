"""What the commands have in common."""

import contextlib
import pathlib
import re
import tempfile
from typing import Any

import gymnasium as gym
from stable_baselines3.common.vec_env import VecEnv

from sb3_reinforce.cli.errors import CliError
from sb3_reinforce.random_weight_search import RandomWeightSearch
from sb3_reinforce.reinforce import REINFORCE

Model = REINFORCE | RandomWeightSearch


def make_env(env_id: str, **kwargs: Any) -> gym.Env[Any, Any]:
    """
    :param env_id: Gymnasium's id of an environment.
    :param kwargs: What it is made with, ``render_mode`` among others.
    :return: The environment.
    :raises CliError: If it can't be made.
    """
    try:
        return gym.make(env_id, **kwargs)
    except (gym.error.Error, ImportError, ValueError, TypeError, AttributeError) as error:
        raise CliError(f"environment '{env_id}' can't be made: {error}") from error


def check_that_no_module_is_named(env_id: str, where: str) -> None:
    """
    A module that a file names is not imported: anybody may have written the file.

    :param env_id: What a file says is Gymnasium's id of an environment.
    :param where: What an error calls the file.
    :raises CliError: If it is more than an id.
    """
    if re.fullmatch(r"[\w./-]+", env_id) is None:
        raise CliError(
            f"{where} names the environment {env_id!r}, and no module is imported because a file says so. If you trust it, "
            f"name it with --env {env_id!r}"
        )


def check_that_no_policy_is_imported(policy: Any, where: str) -> None:
    """
    :param policy: What a file says is the name of a policy.
    :param where: What an error calls the file.
    :raises CliError: If a module would have to be imported for it.
    """
    if isinstance(policy, str) and "." in policy:
        raise CliError(
            f"{where} names the policy {policy!r}, and no module is imported because a file says so. If you trust it, name it "
            f"with --policy {policy}"
        )


def env_of(model: Model) -> VecEnv:
    """
    :param model: A model that has an environment.
    :return: The environment.
    """
    env = model.get_env()
    assert env is not None
    return env


def save_where_there_is_room(model: Model, path: pathlib.Path) -> None:
    """
    :param model: What was trained, perhaps for days.
    :param path: Where it belongs.
    :raises CliError: If it can't be written there. It is among the temporary files then, or else in the current folder; the
        message says where.
    """
    try:
        model.save(path)
    except OSError as error:
        for elsewhere in (pathlib.Path(tempfile.gettempdir()), pathlib.Path.cwd()):
            with contextlib.suppress(OSError):
                other = pathlib.Path(tempfile.mkdtemp(prefix="sb3_reinforce_model_", dir=elsewhere)) / path.name
                model.save(other)
                raise CliError(f"{error} The model is saved as '{other}' instead.") from error
        raise
