from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces

from sb3_reinforce.policies.action_tensors import action_tensor


@pytest.mark.parametrize(
    ("space", "actions", "expected"),
    [
        (spaces.Discrete(3), np.array([2.0, 1.0]), th.tensor([2, 1])),
        (spaces.Discrete(3), np.array([[2], [1]]), th.tensor([2, 1])),
        (spaces.MultiDiscrete([3, 2]), np.array([[2, 1]], np.int8), th.tensor([[2, 1]])),
        (spaces.MultiBinary(2), np.array([[1, 0]], np.int8), th.tensor([[1.0, 0.0]], dtype=th.float64)),
        (spaces.Box(-1, 1, (2, 2)), np.ones((1, 2, 2), np.float32), th.ones(1, 4, dtype=th.float64)),
        (spaces.Box(-1, 1, (1,)), th.ones(3, 1), th.ones(3, 1, dtype=th.float64)),
    ],
)
def test_action_tensors(space: spaces.Space, actions: Any, expected: th.Tensor) -> None:
    th.testing.assert_close(action_tensor(actions, space, th.zeros(1, dtype=th.float64)), expected, rtol=0, atol=0)
