"""Policies as users make them: the usual ones, and those that go from observation to action in a way of their own."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.distributions import (
    BernoulliDistribution,
    CategoricalDistribution,
    DiagGaussianDistribution,
    Distribution,
    MultiCategoricalDistribution,
    SquashedDiagGaussianDistribution,
)
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, FlattenExtractor
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune

from sb3_reinforce import FourierBasis, LinearSoftmaxPolicy, TileCoding

VECTOR = spaces.Box(-1.0, 1.0, (3,))
THREE = spaces.Discrete(3)
TWO = spaces.Discrete(2)
PARTS = spaces.MultiDiscrete([2, 3])
BITS = spaces.MultiBinary(2)
PLANE = spaces.Box(np.array([-1.0, -2.0], np.float32), np.array([2.0, 1.5], np.float32))
SQUARE = spaces.Box(-1.0, 1.0, (2,))
PICTURE = spaces.Box(0, 255, (1, 36, 36), np.uint8)
MIXED = spaces.Dict(vector=VECTOR, number=spaces.Discrete(3))


def settle(policy: nn.Module, seed: int = 0) -> None:
    """Weights that depend on a parameter's name only, so that two policies with the same names have the same."""
    for name, parameter in policy.named_parameters():
        generator = th.Generator().manual_seed(zlib.crc32(f"{seed} {name}".encode()))
        scale = 1.5 / np.sqrt(parameter[0].numel()) if parameter.ndim > 1 else 0.4
        with th.no_grad():
            parameter.copy_(scale * th.randn(parameter.shape, generator=generator))


# --- Classes that override something


def forbidden(obs: th.Tensor) -> th.Tensor:
    """Which of three actions an observation forbids. Shape ``(batch, 3)``."""
    is_high = obs[:, :1] > 0
    return th.cat([is_high, th.zeros_like(is_high), ~is_high], dim=1)


def masked(distribution: Distribution, obs: th.Tensor) -> CategoricalDistribution:
    """The same over the actions that are left."""
    logits = distribution.distribution.logits.masked_fill(forbidden(obs), -1e8)
    return CategoricalDistribution(3).proba_distribution(logits)


class MasksInGetDistribution(ActorCriticPolicy):
    def get_distribution(self, obs: Any) -> Any:
        return masked(super().get_distribution(obs), obs)


class LinearMasksInGetDistribution(LinearSoftmaxPolicy):
    def get_distribution(self, obs: Any) -> Any:
        return masked(super().get_distribution(obs), obs)


class Cold(ActorCriticPolicy):
    """A temperature, where all ways to the distribution meet."""

    def _get_action_dist_from_latent(self, latent_pi: th.Tensor) -> Any:
        return self.action_dist.proba_distribution(action_logits=3.0 * self.action_net(latent_pi))


class LinearCold(LinearSoftmaxPolicy):
    def _get_action_dist_from_latent(self, latent_pi: th.Tensor) -> Any:
        return self.action_dist.proba_distribution(action_logits=3.0 * self.action_net(latent_pi))


class ColdBesideLinear(LinearSoftmaxPolicy, Cold):
    """What is overridden comes from the second base class."""


class OwnFeatures(ActorCriticPolicy):
    """SB3's ``get_distribution`` does not ask for it, but ``forward`` and ``evaluate_actions`` do."""

    def extract_features(self, obs: Any, features_extractor: Any = None) -> Any:
        return -2.0 * super().extract_features(obs, features_extractor)


class MasksInItsDoors(ActorCriticPolicy):
    """SB3's A2C and PPO ask these two methods while they train."""

    def _masked(self, obs: Any) -> tuple[Any, th.Tensor]:
        features = self.extract_features(obs)
        latent_pi, latent_vf = self.mlp_extractor(features)
        return masked(self._get_action_dist_from_latent(latent_pi), obs), self.value_net(latent_vf)

    def forward(self, obs: Any, deterministic: bool = False) -> Any:
        distribution, values = self._masked(obs)
        actions = distribution.get_actions(deterministic=deterministic)
        return actions, values, distribution.log_prob(actions)

    def evaluate_actions(self, obs: Any, actions: Any) -> Any:
        distribution, values = self._masked(obs)
        return values, distribution.log_prob(actions), distribution.entropy()

    def _predict(self, observation: Any, deterministic: bool = False) -> th.Tensor:
        return self._masked(observation)[0].get_actions(deterministic=deterministic)


