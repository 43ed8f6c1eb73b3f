"""What the tests of the commands have in common."""

import pathlib
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from sb3_reinforce.cli import main

ALL_FILES = {
    "CartPole-v1",
    "CartPole-v1.zip",
    "events",
    "0.monitor.csv",
    "evaluation.json",
    "evaluations.npz",
    "learning_curve.png",
    "progress.csv",
}
FEW = ("--n-eval-episodes", "10")


class Refused(gym.Env[np.ndarray, Any]):
    """Spaces and rendering that nobody serves."""

    observation_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
    metadata = {"render_modes": []}
    render_mode = None

    def __init__(self, action_space: spaces.Space) -> None:
        self.action_space = action_space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        return np.zeros(2, np.float32), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        return np.zeros(2, np.float32), np.nan, True, False, {}


class Alternation(gym.Env[int, int]):
    """
    An episode ends with the first action that is not the one before. Nothing is seen, so a greedy policy repeats itself,
    and its episode never ends.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 50}
    observation_space, action_space = spaces.Discrete(1), spaces.Discrete(2)

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        super().reset(seed=seed)
        self.last: int | None = None
        return 0, {}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        has_ended = self.last is not None and action != self.last
        self.last = int(action)
        return 0, 1.0, has_ended, False, {}

    def render(self) -> np.ndarray:  # type: ignore[override]
        return np.zeros((16, 16, 3), np.uint8)


def error_of(capsys: pytest.CaptureFixture[str], *arguments: str | pathlib.Path) -> str:
    """What is said, on one line, to a command line that can't be served."""
    capsys.readouterr()
    assert main([str(argument) for argument in arguments]) == 2
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    return " ".join(err.replace("│", " ").split())


def train(*arguments: str | pathlib.Path, into: str = "logs") -> pathlib.Path:
    """Train, and return the folder of the run."""
    before = set(pathlib.Path(into).glob("*/*"))
    few = () if "--n-eval-episodes" in arguments or "--resume" in arguments else FEW
    assert main(["train", "-f", into, *few, *map(str, arguments)]) == 0
    (folder,) = set(pathlib.Path(into).glob("*/*")) - before
    return folder


def files(folder: pathlib.Path) -> set[str]:
    """The names of the files in a folder."""
    return {"events" if path.name.startswith("events.out.tfevents") else path.name for path in folder.iterdir()}
