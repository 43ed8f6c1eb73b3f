"""REINFORCE and its policies."""

from sb3_reinforce.reinforce.policies import CnnPolicy, LinearSoftmaxPolicy, MlpPolicy, MultiInputPolicy
from sb3_reinforce.reinforce.reinforce import REINFORCE

__all__ = ["REINFORCE", "CnnPolicy", "LinearSoftmaxPolicy", "MlpPolicy", "MultiInputPolicy"]