class LinearMasksInItsDoors(LinearSoftmaxPolicy):
    forward, evaluate_actions, _masked = (  # type: ignore[assignment]
        MasksInItsDoors.forward,
        MasksInItsDoors.evaluate_actions,
        MasksInItsDoors._masked,
    )


class _Extractor(nn.Module):
    """What SB3 asks of an ``mlp_extractor``."""

    def __init__(self, n_features: int) -> None:
        super().__init__()
        self.latent_dim_pi = self.latent_dim_vf = n_features
        self.policy_net = nn.Sequential(nn.Linear(n_features, n_features), nn.Tanh())
        self.value_net = nn.Sequential(nn.Linear(n_features, n_features), nn.Tanh())

    def forward(self, features: th.Tensor) -> tuple[th.Tensor, th.Tensor]:
        return self.forward_actor(features), self.forward_critic(features)

    def forward_actor(self, features: th.Tensor) -> th.Tensor:
        return self.policy_net(features)

    def forward_critic(self, features: th.Tensor) -> th.Tensor:
        return self.value_net(features)


class _Skip(_Extractor):
    def forward_actor(self, features: th.Tensor) -> th.Tensor:
        return self.policy_net(features) + 3 * features


class _Masking(_Extractor):
    def forward_actor(self, features: th.Tensor) -> th.Tensor:
        return self.policy_net(features).masked_fill(forbidden(features), -1e8)


class SkipConnection(ActorCriticPolicy):
    def _build_mlp_extractor(self) -> None:
        self.mlp_extractor = _Skip(self.features_dim)


class LinearSkipConnection(LinearSoftmaxPolicy):
    def _build_mlp_extractor(self) -> None:
        self.mlp_extractor = _Skip(self.features_dim)


class MasksInMlpExtractor(ActorCriticPolicy):
    def _build_mlp_extractor(self) -> None:
        self.mlp_extractor = _Masking(self.features_dim)

    def _build(self, lr_schedule: Any) -> None:
        super()._build(lr_schedule)
        self.action_net = nn.Identity()


class Doubled(FlattenExtractor):
    def forward(self, observations: th.Tensor) -> th.Tensor:
        return 2.0 * super().forward(observations)


class LearnedFeatures(BaseFeaturesExtractor):
    def __init__(self, observation_space: spaces.Space) -> None:
        super().__init__(observation_space, 4)
        self.layer = nn.Linear(3, 4)

    def forward(self, observations: th.Tensor) -> th.Tensor:
        return self.layer(observations).sin()


def phi(states: Any, action: int) -> np.ndarray:
    """Features of states and one of three actions."""
    return np.stack([states[:, 0] * action, np.abs(states[:, 1] - action), np.full(len(states), action == 1)], axis=1)


# --- Distributions of one's own


class Hot(CategoricalDistribution):
    def proba_distribution(self, action_logits: th.Tensor) -> Any:
        return super().proba_distribution(action_logits * 0.2)


class HotParts(MultiCategoricalDistribution):
    def proba_distribution(self, action_logits: th.Tensor) -> Any:
        return super().proba_distribution(action_logits * 0.2)


class HotBits(BernoulliDistribution):
    def proba_distribution(self, action_logits: th.Tensor) -> Any:
        return super().proba_distribution(action_logits * 0.2)


class Timid(CategoricalDistribution):
    """Draws twice and plays the lower number, whatever it says of log-probabilities."""

    def sample(self) -> th.Tensor:
        return th.minimum(super().sample(), super().sample())


class HalfTheNoise(DiagGaussianDistribution):
    def sample(self) -> th.Tensor:
        return (self.distribution.mean + super().sample()) / 2


# --- What is done to a policy that is made


def on_module(name: str, treat: Callable[[nn.Module], Any]) -> Callable[[nn.Module], None]:
    def treat_module(policy: nn.Module) -> None:
        treat(policy.get_submodule(name))

    return treat_module


def doubles_outputs(module: nn.Module) -> None:
    module.register_forward_hook(lambda module, inputs, output: 2.5 * output)


def doubles_inputs(module: nn.Module) -> None:
    module.register_forward_pre_hook(lambda module, inputs: (2.5 * inputs[0],))


