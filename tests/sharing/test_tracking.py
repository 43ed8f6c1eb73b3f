"""What a model logs reaches an experiment tracker."""

from typing import Any

import numpy as np
import pytest
from stable_baselines3 import A2C
from stable_baselines3.common.logger import configure

from sb3_reinforce import REINFORCE
from sb3_reinforce.sharing import TrackingCallback


class Tracker:
    """Takes numbers as ``wandb.Run.log`` and ``mlflow.log_metrics`` do: by name, and with steps that never fall."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, dict[str, float]]] = []

    def log(self, metrics: dict[str, float], step: int | None = None) -> None:
        assert step is not None
        assert not self.rows or step >= self.rows[-1][0]
        assert all(type(value) is float for value in metrics.values())
        self.rows.append((step, metrics))


@pytest.mark.parametrize("model", [REINFORCE("LinearSoftmaxPolicy", "CartPole-v1", seed=0), A2C("MlpPolicy", "CartPole-v1")])
def test_everything_that_is_logged_as_it_is_for_tensorboard(model: Any, tmp_path: Any) -> None:
    tracker = Tracker()
    model.set_logger(configure(str(tmp_path), ["csv"]))
    model.learn(400, callback=TrackingCallback(tracker.log), log_interval=1)
    step, metrics = tracker.rows[-1]
    header, *rows = (tmp_path / "progress.csv").read_text().splitlines()
    row = dict(zip(header.split(","), rows[-1].split(","), strict=True))
    assert len(rows) == len(tracker.rows)
    assert step == float(row["time/total_timesteps"])
    assert "rollout/ep_rew_mean" in metrics
    assert all(float(row[name]) == pytest.approx(value) for name, value in metrics.items())
    assert not {"time/iterations", "time/total_timesteps"} & set(metrics), "SB3 excludes them from TensorBoard"
    model.learn(1, log_interval=1)
    assert tracker.rows[-1] == (step, metrics), "after the training it listens no more"


def test_only_numbers() -> None:
    tracker, model = Tracker(), REINFORCE("LinearSoftmaxPolicy", "CartPole-v1", n_episodes=2)

    class Records(TrackingCallback):
        def _on_rollout_end(self) -> None:
            for name, value in {"text": "a", "array": np.zeros(3), "scalar": np.array(2), "int": np.int64(3)}.items():
                self.logger.record(name, value)

    model.learn(1, callback=Records(tracker.log), log_interval=1)
    assert {"text", "array", "scalar", "int"} & tracker.rows[0][1].keys() == {"scalar", "int"}


def test_a_tracker_that_fails_is_said_once_and_ends_nothing() -> None:
    def log(metrics: dict[str, float], step: int) -> None:
        raise ConnectionError("no network")

    model = REINFORCE("LinearSoftmaxPolicy", "CartPole-v1", n_episodes=2)
    with pytest.warns(RuntimeWarning, match="no network") as told:
        model.learn(100, callback=TrackingCallback(log), log_interval=1)
    assert len(told) == 1
    assert model.num_timesteps >= 100


def test_what_is_no_function() -> None:
    with pytest.raises(ValueError, match="log of TrackingCallback must be a function"):
        TrackingCallback("wandb")  # type: ignore[arg-type]
