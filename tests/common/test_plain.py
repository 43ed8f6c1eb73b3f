import collections
import json
import pathlib
from collections import deque
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.utils import ConstantSchedule, FloatSchedule, LinearSchedule
from torch import nn

from sb3_reinforce import EpsilonSchedule, LinearSoftmaxPolicy, TileCoding
from sb3_reinforce.common.archives import DamagedFileError, damage_reported
from sb3_reinforce.common.plain import NotPlainError, from_plain, to_plain
from sb3_reinforce.gradient.baselines import LinearBaseline


def through_json(value: Any) -> Any:
    return from_plain(json.loads(json.dumps(to_plain(value))))


def assert_same(mine: Any, theirs: Any) -> None:
    """The same types all the way down, and NaN for NaN."""
    assert type(mine) is type(theirs)
    if isinstance(mine, (np.ndarray, np.generic)):
        assert mine.dtype == theirs.dtype
        np.testing.assert_array_equal(mine, theirs)
    elif isinstance(mine, dict):
        assert list(mine) == list(theirs)
        for key in mine:
            assert_same(mine[key], theirs[key])
    elif isinstance(mine, (list, tuple, deque)):
        assert len(mine) == len(theirs)
        for a, b in zip(mine, theirs, strict=True):
            assert_same(a, b)
    elif isinstance(mine, float):
        np.testing.assert_equal(mine, theirs)
    else:
        assert mine == theirs


NUMBERS = st.sampled_from(["?", "<i1", "<i8", ">i4", "<u2", "<f2", "<f4", "<f8", "<c16"])
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    npst.arrays(NUMBERS, npst.array_shapes(min_dims=0, max_side=3)),
    NUMBERS.map(np.dtype).flatmap(npst.from_dtype),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.builds(deque, st.lists(inner, max_size=3), st.one_of(st.none(), st.just(5))),
        st.dictionaries(st.one_of(st.text(), st.just("__kind__")), inner, max_size=3),
        st.dictionaries(st.one_of(st.text(), st.integers(), st.none(), st.tuples(st.integers())), inner, max_size=3),
    ),
    max_leaves=8,
)


@given(VALUES)
def test_values_come_back_as_they_were(value: Any) -> None:
    assert_same(through_json(value), value)


def test_a_deque_keeps_its_length_and_an_array_can_be_written_to() -> None:
    assert through_json(deque([1], maxlen=3)).maxlen == 3
    through_json(np.zeros(3))[0] = 1


@pytest.mark.parametrize("path", [pathlib.Path("logs/run"), pathlib.PurePosixPath("/tmp")])
def test_a_path(path: pathlib.PurePath) -> None:
    assert str(through_json(path)) == str(path)


SPACES = [
    spaces.Box(-1, 1, (2, 3)),
    spaces.Box(np.array([-np.inf, 0]), np.array([0, np.inf]), dtype=np.float64),
    spaces.Box(0, 255, (4, 4, 1), np.uint8),
    spaces.Box(-np.inf, 7, (2,), np.int32),
    spaces.Discrete(3),
    spaces.Discrete(3, start=-1),
    spaces.MultiDiscrete([2, 5]),
    spaces.MultiDiscrete(np.array([2, 5], dtype=np.int32), dtype=np.int32),
    spaces.MultiBinary(4),
    spaces.MultiBinary((2, 2)),
    spaces.Dict(collections.OrderedDict(z=spaces.Discrete(2), a=spaces.Dict(b=spaces.Box(0, 1, (1,))))),
    gym.make("CartPole-v1").observation_space,
]


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_spaces(space: spaces.Space) -> None:
    back = through_json(space)
    assert back == space
    assert back.dtype == space.dtype
    assert str(back) == str(space)
    if isinstance(space, spaces.Box):
        assert back.is_bounded("below") == space.is_bounded("below")
        assert back.is_bounded("above") == space.is_bounded("above")
    if isinstance(space, spaces.Dict):
        assert list(back.spaces) == list(space.spaces)


def fitted_baseline() -> LinearBaseline:
    baseline, rng = LinearBaseline(memory=0.5), np.random.default_rng(0)
    baseline.fit(rng.normal(size=(20, 2)), np.arange(20), rng.normal(size=20))
    return baseline


def test_a_fitted_baseline_goes_on_as_it_was() -> None:
    mine, theirs, rng = fitted_baseline(), through_json(fitted_baseline()), np.random.default_rng(1)
    for _ in range(2):
        arguments = rng.normal(size=(9, 2)), np.arange(9), rng.normal(size=9)
        np.testing.assert_array_equal(mine(*arguments[:2]), theirs(*arguments[:2]))
        mine.fit(*arguments)
        theirs.fit(*arguments)


