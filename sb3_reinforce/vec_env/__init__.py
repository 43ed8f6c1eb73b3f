"""Gymnasium's vector environments as SB3 VecEnvs."""

from sb3_reinforce.vec_env.fast import make_fast_vec_env
from sb3_reinforce.vec_env.gymnasium_vec_env import GymnasiumVecEnv

__all__ = ["GymnasiumVecEnv", "make_fast_vec_env"]
