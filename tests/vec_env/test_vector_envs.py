"""What SB3 can't take is refused, by name."""

from typing import Any

import gymnasium as gym
import pytest
from gymnasium import spaces
from gymnasium.vector import SyncVectorEnv
from gymnasium.wrappers import vector as vector_wrappers

from sb3_reinforce.vec_env import GymnasiumVecEnv
from tests.vec_env.walks import (
    walks,
)


class Space(gym.Env[Any, Any]):
    def __init__(self, observation_space: spaces.Space, action_space: spaces.Space) -> None:
        self.observation_space, self.action_space = observation_space, action_space
        self.render_mode = None


def test_spaces_that_sb3_lacks_are_refused() -> None:
    box = spaces.Box(-1.0, 1.0, (2,))
    for observed in (spaces.Tuple((box, box)), spaces.Text(3), spaces.Dict(a=spaces.Tuple((box,)))):
        with pytest.raises((ValueError, NotImplementedError)):
            GymnasiumVecEnv(SyncVectorEnv([lambda space=observed: Space(space, spaces.Discrete(2))]))  # type: ignore[misc]
    with pytest.raises(ValueError, match="no observations like Tuple"):
        GymnasiumVecEnv(SyncVectorEnv([lambda: Space(spaces.Tuple((box, box)), box)]))
    with pytest.raises(ValueError, match="no actions like Tuple"):
        GymnasiumVecEnv(SyncVectorEnv([lambda: Space(box, spaces.Tuple((box, box)))]))


def test_other_things_are_refused() -> None:
    with pytest.raises(TypeError, match="make_vec"):
        GymnasiumVecEnv(gym.make("CartPole-v1"))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="without DictInfoToList"):
        GymnasiumVecEnv(vector_wrappers.DictInfoToList(SyncVectorEnv(walks())))
