"""Exported policies do what ``predict`` does."""

import functools
import importlib
import pathlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import onnx as onnx_package
import onnxruntime
import pytest
import torch as th
from gymnasium import spaces
from sb3_contrib import MaskablePPO
from stable_baselines3 import A2C
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize
from torch import nn

from sb3_reinforce import (
    REINFORCE,
    FourierBasis,
    NormalizedObservations,
    RandomFourierFeatures,
    RandomWeightSearch,
    TileCoding,
)
from sb3_reinforce.sharing import ExportError, export_onnx, export_torchscript
from sb3_reinforce.sharing.recorded_policy import examples

N_OBSERVATIONS = 1000
TOLERANCE = 1e-6  # of actions of about 1. In float32, predict itself is about 5e-7 off what its weights say
VECTOR = spaces.Box(-2, 3, (4,), np.float32)
IMAGE = spaces.Box(0, 255, (36, 36, 1), np.uint8)
DICT = spaces.Dict(
    {
        "bits": spaces.MultiBinary(2),
        "image": IMAGE,
        "pair": spaces.MultiDiscrete([3, 4]),
        "vector": VECTOR,
        "where": spaces.Discrete(3),
    }
)
TWO = spaces.Discrete(2)
BOX = spaces.Box(np.array([-0.1, -2], np.float32), np.array([0.2, 2], np.float32))


class Env(gym.Env):
    """Three steps of nothing."""

    def __init__(self, observation_space: spaces.Space, action_space: spaces.Space) -> None:
        self.observation_space, self.action_space = observation_space, action_space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        self.t = 0
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.t += 1
        return self.observation_space.sample(), 1.0, self.t == 3, False, {}


class Mean(BaseFeaturesExtractor):
    """A features extractor of the user's own, with layers that act differently in training."""

    def __init__(self, observation_space: spaces.Box) -> None:
        super().__init__(observation_space, 8)
        self.layers = self.make_layers()

    def make_layers(self) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.ELU())

    def forward(self, observations: th.Tensor) -> th.Tensor:
        features: th.Tensor = self.layers(observations)
        return features


class Convolutions(Mean):
    """With batch norms after a convolution and after a linear layer without bias."""

    def make_layers(self) -> nn.Module:
        seen = nn.Sequential(nn.Conv2d(1, 4, 7, 4), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten())
        return nn.Sequential(seen, nn.Linear(4 * 8 * 8, 8, bias=False), nn.BatchNorm1d(8))


CASES: dict[str, tuple[str, spaces.Space, spaces.Space, dict[str, Any]]] = {
    "linear": ("LinearSoftmaxPolicy", VECTOR, spaces.Discrete(3), {}),
    "linear stack, MultiDiscrete": ("LinearPolicy", VECTOR, spaces.MultiDiscrete([3, 2]), {"net_arch": [3, 4]}),
    "linear, Discrete to MultiBinary": ("LinearSoftmaxPolicy", spaces.Discrete(5), spaces.MultiBinary(3), {}),
    "linear, MultiDiscrete": ("LinearSoftmaxPolicy", spaces.MultiDiscrete([3, 4]), TWO, {}),
    "linear, MultiBinary to Box": ("LinearGaussianPolicy", spaces.MultiBinary(4), BOX, {}),
    "linear, Dict": ("LinearSoftmaxPolicy", DICT, TWO, {}),
    "linear, float64": ("LinearGaussianPolicy", spaces.Box(-9, 9, (2, 2)), spaces.Box(-1, 1, (2, 1), np.float64), {}),
    "linear, whole numbers": ("LinearGaussianPolicy", VECTOR, spaces.Box(-3, 3, (2,), np.int32), {}),
    "Fourier": ("LinearSoftmaxPolicy", VECTOR, TWO, {"features_extractor_class": FourierBasis}),
    "random Fourier": ("LinearGaussianPolicy", VECTOR, BOX, {"features_extractor_class": RandomFourierFeatures}),
    "normalized": ("LinearSoftmaxPolicy", VECTOR, TWO, {"features_extractor_class": NormalizedObservations}),
    "tiles": ("LinearSoftmaxPolicy", spaces.Box(-1, 1, (2,)), TWO, {"features_extractor_class": TileCoding}),
    "Mlp": ("MlpPolicy", VECTOR, spaces.Discrete(3), {}),
    "Mlp, Box, ReLU": ("MlpPolicy", VECTOR, BOX, {"net_arch": [8], "activation_fn": nn.ReLU}),
    "own features": ("MlpPolicy", VECTOR, BOX, {"features_extractor_class": Mean}),
    "Cnn": ("CnnPolicy", IMAGE, spaces.Discrete(4), {}),
    "Cnn, batch norms, Box": ("CnnPolicy", IMAGE, BOX, {"features_extractor_class": Convolutions}),
    "MultiInput": ("MultiInputPolicy", DICT, spaces.MultiDiscrete([2, 3]), {}),
}

