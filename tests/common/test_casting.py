import re
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays, floating_dtypes, from_dtype, integer_dtypes

from sb3_reinforce.common.casting import DiscreteRanges, as_declared

FINITE = {"allow_nan": False, "allow_infinity": False}
NATIVE = {"endianness": "="}
NUMBERS = st.one_of(
    floating_dtypes(**NATIVE), integer_dtypes(**NATIVE), integer_dtypes(**NATIVE).map(lambda d: np.dtype(f"u{d}"))
)


def box(dtype: Any, shape: tuple[int, ...] = (2,)) -> spaces.Box:
    return spaces.Box(0, 1, shape, dtype)


def declared(values: Any, space: spaces.Space, shape: tuple[int, ...] | None = None) -> np.ndarray:
    values = np.asarray(values)
    return as_declared(values, space, values.shape if shape is None else shape, "observation", "Room-v0")


@given(st.data(), NUMBERS, NUMBERS)
def test_integers_and_what_becomes_integers_come_out_as_they_went_in(data: Any, came: np.dtype, wanted: np.dtype) -> None:
    values = data.draw(arrays(came, array_shapes(max_dims=2, max_side=3), elements=from_dtype(came, **FINITE)))
    space = box(wanted, values.shape)
    exact = [int(value) if float(value).is_integer() else float(value) for value in values.ravel().tolist()]
    try:
        cast = declared(values, space)
    except ValueError as error:
        assert all(text in str(error) for text in ("Room-v0", str(came), str(wanted)))  # noqa: PT017
    else:
        assert cast.dtype == wanted
        assert cast.shape == values.shape
        if not (came.kind == wanted.kind == "f"):
            assert cast.ravel().tolist() == exact


@given(st.data(), floating_dtypes(**NATIVE), floating_dtypes(**NATIVE))
def test_real_numbers_lose_digits_at_the_most(data: Any, came: np.dtype, wanted: np.dtype) -> None:
    largest = min(float(np.finfo(came).max), float(np.finfo(wanted).max)) / 2
    bounds = {"min_value": -largest, "max_value": largest, "allow_subnormal": True}
    values = data.draw(arrays(came, (3,), elements=from_dtype(came, **bounds, **FINITE)))
    cast = declared(values, box(wanted, (3,)))
    assert cast.dtype == wanted
    np.testing.assert_allclose(
        cast.astype(np.float64), values.astype(np.float64), rtol=float(np.finfo(wanted).eps), atol=float(np.finfo(wanted).tiny)
    )


@pytest.mark.parametrize(
    ("values", "space"),
    [
        ([0, 1], box(np.float32)),
        ([True, False], box(np.float32)),
        ([0.1, 0.2], box(np.float32)),
        ([1e-300, 0.2], box(np.float32)),
        ([np.nan, np.inf], box(np.float32)),
        ([2.0, 255.0], box(np.uint8)),
        ([True, False], spaces.MultiBinary(2)),
        ([1.0, 0.0], spaces.MultiBinary(2)),
        (3, spaces.Discrete(4)),
        (3.0, spaces.Discrete(4)),
        (np.uint8([1, 2]), spaces.MultiDiscrete([3, 3])),
        ([2**24, -(2**24)], box(np.float32)),
        ([-0.0, 0.0], box(np.int64)),
    ],
)
def test_what_is_not_lost_is_cast(values: Any, space: spaces.Space) -> None:
    cast = declared(values, space)
    assert cast.dtype == space.dtype
    np.testing.assert_array_equal(cast, np.asarray(values).astype(space.dtype))


@pytest.mark.parametrize(
    ("values", "space"),
    [
        ([0.5, 1.0], box(np.int64)),
        ([1, 256], box(np.uint8)),
        ([1, -1], box(np.uint8)),
        ([np.nan, 1], box(np.int64)),
        ([np.inf, 1], box(np.int32)),
        ([1e300, 1], box(np.float32)),
        ([1e5, 1], box(np.float16)),
        ([2**24 + 1, 1], box(np.float32)),
        ([2**53 + 1, 1], box(np.float64)),
        (2.7, spaces.Discrete(4)),
        (["1", "2"], box(np.float32)),
        ([1j, 1], box(np.float32)),
        ([None, 1], box(np.float32)),
        (np.array(["2020-01-01", "2021-01-01"], "datetime64[D]"), box(np.int64)),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:Casting complex values")
def test_what_would_be_lost_is_named(values: Any, space: spaces.Space) -> None:
    came, wanted = str(np.asarray(values).dtype), str(np.dtype(space.dtype))
    with pytest.raises(ValueError, match="lose something") as error:
        declared(values, space)
    message = str(error.value)
    assert f"The environment Room-v0 returned an observation of type {came}" in message
    assert f"its space {space} has the type {wanted}" in message


@pytest.mark.parametrize(
    ("shape", "came"), [((2,), (1,)), ((2,), ()), ((2,), (2, 1)), ((3, 2), (2,)), ((3, 2), (1, 2)), ((), (1,)), ((2,), (0,))]
)
def test_another_shape_is_named_even_if_it_would_fit_by_repetition(shape: tuple[int, ...], came: tuple[int, ...]) -> None:
    space = box(np.float32, shape)
    words = f"The environment Room-v0 returned an observation of shape {came}, but its space .* makes it {shape}"
    with pytest.raises(ValueError, match=re.escape(words).replace(r"\.\*", ".*")):
        declared(np.zeros(came, np.float32), space, shape)


def test_an_environment_without_a_name_is_just_that() -> None:
    with pytest.raises(ValueError, match=r"^The environment returned an observation of type"):
        as_declared(np.array([0.5]), box(np.int64, (1,)), (1,), "observation")
    with pytest.raises(ValueError, match=r"^The environment returned an observation 'lamp' of type float64"):
        as_declared(np.array([0.5]), box(np.int64, (1,)), (1,), "observation 'lamp'")


@given(st.data())
def test_discrete_observations_out_of_their_range_are_told_and_no_others(data: st.DataObject) -> None:
    space = data.draw(st.sampled_from([spaces.Discrete(3), spaces.MultiDiscrete([2, 4]), spaces.MultiBinary(3)]))
    assert space.shape is not None
    values = data.draw(arrays(space.dtype, (5, *space.shape), elements=st.integers(-2, 4)))
    if all(space.contains(value if space.shape else int(value)) for value in values):
        DiscreteRanges(space).check(values)
        DiscreteRanges(spaces.Dict(a=space)).check({"a": values})
        return
    with pytest.raises(ValueError, match=r"The environment Mine returned the observation .*, but its space is"):
        DiscreteRanges(space).check(values, "Mine")
    with pytest.raises(ValueError, match=r"The environment Mine returned the observation 'a' .*, but its space is"):
        DiscreteRanges(spaces.Dict(a=space, b=spaces.Box(0, 1, (2,)))).check({"a": values, "b": None}, "Mine")


def test_real_numbers_have_no_such_range() -> None:
    assert not DiscreteRanges(spaces.Box(-1, 1, (2,)))
    assert DiscreteRanges(spaces.Dict(a=spaces.Box(-1, 1, (2,)), b=spaces.Discrete(2)))
