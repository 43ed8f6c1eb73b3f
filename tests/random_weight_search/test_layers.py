from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.distributions import CategoricalDistribution, DiagGaussianDistribution
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn

from sb3_reinforce import LinearSoftmaxPolicy, RandomWeightSearch
from sb3_reinforce.random_weight_search.layers import searched_layers
from tests.testbed import Toy

BOX = spaces.Box(-1.0, 1.0, (3,), np.float32)


class CountedToy(Toy):
    """Nothing may be played of a policy that is not known."""

    n_steps = 0

    def step(self, action: Any) -> Any:
        self.n_steps += 1
        return super().step(action)


# Policies that do something of their own between observation and action


class MasksByForward(ActorCriticPolicy):
    """A mask where SB3's algorithms look while they train."""

    def forward(self, obs: Any, deterministic: bool = False) -> Any:
        actions, values, log_prob = super().forward(obs, deterministic)
        return th.zeros_like(actions), values, log_prob

    def evaluate_actions(self, obs: Any, actions: th.Tensor) -> Any:
        return super().evaluate_actions(obs, actions)


class MasksByDistribution(ActorCriticPolicy):
    def get_distribution(self, obs: Any) -> Any:
        distribution = super().get_distribution(obs)
        return distribution.proba_distribution(distribution.distribution.logits - th.tensor([0.0, 1e8]))


class MasksLogits(LinearSoftmaxPolicy):
    def _get_action_dist_from_latent(self, latent_pi: th.Tensor) -> Any:
        return self.action_dist.proba_distribution(self.action_net(latent_pi) - th.tensor([0.0, 1e8]))


class Blind(LinearSoftmaxPolicy):
    def extract_features(self, obs: Any, features_extractor: Any = None) -> Any:
        return th.zeros_like(super().extract_features(obs, features_extractor))


class PredictsZero(ActorCriticPolicy):
    def _predict(self, observation: Any, deterministic: bool = False) -> th.Tensor:
        return th.zeros(len(observation), dtype=th.long)


class Skip(nn.Module):
    def __init__(self, n_features: int) -> None:
        super().__init__()
        self.latent_dim_pi = self.latent_dim_vf = n_features
        self.policy_net = nn.Sequential(nn.Linear(n_features, n_features), nn.Tanh())

    def forward(self, features: th.Tensor) -> Any:
        return self.forward_actor(features), self.forward_critic(features)

    def forward_actor(self, features: th.Tensor) -> th.Tensor:
        return self.policy_net(features) + 3 * features

    def forward_critic(self, features: th.Tensor) -> th.Tensor:
        return features


class Skips(ActorCriticPolicy):
    def _build_mlp_extractor(self) -> None:
        self.mlp_extractor = Skip(self.features_dim)  # type: ignore[assignment]


class Contrary(CategoricalDistribution):
    def mode(self) -> th.Tensor:
        return self.distribution.probs.argmin(dim=1)


class ActsContrary(ActorCriticPolicy):
    def _build(self, lr_schedule: Any) -> None:
        self.action_dist = Contrary(int(self.action_space.n))
        super()._build(lr_schedule)


class Temperature(nn.Linear):
    def forward(self, x: th.Tensor) -> th.Tensor:
        return -super().forward(x)


class HasAnotherHead(ActorCriticPolicy):
    def _build(self, lr_schedule: Any) -> None:
        super()._build(lr_schedule)
        self.action_net = Temperature(self.mlp_extractor.latent_dim_pi, 2)


class NormalisesInside(ActorCriticPolicy):
    def _build(self, lr_schedule: Any) -> None:
        super()._build(lr_schedule)
        self.mlp_extractor.policy_net = nn.Sequential(nn.LayerNorm(self.features_dim), *self.mlp_extractor.policy_net)


REFUSED: dict[Any, str] = {
    MasksByForward: "it overrides forward, evaluate_actions",
    MasksByDistribution: "it overrides get_distribution",
    MasksLogits: "it overrides _get_action_dist_from_latent",
    Blind: "it overrides extract_features",
    PredictsZero: "it overrides _predict",
    Skips: r"its mlp_extractor \(Skip\)",
    ActsContrary: r"its action_dist \(Contrary\)",
    HasAnotherHead: r"its action_net \(Temperature\)",
    NormalisesInside: r"its mlp_extractor\.policy_net\.0 \(LayerNorm\)",
}


@pytest.mark.parametrize("policy", REFUSED)
def test_a_policy_that_is_not_known_is_refused_when_the_model_is_made(policy: Any) -> None:
    env = CountedToy(BOX)
    with pytest.raises(ValueError, match=rf"{policy.__name__}: {REFUSED[policy]}.*Use one of .*REINFORCE") as error:
        RandomWeightSearch(policy, env)
    assert "LinearPolicy, LinearSoftmaxPolicy, LinearGaussianPolicy, MlpPolicy" in str(error.value)
    assert env.n_steps == 0


