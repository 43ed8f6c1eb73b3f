import pathlib

import gymnasium as gym
import pytest
import torch as th
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import configure
from stable_baselines3.common.vec_env import DummyVecEnv

from sb3_reinforce import EpisodeDurationCallback
from sb3_reinforce.common.tensorboard import EpisodeLengthHistogramCallback, WeightHistogramCallback, histograms
from tests.common.tensorboard.events import MAKERS, events_of, make


@pytest.mark.parametrize("name", MAKERS)
def test_every_episode_is_in_one_histogram_of_lengths(name: str, tmp_path: pathlib.Path) -> None:
    model, episodes = make(name, tmp_path), EpisodeDurationCallback(window_size=10_000)
    callback = EpisodeLengthHistogramCallback(every=200)
    model.learn(700, callback=[episodes, callback])
    model.logger.close()
    written = [event.histogram_value for event in events_of(tmp_path).Histograms("rollout/episode_lengths")]
    assert len(written) >= 2
    assert sum(histogram.num for histogram in written) == episodes.n_episodes
    assert sum(histogram.sum for histogram in written) == sum(episodes.lengths)
    assert not callback.lengths, "nothing is kept"


def test_no_more_lengths_are_kept_than_that(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(histograms, "MAX_EPISODES", 5)
    model = make("ppo", tmp_path)
    model.learn(500, callback=EpisodeLengthHistogramCallback(every=1_000))
    model.logger.close()
    (event,) = events_of(tmp_path).Histograms("rollout/episode_lengths")
    assert event.histogram_value.num == 5


def test_environments_without_a_monitor_are_refused(tmp_path: pathlib.Path) -> None:
    model = PPO("MlpPolicy", DummyVecEnv([lambda: gym.make("CartPole-v1")]), device="cpu")
    model.set_logger(configure(str(tmp_path), ["tensorboard"]))
    with pytest.raises(ValueError, match="EpisodeLengthHistogramCallback reads returns and lengths from Monitor"):
        model.learn(10, callback=EpisodeLengthHistogramCallback())


class _BreaksAWeight(BaseCallback):
    def _on_step(self) -> bool:
        with th.no_grad():
            self.model.policy.action_net.weight[0, 0] = th.nan
            self.model.policy.action_net.bias[:] = th.nan
        return True


def test_each_parameter_has_a_histogram_of_its_finite_values(tmp_path: pathlib.Path) -> None:
    model = make("search", tmp_path)
    model.learn(50, callback=[_BreaksAWeight(), WeightHistogramCallback(every=10_000)])
    model.logger.close()
    events = events_of(tmp_path)
    weights, biases = (events.Histograms(f"weights/action_net.{name}") for name in ("weight", "bias"))
    n_weights = model.policy.action_net.weight.numel()
    assert [(e.step, e.histogram_value.num) for e in weights] == [(0, n_weights), (model.num_timesteps, n_weights - 1)]
    assert [e.step for e in biases] == [0]