def doubles_gradients(module: nn.Module) -> None:
    module.register_full_backward_hook(lambda module, inputs, outputs: tuple(g if g is None else 2 * g for g in inputs))


class _Twice(nn.Module):
    def forward(self, weight: th.Tensor) -> th.Tensor:
        return 2.0 * weight


def parametrized(name: str) -> Callable[[nn.Module], None]:
    return on_module(name, lambda module: parametrize.register_parametrization(module, "weight", _Twice()))


def _scaled_weight_norm(module: nn.Module) -> None:
    parametrizations.weight_norm(module)
    with th.no_grad():
        module.parametrizations.weight.original0.mul_(2.5)


def _settled_spectral_norm(module: nn.Module) -> None:
    """Its power iteration goes on in training mode, until it has nothing more to find."""
    with th.no_grad():
        module.weight.mul_(3.0)
    parametrizations.spectral_norm(module, n_power_iterations=100)


def _old_weight_norm(module: nn.Module) -> None:
    nn.utils.weight_norm(module)
    with th.no_grad():
        module.weight_g.mul_(2.5)


def _old_spectral_norm(module: nn.Module) -> None:
    with th.no_grad():
        module.weight.mul_(3.0)
    nn.utils.spectral_norm(module, n_power_iterations=100)
    module.train()(th.ones(1, 3))


def _pruned(module: nn.Module) -> None:
    prune.l1_unstructured(module, "weight", amount=0.8)


def _pruned_for_good(module: nn.Module) -> None:
    _pruned(module)
    prune.remove(module, "weight")


def _parametrized_log_std(policy: nn.Module) -> None:
    class Wider(nn.Module):
        def forward(self, log_std: th.Tensor) -> th.Tensor:
            return log_std + 1.0

    parametrize.register_parametrization(policy, "log_std", Wider())


def with_gradient_hook(name: str) -> Callable[[nn.Module], None]:
    def treat(policy: nn.Module) -> None:
        policy.get_parameter(name).register_hook(lambda gradient: 3.0 * gradient)

    return treat


def _halves_when_accumulated(policy: nn.Module) -> None:
    def halve(parameter: Any) -> None:
        parameter.grad.mul_(0.5)

    policy.action_net.weight.register_post_accumulate_grad_hook(halve)


def with_distribution(make: Callable[[], Distribution]) -> Callable[[nn.Module], None]:
    def treat(policy: nn.Module) -> None:
        policy.action_dist = make()

    return treat


def _samples_in_its_own_way(policy: Any) -> None:
    distribution, draw = policy.action_dist, policy.action_dist.sample
    distribution.sample = lambda: th.maximum(draw(), draw())


def _makes_its_distribution_in_its_own_way(policy: Any) -> None:
    make = policy.action_dist.proba_distribution
    policy.action_dist.proba_distribution = lambda action_logits: make(4.0 * action_logits)


def _masks_by_a_function(policy: Any) -> None:
    original = policy.get_distribution
    policy.get_distribution = lambda obs: masked(original(obs), obs)


def _masks_by_two_functions(policy: Any) -> None:
    for name in ("_masked", "forward", "evaluate_actions"):
        setattr(policy, name, getattr(MasksInItsDoors, name).__get__(policy))


def replaced(owner: str, method: str, change: Callable[[th.Tensor], th.Tensor]) -> Callable[[nn.Module], None]:
    def treat(policy: nn.Module) -> None:
        module = policy.get_submodule(owner)
        original = getattr(module, method)
        setattr(module, method, lambda *args: change(original(*args)))

    return treat


def with_module(owner: str, name: str, make: Callable[[Any], nn.Module]) -> Callable[[nn.Module], None]:
    def treat(policy: nn.Module) -> None:
        module = make(policy)
        settle(module, seed=1)
        setattr(policy.get_submodule(owner), name, module)

    return treat


