"""What goes wrong, and what takes too long."""

import pathlib
import sys
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import joblib
import pandas as pd
import pytest

from sb3_reinforce.compare import intervals
from sb3_reinforce.compare.execute import BACKENDS
from sb3_reinforce.compare.report import write_report
from tests.compare.pages import DETAILS, THRESHOLDS
from tests.compare.tables import comparison

# Workers import it, as they would a user's
ODD_ENVS = """
import os
import signal
import gymnasium as gym
from gymnasium.envs.classic_control import CartPoleEnv

class Raises(CartPoleEnv):
    def step(self, action):
        raise RuntimeError("the cart has left the rails")

class Kills(CartPoleEnv):
    def step(self, action):
        os.kill(os.getpid(), signal.SIGKILL)

class CanNotBeMade(CartPoleEnv):
    def __init__(self):
        raise OSError("no rails")

for env in (Raises, Kills, CanNotBeMade):
    gym.register(env.__name__ + "-v0", entry_point=env, max_episode_steps=20)
"""


@pytest.fixture
def odd_envs(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A module that registers environments that go wrong, where this process and its children can import it."""
    (tmp_path / "odd_envs.py").write_text(ODD_ENVS)
    monkeypatch.syspath_prepend(tmp_path)
    before = dict(gym.registry)
    yield
    sys.modules.pop("odd_envs", None)
    gym.registry.clear()
    gym.registry.update(before)


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs are executed in this process, where a test can change what they do, and no worker has to start."""
    monkeypatch.setitem(BACKENDS, "loky", lambda n_jobs, address: joblib.parallel_config("sequential"))


@pytest.fixture
def no_report(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """The report takes seconds: write none, but note what it would be of."""
    calls: list[tuple[Any, ...]] = []

    def write_report(folder: pathlib.Path, results: pd.DataFrame, thresholds: Any, details: Any) -> pathlib.Path:
        calls.append((folder, results, thresholds, details))
        return folder / "report.html"

    monkeypatch.setattr("sb3_reinforce.compare.report.write_report", write_report)
    return calls


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """To draw figures takes seconds: their files are empty."""
    monkeypatch.setattr("sb3_reinforce.compare.report.figures.render", lambda figure, file_format: b"")


@pytest.fixture(scope="session")
def written_report(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The folder of a report of three algorithms in two environments; not to be written to."""
    folder = tmp_path_factory.mktemp("comparison")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(intervals, "N_RESAMPLES", 50)
        results = comparison(["good", "bad", "worst"], ["E-v0", "F-v0"])
        assert write_report(folder, results, THRESHOLDS, DETAILS) == folder / "report.html"
    return folder
