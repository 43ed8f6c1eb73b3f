import copy
import sys
from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy, MultiInputActorCriticPolicy
from torch import nn

from sb3_reinforce.policies import LinearGaussianPolicy, LinearSoftmaxPolicy
from sb3_reinforce.policies.fitting import BATCH_SIZE, fit_policy

BOX = spaces.Box(-1, 1, (3,))
N = 150  # three minibatches


def states(n: int = N) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (n, 3)).astype(np.float32)


def make(action_space: spaces.Space, observation_space: spaces.Space = BOX, policy: Any = LinearSoftmaxPolicy) -> Any:
    th.manual_seed(0)
    return policy(observation_space, action_space, lambda _: 0.1)


def test_loss_and_accuracy_are_those_of_the_policy_after_each_epoch() -> None:
    policy, x = make(spaces.Discrete(3)), states()
    labels = x.argmax(axis=1)
    for _ in range(3):
        history = fit_policy(policy, x, labels, n_epochs=1)
        p = policy.action_probabilities(x).numpy()
        assert history.loss == pytest.approx([-np.log(p[np.arange(N), labels]).mean()], rel=1e-5)
        assert history.accuracy == pytest.approx([(p.argmax(axis=1) == labels).mean()])


def test_a_full_batch_is_adam_on_the_cross_entropy() -> None:
    """The slow version: autograd and torch's own cross-entropy."""
    policy, x = make(spaces.Discrete(3)), states(BATCH_SIZE)
    labels = x.argmax(axis=1)
    weight, bias = (parameter.detach().clone().requires_grad_() for parameter in policy.actor_parameters())
    optimizer = th.optim.Adam([weight, bias], lr=0.05)
    for _ in range(10):
        optimizer.zero_grad()
        th.nn.functional.cross_entropy(th.tensor(x) @ weight.T + bias, th.tensor(labels)).backward()
        optimizer.step()
    fit_policy(policy, x, labels, n_epochs=10, learning_rate=0.05)
    th.testing.assert_close(policy.action_net.weight, weight, rtol=1e-3, atol=1e-4)
    th.testing.assert_close(policy.action_net.bias, bias, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("action_space", "labels"),
    [
        (spaces.Discrete(3), lambda x: x.argmax(axis=1)),
        (spaces.Discrete(2), lambda x: (x[:, 0] > 0).tolist()),
        (spaces.MultiDiscrete([3, 2]), lambda x: np.stack([x.argmax(axis=1), x[:, 0] > 0], axis=1)),
        (spaces.MultiBinary(3), lambda x: (x > 0).astype(np.int8)),
    ],
)
@pytest.mark.parametrize("policy_class", [LinearSoftmaxPolicy, ActorCriticPolicy])
def test_what_can_be_told_apart_is_learned(policy_class: Any, action_space: spaces.Space, labels: Any) -> None:
    policy, x = make(action_space, policy=policy_class), states()
    history = fit_policy(policy, x, labels(x), n_epochs=60, learning_rate=0.05)
    assert history.accuracy[-1] > 0.9
    assert history.loss[-1] < history.loss[0] / 2
    right = policy.predict(x, deterministic=True)[0] == np.asarray(labels(x))
    assert right.reshape(N, -1).all(axis=1).mean() == pytest.approx(history.accuracy[-1])


@pytest.mark.parametrize("policy_class", [LinearGaussianPolicy, ActorCriticPolicy])
def test_box_actions_are_fitted_by_likelihood(policy_class: Any) -> None:
    policy, x = make(spaces.Box(-2, 2, (2, 1)), policy=policy_class), states()
    noise = np.random.default_rng(1).normal(0, 0.1, (N, 2, 1))
    history = fit_policy(policy, x, np.clip(x[:, :2, None] - 0.3 + noise, -2, 2), n_epochs=150, learning_rate=0.02)
    assert history.accuracy == []
    assert np.abs(policy.predict(x, deterministic=True)[0] - (x[:, :2, None] - 0.3)).mean() < 0.06
    np.testing.assert_allclose(policy.log_std.exp().detach(), 0.1, rtol=0.5)
    assert history.loss[-1] == pytest.approx(2 * (np.log(0.1) + 0.5 * np.log(2 * np.pi * np.e)), abs=0.5)


def test_images_may_have_their_channels_last_and_dicts_any_order() -> None:
    image = spaces.Box(0, 255, (3, 36, 40), np.uint8)
    space = spaces.Dict(a=BOX, b=image, c=spaces.Discrete(3))
    policy = make(spaces.Discrete(2), space, MultiInputActorCriticPolicy)
    rng = np.random.default_rng(0)
    observations = {"c": rng.integers(3, size=4), "b": rng.integers(256, size=(4, 36, 40, 3), dtype=np.uint8), "a": states(4)}
    history = fit_policy(policy, observations, [0, 1, 0, 1], n_epochs=30, learning_rate=1e-3)
    assert history.accuracy[-1] == 1.0


