"""Natural steps as they are taken in training, against Fisher matrices that autograd builds."""

import copy
import itertools
from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3.common.distributions import DiagGaussianDistribution

from sb3_reinforce import REINFORCE
from sb3_reinforce.gradient.conjugate_gradients import estimated_mean_diagonal
from sb3_reinforce.gradient.fisher_matrices import ClosedFormFisher, FisherProducts
from sb3_reinforce.gradient.scores import scores_of
from sb3_reinforce.rollouts.rollout import Rollout
from tests.testbed import Toy

SPACES: dict[str, spaces.Space] = {
    "Discrete": spaces.Discrete(3),
    "MultiDiscrete": spaces.MultiDiscrete([2, 3]),
    "MultiBinary": spaces.MultiBinary(3),
    "Box": spaces.Box(-1, 1, (2,)),
}
NET: dict[str, Any] = {"net_arch": [3], "activation_fn": th.nn.Tanh}


def phi(states: np.ndarray, action: int) -> np.ndarray:
    return np.stack([states[:, 0] * action, states[:, 1] ** action, np.full(len(states), action == 1)], axis=1)


def make(space: spaces.Space, frozen: tuple[str, ...] = (), **kwargs: Any) -> REINFORCE:
    """In float64, with parameters that are not those of the beginning."""
    model = REINFORCE("LinearPolicy", Toy(action_space=space), seed=0, n_episodes=4, natural_gradient=True, **kwargs)
    model.policy.double()
    generator = th.Generator().manual_seed(1)
    with th.no_grad():
        for name, parameter in model.policy.named_parameters():
            parameter.add_(0.4 * th.randn(parameter.shape, dtype=th.float64, generator=generator))
            parameter.requires_grad_(name not in frozen)
    return model


def one_step(model: REINFORCE) -> tuple[Any, Rollout, th.Tensor, th.Tensor]:
    """The policy before it, the rollout, the gradient for each timestep, and the step."""
    before = copy.deepcopy(model.policy)
    model.learn(20, log_interval=None)
    rollout = model.rollout_buffer.rollout()
    pairs = [(p, q) for p, q in zip(model.policy.parameters(), before.parameters(), strict=True) if p.grad is not None]
    order = {id(p): i for i, p in enumerate(scores_of(model.policy).parameters)}
    pairs.sort(key=lambda pair: order[id(pair[0])])
    gradient = -th.cat([p.grad.flatten() for p, _ in pairs if p.grad is not None]) * rollout.n_episodes / rollout.n_timesteps
    return before, rollout, gradient, th.cat([(p - q).detach().flatten() for p, q in pairs])


def actions_and_weights(space: spaces.Space, distribution: Any) -> tuple[list[th.Tensor], list[th.Tensor]]:
    """All actions, or Gauss-Hermite nodes, and their probabilities: exact for whatever is quadratic in the score."""
    n = distribution.mode().shape[0]
    if isinstance(space, spaces.Box):
        points, weights = np.polynomial.hermite_e.hermegauss(5)
        grid = list(itertools.product(range(5), repeat=2))
        mean, std = distribution.distribution.mean.detach(), distribution.distribution.stddev.detach()
        actions = [mean + std * th.as_tensor(points[list(nodes)]) for nodes in grid]
        return actions, [th.full((n,), float(np.prod(weights[list(nodes)] / weights.sum()))) for nodes in grid]
    sizes = {"Discrete": lambda: [space.n], "MultiDiscrete": lambda: space.nvec, "MultiBinary": lambda: [2] * space.n}  # type: ignore[attr-defined]
    joint = [th.tensor(a) for a in itertools.product(*map(range, sizes[type(space).__name__]()))]
    actions = [a.expand(n, -1) if len(a) > 1 else a.expand(n) for a in joint]
    actions = [a.double() if isinstance(space, spaces.MultiBinary) else a for a in actions]
    return actions, [distribution.log_prob(a).exp().detach() for a in actions]


