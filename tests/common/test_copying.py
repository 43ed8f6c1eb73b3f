import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack, VecMonitor, VecNormalize

from sb3_reinforce import REINFORCE, RandomWeightSearch, make_fast_vec_env
from tests.testbed import Toy

pytestmark = pytest.mark.filterwarnings("ignore:The environment is already wrapped with a `Monitor`")

CARTPOLE = "CartPole-v1"
OBS = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)


def values(model: Any) -> dict[str, th.Tensor]:
    return {name: tensor.clone() for name, tensor in model.policy.state_dict().items()}


COPIES: list[Callable[[Any], Any]] = [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))]
ENVIRONMENTS: dict[str, Callable[[], Any]] = {
    "gym": lambda: CARTPOLE,
    "DummyVecEnv": lambda: make_vec_env(CARTPOLE, 2),
    "VecNormalize": lambda: VecNormalize(make_vec_env(CARTPOLE, 2)),
    "VecNormalize within": lambda: VecMonitor(VecNormalize(make_vec_env(CARTPOLE, 2))),
    "PythonVecEnv": lambda: make_fast_vec_env(CARTPOLE, 2, seed=0, backend="python"),
    "native": lambda: make_fast_vec_env(CARTPOLE, 2, seed=0, backend="gymnasium"),
}


@pytest.mark.parametrize("copied", COPIES, ids=["deepcopy", "pickle"])
@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize("algorithm", [REINFORCE, RandomWeightSearch])
@pytest.mark.parametrize("policy", ["LinearSoftmaxPolicy", "MlpPolicy"])
def test_a_copy_learns_on_by_itself(copied: Any, environment: str, algorithm: Any, policy: str) -> None:
    model = algorithm(policy, ENVIRONMENTS[environment](), seed=0)
    for _ in range(2):  # before and after training
        theirs = copied(model)
        np.testing.assert_array_equal(theirs.predict(OBS, deterministic=True)[0], model.predict(OBS, deterministic=True)[0])
        before, n = values(model), model.num_timesteps
        assert theirs.learn(100, reset_num_timesteps=False).num_timesteps > n
        th.testing.assert_close(values(model), before, rtol=0, atol=0)
        assert model.num_timesteps == n
        if theirs.get_vec_normalize_env() is not None:
            assert theirs.get_vec_normalize_env() is not model.get_vec_normalize_env()
            assert theirs.get_vec_normalize_env().obs_rms.count > model.get_vec_normalize_env().obs_rms.count
        model.learn(100)


@pytest.mark.parametrize(
    "arguments", [{"baseline": "linear"}, {"baseline": "value"}, {"baseline": "optimal"}, {"natural_gradient": True}]
)
@pytest.mark.parametrize("copied", COPIES, ids=["deepcopy", "pickle"])
def test_a_copy_after_each_kind_of_training(copied: Any, arguments: dict[str, Any]) -> None:
    is_linear = "natural_gradient" in arguments or arguments.get("baseline") == "optimal"
    policy = "LinearGaussianPolicy" if is_linear else "MlpPolicy"
    model = REINFORCE(policy, "Pendulum-v1", seed=0, n_episodes=2, **arguments)
    theirs = copied(model.learn(400))
    th.testing.assert_close(values(theirs), values(model), rtol=0, atol=0)
    theirs.learn(400, reset_num_timesteps=False)


def test_a_model_without_environment_and_a_shallow_copy() -> None:
    file = io.BytesIO()
    model = REINFORCE("MlpPolicy", VecNormalize(make_vec_env(CARTPOLE)), seed=0).learn(100)
    model.save(file)
    loaded = REINFORCE.load(file)
    for copied in COPIES:
        np.testing.assert_array_equal(
            copied(loaded).predict(OBS, deterministic=True)[0], model.predict(OBS, deterministic=True)[0]
        )
    same = copy.copy(model)
    assert same.policy is model.policy
    assert same.get_vec_normalize_env() is model.get_vec_normalize_env()
    same.learn(100)


IMAGES = spaces.Box(0, 255, (36, 36, 1), np.uint8)
PICTURES = spaces.Dict(image=IMAGES, numbers=spaces.Box(-1, 1, (2,)))


@pytest.mark.parametrize("copied", COPIES, ids=["deepcopy", "pickle"])
@pytest.mark.parametrize(("policy", "space"), [("CnnPolicy", IMAGES), ("MultiInputPolicy", PICTURES)])
def test_a_model_that_sees_pictures(copied: Any, policy: str, space: spaces.Space) -> None:
    """Their channels are put first by a wrapper of SB3's."""
    env = VecFrameStack(DummyVecEnv([lambda: Toy(space)]), 2)
    model = REINFORCE(policy, env, seed=0, n_episodes=2, device="cpu").learn(10)
    theirs = copied(model)
    before = values(model)
    theirs.learn(10, reset_num_timesteps=False)
    th.testing.assert_close(values(model), before, rtol=0, atol=0)
    env.close()


def test_the_file_of_a_vec_normalize_does_not_grow() -> None:
    env = VecNormalize(make_vec_env(CARTPOLE))
    size = len(pickle.dumps(env))
    copy.deepcopy(REINFORCE("MlpPolicy", env))
    assert len(pickle.dumps(env)) == size
