import pathlib
import sys
from functools import partial

import gymnasium as gym
import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.logger import configure

from sb3_reinforce.common.tensorboard import (
    EpisodeLengthHistogramCallback,
    EpisodeVideoCallback,
    HyperparametersCallback,
    PolicyPictureCallback,
    ScalarLayoutCallback,
    WeightHistogramCallback,
    tensorboard_callbacks,
)
from tests.common.tensorboard.events import events_of, make

ALWAYS = [HyperparametersCallback, ScalarLayoutCallback, EpisodeLengthHistogramCallback, WeightHistogramCallback]


def test_what_is_in_it(tmp_path: pathlib.Path) -> None:
    assert [type(callback) for callback in tensorboard_callbacks(make("ppo", tmp_path))] == ALWAYS
    model = PPO("MlpPolicy", "MountainCar-v0", device="cpu")
    callbacks = tensorboard_callbacks(model, "MountainCar-v0")
    assert [type(callback) for callback in callbacks] == [*ALWAYS, PolicyPictureCallback, EpisodeVideoCallback]


def test_all_of_it_in_one_run(tmp_path: pathlib.Path) -> None:
    short = partial(gym.make, "MountainCar-v0", render_mode="rgb_array", max_episode_steps=10)
    model = PPO("MlpPolicy", short(), n_steps=32, batch_size=32, n_epochs=1, device="cpu")
    model.set_logger(configure(str(tmp_path), ["tensorboard"]))
    model.learn(64, callback=tensorboard_callbacks(model, short, every=1_000, further={"note": "mine"}))
    model.logger.close()
    tags = events_of(tmp_path).Tags()
    assert set(tags["images"]) == {"policy/decision_surface", "eval/episode"}
    assert {"rollout/episode_lengths", "weights/action_net.weight"} <= set(tags["histograms"])


def test_it_needs_pandas_only_for_pictures(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make("ppo", tmp_path)
    monkeypatch.setitem(sys.modules, "pandas", None)
    monkeypatch.delitem(sys.modules, "sb3_reinforce.plots", raising=False)
    monkeypatch.delitem(sys.modules, "sb3_reinforce.common.plots", raising=False)
    tensorboard_callbacks(model)
    with pytest.raises(ImportError, match=r'needs the package .*: pip install "\.\[extra\]"'):
        PolicyPictureCallback()
