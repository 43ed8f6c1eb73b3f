"""Settings of the whole suite."""

import multiprocessing

import torch as th
from hypothesis import settings

from tests.disks import small_disk  # noqa: F401

# A loaded machine is no failure, and workers of pytest-xdist should not fight for cores
settings.register_profile("suite", deadline=None)
settings.load_profile("suite")
th.set_num_threads(1)
# Processes that come from the fork server, those of SB3's SubprocVecEnv and of tests.processes, need not import it all anew,
# which takes seconds each. (torch._dynamo is what torch imports when the first optimizer is made.)
multiprocessing.set_forkserver_preload(
    ["torch", "torch._dynamo", "stable_baselines3", "sb3_reinforce.public", "matplotlib.figure", "tensorboard", "pandas"]
)
