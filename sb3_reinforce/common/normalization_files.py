"""Files of a VecNormalize that are read without running anything."""

import json
import pathlib
from typing import Any

import numpy as np
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from sb3_reinforce.common.archives import DamagedFileError, damage_reported, name_of
from sb3_reinforce.common.plain import from_plain, to_plain
from sb3_reinforce.common.saving import write_atomically

NORMALIZATION = "vec_normalize.json"
"""Statistics of a VecNormalize, in a form that runs nothing."""
NORMALIZATION_FILES = (NORMALIZATION, "vec_normalize.pkl", "vecnormalize.json", "vecnormalize.pkl")
"""How they are called beside a model: in a repository on the Hub, and in the folder of a run. Those that run nothing first."""
_SETTINGS = (
    "training",
    "norm_obs",
    "norm_reward",
    "clip_obs",
    "clip_reward",
    "gamma",
    "epsilon",
    "norm_obs_keys",
)


def write_normalization(env: VecNormalize, path: pathlib.Path) -> None:
    """
    :param env: A VecNormalize, whose settings and statistics are written.
    :param path: Where to, in JSON.
    :raises OSError: If it can't be written.
    """
    settings = {name: getattr(env, name) for name in _SETTINGS}
    # Without norm_obs, there are none of observations
    plain = to_plain({"settings": settings, "returns": env.ret_rms, "observations": getattr(env, "obs_rms", None)})
    write_atomically(path, json.dumps(plain).encode())


def read_normalization(path: pathlib.Path, venv: VecEnv) -> VecNormalize:
    """
    :param path: A file that :func:`write_normalization` has written.
    :param venv: What to wrap.
    :return: The wrapper.
    :raises DamagedFileError: If it is no such file, or one of other observations.
    :raises OSError: If it can't be read.
    """
    content = path.read_bytes()
    with damage_reported(name_of(path)):
        plain = from_plain(json.loads(content))
        env = VecNormalize(venv, **plain["settings"])
        if env.norm_obs:
            env.obs_rms = _fitting(plain["observations"], env.obs_rms)
        env.ret_rms = _fitting(plain["returns"], env.ret_rms)
        return env


def _fitting(read: Any, fresh: Any) -> Any:
    """The statistics that were read, of the same shapes as those that are to be replaced."""
    if isinstance(fresh, dict):
        return {key: _fitting(read[key], part) for key, part in fresh.items()}
    if not isinstance(read, RunningMeanStd) or {np.shape(read.mean), np.shape(read.var)} != {np.shape(fresh.mean)}:
        raise DamagedFileError("its statistics are of other observations")
    return read
