"""REINFORCE's gradient, as it is when the optimizer gets it, against the exact one of small MDPs."""

import copy
import itertools
from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.logger import configure

from sb3_reinforce import REINFORCE, EpsilonSchedule
from tests.testbed import CORRIDOR, MDP, MDPS, TabularEnv, Toy, exact_estimate, exact_gradient, standard_errors_off

N_EPISODES = 8_000


class Recorder(th.optim.Adam):
    """An optimizer that keeps the gradients of the actor, leaves the actor alone, and steps everything else."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.actor: list[th.nn.Parameter] = []
        self.gradients: list[np.ndarray] = []

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        if all(parameter.grad is not None for parameter in self.actor):
            self.gradients.append(-np.concatenate([p.grad.numpy().ravel() for p in self.actor]))  # uphill
            for parameter in self.actor:
                parameter.grad = None
        for group in self.param_groups:
            group["lr"] = 0.05
        super().step(closure)


def record(model: REINFORCE) -> list[np.ndarray]:
    """Where the gradients of each rollout are kept from now on."""
    assert isinstance(model.policy.optimizer, Recorder)
    model.policy.optimizer.actor = actor(model)
    return model.policy.optimizer.gradients


def make(mdp: MDP, n_envs: int, seed: int = 0, **kwargs: Any) -> REINFORCE:
    """A model whose steps have length zero, so that all rollouts are of the same policy."""
    env = make_vec_env(lambda: TabularEnv(mdp), n_envs=n_envs, seed=seed)
    arguments = {"n_episodes": 40, "gamma": 1.0, "normalize_advantage": False, **kwargs}
    arguments.setdefault("policy_kwargs", {"optimizer_class": Recorder})
    model = REINFORCE("LinearSoftmaxPolicy", env, seed=seed, **arguments)
    rng = np.random.default_rng(42)
    with th.no_grad():
        for parameter in actor(model):
            parameter += th.tensor(rng.normal(size=parameter.shape, scale=0.5), dtype=th.float32)
    model.set_logger(configure(None, []))
    return model


def actor(model: REINFORCE) -> list[th.nn.Parameter]:
    return model.policy.actor_parameters()  # type: ignore[operator, return-value]


def weight_and_bias(model: REINFORCE) -> tuple[np.ndarray, np.ndarray]:
    weight, bias = (parameter.detach().numpy().astype(np.float64) for parameter in actor(model))
    return weight, bias


class _Rollouts(BaseCallback):
    """Stops after so many rollouts, with what is to be done after each."""

    def __init__(self, n_rollouts: int, *others: REINFORCE) -> None:
        super().__init__()
        self.n_rollouts, self.others = n_rollouts, others

    def _on_step(self) -> bool:
        order = self.model.rollout_buffer.order  # type: ignore[attr-defined]
        n_ending = np.count_nonzero(self.locals["dones"] & self.locals["learned_from"])
        return self.n_rollouts > 1 or order.n_ended + n_ending < order.n_episodes

    def _on_rollout_end(self) -> None:
        self.n_rollouts -= 1
        for other in self.others:  # they learn from the very same rollout
            other.rollout_buffer = self.model.rollout_buffer  # type: ignore[assignment, attr-defined]
            other.train()


def estimates(model: REINFORCE, n_episodes: int = N_EPISODES) -> np.ndarray:
    """One estimate of the gradient a rollout. Shape ``(n_rollouts, n_parameters)``."""
    gradients = record(model)
    model.learn(10**9, callback=_Rollouts(n_episodes // model.rollout_buffer.n_episodes), log_interval=None)
    return np.array(gradients)


def several_estimates(models: list[REINFORCE], n_rollouts: int) -> np.ndarray:
    """What each of some models makes of the first one's rollouts. Shape ``(n_rollouts, n_models, n_parameters)``."""
    gradients = [record(model) for model in models]
    models[0].learn(10**9, callback=_Rollouts(n_rollouts, *models[1:]), log_interval=None)
    return np.stack([np.array(kept)[:n_rollouts] for kept in gradients], axis=1)