class Bent(nn.Module):
    """An ``action_net`` that is not linear."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.layer = nn.Linear(n_in, n_out)

    def forward(self, latent: th.Tensor) -> th.Tensor:
        return 4.0 * self.layer(latent).sin()


class Scaled(nn.Flatten):
    def forward(self, observations: th.Tensor) -> th.Tensor:
        return 3.0 * super().forward(observations)


def _fixed_log_std(policy: Any) -> None:
    del policy.log_std
    policy.log_std = th.tensor([0.3, -0.6])


def frozen(*names: str) -> Callable[[nn.Module], None]:
    def treat(policy: nn.Module) -> None:
        for name in names:
            policy.get_parameter(name).requires_grad_(False)

    return treat


def in_double_precision(policy: nn.Module) -> None:
    policy.double()


def compiled(policy: nn.Module) -> Any:
    return th.compile(policy, backend="eager")


def compiled_in_place(policy: nn.Module) -> None:
    policy.compile(backend="eager")


class Delegate(nn.Module):
    """Hands everything on to the policy inside."""

    def __init__(self, policy: nn.Module) -> None:
        super().__init__()
        self.inner = policy

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.inner(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("inner"), name)


class MaskingDelegate(Delegate):
    """Masks in the two methods that SB3's A2C and PPO ask, and hands the rest on."""

    def _masked(self, obs: Any) -> Any:
        return masked(self.inner.get_distribution(obs), obs)

    def forward(self, obs: Any, deterministic: bool = False) -> Any:
        distribution = self._masked(obs)
        actions = distribution.get_actions(deterministic=deterministic)
        return actions, self.inner.predict_values(obs), distribution.log_prob(actions)

    def evaluate_actions(self, obs: Any, actions: Any) -> Any:
        distribution = self._masked(obs)
        return self.inner.predict_values(obs), distribution.log_prob(actions), distribution.entropy()


# --- The catalogue


@dataclass(frozen=True)
class Case:
    """
    A policy, and what is to be known of it.

    :param policy: Name or class.
    :param action_space: Its actions.
    :param observation_space: Its observations.
    :param kwargs: ``policy_kwargs``.
    :param treat: What is done to the policy once it is made; what it returns, if anything, takes its place.
    :param doors: Whether ``forward`` and ``evaluate_actions`` say what it is, and not ``get_distribution``.
    :param samples: Whether its log-probabilities don't say how often it plays what.
    :param taken_for: The policy that it would be taken for by somebody who looks at its layers only: one whose actions, or
        whose gradient, are others. None if they are the same.
    :param is_fast: Whether it must act without torch.
    """

    policy: str | type[ActorCriticPolicy]
    action_space: spaces.Space = field(default_factory=lambda: THREE)
    observation_space: spaces.Space = field(default_factory=lambda: VECTOR)
    kwargs: dict[str, Any] = field(default_factory=dict)
    treat: Callable[[Any], Any] = lambda policy: None
    doors: bool = False
    samples: bool = False
    taken_for: str | None = None
    is_fast: bool = False

    small: ClassVar[dict[str, Any]] = {"net_arch": [4]}


def usual(policy: str, action_space: spaces.Space = THREE, observation_space: spaces.Space = VECTOR, **kwargs: Any) -> Case:
    return Case(policy, action_space, observation_space, kwargs, is_fast=True)


def mlp(treat: Callable[[Any], Any], action_space: spaces.Space = THREE, **kwargs: Any) -> Case:
    return Case("MlpPolicy", action_space, VECTOR, Case.small, treat, **{"taken_for": "MlpPolicy", **kwargs})


def softmax(treat: Callable[[Any], Any], **kwargs: Any) -> Case:
    return Case("LinearSoftmaxPolicy", treat=treat, **{"taken_for": "LinearSoftmaxPolicy", **kwargs})


def gaussian(treat: Callable[[Any], Any], **kwargs: Any) -> Case:
    return Case("LinearGaussianPolicy", PLANE, treat=treat, **{"taken_for": "LinearGaussianPolicy", **kwargs})


