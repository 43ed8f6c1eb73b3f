from typing import Any

import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3.common.distributions import (
    BernoulliDistribution,
    CategoricalDistribution,
    DiagGaussianDistribution,
    MultiCategoricalDistribution,
    StateDependentNoiseDistribution,
)
from stable_baselines3.common.policies import (
    ActorCriticCnnPolicy,
    ActorCriticPolicy,
    BasePolicy,
    MultiInputActorCriticPolicy,
)
from stable_baselines3.common.torch_layers import FlattenExtractor
from torch import nn
from torch.nn.modules import module as torch_module
from torch.nn.utils import parametrizations, parametrize

from sb3_reinforce import (
    REINFORCE,
    FourierBasis,
    LinearGaussianPolicy,
    LinearSoftmaxPolicy,
    NormalizedObservations,
    RandomFourierFeatures,
    RandomWeightSearch,
    TileCoding,
)
from sb3_reinforce.common.known import acts_as_known, has_hooks, is_known, known_exactly, overrides
from sb3_reinforce.policies import CnnPolicy, LinearPolicy, MlpPolicy, MultiInputPolicy
from tests.policies.usual_and_unusual import (
    MIXED,
    PICTURE,
    PLANE,
    THREE,
    UNUSUAL,
    VECTOR,
    Case,
    Cold,
    ColdBesideLinear,
    Delegate,
    Doubled,
    Hot,
    MasksInGetDistribution,
    MasksInItsDoors,
    OwnFeatures,
    SkipConnection,
    settle,
)
from tests.testbed import Toy


def policy(cls: Any = MlpPolicy, space: spaces.Space = VECTOR, action_space: spaces.Space = THREE, **kwargs: Any) -> Any:
    return cls(space, action_space, lambda _: 0.1, **kwargs)


# --- Parts


@pytest.mark.parametrize(
    "part",
    [
        nn.Linear(2, 2),
        nn.Sequential(nn.Linear(2, 2)),
        nn.Tanh(),
        nn.ReLU(),
        nn.Identity(),
        FlattenExtractor(VECTOR),
        FourierBasis(VECTOR),
        TileCoding(VECTOR),
        NormalizedObservations(VECTOR),
        RandomFourierFeatures(VECTOR),
        CategoricalDistribution(3),
        MultiCategoricalDistribution([2, 3]),
        BernoulliDistribution(2),
        DiagGaussianDistribution(2),
    ],
    ids=lambda part: type(part).__name__,
)
def test_parts_that_are_known(part: Any) -> None:
    assert is_known(part)


class OwnLinear(nn.Linear):
    """Not even a difference, but who knows."""


class OwnBasis(FourierBasis):
    def forward(self, observations: th.Tensor) -> th.Tensor:
        return 2 * super().forward(observations)


@pytest.mark.parametrize(
    "part",
    [
        OwnLinear(2, 2),
        nn.Bilinear(2, 2, 2),
        nn.GELU(),
        nn.Dropout(),
        nn.LayerNorm(2),
        parametrizations.weight_norm(nn.Linear(2, 2)),
        Doubled(VECTOR),
        OwnBasis(VECTOR),
        Hot(3),
        StateDependentNoiseDistribution(2),
        None,
        th.zeros(2),
        nn.Linear,
    ],
    ids=lambda part: getattr(part, "__name__", type(part).__name__),
)
def test_parts_that_are_not(part: Any) -> None:
    assert not is_known(part)


@pytest.mark.parametrize(
    ("part", "method"),
    [
        (nn.Linear(2, 2), "forward"),
        (nn.Tanh(), "__call__"),
        (FlattenExtractor(VECTOR), "forward"),
        (CategoricalDistribution(3), "sample"),
        (DiagGaussianDistribution(3), "log_prob"),
    ],
)
def test_a_part_with_a_method_of_its_own_is_not(part: Any, method: str) -> None:
    assert is_known(part)
    setattr(part, method, getattr(part, method))
    assert not is_known(part)
    delattr(part, method)
    assert is_known(part)


def test_a_class_is_known_once_it_is_said_and_its_subclasses_are_not() -> None:
    @known_exactly
    class Mine(nn.Module):
        pass

    class Yours(Mine):
        pass

    assert Mine.__name__ == "Mine"
    assert is_known(Mine())
    assert not is_known(Yours())


