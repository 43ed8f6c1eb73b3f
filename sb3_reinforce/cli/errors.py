"""What ends a command before it is through. Nothing is imported here: the first line on the screen waits for it."""


class CliError(Exception):
    """Something the user asked for can't be done; the message says it in one line."""


class Stopped(KeyboardInterrupt):
    """
    Ctrl-C, where there is something to say about it.

    :param message: Where things are, and how to go on.
    """

    status = 130

    def __init__(self, message: str = "") -> None:
        super().__init__(message)


class Terminated(Stopped):
    """SIGTERM, which ends a command as Ctrl-C does."""

    status = 143
