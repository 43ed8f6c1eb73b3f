"""The parser of the command line, and how it says what went wrong."""

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

import gymnasium as gym

from sb3_reinforce.cli import enjoy, train
from sb3_reinforce.cli.resuming import Terminated
from sb3_reinforce.cli.shared import CliError
from sb3_reinforce.compare import cli as compare


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise CliError(message)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, but got '{text}'")
    return int(text)


def _seed(text: str) -> int:
    if not text.isdecimal() or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f"must be a whole number from 0 to 2**32 - 1, but got '{text}'")
    return int(text)


def _build_parser() -> _Parser:
    parser = _Parser(prog="python -m sb3_reinforce", description="Train and play REINFORCE and RandomWeightSearch.")
    commands = parser.add_subparsers(dest="command", metavar="{train,enjoy,compare}")
    for name, module, text in (
        ("train", train, "train a model, evaluate it, and leave everything in a folder"),
        ("enjoy", enjoy, "play a trained model"),
        ("compare", compare, "train many algorithms with many seeds, and report which is better"),
    ):
        command = commands.add_parser(name, help=text)
        module.add_arguments(command, _positive, _seed)
        command.set_defaults(run=module.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run the command line.

    :param argv: The arguments; by default those of the process.
    :return: Exit status: 0, 2 for something that can't be done, 130 after Ctrl-C, or 143 after SIGTERM.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or (arguments[0].startswith("-") and arguments[0] not in ("-h", "--help")):
        arguments.insert(0, "train")
    try:
        options = _build_parser().parse_args(arguments)
        options.run(options)
    except (CliError, ImportError, ValueError, RuntimeError, ArithmeticError, OSError, gym.error.Error) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        print("Stopped.", file=sys.stderr)
        return 143 if isinstance(stop, Terminated) else 130
    return 0
