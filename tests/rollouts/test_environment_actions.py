import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy

from sb3_reinforce.rollouts.environment_actions import for_environment


@pytest.mark.parametrize(
    "box", [spaces.Box(-1, 1, (2,)), spaces.Box(-5, 5, (1, 2), np.int64), spaces.Box(0, 255, (2,), np.uint8)]
)
def test_no_action_that_is_nan_reaches_an_environment(box: spaces.Box) -> None:
    convert = for_environment(ActorCriticPolicy(spaces.Discrete(2), box, lambda _: 0.1))
    assert convert is not None
    actions = np.zeros((3, 2), np.float32)
    for value in (1.0, -np.inf, np.inf, 3e38):  # which are brought within the bounds
        actions[1, 1] = value
        with np.errstate(over="ignore"):
            assert all(map(box.contains, convert(actions)))
    actions[2, 0] = np.nan
    with pytest.raises(FloatingPointError, match="not a number"):
        convert(actions)
