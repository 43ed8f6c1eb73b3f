"""The public names of sb3_reinforce."""

from sb3_reinforce.common.callbacks import (
    EpisodeDurationCallback,
    EpsilonCallback,
    StopTrainingOnSolved,
)
from sb3_reinforce.common.checkpoints import ResumableCheckpointCallback
from sb3_reinforce.common.live_chart import LiveChartCallback
from sb3_reinforce.common.masked_observations import tell_action_masks
from sb3_reinforce.common.wrappers import SuccessRewardWrapper
from sb3_reinforce.features import FourierBasis, NormalizedObservations, RandomFourierFeatures, TileCoding
from sb3_reinforce.policies import LinearGaussianPolicy, LinearPolicy, LinearSoftmaxPolicy
from sb3_reinforce.random_weight_search import RandomWeightSearch
from sb3_reinforce.reinforce import REINFORCE
from sb3_reinforce.rollouts.epsilon import EpsilonSchedule
from sb3_reinforce.vec_env import GymnasiumVecEnv, PythonVecEnv, make_fast_vec_env
from sb3_reinforce.version import __version__

__all__ = [
    "REINFORCE",
    "EpisodeDurationCallback",
    "EpsilonCallback",
    "EpsilonSchedule",
    "FourierBasis",
    "GymnasiumVecEnv",
    "LinearGaussianPolicy",
    "LinearPolicy",
    "LinearSoftmaxPolicy",
    "LiveChartCallback",
    "NormalizedObservations",
    "PythonVecEnv",
    "RandomFourierFeatures",
    "RandomWeightSearch",
    "ResumableCheckpointCallback",
    "StopTrainingOnSolved",
    "SuccessRewardWrapper",
    "TileCoding",
    "__version__",
    "make_fast_vec_env",
    "tell_action_masks",
]
