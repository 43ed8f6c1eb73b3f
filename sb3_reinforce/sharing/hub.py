"""Models on the Hugging Face Hub, by the names that huggingface_sb3 has for it."""

import pathlib
import tempfile
import warnings
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import torch as th
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from sb3_reinforce.common.archives import UntrustedFileError
from sb3_reinforce.common.constraints import TEXT, Interval, Table, Test, check_arguments
from sb3_reinforce.common.extras import needs
from sb3_reinforce.common.model_files import read_model_file
from sb3_reinforce.common.normalization_files import NORMALIZATION_FILES, read_normalization
from sb3_reinforce.common.origin import algorithm_of
from sb3_reinforce.random_weight_search import RandomWeightSearch
from sb3_reinforce.reinforce import REINFORCE
from sb3_reinforce.sharing.package import wrapped, write_package
from sb3_reinforce.sharing.repository import models_among

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_REPOSITORY = Test(
    "a repository on the Hub, 'name/repository'", lambda value: isinstance(value, str) and value.count("/") == 1
)
_ARGUMENTS: Table = {
    "repo_id": [_REPOSITORY],
    "env_id": [TEXT],
    "n_eval_episodes": [Interval(1, integer=True)],
    "video_length": [Interval(0, integer=True)],
}


def push_to_hub(
    repo_id: str, filename: str | pathlib.Path, commit_message: str | None = None, token: str | None = None
) -> str:
    """
    Upload one file, such as a saved model or a video, and make the repository if there is none.

    :param repo_id: ``"name/repository"``.
    :param filename: Path of the file.
    :param commit_message: What the Hub says of it.
    :param token: Of your account, if you have not logged in with ``hf auth login``.
    :return: The repository's address.
    :raises ImportError: If huggingface_hub is not installed.
    """
    check_arguments(_ARGUMENTS, locals(), "push_to_hub")
    path = pathlib.Path(filename)
    if not path.is_file():
        raise FileNotFoundError(f"filename of push_to_hub must be a file, but there is none at '{path}'.")
    api = _api("push_to_hub", token)
    url = api.create_repo(repo_id, exist_ok=True)
    api.upload_file(path_or_fileobj=path, path_in_repo=path.name, repo_id=url.repo_id, commit_message=commit_message)
    return str(url)


def package_to_hub(
    model: BaseAlgorithm,
    *,
    repo_id: str,
    env_id: str,
    eval_env: gym.Env | VecEnv | None = None,
    model_name: str | None = None,
    model_architecture: str | None = None,
    commit_message: str = "Model, evaluation, video and card",
    is_deterministic: bool = True,
    n_eval_episodes: int = 10,
    token: str | None = None,
    video_length: int = 1000,
    logs: str | pathlib.Path | None = None,
) -> str:
    """
    Evaluate a model, record a video, write a card, and upload all of it. Takes the arguments of ``huggingface_sb3``'s function
    of that name; most of them may be left out::

        package_to_hub(model, repo_id="me/reinforce-CartPole-v1", env_id="CartPole-v1")

    :param model: The model.
    :param repo_id: ``"name/repository"``. It is made if there is none.
    :param env_id: What the model was trained on.
    :param eval_env: What to evaluate it on. By default ``env_id`` is made. Without VecNormalize, it gets that of the model.
    :param model_name: Of the model's file. By default as the RL Zoo names it, ``reinforce-CartPole-v1``.
    :param model_architecture: Not used: the model says what it is.
    :param commit_message: What the Hub says of it.
    :param is_deterministic: Whether the most probable actions are taken.
    :param n_eval_episodes: How many episodes are played.
    :param token: Of your account, if you have not logged in with ``hf auth login``.
    :param video_length: Timesteps of the video; 0 for none.
    :param logs: A folder with TensorBoard's logs, to go with it.
    :return: The repository's address.
    :raises ImportError: If something that this needs is not installed.
    """
    check_arguments(_ARGUMENTS, locals(), "package_to_hub")
    api = _api("package_to_hub", token)
    url = api.create_repo(repo_id, exist_ok=True)  # first: if it can't be made, nothing is played
    with tempfile.TemporaryDirectory() as folder:
        write_package(
            model, folder, env_id, repo_id, eval_env, model_name, is_deterministic, n_eval_episodes, video_length, logs
        )
        api.upload_folder(repo_id=url.repo_id, folder_path=folder, commit_message=commit_message)
    return str(url)


