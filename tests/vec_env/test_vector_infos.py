"""One sub-environment's part of vector infos, and values of several types among them."""

from typing import Any

import numpy as np
from gymnasium.vector import SyncVectorEnv
from hypothesis import given
from hypothesis import strategies as st

from sb3_reinforce.vec_env.vector_infos import Info, allow_values_of_several_types, info_of
from tests.vec_env.walks import assert_same, walks


def test_info_of_takes_what_the_masks_allow() -> None:
    infos = {
        "a": np.array([1, 2]),
        "_a": np.array([True, False]),
        "b": {"c": np.array([3, 4]), "_c": np.array([False, True])},
        "_private": np.array([5, 6]),
    }
    assert info_of(infos, 0) == {"a": 1, "b": {}, "_private": 5}
    assert info_of(infos, 1) == {"b": {"c": 4}, "_private": 6}


def test_info_of_takes_what_is_of_all_as_it_is() -> None:
    infos = {
        "log": {"mean": 0.5},
        "name": "native",
        "total": np.array(3),
        "none": None,
        1: np.array([7, 8]),
        "_1": np.array([True, False]),
    }
    of_all = {"log": {"mean": 0.5}, "name": "native", "total": 3, "none": None}
    assert info_of(infos, 0) == {**of_all, 1: 7}
    assert info_of(infos, 1) == of_all


VECTOR_ENV = SyncVectorEnv(walks())
allow_values_of_several_types(VECTOR_ENV)

NUMBERS = st.one_of(st.booleans(), st.integers(-(2**60), 2**60), st.floats(allow_nan=False), st.just(np.float32(0.1)))
OTHERS = st.one_of(
    st.text(max_size=3), st.none(), st.lists(st.integers(0, 9), max_size=3), st.just(np.arange(3)), st.just(np.eye(2))
)
KEYS = st.sampled_from(["episode", "nested", "x", "_private", 1, None])
INFOS = st.dictionaries(
    KEYS, st.one_of(NUMBERS, OTHERS, st.dictionaries(st.sampled_from(["r", "id", 2]), NUMBERS | OTHERS)), max_size=4
)


@given(st.lists(INFOS, min_size=5, max_size=5))
def test_values_of_several_types_stay_what_they_are(infos: list[dict[Any, Any]]) -> None:
    """Collected by key and taken apart again, every info is what it was."""
    vector_infos: Info = {}
    for i, info in enumerate(infos):
        vector_infos = VECTOR_ENV._add_info(vector_infos, info, i)
    for i, info in enumerate(infos):
        own = info_of(vector_infos, i)
        assert_same(own, info)
        for key, value in info.items():
            assert np.asarray(own[key]).dtype == np.asarray(value).dtype


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.integers(0, 9)), min_size=5, max_size=5))
def test_values_of_one_type_are_collected_as_gymnasium_does(infos: list[dict[str, int]]) -> None:
    collected: list[Info] = [{}, {}]
    for vector_infos, vector_env in zip(collected, (VECTOR_ENV, SyncVectorEnv(walks())), strict=True):
        for i, info in enumerate(infos):
            vector_env._add_info(vector_infos, {**info, "nested": info}, i)
    actual, expected = collected
    assert_same(actual, expected)
    for key in set(expected) - {"nested"}:
        assert actual[key].dtype == expected[key].dtype
