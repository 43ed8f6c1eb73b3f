"""One sub-environment's part of vector infos, and values of several types among them."""

import numpy as np

from sb3_reinforce.vec_env.vector_infos import info_of


def test_info_of_takes_what_the_masks_allow() -> None:
    infos = {
        "a": np.array([1, 2]),
        "_a": np.array([True, False]),
        "b": {"c": np.array([3, 4]), "_c": np.array([False, True])},
        "_private": np.array([5, 6]),
    }
    assert info_of(infos, 0) == {"a": 1, "b": {}, "_private": 5}
    assert info_of(infos, 1) == {"b": {"c": 4}, "_private": 6}
