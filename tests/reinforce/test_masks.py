"""REINFORCE with invalid actions: what is played, and what is learned from it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from sb3_contrib.common.envs import (
    InvalidActionEnvDiscrete,
    InvalidActionEnvMultiBinary,
    InvalidActionEnvMultiDiscrete,
)
from sb3_contrib.common.maskable.callbacks import MaskableEvalCallback
from sb3_contrib.common.maskable.evaluation import evaluate_policy as evaluate_masked
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy

from sb3_reinforce import REINFORCE, FourierBasis, RandomWeightSearch, tell_action_masks
from sb3_reinforce.gradient.scores import AutogradScores, ClosedFormScores
from tests.masked import SPACES, Strict
from tests.reinforce.test_gradient import actor, make, several_estimates, weight_and_bias
from tests.testbed import LOOP, MDPS, TabularEnv, exact_gradient, standard_errors_off

ALLOWED = {
    "loop": np.array([[True, True], [False, True], [True, True]]),
    "noisy": np.array([[True, False, True], [True, True, False]]),
}
N_ROLLOUTS = 80
BASELINES = ["none", "leave_one_out", "time", "linear", "value", "optimal"]


def strict(space: str, n_envs: int = 1, **kwargs: Any) -> Any:
    return make_vec_env(Strict, n_envs, seed=0, env_kwargs={"space": SPACES[space], **kwargs})


@pytest.mark.parametrize("n_envs", [1, 8])
@pytest.mark.parametrize("space", SPACES)
def test_no_invalid_action_is_played(space: str, n_envs: int) -> None:
    """``Strict`` raises at the first. Closed form and autograd, gradients of all kinds, with epsilon."""
    arguments: list[dict[str, Any]] = [
        {"policy": "LinearPolicy", "natural_gradient": True},
        {"policy": "LinearPolicy", "baseline": "optimal", "ent_coef": 0.1, "policy_kwargs": {"net_arch": [4]}},
        {"policy": "MlpPolicy", "natural_gradient": True},
        {"policy": "MlpPolicy", "log_gradient_snr": True, "policy_kwargs": {"activation_fn": th.nn.ELU}},
    ]
    for each in arguments:
        model = REINFORCE(env=strict(space, n_envs), epsilon=0.3, seed=0, **each).learn(300)
        assert all(parameter.isfinite().all() for parameter in model.policy.parameters())


def test_of_images_and_dicts() -> None:
    REINFORCE("CnnPolicy", strict("discrete", 2, observation="image"), device="cpu", n_episodes=3, baseline="none").learn(10)
    for policy in ("MultiInputPolicy", "LinearPolicy"):
        REINFORCE(policy, strict("multi_discrete", 2, tells="key"), device="cpu", action_masks=True).learn(10)


def test_random_weight_search_plays_by_them() -> None:
    for space in SPACES:
        model = RandomWeightSearch("LinearPolicy", strict(space, 3), seed=0).learn(300)
        assert evaluate_policy(model, tell_action_masks(strict(space)), 2)[0] >= 0


@pytest.mark.parametrize("epsilon", [0.0, 0.3])
@pytest.mark.parametrize("name", ALLOWED)
def test_the_estimate_is_unbiased(name: str, epsilon: float) -> None:
    models = [make(MDPS[name], 4, baseline=baseline, epsilon=epsilon, n_value_updates=2) for baseline in BASELINES]
    env = make_vec_env(lambda: TabularEnv(MDPS[name], ALLOWED[name]), 4, seed=0)
    for model in models:
        model.set_env(env)
    exact = exact_gradient(MDPS[name], *weight_and_bias(models[0]), epsilon=epsilon, allowed=ALLOWED[name])
    unmasked = exact_gradient(MDPS[name], *weight_and_bias(models[0]), epsilon=epsilon)
    assert np.abs(exact - unmasked).max() > 0.1
    samples = several_estimates(models, N_ROLLOUTS)
    for baseline, estimates in zip(BASELINES, samples.swapaxes(0, 1), strict=True):
        assert standard_errors_off(estimates, exact).max() < 4, baseline
    assert standard_errors_off(samples[:, 0], unmasked).max() > 4


def phi(states: np.ndarray, action: int) -> np.ndarray:
    return np.sin(states * (action + 1))


KINDS: list[tuple[str, dict[str, Any]]] = [
    ("two", {}),
    ("discrete", {}),
    ("discrete", {"phi": phi}),
    ("multi_discrete", {}),
    ("multi_binary", {"features_extractor_class": FourierBasis, "features_extractor_kwargs": {"order": 1}}),
]


@pytest.mark.parametrize("kind", range(len(KINDS)))
def test_closed_forms_are_what_autograd_gives(kind: int) -> None:
    space, policy_kwargs = KINDS[kind]
    model = REINFORCE("LinearPolicy", strict(space, 2), epsilon=0.3, policy_kwargs=policy_kwargs, seed=1).learn(1)
    policy: Any = model.policy.double()
    with th.no_grad():
        for parameter in actor(model):
            parameter += th.randn_like(parameter)
    rollout = model.rollout_buffer.rollout()
    (batch,) = rollout.batches(np.random.default_rng(0).normal(size=rollout.n_timesteps))
    if space == "multi_binary":  # torch's Bernoulli computes in the type of the bits
        batch = batch._replace(actions=batch.actions.double())
    gradients = []
    for scores in (ClosedFormScores(policy), AutogradScores(policy)):
        policy.zero_grad()
        values = scores.accumulate(batch, 0.1)
        gradients.append((*values, *(parameter.grad.clone() for parameter in actor(model))))
        rows = scores.of_episodes(batch, batch.weights.double().unsqueeze(0))
        gradients[-1] = (*gradients[-1], rows)
    for closed, automatic in zip(*gradients, strict=True):
        th.testing.assert_close(th.as_tensor(closed), th.as_tensor(automatic), rtol=1e-8, atol=1e-8)

    obs, masks = batch.observations, batch.action_masks
    dense = fisher_by_enumeration(policy, obs, masks)
    th.testing.assert_close(policy.fisher(obs, masks), dense, rtol=1e-8, atol=1e-8)
    vector = th.randn(len(dense), dtype=th.float64)
    product = AutogradScores(policy).fisher().product(vector, actor(model), rollout) * rollout.n_timesteps  # type: ignore
    th.testing.assert_close(product, dense @ vector, rtol=1e-6, atol=1e-6)


def fisher_by_enumeration(policy: Any, obs: th.Tensor, masks: th.Tensor) -> th.Tensor:
    """The score of each allowed action, by the chance that it has."""
    from tests.common.test_masking import all_actions, allowed_actions

    total = th.zeros(())
    actions = th.as_tensor(all_actions(policy.action_space))
    for state, mask in zip(obs, masks, strict=True):
        allowed = actions[th.as_tensor(allowed_actions(mask.numpy(), policy.action_space))]
        states, of_each = state.expand(len(allowed), -1), mask.expand(len(allowed), -1)
        scores = policy.score(states, allowed, of_each)
        parts = policy.action_probabilities(states[:1], of_each[:1])[0]
        if isinstance(policy.action_space, spaces.MultiBinary):
            chances = th.where(allowed.bool(), parts, 1 - parts).prod(dim=1)
        else:
            sizes = [len(parts)] if isinstance(policy.action_space, spaces.Discrete) else policy.action_space.nvec.tolist()
            split, columns = parts.split(sizes), allowed.reshape(len(allowed), -1)
            chances = th.stack([part[columns[:, k]] for k, part in enumerate(split)]).prod(dim=0)
        assert abs(chances.sum().item() - 1) < 1e-9
        total = total + scores.T @ (scores * chances.unsqueeze(1))
    return total


def test_masks_that_allow_all_change_nothing() -> None:
    class Allows(TabularEnv):
        def __init__(self) -> None:
            super().__init__(LOOP, np.ones((3, 2), bool))

    weights = []
    for action_masks in (None, False):
        model = REINFORCE("LinearPolicy", make_vec_env(Allows, 3), action_masks=action_masks, seed=0).learn(500)
        weights.append(model.policy.state_dict()["action_net.weight"])
    assert (weights[0] == weights[1]).all()


ENVS = [
    lambda: InvalidActionEnvDiscrete(dim=20, n_invalid_actions=10),
    lambda: InvalidActionEnvMultiDiscrete(dims=[4, 4], n_invalid_actions=4),
    lambda: InvalidActionEnvMultiBinary(dims=4, n_invalid_actions=2),
]


@pytest.mark.parametrize("kind", range(len(ENVS)))
def test_contribs_environments_and_tools(kind: int, tmp_path: Path) -> None:
    """Eight environments: each has a mask of its own. Contrib's environments raise at an invalid action."""
    env = make_vec_env(ENVS[kind], 8)
    callback = MaskableEvalCallback(make_vec_env(ENVS[kind]), eval_freq=100, n_eval_episodes=2, verbose=0)
    model = REINFORCE("MlpPolicy", env, seed=0).learn(3_000, callback)
    assert callback.last_mean_reward > 0
    model.save(tmp_path / "model")
    loaded = REINFORCE.load(tmp_path / "model", env)
    assert evaluate_masked(loaded, loaded.get_env(), 3)[0] > 0


