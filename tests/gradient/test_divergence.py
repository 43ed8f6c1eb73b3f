"""How far a natural step takes a policy, measured on the rollouts of real environments."""

import copy
from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3.common.distributions import DiagGaussianDistribution, kl_divergence
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn

from sb3_reinforce import REINFORCE
from sb3_reinforce.gradient.divergence import divergence_from, views
from tests.testbed import Toy

TARGET_KL = 0.02
ENVS: dict[str, Any] = {
    "CartPole": "CartPole-v1",
    "MountainCarContinuous": "MountainCarContinuous-v0",
    "Pendulum": "Pendulum-v1",
    "parts": Toy(action_space=spaces.MultiDiscrete([2, 3])),
    "bits": Toy(action_space=spaces.MultiBinary(2)),
}


def divergence(before: Any, model: Any) -> float:
    """By SB3, of the whole rollout."""
    observations = th.as_tensor(model.rollout_buffer.rollout().observations)
    with th.no_grad():
        was, now = (copy.copy(policy.get_distribution(observations)) for policy in (before, model.policy))
        return float(kl_divergence(was, now).reshape(len(observations), -1).sum(dim=1).mean())


def make(policy: str, env: Any, **kwargs: Any) -> REINFORCE:
    model = REINFORCE(policy, env, seed=0, n_episodes=3, natural_gradient=True, target_kl=TARGET_KL, device="cpu", **kwargs)
    assert model.env is not None
    return model


@pytest.mark.parametrize("env", ENVS)
def test_the_steps_of_a_linear_policy_reach_the_bound_and_keep_it(env: str) -> None:
    model = make("LinearPolicy", copy.deepcopy(ENVS[env]), learning_rate=1e9)
    for _ in range(3):
        before = copy.deepcopy(model.policy)
        model.learn(15, log_interval=None, reset_num_timesteps=False)
        assert 0.8 * TARGET_KL <= divergence(before, model) <= TARGET_KL * (1 + 1e-4)


@pytest.mark.parametrize("env", ENVS)
@pytest.mark.parametrize("damping", [1.0, 1e-2])
def test_the_steps_of_a_network_keep_the_bound_and_reach_it_where_they_would_go_beyond(env: str, damping: float) -> None:
    models = []
    for line_search in (True, False):
        model = make("MlpPolicy", copy.deepcopy(ENVS[env]), learning_rate=1e9, damping=damping, line_search=line_search)
        before = copy.deepcopy(model.policy)
        model.learn(15, log_interval=None)
        models.append(divergence(before, model))
    kept, free = models
    if free > TARGET_KL:
        assert 0.8 * TARGET_KL <= kept <= TARGET_KL * (1 + 1e-4)
    else:
        assert kept == free


class Small(BaseFeaturesExtractor):
    """An extractor of images with what behaves differently in training mode."""

    def __init__(self, space: spaces.Box) -> None:
        super().__init__(space, 4)
        self.net = nn.Sequential(
            nn.Conv2d(space.shape[0], 2, 3, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Dropout(0.2), nn.Flatten(), nn.LazyLinear(4)
        )
        self.net(th.zeros(2, *space.shape))

    def forward(self, observations: th.Tensor) -> th.Tensor:
        return self.net(observations)


IMAGES = spaces.Box(0, 255, (12, 12, 1), np.uint8)
OTHERS: dict[str, tuple[str, spaces.Space, dict[str, Any]]] = {
    "images": ("CnnPolicy", IMAGES, {"features_extractor_class": Small}),
    "Dict": ("MultiInputPolicy", spaces.Dict(a=spaces.Box(-1, 1, (2,)), b=spaces.Discrete(3)), {}),
    "hidden layers": ("LinearPolicy", spaces.Box(-1, 1, (2,)), {"net_arch": [3]}),
    "dropout": ("MlpPolicy", spaces.Box(-1, 1, (2,)), {"activation_fn": lambda: nn.Sequential(nn.Tanh(), nn.Dropout(0.5))}),
}


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("arguments", [{}, {"epsilon": 0.3, "baseline": "value", "n_value_updates": 2}], ids=str)
def test_every_policy_takes_natural_steps(name: str, arguments: dict[str, Any]) -> None:
    policy, space, kwargs = OTHERS[name]
    model = make(policy, Toy(space), policy_kwargs=kwargs, **arguments)
    before = copy.deepcopy(model.policy)
    model.learn(30, log_interval=None)
    moved = {name for name, p in model.policy.named_parameters() if not th.equal(p, before.get_parameter(name))}
    actor = {name for name, _ in model.policy.named_parameters() if "value_net" not in name}
    shifts = {"features_extractor.net.0.bias"}  # batch normalisation takes them off again
    assert actor - shifts <= moved | {n for n in actor if n.startswith(("pi_", "vf_"))}


def test_batch_normalisation_sees_the_rollout_once() -> None:
    policy, space, kwargs = OTHERS["images"]
    model = make(policy, Toy(space), policy_kwargs=kwargs)
    model.learn(15, log_interval=None)
    assert model.policy.state_dict()["features_extractor.net.1.num_batches_tracked"] == 2  # the other time when it was made


class OwnDistribution(DiagGaussianDistribution):
    """As SB3's, but nobody knows it."""


def test_a_policy_that_only_says_how_probable_actions_are_keeps_an_estimate_of_the_bound() -> None:
    model = make("LinearPolicy", "Pendulum-v1", learning_rate=1e9, damping=1e-3)
    model.policy.action_dist = OwnDistribution(1)
    before = copy.deepcopy(model.policy)
    model.learn(1, log_interval=None)
    rollout = model.rollout_buffer.rollout()
    was = [view.constant() for view in views(before, rollout)]
    assert 0.8 * TARGET_KL <= divergence_from(was, model.policy, rollout) <= TARGET_KL * (1 + 1e-4)
    observations, actions = th.as_tensor(rollout.observations), th.as_tensor(rollout.actions)
    log_ratio = model.policy.evaluate_actions(observations, actions)[1] - before.evaluate_actions(observations, actions)[1]
    estimate = (log_ratio.exp() - 1 - log_ratio).mean()
    assert divergence_from(was, model.policy, rollout) == pytest.approx(estimate.item(), rel=1e-3)
    assert divergence(before, model) == pytest.approx(TARGET_KL, rel=0.3)


def test_without_the_line_search_a_step_is_as_long_as_the_second_order_says() -> None:
    kls = []
    for line_search in (True, False):
        model = make("MlpPolicy", "CartPole-v1", learning_rate=1e9, damping=1e-3, line_search=line_search)
        before = copy.deepcopy(model.policy)
        model.learn(1, log_interval=None)
        kls.append(divergence(before, model))
    assert kls[0] <= TARGET_KL * (1 + 1e-4)
    assert kls[1] > 2 * TARGET_KL


@pytest.mark.parametrize("value", [0, 1.0, "yes", None])
def test_line_search_is_true_or_false(value: Any) -> None:
    with pytest.raises(ValueError, match="line_search of REINFORCE must be True or False"):
        REINFORCE("LinearPolicy", "CartPole-v1", line_search=value)