USUAL: dict[str, Case] = {
    "MLP": usual("MlpPolicy"),
    "MLP, two actions": usual("MlpPolicy", TWO, net_arch=[8]),
    "MLP, MultiDiscrete": usual("MlpPolicy", PARTS, net_arch=[8]),
    "MLP, MultiBinary": usual("MlpPolicy", BITS, net_arch=[8]),
    "MLP, Box": usual("MlpPolicy", PLANE, net_arch=[8]),
    "MLP, ReLU": usual("MlpPolicy", net_arch=[8, 4], activation_fn=nn.ReLU),
    "MLP, GELU": Case("MlpPolicy", kwargs={"net_arch": [8], "activation_fn": nn.GELU}),
    "MLP, LeakyReLU": Case("MlpPolicy", PLANE, kwargs={"net_arch": [8], "activation_fn": nn.LeakyReLU}),
    "MLP, two nets": usual("MlpPolicy", PLANE, net_arch={"pi": [5], "vf": [7]}, share_features_extractor=False),
    "MLP, no layers": usual("MlpPolicy", BITS, net_arch=[]),
    "MLP, own features": Case("MlpPolicy", kwargs={**Case.small, "features_extractor_class": Doubled}, taken_for="MlpPolicy"),
    "MLP, learned features": Case("MlpPolicy", PLANE, kwargs={**Case.small, "features_extractor_class": LearnedFeatures}),
    "MLP, sees Discrete": usual("MlpPolicy", THREE, spaces.Discrete(4), net_arch=[8]),
    "MLP, sees MultiDiscrete": usual("MlpPolicy", TWO, spaces.MultiDiscrete([2, 3]), net_arch=[8]),
    "MLP, sees MultiBinary": usual("MlpPolicy", PLANE, spaces.MultiBinary(4), net_arch=[8]),
    "MLP, sees float64": usual("MlpPolicy", THREE, spaces.Box(-1, 1, (2, 2), np.float64), net_arch=[8]),
    "MLP, sees bytes": usual("MlpPolicy", THREE, spaces.Box(0, 3, (3,), np.uint8), net_arch=[8]),
    "CNN": Case("CnnPolicy", THREE, PICTURE),
    "CNN, Box": Case("CnnPolicy", PLANE, PICTURE),
    "multi-input": Case("MultiInputPolicy", THREE, MIXED, {"net_arch": [8]}),
    "multi-input, Box": Case("MultiInputPolicy", PLANE, MIXED, {"net_arch": [8]}),
    "softmax": usual("LinearSoftmaxPolicy"),
    "softmax, two actions": usual("LinearSoftmaxPolicy", TWO),
    "softmax, one action": usual("LinearSoftmaxPolicy", spaces.Discrete(1)),
    "softmax, MultiDiscrete": usual("LinearSoftmaxPolicy", PARTS),
    "softmax, MultiBinary": usual("LinearSoftmaxPolicy", BITS),
    "softmax, table": usual("LinearSoftmaxPolicy", THREE, spaces.Discrete(4)),
    "softmax, Dict": Case("LinearSoftmaxPolicy", THREE, MIXED),
    "softmax, picture": Case("LinearSoftmaxPolicy", TWO, PICTURE),
    "softmax, hidden": usual("LinearSoftmaxPolicy", net_arch=[2, 4]),
    "softmax, hidden and bent": usual("LinearSoftmaxPolicy", net_arch=[4], activation_fn=nn.Tanh),
    "softmax, phi": usual("LinearSoftmaxPolicy", phi=phi),
    "softmax, Fourier": usual(
        "LinearSoftmaxPolicy", features_extractor_class=FourierBasis, features_extractor_kwargs={"order": 2}
    ),
    "softmax, tiles": usual(
        "LinearSoftmaxPolicy", features_extractor_class=TileCoding, features_extractor_kwargs={"n_tilings": 2, "n_tiles": 2}
    ),
    "softmax, learned features": Case("LinearSoftmaxPolicy", kwargs={"features_extractor_class": LearnedFeatures}),
    "softmax in float64": softmax(in_double_precision, taken_for=None),
    "gaussian": usual("LinearGaussianPolicy", PLANE),
    "gaussian, matrix": usual("LinearGaussianPolicy", spaces.Box(-1, 1, (2, 2))),
    "gaussian, Fourier": usual("LinearGaussianPolicy", PLANE, features_extractor_class=FourierBasis),
    "gaussian, hidden": usual("LinearGaussianPolicy", PLANE, net_arch=[3]),
    "linear, Discrete": usual("LinearPolicy"),
    "linear, Box": usual("LinearPolicy", PLANE),
}

