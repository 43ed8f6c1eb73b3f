"""The commands, and how what went wrong is said. Only the standard library is imported before a command is known."""

import importlib
import sys
from collections.abc import Sequence
from types import ModuleType

from sb3_reinforce.cli.errors import CliError, Stopped, busy, say
from sb3_reinforce.common.extras import needs
from sb3_reinforce.version import __version__

COMMANDS = {
    "train": ("sb3_reinforce.cli.train", "train a model, evaluate it, leave all in a folder", "extra"),
    "enjoy": ("sb3_reinforce.cli.enjoy", "play a trained model, on the screen or into a video", "extra"),
    "compare": ("sb3_reinforce.compare.cli", "train many algorithms with many seeds, and report", "compare"),
    "zoo": ("sb3_reinforce.zoo.__main__", "the RL Zoo's commands, with our algorithms in them", "zoo"),
}
HELP = f"""usage: sb3-reinforce COMMAND [OPTIONS]

REINFORCE for Stable-Baselines3, version {__version__}

commands:
{chr(10).join(f"  {name:9}{text}" for name, (_, text, _) in COMMANDS.items())}

options:
  -h, --help   show this; after a command, show the options of the command
  --version    show the version

examples:
  sb3-reinforce train --env CartPole-v1
  sb3-reinforce train --env CartPole-v1 --baseline value --seed 1
  sb3-reinforce enjoy --env CartPole-v1 --video cartpole.mp4
  sb3-reinforce compare --algo reinforce ppo --env CartPole-v1 --seeds 5

Without a command it trains. So "sb3-reinforce" alone solves CartPole-v1.
"python -m sb3_reinforce" is the same as "sb3-reinforce"."""


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run the command line.

    :param argv: The arguments; by default those of the process.
    :return: Exit status: 0, 2 for something that can't be done, 130 after Ctrl-C, or 143 after SIGTERM.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] in (["-h"], ["--help"]):
        print(HELP)
        return 0
    if arguments[:1] == ["--version"]:
        print(f"sb3-reinforce {__version__}")
        return 0
    if not arguments or arguments[0].startswith("-"):
        arguments.insert(0, "train")
    name, *arguments = arguments
    if name not in COMMANDS:
        print(f"{HELP}\n\nerror: there is no command '{name}'", file=sys.stderr)
        return 2
    return _run(name, arguments)


def _run(name: str, arguments: list[str]) -> int:
    try:
        return int(_command(name).main(arguments))
    except SystemExit as end:  # the options were wrong, and that has been said, or help was asked for
        return end.code if isinstance(end.code, int) else 2 if end.code else 0
    except (CliError, ImportError, ValueError, RuntimeError, ArithmeticError, OSError, AssertionError) as error:
        say(f"error: {' '.join(_in_words(error).split())}", sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        say(str(stop) or "Stopped.", sys.stderr)
        return stop.status if isinstance(stop, Stopped) else 130


def _in_words(error: Exception) -> str:
    if isinstance(error, (FileExistsError, NotADirectoryError)) and error.filename is not None:
        return (
            f"'{error.filename}' can't be made a folder: it is a file, or there is one where a folder above it would be. Name "
            "another folder (--log-folder)."
        )
    return str(error)


def _command(name: str) -> ModuleType:
    """The module of a command. To import what it needs takes seconds, so a terminal is told that something happens."""
    module, _, extra = COMMANDS[name]
    with busy(f"sb3-reinforce {__version__}: importing PyTorch and Stable-Baselines3"), needs(extra, f"sb3-reinforce {name}"):
        return importlib.import_module(module)