# An export takes a second. These have all policies, all kinds of spaces, and layers of all kinds
IN_ONNX = (
    "linear stack, MultiDiscrete",
    "linear, Discrete to MultiBinary",
    "linear, whole numbers",
    "tiles",
    "Cnn, batch norms, Box",
    "MultiInput",  # with SB3's NatureCNN among its parts
)


def model_of(policy: str, observations: spaces.Space, actions: spaces.Space, kwargs: dict[str, Any], **rest: Any) -> Any:
    """A model that has learned a little, with weights large enough for all actions to occur."""
    env = Env(observations, actions)
    model = REINFORCE(policy, env, policy_kwargs=kwargs, seed=0, n_episodes=4, device="cpu", **rest).learn(12)
    generator = th.Generator().manual_seed(0)
    with th.no_grad():
        for parameter in model.policy.action_net.parameters():
            parameter += 0.1 * th.randn(parameter.shape, generator=generator)
    return model


@pytest.fixture(autouse=True, scope="module")
def _reads_its_operators_once() -> Iterator[None]:
    """onnxscript reads the source of 500 operators at each export, which takes most of its time: here it keeps them."""
    importlib.import_module("torch.onnx._internal.exporter._registration")
    with pytest.MonkeyPatch.context() as patch:
        for name, module in list(sys.modules.items()):
            if name.startswith("onnxscript._framework_apis.torch_") and hasattr(module, "get_torchlib_ops"):
                patch.setattr(module, "get_torchlib_ops", functools.cache(module.get_torchlib_ops))
        yield


Run = Callable[[Any], np.ndarray]


def onnx(model: Any, folder: pathlib.Path, **kwargs: Any) -> Run:
    session = onnxruntime.InferenceSession(export_onnx(model, folder / "policy.onnx", **kwargs))
    return lambda obs: session.run(None, obs if isinstance(obs, dict) else {"observation": obs})[0]


def torchscript(model: Any, folder: pathlib.Path, **kwargs: Any) -> Run:
    script = th.jit.load(export_torchscript(model, folder / "policy.pt", **kwargs))

    def run(obs: Any) -> np.ndarray:
        given = {key: th.as_tensor(part) for key, part in obs.items()} if isinstance(obs, dict) else th.as_tensor(obs)
        return script(given).numpy()

    return run


pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.:DeprecationWarning")
EACH_FORMAT = pytest.mark.parametrize("export", [onnx, torchscript])


def check_equal(model: Any, run: Run, observations: Any) -> np.ndarray:
    expected = model.predict(observations, deterministic=True)[0]
    actions = run(observations)
    assert actions.dtype == expected.dtype
    assert actions.shape == expected.shape
    np.testing.assert_allclose(actions, expected, rtol=0, atol=TOLERANCE)
    return actions


@pytest.mark.parametrize(("export", "case"), [*((torchscript, case) for case in CASES), *((onnx, case) for case in IN_ONNX)])
def test_does_what_predict_does(export: Callable[..., Run], case: str, tmp_path: pathlib.Path) -> None:
    model = model_of(*CASES[case])
    before = {name: value.clone() for name, value in model.policy.state_dict().items()}
    actions = check_equal(model, export(model, tmp_path), examples(model.observation_space, N_OBSERVATIONS))
    assert len(np.unique(actions)) > 1
    assert all(th.equal(value, before[name]) for name, value in model.policy.state_dict().items())


def test_onnx_does_not_fold_batch_norms_into_weights(tmp_path: pathlib.Path) -> None:
    """Which would round more than predict does: three times as much, where weights are large."""
    model = model_of(*CASES["own features"])
    check_equal(model, onnx(model, tmp_path), examples(VECTOR, N_OBSERVATIONS))
    graph = onnx_package.load(tmp_path / "policy.onnx").graph
    assert "BatchNormalization" in [node.op_type for node in graph.node]


def test_other_algorithms(tmp_path: pathlib.Path) -> None:
    search = RandomWeightSearch("LinearSoftmaxPolicy", "CartPole-v1", seed=0).learn(200)
    check_equal(search, torchscript(search, tmp_path), examples(search.observation_space, N_OBSERVATIONS))
    sde = A2C("MlpPolicy", Env(VECTOR, spaces.Box(-1, 3, (2,))), use_sde=True, policy_kwargs={"squash_output": True}, seed=0)
    check_equal(sde, torchscript(sde, tmp_path), examples(VECTOR, N_OBSERVATIONS))


@EACH_FORMAT
def test_normalization_goes_with_it(export: Callable[..., Run], tmp_path: pathlib.Path) -> None:
    space = spaces.Dict({"vector": VECTOR, "where": spaces.Discrete(3)})
    env = VecNormalize(DummyVecEnv([lambda: Env(space, BOX)]), norm_obs_keys=["vector"])
    model = REINFORCE("LinearGaussianPolicy", env, n_episodes=4, seed=0).learn(12)
    observations: Any = examples(space, N_OBSERVATIONS)
    expected = model.predict(env.normalize_obs(observations), deterministic=True)[0]
    actions = export(model, tmp_path, normalization=env)(observations)
    np.testing.assert_allclose(actions, expected, rtol=0, atol=TOLERANCE)


