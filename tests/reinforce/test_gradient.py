"""REINFORCE's gradient, as it is when the optimizer gets it, against the exact one of small MDPs."""

from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env

from sb3_reinforce import REINFORCE, EpsilonSchedule
from sb3_reinforce.common.episode_buffer import EpisodeBatch, EpisodeBuffer, EpisodeOrder, _Block
from tests.testbed import CORRIDOR, MDP, MDPS, TabularEnv, exact_estimate, exact_gradient, standard_errors_off

N_EPISODES = 20_000


def make(mdp: MDP, n_envs: int, seed: int = 0, **kwargs: Any) -> REINFORCE:
    """A model whose steps have length zero, so that all rollouts are of the same policy."""
    env = make_vec_env(lambda: TabularEnv(mdp), n_envs=n_envs, seed=seed)
    arguments = {"learning_rate": 0.0, "n_episodes": 10, "gamma": 1.0, "normalize_advantage": False, **kwargs}
    model = REINFORCE("LinearSoftmaxPolicy", env, seed=seed, **arguments)
    rng = np.random.default_rng(42)
    with th.no_grad():
        for parameter in actor(model):
            parameter += th.tensor(rng.normal(size=parameter.shape, scale=0.5), dtype=th.float32)
    return model


def actor(model: REINFORCE) -> list[th.nn.Parameter]:
    return model.policy.actor_parameters()  # type: ignore[operator, return-value]


def weight_and_bias(model: REINFORCE) -> tuple[np.ndarray, np.ndarray]:
    weight, bias = (parameter.detach().numpy().astype(np.float64) for parameter in actor(model))
    return weight, bias


class _Gradients(BaseCallback):
    """Keeps the gradient of each rollout: uphill, so minus that of the loss."""

    def __init__(self) -> None:
        super().__init__()
        self.samples: list[np.ndarray] = []

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        if self.model._n_updates > len(self.samples):
            gradients = [parameter.grad for parameter in actor(self.model)]  # type: ignore[arg-type]
            self.samples.append(-np.concatenate([g.numpy().ravel() for g in gradients if g is not None]))


