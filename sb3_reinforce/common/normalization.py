"""The running statistics of SB3's VecNormalize, as plain arrays that can be saved with a model."""

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
    """
    for name, moments in _moments(env).items():
        if f"mean of {name}" in statistics:
            moments.mean = np.array(statistics[f"mean of {name}"])
            moments.var = np.array(statistics[f"var of {name}"])
            moments.count = float(statistics[f"count of {name}"])


def _moments(env: VecNormalize) -> dict[str, RunningMeanStd]:
    of_observations = vars(env).get("obs_rms", {})  # not there without norm_obs
    if isinstance(of_observations, dict):
        return {"returns": env.ret_rms, **{f"observation {key!r}": moments for key, moments in of_observations.items()}}
    return {"returns": env.ret_rms, "observations": of_observations}
