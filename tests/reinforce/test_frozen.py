"""Parameters with ``requires_grad=False`` stay as they are, whatever else is learned, and however."""

from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3.common.vec_env import DummyVecEnv

from sb3_reinforce import REINFORCE
from tests.policies.usual_and_unusual import LearnedFeatures, settle
from tests.testbed import Toy

SEEN = spaces.Box(-1.0, 1.0, (3,))
POLICIES: dict[str, tuple[str, spaces.Space, dict[str, Any]]] = {
    "MLP": ("MlpPolicy", spaces.Box(-1, 1, (2,)), {"net_arch": [4], "features_extractor_class": LearnedFeatures}),
    "softmax": ("LinearSoftmaxPolicy", spaces.Discrete(3), {}),
    "softmax, hidden": ("LinearSoftmaxPolicy", spaces.MultiDiscrete([2, 3]), {"net_arch": [4]}),
    "gaussian": ("LinearGaussianPolicy", spaces.Box(-1, 1, (2,)), {}),
}
VALUE_NET = ("value_net.weight", "value_net.bias")
PARAMETERS: dict[str, tuple[str, ...]] = {
    "MLP": (
        "log_std",
        "features_extractor.layer.weight",
        "features_extractor.layer.bias",
        "mlp_extractor.policy_net.0.weight",
        "mlp_extractor.policy_net.0.bias",
        "action_net.weight",
        "action_net.bias",
        "mlp_extractor.value_net.0.weight",
        *VALUE_NET,
    ),
    "softmax": ("action_net.weight", "action_net.bias", *VALUE_NET),
    "softmax, hidden": (
        "mlp_extractor.policy_net.0.weight",
        "mlp_extractor.policy_net.0.bias",
        "action_net.weight",
        "action_net.bias",
        *VALUE_NET,
    ),
    "gaussian": ("log_std", "action_net.weight", "action_net.bias", *VALUE_NET),
}
ONE_FROZEN = [(policy, name) for policy, names in PARAMETERS.items() for name in names]


class MeanSoFar:
    """A baseline of a user's own."""

    total, count = 0.0, 0

    def __call__(self, observations: Any, timesteps: np.ndarray) -> np.ndarray:
        return np.full(len(timesteps), self.total / max(self.count, 1))

    def fit(self, observations: Any, timesteps: np.ndarray, returns: np.ndarray) -> None:
        self.total, self.count = self.total + returns.sum(), self.count + len(returns)


BASELINES: dict[str, Any] = {
    **{name: lambda name=name: name for name in ("none", "mean", "leave_one_out", "time", "linear", "value", "optimal")},
    "own": MeanSoFar,
}


class Truncated(Toy):
    """A time limit ends its episodes."""

    def step(self, action: Any) -> Any:
        obs, reward, _, _, info = super().step(action)
        return obs, reward, False, self.time == 4, info


def make(policy: str, env: type[Toy] = Toy, **kwargs: Any) -> REINFORCE:
    name, action_space, policy_kwargs = POLICIES[policy]
    policy_kwargs = {**policy_kwargs, **kwargs.pop("policy_kwargs", {})}
    vec_env = DummyVecEnv([lambda: env(SEEN, action_space)] * 2)
    arguments = {"seed": 0, "n_episodes": 6, "n_value_updates": 2, "device": "cpu", **kwargs}
    model = REINFORCE(name, vec_env, policy_kwargs=policy_kwargs, **arguments)
    settle(model.policy)
    return model


def values(model: REINFORCE) -> dict[str, th.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.policy.named_parameters()}


def freeze(model: REINFORCE, *names: str) -> None:
    for name in names:
        model.policy.get_parameter(name).requires_grad_(False)


def moved(model: REINFORCE, before: dict[str, th.Tensor]) -> set[str]:
    return {name for name, value in values(model).items() if not th.equal(value, before[name])}


def is_of_value_net(name: str) -> bool:
    return "value_net" in name


def expected_to_move(model: REINFORCE, *frozen: str) -> set[str]:
    learns_values = model.baseline == "value" or model.bootstrap_truncated
    return {
        name
        for name, _ in model.policy.named_parameters()
        if name not in frozen and (learns_values or not is_of_value_net(name))
    }


@pytest.mark.parametrize("baseline", BASELINES)
@pytest.mark.parametrize(("policy", "name"), ONE_FROZEN)
def test_a_frozen_parameter_stays_and_all_others_are_learned(policy: str, name: str, baseline: str) -> None:
    model = make(policy, baseline=BASELINES[baseline]())
    freeze(model, name)
    before = values(model)
    model.learn(60)
    assert moved(model, before) == expected_to_move(model, name)


