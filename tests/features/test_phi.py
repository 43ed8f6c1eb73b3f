from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from gymnasium.vector.utils import batch_space
from stable_baselines3.common.preprocessing import preprocess_obs
from stable_baselines3.common.utils import obs_as_tensor

from sb3_reinforce import REINFORCE, LinearSoftmaxPolicy
from sb3_reinforce.features.phi import PhiExtractor, PhiNet, read_only, states_of

SPACES: dict[str, spaces.Space] = {
    "vector": spaces.Box(-1, 1, (4,)),
    "matrix": spaces.Box(-1, 1, (2, 3)),
    "discrete": spaces.Discrete(5),
    "multi_discrete": spaces.MultiDiscrete([3, 2, 4]),
    "multi_binary": spaces.MultiBinary(4),
    "image": spaces.Box(0, 255, (1, 8, 8), np.uint8),
    "dict": spaces.Dict(a=spaces.Box(-1, 1, (4,)), b=spaces.MultiDiscrete([2, 3])),
}


def draw(space: spaces.Space, batch: int) -> tuple[Any, Any]:
    """As the environment gives them, and as SB3 prepares them."""
    many = batch_space(space, batch)
    many.seed(0)
    obs: Any = many.sample()
    return obs, preprocess_obs(obs_as_tensor(obs, th.device("cpu")), space)


@pytest.mark.parametrize("name", SPACES)
def test_states_are_the_observations_again(name: str) -> None:
    obs, prepared = draw(SPACES[name], 6)
    states = states_of(prepared, SPACES[name])
    pairs = [(states[key], obs[key]) for key in obs] if isinstance(obs, dict) else [(states, obs)]
    for state, seen in pairs:
        np.testing.assert_allclose(state, seen / 255 if name == "image" else seen, rtol=1e-6)
        assert state.dtype.kind == ("i" if seen.dtype.kind == "i" and name != "multi_binary" else "f")


def test_what_phi_sees_can_not_be_written_to() -> None:
    array = np.zeros(3)
    view = read_only(array)
    with pytest.raises(ValueError, match="read-only"):
        view += 1
    array += 1
    assert view.tolist() == [1, 1, 1]


def outer(states: np.ndarray, action: int) -> np.ndarray:
    return np.stack([states[:, 0] + action, states[:, 1] * action], axis=1)


def test_features_are_those_of_each_action_in_turn() -> None:
    space = SPACES["vector"]
    obs, prepared = draw(space, 6)
    extractor = PhiExtractor(space, outer, 3)
    assert (extractor.features_dim, extractor.n_features) == (6, 2)
    expected = np.concatenate([outer(obs, action) for action in range(3)], axis=1)
    np.testing.assert_allclose(extractor(prepared), expected, rtol=1e-6)
    np.testing.assert_allclose(extractor.features(obs).reshape(6, 6), expected, rtol=1e-6)


def test_the_spaces_own_generator_is_left_alone() -> None:
    space = spaces.Box(-1, 1, (4,))
    space.seed(3)
    expected = space.sample()
    space.seed(3)
    PhiExtractor(space, outer, 3)
    np.testing.assert_array_equal(space.sample(), expected)


def test_features_that_go_wrong_later_are_told() -> None:
    extractor = PhiExtractor(SPACES["vector"], lambda s, a: np.log(1.0 - 0 * s) if len(s) < 3 else s[:2], 2)
    with pytest.raises(ValueError, match=r"\(3, 4\) for 3 states, but for action 0 it is \(2, 4\)"):
        extractor.features(np.zeros((3, 4)))
    extractor = PhiExtractor(SPACES["vector"], lambda s, a: s, 2)
    with pytest.raises(ValueError, match="not finite"):
        extractor.features(np.full((1, 4), np.nan))


def test_one_weight_a_feature_is_shared_by_all_actions() -> None:
    net = PhiNet(2)
    phi = th.randn(5, 3, 2)
    expected = th.stack([phi[:, action] @ net.weight[0] for action in range(3)], dim=1)
    th.testing.assert_close(net(phi.flatten(start_dim=1)), expected)
    assert [tuple(parameter.shape) for parameter in net.parameters()] == [(1, 2)]


# Graphs that are to run without Python


def policy_with_phi() -> Any:
    policy = LinearSoftmaxPolicy(SPACES["vector"], spaces.Discrete(3), lambda _: 0.1, phi=outer)
    policy.action_net.weight.data = th.tensor([[0.0, 1.0]])
    return policy.eval()


def deterministic(policy: Any) -> Any:
    class Greedy(th.nn.Module):
        """As SB3's documentation exports a policy."""

        def __init__(self) -> None:
            super().__init__()
            self.policy = policy

        def forward(self, obs: th.Tensor) -> th.Tensor:
            return self.policy(obs, deterministic=True)[0]

    return Greedy()


@pytest.mark.parametrize("part", [deterministic, lambda policy: policy.features_extractor, lambda policy: policy])
@pytest.mark.parametrize("record", [th.jit.trace, th.export.export])
def test_a_graph_without_python_is_refused_with_the_reason(record: Any, part: Any) -> None:
    _, obs = draw(SPACES["vector"], 1)
    example = obs if record is th.jit.trace else (obs,)
    with pytest.raises(RuntimeError, match=r"can't be traced or exported: phi is a function of NumPy.*policy\.action_net"):
        record(part(policy_with_phi()), example)


def test_the_part_that_is_linear_can_be_recorded() -> None:
    policy = policy_with_phi()
    _, obs = draw(SPACES["vector"], 20)
    with th.no_grad():
        linear = th.jit.trace(policy.action_net, policy.extract_features(obs[:1]))
        actions = linear(policy.extract_features(obs)).argmax(dim=1)
    np.testing.assert_array_equal(actions, policy.predict(obs.numpy(), deterministic=True)[0])
    assert len(set(actions.tolist())) > 1


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_a_compiled_policy_calls_phi_as_it_is(backend: str) -> None:
    """In Python: a phi that NumPy can compute, and torch could not."""
    calls = []

    def phi(states: np.ndarray, action: int) -> np.ndarray:
        calls.append(type(states))
        return np.array([[float(str(value)) * (action + 1)] for value in states[:, 0]])

    extractor = PhiExtractor(SPACES["vector"], phi, 2)
    compiled = th.compile(extractor, backend=backend)
    for batch in (1, 3, 3, 5):
        obs = th.rand(batch, 4)
        calls.clear()
        expected = th.stack([obs[:, 0], 2 * obs[:, 0]], dim=1)
        th.testing.assert_close(compiled(obs), expected)
        assert calls == [np.ndarray, np.ndarray]


def test_learning_goes_on_when_a_policy_with_phi_is_compiled() -> None:
    model = REINFORCE("LinearSoftmaxPolicy", "CartPole-v1", policy_kwargs={"phi": lambda s, a: s * (2 * a - 1)}, seed=0)
    model.policy = th.compile(model.policy, backend="eager")  # type: ignore[assignment]
    model.learn(300)
    assert model._n_updates > 0
