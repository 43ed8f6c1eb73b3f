"""Processes that are ended after the test, and EnvPool where it is installed."""

from collections.abc import Callable, Iterator
from typing import Any

import gymnasium as gym
import pytest
from gymnasium.vector import AsyncVectorEnv

from tests.vec_env.walks import walks


@pytest.fixture
def async_env() -> Iterator[Callable[..., AsyncVectorEnv]]:
    """Makes an AsyncVectorEnv, of Walks if nothing else is given."""
    made: list[AsyncVectorEnv] = []

    def make(env_fns: list[Callable[[], gym.Env]] | None = None, **kwargs: Any) -> AsyncVectorEnv:
        made.append(AsyncVectorEnv(env_fns or walks(), context="fork", **kwargs))
        return made[-1]

    yield make
    for env in made:
        env.close()


@pytest.fixture
def envpool() -> Any:
    """The module, or the test is skipped."""
    return pytest.importorskip("envpool")
