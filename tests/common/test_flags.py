"""Fast looks at booleans see what NumPy sees."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sb3_reinforce.common.flags import all_set, any_set

SHAPES = hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=9)


@given(hnp.arrays(bool, SHAPES, elements=st.booleans()), st.sampled_from([True, False, None]))
def test_as_numpy_sees_them(flags: Any, fill: bool | None) -> None:
    if fill is not None:
        flags[:] = fill
    view: Any
    for view in (flags, flags.T, flags[::2], flags[..., ::-1]):
        assert any_set(view) == view.any()
        assert all_set(view) == view.all()


@pytest.mark.parametrize("dtype", [np.int8, np.int64, np.uint8])
def test_integers(dtype: type) -> None:
    flags: Any = np.zeros(5, dtype)
    assert not any_set(flags)
    flags[3] = 2
    assert any_set(flags)
