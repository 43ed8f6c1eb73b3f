import json
import pathlib
import pickle
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from sb3_reinforce.common.archives import DamagedFileError
from sb3_reinforce.common.normalization_files import read_normalization, write_normalization
from tests.testbed import Toy

DICT = spaces.Dict(a=spaces.Box(-1, 1, (2,)), b=spaces.Box(0, 9, (3,)), c=spaces.Discrete(3))


def vectors(space: spaces.Space | None) -> Any:
    return make_vec_env("CartPole-v1", 2, seed=0) if space is None else DummyVecEnv([lambda: Toy(space)])


@pytest.mark.parametrize(
    ("space", "settings"),
    [
        (None, {}),
        (None, {"norm_obs": False, "gamma": 0.9}),
        (None, {"norm_reward": False, "clip_obs": 3.0, "training": False}),
        (DICT, {"norm_obs_keys": ["a", "b"]}),
    ],
)
def test_it_normalizes_as_before(space: spaces.Space | None, settings: dict[str, Any], tmp_path: pathlib.Path) -> None:
    env = VecNormalize(vectors(space), **settings)
    env.reset()
    for _ in range(10):
        env.step(np.zeros(env.num_envs, dtype=int))
    write_normalization(env, tmp_path / "new" / "statistics.json")
    mine = read_normalization(tmp_path / "new" / "statistics.json", vectors(space))
    theirs = pickle.loads(pickle.dumps(env))
    theirs.set_venv(vectors(space))
    results = []
    for one in (mine, theirs):
        one.seed(3)
        results.append([one.reset(), *(one.step(np.zeros(env.num_envs, dtype=int))[:2] for _ in range(5))])
    np.testing.assert_equal(*results)
    assert {name: getattr(mine, name) for name in settings} == settings
    np.testing.assert_array_equal(mine.ret_rms.var, theirs.ret_rms.var)


def test_those_of_other_observations_and_of_none(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "statistics.json"
    write_normalization(VecNormalize(make_vec_env("CartPole-v1")), path)
    with pytest.raises(DamagedFileError, match="its statistics are of other observations"):
        read_normalization(path, make_vec_env("Pendulum-v1"))
    content = json.loads(path.read_text())
    damaged: list[Any] = [
        [],
        {},
        {**content, "settings": {"venv": 1}},
        {**content, "returns": 3},
        {**content, "observations": None},
    ]
    for value in damaged:
        path.write_text(json.dumps(value))
        with pytest.raises(DamagedFileError, match=r"statistics.json' is not a saved model, or is damaged"):
            read_normalization(path, make_vec_env("CartPole-v1"))
    path.write_bytes(pickle.dumps(gym.make("CartPole-v1").observation_space))
    with pytest.raises(DamagedFileError, match="is damaged"):
        read_normalization(path, make_vec_env("CartPole-v1"))
