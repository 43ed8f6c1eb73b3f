"""
Which vectorised environments are fastest where the environment is what costs: steps a second of random actions.

All in one run, in turn, the median of several repetitions; EnvPool where it has the environment::

    python examples/benchmark_parallel.py
    python examples/benchmark_parallel.py --envs HalfCheetah-v5 --n-envs 2 8 --seconds 5

Needs ``pip install ".[test]" "gymnasium[mujoco,box2d]" ale-py``.
"""

import argparse
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
    "GymnasiumVecEnv(EnvPool)": make_envpool,
}


def speed(make: Callable[[str, int], Any], env_id: str, n_envs: int, seconds: float) -> float:
    """
    :param make: Makes the environments.
    :param env_id: Which.
    :param n_envs: How many.
    :param seconds: For how long to step them.
    :return: Environment steps a second, after a second of warming up.
    """
    env = make(env_id, n_envs)
    env.reset()
    rng = np.random.default_rng(0)
    space: Any = getattr(env, "single_action_space", env.action_space)
    is_discrete = isinstance(space, gym.spaces.Discrete)

    def play(seconds: float) -> float:
        n_steps, start = 0, time.perf_counter()
        while time.perf_counter() - start < seconds:
            shape = (n_envs, *space.shape)
            actions = rng.integers(space.n, size=shape) if is_discrete else rng.uniform(space.low, space.high, shape)
            env.step(actions.astype(space.dtype))
            n_steps += n_envs
        return n_steps / (time.perf_counter() - start)

    play(1.0)
    result = play(seconds)
    env.close()
    return result


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--envs", nargs="+", default=["HalfCheetah-v5", "LunarLander-v3", PONG])
    parser.add_argument("--n-envs", nargs="+", type=int, default=[2, 8])
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS), metavar="KIND")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--repetitions", type=int, default=3)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    for env_id in arguments.envs:
        for n_envs in arguments.n_envs:
            speeds: dict[str, list[float]] = {kind: [] for kind in arguments.kinds}
            for _ in range(arguments.repetitions):
                for kind in arguments.kinds:
                    speeds[kind].append(speed(KINDS[kind], env_id, n_envs, arguments.seconds))
            slowest = np.median(speeds[arguments.kinds[0]])
            for kind, values in speeds.items():
                median = np.median(values)
                print(f"{env_id:16} x {n_envs:<3} {kind:32} {median:9,.0f} steps a second {median / slowest:6.2f}", flush=True)


if __name__ == "__main__":
    main()
