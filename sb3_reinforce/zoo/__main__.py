"""``sb3-reinforce zoo``: the commands of the RL Zoo, with our algorithms among its own, and in the words of our commands."""

import importlib
import runpy
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock

from sb3_reinforce.cli import main as command_line
from sb3_reinforce.cli.errors import CliError, busy
from sb3_reinforce.zoo import import_rl_zoo3, register

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


def main(arguments: Sequence[str]) -> int:
    """
    Run a command of the RL Zoo.

    :param arguments: The command and its arguments.
    :return: Exit status: 0, or 2 for a command that there is not.
    :raises CliError: If there is no run of what is to be played, or its environment can't be made.
    :raises ImportError: If a package is not installed.
    :raises ValueError: If an argument or a hyperparameter is refused, or a run is damaged or not trusted.
    """
    name, *arguments = arguments or ["--help"]
    if name in ("-h", "--help"):
        print(HELP)
        return 0
    if name not in FUNCTIONS and name not in SCRIPTS:
        print(f"{HELP}\n\nerror: there is no command '{name}'", file=sys.stderr)
        return 2
    with busy("Importing the RL Zoo"):
        register()
    from sb3_reinforce.zoo.arguments import check, in_the_zoos_words, is_of_ours, values_explained
    from sb3_reinforce.zoo.reading import TRUSTED, reading_a_run

    trusted = TRUSTED in arguments
    arguments = in_the_zoos_words(name, [argument for argument in arguments if argument != TRUSTED])
    check(name, arguments)
    is_ours = is_of_ours(arguments)
    sys.argv = [f"sb3-reinforce zoo {name}", *arguments]
    module = FUNCTIONS.get(name, "rl_zoo3.utils")
    with values_explained(), reading_a_run(name, is_ours, trusted), _environments_to_play_in(module):
        _run(name, is_ours)
    return 0


def _run(name: str, is_ours: bool) -> None:
    if name in FUNCTIONS:
        getattr(import_rl_zoo3(FUNCTIONS[name]), name)()
        return
    from sb3_reinforce.zoo.downloads import downloading

    _provide_generate_metadata()
    with downloading(is_ours):
        runpy.run_module(SCRIPTS[name], run_name="__main__")


@contextmanager
def _environments_to_play_in(module: str) -> Iterator[None]:
    """Within, what the RL Zoo plays in tells which actions are allowed, if the environment does; or why it can't be made."""
    from rl_zoo3 import utils

    import_rl_zoo3(module)

    from sb3_reinforce.common.masked_observations import tell_action_masks

    def create_test_env(*args: Any, **kwargs: Any) -> Any:
        try:
            env = utils_create_test_env(*args, **kwargs)
        except (CliError, ValueError):  # which say all
            raise
        except Exception as error:  # of any kind: it is the hyperparameters that choose what is called
            raise CliError(f"environment '{args[0]}' can't be made: {error}") from error
        return tell_action_masks(env, (kwargs.get("hyperparams") or {}).get("action_masks"))

    utils_create_test_env = utils.create_test_env
    with mock.patch(f"{module}.create_test_env", create_test_env, create=True):
        yield


def _provide_generate_metadata() -> None:
    """rl_zoo3 2.9.2 imports this function of huggingface_sb3, which has made it private, and of another type, in 3.2."""
    hub: Any = importlib.import_module("huggingface_sb3.push_to_hub")
    if not hasattr(hub, "generate_metadata"):
        hub.generate_metadata = lambda *args: hub._generate_metadata(*args).to_dict()


if __name__ == "__main__":
    sys.exit(command_line(["zoo", *sys.argv[1:]]))
