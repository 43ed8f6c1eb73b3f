"""The card of a model on the Hub: what it is, how good it is, how to play it and how to train it again."""

import inspect
import pathlib
import pprint
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecNormalize

from sb3_reinforce.common.constraints import shown
from sb3_reinforce.common.extras import needs
from sb3_reinforce.common.normalization_files import NORMALIZATION
from sb3_reinforce.common.tensorboard.hyperparameters import unscheduled

if TYPE_CHECKING:
    from huggingface_hub import ModelCard

_TEMPLATE = pathlib.Path(__file__).with_name("card.md")
_DISTRIBUTION = "sb3-reinforce"
_NO_HYPERPARAMETERS = {"self", "policy", "env", "device", "verbose", "tensorboard_log", "_init_setup_model"}
_NO_SETTINGS = {*_NO_HYPERPARAMETERS, "venv", "training"}
_CONTENTS = {
    "config.json": "hyperparameters and versions",
    "results.json": "the evaluation",
    "replay.mp4": "a video",
    NORMALIZATION: "statistics that normalize the observations",
    "logs": "logs of the training",
}


@dataclass(frozen=True)
class Evaluation:
    """
    How good a model is.

    :param mean_reward: Mean return of the episodes.
    :param std_reward: Their standard deviation.
    :param n_eval_episodes: How many there were.
    :param is_deterministic: Whether the most probable actions were taken.
    """

    mean_reward: float
    std_reward: float
    n_eval_episodes: int
    is_deterministic: bool


def hyperparameters(model: BaseAlgorithm) -> dict[str, Any]:
    """
    What a model was made with, to show it or to log it, for example by ``wandb.init(config=hyperparameters(model))`` or
    ``mlflow.log_params(hyperparameters(model))``.

    :param model: A model of any SB3 algorithm.
    :return: Its constructor's arguments by name: None, numbers and texts as they are, everything else as a text.
    """
    names = inspect.signature(type(model)).parameters.keys() - _NO_HYPERPARAMETERS
    found = {name: _plain(getattr(model, name)) for name in sorted(names) if hasattr(model, name)}
    return {"algorithm": type(model).__name__, "policy": type(model.policy).__name__, **found}


def _plain(value: Any) -> Any:
    value = unscheduled(value)
    value = value.item() if isinstance(value, np.generic) else value
    return value if value is None or isinstance(value, (bool, int, float, str)) else _text(value)


def _text(value: Any) -> str:
    """As it would be written, without addresses in memory."""
    if isinstance(value, Mapping):
        return f"dict({', '.join(f'{key}={_text(part)}' for key, part in value.items())})"
    if isinstance(value, (list, tuple)):
        parts = ", ".join(map(_text, value))
        return f"[{parts}]" if isinstance(value, list) else f"({parts},)"
    if inspect.isroutine(value) or isinstance(value, type):
        return value.__qualname__
    if repr(value) == object.__repr__(value):
        return f"{type(value).__qualname__}(...)"
    return shown(value)


def install_line(extra: str) -> str:
    """
    :param extra: What is needed of sb3-reinforce.
    :return: How to install it, in Markdown.
    """
    urls = dict(entry.split(", ", 1) for entry in metadata.metadata(_DISTRIBUTION).get_all("Project-URL") or [])
    for name in ("Repository", "Source", "Homepage"):
        if name in urls:
            return f'```bash\npip install "{_DISTRIBUTION}[{extra}] @ git+{urls[name]}"\n```'
    return f'From a clone of sb3-reinforce:\n\n```bash\npip install ".[{extra}]"\n```'


def model_card(
    model: BaseAlgorithm,
    env_id: str,
    repo_id: str,
    filename: str,
    evaluation: Evaluation,
    pickled: Iterable[str],
    files: list[str],
) -> "ModelCard":
    """
    :param model: The model.
    :param env_id: What it was trained on.
    :param repo_id: Where it will be on the Hub.
    :param filename: Of its file there.
    :param evaluation: How good it is.
    :param pickled: What is in its file as a pickle only.
    :param files: Names of all files there.
    :return: A ``huggingface_ModelCard``.
    """
    with needs("hub", "A model card"):
        import jinja2  # noqa: F401
        from huggingface_hub import ModelCard, ModelCardData
        from huggingface_hub.repocard import metadata_eval_result
    algorithm, policy = type(model).__name__, type(model.policy).__name__
    score = f"{evaluation.mean_reward:.2f} +/- {evaluation.std_reward:.2f}"
    result = metadata_eval_result(
        model_pretty_name=algorithm,
        task_pretty_name="reinforcement-learning",
        task_id="reinforcement-learning",
        metrics_pretty_name="mean_reward",
        metrics_id="mean_reward",
        metrics_value=score,
        dataset_pretty_name=env_id,
        dataset_id=env_id,
    )
    tags = [env_id, "deep-reinforcement-learning", "reinforcement-learning", "stable-baselines3", _DISTRIBUTION]
    pickled, is_ours = list(pickled), _is_ours(model)
    is_trusted = is_ours and not pickled
    name = zoo_name(model)
    algo = "" if is_ours else f" --algo {name}"  # a file of ours says it
    beside = f" and `{NORMALIZATION}` downloaded into one folder" if not is_ours and NORMALIZATION in files else " downloaded"
    return ModelCard.from_template(
        ModelCardData(library_name="stable-baselines3", tags=tags, **result),
        template_path=str(_TEMPLATE),
        algorithm=algorithm,
        policy=policy,
        env_id=env_id,
        n_timesteps=f"{model.num_timesteps:,}",
        mean_reward=f"{evaluation.mean_reward:.2f}",
        std_reward=f"{evaluation.std_reward:.2f}",
        n_eval_episodes=evaluation.n_eval_episodes,
        actions="the most probable" if evaluation.is_deterministic else "drawn",
        install=install_line("extra,hub"),
        snippet=_snippet(model, repo_id, filename, env_id, is_trusted),
        downloaded=f"`{filename}`{beside}",
        enjoy=f"sb3-reinforce enjoy {filename}{algo} --env {env_id}{'' if is_trusted else ' --trusted'}",
        train=f"sb3-reinforce {'' if is_ours else 'zoo '}train --algo {name} --env {env_id}",
        tuned_by=_DISTRIBUTION if is_ours else "the RL Zoo",
        trust=_trust(pickled, is_ours),
        training=_training(model, env_id),
        files={file: _CONTENTS.get(file, "the model") for file in files},
    )