# --- Hooks


def _hook(*_: Any) -> None:
    return None


HOOKS = [
    "register_forward_hook",
    "register_forward_pre_hook",
    "register_full_backward_hook",
    "register_full_backward_pre_hook",
    "register_backward_hook",
]


@pytest.mark.parametrize("register", HOOKS)
def test_a_hook_is_seen_until_it_is_removed(register: str) -> None:
    module = nn.Linear(2, 2)
    assert not has_hooks(module)
    handle = getattr(module, register)(_hook)
    assert has_hooks(module)
    assert not is_known(module)
    handle.remove()
    assert not has_hooks(module)


@pytest.mark.parametrize(
    "register",
    [
        "register_module_forward_hook",
        "register_module_forward_pre_hook",
        "register_module_full_backward_hook",
        "register_module_full_backward_pre_hook",
    ],
)
def test_a_hook_of_all_modules_is_seen_in_each(register: str) -> None:
    module = nn.Linear(2, 2)
    handle = getattr(torch_module, register)(_hook)
    try:
        assert has_hooks(module)
        assert not acts_as_known(policy())
    finally:
        handle.remove()
    assert not has_hooks(module)


@pytest.mark.parametrize("register", ["register_hook", "register_post_accumulate_grad_hook"])
@pytest.mark.parametrize("name", ["weight", "bias"])
def test_a_hook_of_a_parameter_is_one_of_its_module(name: str, register: str) -> None:
    module = nn.Linear(2, 2)
    handle = getattr(getattr(module, name), register)(_hook)
    assert has_hooks(module)
    assert not has_hooks(nn.Sequential(module)), "it is looked at part by part"
    handle.remove()
    assert not has_hooks(module)


def test_what_is_no_module_has_none() -> None:
    assert not has_hooks(None)
    assert not has_hooks(CategoricalDistribution(2))


# --- Policies


@pytest.mark.parametrize(
    ("cls", "space", "action_space"),
    [
        (ActorCriticPolicy, VECTOR, THREE),
        (ActorCriticCnnPolicy, PICTURE, THREE),
        (MultiInputActorCriticPolicy, MIXED, THREE),
        (MlpPolicy, VECTOR, PLANE),
        (CnnPolicy, PICTURE, PLANE),
        (MultiInputPolicy, MIXED, spaces.MultiBinary(3)),
        (LinearPolicy, VECTOR, spaces.MultiDiscrete([2, 3])),
        (LinearSoftmaxPolicy, MIXED, THREE),
        (LinearGaussianPolicy, VECTOR, PLANE),
        (SkipConnection, VECTOR, THREE),
    ],
)
def test_policies_that_act_as_sb3s_whatever_their_modules(cls: Any, space: spaces.Space, action_space: spaces.Space) -> None:
    made = policy(cls, space, action_space)
    assert acts_as_known(made)
    made.mlp_extractor = nn.Identity()
    assert acts_as_known(made)


class TakesABuilder(MlpPolicy):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.note = "mine"

    def _build(self, lr_schedule: Any) -> None:
        super()._build(lr_schedule)

    def predict_values(self, obs: Any) -> th.Tensor:
        return 2 * super().predict_values(obs)

    def something_new(self) -> int:
        return 3


def test_who_overrides_what_builds_it_or_its_values_still_acts_as_sb3s() -> None:
    assert acts_as_known(policy(TakesABuilder))


class _Mixin:
    def get_distribution(self, obs: Any) -> Any:
        return super().get_distribution(obs)  # type: ignore[misc]


class Mixed(_Mixin, MlpPolicy):
    pass


class OwnProperty(MlpPolicy):
    @property
    def device(self) -> th.device:
        return th.device("cpu")


class OwnStatic(MlpPolicy):
    @staticmethod
    def init_weights(module: nn.Module, gain: float = 1) -> None:
        """A builder."""

    @classmethod
    def _get_action_dist_from_latent(cls, latent_pi: th.Tensor) -> Any:
        return CategoricalDistribution(3).proba_distribution(latent_pi)


