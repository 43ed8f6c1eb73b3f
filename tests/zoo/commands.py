"""The commands of the RL Zoo, run as users run them, in this process."""

from collections.abc import Sequence

from sb3_reinforce.cli import main as command_line


def main(arguments: Sequence[str]) -> int:
    """
    :param arguments: After ``sb3-reinforce zoo``.
    :return: Exit status.
    """
    return command_line(["zoo", *arguments])
