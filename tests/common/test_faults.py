"""Environments that fail: in this process, and in processes of their own."""

import os
import signal
import threading
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecEnv, VecMonitor

from sb3_reinforce import REINFORCE, GymnasiumVecEnv, RandomWeightSearch
from sb3_reinforce.common.faults import close_what_is_left

BOX, THREE = spaces.Box(-1.0, 1.0, (3,)), spaces.Discrete(3)
DICT = spaces.Dict(a=BOX, b=THREE)


class Faulty(gym.Env[Any, Any]):
    """
    Episodes of 5 timesteps.

    :param observation_space: Its observations.
    :param fault: Called at the 28th step; what it gives takes the place of (observation, reward).
    """

    action_space = spaces.Discrete(2)

    def __init__(self, observation_space: spaces.Space = BOX, fault: Callable[["Faulty"], Any] | None = None) -> None:
        self.observation_space, self.fault, self.n_steps = observation_space, fault, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.t = 0
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        self.t, self.n_steps = self.t + 1, self.n_steps + 1
        result = (self.observation_space.sample(), 1.0)
        if self.fault is not None and self.n_steps == 28:
            result = self.fault(self)
        return *result, self.t == 5, False, {}


def _algorithm(name: str, env: gym.Env[Any, Any] | VecEnv) -> REINFORCE | RandomWeightSearch:
    if name == "reinforce":
        return REINFORCE("LinearPolicy", env, n_episodes=4, seed=0)
    return RandomWeightSearch("LinearPolicy", env, seed=0)


both = pytest.mark.parametrize("algorithm", ["reinforce", "search"])


def _killed(env: Faulty) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _crashed(env: Faulty) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def _left(env: Faulty) -> None:
    os._exit(3)


def _raised(env: Faulty) -> None:
    raise KeyError("its own")


def _in_processes(kind: str, fault: Callable[[Faulty], Any]) -> VecEnv:
    makers: list[Callable[[], gym.Env[Any, Any]]] = [Faulty, lambda: Faulty(fault=fault), Faulty]
    if kind == "AsyncVectorEnv":
        return GymnasiumVecEnv(AsyncVectorEnv(makers))
    return VecMonitor(SubprocVecEnv(makers, start_method=kind))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that are forked")
@both
@pytest.mark.parametrize(
    ("kind", "fault", "message"),
    [
        ("fork", _killed, "Worker 1 .*SIGKILL.*memory"),  # forked, the others hold its pipe open
        ("fork", _crashed, "Worker 1 .*crashed .SIG(SEGV|ABRT)"),  # a library may handle the first by the second
        ("fork", _raised, "Worker 1 .*exit code 1; its environment has raised an error"),
        ("AsyncVectorEnv", _killed, "Worker 1 .*SIGKILL.*memory"),
        ("AsyncVectorEnv", _left, "Worker 1 .*exit code 3"),
    ],
)
def test_a_dead_worker_is_named_and_training_goes_on_with_others(
    kind: str, fault: Callable[[Faulty], Any], message: str, algorithm: str
) -> None:
    env = _in_processes(kind, fault)
    model = _algorithm(algorithm, env)
    seen: list[np.ndarray] = []

    def remember(*_: Any) -> bool:
        seen.append(model.policy.action_net.weight.detach().numpy().copy())
        return True

    with pytest.raises(RuntimeError, match=message):
        model.learn(1000, callback=remember)
    assert np.array_equal(seen[-1], model.policy.action_net.weight.detach().numpy())  # as after the last good update
    with pytest.raises(RuntimeError, match="are closed"):
        model.learn(10, reset_num_timesteps=False)
    env.close()
    n_timesteps = model.num_timesteps
    model.set_env(DummyVecEnv([Faulty] * 3))
    model.learn(60, reset_num_timesteps=False)
    assert model.num_timesteps >= n_timesteps + 60


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that are forked")
def test_whoever_watches_workers_that_were_closed_leaves_the_pipes_of_others_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """He may look at a pipe's descriptor just before it is closed, and use it when it is that of another pipe."""
    first, others = SubprocVecEnv([Faulty] * 2, start_method="fork"), set(threading.enumerate())
    _algorithm("reinforce", first).learn(20)
    has_looked, goes_on, dup = threading.Event(), threading.Event(), os.dup

    def dup_late(descriptor: int) -> int:
        has_looked.set()
        goes_on.wait(60)
        return dup(descriptor)

    monkeypatch.setattr(os, "dup", dup_late)
    first.remotes[0].send(("close", None))
    assert has_looked.wait(60)
    close_what_is_left(first)
    second = SubprocVecEnv([Faulty] * 2, start_method="fork")
    goes_on.set()
    for watcher in set(threading.enumerate()) - others:
        watcher.join()
    assert len(second.reset()) == 2
    second.close()


