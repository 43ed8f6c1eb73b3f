import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy

from sb3_reinforce.common.checks import check_policy_name, check_spaces, check_that_episodes_end
from sb3_reinforce.reinforce import LinearSoftmaxPolicy

BOX = spaces.Box(-1.0, 1.0, (2,), np.float32)
DISCRETE = spaces.Discrete(3)


def test_policy_names() -> None:
    aliases = {"MlpPolicy": ActorCriticPolicy, "LinearSoftmaxPolicy": LinearSoftmaxPolicy}
    assert check_policy_name("MlpPolicy", aliases) is ActorCriticPolicy  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"'mlp' is unknown\. Use one of MlpPolicy, LinearSoftmaxPolicy, or a policy class"):
        check_policy_name("mlp", aliases)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("observation_space", "action_space"),
    [
        (BOX, DISCRETE),
        (DISCRETE, BOX),
        (spaces.MultiDiscrete([2, 3]), spaces.MultiBinary(4)),
        (spaces.MultiBinary(4), spaces.MultiDiscrete([2, 3])),
        (spaces.Dict(a=BOX, b=DISCRETE), DISCRETE),
    ],
)
def test_spaces_that_are_served(observation_space: spaces.Space, action_space: spaces.Space) -> None:
    check_spaces(observation_space, action_space)


@pytest.mark.parametrize(
    ("observation_space", "action_space", "message"),
    [
        (spaces.Tuple([BOX, BOX]), DISCRETE, "they are Tuple.*FlattenObservation"),
        (spaces.Text(5), DISCRETE, "they are Text"),
        (spaces.Dict(a=spaces.Dict(b=BOX)), DISCRETE, "they are Dict"),
        (spaces.Discrete(3, start=1), DISCRETE, "there is a Discrete.*TransformObservation"),
        (spaces.Dict(a=spaces.MultiDiscrete([2, 3], start=[0, 1])), DISCRETE, "there is a MultiDiscrete"),
        (BOX, spaces.Discrete(3, start=-1), "there is a Discrete.*TransformAction"),
        (BOX, spaces.MultiDiscrete([2, 3], start=[0, 1]), "there is a MultiDiscrete"),
    ],
)
def test_spaces_that_are_not_served(observation_space: spaces.Space, action_space: spaces.Space, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_spaces(observation_space, action_space)


def test_episodes_that_do_not_end() -> None:
    check_that_episodes_end(99, 100)
    with pytest.raises(RuntimeError, match=r"within 100 timesteps.*TimeLimit.*raise max_episode_steps"):
        check_that_episodes_end(100, 100)
