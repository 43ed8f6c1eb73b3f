"""REINFORCE's gradient, as it is when the optimizer gets it, against the exact one of small MDPs."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env

from sb3_reinforce import REINFORCE, EpsilonSchedule, LinearSoftmaxPolicy
from sb3_reinforce.gradient.baselines import LinearBaseline
from sb3_reinforce.rollouts.episode_buffer import EpisodeBatch, EpisodeBuffer, EpisodeOrder, _Block
from tests.testbed import CORRIDOR, MDP, MDPS, TabularEnv, Toy, exact_estimate, exact_gradient, standard_errors_off

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


class _MeanByState:
    """A baseline of a user's own: the mean return that was seen from each state."""

    def __init__(self) -> None:
        self.sums, self.counts = np.zeros(10), np.zeros(10)

    def __call__(self, observations: Any, timesteps: np.ndarray) -> np.ndarray:
        return (self.sums / np.maximum(self.counts, 1))[observations.ravel()]

    def fit(self, observations: Any, timesteps: np.ndarray, returns: np.ndarray) -> None:
        self.sums += np.bincount(observations.ravel(), returns, minlength=10)
        self.counts += np.bincount(observations.ravel(), minlength=10)


ESTIMATORS = list(
    itertools.product(["none", "leave_one_out", "time", "linear", "value", "optimal", "own"], [True, False], [True, False])
)
"""Baseline, reward_to_go, discount_weighting."""


def gradients_of_one_rollout(
    model: REINFORCE, linear: dict[bool, LinearBaseline], own: dict[bool, _MeanByState]
) -> np.ndarray:
    """What every estimator makes of the same rollout, in the steps of ``train``. Shape ``(n_estimators, n_parameters)``."""
    observations = model.rollout_buffer.observations()
    gradients = []
    for baseline, to_go, discount_weighting in ESTIMATORS:
        model.baseline = own[to_go] if baseline == "own" else baseline
        model.reward_to_go, model.discount_weighting = to_go, discount_weighting
        model._linear_baseline = linear[to_go]
        returns = model._returns(model._credited_rewards())
        model._compute_gradient(model._weights(returns - model._baseline_values(returns, observations)))
        gradients.append(-np.concatenate([p.grad.numpy().ravel() for p in actor(model)]))  # type: ignore[union-attr]
    for to_go in (True, False):
        model.reward_to_go, model._linear_baseline = to_go, linear[to_go]
        for baseline in ("linear", own[to_go], *(["value"] if to_go else [])):
            model.baseline = baseline  # type: ignore[assignment]
            rewards = model._credited_rewards()
            returns = model._returns(rewards)
            model._fit_baseline(observations, returns, model._value_targets(returns, rewards))
    return np.array(gradients)


