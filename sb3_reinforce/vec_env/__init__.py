"""VecEnvs that are faster than SB3's: Python environments in this process, and Gymnasium's vector environments."""

from sb3_reinforce.vec_env.fast import make_fast_vec_env
from sb3_reinforce.vec_env.gymnasium_vec_env import GymnasiumVecEnv
from sb3_reinforce.vec_env.python_vec_env import PythonVecEnv

__all__ = ["GymnasiumVecEnv", "PythonVecEnv", "make_fast_vec_env"]