def test_the_value_net_and_the_optimizer_are_left_alone() -> None:
    policy = make(spaces.Discrete(2), policy=ActorCriticPolicy)
    value_net = nn.ModuleList([policy.value_net, policy.mlp_extractor.value_net])
    before = copy.deepcopy(value_net.state_dict())
    fit_policy(policy, states(), states()[:, 0] > 0)
    th.testing.assert_close(value_net.state_dict(), before, rtol=0, atol=0)
    assert policy.optimizer.state == {}
    assert all(parameter.grad is None for parameter in policy.parameters())


def test_the_same_seed_fits_the_same() -> None:
    fitted = []
    for _ in range(2):
        policy = make(spaces.Discrete(2))
        fit_policy(policy, states(), states()[:, 0] > 0)
        fitted.append(policy.parameters_to_vector())
    np.testing.assert_array_equal(*fitted)


def frozen(policy: Any, names: str) -> dict[str, th.Tensor]:
    """Freeze the parameters whose names hold the word, and return what they are."""
    before = {}
    for name, parameter in policy.named_parameters():
        if names in name:
            parameter.requires_grad_(False)
            before[name] = parameter.detach().clone()
    return before


@pytest.mark.parametrize(
    ("policy_class", "names"),
    [
        (LinearSoftmaxPolicy, "action_net.bias"),
        (LinearSoftmaxPolicy, "action_net.weight"),
        (ActorCriticPolicy, "policy_net.0"),
        (ActorCriticPolicy, "action_net"),
        (ActorCriticPolicy, "value"),
    ],
)
def test_frozen_parameters_stay_as_they_are(policy_class: Any, names: str) -> None:
    policy = make(spaces.Discrete(2), policy=policy_class)
    before = frozen(policy, names)
    for parameter in policy.parameters():  # of somebody else's step
        parameter.grad = th.ones_like(parameter)
    history = fit_policy(policy, states(), states()[:, 0] > 0.2, n_epochs=20)
    assert history.loss[-1] < history.loss[0]
    assert len(before) > 0
    th.testing.assert_close({name: dict(policy.named_parameters())[name] for name in before}, before, rtol=0, atol=0)


def test_a_frozen_standard_deviation() -> None:
    policy = make(spaces.Box(-1, 1, (1,)), policy=LinearGaussianPolicy)
    frozen(policy, "log_std")
    fit_policy(policy, states(), states()[:, :1] / 2, n_epochs=5)
    assert policy.log_std.item() == 0
    assert policy.action_net.weight.any()


@pytest.mark.parametrize("policy_class", [LinearSoftmaxPolicy, ActorCriticPolicy])
@pytest.mark.parametrize("but", ["nothing", "value_net"])
def test_nothing_to_fit_is_told_and_changes_nothing(policy_class: Any, but: str) -> None:
    policy = make(spaces.Discrete(2), policy=policy_class)
    for name, parameter in policy.named_parameters():
        parameter.requires_grad_(but in name)
    before = policy.parameters_to_vector()
    with pytest.raises(ValueError, match="all have requires_grad=False"):
        fit_policy(policy, states(3), GOOD)
    np.testing.assert_array_equal(policy.parameters_to_vector(), before)


def test_an_action_net_without_parameters() -> None:
    policy = make(spaces.Discrete(2), policy=ActorCriticPolicy)
    policy.mlp_extractor.policy_net, policy.action_net = nn.Linear(3, 2), nn.Identity()
    assert fit_policy(policy, states(), states()[:, 0] > 0, n_epochs=30).accuracy[-1] > 0.9


def test_progress_bar(capsys: pytest.CaptureFixture[str]) -> None:
    fit_policy(make(spaces.Discrete(2)), states(), states()[:, 0] > 0, n_epochs=3, progress_bar=True)
    shown = capsys.readouterr().err
    assert "3/3" in shown
    assert "loss=" in shown
    assert "accuracy=" in shown


def test_without_tqdm_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    policy = make(spaces.Discrete(2))
    with pytest.raises(ImportError, match=r'pip install ".\[extra\]"'):
        fit_policy(policy, states(), states()[:, 0] > 0, progress_bar=True)
    assert not policy.action_net.weight.any()


# --- What goes wrong, and is said

GOOD = [0, 1, 1]
DICT = spaces.Dict(a=BOX, b=spaces.Discrete(3))


