from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sb3_reinforce.common.observations import map_observations, n_rows, named_parts, stack_observations, take_rows

ROWS = st.integers(1, 5)


def observations(n: int) -> st.SearchStrategy[Any]:
    """An array, or a dict of them, with n rows."""
    array = st.sampled_from([(n,), (n, 2), (n, 2, 3)]).flatmap(
        lambda shape: arrays(np.float32, shape, elements=st.integers(0, 9))
    )
    return st.one_of(array, st.dictionaries(st.sampled_from("abc"), array, min_size=1))


def rows_of(value: Any) -> list[Any]:
    """The slow way."""
    if isinstance(value, dict):
        return [{key: part[i] for key, part in value.items()} for i in range(len(next(iter(value.values()))))]
    return list(value)


def assert_equal(first: Any, second: Any) -> None:
    if not isinstance(first, dict):
        np.testing.assert_array_equal(first, second)
        return
    assert list(first) == list(second)
    for key, part in first.items():
        np.testing.assert_array_equal(part, second[key])


@given(ROWS.flatmap(observations))
def test_rows_that_are_stacked_are_what_they_came_from(value: Any) -> None:
    rows = rows_of(value)
    assert n_rows(value) == len(rows)
    assert_equal(stack_observations(rows), value)


@given(st.data(), ROWS)
def test_rows_are_taken_by_number_mask_and_slice(data: Any, n: int) -> None:
    value = data.draw(observations(n))
    rows = rows_of(value)
    numbers = data.draw(st.lists(st.integers(0, n - 1), min_size=1))
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    assert_equal(take_rows(value, np.array(numbers)), stack_observations([rows[i] for i in numbers]))
    assert n_rows(take_rows(value, mask)) == mask.sum()
    if mask.any():
        assert_equal(take_rows(value, mask), stack_observations([row for row, taken in zip(rows, mask, strict=True) if taken]))
    assert_equal(take_rows(value, slice(0, n)), value)


@given(ROWS.flatmap(observations))
def test_a_function_sees_each_part_with_those_at_its_place(value: Any) -> None:
    doubled = map_observations(lambda part: 2 * part, value)
    assert_equal(map_observations(lambda whole, half, first: whole - half - first, doubled, value, value), map_zero(value))


def map_zero(value: Any) -> Any:
    return {key: 0 * part for key, part in value.items()} if isinstance(value, dict) else 0 * value


def test_keys_are_what_counts_and_not_their_order() -> None:
    first, second = {"a": np.ones(2), "b": np.zeros(2)}, {"b": np.ones(2), "a": np.zeros(2)}
    assert_equal(map_observations(np.subtract, first, second), {"a": np.ones(2), "b": -np.ones(2)})
    with pytest.raises(KeyError):
        map_observations(np.subtract, first, {"a": np.ones(2)})


def test_tensors_are_as_good() -> None:
    tensors = {"a": th.arange(6.0).reshape(3, 2), "b": th.arange(3)}
    assert n_rows(tensors) == 3
    assert th.equal(take_rows(tensors, slice(1, 3))["a"], th.tensor([[2.0, 3.0], [4.0, 5.0]]))


def test_parts_of_observations_and_of_spaces_have_names_for_errors() -> None:
    box, bits = spaces.Box(0, 1, (2,)), spaces.MultiBinary(2)
    assert named_parts(box) == {"observation": box}
    assert named_parts(spaces.Dict(left=box, right=bits)) == {"observation 'left'": box, "observation 'right'": bits}
    array = np.zeros(2)
    assert named_parts(array)["observation"] is array
    assert list(named_parts({"a": array})) == ["observation 'a'"]
