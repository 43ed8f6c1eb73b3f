"""Loading models: without running what is in their files, and only what fits."""

import inspect
import io
from collections.abc import Iterable
from typing import Any, TypeVar

import torch as th
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.save_util import open_path, recursive_getattr
from stable_baselines3.common.type_aliases import GymEnv
from stable_baselines3.common.utils import get_system_info

from sb3_reinforce.common.archives import Path
from sb3_reinforce.common.attributes import check_attributes
from sb3_reinforce.common.constraints import BOOLEAN, MAPPING, NONE, Table, check_arguments
from sb3_reinforce.common.copying import CopyableAlgorithm
from sb3_reinforce.common.model_files import add_plain_attributes, making_a_model_of, read_model_file
from sb3_reinforce.common.origin import check_algorithm
from sb3_reinforce.common.parameters import all_or_nothing, check_optimizer_state, check_state, plain_name
from sb3_reinforce.common.pickles import are_trusted

SelfLoadable = TypeVar("SelfLoadable", bound="LoadableAlgorithm")
_ARGUMENTS: Table = {
    "custom_objects": [MAPPING, NONE],
    "print_system_info": [BOOLEAN],
    "force_reset": [BOOLEAN],
    "trusted": [BOOLEAN],  # the text "no" would be taken for a yes
}


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


class LoadableAlgorithm(CopyableAlgorithm):
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
            given = read_model_file(given).parameters
        if exact_match:
            self._check_names_of_parameters(given)
        fitting = {name: self._fitted(name, state, exact_match) for name, state in given.items()}
        with all_or_nothing(recursive_getattr(self, name) for name in self._get_torch_save_params()[0]):
            super().set_parameters(fitting, exact_match=exact_match, device=device)  # type: ignore[arg-type]

    def _fitted(self, name: str, state: dict[str, Any], exact_match: bool) -> dict[str, Any]:
        """The state under the names of one's own part, which may be compiled; checked."""
        part = recursive_getattr(self, name, None)
        if isinstance(part, th.optim.Optimizer):
            check_optimizer_state(name, part, state)
        if not isinstance(part, th.nn.Module):
            return state
        own = part.state_dict()
        names = {plain_name(key): key for key in own}
        if not isinstance(state, dict):
            raise ValueError(f"The parameters of {name} must be a state dict, but they are a {type(state).__name__}.")
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

    def save(self, path: Path, exclude: Iterable[str] | None = None, include: Iterable[str] | None = None) -> None:
        """
        Save all the attributes of the object and the model parameters in a zip-file: as SB3 does, and once more in a form
        that is read without running anything.

        :param path: Path to the file, or a file-like object.
        :param exclude: Names of parameters that should be excluded in addition to the default ones.
        :param include: Names of parameters that might be excluded but should be included anyway.
        """
        content = io.BytesIO()
        super().save(content, exclude, include)
        add_plain_attributes(content, vars(self))
        file = open_path(path, "w", suffix="zip")
        file.write(content.getbuffer())
        if file is not path:
            file.close()

    @classmethod
    def load(
        cls: type[SelfLoadable],
        path: Path,
        env: GymEnv | None = None,
        device: th.device | str = "auto",
        custom_objects: dict[str, Any] | None = None,
        print_system_info: bool = False,
        force_reset: bool = True,
        trusted: bool = False,
        **kwargs: Any,
    ) -> SelfLoadable:
        """
        Load the model from a zip-file. Nothing that is in the file is run, unless you trust it.

        What a model is usually made of is read as numbers, texts and arrays, and classes are looked up by name among ours,
        SB3's and torch's. Anything else (a function as a schedule, a baseline or a policy of one's own) is in the file as a
        pickle, and to read a pickle runs code that is in it. The same holds for all of a file of SB3 or of version 0.1.0.

        :param path: Path to the file, or a file-like object.
        :param env: The environment to run the loaded model on, with any number of environments. Can be None if you only
            need predictions.
        :param device: Device on which the code should run.
        :param custom_objects: What to take instead of what is in the file, by name. That is then not unpickled.
        :param print_system_info: Whether to print on what system the model was saved.
        :param force_reset: Whether to reset the environment before training.
        :param trusted: Whether to read pickles in it, which may do anything that you may do. Only for files of people whom
            you trust.
        :param kwargs: Arguments of the algorithm that are to be others than those saved.
        :return: The model.
        :raises UntrustedFileError: If a part of it is a pickle, and the file is not trusted. A ValueError.
        :raises DamagedFileError: If the file is damaged, or no model. A ValueError.
        :raises ValueError: If the file is another algorithm's, a parameter does not fit, or an argument is unknown or out of
            its range.
        """
        check_arguments(_ARGUMENTS, locals(), f"{cls.__name__}.load")
        file = read_model_file(path)
        check_algorithm(cls, path, file.data)
        check_load_arguments(cls, file.attributes, kwargs)
        attributes = file.read_attributes(are_trusted(trusted), {**kwargs, **(custom_objects or {})})
        if print_system_info:
            print("== CURRENT SYSTEM INFO ==")
            get_system_info()
            print(f"== SAVED MODEL SYSTEM INFO ==\n{file.system_info}")
        if env is not None:  # its own errors are none of the file's
            env = cls._wrap_env(env, int(attributes.get("verbose") or 0))
        with making_a_model_of(file):
            check_attributes(cls, attributes, file.variables)
            # SB3 is given what was read here, and no pickle
            stripped = file.without_attributes(attributes)
            return super().load(stripped, env, device, attributes, False, force_reset, **kwargs)
