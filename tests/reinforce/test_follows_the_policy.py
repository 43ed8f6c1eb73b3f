"""The policy is what the user says it is: it acts, and its log-probabilities are differentiated."""

import copy
import itertools
import pathlib
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.utils import obs_as_tensor
from torch import nn
from torch.nn.modules.module import register_module_forward_hook

from sb3_reinforce import REINFORCE, LinearSoftmaxPolicy, PythonVecEnv
from tests.policies.usual_and_unusual import (
    CASES,
    PICTURE,
    UNUSUAL,
    USUAL,
    Case,
    MasksInItsDoors,
    settle,
    softmax,
)

pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm.*deprecated:FutureWarning")

N_ENVS = 20
N_EPISODES = 16 * N_ENVS
EPISODE_LENGTH = 3
N_QUESTIONS = 3
LIKELY = 1e-4
"""Of what is true, less often seen than this."""


# --- What is played, and what reaches the optimizer


class Quiz(gym.Env[Any, Any]):
    """Asks one of three questions each time, and writes down what it is answered."""

    def __init__(self, observation_space: spaces.Space, action_space: spaces.Space) -> None:
        self.observation_space, self.action_space = observation_space, action_space
        self.questions = questions_of(observation_space)
        self.answers: list[tuple[int, Any]] = []

    def _ask(self) -> Any:
        self.question = int(self.np_random.integers(N_QUESTIONS))
        return self.questions[self.question]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.time = 0
        return self._ask(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.answers.append((self.question, np.array(action)))
        reward = float(np.sin(1.3 * self.question + 2.1 * np.sum(action) + 0.7 * self.time))
        self.time += 1
        return self._ask(), reward, self.time == EPISODE_LENGTH, False, {}


def questions_of(space: spaces.Space) -> list[Any]:
    """Some that masks tell apart."""
    space.seed(3)
    return [space.sample() for _ in range(N_QUESTIONS)]


class RecordingSGD(th.optim.SGD):
    """Keeps the gradients that it gets, and moves nothing."""

    def __init__(self, parameters: Any, lr: float = 0.0) -> None:
        super().__init__(parameters, lr=lr)
        self.gradients: dict[int, th.Tensor] = {}

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        self.gradients = gradients_of([parameter for group in self.param_groups for parameter in group["params"]])


def gradients_of(parameters: Any) -> dict[int, th.Tensor]:
    return {id(p): p.grad.detach().clone() for p in parameters if p.grad is not None}


class _Looks(BaseCallback):
    """Computes the gradient of a rollout before it is learned from, and without a look into the one that is."""

    def __init__(self, case: Case, epsilon: float) -> None:
        super().__init__()
        self.case, self.epsilon = case, epsilon

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        self.buffer = copy.deepcopy(self.model.rollout_buffer)
        self.gradients = gradient_of_log_probabilities(self.case, self.model.policy, self.buffer, self.epsilon)


@dataclass(frozen=True)
class Played:
    policy: Any
    epsilon: float
    questions: np.ndarray
    answers: np.ndarray
    gradients: dict[int, th.Tensor]
    expected: dict[int, th.Tensor]
    buffer: Any


def make(case: Case, env: Any, seed: int = 0, **kwargs: Any) -> REINFORCE:
    arguments = {"baseline": "none", "normalize_advantage": False, "learning_rate": 0.0, "device": "cpu", **kwargs}
    model = REINFORCE(case.policy, env, seed=seed, policy_kwargs={**case.kwargs, "optimizer_class": RecordingSGD}, **arguments)
    settle(model.policy, seed)
    treated = case.treat(model.policy)
    model.policy = model.policy if treated is None else treated
    model.policy.optimizer = RecordingSGD(model.policy.parameters())
    return model


def play(
    case: Case, epsilon: float = 0.0, seed: int = 0, n_envs: int = N_ENVS, n_episodes: int = N_EPISODES, **kwargs: Any
) -> Played:
    envs = [Quiz(copy.deepcopy(case.observation_space), case.action_space) for _ in range(n_envs)]
    vec_env = PythonVecEnv([lambda env=env: env for env in envs])
    model = make(case, vec_env, seed, epsilon=epsilon, n_episodes=n_episodes, **kwargs)
    looks = _Looks(case, epsilon)
    model.learn(n_episodes * EPISODE_LENGTH, callback=looks, log_interval=None)
    questions, answers = zip(*(answer for env in envs for answer in env.answers), strict=True)
    assert len(answers) == n_episodes * EPISODE_LENGTH == model.num_timesteps, "no environment was idle"
    gradients = model.policy.optimizer.gradients or gradients_of(model.policy.parameters())
    return Played(model.policy, epsilon, np.array(questions), np.stack(answers), gradients, looks.gradients, looks.buffer)


# --- What the policy says


def log_prob_of(policy: Any, obs: Any, actions: th.Tensor, doors: bool) -> th.Tensor:
    return policy.evaluate_actions(obs, actions)[1] if doors else policy.get_distribution(obs).log_prob(actions)


def sample(policy: Any, obs: Any, doors: bool) -> np.ndarray:
    with th.no_grad():
        actions = policy(obs)[0] if doors else policy.get_distribution(obs).get_actions()
    return actions.numpy()


def batch_of(space: spaces.Space, question: int, n: int) -> Any:
    obs = questions_of(copy.deepcopy(space))[question]
    if isinstance(obs, dict):
        return {key: th.as_tensor(np.repeat(np.asarray(part)[None], n, axis=0)) for key, part in obs.items()}
    return th.as_tensor(np.repeat(np.asarray(obs)[None], n, axis=0))


def all_actions(space: spaces.Space) -> np.ndarray:
    if isinstance(space, spaces.Discrete):
        return np.arange(space.n)
    choices = space.nvec if isinstance(space, spaces.MultiDiscrete) else [2] * space.n
    return np.array(list(itertools.product(*map(range, choices))))


def log_uniform(space: spaces.Space, actions: th.Tensor) -> th.Tensor:
    if not isinstance(space, spaces.Box):
        return th.full((len(actions),), -float(np.log(len(all_actions(space)))))
    low, high = th.as_tensor(space.low.ravel()), th.as_tensor(space.high.ravel())
    inside = ((actions >= low) & (actions <= high)).all(dim=1)
    return th.where(inside, -(high - low).log().sum(), -th.inf)


def gradient_of_log_probabilities(case: Case, policy: Any, buffer: Any, epsilon: float) -> dict[int, th.Tensor]:
    """By autograd, of minus the sum of w log beta, where w is what followed, by the number of episodes."""
    obs, actions = obs_as_tensor(buffer.observations, th.device("cpu")), th.as_tensor(buffer.actions)
    rewards = buffer.rewards.reshape(-1, EPISODE_LENGTH)
    to_go = rewards[:, ::-1].cumsum(axis=1)[:, ::-1].ravel()
    log_behaviour = log_prob_of(policy, obs, actions, case.doors)
    if epsilon:
        log_behaviour = th.log((1 - epsilon) * log_behaviour.exp() + epsilon * log_uniform(case.action_space, actions).exp())
    policy.zero_grad()
    (-(th.as_tensor(to_go.copy()) * log_behaviour).sum() / len(rewards)).backward()
    gradients = gradients_of(policy.parameters())
    policy.zero_grad()
    return gradients


# --- Whether they are the same


def chi_square(statistic: float, freedom: int) -> float:
    """How probable a statistic as large as this is."""
    half = th.tensor([freedom, statistic], dtype=th.float64) / 2
    return float(th.special.gammaincc(half[0], half[1])) if freedom else 1.0


def likelihood_of_counts(counts: np.ndarray, probabilities: np.ndarray) -> tuple[float, int]:
    """Pearson's statistic, with its degrees of freedom; rare outcomes count as one."""
    expected = probabilities * counts.sum()
    if (counts[expected < 1e-3] > 0).any():
        return np.inf, 1
    rare = expected < 5
    counts = np.append(counts[~rare], counts[rare].sum())
    expected = np.append(expected[~rare], expected[rare].sum())
    kept = expected > 0
    return float(((counts - expected)[kept] ** 2 / np.maximum(expected[kept], 1.0)).sum()), int(kept.sum()) - 1


def likelihood_of_same(first: np.ndarray, second: np.ndarray) -> float:
    """Kolmogorov and Smirnov's test of two samples, asymptotically."""
    points = np.concatenate([first, second])
    shares = [np.searchsorted(np.sort(values), points, side="right") / len(values) for values in (first, second)]
    scale = np.sqrt(len(first) * len(second) / len(points))
    distance = (scale + 0.12 + 0.11 / scale) * np.abs(shares[0] - shares[1]).max()
    if distance < 0.3:
        return 1.0
    k = np.arange(1, 101)
    return float(2 * ((-1.0) ** (k - 1) * np.exp(-2 * k**2 * distance**2)).sum())


def probabilities(case: Case, policy: Any, question: int, epsilon: float) -> np.ndarray:
    actions = all_actions(case.action_space)
    dtype = np.float32 if isinstance(case.action_space, spaces.MultiBinary) else np.int64
    obs = batch_of(case.observation_space, question, len(actions))
    with th.no_grad():
        pi = log_prob_of(policy, obs, th.as_tensor(actions.astype(dtype)), case.doors).double().exp().numpy()
    if case.samples:
        pi = counts_of(case.action_space, sample(policy, batch_of(case.observation_space, question, 200_000), case.doors))
        pi = pi / pi.sum()
    assert pi.sum() == pytest.approx(1, abs=1e-5)
    return (1 - epsilon) * pi + epsilon / len(actions)


def counts_of(space: spaces.Space, actions: np.ndarray) -> np.ndarray:
    possible = all_actions(space).reshape(len(all_actions(space)), -1)
    return (actions.reshape(len(actions), 1, -1) == possible).all(axis=2).sum(axis=0)


def likelihood(case: Case, policy: Any, played: Played) -> float:
    """How probable what was played is, or what is less like it, if the policy acts."""
    if isinstance(case.action_space, spaces.Box):
        return _likelihood_of_numbers(case, policy, played, case.action_space)
    tests = [
        likelihood_of_counts(
            counts_of(case.action_space, played.answers[played.questions == question]),
            probabilities(case, policy, question, played.epsilon),
        )
        for question in np.unique(played.questions)
    ]
    statistics, freedoms = zip(*tests, strict=True)
    return chi_square(sum(statistics), sum(freedoms))


def _likelihood_of_numbers(case: Case, policy: Any, played: Played, space: spaces.Box) -> float:
    rng = np.random.default_rng(0)
    least = 1.0
    n_samples = 2_000 if case.observation_space is PICTURE else 20_000
    for question in np.unique(played.questions):
        expected = sample(policy, batch_of(case.observation_space, question, n_samples), case.doors)
        expected = expected.reshape(-1, *space.shape)
        explored = rng.random(len(expected)) < played.epsilon
        expected[explored] = rng.uniform(space.low, space.high, expected.shape)[explored]
        expected = expected.clip(space.low, space.high).reshape(len(expected), -1)
        answers = played.answers[played.questions == question].reshape(-1, expected.shape[1])
        for direction in (*np.eye(expected.shape[1]), np.ones(expected.shape[1])):
            least = min(least, likelihood_of_same(answers @ direction, expected @ direction))
    return min(1.0, least * N_QUESTIONS * (expected.shape[1] + 1))


def relative_difference(got: dict[int, th.Tensor], expected: dict[int, th.Tensor]) -> float:
    """Of gradients; one that is missing is 0."""
    keys = {*got, *expected}
    zero = th.zeros(())
    distance = sum(float((got.get(key, zero) - expected.get(key, zero)).double().square().sum()) for key in keys)
    length = sum(float(gradient.double().square().sum()) for gradient in expected.values())
    return float(np.sqrt(distance) / (np.sqrt(length) + 1e-6))


def check(case: Case, played: Played) -> None:
    th.manual_seed(0)
    assert likelihood(case, played.policy, played) > LIKELY, "other actions are played than the policy's"
    assert relative_difference(played.gradients, played.expected) < 1e-4, (
        "it is another gradient than that of the actions played"
    )


# --- The tests


@pytest.mark.parametrize("epsilon", [0.0, 0.3])
@pytest.mark.parametrize("name", CASES)
def test_the_policy_acts_and_its_log_probabilities_are_differentiated(name: str, epsilon: float) -> None:
    check(CASES[name], play(CASES[name], epsilon))


@settings(derandomize=True, max_examples=60)
@given(
    st.sampled_from([name for name in CASES if "compiled" not in name]),
    st.integers(1, 10_000),
    st.sampled_from([0.0, 0.05, 0.6, 1.0]),
    st.integers(1, 7),
    st.integers(5, 20),
)
def test_with_any_weights_epsilon_and_number_of_environments(
    name: str, seed: int, epsilon: float, n_envs: int, n_rounds: int
) -> None:
    check(CASES[name], play(CASES[name], epsilon, seed, n_envs, n_envs * n_rounds))


TWINS = {
    "MlpPolicy": ("MlpPolicy", Case.small),
    "MlpPolicy of one layer": ("MlpPolicy", {"net_arch": [3]}),
    "LinearSoftmaxPolicy": ("LinearSoftmaxPolicy", {}),
    "LinearGaussianPolicy": ("LinearGaussianPolicy", {}),
}


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.taken_for])
def test_somebody_who_looks_at_the_layers_only_would_be_found_out(name: str) -> None:
    """So that the tests above can fail: his actions, or else his gradient, are others."""
    case, played = CASES[name], play(CASES[name])
    policy, kwargs = TWINS[case.taken_for]  # type: ignore[index]
    twin_case = Case(policy, case.action_space, case.observation_space, kwargs)
    twin = make(twin_case, Quiz(case.observation_space, case.action_space)).policy
    th.manual_seed(0)
    if likelihood(twin_case, twin, played) > LIKELY:
        wrong = gradient_of_log_probabilities(twin_case, twin, played.buffer, played.epsilon)
        same = {id(p): id(dict(played.policy.named_parameters()).get(name)) for name, p in twin.named_parameters()}
        assert relative_difference({same[key]: gradient for key, gradient in wrong.items()}, played.gradients) > 0.01


