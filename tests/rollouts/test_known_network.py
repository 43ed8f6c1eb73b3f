from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from torch import nn
from torch.nn.utils import parametrize

from sb3_reinforce import REINFORCE
from sb3_reinforce.policies import MlpPolicy
from sb3_reinforce.rollouts.acting import numpy_actor
from sb3_reinforce.rollouts.known_network import known_network
from tests.policies.usual_and_unusual import CASES, PLANE, THREE, UNUSUAL, USUAL, VECTOR, Case, settle
from tests.testbed import Toy

pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm.*deprecated:FutureWarning")
KNOWN = {name for name, case in CASES.items() if case.is_fast} | {
    "CNN",
    "CNN, Box",
    "MLP, own features",
    "MLP, learned features",
    "multi-input",
    "multi-input, Box",
    "softmax, Dict",
    "softmax, learned features",
    "softmax, picture",
}
"""Behind the features extractor, all of it must be."""


def make(case: Case) -> Any:
    """The policy as it is after all that is done to it."""
    env = Toy(case.observation_space, case.action_space)
    policy: Any = REINFORCE(case.policy, env, seed=0, device="cpu", policy_kwargs=case.kwargs).policy
    settle(policy)
    treated = case.treat(policy)
    return policy if treated is None else treated


def observations_of(policy: Any, n: int = 5) -> tuple[Any, Any]:
    """As arrays and as tensors."""
    space = policy.observation_space
    space.seed(0)
    rows = [space.sample() for _ in range(n)]
    if isinstance(space, spaces.Dict):
        arrays: Any = {key: np.stack([row[key] for row in rows]) for key in space}
        return arrays, {key: th.as_tensor(part) for key, part in arrays.items()}
    return np.stack(rows), th.as_tensor(np.stack(rows))


def outputs_of(distribution: Any) -> th.Tensor:
    """Logits, up to what makes no difference, or means."""
    inner = distribution.distribution
    if isinstance(inner, list):
        return th.cat([part.logits for part in inner], dim=1)
    return inner.mean if isinstance(inner, th.distributions.Normal) else inner.logits


def through(network: Any, policy: Any, obs: Any) -> th.Tensor:
    features = BasePolicy.extract_features(policy, obs, network.extractor).to(network.action_net.weight.dtype)
    return network.action_net(nn.Sequential(*network.hidden)(features))


@th.no_grad()
@pytest.mark.parametrize("name", CASES)
def test_a_network_that_is_known_gives_what_the_policy_gives(name: str) -> None:
    policy = make(CASES[name])
    network = known_network(policy)
    assert (network is not None) or name not in KNOWN, "it must not become slow"
    if network is None:
        return
    _, obs = observations_of(policy)
    expected = policy.get_distribution(obs)
    outputs = th.as_tensor(through(network, policy, obs))
    th.testing.assert_close(
        outputs_of(policy.action_dist.proba_distribution(outputs, *_log_std(policy))), outputs_of(expected)
    )


def _log_std(policy: Any) -> list[th.Tensor]:
    return [policy.log_std] if isinstance(policy.action_space, spaces.Box) else []


NETWORKS_AS_ANY_OTHER = ("other action_net", "softmax, pruned for good")
UNKNOWN = [
    name
    for name, case in UNUSUAL.items()
    if case.taken_for and name not in NETWORKS_AS_ANY_OTHER
    if "flatten" not in name and "features_extractor" not in name  # what comes before the network is called as it is
]


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_somebody_would_take_for_another_is_not_known(name: str) -> None:
    assert known_network(make(UNUSUAL[name])) is None


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.is_fast])
def test_what_is_usual_acts_without_torch(name: str) -> None:
    case = CASES[name]
    policy = make(case)
    actor = numpy_actor(policy, 5, np.random.default_rng(0))
    assert actor is not None
    with_torch = policy.forward
    policy.forward = None
    try:
        actions = actor(observations_of(policy)[0])
    finally:
        policy.forward = with_torch
    expected = (5,) if isinstance(case.action_space, spaces.Discrete) else (5, int(np.prod(case.action_space.shape)))
    assert actions.shape == expected


def test_parts_are_those_of_the_policy_and_no_copies() -> None:
    policy = make(USUAL["MLP"])
    network = known_network(policy)
    assert network is not None
    assert network.action_net is policy.action_net
    assert network.extractor is policy.pi_features_extractor
    assert network.hidden == list(policy.mlp_extractor.policy_net)


def test_two_features_extractors_are_told_apart() -> None:
    policy = MlpPolicy(VECTOR, THREE, lambda _: 0.1, share_features_extractor=False)
    network = known_network(policy)
    assert network is not None
    assert network.extractor is policy.pi_features_extractor is not policy.vf_features_extractor


def _no_sequence(policy: Any) -> None:
    policy.mlp_extractor.policy_net = nn.Linear(3, 64)


def _dropout_within(policy: Any) -> None:
    policy.mlp_extractor.policy_net.append(nn.Dropout(0.5))


def _a_net_of_its_own(policy: Any) -> None:
    policy.mlp_extractor.policy_net.insert(0, nn.LayerNorm(3))


def _weight_that_is_no_parameter(policy: Any) -> None:
    weight = policy.action_net.weight.detach().clone()
    del policy.action_net.weight
    policy.action_net.weight = weight


def _weight_by_a_property(policy: Any) -> None:
    class Twice(nn.Module):
        def forward(self, bias: th.Tensor) -> th.Tensor:
            return 2 * bias

    parametrize.register_parametrization(policy.mlp_extractor.policy_net[0], "bias", Twice())


def _lambda_in_between(policy: Any) -> None:
    net = policy.mlp_extractor.policy_net
    net.forward = lambda features: nn.Sequential.forward(net, features).abs()


@pytest.mark.parametrize(
    "treat",
    [
        _no_sequence,
        _dropout_within,
        _a_net_of_its_own,
        _weight_that_is_no_parameter,
        _weight_by_a_property,
        _lambda_in_between,
    ],
)
@pytest.mark.parametrize("action_space", [THREE, PLANE])
def test_a_stranger_within_is_enough(treat: Any, action_space: spaces.Space) -> None:
    policy = ActorCriticPolicy(VECTOR, action_space, lambda _: 0.1)
    assert known_network(policy) is not None
    treat(policy)
    assert known_network(policy) is None


def test_a_standard_deviation_that_depends_on_something_is_one() -> None:
    class Wider(nn.Module):
        def forward(self, log_std: th.Tensor) -> th.Tensor:
            return log_std + 1

    policy = MlpPolicy(VECTOR, PLANE, lambda _: 0.1)
    parametrize.register_parametrization(policy, "log_std", Wider())
    assert known_network(policy) is None


@pytest.mark.parametrize("thing", [None, "MlpPolicy", nn.Linear(2, 2), MlpPolicy, lambda obs: obs])
def test_what_is_no_policy_has_none(thing: Any) -> None:
    assert known_network(thing) is None