def test_sb3s_evaluation_plays_by_them_where_observations_tell() -> None:
    for tells in ("method", "info", "key"):
        policy = "MultiInputPolicy" if tells == "key" else "MlpPolicy"
        env = tell_action_masks(strict("multi_discrete", 3, tells=tells), True)
        callback = EvalCallback(env, eval_freq=40, n_eval_episodes=3, verbose=0)
        model = REINFORCE(policy, strict("multi_discrete", 2, tells=tells), action_masks=True, device="cpu", seed=0)
        model.learn(300, callback)
        assert evaluate_policy(model, env, 3, deterministic=False)[0] > 0


def test_whoever_forgets_them_is_told_once() -> None:
    model = REINFORCE("LinearPolicy", strict("discrete"), seed=0).learn(20)
    with pytest.warns(UserWarning, match=r"predict gets none.*tell_action_masks"):
        model.predict(np.zeros(3, np.float32))
    model.predict(np.zeros(3, np.float32))


def test_resumes_exactly(tmp_path: Path) -> None:
    def model() -> REINFORCE:
        return REINFORCE("LinearPolicy", strict("multi_discrete", 2, tells="info"), action_masks=True, epsilon=0.2, seed=3)

    whole = model().learn(600)
    part = model().learn(300)
    part.save(tmp_path / "part")
    rest = REINFORCE.load(tmp_path / "part", strict("multi_discrete", 2, tells="info"))
    rest.learn(600 - rest.num_timesteps, reset_num_timesteps=False)
    for name, value in whole.policy.state_dict().items():
        assert (rest.policy.state_dict()[name] == value).all()