@pytest.mark.parametrize(
    ("observations", "actions", "arguments", "message"),
    [
        (states(3), GOOD, {"n_epochs": 0}, "n_epochs of fit must be an integer of at least 1"),
        (states(3), GOOD, {"n_epochs": 1.5}, "n_epochs of fit must be an integer of at least 1, but got 1.5"),
        (states(3), GOOD, {"n_epochs": "20"}, "leave out the quotation marks"),
        (states(3), GOOD, {"learning_rate": 0.0}, "learning_rate of fit must be a finite number above 0"),
        (states(3), GOOD, {"learning_rate": np.nan}, "learning_rate of fit must be a finite number above 0"),
        (states(3), GOOD, {"learning_rate": "1e-3"}, "leave out the quotation marks"),
        (states(3), GOOD, {"progress_bar": 1}, "progress_bar of fit must be True or False"),
        (states(3), [0, 1], {}, "an action for each observation, but got 3 and 2"),
        (states(3), [0, 1, 2], {}, r"actions must be integers of Discrete\(2\), but those of example 2 are not"),
        (states(3), [0, -1, 1], {}, "those of example 1 are not"),
        (states(3), [0.5, 1, 1], {}, "those of example 0 are not"),
        (states(3), [0, np.nan, 1], {}, "actions must be finite, but those of example 1"),
        (states(3), [[0], [1], [1]], {}, r"actions must be numbers of shape \(n\)"),
        (states(3), ["a", "b", "b"], {}, "actions must be numbers"),
        (states(3)[:, :2], GOOD, {}, r"observations must be numbers of shape \(n, 3\).*got float32 of shape \(3, 2\)"),
        (states(3)[0], GOOD, {}, r"shape \(n, 3\)"),
        (np.where(np.eye(3) > 0, np.inf, 0), GOOD, {}, "observations must be finite, but those of example 0"),
        (states(0), [], {}, "observations must hold at least one example"),
        ([], [], {}, "observations must hold at least one example"),
        (states(3), [], {}, "actions must hold at least one example"),
    ],
)
def test_bad_examples_are_told_and_change_nothing(
    observations: Any, actions: Any, arguments: dict[str, Any], message: str
) -> None:
    policy = make(spaces.Discrete(2))
    with pytest.raises(ValueError, match=message):
        fit_policy(policy, observations, actions, **arguments)
    assert not policy.action_net.weight.any()


@pytest.mark.parametrize(
    ("space", "actions", "message"),
    [
        (spaces.MultiDiscrete([2, 3]), [[0, 2], [1, 2], [2, 0]], "actions must be integers of MultiDiscrete.*example 2"),
        (spaces.MultiBinary(2), [[0, 2], [1, 1], [1, 0]], "actions must be integers of MultiBinary.*example 0"),
        (spaces.Box(-1, 1, (1,)), [[0.0], [1.0], [1.1]], "actions must lie within Box.*example 2"),
    ],
)
def test_bad_actions_of_other_spaces(space: spaces.Space, actions: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit_policy(make(space, policy=ActorCriticPolicy), states(3), actions)


@pytest.mark.parametrize(
    ("space", "observations", "message"),
    [
        (spaces.Discrete(3), [0, 1, 3], r"observations must be integers of Discrete\(3\).*example 2"),
        (spaces.MultiDiscrete([2, 2]), [[0, 1], [1, 2], [0, 0]], "example 1"),
        (DICT, states(3), r"keys \['a', 'b'\], but got ndarray"),
        (DICT, {"a": states(3)}, r"keys \['a', 'b'\], but got \['a'\]"),
        (DICT, {"a": states(3), "b": [0, 1, 3]}, r"observations\['b'\] must be integers"),
        (DICT, {"a": states(3), "b": [0, 1]}, "an action for each observation, but got 2 and 3"),
    ],
)
def test_bad_observations_of_other_spaces(space: spaces.Space, observations: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit_policy(make(spaces.Discrete(2), space), observations, GOOD)


def test_what_phi_says_is_handed_on() -> None:
    policy = LinearSoftmaxPolicy(BOX, spaces.Discrete(2), lambda _: 0.1, phi=lambda s, a: np.where(s == 0.5, np.nan, s))
    with pytest.raises(ValueError, match="features that are not finite"):
        fit_policy(policy, np.full((3, 3), 0.5), GOOD)


def test_a_loss_that_is_not_finite_is_told_and_changes_nothing() -> None:
    policy = make(spaces.Box(-1, 1, (1,)), policy=LinearGaussianPolicy)
    before = policy.parameters_to_vector()
    with pytest.raises(FloatingPointError, match=r"out of bounds in epoch 1\..*Lower learning_rate"):
        fit_policy(policy, states(), states()[:, :1], learning_rate=1e30)
    np.testing.assert_array_equal(policy.parameters_to_vector(), before)
