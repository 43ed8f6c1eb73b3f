"""The command line: ``sb3-reinforce train``, ``enjoy``, ``compare`` and ``zoo``; or ``python -m sb3_reinforce`` train."""

from sb3_reinforce.cli.main import main

__all__ = ["main"]