@both
def test_an_environments_own_error_is_its_own(algorithm: str) -> None:
    with pytest.raises(KeyError, match="its own") as caught:
        _algorithm(algorithm, Faulty(fault=_raised)).learn(1000)
    notes = getattr(caught.value, "__notes__", ["Raised by the environment Faulty at step"])  # from Python 3.11 on
    assert "Raised by the environment Faulty at step" in notes[0]


@pytest.mark.filterwarnings("ignore:.*ERROR")
def test_an_error_in_a_vector_environment_is_its_own_too() -> None:
    env = _in_processes("AsyncVectorEnv", _raised)
    with pytest.raises(KeyError, match="its own"):
        _algorithm("reinforce", env).learn(1000)
    env.close()


@both
@pytest.mark.parametrize("monitored", [True, False])
@pytest.mark.parametrize("reward", [None, 1j, np.complex64(2j), [1.0, 2.0], np.zeros(2), "one", {}, 10**400])
def test_a_reward_that_is_no_real_number_is_told(reward: Any, monitored: bool, algorithm: str) -> None:
    env: Any = Faulty(fault=lambda env: (BOX.sample(), reward))
    if not monitored:
        env = DummyVecEnv([lambda: env])
        if reward is None:
            pytest.skip("a DummyVecEnv without Monitor makes NaN of it, which is told at the end of the episode")
    with pytest.raises(ValueError, match=r"environment Faulty returned .*at step \d+ of the rollout"):
        _algorithm(algorithm, env).learn(1000)


@both
@pytest.mark.parametrize(
    ("space", "observation", "message"),
    [
        (BOX, np.zeros(2), r"of shape \(2,\)"),
        (BOX, None, "None"),
        (BOX, {"a": 1}, "'a'"),
        (BOX, np.zeros(3) * 1j, "complex"),
        (THREE, -1, "the observation -1, but its space is Discrete"),
        (THREE, 3, "the observation 3, but its space is Discrete"),
        (THREE, np.array(-2), "the observation -2"),
        (THREE, 0.5, "float64"),
        (spaces.MultiDiscrete([2, 3]), np.array([1, -1]), r"\[ 1 -1\]"),
        (spaces.MultiDiscrete([2, 3]), np.array([2, 0]), r"\[2 0\]"),
        (spaces.MultiBinary(2), np.array([0, 2], np.int8), r"\[0 2\]"),
        (DICT, {"a": np.zeros(3)}, "without the part 'b'"),
        (DICT, {"a": np.zeros(3), "b": -1}, "observation 'b' -1"),
        (DICT, np.zeros(3), "without the part 'a'"),
        (DICT, None, "without the part 'a'.*None"),
    ],
)
def test_an_observation_that_does_not_fit_is_told(space: spaces.Space, observation: Any, message: str, algorithm: str) -> None:
    env = Faulty(space, lambda env: (observation, 1.0))
    with pytest.raises(ValueError, match=f"(?s)environment Faulty .*{message}.*at step \\d+ of the rollout"):
        _algorithm(algorithm, env).learn(1000)
