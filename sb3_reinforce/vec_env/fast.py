"""The fastest VecEnv there is for an environment."""

import contextlib
import importlib
import importlib.util
import re
import warnings
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from sb3_reinforce.common.checks import check_spaces
from sb3_reinforce.common.constraints import NONE, Interval, OneOf, Table, Test, checked
from sb3_reinforce.vec_env.envpool import AGREEING_MUJOCO
from sb3_reinforce.vec_env.gymnasium_vec_env import GymnasiumVecEnv
from sb3_reinforce.vec_env.python_vec_env import PythonVecEnv

BACKENDS = ("auto", "gymnasium", "envpool", "python", "sb3")
_ONE_BY_ONE: dict[str, type[DummyVecEnv]] = {"python": PythonVecEnv, "sb3": DummyVecEnv}

_OTHERS = "others"
PAYS_FROM = {
    "gymnasium": {"classic_control": 8, _OTHERS: 1},
    "envpool": {"box2d": 1, "mujoco": 4, "classic_control": 8, _OTHERS: 16},
}
"""
The number of environments from which a backend is faster than ``PythonVecEnv``, by Gymnasium's family of environments, as
``examples/benchmark_parallel.py`` measures it. A backend's step has a cost that does not grow with the environments: NumPy's
calls, or handing actions to threads. A step of PythonVecEnv costs what its environments cost, which is much in Box2D's family.
Of a native environment that is not Gymnasium's, nothing is known but that its author made it.
"""

_ALLOWED: Table = {
    "env_id": [Test("the name of a registered environment, as a text", lambda value: isinstance(value, str))],
    "n_envs": [Interval(1, integer=True)],
    "seed": [Interval(0, integer=True), NONE],
    "backend": [OneOf(BACKENDS)],
}


class BackendUnavailableError(Exception):
    """A backend can't serve the environment; the message says why."""


@checked(_ALLOWED, "make_fast_vec_env")
def make_fast_vec_env(
    env_id: str, n_envs: int = 1, seed: int | None = None, backend: str = "auto", **env_kwargs: Any
) -> VecEnv:
    """
    Make the fastest VecEnv there is for an environment. Its attribute ``backend`` says which it is:
    ``"gymnasium (native)"``, ``"gymnasium (SyncVectorEnv)"``, ``"envpool"``, ``"python (PythonVecEnv)"`` or
    ``"sb3 (DummyVecEnv)"``.

    ``backend="auto"`` takes the environment's own vector environment if Gymnasium has one
    (CartPole), else EnvPool if it is installed and knows the environment with the same spaces, else
    :class:`~sb3_reinforce.PythonVecEnv`, which it also takes for few environments, where it is faster:
    :data:`~sb3_reinforce.vec_env.fast.PAYS_FROM` says how few. So what "auto" takes depends on what is installed, but never on
    how fast this machine is. Of MuJoCo's environments it takes from EnvPool only those that were shown to
    agree with Gymnasium's, :data:`~sb3_reinforce.vec_env.envpool.AGREEING_MUJOCO`: for others, as Ant, name the backend.
    All report returns and lengths of episodes as ``Monitor`` does, have the time limit that ``gymnasium.make`` gives, and
    take SB3's wrappers.

    :param env_id: Name of a registered environment.
    :param n_envs: Number of parallel environments, at least 1.
    :param seed: Seed of the environments, at least 0. None for a different start each time.
    :param backend: "auto", "gymnasium" (``SyncVectorEnv`` where there is no native vector environment),
        "envpool", "python" (``PythonVecEnv``) or "sb3" (``DummyVecEnv``).
    :param env_kwargs: Arguments of the environment.
    :return: The VecEnv, in one process.
    :raises ValueError: If an argument is not what it has to be, or if the backend can't serve the environment.
    :raises ImportError: If the backend is not installed.
    :raises gymnasium.error.UnregisteredEnv: If there is no such environment.
    """
    if backend == "auto":
        return _make_fastest(env_id, n_envs, seed, env_kwargs)
    if backend == "gymnasium":
        return _make_gymnasium(env_id, n_envs, seed, env_kwargs)
    if backend == "envpool":
        try:
            return _make_envpool(env_id, n_envs, seed, env_kwargs)
        except BackendUnavailableError as error:
            raise ValueError(str(error)) from None
    return _make_one_by_one(backend, env_id, n_envs, seed, env_kwargs)


def _find_spec(env_id: str) -> EnvSpec:
    module, _, name = env_id.rpartition(":")
    if module:
        importlib.import_module(module)
    return gym.spec(name)


def _named(vec_env: VecEnv, backend: str) -> VecEnv:
    vec_env.backend = backend  # type: ignore[attr-defined]
    return vec_env


def _make_fastest(env_id: str, n_envs: int, seed: int | None, env_kwargs: dict[str, Any]) -> VecEnv:
    spec = _find_spec(env_id)
    if _pays("gymnasium", spec, n_envs):
        with contextlib.suppress(BackendUnavailableError):
            return _make_native(spec, n_envs, seed, env_kwargs)
    if _pays("envpool", spec, n_envs):
        with contextlib.suppress(BackendUnavailableError, ImportError):
            return _make_same_in_envpool(env_id, n_envs, seed, env_kwargs)
    return _make_one_by_one("python", env_id, n_envs, seed, env_kwargs)


