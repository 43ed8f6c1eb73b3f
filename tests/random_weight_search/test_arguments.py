from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from sb3_reinforce import RandomWeightSearch
from tests.testbed import Toy

BOX = spaces.Box(-1.0, 1.0, (3,), np.float32)
NAMES = "LinearPolicy, LinearSoftmaxPolicy, LinearGaussianPolicy, MlpPolicy"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"n_eval_episodes": 0}, "n_eval_episodes.*an integer of at least 1, but got 0"),
        ({"n_eval_episodes": 1.5}, r"n_eval_episodes.*an integer of at least 1, but got 1\.5"),
        ({"n_eval_episodes": True}, "n_eval_episodes.*an integer of at least 1, but got True"),
        ({"n_eval_episodes": "3"}, "n_eval_episodes.*got '3'. It is a text"),
        ({"n_confirmation_episodes": 0}, "n_confirmation_episodes"),
        ({"n_confirmation_episodes": 20.0}, "n_confirmation_episodes"),
        ({"n_confirmation_episodes": None}, "n_confirmation_episodes"),
        ({"max_episode_steps": 0}, "max_episode_steps"),
        ({"max_episode_steps": "1e4"}, "max_episode_steps.*It is a text"),
        ({"weight_scale": 0.0}, "weight_scale.*above 0"),
        ({"weight_scale": -1.0}, "weight_scale"),
        ({"weight_scale": np.inf}, "weight_scale"),
        ({"weight_scale": np.nan}, "weight_scale"),
        ({"weight_scale": [1.0]}, "weight_scale"),
        ({"reward_threshold": np.nan}, "reward_threshold"),
        ({"reward_threshold": "475"}, "reward_threshold.*It is a text"),
        ({"device": "cuda"}, "device"),
        ({"policy": "CnnPolicy"}, f"CnnPolicy.*{NAMES}"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        RandomWeightSearch(**{"policy": "LinearSoftmaxPolicy", "env": "CartPole-v1", **arguments})


def test_arguments_of_numpy_and_infinite_ones_are_taken() -> None:
    model = RandomWeightSearch(
        "LinearPolicy",
        "CartPole-v1",
        n_eval_episodes=np.int64(2),  # type: ignore[arg-type]
        weight_scale=np.float32(0.5),  # type: ignore[arg-type]
        reward_threshold=np.inf,
        max_episode_steps=np.inf,  # type: ignore[arg-type]
        seed=0,
    ).learn(300)
    assert model.n_candidates > 3


@pytest.mark.parametrize("action_space", [spaces.Discrete(3), spaces.MultiBinary(2), spaces.Box(-1, 1, (2,))])
def test_the_linear_policy_is_the_one_of_the_action_space(action_space: spaces.Space) -> None:
    named = "LinearGaussianPolicy" if isinstance(action_space, spaces.Box) else "LinearSoftmaxPolicy"
    first, second = (RandomWeightSearch(name, Toy(BOX, action_space), seed=0).learn(200) for name in ("LinearPolicy", named))
    np.testing.assert_array_equal(first.best_weights[0], second.best_weights[0])
    assert first.best_mean_reward == second.best_mean_reward


class NoEnv(gym.Env[Any, Any]):
    """Nothing but spaces."""

    render_mode = None

    def __init__(self, observation_space: spaces.Space, action_space: spaces.Space) -> None:
        self.observation_space = observation_space
        self.action_space = action_space


@pytest.mark.parametrize(
    ("policy", "observation_space", "action_space", "message"),
    [
        ("LinearSoftmaxPolicy", BOX, BOX, "MlpPolicy"),
        ("LinearGaussianPolicy", BOX, spaces.Discrete(2), "LinearSoftmaxPolicy"),
        ("LinearSoftmaxPolicy", BOX, spaces.Discrete(2, start=1), "start at 0"),
        ("MlpPolicy", spaces.Dict(a=BOX, b=BOX), spaces.Discrete(2), "MultiInputPolicy"),
    ],
)
def test_spaces_that_are_not_served(
    policy: str, observation_space: spaces.Space, action_space: spaces.Space, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        RandomWeightSearch(policy, NoEnv(observation_space, action_space))


def test_nothing_is_born_outside_of_init() -> None:
    """Whatever a search knows of itself has its name from the beginning."""
    model = RandomWeightSearch("LinearPolicy", "CartPole-v1", n_confirmation_episodes=2, seed=0)
    names = set(vars(model))
    model.learn(2000)
    born = {name for name in set(vars(model)) - names if not hasattr(type(model), name)}
    assert born <= {"_logger"}  # as with every algorithm
