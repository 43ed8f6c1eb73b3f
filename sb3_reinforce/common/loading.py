"""Loading models: whose file it is, whether its parameters fit, and how to take a policy over from another algorithm."""

import inspect
import io
import json
import pathlib
import zipfile
from collections.abc import Iterable
from typing import Any, TypeVar

import torch as th
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.save_util import load_from_zip_file, open_path, recursive_getattr
from stable_baselines3.common.type_aliases import GymEnv

SelfLoadable = TypeVar("SelfLoadable", bound="LoadableAlgorithm")

_SIGNS = {
    "reward_to_go": "sb3_reinforce.REINFORCE",
    "discount_weighting": "sb3_reinforce.REINFORCE",
    "n_confirmation_episodes": "sb3_reinforce.RandomWeightSearch",
    "weight_scale": "sb3_reinforce.RandomWeightSearch",
    "sb3_contrib.common.maskable.policies": "sb3_contrib.MaskablePPO",
    "sb3_contrib.common.recurrent.policies": "sb3_contrib.RecurrentPPO",
    "cg_max_steps": "sb3_contrib.TRPO",
    "n_delta": "sb3_contrib.ARS",
    "n_quantiles": "sb3_contrib.QRDQN",
    "top_quantiles_to_drop_per_net": "sb3_contrib.TQC",
    "sb3_contrib.crossq.policies": "sb3_contrib.CrossQ",
    "clip_range": "stable_baselines3.PPO",
    "exploration_fraction": "stable_baselines3.DQN",
    "target_policy_noise": "stable_baselines3.TD3",  # or DDPG, which is a TD3 with other numbers
    "target_entropy": "stable_baselines3.SAC",
    "gae_lambda": "stable_baselines3.A2C",
}
"""An attribute that an algorithm's files have, or the module of its policies: the first that is found tells the algorithm."""
_ACTOR_CRITICS = {"REINFORCE", "RandomWeightSearch", "PPO", "A2C", "TRPO", "MaskablePPO"}
_COMPILED = "_orig_mod."
"""What torch.compile puts before the names of the parameters of a module that it wraps."""

Path = str | pathlib.Path | io.BufferedIOBase


def saved_attributes(path: Path) -> dict[str, Any]:
    """
    :param path: A file that an SB3 algorithm has saved.
    :return: The attributes in it as JSON has them. Nothing is unpickled. Empty if it is no such file, which SB3 will tell.
    """
    file = open_path(path, "r", suffix="zip")
    try:
        with zipfile.ZipFile(file) as archive:
            return json.loads(archive.read("data"))
    except (zipfile.BadZipFile, KeyError, ValueError):
        return {}
    finally:
        if file is not path:
            file.close()


def algorithm_of(attributes: dict[str, Any]) -> str | None:
    """
    :param attributes: As from :func:`saved_attributes`.
    :return: Which algorithm has saved them, with its package, as far as can be told.
    """
    policy_class = attributes.get("policy_class")
    signs = {*attributes, policy_class.get("__module__") if isinstance(policy_class, dict) else None}
    return next((algorithm for sign, algorithm in _SIGNS.items() if sign in signs), None)


def check_algorithm(cls: type[BaseAlgorithm], path: Path, attributes: dict[str, Any]) -> None:
    """
    :param cls: The algorithm that is to load the file.
    :param path: The file.
    :param attributes: As from :func:`saved_attributes`.
    :raises ValueError: If another algorithm has saved it. The message says how to take its policy over.
    """
    algorithm = algorithm_of(attributes)
    if algorithm is None:
        return
    name = algorithm.rpartition(".")[2]
    if name in {base.__name__ for base in cls.__mro__}:
        return
    file = repr(str(path)) if isinstance(path, (str, pathlib.Path)) else "the file"
    ours = f"model = {cls.__name__}(policy, env, policy_kwargs=...)"
    if name in _ACTOR_CRITICS:
        advice = (
            f"To take its policy over, make a model with the same kind of policy, {ours}, and then "
            f"model.policy.load_state_dict({algorithm}.load({file}).policy.state_dict())."
        )
    else:
        advice = (
            f"Its policy is of another kind. For one that does the same, make a model, {ours}, and show it what that does: "
            f"model.policy.fit(observations, {algorithm}.load({file}).predict(observations, deterministic=True)[0])."
        )
    raise ValueError(f"{cls.__name__} can't load {file}: it is a model of {name}. {advice}")


def check_load_arguments(cls: type[BaseAlgorithm], attributes: Iterable[str], arguments: Iterable[str]) -> None:
    """
    :param cls: The algorithm that is to load a file.
    :param attributes: Names of what is in the file.
    :param arguments: Names of what is to replace it.
    :raises ValueError: If there is no such thing. (SB3 would take any name, and a misspelt one would do nothing.)
    """
    allowed = {name for base in cls.__mro__ for name in inspect.signature(base).parameters}
    unknown = sorted(set(arguments) - allowed - set(attributes))
    if unknown:
        raise ValueError(
            f"{cls.__name__}.load does not know {unknown[0]!r}. It takes the arguments of {cls.__name__}, and attributes that "
            "are in the file."
        )


def plain_name(name: str) -> str:
    """
    :param name: Of a parameter.
    :return: The name that it has in a module that is not compiled.
    """
    return name.replace(_COMPILED, "")