@pytest.mark.parametrize(
    "arguments",
    [
        {"epsilon": 0.4},
        {"ent_coef": 0.1},
        {"log_gradient_snr": True},
        {"bootstrap_truncated": True, "gamma": 0.9},
        {"bootstrap_truncated": True, "gamma": 0.9, "baseline": "value", "log_gradient_snr": True, "epsilon": 0.2},
        {"baseline": "optimal", "log_gradient_snr": True, "epsilon": 0.3, "ent_coef": 0.01},
        {"max_grad_norm": 0.1, "discount_weighting": True, "gamma": 0.9, "reward_to_go": True},
    ],
    ids=lambda arguments: ", ".join(arguments),
)
@pytest.mark.parametrize(("policy", "name"), ONE_FROZEN)
def test_with_other_arguments_too(policy: str, name: str, arguments: dict[str, Any]) -> None:
    model = make(policy, Truncated, **arguments)
    freeze(model, name)
    before = values(model)
    model.learn(60)
    assert moved(model, before) == expected_to_move(model, name)


OPTIMIZERS: dict[str, dict[str, Any]] = {
    "SGD": {"optimizer_class": th.optim.SGD, "optimizer_kwargs": {"momentum": 0.9, "weight_decay": 0.1}},
    "AdamW": {"optimizer_class": th.optim.AdamW, "optimizer_kwargs": {"weight_decay": 0.1}},
    "RMSprop": {"optimizer_class": th.optim.RMSprop, "optimizer_kwargs": {"momentum": 0.9, "weight_decay": 0.1}},
}


