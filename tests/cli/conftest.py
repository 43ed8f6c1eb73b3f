"""A folder of its own for each command, a trained model, and environments that are a difficulty."""

import pathlib
from collections.abc import Iterator

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from tests.cli.helpers import Alternation, Refused, train


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))  # or SDL complains on stderr
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A folder that the command line has left; not to be written to."""
    return train("-n", "500", "--seed", "3", "--defaults", into=str(tmp_path_factory.mktemp("trained")))


@pytest.fixture
def odd_envs() -> Iterator[None]:
    """Environments that can't be served, and one without a time limit."""
    before = dict(gym.registry)
    actions = {
        "Unbounded-v0": spaces.Box(-np.inf, np.inf, (1,), np.float32),
        "Pair-v0": spaces.Tuple([spaces.Discrete(2), spaces.Discrete(2)]),
        "NaN-v0": spaces.Discrete(2),
    }
    for env_id, space in actions.items():
        gym.register(env_id, entry_point=Refused, kwargs={"action_space": space}, disable_env_checker=True)
    gym.register("Mute-v0", entry_point=lambda render_mode: Refused(spaces.Discrete(2)))
    gym.register("Alternation-v0", entry_point=Alternation)
    yield
    gym.registry.clear()
    gym.registry.update(before)
