"""REINFORCE at home in Stable-Baselines3."""

from sb3_reinforce.common.callbacks import EpisodeDurationCallback, EpsilonCallback, StopTrainingOnSolved
from sb3_reinforce.common.epsilon import EpsilonSchedule
from sb3_reinforce.random_weight_search import RandomWeightSearch
from sb3_reinforce.reinforce import REINFORCE, LinearSoftmaxPolicy
from sb3_reinforce.version import __version__

__all__ = [
    "REINFORCE",
    "EpisodeDurationCallback",
    "EpsilonCallback",
    "EpsilonSchedule",
    "LinearSoftmaxPolicy",
    "RandomWeightSearch",
    "StopTrainingOnSolved",
    "__version__",
]
