import pathlib
import random
import warnings
from typing import Any

import numpy as np
import pytest
import torch as th
from stable_baselines3 import PPO
from stable_baselines3.common.logger import configure
from torch.utils.tensorboard import SummaryWriter

from sb3_reinforce import REINFORCE
from sb3_reinforce.common.tensorboard import ScalarLayoutCallback, WeightHistogramCallback, tensorboard_callbacks
from sb3_reinforce.common.tensorboard.writing import IntervalCallback
from tests.common.tensorboard.events import MAKERS, events_of, make


class Records(IntervalCallback):
    def __init__(self, every: int | None = None) -> None:
        super().__init__(every)
        self.at: list[int] = []

    def _record(self) -> None:
        random.random(), np.random.rand(), th.rand(1)
        self.at.append(self.n_timesteps)


def learn(model: Any, callback: Any, n: int, **kwargs: Any) -> None:
    model.learn(n, callback=callback, log_interval=None, **kwargs)


@pytest.mark.parametrize("name", ["reinforce", "ppo", "dqn", "ars"])
def test_at_the_beginning_at_each_interval_and_at_the_end(name: str, tmp_path: pathlib.Path) -> None:
    model, callback = make(name, tmp_path), Records(100)
    learn(model, callback, 500)
    assert callback.at[0] == 0
    assert callback.at[-1] == model.num_timesteps
    in_between = callback.at[:-1]
    assert len(in_between) >= 2
    assert len({at // 100 for at in in_between}) == len(in_between), "one for each interval"


def test_a_tenth_of_the_training_by_default(tmp_path: pathlib.Path) -> None:
    model, callback = make("ppo", tmp_path), Records()
    learn(model, callback, 64 * 20)
    assert callback.at == [0, *(64 * 2 * i for i in range(1, 10)), 64 * 20]


def test_a_training_that_goes_on_records_where_it_would_have(tmp_path: pathlib.Path) -> None:
    whole, parts = Records(256), Records(256)
    learn(make("ppo", tmp_path / "a"), whole, 64 * 12)
    model = make("ppo", tmp_path / "b")
    learn(model, parts, 64 * 5)
    learn(model, parts, 64 * 7, reset_num_timesteps=False)
    assert [at for at in parts.at if at != 64 * 5] == whole.at


def test_training_does_not_notice(tmp_path: pathlib.Path) -> None:
    """What records draws chance of its own, which the policies of SB3 draw their actions from."""
    weights = []
    for name in ("reinforce", "ppo"):
        for is_watched in (False, True):
            model = make(name, tmp_path / f"{name}{is_watched}")
            callbacks = [Records(50), *tensorboard_callbacks(model, "CartPole-v1", every=200)]
            learn(model, callbacks if is_watched else None, 300)
            weights.append(th.cat([p.detach().flatten() for p in model.policy.parameters()]))
    assert th.equal(weights[0], weights[1])
    assert th.equal(weights[2], weights[3])


@pytest.mark.parametrize("name", MAKERS)
def test_an_algorithm_without_tensorboard_is_told_what_to_do(name: str) -> None:
    with pytest.raises(
        ValueError, match=r"ScalarLayoutCallback writes to TensorBoard, but this .* does not. Give it a folder"
    ):
        MAKERS[name]().learn(10, callback=ScalarLayoutCallback())


def test_tensorboard_of_the_algorithms_own(tmp_path: pathlib.Path) -> None:
    model = REINFORCE("LinearPolicy", "CartPole-v1", seed=0, tensorboard_log=str(tmp_path))
    learn(model, WeightHistogramCallback(), 100)
    histograms = events_of(tmp_path / "REINFORCE_1").Tags()["histograms"]
    assert histograms == [f"weights/{name}" for name, _ in model.policy.named_parameters()]


def test_a_full_disk_is_told_once_and_does_not_end_training(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*args: Any, **kwargs: Any) -> None:
        raise OSError(28, "No space left on device")

    model = PPO("MlpPolicy", "CartPole-v1", n_steps=64, n_epochs=1, device="cpu")
    model.set_logger(configure(str(tmp_path), ["tensorboard"]))
    monkeypatch.setattr(SummaryWriter, "add_histogram", fails)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        learn(model, WeightHistogramCallback(every=64), 300)
    told = [
        str(warning.message) for warning in caught if "can't be written by WeightHistogramCallback" in str(warning.message)
    ]
    assert len(told) == 1
    assert "No space left" in told[0]


def test_an_error_leaves_the_loggers_outputs_as_they_were(tmp_path: pathlib.Path) -> None:
    model = make("reinforce", tmp_path)
    outputs = list(model.logger.output_formats)

    def fails(*args: Any) -> bool:
        raise KeyError("mine")

    callbacks = tensorboard_callbacks(model)
    callbacks[0].on_rollout_end = fails
    with pytest.raises(KeyError, match="mine"):
        learn(model, callbacks, 300)
    assert model.logger.output_formats == outputs


@pytest.mark.parametrize("every", [0, 1.5, "10"])
def test_intervals_that_are_none(every: Any) -> None:
    with pytest.raises(ValueError, match="every of WeightHistogramCallback must be an integer of at least 1 or None"):
        WeightHistogramCallback(every)