def load_from_hub(
    repo_id: str,
    filename: str | None = None,
    env: gym.Env | VecEnv | str | None = None,
    trusted: bool = False,
    revision: str | None = None,
    token: str | None = None,
    device: th.device | str = "auto",
    **kwargs: Any,
) -> REINFORCE | RandomWeightSearch:
    """
    Download a model and load it. Nothing that is in its file is run, unless you trust it; see
    :meth:`sb3_reinforce.REINFORCE.load`.

    :param repo_id: ``"name/repository"``.
    :param filename: Of the model there. Not needed if there is only one.
    :param env: An environment for it, or an environment's id. Where the repository has statistics of a VecNormalize, it is
        normalized with them: play in ``model.get_env()``.
    :param trusted: Whether to read pickles, which may do anything that you may do.
    :param revision: Branch, tag or commit.
    :param token: Of your account, for what is not public.
    :param device: Device on which the code should run.
    :param kwargs: Other arguments of ``load``.
    :return: The model.
    :raises UntrustedFileError: If a part of it is a pickle, and it is not trusted. A ValueError.
    :raises DamagedFileError: If it is no model. A ValueError.
    :raises ValueError: If there are several, or it is another algorithm's.
    :raises ImportError: If huggingface_hub is not installed.
    """
    check_arguments(_ARGUMENTS, locals(), "load_from_hub")
    api = _api("load_from_hub", token)
    names = api.list_repo_files(repo_id, revision=revision)
    path = api.hf_hub_download(repo_id, filename or _only_model(repo_id, names), revision=revision)
    algorithm = _algorithm_of(path)
    venv = None if env is None else wrapped(env)
    statistics = next((name for name in NORMALIZATION_FILES if name in names), None)
    if statistics is not None and venv is None:
        warnings.warn(
            f"The model was trained on normalized observations. Give env, which is then normalized by {statistics!r}, or "
            "normalize them yourself before predict.",
            stacklevel=2,
        )
    elif statistics is not None and venv is not None:
        venv = _normalized(venv, api.hf_hub_download(repo_id, statistics, revision=revision), trusted)
    return algorithm.load(path, env=venv, device=device, trusted=trusted, **kwargs)


def _api(who: str, token: str | None) -> "HfApi":
    with needs("hub", who):
        from huggingface_hub import HfApi
    return HfApi(token=token)


def _only_model(repo_id: str, names: list[str]) -> str:
    models = models_among(names)
    if len(models) != 1:
        raise ValueError(
            f"'{repo_id}' has {len(models)} models ({', '.join(models)}): give filename. It has the files {', '.join(names)}."
        )
    return models[0]


def _algorithm_of(path: str) -> type[REINFORCE] | type[RandomWeightSearch]:
    name = algorithm_of(read_model_file(path).data) or ""
    for algorithm in (REINFORCE, RandomWeightSearch):
        if name.rpartition(".")[2] == algorithm.__name__:
            return algorithm
    raise ValueError(
        f"'{path}' is a model of {name or 'another library'}, not of REINFORCE or RandomWeightSearch. If you trust it, load "
        "it with the algorithm that made it."
    )


def _normalized(env: VecEnv, path: str, trusted: bool) -> VecNormalize:
    if path.endswith(".json"):
        normalized = read_normalization(pathlib.Path(path), env)
    elif trusted:
        normalized = VecNormalize.load(path, env)
    else:
        raise UntrustedFileError(
            f"The statistics that normalize the observations are in a pickle, '{path}', and to read that may run any code. If "
            "you know who made it and trust them, use trusted=True."
        )
    normalized.training = normalized.norm_reward = False
    return normalized