def test_fits_examples_with_masks() -> None:
    model = REINFORCE("LinearPolicy", strict("discrete"), seed=0)
    rng = np.random.default_rng(0)
    obs = rng.uniform(-1, 1, (64, 3)).astype(np.float32)
    masks = np.tile([True, False, True, True, False], (64, 1))
    history = model.policy.fit(obs, np.where(obs[:, 0] > 0, 0, 3), 20, 0.1, action_masks=masks)  # type: ignore[operator]
    assert history.loss[0] < np.log(3) + 0.1  # of three choices, not of five
    assert history.accuracy[-1] > 0.9
    with pytest.raises(ValueError, match="example 0 is not allowed"):
        model.policy.fit(obs, np.ones(64, int), action_masks=masks)  # type: ignore[operator]


def test_policies_that_can_not_be_masked_are_refused_when_the_model_is_made() -> None:
    from stable_baselines3.common.policies import ActorCriticPolicy

    class Doors(ActorCriticPolicy):
        def forward(self, obs: Any, deterministic: bool = False) -> Any:
            return super().forward(obs, deterministic)

        def evaluate_actions(self, obs: Any, actions: Any) -> Any:
            return super().evaluate_actions(obs, actions)

    class Masking(Doors):
        def forward(self, obs: Any, deterministic: bool = False, action_masks: Any = None) -> Any:
            actions = action_masks.int().argmax(dim=1)
            return actions, None, None

        def evaluate_actions(self, obs: Any, actions: Any, action_masks: Any = None) -> Any:
            assert action_masks is not None
            return super().evaluate_actions(obs, actions)

    with pytest.raises(ValueError, match=r"Doors.*forward and evaluate_actions take no action_masks"):
        REINFORCE(Doors, strict("discrete"))
    REINFORCE(Masking, strict("discrete")).learn(20)