def dense_fisher(policy: Any, rollout: Rollout) -> th.Tensor:
    """The expected outer product of autograd's scores."""
    distribution = policy.get_distribution(th.as_tensor(rollout.observations))
    parameters, fisher = policy.actor_parameters(), th.zeros(())
    for actions, weights in zip(*actions_and_weights(policy.action_space, distribution), strict=True):
        log_prob = distribution.log_prob(actions)
        rows = th.autograd.grad(
            log_prob,
            parameters,
            th.eye(len(log_prob)).to(log_prob),
            is_grads_batched=True,
            retain_graph=True,
            materialize_grads=True,
        )
        scores = th.cat([row.flatten(start_dim=1) for row in rows], dim=1)
        fisher = fisher + scores.T @ (scores * weights.unsqueeze(1))
    return fisher / rollout.n_timesteps


def relative_error(mine: th.Tensor, expected: th.Tensor) -> float:
    return float((mine - expected).norm() / expected.norm())


FROZEN: list[tuple[str, ...]] = [(), ("action_net.bias",), ("action_net.weight",)]
CASES = [
    *((name, frozen, {}) for name in SPACES for frozen in FROZEN),
    ("Box", ("log_std",), {}),
    ("Box", ("log_std", "action_net.bias"), {}),
    ("Discrete", (), {"policy_kwargs": {"phi": phi}}),
    *((name, (), {"epsilon": 0.3}) for name in SPACES),
]


@pytest.mark.parametrize(("space", "frozen", "arguments"), CASES, ids=lambda value: str(value).split(" at 0x")[0])
@pytest.mark.parametrize("learning_rate", [1e-3, 1e9])
def test_a_step_in_closed_form_is_that_of_the_dense_matrix(
    space: str, frozen: tuple[str, ...], arguments: dict[str, Any], learning_rate: float
) -> None:
    damping, target_kl = 1e-2, 1e-2
    model = make(
        SPACES[space],
        frozen,
        damping=damping,
        target_kl=target_kl,
        learning_rate=learning_rate,
        line_search=False,
        **arguments,
    )
    assert isinstance(scores_of(model.policy).fisher(), ClosedFormFisher)
    policy, rollout, gradient, step = one_step(model)
    fisher = dense_fisher(policy, rollout)

    def natural(damping: float) -> th.Tensor:
        return th.linalg.solve(fisher + damping * fisher.diagonal().mean() * th.eye(len(fisher)).to(fisher), gradient)

    def within(step: th.Tensor, bound: float, divergence: th.Tensor) -> th.Tensor:
        return step * min(1.0, float((bound / divergence).sqrt()))

    share = 1.0 if space == "Box" else 0.1
    expected = learning_rate * natural(damping)
    expected = within(expected, share * target_kl, 0.5 * learning_rate * gradient @ expected)
    if space != "Box":  # and a cautious step, damped more
        n = rollout.n_timesteps
        cautious = learning_rate * n / 200 * n / (n + 2_000) * natural(1.0)
        expected += within(cautious, target_kl, 0.5 * cautious @ fisher @ cautious)
        expected = within(expected, target_kl, 0.5 * expected @ fisher @ expected)
    assert relative_error(step, expected) < 1e-8


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("epsilon", [0.0, 0.3])
def test_conjugate_gradients_find_the_step_of_the_dense_matrix(space: str, epsilon: float) -> None:
    model = make(SPACES[space], epsilon=epsilon, policy_kwargs=NET)
    matrix = FisherProducts(model.policy, max_iterations=1_000, tolerance=1e-12)
    policy, rollout, gradient, _ = one_step(model)
    model.policy.load_state_dict(policy.state_dict())
    parameters = model.policy.actor_parameters()  # type: ignore[operator]
    fisher = dense_fisher(policy, rollout)
    vector = th.randn(len(gradient), dtype=th.float64, generator=th.Generator().manual_seed(0))
    assert relative_error(matrix.product(vector, parameters, rollout), fisher @ vector) < 1e-8
    shift = 0.1 * estimated_mean_diagonal(fisher.mv, gradient, matrix.n_probes)
    expected = th.linalg.solve(fisher + shift * th.eye(len(fisher)).to(fisher), gradient)
    assert relative_error(matrix.solve(gradient, parameters, rollout, 0.1), expected) < 1e-6


