"""
TensorBoard, for any SB3 algorithm: hyperparameters with what they have led to, a layout of the curves, histograms, pictures
and videos. Each part is a callback of its own, and :func:`tensorboard_callbacks` is all of them.
"""

from sb3_reinforce.common.tensorboard.histograms import EpisodeLengthHistogramCallback, WeightHistogramCallback
from sb3_reinforce.common.tensorboard.hyperparameters import (
    HyperparametersCallback,
    hyperparameters_of,
    log_evaluation,
    write_run,
)
from sb3_reinforce.common.tensorboard.layout import ScalarLayoutCallback
from sb3_reinforce.common.tensorboard.pictures import EpisodeVideoCallback, PolicyPictureCallback
from sb3_reinforce.common.tensorboard.standard import tensorboard_callbacks

__all__ = [
    "EpisodeLengthHistogramCallback",
    "EpisodeVideoCallback",
    "HyperparametersCallback",
    "PolicyPictureCallback",
    "ScalarLayoutCallback",
    "WeightHistogramCallback",
    "hyperparameters_of",
    "log_evaluation",
    "tensorboard_callbacks",
    "write_run",
]
