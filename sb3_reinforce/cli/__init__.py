"""The command line: ``python -m sb3_reinforce train``, ``enjoy`` and ``compare``."""

from sb3_reinforce.cli.main import main

__all__ = ["main"]