class Louder(DiagGaussianDistribution):
    """Of somebody's own: its divergence is not known."""

    def log_prob(self, actions: th.Tensor) -> th.Tensor:
        return 2.0 * super().log_prob(actions)


@pytest.mark.parametrize("epsilon", [0.0, 0.3, 1.0])
def test_of_a_distribution_of_ones_own_it_is_the_mean_over_the_actions_drawn(epsilon: float) -> None:
    """By importance, where these are explored by epsilon."""
    model = make(SPACES["Box"], epsilon=epsilon)
    model.policy.action_dist = Louder(2)
    policy, rollout, _, _ = one_step(model)
    model.policy.load_state_dict(policy.state_dict())
    parameters = model.policy.actor_parameters()  # type: ignore[operator]
    log_prob = model.policy.get_distribution(th.as_tensor(rollout.observations)).log_prob(th.as_tensor(rollout.actions))
    rows = [th.autograd.grad(one, parameters, retain_graph=True) for one in log_prob]
    scores = th.stack([th.cat([part.flatten() for part in row]) for row in rows])
    inside = (th.as_tensor(rollout.actions).abs() <= 1).all(dim=1)
    behaviour = (1 - epsilon) * log_prob.exp() + epsilon * inside / 4
    weights = (log_prob.exp() / behaviour).detach().unsqueeze(1)
    fisher = scores.T @ (scores * weights) / len(scores)
    vector = th.randn(len(fisher), dtype=th.float64, generator=th.Generator().manual_seed(0))
    product = FisherProducts(model.policy).product(vector, parameters, rollout)
    assert relative_error(product, fisher @ vector) < 1e-5  # the batch's epsilon is float32


@pytest.mark.parametrize(
    ("space", "n_features", "n_most"),
    [("Box", 4_999, 5_000), ("Discrete", 1_665, 1_666), ("MultiBinary", 2_885, 2_886), ("MultiDiscrete", 1_385, 1_386)],
)
def test_the_most_features(space: str, n_features: int, n_most: int) -> None:
    """Of a Gaussian they are as many as there may be unknowns, whatever the number of actions."""
    for n, is_served in ((n_features, True), (n_most + 1, False)):
        env = Toy(spaces.Box(-1, 1, (n,)), SPACES[space])
        if is_served:
            REINFORCE("LinearPolicy", env, natural_gradient=True)
        else:
            with pytest.raises(ValueError, match=r"natural_gradient solves.*natural_gradient=False"):
                REINFORCE("LinearPolicy", env, natural_gradient=True)


class Raises(th.autograd.Function):
    """As torch's own functions for recurrent networks on a GPU."""

    @staticmethod
    def forward(ctx: Any, x: th.Tensor) -> th.Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, grad: th.Tensor) -> th.Tensor:  # type: ignore[override]
        if th.is_grad_enabled():
            raise RuntimeError("CuDNN double backward is not supported")
        return grad


class Recurrent(th.nn.Module):
    def forward(self, x: th.Tensor) -> th.Tensor:
        return Raises.apply(x)  # type: ignore[no-untyped-call]


def test_a_policy_without_second_derivatives_is_refused_by_name() -> None:
    model = REINFORCE("MlpPolicy", Toy(), seed=0, natural_gradient=True, policy_kwargs={"activation_fn": Recurrent})
    before = model.policy.parameters_to_vector()
    with pytest.raises(ValueError, match="natural_gradient needs second derivatives of MlpPolicy"):
        model.learn(20)
    np.testing.assert_array_equal(model.policy.parameters_to_vector(), before)
