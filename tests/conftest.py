"""Settings of the whole suite."""

import torch as th
from hypothesis import settings

from tests.disks import small_disk  # noqa: F401

# A loaded machine is no failure, and workers of pytest-xdist should not fight for cores
settings.register_profile("suite", deadline=None)
settings.load_profile("suite")
th.set_num_threads(1)