@pytest.mark.parametrize(
    "cls",
    [
        MasksInGetDistribution,
        MasksInItsDoors,
        Cold,
        OwnFeatures,
        Mixed,
        OwnProperty,
        OwnStatic,
        ColdBesideLinear,
    ],
)
def test_classes_that_may_act_in_another_way(cls: Any) -> None:
    assert not acts_as_known(policy(cls))


@pytest.mark.parametrize(
    "method",
    ["forward", "evaluate_actions", "get_distribution", "_get_action_dist_from_latent", "extract_features", "_predict"],
)
def test_methods_replaced_in_the_object_may_as_well(method: str) -> None:
    made = policy()
    assert not overrides(made, method)
    setattr(made, method, getattr(made, method))
    assert not acts_as_known(made)
    assert overrides(made, method)


def test_what_a_class_overrides() -> None:
    assert overrides(policy(MasksInItsDoors), "forward")
    assert overrides(policy(MasksInItsDoors), "evaluate_actions")
    assert not overrides(policy(MasksInItsDoors), "get_distribution")
    assert overrides(policy(Mixed), "get_distribution")
    assert overrides(policy(ColdBesideLinear), "_get_action_dist_from_latent")
    for cls in (MlpPolicy, LinearSoftmaxPolicy, TakesABuilder):
        assert not any(overrides(policy(cls), name) for name in ("forward", "evaluate_actions", "get_distribution"))


@pytest.mark.parametrize(
    "distribution",
    [
        Hot(3),
        CategoricalDistribution(4),
        MultiCategoricalDistribution([3]),
        DiagGaussianDistribution(3),
        BernoulliDistribution(3),
    ],
)
def test_a_distribution_of_another_kind_or_size_is_not_sb3s(distribution: Any) -> None:
    made = policy()
    made.action_dist = distribution
    assert not acts_as_known(made)
    made.action_dist = CategoricalDistribution(3)
    assert acts_as_known(made)


def test_what_is_parametrized_compiled_or_wrapped_is_not() -> None:
    made = policy(action_space=PLANE)
    assert acts_as_known(made)
    assert not acts_as_known(Delegate(made))
    parametrize.register_parametrization(made.action_net, "weight", nn.Identity())
    assert not is_known(made.action_net)
    for other in (None, nn.Linear(2, 2), BasePolicy, "MlpPolicy"):
        assert not acts_as_known(other)


# --- Whoever asks


@pytest.mark.parametrize(
    "name", [name for name, case in UNUSUAL.items() if not isinstance(case.policy, str) and name != "own extract_features"]
)
def test_random_weight_search_refuses_classes_that_it_does_not_know(name: str) -> None:
    """By name, when it is made: it would rate other actions than the policy's."""
    case = UNUSUAL[name]
    assert isinstance(case.policy, type)
    with pytest.raises(ValueError, match=case.policy.__name__):
        RandomWeightSearch(case.policy, Toy(case.observation_space, case.action_space), policy_kwargs=case.kwargs)


@pytest.mark.parametrize("name", ["softmax, frozen bias", "gaussian, frozen log_std", "other action_net"])
def test_a_closed_form_is_used_where_all_is_known(name: str) -> None:
    case = UNUSUAL[name]
    made = REINFORCE(case.policy, Toy(VECTOR, case.action_space), policy_kwargs=case.kwargs).policy
    settle(made)
    case.treat(made)
    assert made.has_closed_form


ALIKE = ("other action_net", "softmax, pruned for good")
"""Linear policies as any other."""
UNKNOWN = [
    name
    for name, case in UNUSUAL.items()
    if case.policy in ("LinearSoftmaxPolicy", "LinearGaussianPolicy") and case.taken_for and not case.doors
    if name not in ALIKE and "flatten" not in name and "features_extractor" not in name  # what makes features is called
]


@pytest.mark.parametrize("name", UNKNOWN)
def test_a_closed_form_is_not_used_where_something_is_not(name: str) -> None:
    case: Case = UNUSUAL[name]
    made = REINFORCE(case.policy, Toy(VECTOR, case.action_space), policy_kwargs=case.kwargs).policy
    assert made.has_closed_form
    case.treat(made)
    assert not made.has_closed_form