@pytest.mark.parametrize("baseline", ["time", "value"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(("policy", "name"), [("MLP", "log_std"), ("softmax", "action_net.bias"), ("gaussian", "log_std")])
def test_momentum_and_weight_decay_do_not_move_what_is_frozen_while_it_learns(
    policy: str, name: str, optimizer: str, baseline: str
) -> None:
    model = make(policy, baseline=baseline, policy_kwargs=OPTIMIZERS[optimizer]).learn(60)
    freeze(model, name)
    before = values(model)
    model.learn(60)
    assert moved(model, before) == expected_to_move(model, name)
    model.policy.get_parameter(name).requires_grad_(True)
    before = values(model)
    model.learn(60)
    assert moved(model, before) == expected_to_move(model), "what is thawed is learned again"


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_value_net_that_nobody_uses_is_left_alone_by_weight_decay(optimizer: str) -> None:
    model = make("MLP", policy_kwargs=OPTIMIZERS[optimizer])
    before = values(model)
    model.learn(60)
    assert not any(map(is_of_value_net, moved(model, before)))


@pytest.mark.parametrize(("policy", "name"), ONE_FROZEN)
def test_the_others_take_the_step_that_they_take_without(policy: str, name: str) -> None:
    """For one step of gradient descent, which treats each parameter by itself."""
    after = []
    for frozen in ([], [name]):
        model = make(policy, normalize_advantage=False, learning_rate=0.1, policy_kwargs={"optimizer_class": th.optim.SGD})
        freeze(model, *frozen)
        after.append(values(model.learn(30)))
    for other in after[0]:
        if other != name:
            th.testing.assert_close(after[0][other], after[1][other], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("policy", "frozen"),
    [
        ("softmax", ["action_net.bias"]),
        ("softmax", ["action_net.weight"]),
        ("softmax", ["action_net.bias", *VALUE_NET]),
        ("gaussian", ["log_std"]),
        ("gaussian", ["action_net.weight"]),
        ("gaussian", ["action_net.weight", "action_net.bias"]),
        ("softmax, hidden", ["mlp_extractor.policy_net.0.weight", "mlp_extractor.policy_net.0.bias"]),
    ],
)
@pytest.mark.parametrize("arguments", [{}, {"baseline": "value"}, {"ent_coef": 0.1, "epsilon": 0.2}], ids=str)
def test_a_natural_step_moves_the_others_only(policy: str, frozen: list[str], arguments: dict[str, Any]) -> None:
    model = make(policy, **arguments)
    freeze(model, *frozen)
    model.natural_gradient = True  # the hidden layers of one must be frozen before
    before = values(model)
    model.learn(60)
    assert moved(model, before) == expected_to_move(model, *frozen)


@pytest.mark.parametrize("frozen", [True, False])
def test_a_closed_form_and_autograd_learn_the_same(frozen: bool) -> None:
    """A softmax policy with frozen layers, and SB3's with the same network."""
    models = []
    for policy in ("LinearSoftmaxPolicy", "MlpPolicy"):
        env = Toy(SEEN, spaces.Discrete(3))
        model = REINFORCE(policy, env, seed=0, learning_rate=0.1, policy_kwargs={"net_arch": [4], "activation_fn": th.nn.Tanh})
        settle(model.policy)
        freeze(model, "mlp_extractor.policy_net.0.weight", "mlp_extractor.policy_net.0.bias", *["action_net.bias"] * frozen)
        models.append(values(model.learn(200)))
    for name, value in models[0].items():
        th.testing.assert_close(value, models[1][name], rtol=1e-3, atol=1e-5)


# --- Nothing left


def actor_parameters(policy: str) -> list[str]:
    return [name for name in PARAMETERS[policy] if not is_of_value_net(name)]


@pytest.mark.parametrize(
    "arguments",
    [{}, {"baseline": "value"}, {"baseline": "optimal"}, {"bootstrap_truncated": True}, {"ent_coef": 0.1, "epsilon": 0.1}],
    ids=str,
)
@pytest.mark.parametrize("what", ["all", "the actor"])
@pytest.mark.parametrize("policy", POLICIES)
def test_where_nothing_is_left_to_learn_it_is_said_before_anything_is_played(
    policy: str, what: str, arguments: dict[str, Any]
) -> None:
    model = make(policy, **arguments)
    freeze(model, *(name for name, _ in model.policy.named_parameters() if what == "all" or not is_of_value_net(name)))
    before = values(model)
    with pytest.raises(ValueError, match="requires_grad=False"):
        model.learn(60)
    assert model.num_timesteps == 0
    assert not moved(model, before)


@pytest.mark.parametrize("policy", ["softmax", "gaussian"])
def test_nor_is_there_a_natural_step_then(policy: str) -> None:
    model = make(policy, natural_gradient=True)
    freeze(model, *actor_parameters(policy))
    with pytest.raises(ValueError, match="requires_grad=False"):
        model.learn(60)
    assert model.num_timesteps == 0


def test_a_policy_that_is_made_frozen_can_be_thawed_before_it_learns() -> None:
    class Pretrained(LearnedFeatures):
        pass

    model = make("softmax", policy_kwargs={"features_extractor_class": Pretrained})
    freeze(model, *(name for name, _ in model.policy.named_parameters()))
    with pytest.raises(ValueError, match="requires_grad=False"):
        model.learn(60)
    assert model.num_timesteps == 0
    model.policy.get_parameter("action_net.weight").requires_grad_(True)
    before = values(model)
    assert moved(model.learn(60), before) == {"action_net.weight"}


def test_a_features_extractor_that_is_frozen_as_a_whole_stays() -> None:
    env = Toy(spaces.Box(0, 255, (36, 36, 1), np.uint8))
    model = REINFORCE("CnnPolicy", env, seed=0, n_episodes=4, baseline="value", n_value_updates=2, device="cpu")
    for parameter in model.policy.features_extractor.parameters():
        parameter.requires_grad_(False)
    before = values(model)
    model.learn(40)
    assert moved(model, before) == {name for name, p in model.policy.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("arguments", [{"baseline": "value"}, {"bootstrap_truncated": True, "gamma": 0.9}], ids=str)
@pytest.mark.parametrize("policy", POLICIES)
def test_a_value_net_that_is_frozen_as_a_whole_stays(policy: str, arguments: dict[str, Any]) -> None:
    model = make(policy, Truncated, **arguments)
    frozen = [name for name, _ in model.policy.named_parameters() if is_of_value_net(name)]
    frozen += ["features_extractor.layer.weight", "features_extractor.layer.bias"] * (policy == "MLP")
    freeze(model, *frozen)
    before = values(model)
    model.learn(60)
    assert moved(model, before) == expected_to_move(model, *frozen)


def test_frozen_parameters_stay_frozen_after_loading(tmp_path: Any) -> None:
    """SB3's files don't say what is frozen: whoever loads one freezes again."""
    model = make("gaussian")
    freeze(model, "log_std")
    model.learn(50).save(tmp_path / "model")
    loaded = REINFORCE.load(tmp_path / "model", env=model.get_env())
    freeze(loaded, "log_std")
    before = values(loaded)
    loaded.learn(60)
    assert moved(loaded, before) == expected_to_move(loaded, "log_std")
