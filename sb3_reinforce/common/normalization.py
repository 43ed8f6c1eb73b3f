"""The running statistics of SB3's VecNormalize, as plain arrays that can be saved with a model."""

from typing import Any

import numpy as np
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import VecNormalize

Statistics = dict[str, np.ndarray]
"""Mean, variance and count of the returns and of each part of the observations, by name."""


def statistics_of(env: VecNormalize) -> Statistics:
    """
    :param env: A VecNormalize.
    :return: A copy of its statistics.
    """
    return {
        f"{part} of {name}": np.array(getattr(moments, part))
        for name, moments in _moments(env).items()
        for part in ("mean", "var", "count")
    }


def is_statistics(value: Any) -> bool:
    """
    :param value: What a file may have in their place.
    :return: Whether they are statistics.
    """
    return isinstance(value, dict) and all(
        isinstance(array, np.ndarray) and array.dtype.kind == "f" and np.isfinite(array).all() for array in value.values()
    )


def take_over(env: VecNormalize, statistics: Statistics) -> None:
    """
    Go on with statistics that were saved. One that has seen something already (``VecNormalize.load``) keeps its own.

    :param env: A VecNormalize.
    :param statistics: As from :func:`statistics_of`, with the same observations.
    """
    if all(moments.count < 1 for moments in _moments(env).values()):
        put_back(env, statistics)


def put_back(env: VecNormalize, statistics: Statistics) -> None:
    """
    Go back to statistics of before, whatever has been seen since.

    :param env: A VecNormalize.
    :param statistics: As from :func:`statistics_of`, with the same observations.
    :raises ValueError: If they are those of others.
    """
    for name, moments in _moments(env).items():
        mean, var, count = (statistics.get(f"{part} of {name}") for part in ("mean", "var", "count"))
        if mean is None or var is None or count is None:
            continue
        if mean.shape != moments.mean.shape or var.shape != moments.var.shape or count.shape != ():
            raise ValueError(f"The statistics of the {name} that were saved do not fit this VecNormalize, in shape.")
        moments.mean, moments.var, moments.count = mean.copy(), var.copy(), float(count)


def _moments(env: VecNormalize) -> dict[str, RunningMeanStd]:
    try:  # neither by the environments inside, nor by a look into __dict__, which would slow down each later step
        of_observations = object.__getattribute__(env, "obs_rms")
    except AttributeError:  # without norm_obs
        of_observations = {}
    if isinstance(of_observations, dict):
        return {"returns": env.ret_rms, **{f"observation {key!r}": moments for key, moments in of_observations.items()}}
    return {"returns": env.ret_rms, "observations": of_observations}
