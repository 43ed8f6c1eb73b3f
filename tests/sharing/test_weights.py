"""Weights as JSON, there and back."""

import json
import pathlib
from typing import Any

import numpy as np
import pytest

from sb3_reinforce import REINFORCE, FourierBasis
from sb3_reinforce.common.archives import DamagedFileError
from sb3_reinforce.sharing import load_weights, save_weights

CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "softmax": ("LinearSoftmaxPolicy", "CartPole-v1", {}),
    "Gaussian": ("LinearGaussianPolicy", "Pendulum-v1", {}),
    "stack": ("LinearSoftmaxPolicy", "CartPole-v1", {"net_arch": [3]}),
    "Fourier": ("LinearSoftmaxPolicy", "CartPole-v1", {"features_extractor_class": FourierBasis}),
    "phi": ("LinearSoftmaxPolicy", "CartPole-v1", {"phi": lambda states, action: states * (2 * action - 1)}),
}


def model_of(case: str, seed: int, steps: int = 0) -> REINFORCE:
    policy, env, kwargs = CASES[case]
    model = REINFORCE(policy, env, policy_kwargs=kwargs, n_episodes=2, seed=seed)
    return model.learn(steps) if steps else model


@pytest.mark.parametrize("case", CASES)
def test_there_and_back(case: str, tmp_path: pathlib.Path) -> None:
    learned, fresh = model_of(case, 0, steps=30), model_of(case, 1)
    load_weights(fresh, save_weights(learned, tmp_path / "weights.json"))
    observations = np.random.default_rng(0).normal(size=(1000, *learned.observation_space.shape)).astype(np.float32)
    assert (learned.predict(observations, deterministic=True)[0] == fresh.predict(observations, deterministic=True)[0]).all()
    states = learned.policy.state_dict(), fresh.policy.state_dict()
    assert all((states[0][name] == states[1][name]).all() for name in states[0] if "value" not in name and "vf" not in name)


def test_it_can_be_read_and_edited(tmp_path: pathlib.Path) -> None:
    model = model_of("softmax", 0, steps=30)
    path = save_weights(model, tmp_path / "weights.json")
    content = json.loads(path.read_text())
    assert content["policy"] == "LinearSoftmaxPolicy"
    np.testing.assert_array_equal(
        np.float32(content["parameters"]["action_net.weight"]), model.policy.action_net.weight.detach()
    )
    content["parameters"]["action_net.bias"] = [0, 1000]
    path.write_text(json.dumps(content))
    load_weights(model, path)
    assert model.predict(np.zeros(4, np.float32), deterministic=True)[0] == 1


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"action_net.bias": [1, 2, 3]}, r"of shapes .*\(3,\).*and the policy's of .*\(2,\)"),
        ({"action_net.bias": [1, float("nan")]}, "action_net.bias is not finite"),
        ({"more": [1]}, "of shapes"),
    ],
)
def test_weights_that_do_not_fit(change: dict[str, Any], says: str, tmp_path: pathlib.Path) -> None:
    model = model_of("softmax", 0, steps=30)
    path = save_weights(model, tmp_path / "weights.json")
    content = json.loads(path.read_text())
    content["parameters"].update(change)
    path.write_text(json.dumps(content))
    before = model.policy.action_net.weight.clone()
    with pytest.raises(ValueError, match=says):
        load_weights(model, path)
    assert (model.policy.action_net.weight == before).all()


@pytest.mark.parametrize("content", ["", "[]", '{"format": "other", "parameters": {}}', '{"format": 1}'])
def test_files_that_are_none(content: str, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "weights.json"
    path.write_text(content)
    with pytest.raises(DamagedFileError):
        load_weights(model_of("softmax", 0), path)


def test_other_policies(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match="must be a model with a linear policy"):
        save_weights(REINFORCE("MlpPolicy", "CartPole-v1"), tmp_path / "weights.json")