@pytest.mark.parametrize("epsilon", [0.0, 0.3])
@pytest.mark.parametrize("name", MDPS)
def test_every_estimator_is_unbiased_for_what_it_says_it_estimates(name: str, epsilon: float) -> None:
    mdp, gamma = MDPS[name], 0.8
    model = make(mdp, 1, n_episodes=40, gamma=gamma, epsilon=epsilon, n_value_updates=2)
    model.policy.optimizer.param_groups[0]["lr"] = 0.05  # only the value net is stepped here
    _, callback = model._setup_learn(10**9)
    linear, own = ({to_go: kind() for to_go in (True, False)} for kind in (LinearBaseline, _MeanByState))
    before = weight_and_bias(model)
    samples = []
    for _ in range(N_EPISODES // 40):
        model.collect_rollouts(model.env, callback, model.rollout_buffer)
        samples.append(gradients_of_one_rollout(model, linear, own))  # type: ignore[arg-type]
    np.testing.assert_array_equal(weight_and_bias(model)[0], before[0])
    discounted = exact_gradient(mdp, *before, epsilon=epsilon, gamma=gamma)
    usual = exact_estimate(mdp, *before, gamma=gamma, epsilon=epsilon)
    assert np.abs(usual - discounted).max() > 0.02, "two different things"
    for i, (_, to_go, discount_weighting) in enumerate(ESTIMATORS):
        exact = usual if to_go and not discount_weighting else discounted
        assert standard_errors_off(np.array(samples)[:, i], exact).max() < 4, ESTIMATORS[i]


UNBIASED = {"baseline": "leave_one_out", "normalize_advantage": False, "max_grad_norm": None, "bootstrap_truncated": False}


@pytest.mark.parametrize(
    ("name", "biased"),
    [
        ("corridor", {"baseline": "mean"}),
        ("corridor", {"normalize_advantage": True}),
        ("corridor", {"max_grad_norm": 1.0}),
        ("loop", {"bootstrap_truncated": True}),
    ],
)
def test_what_the_docstring_calls_biased_is_and_without_it_the_same_rollouts_are_not(
    name: str, biased: dict[str, Any]
) -> None:
    model = make(MDPS[name], 1, n_episodes=2, n_value_updates=0)
    with th.no_grad():  # a value net that knows nothing
        model.policy.value_net.weight.zero_()
        model.policy.value_net.bias.fill_(10.0)
    exact = exact_gradient(MDPS[name], *weight_and_bias(model))
    _, callback = model._setup_learn(10**9)
    samples: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for _ in range(2_500):
        model.collect_rollouts(model.env, callback, model.rollout_buffer)
        for settings, kept in zip((UNBIASED, {**UNBIASED, **biased}), samples, strict=True):
            for argument, value in settings.items():
                setattr(model, argument, value)
            model.train()
            kept.append(-np.concatenate([p.grad.numpy().ravel() for p in actor(model)]))  # type: ignore[union-attr]
    without, with_bias = (np.array(kept) for kept in samples)
    assert standard_errors_off(without, exact).max() < 4
    rescaled = with_bias * (exact @ exact) / (with_bias.mean(axis=0) @ exact)
    assert standard_errors_off(rescaled, exact).max() > 7, "not even its direction is right"


def test_bootstrapping_adds_the_discounted_value_where_a_time_limit_ended_the_episode() -> None:
    """LOOP is cut off after 5 timesteps; its value net says 10 in every state."""
    model = make(MDPS["loop"], 2, baseline="none", n_episodes=30, gamma=0.5, bootstrap_truncated=True)
    with th.no_grad():
        model.policy.value_net.weight.zero_()
        model.policy.value_net.bias.fill_(10.0)
    _, callback = model._setup_learn(10**9)
    model.collect_rollouts(model.env, callback, model.rollout_buffer)
    lengths, rewards = model.rollout_buffer.lengths, model._credited_rewards()
    to_go, targets = model._returns(rewards), model._value_targets(model._returns(rewards), rewards)
    model.reward_to_go = False
    whole, targets_of_whole = model._returns(rewards), model._value_targets(model._returns(rewards), rewards)
    numbers, observations = model.rollout_buffer.cut_off()
    assert 0 < len(numbers) < 30
    assert (lengths[numbers] == 5).all()
    assert set(np.ravel(observations).tolist()) <= {0, 1, 2}
    ends, without = np.cumsum(lengths), model.rollout_buffer.rewards()
    for episode in range(30):
        followed = 10.0 if episode in numbers else 0.0
        for row in reversed(range(ends[episode] - lengths[episode], ends[episode])):
            followed = without[row] + 0.5 * followed
            assert to_go[row] == pytest.approx(followed)
        np.testing.assert_allclose(whole[ends[episode] - lengths[episode] : ends[episode]], followed)
    np.testing.assert_array_equal(targets, to_go)
    np.testing.assert_array_equal(
        targets_of_whole, to_go
    )  # the value net learns what follows, whatever actions are credited with


def test_the_entropy_bonus_makes_the_policy_more_random() -> None:
    entropies = []
    for ent_coef in (0.0, 100.0):
        model = make(CORRIDOR, 1, ent_coef=ent_coef, learning_rate=0.1)
        model.learn(1_000)
        pi = model.policy.action_probabilities(np.arange(4))  # type: ignore[operator]
        entropies.append(float(-(pi * pi.log()).sum(dim=1).mean()))
    assert entropies[1] > entropies[0] + 0.1
    assert entropies[1] > 0.65, "close to log 2, uniform"


@pytest.mark.parametrize("policy", ["LinearSoftmaxPolicy", "MlpPolicy"])
@pytest.mark.parametrize("baseline", ["none", "time", "optimal"])
def test_the_gradient_is_the_mean_of_the_episodes_own(policy: str, baseline: str) -> None:
    model = REINFORCE(policy, "CartPole-v1", n_episodes=5, baseline=baseline, epsilon=0.1, seed=1)
    _, callback = model._setup_learn(10**9)
    model.collect_rollouts(model.env, callback, model.rollout_buffer)
    returns = model._returns(model._credited_rewards())
    weights = model._weights(returns - model._baseline_values(returns, None))
    model._compute_gradient(weights)
    gradient = -np.concatenate([p.grad.numpy().ravel() for p in model._actor_parameters()])
    episodes = model._episode_gradients(weights)
    assert episodes.shape == (5, len(gradient))
    np.testing.assert_allclose(episodes.mean(axis=0), gradient, rtol=1e-3, atol=1e-5)


def test_the_natural_step_is_the_inverse_fisher_matrix_times_the_gradient() -> None:
    model = make(CORRIDOR, 1, n_episodes=10, learning_rate=1e-3, natural_gradient=True, damping=0.0, target_kl=1e6)
    assert isinstance(model.policy, LinearSoftmaxPolicy)
    model.damping = 1e-6
    _, callback = model._setup_learn(10**9)
    model.collect_rollouts(model.env, callback, model.rollout_buffer)
    observations = model.rollout_buffer.observations()
    before = np.concatenate([p.detach().numpy().ravel() for p in actor(model)])
    pi = model.policy.action_probabilities(observations).double().numpy()
    fisher = np.zeros((len(before), len(before)))
    for action in range(2):
        score = model.policy.score(observations, np.full(len(pi), action)).double().numpy()
        fisher += (score * pi[:, [action]]).T @ score
    model.train()
    gradient = -np.concatenate([p.grad.numpy().ravel() for p in actor(model)]).astype(np.float64)  # type: ignore[union-attr]
    step = np.concatenate([p.detach().numpy().ravel() for p in actor(model)]) - before
    np.testing.assert_allclose(fisher @ step, 1e-3 * 10 * gradient, rtol=0.02, atol=1e-3 * np.abs(gradient).max())


class _Continuous(TabularEnv):
    """
    One action an episode, in one of two states; the reward is a polynomial of the action that got through the bounds,
    and noise.
    """

    BEST = np.array([0.8, -0.5])

    def __init__(self, bound: float) -> None:
        super().__init__(CORRIDOR)
        self.observation_space = spaces.Discrete(2)  # type: ignore[assignment]
        self.action_space = spaces.Box(-bound, bound, (1,))  # type: ignore[assignment]

    def reset(self, **kwargs: Any) -> Any:
        super().reset(**kwargs)
        self.state = int(self.np_random.integers(2))
        return self.state, {}

    @classmethod
    def expected_reward(cls, state: int, action: Any) -> Any:
        return 2.0 + state - (action - cls.BEST[state]) ** 2

    def step(self, action: Any) -> Any:
        reward = self.expected_reward(self.state, float(action[0])) + self.np_random.normal()
        return self.state, reward, True, False, {}


def exact_gaussian_gradient(parameters: list[np.ndarray], bound: float, epsilon: float) -> np.ndarray:
    """Of the expected reward, by integrating over actions; for an action without bounds it is known in closed form."""
    weight, bias, log_std = (th.tensor(p, dtype=th.float64, requires_grad=True) for p in parameters)
    z = th.linspace(-8, 8, 40_001, dtype=th.float64)
    density = th.exp(-(z**2) / 2) / np.sqrt(2 * np.pi) * (z[1] - z[0])
    expected = th.zeros((), dtype=th.float64)
    for state in range(2):
        actions = weight[0, state] + bias[0] + log_std[0].exp() * z
        reward = _Continuous.expected_reward(state, actions.clamp(-bound, bound))
        expected = expected + 0.5 * (1 - epsilon) * (density * reward).sum()  # to explore depends on no parameter
    return np.concatenate([g.numpy().ravel() for g in th.autograd.grad(expected, [weight, bias, log_std])])


def test_the_exact_gaussian_gradient_is_the_closed_form() -> None:
    r"""E[-(a - c)^2] = -(mu - c)^2 - sigma^2."""
    exact = exact_gaussian_gradient([np.array([[0.3, -0.2]]), np.array([0.3]), np.array([-0.4])], 100.0, 0.0)
    by_mean = -2 * (np.array([0.6, 0.1]) - _Continuous.BEST) / 2
    np.testing.assert_allclose(exact, [*by_mean, by_mean.sum(), -2 * np.exp(-0.8)], rtol=1e-5)


@pytest.mark.parametrize(
    ("bound", "epsilon", "baseline", "n_envs"),
    [(100.0, 0.0, "none", 1), (100.0, 0.0, "time", 4), (0.9, 0.0, "leave_one_out", 4), (0.9, 0.3, "leave_one_out", 4)],
)
def test_the_gaussian_estimate_is_unbiased(bound: float, epsilon: float, baseline: str, n_envs: int) -> None:
    """Actions that the bounds clip, and those that are explored by epsilon, included."""
    env = make_vec_env(lambda: _Continuous(bound), n_envs=n_envs, seed=0)
    model = REINFORCE(
        "LinearGaussianPolicy",
        env,
        learning_rate=0.0,
        n_episodes=10,
        baseline=baseline,
        normalize_advantage=False,
        epsilon=epsilon,
        seed=0,
    )
    with th.no_grad():
        for parameter, values in zip(actor(model), ([[0.3, -0.2]], [0.3], [-0.4]), strict=True):
            parameter[:] = th.tensor(values)
    exact = exact_gaussian_gradient([p.detach().numpy().astype(np.float64) for p in actor(model)], bound, epsilon)
    assert np.abs(exact).min() > 0.05
    samples = estimates(model)
    assert standard_errors_off(samples, exact).max() < 4
    assert standard_errors_off(samples, 0.8 * exact).max() > 4, "it is precise enough to tell"


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
        self._n_rows_closed, self._rows = int(self.order.lengths.sum()), []
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
@pytest.mark.parametrize(
    "action_space", [spaces.Discrete(3), spaces.MultiDiscrete([2, 3]), spaces.MultiBinary(2), spaces.Box(-1, 1, (2,))]
)
def test_the_closed_form_trains_as_autograd_does(
    action_space: spaces.Space, epsilon: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    parameters = []
    policy = "LinearGaussianPolicy" if isinstance(action_space, spaces.Box) else "LinearSoftmaxPolicy"
    for closed_form in (True, False):
        env = make_vec_env(lambda: Toy(action_space=action_space), seed=0)
        model = REINFORCE(policy, env, seed=3, epsilon=epsilon)
        with monkeypatch.context() as patch:
            if not closed_form:
                patch.setattr(type(model.policy), "is_linear", False)
            model.learn(1_000)
        parameters.append(model.policy.parameters_to_vector())
    assert np.abs(parameters[0]).max() > 0.1
    np.testing.assert_allclose(parameters[0], parameters[1], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("action_space", [spaces.MultiDiscrete([2, 3]), spaces.MultiBinary(2), spaces.Box(-1, 1, (2,))])
@pytest.mark.parametrize("linear", [True, False])
def test_the_mixture_of_every_action_space_is_the_one_that_is_differentiated(action_space: spaces.Space, linear: bool) -> None:
    """The loss of one action must be minus log beta, with beta written down from its definition."""
    env = make_vec_env(lambda: _Bandit(action_space))
    linear_policy = "LinearGaussianPolicy" if isinstance(action_space, spaces.Box) else "LinearSoftmaxPolicy"
    model = REINFORCE(
        linear_policy if linear else "MlpPolicy",
        env,
        seed=0,
        n_episodes=2,
        baseline="none",
        normalize_advantage=False,
        epsilon=0.25,
    )
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
    policy = "LinearGaussianPolicy" if isinstance(action_space, spaces.Box) else "LinearSoftmaxPolicy"
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
