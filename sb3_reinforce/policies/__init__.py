"""Policies that both algorithms share."""

from stable_baselines3.common.policies import BasePolicy

from sb3_reinforce.policies.fittable import CnnPolicy, MlpPolicy, MultiInputPolicy
from sb3_reinforce.policies.linear import LinearGaussianPolicy, LinearPolicy, LinearSoftmaxPolicy

DENSE_POLICIES: dict[str, type[BasePolicy]] = {
    "LinearPolicy": LinearPolicy,
    "LinearSoftmaxPolicy": LinearSoftmaxPolicy,
    "LinearGaussianPolicy": LinearGaussianPolicy,
    "MlpPolicy": MlpPolicy,
}
"""By name, those made of linear layers and activations."""

POLICIES: dict[str, type[BasePolicy]] = {**DENSE_POLICIES, "CnnPolicy": CnnPolicy, "MultiInputPolicy": MultiInputPolicy}
"""By name, all."""

__all__ = [
    "DENSE_POLICIES",
    "POLICIES",
    "CnnPolicy",
    "LinearGaussianPolicy",
    "LinearPolicy",
    "LinearSoftmaxPolicy",
    "MlpPolicy",
    "MultiInputPolicy",
]
