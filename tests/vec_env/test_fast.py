"""make_fast_vec_env: the right backend, the same task."""

import sys
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecNormalize

from sb3_reinforce import REINFORCE
from sb3_reinforce.vec_env import GymnasiumVecEnv, PythonVecEnv, make_fast_vec_env


def backend_of(vec_env: VecEnv) -> str:
    return vec_env.backend  # type: ignore[attr-defined]


@pytest.fixture
def no_envpool(monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = __import__("importlib.util").util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "envpool" else find_spec(name))


def longest_episode(vec_env: VecEnv, action: Any, n_steps: int) -> int:
    vec_env.reset()
    longest = 0
    for _ in range(n_steps):
        _, _, dones, infos = vec_env.step(np.array([action] * vec_env.num_envs))
        longest = max([longest, *(infos[i]["episode"]["l"] for i in np.flatnonzero(dones))])
    return longest


@pytest.mark.parametrize(("env_id", "limit"), [("CartPole-v1", 500), ("CartPole-v0", 200)])
def test_native_cart_pole_has_the_time_limit_of_its_name(env_id: str, limit: int) -> None:
    vec_env = make_fast_vec_env(env_id, n_envs=8, seed=0)
    assert backend_of(vec_env) == "gymnasium (native)"
    assert isinstance(vec_env, GymnasiumVecEnv)
    assert not vec_env.has_reset_transitions
    obs = np.asarray(vec_env.reset())
    timeouts = []
    for _ in range(2 * limit):
        actions = (obs[:, 2] + obs[:, 3] + 0.1 * obs[:, 1] + 0.02 * obs[:, 0] > 0).astype(np.int64)
        obs, _, dones, infos = vec_env.step(actions)  # type: ignore[assignment]
        timeouts += [infos[i]["episode"]["l"] for i in np.flatnonzero(dones) if infos[i]["TimeLimit.truncated"]]
    assert timeouts
    assert set(timeouts) == {limit}


def test_auto_falls_back_to_python(no_envpool: None) -> None:
    vec_env = make_fast_vec_env("Pendulum-v1", n_envs=8, seed=0)
    assert backend_of(vec_env) == "python (PythonVecEnv)"
    assert isinstance(vec_env, PythonVecEnv)
    assert longest_episode(vec_env, [0.0], 200) == 200


NAMES = {"gymnasium": "gymnasium (SyncVectorEnv)", "python": "python (PythonVecEnv)", "sb3": "sb3 (DummyVecEnv)"}


@pytest.mark.parametrize("backend", NAMES)
def test_the_backend_that_is_named(backend: str) -> None:
    vec_env = make_fast_vec_env("Pendulum-v1", n_envs=2, seed=0, backend=backend, g=5.0, max_episode_steps=7)
    assert backend_of(vec_env) == NAMES[backend]
    assert (type(vec_env) is DummyVecEnv) == (backend == "sb3")
    assert vec_env.get_attr("g") == [5.0, 5.0]
    assert longest_episode(vec_env, [0.0], 20) == 7
    assert backend_of(make_fast_vec_env("CartPole-v1", backend="gymnasium")) == "gymnasium (native)"
    assert backend_of(VecNormalize(vec_env)) == backend_of(vec_env)


def test_arguments_reach_the_native_environment() -> None:
    vec_env = make_fast_vec_env("CartPole-v1", n_envs=8, sutton_barto_reward=True, max_episode_steps=9)
    assert backend_of(vec_env) == "gymnasium (native)"
    vec_env.reset()
    assert vec_env.step(np.ones(8, dtype=np.int64))[1].tolist() == [0.0] * 8
    assert longest_episode(vec_env, 1, 40) == 9


def test_a_native_environment_that_can_not_be_made_is_passed_over(no_envpool: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*args: Any, **kwargs: Any) -> Any:
        raise gym.error.DependencyNotInstalled("jax is not installed")

    spec = gym.registry["CartPole-v1"]
    monkeypatch.setattr(spec, "vector_entry_point", missing)
    assert backend_of(make_fast_vec_env("CartPole-v1", 8)) == "python (PythonVecEnv)"
    with pytest.raises(gym.error.DependencyNotInstalled, match="jax"):
        make_fast_vec_env("CartPole-v1", backend="gymnasium")


def test_auto_takes_no_environment_with_reset_transitions(no_envpool: None, monkeypatch: pytest.MonkeyPatch) -> None:
    from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv

    class Unknown(CartPoleVectorEnv):
        metadata = {**CartPoleVectorEnv.metadata, "autoreset_mode": AutoresetMode.NEXT_STEP}

    monkeypatch.setattr(gym.registry["CartPole-v1"], "vector_entry_point", Unknown)
    assert backend_of(make_fast_vec_env("CartPole-v1", 8)) == "python (PythonVecEnv)"
    with pytest.warns(UserWarning, match="only with the step after"):
        assert backend_of(make_fast_vec_env("CartPole-v1", backend="gymnasium")) == "gymnasium (native)"


@pytest.mark.parametrize("backend", ["auto", "gymnasium", "python", "sb3"])
def test_the_seed_decides(backend: str) -> None:
    first, same, other = (np.asarray(make_fast_vec_env("CartPole-v1", 8, s, backend).reset()) for s in (1, 1, 2))
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)


