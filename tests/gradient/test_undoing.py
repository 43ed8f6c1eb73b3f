"""Steps that would leave a policy that can't act."""

import contextlib
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces

from sb3_reinforce import REINFORCE


class Noise(gym.Env[Any, Any]):
    """Rewards that are noise. It counts the actions that are NaN."""

    observation_space = spaces.Box(-10.0, 10.0, (3,))
    n_nan = 0

    def __init__(self, action_space: spaces.Space) -> None:
        self.action_space = action_space

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        super().reset(**kwargs)
        self.t = 0
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.t += 1
        Noise.n_nan += int(np.isnan(action).any())
        return self.observation_space.sample(), float(self.np_random.normal() * 10), self.t == 5, False, {}


@pytest.mark.parametrize("baseline", ["none", "value"])
@pytest.mark.parametrize("optimizer", [th.optim.SGD, th.optim.Adam])
@pytest.mark.parametrize("learning_rate", [1e3, 1e30, 3e38])
@pytest.mark.parametrize("action_space", [spaces.Box(-1, 1, (2,)), spaces.Box(-5, 5, (1,), np.int64), spaces.Discrete(3)])
@pytest.mark.parametrize("policy", ["LinearPolicy", "MlpPolicy"])
def test_a_step_is_undone_if_the_policy_could_not_act_afterwards(
    policy: str, action_space: spaces.Space, learning_rate: float, optimizer: Any, baseline: Any
) -> None:
    Noise.n_nan = 0
    arguments: dict[str, Any] = {
        "n_episodes": 4,
        "baseline": baseline,
        "seed": 0,
        "policy_kwargs": {"optimizer_class": optimizer},
    }
    model = REINFORCE(policy, Noise(action_space), learning_rate, **arguments)
    with contextlib.suppress(FloatingPointError):
        model.learn(100)
    assert Noise.n_nan == 0
    assert all(th.isfinite(parameter).all() for parameter in model.policy.parameters())
    if learning_rate > 1e38:
        return  # the products of such weights are not finite, which the next rollout says
    action, _ = model.predict(np.ones(3, np.float32), deterministic=False)
    assert action_space.contains(action if action.ndim else int(action))


def test_what_interrupts_an_update_leaves_the_policy_as_it_was() -> None:
    class Interrupts(th.optim.Adam):
        def step(self, closure: Any = None) -> Any:
            super().step(closure)
            raise KeyboardInterrupt

    model = REINFORCE("LinearPolicy", "CartPole-v1", n_episodes=2, seed=0, policy_kwargs={"optimizer_class": Interrupts})
    with pytest.raises(KeyboardInterrupt):
        model.learn(10)
    assert not model.policy.action_net.weight.any()  # it begins with zeros
