from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import CombinedExtractor, FlattenExtractor, NatureCNN

from sb3_reinforce.common.checks import check_features, check_policy_name, check_spaces, check_that_episodes_end
from sb3_reinforce.reinforce import CnnPolicy, LinearGaussianPolicy, LinearSoftmaxPolicy, MlpPolicy, MultiInputPolicy

BOX = spaces.Box(-1.0, 1.0, (2,), np.float32)
DISCRETE = spaces.Discrete(3)
TABLE = spaces.MultiDiscrete(np.array([[2, 3], [2, 2]]))


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
        (BOX, TABLE, "MultiDiscrete spaces must have one dimension"),
        (TABLE, DISCRETE, "MultiDiscrete spaces must have one dimension"),
        (spaces.Dict(a=TABLE), DISCRETE, "one dimension"),
        (BOX, spaces.MultiBinary([2, 2]), "MultiBinary actions must have one dimension"),
        (spaces.Box(-1, 1, ()), DISCRETE, "single number.*ReshapeObservation"),
    ],
)
def test_spaces_that_are_not_served(observation_space: spaces.Space, action_space: spaces.Space, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_spaces(observation_space, action_space)


IMAGE = spaces.Box(0, 255, (3, 36, 40), np.uint8)
DICT = spaces.Dict(a=BOX, b=IMAGE)


class _OwnPolicy(ActorCriticPolicy):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, features_extractor_class=NatureCNN, **kwargs)


@pytest.mark.parametrize(
    ("policy", "space", "policy_kwargs"),
    [
        (MlpPolicy, BOX, {}),
        (MlpPolicy, IMAGE, {}),
        (ActorCriticPolicy, DISCRETE, {}),
        (LinearSoftmaxPolicy, DICT, {}),
        (LinearGaussianPolicy, DICT, {}),
        (CnnPolicy, IMAGE, {}),
        (CnnPolicy, spaces.Box(-1, 1, (3, 36, 36)), {"normalize_images": False}),
        (CnnPolicy, BOX, {"features_extractor_class": FlattenExtractor}),
        (MultiInputPolicy, DICT, {}),
        (MlpPolicy, DICT, {"features_extractor_class": CombinedExtractor}),
        (_OwnPolicy, BOX, {}),  # how it is made is not known
    ],
)
def test_features_that_serve_the_observations(policy: Any, space: spaces.Space, policy_kwargs: dict[str, Any]) -> None:
    check_features(policy, policy_kwargs, space)


@pytest.mark.parametrize(
    ("policy", "space", "policy_kwargs", "message"),
    [
        (CnnPolicy, BOX, {}, r"CnnPolicy serves images.*Box\(-1.*Use 'MlpPolicy'"),
        (CnnPolicy, DISCRETE, {}, r"CnnPolicy serves images.*Discrete\(3\).*Use 'MlpPolicy'"),
        (CnnPolicy, DICT, {}, r"CnnPolicy serves images.*Use 'MultiInputPolicy'"),
        (CnnPolicy, spaces.Box(-1, 1, (3, 36, 36)), {}, r"normalize_images=False"),
        (CnnPolicy, spaces.Box(0, 255, (3, 35, 36), np.uint8), {}, r"36 by 36 pixels or more.*ResizeObservation"),
        (MlpPolicy, BOX, {"features_extractor_class": NatureCNN}, "MlpPolicy serves images"),
        (MultiInputPolicy, BOX, {}, r"MultiInputPolicy serves Dict.*Use 'CnnPolicy' for images, else 'MlpPolicy'"),
        (MlpPolicy, DICT, {}, "MlpPolicy does not serve Dict.*MultiInputPolicy.*linear"),
        (ActorCriticPolicy, DICT, {}, "ActorCriticPolicy does not serve Dict"),
        (LinearSoftmaxPolicy, DICT, {"features_extractor_class": FlattenExtractor}, "does not serve Dict"),
    ],
)
def test_features_that_do_not(policy: Any, space: spaces.Space, policy_kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_features(policy, policy_kwargs, space)


def test_episodes_that_do_not_end() -> None:
    check_that_episodes_end(99, 100)
    with pytest.raises(RuntimeError, match=r"within 100 timesteps.*TimeLimit.*raise max_episode_steps"):
        check_that_episodes_end(100, 100)