@pytest.mark.parametrize(
    ("policy_kwargs", "action_space", "what"),
    [
        ({"activation_fn": nn.ELU}, spaces.Discrete(2), r"policy_net\.1 \(ELU\)"),
        ({"activation_fn": nn.LeakyReLU}, spaces.Discrete(2), r"policy_net\.1 \(LeakyReLU\)"),
        ({"use_sde": True}, BOX, r"action_dist \(StateDependentNoiseDistribution\)"),
    ],
)
def test_arguments_that_make_another_policy_are_refused(
    policy_kwargs: dict[str, Any], action_space: spaces.Space, what: str
) -> None:
    with pytest.raises(ValueError, match=what):
        RandomWeightSearch("MlpPolicy", Toy(BOX, action_space), policy_kwargs=policy_kwargs)


class Wrapped(nn.Module):
    """Stands for whatever has a policy inside."""

    def __init__(self, policy: nn.Module) -> None:
        super().__init__()
        self.inner = policy

    def __getattr__(self, name: str) -> Any:
        return super().__getattr__(name) if name == "inner" or "_modules" not in vars(self) else self._of_inner(name)

    def _of_inner(self, name: str) -> Any:
        return getattr(self._modules["inner"], name)


def compiled(model: RandomWeightSearch) -> None:
    model.policy = th.compile(model.policy, backend="eager")


def wrapped(model: RandomWeightSearch) -> None:
    model.policy = Wrapped(model.policy)


def hooked(model: RandomWeightSearch) -> None:
    model.policy.action_net.register_forward_hook(lambda module, args, output: -output)


def hooked_before(model: RandomWeightSearch) -> None:
    model.policy.mlp_extractor.policy_net.register_forward_pre_hook(lambda module, args: (-args[0],))


def hooked_as_a_whole(model: RandomWeightSearch) -> None:
    model.policy.register_forward_hook(lambda module, args, output: output)


def parametrized(model: RandomWeightSearch) -> None:
    nn.utils.parametrizations.weight_norm(model.policy.action_net)


def with_another_distribution(model: RandomWeightSearch) -> None:
    model.policy.action_dist = Contrary(2)


def with_the_distribution_of_another_space(model: RandomWeightSearch) -> None:
    model.policy.action_dist = DiagGaussianDistribution(2)


def with_another_activation(model: RandomWeightSearch) -> None:
    model.policy.mlp_extractor.policy_net[1] = nn.Sigmoid()


def with_a_forward_of_its_own(model: RandomWeightSearch) -> None:
    model.policy.action_net.forward = lambda x: th.zeros(len(x), 2)


def with_a_method_of_its_own(model: RandomWeightSearch) -> None:
    model.policy.get_distribution = lambda obs: Contrary(2)


CHANGES: dict[Callable[[RandomWeightSearch], None], str] = {
    compiled: r"compiled or wrapped \(OptimizedModule\). Search first",
    wrapped: r"compiled or wrapped \(Wrapped\). Search first",
    hooked: "action_net has hooks",
    hooked_before: r"mlp_extractor\.policy_net has hooks",
    hooked_as_a_whole: "the policy has hooks",
    parametrized: "action_net",
    with_another_distribution: r"action_dist \(Contrary\)",
    with_the_distribution_of_another_space: "not as SB3 makes it",
    with_another_activation: r"policy_net\.1 \(Sigmoid\)",
    with_a_forward_of_its_own: r"action_net \(Linear\)",
    with_a_method_of_its_own: "it overrides get_distribution",
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_policy_that_was_changed_since_is_refused_before_it_plays(change: Callable[[RandomWeightSearch], None]) -> None:
    env = CountedToy(BOX)
    model = RandomWeightSearch("MlpPolicy", env, seed=0)
    change(model)
    with pytest.raises(ValueError, match=rf"(MlpPolicy|Wrapped): .*{CHANGES[change]}") as error:
        model.learn(100)
    assert "between observation and action" in str(error.value)
    assert env.n_steps == model.num_timesteps == 0


def test_what_is_mended_is_searched() -> None:
    model = RandomWeightSearch("MlpPolicy", Toy(BOX), seed=0)
    hook = model.policy.action_net.register_forward_hook(lambda module, args, output: -output)
    with pytest.raises(ValueError, match="has hooks"):
        model.learn(100)
    hook.remove()
    assert model.learn(100).n_candidates > 5


def test_a_search_that_has_ended_may_be_compiled() -> None:
    model = RandomWeightSearch("LinearPolicy", "CartPole-v1", seed=0).learn(1000)
    obs = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    before, _ = model.predict(obs)
    compiled(model)
    np.testing.assert_array_equal(model.predict(obs)[0], before)


class JustBuilt(ActorCriticPolicy):
    """Builds something else, and acts as ever."""

    def _build_mlp_extractor(self) -> None:
        self.net_arch = [5]
        super()._build_mlp_extractor()

    def predict_values(self, obs: Any) -> th.Tensor:
        return super().predict_values(obs) + 1


class Doubled(BaseFeaturesExtractor):
    """Features that nobody knows: they are asked for as they are, with all that belongs to them."""

    def __init__(self, observation_space: spaces.Box) -> None:
        super().__init__(observation_space, 3)
        self.layer = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5))
        self.layer.register_forward_hook(lambda module, args, output: 2 * output)

    def forward(self, observations: th.Tensor) -> th.Tensor:
        return self.layer(observations)


