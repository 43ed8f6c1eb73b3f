"""REINFORCE, the Monte Carlo policy gradient."""

from sb3_reinforce.reinforce.reinforce import REINFORCE

__all__ = ["REINFORCE"]
