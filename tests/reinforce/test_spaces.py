"""Every observation space with every action space and policy: trained, saved, loaded and predicting the same, or refused."""

import io
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector.utils import batch_space
from stable_baselines3.common.env_util import make_vec_env

from sb3_reinforce import REINFORCE
from tests.testbed import Toy

VECTOR = spaces.Box(-1, 1, (3,))
IMAGE = spaces.Box(0, 255, (36, 36, 1), np.uint8)  # channels last: SB3 puts them first
OBSERVATIONS: dict[str, spaces.Space] = {
    "Box, vector": VECTOR,
    "Box, image": IMAGE,
    "Discrete": spaces.Discrete(4),
    "MultiDiscrete": spaces.MultiDiscrete([2, 3]),
    "MultiBinary": spaces.MultiBinary(3),
    "Dict of vectors": spaces.Dict(a=VECTOR, b=spaces.Discrete(3)),
    "Dict with image": spaces.Dict(a=VECTOR, b=IMAGE),
}
ACTIONS: dict[str, spaces.Space] = {
    "Discrete": spaces.Discrete(3),
    "MultiDiscrete": spaces.MultiDiscrete([3, 2]),
    "MultiBinary": spaces.MultiBinary(2),
    "Box": spaces.Box(-1, 1, (2,)),
}
POLICIES = ("LinearSoftmaxPolicy", "LinearGaussianPolicy", "MlpPolicy", "CnnPolicy", "MultiInputPolicy")


def refusal(policy: str, observations: str, actions: str) -> str | None:
    """The documented error, a pattern; None where there is to be none."""
    if policy == "LinearSoftmaxPolicy" and actions == "Box":
        return "LinearSoftmaxPolicy serves Discrete, MultiDiscrete and MultiBinary actions.*LinearGaussianPolicy"
    if policy == "LinearGaussianPolicy" and actions != "Box":
        return "LinearGaussianPolicy serves Box actions.*LinearSoftmaxPolicy"
    if policy in ("MlpPolicy", "CnnPolicy") and observations.startswith("Dict"):
        return "You must use `MultiInputPolicy` when working with dict observation space"
    if policy == "CnnPolicy" and observations != "Box, image":
        return "CnnPolicy serves images.*MlpPolicy"
    if policy == "MultiInputPolicy" and not observations.startswith("Dict"):
        return "MultiInputPolicy serves Dict observations.*CnnPolicy.*MlpPolicy"
    return None


def make(policy: str, observations: str, actions: str) -> REINFORCE:
    env = make_vec_env(lambda: Toy(OBSERVATIONS[observations], ACTIONS[actions]), n_envs=2, seed=0)
    return REINFORCE(policy, env, n_episodes=2, epsilon=0.1, seed=0)


def draw(space: spaces.Space) -> Any:
    many = batch_space(space, 20)
    many.seed(0)
    return many.sample()


@pytest.mark.parametrize("actions", ACTIONS)
@pytest.mark.parametrize("observations", OBSERVATIONS)
@pytest.mark.parametrize("policy", POLICIES)
def test_spaces(policy: str, observations: str, actions: str) -> None:
    message = refusal(policy, observations, actions)
    if message is not None:
        with pytest.raises(ValueError, match=message):
            make(policy, observations, actions)
        return
    model = make(policy, observations, actions)
    before = model.policy.parameters_to_vector()
    model.learn(20)
    assert not np.array_equal(model.policy.parameters_to_vector(), before)
    assert np.isfinite(model.policy.parameters_to_vector()).all()
    file = io.BytesIO()
    model.save(file)
    file.seek(0)
    loaded, obs = REINFORCE.load(file), draw(OBSERVATIONS[observations])
    predicted, _ = model.predict(obs, deterministic=True)
    np.testing.assert_array_equal(loaded.predict(obs, deterministic=True)[0], predicted)
    assert all(ACTIONS[actions].contains(action) for action in predicted)


def table() -> str:
    """The README's table: which policies serve which spaces."""
    rows = [f"| observations | {' | '.join(f'{actions} actions' for actions in ACTIONS)} |", f"|---|{'---|' * len(ACTIONS)}"]
    for observations in OBSERVATIONS:
        served = [[policy for policy in POLICIES if refusal(policy, observations, actions) is None] for actions in ACTIONS]
        cells = [", ".join(policy.removesuffix("Policy") for policy in policies) for policies in served]
        rows.append(f"| {observations} | {' | '.join(cells)} |")
    return "\n".join(rows)


if __name__ == "__main__":  # python -m tests.reinforce.test_spaces
    print(table())
