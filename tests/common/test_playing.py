"""A model that is watched."""

from itertools import islice
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3.common.vec_env import DummyVecEnv

from sb3_reinforce import REINFORCE
from sb3_reinforce.common.playing import frames_per_second, play


class Corridor(gym.Env[Any, Any]):
    """Three steps; the picture is as bright as the step, and one action alone is allowed, another one each step."""

    observation_space = gym.spaces.Box(0, 3, (1,))
    action_space = gym.spaces.Discrete(4)
    metadata: dict[str, Any] = {"render_modes": ["rgb_array"]}

    def __init__(self, render_mode: str | None = "rgb_array") -> None:
        self.render_mode, self.t = render_mode, 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.t = 0
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> Any:
        info = {"action": int(action), "allowed": int(self.action_masks().argmax())}
        self.t += 1
        return np.full(1, self.t, np.float32), 1.0, self.t == 3, False, info

    def render(self) -> Any:
        return np.full((2, 2, 3), self.t, np.uint8)

    def action_masks(self) -> np.ndarray:
        return np.arange(4) == 3 - self.t


@pytest.fixture(scope="module")
def model() -> REINFORCE:
    return REINFORCE("LinearSoftmaxPolicy", Corridor(), seed=0)


@pytest.mark.parametrize(("every", "shown"), [(1, [0, 1, 2, 0, 1, 2, 0]), (2, [0, None, 2, None, 1, None, 0])])
def test_pictures_are_from_before_the_action(model: REINFORCE, every: int, shown: list[int | None]) -> None:
    steps = list(islice(play(model, DummyVecEnv([Corridor]), render_every=every), 7))
    assert [None if step.frame is None else step.frame[0, 0, 0] for step in steps] == shown
    assert [step.done for step in steps] == [False, False, True, False, False, True, False]


@pytest.mark.parametrize("deterministic", [True, False])
def test_it_keeps_to_masks(model: REINFORCE, deterministic: bool) -> None:
    steps = list(islice(play(model, DummyVecEnv([Corridor]), deterministic), 6))
    assert [step.info["action"] for step in steps] == [3, 2, 1, 3, 2, 1] == [step.info["allowed"] for step in steps]


def test_without_pictures(model: REINFORCE) -> None:
    assert next(play(model, DummyVecEnv([lambda: Corridor(None)]))).frame is None


@pytest.mark.parametrize(("metadata", "rate"), [({"render_fps": 7}, 7), ({}, 30)])
def test_frames_per_second(metadata: dict[str, Any], rate: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Corridor, "metadata", metadata)
    assert frames_per_second(DummyVecEnv([Corridor])) == rate