@pytest.mark.parametrize("n_envs", [1, 4])
@pytest.mark.parametrize("name", MDPS)
def test_the_estimate_is_unbiased(name: str, n_envs: int) -> None:
    baselines = ["none", "leave_one_out", "time"]
    models = [make(MDPS[name], n_envs, baseline=baseline, n_episodes=80) for baseline in baselines]
    exact = exact_gradient(MDPS[name], *weight_and_bias(models[0]))
    assert np.abs(exact).max() > 0.1
    samples = several_estimates(models, N_EPISODES // 80)
    for i, baseline in enumerate(baselines):
        assert standard_errors_off(samples[:, i], exact).max() < 4, baseline


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


@pytest.mark.parametrize("epsilon", [0.0, 0.3])
@pytest.mark.parametrize("name", MDPS)
def test_every_estimator_is_unbiased_for_what_it_says_it_estimates(name: str, epsilon: float) -> None:
    mdp, gamma = MDPS[name], 0.8
    models = [
        make(
            mdp,
            8,
            n_episodes=160,
            gamma=gamma,
            epsilon=epsilon,
            n_value_updates=2,
            baseline=_MeanByState() if baseline == "own" else baseline,
            reward_to_go=to_go,
            discount_weighting=discount_weighting,
        )
        for baseline, to_go, discount_weighting in ESTIMATORS
    ]
    before = weight_and_bias(models[0])
    samples = several_estimates(models, N_EPISODES // 160)
    np.testing.assert_array_equal(weight_and_bias(models[0])[0], before[0])
    discounted = exact_gradient(mdp, *before, epsilon=epsilon, gamma=gamma)
    usual = exact_estimate(mdp, *before, gamma=gamma, epsilon=epsilon)
    assert np.abs(usual - discounted).max() > 0.02, "two different things"
    for i, (_, to_go, discount_weighting) in enumerate(ESTIMATORS):
        exact = usual if to_go and not discount_weighting else discounted
        assert standard_errors_off(samples[:, i], exact).max() < 4, ESTIMATORS[i]


UNBIASED = {"baseline": "leave_one_out", "normalize_advantage": False, "max_grad_norm": None, "bootstrap_truncated": False}


BIASED: dict[str, tuple[list[dict[str, Any]], int]] = {
    "corridor": ([{"baseline": "mean"}, {"normalize_advantage": True}, {"max_grad_norm": 1.0}], 2_000),
    "loop": ([{"bootstrap_truncated": True}], 600),
}
"""By the MDP on which it shows: arguments, and in how many rollouts it does."""


@pytest.mark.parametrize("name", BIASED)
def test_what_the_docstring_calls_biased_is_and_without_it_the_same_rollouts_are_not(name: str) -> None:
    biased, n_rollouts = BIASED[name]
    # The buffer is that of the first, who plays, and must keep what all of them need
    models = [make(MDPS[name], 1, n_episodes=2, n_value_updates=0, **{**UNBIASED, **more}) for more in (*biased, {})]
    for model in models:
        with th.no_grad():  # a value net that knows nothing
            model.policy.value_net.weight.zero_()
            model.policy.value_net.bias.fill_(10.0)
    *with_bias, without = several_estimates(models, n_rollouts).swapaxes(0, 1)
    exact = exact_gradient(MDPS[name], *weight_and_bias(models[0]))
    assert standard_errors_off(without, exact).max() < 4
    for arguments, samples in zip(biased, with_bias, strict=True):
        rescaled = samples * (exact @ exact) / (samples.mean(axis=0) @ exact)
        assert standard_errors_off(rescaled, exact).max() > 5, f"not even its direction is right: {arguments}"


def followed_by(rewards: np.ndarray, lengths: np.ndarray, cut_off: np.ndarray, gamma: float, value: float) -> list[np.ndarray]:
    """The slow version of each episode's returns to go, with a value where a time limit cut it off."""
    episodes = []
    for number, part in enumerate(np.split(rewards, np.cumsum(lengths)[:-1])):
        followed, returns = (value if number in cut_off else 0.0), []
        for reward in reversed(part):
            followed = reward + gamma * followed
            returns.append(followed)
        episodes.append(np.array(returns[::-1]))
    return episodes


@pytest.mark.parametrize("to_go", [True, False])
def test_bootstrapping_adds_the_discounted_value_where_a_time_limit_ended_the_episode(to_go: bool) -> None:
    """LOOP is cut off after 5 timesteps; its value net says 10 in every state, and then learns what follows."""
    model = make(
        MDPS["loop"], 2, baseline="none", n_episodes=60, gamma=0.5, bootstrap_truncated=True, reward_to_go=to_go, vf_coef=1.0,
        n_value_updates=400,
    )  # fmt: skip
    with th.no_grad():
        model.policy.value_net.weight.zero_()
        model.policy.value_net.bias.fill_(10.0)
    (gradient,) = estimates(model, 60)
    rollout = model.rollout_buffer.rollout()
    assert 0 < len(rollout.cut_off) < 60
    assert (rollout.lengths[rollout.cut_off] == 5).all()
    assert set(np.ravel(rollout.last_observations).tolist()) <= {0, 1, 2}
    returns = followed_by(rollout.rewards, rollout.lengths, rollout.cut_off, 0.5, 10.0)
    credited = np.concatenate([part if to_go else np.full(len(part), part[0]) for part in returns])
    policy: Any = model.policy
    scores = policy.score(rollout.observations, rollout.actions).numpy()
    np.testing.assert_allclose(gradient, credited @ scores / 60, rtol=1e-4, atol=1e-5)
    # Whatever actions are credited with, the value net learns what follows
    targets, states = np.concatenate(returns), np.asarray(rollout.observations)
    with th.no_grad():
        values = policy.predict_values(th.arange(3)).numpy().ravel()
    for state in range(3):
        spread = targets[states == state].std() / np.sqrt(np.count_nonzero(states == state))
        assert abs(values[state] - targets[states == state].mean()) < 6 * spread + 0.3


def test_the_entropy_bonus_makes_the_policy_more_random() -> None:
    entropies = []
    for ent_coef in (0.0, 100.0):
        model = make(CORRIDOR, 1, ent_coef=ent_coef, learning_rate=0.1, policy_kwargs={})
        model.learn(1_000)
        pi = model.policy.action_probabilities(np.arange(4))  # type: ignore[operator]
        entropies.append(float(-(pi * pi.log()).sum(dim=1).mean()))
    assert entropies[1] > entropies[0] + 0.1
    assert entropies[1] > 0.65, "close to log 2, uniform"


@pytest.mark.parametrize("policy", ["LinearSoftmaxPolicy", "MlpPolicy"])
@pytest.mark.parametrize("baseline", ["none", "optimal"])
def test_the_gradient_is_the_mean_of_the_episodes_own(policy: str, baseline: str) -> None:
    """Each episode's own is computed by autograd from its definition; so is the signal-to-noise ratio."""
    arguments: dict[str, Any] = {"n_episodes": 5, "normalize_advantage": False, "log_gradient_snr": True}
    kwargs = {"optimizer_class": th.optim.SGD, **({"net_arch": [8]} if policy == "MlpPolicy" else {})}
    model = REINFORCE(
        policy, "CartPole-v1", learning_rate=0.0, baseline=baseline, seed=1, policy_kwargs=kwargs, epsilon=0.1, **arguments
    )  # fmt: skip
    kept: dict[str, float] = {}

    class Look(_Rollouts):
        def _on_training_end(self) -> None:
            kept.update(self.logger.name_to_value)

    model.learn(10**9, callback=Look(1), log_interval=None)
    actors = [p for p in model.policy.parameters() if p.grad is not None]
    gradient = -np.concatenate([p.grad.numpy().ravel() for p in actors])  # type: ignore[union-attr]
    rollout = model.rollout_buffer.rollout()
    returns = np.concatenate(followed_by(rollout.rewards, rollout.lengths, np.array([]), 1.0, 0.0))
    distribution = model.policy.get_distribution(th.as_tensor(rollout.observations))
    log_beta = th.log(0.9 * distribution.log_prob(th.as_tensor(rollout.actions)).exp() + 0.1 / 2)
    rows: dict[str, list[np.ndarray]] = {"estimates": [], "scores": []}
    for episode in np.split(np.arange(rollout.n_timesteps), np.cumsum(rollout.lengths)[:-1]):
        for name, weights in (("estimates", returns), ("scores", np.ones(len(returns)))):
            weighted = (th.as_tensor(weights[episode]) * log_beta[episode]).sum()
            parts = th.autograd.grad(weighted, actors, retain_graph=True)
            rows[name].append(th.cat([part.flatten() for part in parts]).numpy())
    own, scores = (np.array(rows[name], dtype=np.float64) for name in ("estimates", "scores"))
    if baseline == "optimal":
        own = np.array([a - _best_constant(own, scores, i) * s for i, (a, s) in enumerate(zip(own, scores, strict=True))])
    np.testing.assert_allclose(own.mean(axis=0), gradient, rtol=1e-2, atol=1e-3 * np.abs(gradient).max())
    noise = own.var(axis=0, ddof=1).sum() / 5
    assert kept["train/gradient_snr"] == pytest.approx((own.mean(axis=0) ** 2).sum() / noise - 1, rel=1e-2, abs=1e-3)


def _best_constant(estimates: np.ndarray, scores: np.ndarray, left_out: int) -> np.ndarray:
    """For each parameter, of the other episodes."""
    others = [i for i in range(len(scores)) if i != left_out]
    squares = (scores[others] ** 2).sum(axis=0)
    return np.divide((scores[others] * estimates[others]).sum(axis=0), squares, np.zeros_like(squares), where=squares > 1e-9)


class _NaturalSteps(_Rollouts):
    """At the end of each rollout: its timesteps, its Fisher matrix, from action probabilities, and the parameters."""

    def __init__(self, n_rollouts: int) -> None:
        super().__init__(n_rollouts)
        self.fishers: list[np.ndarray] = []
        self.lengths: list[int] = []
        self.before: list[np.ndarray] = []
        self.gradients: list[np.ndarray] = []

    def _on_rollout_end(self) -> None:
        model: Any = self.model
        self.gradients.append(gradient_of(model))  # of the last rollout
        policy, observations = model.policy, model.rollout_buffer.observations
        pi = policy.action_probabilities(observations).double().numpy()
        scores = [policy.score(observations, np.full(len(pi), action)).double().numpy() for action in range(2)]
        self.fishers.append(sum((score * pi[:, [action]]).T @ score for action, score in enumerate(scores)) / len(pi))
        self.lengths.append(len(pi))
        self.before.append(parameters_of(model))
        super()._on_rollout_end()


def gradient_of(model: REINFORCE) -> np.ndarray:
    """Of the objective; 0 before the first rollout."""
    gradients = [np.zeros(p.shape) if p.grad is None else -p.grad.numpy() for p in actor(model)]
    return np.concatenate([gradient.ravel() for gradient in gradients]).astype(np.float64)


def parameters_of(model: REINFORCE) -> np.ndarray:
    return np.concatenate([p.detach().numpy().ravel() for p in actor(model)]).astype(np.float64)


def test_a_learning_rate_of_0_forgets_nothing() -> None:
    model = make(CORRIDOR, 1, n_episodes=10, natural_gradient=True, policy_kwargs={}).learn(300, log_interval=None)
    before = parameters_of(model)
    model.learning_rate = 0.0
    model._setup_lr_schedule()
    model.learn(300, log_interval=None)
    np.testing.assert_array_equal(parameters_of(model), before)


@pytest.mark.parametrize("rate", [1e-3, 0.1])
def test_natural_steps_are_bold_and_forgotten_and_cautious_and_kept(rate: float) -> None:
    """Three rollouts; the last step from what the policy was and did, by dense matrices."""
    damping = 1e-2
    model = make(
        CORRIDOR, 1, n_episodes=10, learning_rate=rate, natural_gradient=True, damping=damping, target_kl=1e6, policy_kwargs={}
    )
    played = _NaturalSteps(3)
    model.learn(10**9, callback=played, log_interval=None)
    gradients = [*played.gradients[1:], gradient_of(model)]
    kept, recent, n_before = played.before[0].copy(), np.zeros(len(played.before[0])), 0
    identity, mean = np.eye(len(kept)), played.fishers[0]
    for k, (fisher, n, gradient) in enumerate(zip(played.fishers, played.lengths, gradients, strict=True)):
        np.testing.assert_allclose(kept + recent, played.before[k], rtol=1e-3, atol=1e-6)
        gradient = gradient * 10 / n  # of the objective for each timestep
        new_mean = (n_before * mean + n * fisher) / (n_before + n)
        before, after = (matrix + np.trace(matrix) / len(matrix) * identity for matrix in (mean, new_mean))
        cautious = rate * n / 200 * (n_before + n) / (n_before + n + 2_000)
        kept = kept + np.linalg.solve(after, cautious * gradient - rate * (after - before) @ kept)
        bold = np.linalg.solve(fisher + damping * np.trace(fisher) / len(fisher) * identity, gradient)
        forgotten = rate * min(0.5, 256 / n, 8 / (k + 1)) * recent
        recent = recent - forgotten + rate * max(1.0, (n / 1_000) ** 0.5) * bold
        mean, n_before = new_mean, n_before + n
    np.testing.assert_allclose(kept + recent, parameters_of(model), rtol=1e-3, atol=1e-6)
    assert np.abs(kept).max() > 1e-5, "float32 could not tell it from nothing"


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
        n_episodes=40,
        baseline=baseline,
        normalize_advantage=False,
        epsilon=epsilon,
        seed=0,
        policy_kwargs={"optimizer_class": Recorder},
    )
    with th.no_grad():
        for parameter, values in zip(actor(model), ([[0.3, -0.2]], [0.3], [-0.4]), strict=True):
            parameter[:] = th.tensor(values)
    exact = exact_gaussian_gradient([p.detach().numpy().astype(np.float64) for p in actor(model)], bound, epsilon)
    assert np.abs(exact).min() > 0.05
    samples = estimates(model)
    assert standard_errors_off(samples, exact).max() < 4
    assert standard_errors_off(samples, 0.8 * exact).max() > 4, "it is precise enough to tell"


def test_to_take_the_first_finished_would_be_caught() -> None:
    """The mistake: go on starting episodes, and take the first four that are over, from four environments."""
    model = make(CORRIDOR, n_envs=4, baseline="none", n_episodes=4)
    exact = exact_gradient(CORRIDOR, *weight_and_bias(model))
    policy: Any = model.policy
    env, samples = model.get_env(), []
    assert env is not None
    for _ in range(200):
        obs: Any = env.reset()
        playing: list[list[tuple[int, int, float]]] = [[] for _ in range(4)]
        finished: list[list[tuple[int, int, float]]] = []
        while len(finished) < 4:
            actions, _ = model.predict(obs, deterministic=False)
            new_obs, rewards, dones, _ = env.step(actions)
            for i in range(4):
                playing[i].append((int(obs[i]), int(actions[i]), float(rewards[i])))
                if dones[i]:
                    finished.append(playing[i])
                    playing[i] = []
            obs = new_obs
        samples.append(np.mean([gradient_of_episode(policy, episode) for episode in finished], axis=0))
    assert standard_errors_off(np.array(samples), exact).max() > 10


def gradient_of_episode(policy: Any, episode: list[tuple[int, int, float]]) -> np.ndarray:
    """Each score by what followed it."""
    states, actions, rewards = (np.array(part) for part in zip(*episode, strict=True))
    return np.cumsum(rewards[::-1])[::-1] @ policy.score(states, actions).numpy()


def test_one_step_goes_along_the_mean_over_episodes_of_the_sum_over_timesteps() -> None:
    """By hand: two episodes, of 1 and of 2 timesteps."""
    model = make(CORRIDOR, 1, baseline="none", n_episodes=2)
    gradients = record(model)
    for state, action, reward, done in ((0, 0, 2.0, True), (0, 1, -1.0, False), (1, 0, 0.5, True)):
        model.rollout_buffer.add(np.array([state]), np.array([action]), np.array([reward]), np.array([done]), [{}])
    model.train()
    policy: Any = model.policy
    score = policy.score(np.array([0, 0, 1]), np.array([0, 1, 0])).numpy()
    expected = (2.0 * score[0] + (-1.0 + 0.5) * score[1] + 0.5 * score[2]) / 2
    np.testing.assert_allclose(gradients[0], expected, rtol=1e-5, atol=1e-6)


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
                patch.setattr(type(model.policy), "has_closed_form", False)
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
    losses: list[float] = []

    class Look(_Rollouts):
        def _on_training_end(self) -> None:
            losses.append(self.logger.name_to_value["train/policy_loss"])

    before = copy.deepcopy(model.policy)
    model.learn(10**9, callback=Look(1), log_interval=None)
    obs, actions = th.as_tensor(model.rollout_buffer.observations), th.as_tensor(model.rollout_buffer.actions)
    pi = before.get_distribution(obs).log_prob(actions).exp().detach()
    uniform: Any = {spaces.MultiDiscrete: 1 / 6, spaces.MultiBinary: 1 / 4, spaces.Box: 1 / 4}[type(action_space)]
    if isinstance(action_space, spaces.Box):
        uniform = uniform * (actions.abs() <= 1).all(dim=1)
    assert losses[0] == pytest.approx(-float(th.log(0.75 * pi + 0.25 * uniform).mean()), rel=1e-4)


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
            seen.append(model.rollout_buffer.epsilons.tolist())
            rates.append(model.exploration_rate)

    model.learn(12, callback=_Look())
    np.testing.assert_allclose(seen, [[0.9, 0.8, 0.7, 0.6], [0.5, 0.4, 0.3, 0.2]])
    np.testing.assert_allclose(rates, [0.6, 0.2])
    model.learn(6, callback=_Look(), reset_num_timesteps=False)
    np.testing.assert_allclose(seen[-1], [0.1] * 4)
