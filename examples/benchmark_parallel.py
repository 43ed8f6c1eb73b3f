"""
Which vectorised environments are fastest where the environment is what costs: steps a second of random actions.

They are all made first, and then stepped in turn for a moment each, several times: medians, and medians of the ratios to
the first kind. EnvPool and native environments where there are any::

    python examples/benchmark_parallel.py
    python examples/benchmark_parallel.py --kinds PythonVecEnv "GymnasiumVecEnv(native)" "GymnasiumVecEnv(EnvPool)" \\
        --envs CartPole-v1 Pendulum-v1 HalfCheetah-v5 LunarLander-v3 --n-envs 1 2 4 8 16

The second command measures where ``make_fast_vec_env`` changes from one kind to another.

Needs ``pip install ".[test]" "gymnasium[mujoco,box2d]" ale-py``.
"""

import argparse
import importlib.util
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AsyncVectorEnv
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

from sb3_reinforce import GymnasiumVecEnv, PythonVecEnv

PONG = "ale_py:ALE/Pong-v5"
ENVPOOL = {PONG: "Pong-v5"}
"""Where EnvPool has another name. Its Pong gives four small grey pictures, Gymnasium's one large one in colours."""


def make_async(env_id: str, n_envs: int) -> AsyncVectorEnv:
    """:return: Gymnasium's environments in processes, with shared memory."""
    return AsyncVectorEnv([partial(gym.make, env_id)] * n_envs)


def make_native(env_id: str, n_envs: int) -> GymnasiumVecEnv:
    """:return: Gymnasium's own vector environment as an SB3 VecEnv."""
    return GymnasiumVecEnv(gym.make_vec(env_id, n_envs, vectorization_mode="vector_entry_point"))


def make_envpool(env_id: str, n_envs: int) -> GymnasiumVecEnv:
    """:return: EnvPool's environments as an SB3 VecEnv."""
    import envpool

    name = ENVPOOL.get(env_id, env_id)
    limit = 27_000 if env_id == PONG else gym.spec(env_id).max_episode_steps
    pool: Any = envpool.make_gymnasium(name, num_envs=n_envs, seed=0, max_episode_steps=limit)
    return GymnasiumVecEnv(pool)


KINDS: dict[str, Callable[[str, int], Any]] = {
    "DummyVecEnv": partial(make_vec_env, vec_env_cls=DummyVecEnv),
    "PythonVecEnv": partial(make_vec_env, vec_env_cls=PythonVecEnv),
    "SubprocVecEnv": partial(make_vec_env, vec_env_cls=SubprocVecEnv),
    "AsyncVectorEnv, bare": make_async,
    "GymnasiumVecEnv(AsyncVectorEnv)": lambda env_id, n_envs: GymnasiumVecEnv(make_async(env_id, n_envs)),
    "GymnasiumVecEnv(native)": make_native,
    "GymnasiumVecEnv(EnvPool)": make_envpool,
}


def is_there(kind: str, env_id: str) -> bool:
    """:return: Whether there are environments of that kind."""
    if kind == "GymnasiumVecEnv(native)":
        return gym.spec(env_id).vector_entry_point is not None
    if kind == "GymnasiumVecEnv(EnvPool)":
        return importlib.util.find_spec("envpool") is not None
    return True


def speed(env: Any, n_envs: int, seconds: float) -> float:
    """
    :param env: The environments.
    :param n_envs: How many they are.
    :param seconds: For how long to step them.
    :return: Environment steps a second.
    """
    rng = np.random.default_rng(0)
    space: Any = getattr(env, "single_action_space", env.action_space)
    is_discrete = isinstance(space, gym.spaces.Discrete)
    n_steps, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        shape = (n_envs, *space.shape)
        actions = rng.integers(space.n, size=shape) if is_discrete else rng.uniform(space.low, space.high, shape)
        env.step(actions.astype(space.dtype))
        n_steps += n_envs
    return n_steps / (time.perf_counter() - start)


def speeds(kinds: list[str], env_id: str, n_envs: int, seconds: float, repetitions: int) -> np.ndarray:
    """
    :param kinds: Kinds of vectorised environments.
    :param env_id: Which.
    :param n_envs: How many.
    :param seconds: For how long to step them at a time.
    :param repetitions: How often.
    :return: Environment steps a second. Shape ``(repetitions, len(kinds))``.
    """
    envs = [KINDS[kind](env_id, n_envs) for kind in kinds]
    for env in envs:
        env.reset()
        speed(env, n_envs, seconds)
    results = np.array([[speed(env, n_envs, seconds) for env in envs] for _ in range(repetitions)])
    for env in envs:
        env.close()
    return results


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--envs", nargs="+", default=["HalfCheetah-v5", "LunarLander-v3", PONG])
    parser.add_argument("--n-envs", nargs="+", type=int, default=[2, 8])
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS), metavar="KIND")
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--repetitions", type=int, default=10)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    for env_id in arguments.envs:
        kinds = [kind for kind in arguments.kinds if is_there(kind, env_id)]
        for n_envs in arguments.n_envs:
            results = speeds(kinds, env_id, n_envs, arguments.seconds, arguments.repetitions)
            medians, ratios = np.median(results, axis=0), np.median(results / results[:, :1], axis=0)
            for kind, median, ratio in zip(kinds, medians, ratios, strict=True):
                print(f"{env_id:16} x {n_envs:<3} {kind:32} {median:9,.0f} steps a second {ratio:6.2f}", flush=True)


if __name__ == "__main__":
    main()
