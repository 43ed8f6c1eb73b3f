"""
REINFORCE for Stable-Baselines3. The public names are in :mod:`sb3_reinforce.public`. They are imported when the first
of them is asked for: torch takes seconds to import, and the command line has something to say before.
"""

from typing import TYPE_CHECKING, Any

from sb3_reinforce.version import __version__ as __version__

if TYPE_CHECKING:
    from sb3_reinforce.public import *  # noqa: F403
    from sb3_reinforce.public import __all__ as __all__
else:

    def __getattr__(name: str) -> Any:
        import importlib

        # Of the modules' own attributes only __all__ is public; others are looked for before they are there
        if not name.startswith("_") or name == "__all__":
            public = importlib.import_module("sb3_reinforce.public")
            if name in (*public.__all__, "__all__"):
                return getattr(public, name)
        raise AttributeError(f"module 'sb3_reinforce' has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__getattr__("__all__")})
