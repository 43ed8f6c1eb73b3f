"""``sb3-reinforce zoo``: the commands of the RL Zoo, with our algorithms among its own, and in the words of our commands."""

import importlib
import re
import runpy
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock

from sb3_reinforce.common.archives import DamagedFileError, UntrustedFileError
from sb3_reinforce.zoo import import_rl_zoo3, register
from sb3_reinforce.zoo.hyperparameters import HyperparameterError

# Where each command is: rl_zoo3 has some as functions of the same name, and some as scripts
FUNCTIONS = {
    "train": "rl_zoo3.train",
    "enjoy": "rl_zoo3.enjoy",
    "plot_train": "rl_zoo3.plots",
    "all_plots": "rl_zoo3.plots",
    "plot_from_file": "rl_zoo3.plots",
}
SCRIPTS = {
    "record_video": "rl_zoo3.record_video",
    "push_to_hub": "rl_zoo3.push_to_hub",
    "load_from_hub": "rl_zoo3.load_from_hub",
}
HELP = f"""usage: sb3-reinforce zoo COMMAND [options of the RL Zoo's command]

The RL Zoo, with the algorithms reinforce and random_weight_search.

commands:
  {", ".join(FUNCTIONS)},
  {", ".join(SCRIPTS)}

With our algorithms, nothing that is in the files of a run is run. --trusted
allows it, for runs of people whom you trust. The files of all other algorithms
are read by SB3 and the RL Zoo, which run what is in them. So is a file of
hyperparameters (--conf-file): what stands in it as Python is evaluated.

for example:
  sb3-reinforce zoo train --algo reinforce --env CartPole-v1 -n 1e5
  sb3-reinforce zoo train --help

"python -m sb3_reinforce.zoo" is the same."""
# What the other commands call --log-folder and so on, the RL Zoo calls differently from command to command
SYNONYMS = {
    "train": {"--timesteps": "--n-timesteps", "--n-eval-episodes": "--eval-episodes"},
    "enjoy": {"--timesteps": "--n-timesteps", "--log-folder": "--folder"},
    "record_video": {"--timesteps": "--n-timesteps", "--log-folder": "--folder"},
    "push_to_hub": {"--timesteps": "--n-timesteps", "--log-folder": "--folder"},
    "load_from_hub": {"--log-folder": "--folder"},
    "plot_train": {"--log-folder": "--exp-folder"},
    "all_plots": {"--log-folder": "--exp-folders"},
}


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run a command of the RL Zoo.

    :param argv: The command and its arguments; by default those of the process.
    :return: Exit status: 0, or 2 for a command that there is not, one that needs what is not installed, hyperparameters that
        are refused, or a run that is damaged or not trusted.
    """
    name, *arguments = (sys.argv[1:] if argv is None else argv) or ["--help"]
    if name in ("-h", "--help"):
        print(HELP)
        return 0
    if name not in FUNCTIONS and name not in SCRIPTS:
        print(f"{HELP}\n\nerror: there is no command '{name}'", file=sys.stderr)
        return 2
    try:
        register()
        from sb3_reinforce.zoo.downloads import downloading
        from sb3_reinforce.zoo.reading import TRUSTED, reading_a_run

        module = import_rl_zoo3(FUNCTIONS[name]) if name in FUNCTIONS else None
    except ImportError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    trusted = TRUSTED in arguments
    arguments = in_the_zoos_words(name, [argument for argument in arguments if argument != TRUSTED])
    sys.argv = [f"sb3-reinforce zoo {name}", *arguments]
    try:
        with reading_a_run(name, arguments, trusted), _telling_masks(FUNCTIONS.get(name, "rl_zoo3.utils")):
            if module is None:
                _provide_generate_metadata()
                with downloading(arguments):
                    runpy.run_module(SCRIPTS[name], run_name="__main__")
            else:
                getattr(module, name)()
    except (HyperparameterError, DamagedFileError, UntrustedFileError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


@contextmanager
def _telling_masks(module: str) -> Iterator[None]:
    """Within, what the RL Zoo plays in tells which actions are allowed, if the environment does."""
    from rl_zoo3 import utils

    from sb3_reinforce.common.masked_observations import tell_action_masks

    def create_test_env(*args: Any, **kwargs: Any) -> Any:
        env = utils_create_test_env(*args, **kwargs)
        return tell_action_masks(env, (kwargs.get("hyperparams") or {}).get("action_masks"))

    utils_create_test_env = utils.create_test_env
    with mock.patch(f"{module}.create_test_env", create_test_env, create=True):
        yield


def in_the_zoos_words(command: str, arguments: Sequence[str]) -> list[str]:
    """
    :param command: A command of the RL Zoo.
    :param arguments: Its arguments, in the words of our commands or of its own. A number may be 1e5.
    :return: The same as the RL Zoo takes them.
    """
    names, translated = SYNONYMS.get(command, {}), []
    for argument in arguments:
        name, equals, value = argument.partition("=") if argument.startswith("--") else ("", "", argument)
        translated.append(f"{names.get(name, name)}{equals}{_plain_number(value)}")
    return translated


def _plain_number(text: str) -> str:
    return str(int(float(text))) if re.fullmatch(r"\d+(\.\d+)?[eE]\+?\d+", text) else text


def _provide_generate_metadata() -> None:
    """rl_zoo3 2.9.2 imports this function of huggingface_sb3, which has made it private, and of another type, in 3.2."""
    hub: Any = importlib.import_module("huggingface_sb3.push_to_hub")
    if not hasattr(hub, "generate_metadata"):
        hub.generate_metadata = lambda *args: hub._generate_metadata(*args).to_dict()


if __name__ == "__main__":
    sys.exit(main())
