import itertools
import pathlib

import numpy as np
import pytest
from stable_baselines3 import A2C
from stable_baselines3.common.env_util import make_vec_env

from sb3_reinforce.common.eval_callback import EvalCallbackAtTimesteps, read_evaluations


@pytest.mark.parametrize("to_the_end", [True, False])
def test_an_evaluation_reached_in_one_long_step_is_made_for_each_of_its_timesteps(
    tmp_path: pathlib.Path, to_the_end: bool
) -> None:
    env = make_vec_env("CartPole-v1", 1)
    model = A2C("MlpPolicy", env, seed=0)
    callback = EvalCallbackAtTimesteps(env, [10, 20, 90, 200], tmp_path, n_episodes=1, to_the_end=to_the_end)
    callback.init_callback(model)
    model._setup_learn(100)
    for reached in (9, 25, 90):
        model.num_timesteps = reached
        callback.on_step()
    with np.load(tmp_path / "evaluations.npz") as log:
        assert log["timesteps"].tolist() == [10, 20, 90]
    callback.on_training_end()
    with np.load(tmp_path / "evaluations.npz") as log:
        assert log["timesteps"].tolist() == [10, 20, 90, *([200] if to_the_end else [])]


def test_evaluations_that_go_on_keep_those_from_before(tmp_path: pathlib.Path) -> None:
    env = make_vec_env("CartPole-v1", 2)
    evaluations = tmp_path / "evaluations.npz"
    returns = np.array([[1.0], [500.0], [3.0]])
    np.savez(evaluations, timesteps=[0, 10, 20], results=returns, ep_lengths=returns.astype(int))
    model = A2C("MlpPolicy", env, seed=0)
    callback = EvalCallbackAtTimesteps(env, itertools.count(0, 10), tmp_path, n_episodes=1)
    callback.init_callback(model)
    model._setup_learn(100)
    model.num_timesteps = 14  # what came later was in vain
    callback.on_training_start({}, {})
    assert callback.best_mean_reward == 500.0
    model.num_timesteps = 24
    callback.on_step()
    timesteps, results, _ = read_evaluations(evaluations)
    assert timesteps == [0, 10, 20]
    assert [results[0][0], results[1][0]] == [1.0, 500.0]
    assert results[2][0] != 3.0