def test_what_can_not_be() -> None:
    with pytest.raises(ValueError, match=r"backend .* one of 'auto', 'gymnasium', 'envpool', 'python', 'sb3'"):
        make_fast_vec_env("CartPole-v1", backend="jax")
    for n_envs in (0, -1, 2.0, "2", None, True):
        with pytest.raises(ValueError, match="n_envs of make_fast_vec_env must be an integer of at least 1"):
            make_fast_vec_env("CartPole-v1", n_envs=n_envs)
    for seed in (-1, 0.5, "1"):
        with pytest.raises(ValueError, match="seed of make_fast_vec_env must be an integer of at least 0 or None"):
            make_fast_vec_env("CartPole-v1", seed=seed)
    with pytest.raises(ValueError, match="env_id of make_fast_vec_env must be the name"):
        make_fast_vec_env(gym.spec("CartPole-v1"))
    for backend in ("auto", "gymnasium", "python", "sb3"):
        with pytest.raises(gym.error.UnregisteredEnv, match="KartPole"):
            make_fast_vec_env("KartPole-v1", backend=backend)


def test_envpool_that_is_not_installed(no_envpool: None) -> None:
    with pytest.raises(ImportError, match="pip install envpool"):
        make_fast_vec_env("CartPole-v1", backend="envpool")


def test_nothing_imports_envpool_where_there_is_a_native_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "envpool", None)
    assert backend_of(make_fast_vec_env("CartPole-v1", 8)) == "gymnasium (native)"


def test_few_environments_of_gymnasium_are_stepped_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv

    monkeypatch.setitem(sys.modules, "envpool", None)
    native, python = "gymnasium (native)", "python (PythonVecEnv)"
    assert [backend_of(make_fast_vec_env("CartPole-v1", n)) for n in (1, 7, 8)] == [python, python, native]
    # Its author had a reason
    gym.register("Own-v0", "tests.vec_env.test_fast:Own", vector_entry_point=CartPoleVectorEnv)
    assert backend_of(make_fast_vec_env("Own-v0")) == native
    del gym.registry["Own-v0"]


def test_learning() -> None:
    REINFORCE("LinearSoftmaxPolicy", make_fast_vec_env("CartPole-v1", 8, seed=0), seed=0).learn(2000)


# EnvPool


@pytest.mark.filterwarnings("ignore:.*precision lowered")
def test_auto_takes_envpool_for_the_same_task(envpool: Any) -> None:
    vec_env = make_fast_vec_env("Pendulum-v1", n_envs=8, seed=0)
    assert backend_of(vec_env) == "envpool"
    vec_env.reset()
    for step in range(1, 401):
        _, _, dones, infos = vec_env.step(np.zeros((8, 1), dtype=np.float32))
        assert dones.tolist() == [step % 200 == 0] * 8
        if dones[0]:
            assert [info["TimeLimit.truncated"] for info in infos] == [True] * 8
            assert infos[1]["episode"]["l"] == 200
    assert backend_of(make_fast_vec_env("Pendulum-v1", 8, g=5.0)) == "python (PythonVecEnv)"


@pytest.mark.filterwarnings("ignore:.*precision lowered")
@pytest.mark.parametrize(
    ("env_id", "n_envs"),
    [("CarRacing-v3", 1), ("HalfCheetah-v5", 4), ("Pendulum-v1", 8), ("FrozenLake-v1", 16)],
)
def test_auto_takes_envpool_from_where_it_is_faster(envpool: Any, env_id: str, n_envs: int) -> None:
    pytest.importorskip({"CarRacing-v3": "Box2D", "HalfCheetah-v5": "mujoco"}.get(env_id, "numpy"))
    assert backend_of(make_fast_vec_env(env_id, n_envs)) == "envpool"
    if n_envs > 1:
        assert backend_of(make_fast_vec_env(env_id, n_envs - 1)) == "python (PythonVecEnv)"


@pytest.mark.filterwarnings("ignore:.*precision lowered")
def test_envpool_has_the_time_limit_of_gymnasium(envpool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert longest_episode(make_fast_vec_env("Pendulum-v1", 8, max_episode_steps=9), [0.0], 20) == 9
    monkeypatch.setattr(gym.registry["Pendulum-v1"], "max_episode_steps", 6)
    vec_env = make_fast_vec_env("Pendulum-v1", 8)
    assert backend_of(vec_env) == "envpool"
    assert longest_episode(vec_env, [0.0], 20) == 6


@pytest.mark.filterwarnings("ignore:.*precision lowered")
def test_auto_leaves_envpool_where_the_spaces_differ(envpool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    other = gym.spaces.Box(-1.0, 1.0, (5,))
    monkeypatch.setattr("gymnasium.envs.classic_control.pendulum.PendulumEnv.observation_space", other, raising=False)
    monkeypatch.setattr(
        "gymnasium.envs.classic_control.pendulum.PendulumEnv.__setattr__",
        lambda self, name, value: None if name == "observation_space" else object.__setattr__(self, name, value),
        raising=False,
    )
    assert backend_of(make_fast_vec_env("Pendulum-v1", 8)) == "python (PythonVecEnv)"
