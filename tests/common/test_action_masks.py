"""Where masks come from, and what is said of bad ones."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from sb3_contrib.common.wrappers import ActionMasker
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecEnv

from sb3_reinforce import REINFORCE, GymnasiumVecEnv, PythonVecEnv, RandomWeightSearch
from tests.masked import SPACES, Strict, StrictVectorEnv

SPACE = SPACES["discrete"]


def learn(env: Any, action_masks: Any = None, **kwargs: Any) -> REINFORCE:
    """A rollout or so. ``Strict`` raises where an action is not allowed."""
    return REINFORCE("LinearPolicy", env, action_masks=action_masks, seed=0, **kwargs).learn(50)


def vec(tells: str, n_envs: int = 2, vec_env_cls: Any = DummyVecEnv) -> VecEnv:
    return make_vec_env(Strict, n_envs, env_kwargs={"space": SPACE, "tells": tells}, vec_env_cls=vec_env_cls)


@pytest.mark.parametrize("vec_env_cls", [DummyVecEnv, PythonVecEnv])
@pytest.mark.parametrize("tells", ["method", "info", "key"])
def test_masks_are_found_wherever_they_are(tells: str, vec_env_cls: Any, capsys: Any) -> None:
    model = learn(vec(tells, vec_env_cls=vec_env_cls), True, verbose=1)
    assert model.num_timesteps >= 50
    assert capsys.readouterr().out.count("Masking invalid actions by") == 1


def test_in_processes_of_their_own() -> None:
    for tells in ("method", "info"):
        env = vec(tells, vec_env_cls=SubprocVecEnv)
        learn(env, True)
        env.close()


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
@pytest.mark.parametrize("tells", ["method", "info"])
def test_of_vector_environments(tells: str, mode: AutoresetMode) -> None:
    env_fns = [lambda: Strict(SPACE, tells)] * 3
    learn(GymnasiumVecEnv(SyncVectorEnv(env_fns, autoreset_mode=mode)), True)


@pytest.mark.filterwarnings("ignore:.*only a reset")
@pytest.mark.parametrize("tells", ["method", "info"])
@pytest.mark.parametrize("space", SPACES)
def test_of_one_object_for_all_environments(space: str, tells: str) -> None:
    native = StrictVectorEnv(SPACES[space], 4, tells)
    env = GymnasiumVecEnv(native)
    REINFORCE("LinearPolicy", env, action_masks=True, epsilon=0.3, seed=0).learn(200)
    assert native.n_steps >= 150
    if tells == "method":
        np.testing.assert_array_equal(np.stack(env.env_method("action_masks")), native.masks)
        np.testing.assert_array_equal(env.env_method("action_masks", indices=2)[0], native.masks[2])


def test_by_default_the_method_counts_and_nothing_else() -> None:
    learn(vec("method"))
    with pytest.raises(AssertionError, match="is not allowed by"):
        learn(vec("method"), False)
    for tells in ("info", "key"):
        with pytest.raises(AssertionError, match="is not allowed by"):
            learn(vec(tells))


def test_contribs_wrapper_makes_a_method_of_a_function() -> None:
    def make() -> gym.Env:
        return ActionMasker(Strict(SPACE, "nothing"), lambda env: env.unwrapped.mask)  # type: ignore[attr-defined]

    learn(make_vec_env(make, 2))
    RandomWeightSearch("LinearPolicy", make_vec_env(make, 2), seed=0).learn(100)


def test_a_function_of_ones_own_masks_and_predicts() -> None:
    def not_to_the_left(obs: Any) -> np.ndarray:
        masks = np.ones((len(obs), 2), bool)
        masks[obs[:, 0] > 0, 0] = False
        return masks

    model = REINFORCE("LinearPolicy", "CartPole-v1", action_masks=not_to_the_left, seed=0).learn(300)
    buffer = model.rollout_buffer
    assert (buffer.actions[buffer.observations[:, 0] > 0] == 1).all()  # type: ignore[index, call-overload]
    obs = np.random.default_rng(0).uniform(-1, 1, (50, 4)).astype(np.float32)
    for deterministic in (True, False):
        actions, _ = model.predict(obs, deterministic=deterministic)
        assert (actions[obs[:, 0] > 0] == 1).all()
    assert model.predict(np.float32([0.5, 0, 0, 0]))[0] == 1
    assert {int(model.predict(np.float32([0.5, 0, 0, 0]), action_masks=[1, 0])[0]) for _ in range(5)} == {0}


def test_environments_without_masks() -> None:
    with pytest.raises(ValueError, match=r"action_masks=True, but there are no masks.*ActionMasker"):
        learn("CartPole-v1", True)
    assert learn("CartPole-v1")._environments.masks is None
    with pytest.raises(ValueError, match=r"action_masks needs Discrete, MultiDiscrete or MultiBinary"):
        REINFORCE("LinearPolicy", "Pendulum-v1", action_masks=True)
    with pytest.raises(ValueError, match="action_masks"):
        REINFORCE("LinearPolicy", "CartPole-v1", action_masks="yes")


class _Bad(Strict):
    """Its mask is bad from the second step on."""

    def __init__(self, bad: Any, space: spaces.Space = SPACE) -> None:
        super().__init__(space, "method")
        self.action_masks = lambda: bad if self.time >= 2 else self.mask


BAD = {
    "shape": (np.ones(4, bool), r"array of bool of shape \(4,\).*shape \(5,\)"),
    "a number": (3, r"3, of <class 'int'>"),
    "text": ("left", "'left'"),
    "probabilities": (np.full(5, 0.2), r"float64 of shape \(5,\)"),
    "missing": (None, "is missing"),
    "ragged": ([[1], [1, 2]], "is "),
    "nothing": (np.zeros(5, bool), "allows no action"),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("algorithm", [REINFORCE, RandomWeightSearch])
def test_bad_masks(name: str, algorithm: Any) -> None:
    bad, words = BAD[name]
    env = DummyVecEnv([lambda: Strict(SPACE), lambda: _Bad(bad)])
    model = algorithm("LinearPolicy", env, seed=0)
    before = model.policy.state_dict()["action_net.weight"].clone()
    with pytest.raises(ValueError, match=rf"environment number 1 \(Strict.*{words}.*at step 2 of the rollout"):
        model.learn(500)
    assert (model.policy.state_dict()["action_net.weight"] == before).all()


def test_a_part_without_a_choice() -> None:
    mask = np.array([1, 1, 1, 0, 0, 1, 0, 0, 0], bool)
    with pytest.raises(ValueError, match="allows no action for part 1 of the action"):
        learn(DummyVecEnv([lambda: _Bad(mask, SPACES["multi_discrete"])]))


def test_a_mask_that_only_some_environments_have() -> None:
    mixed = DummyVecEnv([lambda: Strict(SPACE), lambda: Strict(SPACE, "nothing")])
    with pytest.raises(ValueError, match=r"Only some of the environments have a method action_masks.*number 1 has none"):
        learn(mixed)
    told = DummyVecEnv([lambda: Strict(SPACE, "info"), lambda: Strict(SPACE, "nothing")])
    with pytest.raises(ValueError, match=r"environment number 1 .*is missing"):
        learn(told, True)


def test_masks_that_the_environment_writes_into_are_learned_from_as_they_were() -> None:
    model = learn(DummyVecEnv([_Rewriting]))
    rollout = model.rollout_buffer.rollout()
    for batch in rollout.batches(rollout.timesteps):
        assert batch.action_masks is not None
        assert batch.action_masks.gather(1, batch.actions.unsqueeze(1)).all()


class _Rewriting(Strict):
    """Hands out one array, and writes into it at each step."""

    def __init__(self) -> None:
        super().__init__(SPACE)
        self.one = np.ones(5, bool)
        self.action_masks = lambda: self.one

    def _look(self) -> Any:
        result = super()._look()
        if hasattr(self, "one"):
            self.one[:] = self.mask
            self.mask = self.one
        return result
