"""A search that is saved and loaded comes to the same weights, bit for bit, as one that is not."""

import io
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from sb3_reinforce import GymnasiumVecEnv, RandomWeightSearch, ResumableCheckpointCallback
from tests.random_weight_search.scripted import scripted, search, tried


def cartpole(n_envs: int = 1) -> VecEnv:
    return make_vec_env("CartPole-v1", n_envs, env_kwargs={"max_episode_steps": 40})


def native() -> VecEnv:
    return GymnasiumVecEnv(gym.make_vec("CartPole-v1", 16, vectorization_mode="vector_entry_point", max_episode_steps=40))


CONFIGURATIONS: dict[str, tuple[Any, dict[str, Any], int]] = {
    "one environment": (cartpole, {}, 9_000),
    "several": (partial(cartpole, 3), {"n_eval_episodes": 3}, 25_000),
    "confirmations": (partial(make_vec_env, "FrozenLake-v1", 3), {"reward_threshold": 0.9}, 5_000),
    "a network, no seed": (partial(cartpole, 2), {"policy": "MlpPolicy", "seed": None}, 17_000),
    "native": (native, {"reward_threshold": np.inf}, 130_000),
    "VecNormalize": (lambda: VecNormalize(cartpole(2)), {"reward_threshold": np.inf}, 17_000),
}


class Keeps(BaseCallback):
    """The model, at each beginning of a rollout from which it goes on bit for bit."""

    def __init__(self) -> None:
        super().__init__()
        self.files: list[io.BytesIO] = []

    def _on_rollout_start(self) -> None:
        if self.model.is_resumable:  # type: ignore[attr-defined]
            self.model.save(file := io.BytesIO())
            file.seek(0)
            self.files.append(file)

    def _on_step(self) -> bool:
        return True


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_what_is_saved_goes_on_to_the_same_weights(name: str) -> None:
    make, arguments, total = CONFIGURATIONS[name]
    model = RandomWeightSearch(**{"policy": "LinearSoftmaxPolicy", "env": make(), "seed": 1, **arguments})
    model.learn(total, keeps := Keeps())
    assert len(keeps.files) >= 3
    for file in (keeps.files[1], keeps.files[-1]):
        np.random.random(5)
        again = RandomWeightSearch.load(file, make()).resume()
        for name in ("num_timesteps", "n_candidates", "best_mean_reward", "solved", "_episode_num"):
            assert getattr(again, name) == getattr(model, name)
        th.testing.assert_close(again.policy.state_dict(), model.policy.state_dict(), rtol=0, atol=0)


def test_the_callback_waits_for_such_moments(tmp_path: Any) -> None:
    model = RandomWeightSearch("LinearSoftmaxPolicy", cartpole(3), reward_threshold=np.inf, seed=1)
    model.learn(25_000, [keeps := Keeps(), ResumableCheckpointCallback(tmp_path, n_kept=99, every_seconds=0)])
    saved = {RandomWeightSearch.load(path).num_timesteps for path in tmp_path.iterdir()}
    assert saved == {RandomWeightSearch.load(file).num_timesteps for file in keeps.files[1:]} | {model.num_timesteps}


@pytest.mark.parametrize("n_envs", [1, 3])
def test_what_is_saved_at_other_times_goes_on_and_repeats_nothing(n_envs: int) -> None:
    """Each candidate is one that has not had a score yet."""

    def rule(weight: float, n_plays: int) -> tuple[float, int]:
        return weight, 1 + int(10 * abs(weight)) % 4

    env, envs = scripted(*[rule] * n_envs)
    model = search(env, n_eval_episodes=2).learn(37)
    for _ in range(5):
        model.save(file := io.BytesIO())
        file.seek(0)
        model = RandomWeightSearch.load(file, env).learn(37, reset_num_timesteps=False)
    plays = {weight: n for one in envs for weight in tried(one) if (n := one.plays[weight])}
    assert max(len([1 for one in envs for w, r in one.episodes if w == weight and r is not None]) for weight in plays) <= 2
    assert model.n_candidates > 10
    assert model.best_mean_reward == pytest.approx(max(weight for weight, n in plays.items() if n >= 2), abs=1e-5)


def test_with_other_environments_there_are_other_candidates() -> None:
    model = RandomWeightSearch("LinearSoftmaxPolicy", make_vec_env("CartPole-v1", 2), seed=1).learn(500)
    model.save(file := io.BytesIO())
    file.seek(0)
    again = RandomWeightSearch.load(file, make_vec_env("CartPole-v1", 3)).learn(500, reset_num_timesteps=False)
    assert again._in_flight is not None
    assert model._in_flight is not None
    assert again._in_flight["number"].min() > model._in_flight["number"].max()


@pytest.mark.parametrize(
    "value", [3, {}, {"number": np.zeros(1, int), "returns": np.zeros(2), "episodes": np.zeros(1, int)}, {"number": -1}]
)
def test_damaged_candidates_are_refused(value: Any) -> None:
    model = RandomWeightSearch("LinearSoftmaxPolicy", cartpole(), seed=1).learn(100)
    model._in_flight = value
    model.save(file := io.BytesIO())
    file.seek(0)
    with pytest.raises(ValueError, match="_in_flight of RandomWeightSearch must be"):
        RandomWeightSearch.load(file, cartpole())