def test_other_weights_would_be_found_out() -> None:
    for name, case in USUAL.items():
        if name == "softmax, one action":
            continue
        played = play(case)
        with th.no_grad():
            for parameter in played.policy.action_net.parameters():
                parameter += 0.5 * th.randn(parameter.shape, generator=th.Generator().manual_seed(0))
        assert likelihood(case, played.policy, played) < LIKELY, name


def test_a_hook_of_all_modules_is_followed() -> None:
    case = softmax(lambda policy: None)

    def triple(module: nn.Module, inputs: Any, output: Any) -> Any:
        return 3.0 * output if isinstance(module, nn.Linear) else None

    handle = register_module_forward_hook(triple)
    try:
        played = play(Case(case.policy, doors=True))
        check(Case(case.policy, doors=True), played)
    finally:
        handle.remove()
    assert likelihood(case, played.policy, played) < LIKELY


@pytest.mark.parametrize(
    "arguments",
    [{}, {"baseline": "value"}, {"baseline": "linear"}, {"baseline": "optimal", "log_gradient_snr": True}],
    ids=str,
)
@pytest.mark.parametrize("policy", ["MlpPolicy", "LinearSoftmaxPolicy"])
def test_a_compiled_policy_learns_is_saved_and_loaded_as_any_other(
    policy: str, arguments: dict[str, Any], tmp_path: pathlib.Path
) -> None:
    plain, compiled = (REINFORCE(policy, "CartPole-v1", seed=0, n_episodes=3, device="cpu", **arguments) for _ in range(2))
    compiled.policy = th.compile(compiled.policy, backend="eager")
    before = plain.policy.parameters_to_vector()
    compiled.learn(150).save(tmp_path / "model")
    assert not np.array_equal(compiled.policy.parameters_to_vector(), before)
    loaded = REINFORCE.load(tmp_path / "model", env=compiled.get_env())
    np.testing.assert_array_equal(loaded.policy.parameters_to_vector(), compiled.policy.parameters_to_vector())
    loaded.learn(100, reset_num_timesteps=False)