def _pays(backend: str, spec: EnvSpec, n_envs: int) -> bool:
    """Whether a backend is faster for so many environments than PythonVecEnv."""
    pays_from = PAYS_FROM[backend]
    return n_envs >= pays_from.get(_family(spec), pays_from[_OTHERS])


def _family(spec: EnvSpec) -> str:
    """Of Gymnasium's own environments, the package that they are in, as ``mujoco``."""
    match = re.match(r"gymnasium\.envs\.(\w+)\.", str(spec.entry_point))
    return match[1] if match else _OTHERS


def _make_native(spec: EnvSpec, n_envs: int, seed: int | None, env_kwargs: dict[str, Any]) -> VecEnv:
    """The environment's own vector environment, if it can be reset as SB3 expects."""
    if spec.vector_entry_point is None:
        raise BackendUnavailableError(f"{spec.id} has no vector environment of its own.")
    try:
        vector_env = gym.make_vec(spec, n_envs, vectorization_mode="vector_entry_point", **env_kwargs)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*only with the step after")
            vec_env = GymnasiumVecEnv(vector_env)
    except (ImportError, TypeError, ValueError, gym.error.Error) as error:
        raise BackendUnavailableError(f"{spec.id}'s own vector environment can't be used: {error}") from error
    if vec_env.has_reset_transitions:
        vec_env.close()
        raise BackendUnavailableError(f"{spec.id}'s own vector environment has steps that are only resets.")
    vec_env.seed(seed)
    return _named(vec_env, "gymnasium (native)")


def _make_gymnasium(env_id: str, n_envs: int, seed: int | None, env_kwargs: dict[str, Any]) -> VecEnv:
    spec = _find_spec(env_id)
    mode, backend = "vector_entry_point", "gymnasium (native)"
    if spec.vector_entry_point is None:
        mode, backend = "sync", "gymnasium (SyncVectorEnv)"
    vec_env = GymnasiumVecEnv(gym.make_vec(spec, n_envs, vectorization_mode=mode, **env_kwargs))
    vec_env.seed(seed)
    return _named(vec_env, backend)


def _make_envpool(env_id: str, n_envs: int, seed: int | None, env_kwargs: dict[str, Any]) -> VecEnv:
    if importlib.util.find_spec("envpool") is None:
        raise ImportError("EnvPool is not installed. Install it with: pip install envpool")
    envpool = importlib.import_module("envpool")
    if env_id not in envpool.list_all_envs():
        raise BackendUnavailableError(f"EnvPool has no environment {env_id!r}. Use backend='auto'.")
    limit = {} if env_id not in gym.registry else {"max_episode_steps": gym.spec(env_id).max_episode_steps}
    if limit.get("max_episode_steps") is None:
        limit = {}
    # EnvPool's own default is the same seed every time
    seed = int(np.random.randint(2**31 - 1)) if seed is None else seed
    vec_env = GymnasiumVecEnv(envpool.make_gymnasium(env_id, num_envs=n_envs, seed=seed, **{**limit, **env_kwargs}))
    if _is_mujoco(env_id):  # EnvPool takes float64. Who learns here is to act, and to be loaded, in Gymnasium's
        bounds = vec_env.action_space.low, vec_env.action_space.high  # type: ignore[attr-defined]
        vec_env.action_space = gym.spaces.Box(*(bound.astype(np.float32) for bound in bounds))
    return _named(vec_env, "envpool")


def _is_mujoco(env_id: str) -> bool:
    """Whether it is one of Gymnasium's MuJoCo environments."""
    return env_id in gym.registry and _family(gym.spec(env_id)) == "mujoco"


def _make_same_in_envpool(env_id: str, n_envs: int, seed: int | None, env_kwargs: dict[str, Any]) -> VecEnv:
    """EnvPool's environment of that name, if it is the same task as Gymnasium's."""
    if set(env_kwargs) - {"max_episode_steps"}:
        raise BackendUnavailableError("Its arguments may mean something else to EnvPool.")
    if _is_mujoco(env_id) and env_id not in AGREEING_MUJOCO:
        raise BackendUnavailableError(f"EnvPool's {env_id} is not known to agree with Gymnasium's.")
    vec_env = _make_envpool(env_id, n_envs, seed, env_kwargs)
    env = gym.make(env_id, **env_kwargs)
    is_same = env.observation_space == vec_env.observation_space and env.action_space == vec_env.action_space
    env.close()
    if not is_same:
        vec_env.close()
        raise BackendUnavailableError(f"EnvPool's {env_id} has other spaces than Gymnasium's.")
    return vec_env


def _make_one_by_one(backend: str, env_id: str, n_envs: int, seed: int | None, env_kwargs: dict[str, Any]) -> VecEnv:
    env = gym.make(env_id, **env_kwargs)
    check_spaces(env.observation_space, env.action_space)  # before SB3 fails on what it can't serve
    env.close()
    vec_env_class = _ONE_BY_ONE[backend]
    vec_env = make_vec_env(env_id, n_envs, seed, env_kwargs=env_kwargs, vec_env_cls=vec_env_class)
    return _named(vec_env, f"{backend} ({vec_env_class.__name__})")