def estimates(model: REINFORCE, n_episodes: int = N_EPISODES) -> np.ndarray:
    """One estimate of the gradient a rollout. Shape ``(n_rollouts, n_parameters)``."""
    callback = _Gradients()
    _, wrapped = model._setup_learn(10**9, callback)
    assert model.env is not None
    for _ in range(n_episodes // model.rollout_buffer.n_episodes + 1):
        model.collect_rollouts(model.env, wrapped, model.rollout_buffer)
        model.train()
    return np.array(callback.samples)


@pytest.mark.parametrize("n_envs", [1, 4])
@pytest.mark.parametrize("baseline", ["none", "leave_one_out", "time"])
@pytest.mark.parametrize("name", MDPS)
def test_the_estimate_is_unbiased(name: str, baseline: str, n_envs: int) -> None:
    model = make(MDPS[name], n_envs, baseline=baseline)
    exact = exact_gradient(MDPS[name], *weight_and_bias(model))
    assert np.abs(exact).max() > 0.1
    assert standard_errors_off(estimates(model), exact).max() < 4


@pytest.mark.parametrize("n_envs", [1, 4])
def test_the_estimate_is_unbiased_for_the_mixture(n_envs: int) -> None:
    model = make(MDPS["loop"], n_envs, baseline="leave_one_out", epsilon=0.3)
    exact = exact_gradient(MDPS["loop"], *weight_and_bias(model), epsilon=0.3)
    without = exact_gradient(MDPS["loop"], *weight_and_bias(model))
    samples = estimates(model)
    assert standard_errors_off(samples, exact).max() < 4
    assert standard_errors_off(samples, without).max() > 4, "the gradient of pi is not that of what was run"


def test_with_a_discount_the_estimate_is_the_usual_one() -> None:
    model = make(CORRIDOR, 1, baseline="none", gamma=0.7)
    assert standard_errors_off(estimates(model), exact_estimate(CORRIDOR, *weight_and_bias(model), gamma=0.7)).max() < 4


def test_the_mean_baseline_is_biased_as_its_docstring_says() -> None:
    model = make(CORRIDOR, 1, baseline="mean", n_episodes=2)
    exact = exact_gradient(CORRIDOR, *weight_and_bias(model))
    assert standard_errors_off(estimates(model), exact).max() > 4


class _FirstFinishedOrder(EpisodeOrder):
    """The mistake: go on starting episodes, and take the first ``n_episodes`` that are over."""

    def __init__(self, n_episodes: int, n_envs: int) -> None:
        super().__init__(n_episodes, n_envs)
        self.n_wanted, self.n_episodes = n_episodes, n_episodes + 2 * n_envs
        self.lengths = np.zeros(self.n_episodes, dtype=np.int64)

    @property
    def complete(self) -> bool:
        return self.n_ended >= self.n_wanted


class _FirstFinishedBuffer(EpisodeBuffer):
    def reset(self) -> None:
        super().reset()
        self.order = _FirstFinishedOrder(self.n_episodes, self.n_envs)

    def rewards(self) -> np.ndarray:
        self._require_complete()
        numbers = np.cumsum(self.order.lengths > 0) - 1
        self._blocks = [self._without_unfinished(block, numbers) for block in self._blocks]
        self.order.lengths = self.order.lengths[self.order.lengths > 0]
        return super().rewards()

    def _without_unfinished(self, block: _Block, numbers: np.ndarray) -> _Block:
        kept = self.order.lengths[block.episodes] > 0
        block = _Block(*(array[kept] for array in block))  # type: ignore[call-overload]
        return block._replace(episodes=numbers[block.episodes])


def test_to_take_the_first_finished_would_be_caught() -> None:
    model = make(CORRIDOR, n_envs=4, baseline="none", n_episodes=4)
    model.rollout_buffer = _FirstFinishedBuffer(4, model.observation_space, model.action_space, n_envs=4)
    exact = exact_gradient(CORRIDOR, *weight_and_bias(model))
    assert standard_errors_off(estimates(model), exact).max() > 10


def test_one_step_goes_along_the_mean_over_episodes_of_the_sum_over_timesteps() -> None:
    """By hand: two episodes, of 1 and of 2 timesteps."""
    model = make(CORRIDOR, 1, baseline="none", n_episodes=2)
    model._setup_learn(1)
    model._rollout_epsilon = np.zeros(2)
    buffer = model.rollout_buffer
    for state, action, reward, done in ((0, 0, 2.0, True), (0, 1, -1.0, False), (1, 0, 0.5, True)):
        buffer.add(np.array([state]), np.array([action]), np.array([reward]))
        if done:
            buffer.order.end_episodes(np.array([True]))
    model.train()
    policy: Any = model.policy
    score = policy.score(np.array([0, 0, 1]), np.array([0, 1, 0])).numpy()
    expected = (2.0 * score[0] + (-1.0 + 0.5) * score[1] + 0.5 * score[2]) / 2
    mine = -np.concatenate([p.grad.numpy().ravel() for p in actor(model)])  # type: ignore[union-attr]
    np.testing.assert_allclose(mine, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("epsilon", [0.0, 0.3])
def test_the_closed_form_trains_as_autograd_does(epsilon: float, monkeypatch: pytest.MonkeyPatch) -> None:
    parameters = []
    for closed_form in (True, False):
        model = REINFORCE("LinearSoftmaxPolicy", "CartPole-v1", seed=3, epsilon=epsilon)
        with monkeypatch.context() as patch:
            if not closed_form:
                patch.setattr(type(model.policy), "is_linear", False)
            model.learn(1_000)
        parameters.append(model.policy.parameters_to_vector())
    assert np.abs(parameters[0]).max() > 0.1
    np.testing.assert_allclose(parameters[0], parameters[1], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("action_space", [spaces.MultiDiscrete([2, 3]), spaces.MultiBinary(2), spaces.Box(-1, 1, (2,))])
def test_the_mixture_of_every_action_space_is_the_one_that_is_differentiated(action_space: spaces.Space) -> None:
    """The loss of one action must be minus log beta, with beta written down from its definition."""
    env = make_vec_env(lambda: _Bandit(action_space))
    model = REINFORCE("MlpPolicy", env, seed=0, n_episodes=2, baseline="none", normalize_advantage=False, epsilon=0.25)
    model._setup_learn(1)
    model._rollout_epsilon = np.full(2, 0.25)
    action = th.as_tensor(np.array([action_space.sample()], dtype=model.rollout_buffer._action_dtype))
    obs = th.zeros(1, 1)
    loss, _ = model._accumulate_gradient(EpisodeBatch(obs, action, th.ones(1), th.zeros(1, dtype=th.int32)))
    pi = float(model.policy.get_distribution(obs).log_prob(action).exp().detach())
    uniform = {spaces.MultiDiscrete: 1 / 6, spaces.MultiBinary: 1 / 4, spaces.Box: 1 / 4}[type(action_space)]
    assert loss == pytest.approx(-np.log(0.75 * pi + 0.25 * uniform), rel=1e-5)


class _Bandit(TabularEnv):
    """One step an episode, any action space; the reward is 1."""

    def __init__(self, action_space: spaces.Space) -> None:
        super().__init__(CORRIDOR)
        self.observation_space = spaces.Box(0, 1, (1,))  # type: ignore[assignment]
        self.action_space = action_space  # type: ignore[assignment]
        self.actions: list[Any] = []

    def reset(self, **kwargs: Any) -> Any:
        super().reset(**kwargs)
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action), f"{action!r} is outside {self.action_space}"
        self.actions.append(np.array(action))
        return np.zeros(1, np.float32), 1.0, True, False, {}


@pytest.mark.parametrize(
    "action_space", [spaces.Discrete(3), spaces.MultiDiscrete([2, 3]), spaces.MultiBinary(2), spaces.Box(-1, 1, (2, 2))]
)
def test_with_epsilon_1_actions_are_uniform_and_nothing_is_learned(action_space: spaces.Space) -> None:
    env = make_vec_env(lambda: _Bandit(action_space))
    policy = "LinearSoftmaxPolicy" if isinstance(action_space, spaces.Discrete) else "MlpPolicy"
    model = REINFORCE(policy, env, seed=0, epsilon=1.0, n_episodes=50)
    before = model.policy.parameters_to_vector()
    model.learn(2_000)
    np.testing.assert_array_equal(model.policy.parameters_to_vector(), before)
    actions = np.array(env.get_attr("actions")[0], dtype=np.float64).reshape(2_000, -1)
    low, high = {
        spaces.Discrete: (0, 2),
        spaces.MultiDiscrete: (0, np.array([1, 2])),
        spaces.MultiBinary: (0, 1),
        spaces.Box: (-1, 1),
    }[type(action_space)]
    np.testing.assert_allclose(
        actions.mean(axis=0), (np.array(low) + np.array(high)) / 2 * np.ones(actions.shape[1]), atol=0.06
    )


def test_epsilon_falls_by_episode_in_start_order() -> None:
    env = make_vec_env(lambda: _Bandit(spaces.Discrete(2)), n_envs=3)
    model = REINFORCE("LinearSoftmaxPolicy", env, seed=0, n_episodes=4, epsilon=EpsilonSchedule(0.9, 0.1, 0.1))
    seen: list[list[float]] = []
    rates: list[float] = []

    class _Look(BaseCallback):
        def _on_step(self) -> bool:
            return True

        def _on_rollout_end(self) -> None:
            seen.append(model._rollout_epsilon.tolist())
            rates.append(model.exploration_rate)

    model.learn(12, callback=_Look())
    np.testing.assert_allclose(seen, [[0.9, 0.8, 0.7, 0.6], [0.5, 0.4, 0.3, 0.2]])
    np.testing.assert_allclose(rates, [0.6, 0.2])
    model.learn(6, callback=_Look(), reset_num_timesteps=False)
    np.testing.assert_allclose(seen[-1], [0.1] * 4)