# --- What can't be followed


class OnlyForward(ActorCriticPolicy):
    def forward(self, obs: Any, deterministic: bool = False) -> Any:
        return super().forward(obs, deterministic)


class LinearOnlyForward(LinearSoftmaxPolicy):
    def forward(self, obs: Any, deterministic: bool = False) -> Any:
        return super().forward(obs, deterministic)


class OnlyEvaluates(ActorCriticPolicy):
    def evaluate_actions(self, obs: Any, actions: Any) -> Any:
        return super().evaluate_actions(obs, actions)


class EvaluatesInGetDistributionToo(OnlyEvaluates):
    def get_distribution(self, obs: Any) -> Any:
        return super().get_distribution(obs)


class _Mixin:
    forward = MasksInItsDoors.forward


class OnlyForwardFromAMixin(_Mixin, ActorCriticPolicy): ...  # type: ignore[misc]


@pytest.mark.parametrize(
    ("policy", "overridden", "other"),
    [
        (OnlyForward, "forward", "evaluate_actions"),
        (LinearOnlyForward, "forward", "evaluate_actions"),
        (OnlyForwardFromAMixin, "forward", "evaluate_actions"),
        (OnlyEvaluates, "evaluate_actions", "forward"),
        (EvaluatesInGetDistributionToo, "evaluate_actions", "forward"),
    ],
)
def test_one_door_without_the_other_is_refused_when_the_model_is_made(policy: Any, overridden: str, other: str) -> None:
    with pytest.raises(ValueError, match=f"{policy.__name__} overrides {overridden}, but not {other}"):
        REINFORCE(policy, "CartPole-v1")