def check_state(name: str, own: dict[str, Any], given: dict[str, Any]) -> None:
    """
    :param name: Of the module.
    :param own: Its state dict.
    :param given: The one that it is to take over.
    :raises ValueError: If that has other names or shapes.
    """
    missing, unknown = sorted(own.keys() - given.keys()), sorted(given.keys() - own.keys())
    reshaped = [key for key in own if key in given and own[key].shape != given[key].shape]
    differences = [
        *(f"{key} is missing" for key in missing),
        *(f"{key} is not known" for key in unknown),
        *(f"{key} has the shape {tuple(given[key].shape)} instead of {tuple(own[key].shape)}" for key in reshaped),
    ]
    if differences:
        more = f", and {len(differences) - 3} more" if len(differences) > 3 else ""
        raise ValueError(
            f"The parameters are not those of this {name}: {'; '.join(differences[:3])}{more}. Make the model with the "
            "policy, policy_kwargs and spaces of the one that they come from."
        )


def check_optimizer_state(name: str, own: dict[str, Any], given: dict[str, Any]) -> None:
    """
    :param name: Of the optimizer.
    :param own: Its state dict.
    :param given: The one that it is to take over.
    :raises ValueError: If that is of another kind of optimizer. (torch would take it over, and fail at the next step.)
    """
    own_settings, settings = (set(state["param_groups"][0]) for state in (own, given))
    # A version of torch may add settings, or drop some; another optimizer lacks some and has others
    if settings - own_settings and own_settings - settings:
        raise ValueError(
            f"The state of {name} is that of another kind of optimizer, with {sorted(settings - own_settings)} instead of "
            f"{sorted(own_settings - settings)}. Take over the policy alone: "
            "model.policy.load_state_dict(parameters['policy'])."
        )


class LoadableAlgorithm(BaseAlgorithm):
    """An SB3 algorithm that takes over what fits it and nothing else, from compiled models as from those that are not."""

    def get_parameters(self) -> dict[str, dict]:
        """
        Return the parameters of the agent, under the names that they have in modules that are not compiled.

        :return: State dicts, by the names of the objects.
        """
        parameters: dict[str, Any] = super().get_parameters()
        return {name: {plain_name(key): value for key, value in state.items()} for name, state in parameters.items()}

    def set_parameters(
        self, load_path_or_dict: str | dict[str, Any], exact_match: bool = True, device: th.device | str = "auto"
    ) -> None:
        """
        Load parameters from a zip-file, or from a nested dictionary as from :meth:`get_parameters`.

        :param load_path_or_dict: Path of the file, or the dictionary.
        :param exact_match: Whether there must be parameters for each module, with all of their names.
        :param device: Device on which the code should run.
        :raises ValueError: If they don't fit. Nothing has been changed then.
        """
        given: Any = load_path_or_dict
        if not isinstance(given, dict):
            _, given, _ = load_from_zip_file(given, load_data=False, device=device)
        if exact_match:
            self._check_names_of_parameters(given)
        fitting = {name: self._fitted(name, state, exact_match) for name, state in given.items()}
        super().set_parameters(fitting, exact_match=exact_match, device=device)  # type: ignore[arg-type]

    def _fitted(self, name: str, state: dict[str, Any], exact_match: bool) -> dict[str, Any]:
        """The state under the names of one's own part, which may be compiled; checked."""
        part = recursive_getattr(self, name, None)
        if isinstance(part, th.optim.Optimizer):
            check_optimizer_state(name, part.state_dict(), state)
        if not isinstance(part, th.nn.Module):
            return state
        own = part.state_dict()
        names = {plain_name(key): key for key in own}
        fitted = {names.get(plain_name(key), key): value for key, value in state.items()}
        if exact_match:
            check_state(name, own, fitted)
        return fitted

    def _check_names_of_parameters(self, given: dict[str, Any]) -> None:
        expected = set(self._get_torch_save_params()[0])
        if set(given) != expected:
            raise ValueError(
                f"The parameters are those of {', '.join(sorted(given))}, but a {type(self).__name__} has those of "
                f"{', '.join(sorted(expected))}: they are another algorithm's. If its policy is an actor-critic with the same "
                "networks, take that over: model.policy.load_state_dict(parameters['policy'])."
            )

    @classmethod
    def load(
        cls: type[SelfLoadable],
        path: Path,
        env: GymEnv | None = None,
        device: th.device | str = "auto",
        custom_objects: dict[str, Any] | None = None,
        print_system_info: bool = False,
        force_reset: bool = True,
        **kwargs: Any,
    ) -> SelfLoadable:
        """
        Load the model from a zip-file.

        :param path: Path to the file, or a file-like object.
        :param env: The environment to run the loaded model on, with any number of environments. Can be None if you only
            need predictions.
        :param device: Device on which the code should run.
        :param custom_objects: What to take instead of what is in the file, by name. That is then not unpickled.
        :param print_system_info: Whether to print on what system the model was saved.
        :param force_reset: Whether to reset the environment before training.
        :param kwargs: Arguments of the algorithm that are to be others than those saved.
        :return: The model.
        :raises ValueError: If the file is another algorithm's, a parameter does not fit, or an argument is unknown or out of
            its range.
        """
        attributes = saved_attributes(path)
        check_algorithm(cls, path, attributes)
        check_load_arguments(cls, attributes, kwargs)
        return super().load(path, env, device, custom_objects, print_system_info, force_reset, **kwargs)
