from typing import Any

import pytest
import torch as th
from stable_baselines3.common import policies, torch_layers
from stable_baselines3.common.sb2_compat.rmsprop_tf_like import RMSpropTFLike
from torch import nn

from sb3_reinforce import EpsilonSchedule, FourierBasis, NormalizedObservations, RandomFourierFeatures, TileCoding
from sb3_reinforce.common.plain_classes import class_of_name, name_of_class, object_of_state
from sb3_reinforce.policies import POLICIES

KNOWN = [
    *POLICIES.values(),
    policies.ActorCriticPolicy,
    policies.MultiInputActorCriticPolicy,
    FourierBasis,
    TileCoding,
    NormalizedObservations,
    RandomFourierFeatures,
    torch_layers.NatureCNN,
    torch_layers.CombinedExtractor,
    nn.Tanh,
    nn.Identity,
    th.optim.AdamW,
    RMSpropTFLike,
]


@pytest.mark.parametrize("cls", KNOWN)
def test_names_are_those_that_stay(cls: type) -> None:
    name = name_of_class(cls)
    assert name is not None
    assert class_of_name(name) is cls


def test_ours_are_named_by_their_package() -> None:
    """Where in it they are may change."""
    assert name_of_class(POLICIES["LinearSoftmaxPolicy"]) == "sb3_reinforce.policies.LinearSoftmaxPolicy"
    assert name_of_class(FourierBasis) == "sb3_reinforce.features.FourierBasis"


class ReLU(nn.ReLU):
    """Another of the same name."""


@pytest.mark.parametrize("cls", [ReLU, int, dict, object, type, EpsilonSchedule, th.Tensor, Exception])
def test_others_have_no_name(cls: type) -> None:
    assert name_of_class(cls) is None


@pytest.mark.parametrize("name", ["torch.nn.Parameter", "torch.nn.init", "torch.optim.optimizer.Optimizer", "builtins.dict"])
def test_names_that_are_looked_up_nowhere(name: str) -> None:
    with pytest.raises(ValueError, match=f"a model is not made with '{name}'"):
        class_of_name(name)


@pytest.mark.parametrize(
    ("name", "state"),
    [
        ("EpsilonSchedule", {"start": 1.0}),
        ("EpsilonSchedule", {"start": 1.0, "end": 0.0, "decrement": 0.0, "value": print}),
        ("ConstantSchedule", {}),
        ("dict", {}),
        ("REINFORCE", {}),
    ],
)
def test_objects_with_other_attributes(name: str, state: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError), match=r"\w+ \w+"):
        object_of_state(name, state)