def test_what_the_policy_overrides_is_exported(tmp_path: pathlib.Path) -> None:
    model = model_of(*CASES["Mlp"])
    model.policy.action_net.register_forward_hook(lambda module, inputs, output: -output)
    model.policy.mlp_extractor = th.compile(model.policy.mlp_extractor)
    check_equal(model, torchscript(model, tmp_path), examples(VECTOR, N_OBSERVATIONS))


class Decides(Mean):
    """Its Python code looks at the numbers."""

    def forward(self, observations: th.Tensor) -> th.Tensor:
        return super().forward(observations) * (1 if observations.sum() > 0 else -1)


class InNumpy(Mean):
    """Its features would be constants in the graph."""

    def forward(self, observations: th.Tensor) -> th.Tensor:
        return th.as_tensor(np.tile(observations.detach().numpy(), 2))


@pytest.mark.parametrize("extractor", [Decides, InNumpy])
@pytest.mark.parametrize("export", [export_onnx, export_torchscript])
def test_nothing_is_baked_in(extractor: type, export: Callable[..., Any], tmp_path: pathlib.Path) -> None:
    model = model_of("MlpPolicy", VECTOR, BOX, {"features_extractor_class": extractor})
    with pytest.raises(ExportError, match="can't be exported"):
        export(model, tmp_path / "policy")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("export", [export_onnx, export_torchscript])
def test_phi_is_refused(export: Callable[..., Any], tmp_path: pathlib.Path) -> None:
    model = model_of("LinearSoftmaxPolicy", VECTOR, TWO, {"phi": lambda states, action: states * (2 * action - 1)})
    with pytest.raises(ExportError, match=r"phi can't be traced or exported.*action_net"):
        export(model, tmp_path / "policy")


class Masked(Env):
    """Both actions are always allowed."""

    def action_masks(self) -> np.ndarray:
        return np.ones(2, bool)


def learned_and_loaded(folder: pathlib.Path) -> REINFORCE:
    """It has no environment, and has warned of missing masks, which it does once."""
    REINFORCE("MlpPolicy", Masked(VECTOR, TWO), n_episodes=2).learn(3).save(folder / "model.zip")
    model = REINFORCE.load(folder / "model.zip")
    with pytest.warns(UserWarning, match="has learned with masks"):
        model.predict(np.zeros(4, np.float32))
    return model


WITH_MASKS: dict[str, Callable[[pathlib.Path], Any]] = {
    "REINFORCE": lambda folder: REINFORCE("MlpPolicy", Masked(VECTOR, TWO)),
    "RandomWeightSearch": lambda folder: RandomWeightSearch("LinearPolicy", Masked(VECTOR, TWO)),
    "MaskablePPO": lambda folder: MaskablePPO("MlpPolicy", Masked(VECTOR, TWO)),
    "loaded": learned_and_loaded,
    "a function": lambda folder: REINFORCE(
        "MlpPolicy", Env(VECTOR, TWO), action_masks=lambda obs: np.ones((len(obs), 2), bool)
    ),
}


@pytest.mark.parametrize("name", WITH_MASKS)
def test_masks_are_refused(name: str, tmp_path: pathlib.Path) -> None:
    with pytest.raises(ExportError, match="masks its actions can't be exported"):
        export_torchscript(WITH_MASKS[name](tmp_path), tmp_path / "policy.pt")


def test_who_can_not_know_asks_for_an_environment(tmp_path: pathlib.Path) -> None:
    MaskablePPO("MlpPolicy", Env(VECTOR, TWO)).save(tmp_path / "model.zip")
    model = MaskablePPO.load(tmp_path / "model.zip")
    with pytest.raises(ExportError, match="not known whether this MaskablePPO masks its actions"):
        export_torchscript(model, tmp_path / "policy.pt")
    model.set_env(DummyVecEnv([lambda: Env(VECTOR, TWO)]))
    export_torchscript(model, tmp_path / "policy.pt")


def test_what_could_mask_and_does_not(tmp_path: pathlib.Path) -> None:
    export_torchscript(REINFORCE("MlpPolicy", Masked(VECTOR, TWO), action_masks=False), tmp_path / "policy.pt")
    loaded = learned_and_loaded(tmp_path)
    loaded.action_masks = False
    export_torchscript(loaded, tmp_path / "policy.pt")


def test_arguments(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match="model of export_onnx must be a model of an SB3 algorithm"):
        export_onnx(model_of(*CASES["linear"]).policy, tmp_path / "policy.onnx")
    with pytest.raises(ValueError, match="path of export_torchscript must be a path"):
        export_torchscript(model_of(*CASES["linear"]), 3)  # type: ignore[arg-type]


def test_a_failure_leaves_the_old_file(tmp_path: pathlib.Path) -> None:
    path = export_torchscript(model_of(*CASES["linear"]), tmp_path / "policy.pt")
    old = path.read_bytes()
    with pytest.raises(ExportError):
        export_torchscript(model_of("MlpPolicy", VECTOR, BOX, {"features_extractor_class": Decides}), path)
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]