def statistics() -> RunningMeanStd:
    moments = RunningMeanStd(shape=(3,))
    moments.update(np.random.default_rng(0).normal(size=(7, 3)))
    return moments


@pytest.mark.parametrize(
    "value",
    [
        EpsilonSchedule(0.5, 0.25, 0.125),
        ConstantSchedule(0.1),
        LinearSchedule(1.0, 0.1, 0.5),
        FloatSchedule(LinearSchedule(np.float32(1.0), 0.0, 1.0)),  # type: ignore[arg-type]
        LinearBaseline(),
        statistics(),
    ],
    ids=lambda value: type(value).__name__,
)
def test_objects_whose_attributes_say_all(value: Any) -> None:
    back = through_json(value)
    assert type(back) is type(value)
    assert to_plain(back) == to_plain(value)


@pytest.mark.parametrize("cls", [nn.ReLU, LinearSoftmaxPolicy, TileCoding])
def test_classes(cls: type) -> None:
    assert through_json({"a": [cls]}) == {"a": [cls]}


class Own(spaces.Box):
    pass


class OwnSchedule(LinearSchedule):
    pass


def more_than_usual() -> LinearSchedule:
    schedule = LinearSchedule(1.0, 0.0, 1.0)
    schedule.note = "mine"  # type: ignore[attr-defined]
    return schedule


def endless() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    ("value", "where"),
    [
        (lambda: 0, r"x \(builtins.function\)"),
        ({"a": [1, print]}, r"x\['a'\]\[1\] \(builtins.builtin_function_or_method\)"),
        (np.array([None]), "x"),
        (np.array(["text"]), "x"),
        (np.ma.masked_array([1]), "x"),
        (Own(0, 1, (1,)), r"test_plain\.Own"),
        (spaces.Tuple([spaces.Discrete(2)]), "x"),
        (spaces.Dict(a=Own(0, 1)), r"x\['a'\]"),
        (OwnSchedule(1.0, 0.0, 1.0), r"x \(.*OwnSchedule"),
        (FloatSchedule(lambda _: 0.1), r"x.value_schedule \(builtins.function\)"),
        (more_than_usual(), "x"),
        (Own, r"x \(.*test_plain\.Own\)"),
        (pathlib.Path, "x"),
        (collections.defaultdict(list), "x"),
        (1j, "x"),
        (endless(), "x"),
    ],
    ids=lambda value: str(value).split(" at 0x")[0],
)
def test_what_has_no_plain_form_is_named(value: Any, where: str) -> None:
    with pytest.raises(NotPlainError, match=where):
        to_plain(value, "x")


ARRAY = {"__kind__": "array", "dtype": "<f4", "shape": [1], "data": "AAAAAA=="}
BOX = {"__kind__": "Box", "low": ARRAY, "high": ARRAY}
FORGED = [
    {"__kind__": "system"},
    {"__kind__": ["tuple"]},
    {"__kind__": "tuple"},
    {"__kind__": "tuple", "items": [], "more": 1},
    {"__kind__": "deque", "items": [], "maxlen": -1},
    {"__kind__": "dict", "items": [1]},
    {**ARRAY, "dtype": "|O"},
    {**ARRAY, "dtype": "O"},
    {**ARRAY, "dtype": "<f4,<f4"},
    {**ARRAY, "shape": [10**12]},
    {**ARRAY, "shape": [-1]},
    {**ARRAY, "shape": [2, -1, -1]},
    {**ARRAY, "shape": ["1"]},
    {**ARRAY, "data": "no base64"},
    {"__kind__": "class", "name": "os.system"},
    {"__kind__": "object", "class": "Popen", "state": {}},
    {"__kind__": "object", "class": "LinearSchedule", "state": {"start": 1, "end": 0}},
    {"__kind__": "object", "class": "EpsilonSchedule", "state": {"start": 9, "end": 0, "decrement": 0}},
    {"__kind__": "object", "class": "RunningMeanStd", "state": {"mean": 1, "var": 1, "count": 1, "update": 1}},
    {**BOX, "bounded_below": 3},
    {**BOX, "np_random": 3},
    {**BOX, "low": {**ARRAY, "data": "AADAfw=="}},  # NaN
    {"__kind__": "Discrete", "n": 0, "start": 0, "dtype": "<i8"},
    {"__kind__": "MultiBinary", "n": -3},
]


@pytest.mark.parametrize("value", FORGED, ids=str)
def test_what_nobody_has_written_so_is_refused(value: Any) -> None:
    with pytest.raises(DamagedFileError, match="the file is not a saved model, or is damaged"), damage_reported("the file"):
        from_plain(value)