@pytest.mark.parametrize(
    ("policy", "policy_kwargs"), [(JustBuilt, {}), ("LinearPolicy", {"features_extractor_class": Doubled})]
)
def test_what_is_built_otherwise_and_acts_as_ever_is_searched(policy: Any, policy_kwargs: dict[str, Any]) -> None:
    model = RandomWeightSearch(policy, Toy(BOX), policy_kwargs=policy_kwargs, seed=0)
    extractor = [parameter.clone() for parameter in model.policy.features_extractor.parameters()]
    model.learn(500)
    assert model.best_mean_reward > 3.0
    assert [weights.shape for weights in model.best_weights] == ([(5, 3), (2, 5)] if policy is JustBuilt else [(2, 3)])
    for before, after in zip(extractor, model.policy.features_extractor.parameters(), strict=True):
        assert th.equal(before, after)


# Frozen parameters

N_PARAMETERS = 6
"""Weights and biases of two hidden layers and the last one."""


def actor_parameters(model: RandomWeightSearch) -> dict[str, nn.Parameter]:
    """By name, those between features and action."""
    names = ("mlp_extractor.policy_net", "action_net")
    parameters = {name: p for name, p in model.policy.named_parameters() if name.startswith(names)}
    assert len(parameters) == N_PARAMETERS
    return parameters


@settings(max_examples=40)
@given(frozen=st.lists(st.booleans(), min_size=N_PARAMETERS, max_size=N_PARAMETERS), n_envs=st.integers(1, 3))
def test_what_is_frozen_stays_as_it_is(frozen: list[bool], n_envs: int) -> None:
    env = make_vec_env(lambda: Toy(BOX, spaces.Discrete(3)), n_envs)
    model = RandomWeightSearch(
        "MlpPolicy", env, weight_scale=0.5, reward_threshold=8.0, policy_kwargs={"net_arch": [4, 5]}, seed=0
    )
    parameters = actor_parameters(model)
    th.manual_seed(1)
    for parameter, is_frozen in zip(parameters.values(), frozen, strict=True):
        parameter.data.copy_(10 + th.rand_like(parameter))
        parameter.requires_grad_(not is_frozen)
    before = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    if all(is_frozen for name, is_frozen in zip(parameters, frozen, strict=True) if name.endswith("weight")):
        with pytest.raises(ValueError, match=r"MlpPolicy have requires_grad=False.*policy.action_net.requires_grad_\(True\)"):
            model.learn(100)
        return
    model.learn(100)
    assert model.n_candidates >= 1
    for (name, after), is_frozen in zip(parameters.items(), frozen, strict=True):
        if is_frozen:
            assert th.equal(after, before[name])
        elif name.endswith("weight"):
            assert after.abs().max() <= 0.5
        else:
            assert not after.any()


def test_a_policy_that_freezes_itself_altogether_is_refused_when_the_model_is_made() -> None:
    class Fixed(LinearSoftmaxPolicy):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.requires_grad_(False)

    with pytest.raises(ValueError, match=r"weights .* of Fixed have requires_grad=False"):
        RandomWeightSearch(Fixed, Toy(BOX))


def test_what_an_actor_does_not_use_may_be_frozen() -> None:
    model = RandomWeightSearch("MlpPolicy", Toy(BOX, BOX), seed=0)
    for name, parameter in model.policy.named_parameters():
        parameter.requires_grad_(not ("value" in name or name == "log_std"))
    assert all(layer.is_drawn and not layer.has_bias for layer in searched_layers(model.policy))


def test_random_features_are_searched_no_worse_than_all_weights() -> None:
    """The usual reason to freeze: hidden layers stay as they came, the last one is guessed."""
    model = RandomWeightSearch("MlpPolicy", "CartPole-v1", policy_kwargs={"net_arch": [32]}, seed=0)
    hidden = model.policy.mlp_extractor.policy_net.requires_grad_(False)
    before = [parameter.clone() for parameter in hidden.parameters()]
    model.learn(10_000)
    assert model.best_mean_reward > 150
    assert all(th.equal(a, b) for a, b in zip(before, hidden.parameters(), strict=True))
    np.testing.assert_array_equal(model.best_weights[0], before[0].detach().numpy())