UNUSUAL: dict[str, Case] = {
    # Classes
    "masks in get_distribution": Case(MasksInGetDistribution, kwargs=Case.small, taken_for="MlpPolicy"),
    "softmax, masks in get_distribution": Case(LinearMasksInGetDistribution, taken_for="LinearSoftmaxPolicy"),
    "temperature": Case(Cold, kwargs=Case.small, taken_for="MlpPolicy"),
    "softmax, temperature": Case(LinearCold, taken_for="LinearSoftmaxPolicy"),
    "softmax, temperature from a second base class": Case(ColdBesideLinear, taken_for="LinearSoftmaxPolicy"),
    "own extract_features": Case(OwnFeatures, kwargs=Case.small),
    "masks in its doors": Case(MasksInItsDoors, kwargs=Case.small, doors=True, taken_for="MlpPolicy"),
    "softmax, masks in its doors": Case(LinearMasksInItsDoors, doors=True, taken_for="LinearSoftmaxPolicy"),
    "skip connection": Case(SkipConnection, taken_for="MlpPolicy of one layer"),
    "softmax, skip connection": Case(LinearSkipConnection, taken_for="MlpPolicy of one layer"),
    "masks in mlp_extractor": Case(MasksInMlpExtractor),
    # Hooks
    **{
        f"{hook.__name__} of {name}": mlp(on_module(name, hook))
        for hook in (doubles_outputs, doubles_inputs)
        for name in (
            "features_extractor",
            "features_extractor.flatten",
            "mlp_extractor.policy_net",
            "mlp_extractor.policy_net.0",
            "mlp_extractor.policy_net.1",
            "action_net",
        )
    },
    "doubles_outputs of value_net": mlp(on_module("value_net", doubles_outputs), taken_for=None),
    "softmax, doubles_outputs of action_net": softmax(on_module("action_net", doubles_outputs)),
    "softmax, doubles_inputs of action_net": softmax(on_module("action_net", doubles_inputs)),
    "softmax, doubles_outputs of features_extractor": softmax(on_module("features_extractor", doubles_outputs)),
    "softmax, doubles_outputs of flatten": softmax(on_module("features_extractor.flatten", doubles_outputs)),
    "gaussian, doubles_outputs of action_net": gaussian(on_module("action_net", doubles_outputs)),
    "doubles_gradients of action_net": mlp(on_module("action_net", doubles_gradients)),
    "doubles_gradients of a layer": mlp(on_module("mlp_extractor.policy_net.1", doubles_gradients)),
    # Parametrizations and pruning
    "parametrized action_net": mlp(parametrized("action_net")),
    "parametrized layer": mlp(parametrized("mlp_extractor.policy_net.0")),
    "softmax, parametrized": softmax(parametrized("action_net")),
    "gaussian, parametrized log_std": gaussian(_parametrized_log_std),
    "weight_norm": mlp(on_module("action_net", _scaled_weight_norm)),
    "softmax, weight_norm": softmax(on_module("action_net", _scaled_weight_norm)),
    "spectral_norm": mlp(on_module("mlp_extractor.policy_net.0", _settled_spectral_norm)),
    "softmax, spectral_norm": softmax(on_module("action_net", _settled_spectral_norm)),
    "weight_norm by a hook": mlp(on_module("action_net", _old_weight_norm)),
    "softmax, spectral_norm by a hook": softmax(on_module("action_net", _old_spectral_norm)),
    "pruned": mlp(on_module("action_net", _pruned)),
    "softmax, pruned": softmax(on_module("action_net", _pruned)),
    "softmax, pruned for good": softmax(on_module("action_net", _pruned_for_good)),
    # Hooks of parameters
    "hook of a weight": mlp(with_gradient_hook("mlp_extractor.policy_net.0.weight")),
    "softmax, hook of the weight": softmax(with_gradient_hook("action_net.weight")),
    "softmax, hook of the bias": softmax(with_gradient_hook("action_net.bias")),
    "gaussian, hook of log_std": gaussian(with_gradient_hook("log_std")),
    "softmax, hook after accumulation": softmax(_halves_when_accumulated),
    # Distributions
    "temperature of action_dist": mlp(with_distribution(lambda: Hot(3))),
    "softmax, temperature of action_dist": softmax(with_distribution(lambda: Hot(3))),
    "temperature of action_dist, MultiDiscrete": mlp(with_distribution(lambda: HotParts([2, 3])), PARTS),
    "temperature of action_dist, MultiBinary": mlp(with_distribution(lambda: HotBits(2)), BITS),
    "squashed": mlp(with_distribution(lambda: SquashedDiagGaussianDistribution(2)), SQUARE),
    "gaussian, squashed": Case(
        "LinearGaussianPolicy",
        SQUARE,
        treat=with_distribution(lambda: SquashedDiagGaussianDistribution(2)),
        taken_for="LinearGaussianPolicy",
    ),
    "sample of its own": mlp(with_distribution(lambda: Timid(3)), samples=True),
    "softmax, sample of its own": softmax(with_distribution(lambda: Timid(3)), samples=True),
    "half the noise": mlp(with_distribution(lambda: HalfTheNoise(2)), PLANE),
    "gaussian, half the noise": gaussian(with_distribution(lambda: HalfTheNoise(2))),
    "sample replaced in action_dist": softmax(_samples_in_its_own_way, samples=True),
    "proba_distribution replaced in action_dist": softmax(_makes_its_distribution_in_its_own_way),
    # Methods replaced in the object
    "get_distribution replaced": softmax(_masks_by_a_function),
    "forward and evaluate_actions replaced": mlp(_masks_by_two_functions, doors=True),
    "forward_actor replaced": mlp(replaced("mlp_extractor", "forward_actor", lambda latent: latent.exp())),
    "forward of action_net replaced": softmax(replaced("action_net", "forward", lambda logits: 3 * logits)),
    "forward of features_extractor replaced": softmax(replaced("features_extractor", "forward", lambda x: x.cos())),
    "forward of flatten replaced": mlp(replaced("features_extractor.flatten", "forward", lambda x: x.cos())),
    # Modules replaced
    "bent action_net": mlp(with_module("", "action_net", lambda policy: Bent(4, 3))),
    "softmax, bent action_net": softmax(with_module("", "action_net", lambda policy: Bent(3, 3))),
    "gaussian, bent action_net": gaussian(with_module("", "action_net", lambda policy: Bent(3, 2))),
    "action_net without bias": softmax(with_module("", "action_net", lambda policy: nn.Linear(3, 3, bias=False))),
    "other action_net": softmax(with_module("", "action_net", lambda policy: nn.Linear(3, 3))),
    "softmax, phi and another action_net": Case(
        "LinearSoftmaxPolicy",
        kwargs={"phi": phi},
        treat=with_module("", "action_net", lambda policy: nn.Linear(policy.features_dim, 3)),
    ),
    "a layer in the place of layers": mlp(with_module("mlp_extractor", "policy_net", lambda policy: nn.Linear(3, 4))),
    "nested layers": mlp(
        with_module(
            "mlp_extractor",
            "policy_net",
            lambda policy: nn.Sequential(nn.Sequential(nn.Linear(3, 4), nn.Tanh()), nn.Softplus()),
        )
    ),
    "other flatten": mlp(with_module("features_extractor", "flatten", lambda policy: Scaled())),
    "softmax, other flatten": softmax(with_module("features_extractor", "flatten", lambda policy: Scaled())),
    "gaussian, log_std is no parameter": gaussian(_fixed_log_std),
    # Compiled and wrapped
    "compiled": mlp(compiled, doors=True, taken_for=None),
    "softmax, compiled": softmax(compiled, doors=True, taken_for=None),
    "gaussian, compiled in place": gaussian(compiled_in_place, taken_for=None),
    "masks in get_distribution, compiled": Case(
        MasksInGetDistribution, kwargs=Case.small, treat=compiled, taken_for="MlpPolicy"
    ),
    "masks in its doors, compiled": Case(
        MasksInItsDoors, kwargs=Case.small, treat=compiled, doors=True, taken_for="MlpPolicy"
    ),
    "compiled layers": mlp(
        lambda policy: setattr(policy.mlp_extractor, "policy_net", compiled(policy.mlp_extractor.policy_net)), taken_for=None
    ),
    "wrapped": mlp(Delegate, doors=True, taken_for=None),
    "softmax, wrapped": softmax(Delegate, doors=True, taken_for=None),
    "wrapped by a mask": mlp(MaskingDelegate, doors=True),
    "softmax, wrapped by a mask": softmax(MaskingDelegate, doors=True),
    # Frozen
    "frozen layer": mlp(frozen("mlp_extractor.policy_net.0.weight"), taken_for=None),
    "softmax, frozen bias": softmax(frozen("action_net.bias"), taken_for=None, is_fast=True),
    "gaussian, frozen log_std": gaussian(frozen("log_std"), taken_for=None, is_fast=True),
}

CASES = {**USUAL, **UNUSUAL}
