"""What docs/sharing.md says of the Hub and of trackers, run as printed: a Hub on this machine, stand-ins for the trackers."""

import contextlib
import pathlib
import re
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from sb3_reinforce import REINFORCE
from tests.sharing.local_hub import LocalHub

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "sharing.md"
RECIPES = re.findall(r"```\{code-block\} python\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")


def recipes(word: str) -> list[str]:
    found = [recipe for recipe in RECIPES if word in recipe]
    assert found
    return found


class Tracker:
    """As much of ``wandb`` and ``mlflow`` as the recipes use; it takes what these take and nothing else."""

    def __init__(self) -> None:
        self.parameters: dict[str, Any] = {}
        self.metrics: list[tuple[int, dict[str, float]]] = []
        self.artifacts: list[pathlib.Path] = []

    @contextlib.contextmanager
    def start_run(self) -> Iterator["Tracker"]:
        yield self

    @contextlib.contextmanager
    def init(self, project: str, config: dict[str, Any], mode: str) -> Iterator["Tracker"]:
        self.log_params(config)
        yield self

    def log_params(self, params: dict[str, Any]) -> None:
        self.parameters.update(params)

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        assert step is not None
        # MLflow's rule
        assert all(re.fullmatch(r"[\w\-. :/]+", name) and isinstance(value, float) for name, value in metrics.items())
        self.metrics.append((step, metrics))

    log = log_metrics

    def log_artifact(self, path: str, type: str | None = None) -> None:
        self.artifacts.append(pathlib.Path(path).resolve())


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_trackers(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    tracker, module = Tracker(), ModuleType(name)
    for method in ("init", "start_run", "log_params", "log_metrics", "log_artifact"):
        setattr(module, method, getattr(tracker, method))
    monkeypatch.setitem(sys.modules, name, module)
    (recipe,) = recipes(f"import {name}")
    exec(recipe, {})
    assert tracker.parameters["algorithm"] == "REINFORCE"
    assert tracker.metrics[-1][0] >= 5_000
    assert "rollout/ep_rew_mean" in tracker.metrics[-1][1]
    assert REINFORCE.load(tmp_path / "cartpole.zip").num_timesteps >= 5_000
    assert tracker.artifacts == [tmp_path / "cartpole.zip"]


def test_hub(hub: LocalHub, capsys: pytest.CaptureFixture[str]) -> None:
    names = {"model": REINFORCE("LinearSoftmaxPolicy", "CartPole-v1", seed=0).learn(200)}
    for recipe in recipes("_hub("):
        exec(recipe, names)
    assert "replay.mp4" in hub.repositories["me/reinforce-CartPole-v1"]
    assert re.fullmatch(r"\(\S+, \S+\)\n", capsys.readouterr().out)
