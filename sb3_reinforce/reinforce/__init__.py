"""REINFORCE and its policies."""

from sb3_reinforce.policies.policies import (
    CnnPolicy,
    LinearGaussianPolicy,
    LinearSoftmaxPolicy,
    MlpPolicy,
    MultiInputPolicy,
)
from sb3_reinforce.reinforce.reinforce import REINFORCE

__all__ = ["REINFORCE", "CnnPolicy", "LinearGaussianPolicy", "LinearSoftmaxPolicy", "MlpPolicy", "MultiInputPolicy"]