def _scales_the_observation(policy: nn.Module) -> None:
    policy.register_forward_pre_hook(lambda module, inputs: (3.0 * inputs[0], *inputs[1:]))


def _plays_action_0(policy: nn.Module) -> None:
    policy.register_forward_hook(lambda module, inputs, output: (th.zeros_like(output[0]), *output[1:]))


def _only_looks(policy: nn.Module) -> None:
    policy.register_forward_hook(lambda module, inputs, output: None)


@pytest.mark.parametrize("hook", [_scales_the_observation, _plays_action_0, _only_looks])
@pytest.mark.parametrize("policy", ["MlpPolicy", "LinearSoftmaxPolicy"])
def test_a_hook_of_the_policy_itself_is_refused_before_anything_is_played(policy: str, hook: Any) -> None:
    """``evaluate_actions`` passes it by, so that actions would be learned from that the policy did not mean."""
    model = REINFORCE(policy, "CartPole-v1", device="cpu")
    hook(model.policy)
    with pytest.raises(ValueError, match=rf"{policy} has a forward hook on the policy itself.*policy\.action_net"):
        model.learn(100)
    assert model.num_timesteps == 0


@pytest.mark.parametrize(("method", "other"), [("forward", "evaluate_actions"), ("evaluate_actions", "forward")])
def test_one_door_replaced_in_the_object_is_refused_before_anything_is_played(method: str, other: str) -> None:
    model = REINFORCE("LinearSoftmaxPolicy", "CartPole-v1")
    setattr(model.policy, method, getattr(model.policy, method))
    with pytest.raises(ValueError, match=f"overrides {method}, but not {other}"):
        model.learn(100)
    assert model.num_timesteps == 0


@pytest.mark.parametrize("name", [name for name, case in UNUSUAL.items() if case.policy == "LinearSoftmaxPolicy"])
def test_a_natural_step_is_along_the_gradient_of_the_policy(name: str) -> None:
    """With a bonus for the policy's own entropy, however large."""
    played = play(UNUSUAL[name], n_episodes=N_ENVS, natural_gradient=True, learning_rate=0.0)
    entropy = played.policy.get_distribution(th.as_tensor(played.buffer.observations)).entropy().sum()
    parameters = [parameter for parameter in played.policy.parameters() if id(parameter) in played.expected]
    of_entropy = th.autograd.grad(entropy, parameters)
    got, expected, bonus = (
        th.cat([part.flatten() for part in parts])
        for parts in (*([g[id(p)] for p in parameters] for g in (played.gradients, played.expected)), of_entropy)
    )
    rest = got - expected
    coefficient = rest @ bonus / (bonus @ bonus)
    assert coefficient < 1e-6, "minus, for this is the gradient of a loss"
    assert float((rest - coefficient * bonus).norm() / expected.norm()) < 1e-4