def zoo_name(model: BaseAlgorithm) -> str:
    """
    :param model: A model.
    :return: What the RL Zoo and the command line call its algorithm: reinforce, random_weight_search, ppo.
    """
    name = type(model).__name__
    return {"RandomWeightSearch": "random_weight_search", "RecurrentPPO": "ppo_lstm"}.get(name, name.lower())


def _is_ours(model: BaseAlgorithm) -> bool:
    return _package_of(model) == "sb3_reinforce"


def _package_of(model: BaseAlgorithm) -> str:
    return type(model).__module__.partition(".")[0]


def _snippet(model: BaseAlgorithm, repo_id: str, filename: str, env_id: str, is_trusted: bool) -> str:
    loading = _loading_ours(repo_id, env_id, is_trusted) if _is_ours(model) else _loading(model, repo_id, filename, env_id)
    return f"""from stable_baselines3.common.evaluation import evaluate_policy
{loading}
mean_reward, std_reward = evaluate_policy(model, model.get_env(), n_eval_episodes=10)
print(f"{{mean_reward:.2f}} +/- {{std_reward:.2f}}")"""


def _loading_ours(repo_id: str, env_id: str, is_trusted: bool) -> str:
    trusted = "" if is_trusted else ", trusted=True"
    return f'''
from sb3_reinforce.sharing import load_from_hub

model = load_from_hub("{repo_id}", env="{env_id}"{trusted})'''


def _loading(model: BaseAlgorithm, repo_id: str, filename: str, env_id: str) -> str:
    """Of another algorithm, which loads itself."""
    name, normalizing = type(model).__name__, ""
    if model.get_vec_normalize_env() is not None:
        normalizing = f'''
env = read_normalization(pathlib.Path(hf_hub_download("{repo_id}", "{NORMALIZATION}")), env)
env.training = env.norm_reward = False'''
    imports = ["from huggingface_hub import hf_hub_download", f"from {_package_of(model)} import {name}"]
    if normalizing:
        imports += ["import pathlib", "from sb3_reinforce.common.normalization_files import read_normalization"]
    lines = "\n".join([*imports, "from stable_baselines3.common.env_util import make_vec_env"])
    return f'''{lines}

env = make_vec_env("{env_id}"){normalizing}
model = {name}.load(hf_hub_download("{repo_id}", "{filename}"), env)'''


def _trust(pickled: list[str], is_ours: bool) -> str:
    if not is_ours:
        return "Stable-Baselines3 runs code that is in the file. Only load it if you trust who made this repository."
    if pickled:
        return (
            f"Parts of the file are pickles ({', '.join(pickled)}), and to read a pickle runs code that is in it. Only use "
            "`trusted=True` if you trust who made this repository."
        )
    return "Nothing that is in the file is run when it is loaded: it is read as numbers, texts and names."


def _training(model: BaseAlgorithm, env_id: str) -> str:
    """The call of the constructor, with the arguments that are not the defaults."""
    arguments = [f'"{_policy_name(model)}"', _environments(model, env_id), *_not_defaults(model)]
    return f"{type(model).__name__}(\n{''.join(f'    {argument},{chr(10)}' for argument in arguments)})"


def _policy_name(model: BaseAlgorithm) -> str:
    """As the constructor takes it."""
    own = type(model.policy).__name__
    aliases = [alias for alias, policy in model.policy_aliases.items() if policy is type(model.policy)]
    return own if own in aliases or not aliases else aliases[0]


def _environments(model: BaseAlgorithm, env_id: str) -> str:
    """A single one by its id."""
    made = f'make_vec_env("{env_id}", n_envs={model.n_envs})'
    normalization = model.get_vec_normalize_env()
    if normalization is None:
        return f'"{env_id}"' if model.n_envs == 1 else made
    return f"VecNormalize({', '.join([made, *_not_defaults(normalization)])})"


def _not_defaults(of: BaseAlgorithm | VecNormalize) -> list[str]:
    """The arguments that it was made with, as they would be written."""
    parameters = inspect.signature(type(of)).parameters
    names = sorted((vars(of).keys() & parameters.keys()) - _NO_SETTINGS)
    values = {name: unscheduled(getattr(of, name)) for name in names}
    return [
        f"{name}={pprint.pformat(value) if isinstance(value, str) else _text(value)}"
        for name, value in values.items()
        if not _is_default(value, parameters[name].default) and not (name == "policy_kwargs" and not value)
    ]


def _is_default(value: Any, default: Any) -> bool:
    if default is None and isinstance(value, type):
        return value.__module__.startswith("stable_baselines3")  # its buffers, which it has filled in
    try:
        return bool(value == default)
    except Exception:
        return False
