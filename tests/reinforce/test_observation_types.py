"""An observation is what the environment says it is: nothing takes a type from the first one, and nothing is lost."""

import contextlib
import copy
import re
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecEnv, VecFrameStack, VecMonitor

from sb3_reinforce import REINFORCE, GymnasiumVecEnv, PythonVecEnv, RandomWeightSearch

LENGTH = 4


class Shows(gym.Env[Any, Any]):
    """Shows what it is told to: first, then in between, and last."""

    def __init__(self, space: spaces.Space, first: Any, later: Any, last: Any = None) -> None:
        self.observation_space, self.action_space = space, spaces.Discrete(2)  # type: ignore[assignment]
        self.first, self.later, self.last = first, later, later if last is None else last

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.time = 0
        return self.first, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.time += 1
        is_over = self.time == LENGTH
        return (self.last if is_over else self.later), float(action), False, is_over, {}


gym.register("ShowsWhatItIsTold-v0", entry_point=Shows)  # type: ignore[arg-type]
Makers = list[Callable[[], gym.Env]]
VEC_ENVS: dict[str, Callable[[Makers], VecEnv]] = {
    "DummyVecEnv": DummyVecEnv,  # type: ignore[dict-item]
    "PythonVecEnv": PythonVecEnv,  # type: ignore[dict-item]
    "SubprocVecEnv": lambda makers: SubprocVecEnv(makers, start_method="fork"),
    "SyncVectorEnv": lambda makers: GymnasiumVecEnv(gym.vector.SyncVectorEnv(makers)),
    "AsyncVectorEnv": lambda makers: GymnasiumVecEnv(gym.vector.AsyncVectorEnv(makers, context="fork")),
}


NAMED_BY_US = ("DummyVecEnv", "PythonVecEnv", "SubprocVecEnv")


@pytest.fixture
def make() -> Iterator[Callable[..., VecEnv]]:
    made: list[VecEnv] = []

    def make_one(name: str, *shown: Any) -> VecEnv:
        made.append(VEC_ENVS[name]([lambda: _make(shown)] * 2))
        return made[-1]

    yield make_one
    for env in made:
        with contextlib.suppress(EOFError, ConnectionError):  # of a process that has died
            env.close()


def _make(shown: tuple[Any, ...]) -> gym.Env:
    names = ("space", "first", "later", "last")
    return gym.make("ShowsWhatItIsTold-v0", disable_env_checker=True, **dict(zip(names, shown, strict=False)))


def train(env: VecEnv, **kwargs: Any) -> REINFORCE:
    policy = "LinearSoftmaxPolicy"
    return REINFORCE(policy, env, seed=0, n_episodes=2, device="cpu", **kwargs).learn(2 * LENGTH, log_interval=None)


def observed(model: REINFORCE) -> Any:
    """Of the first episode."""
    observations = model.rollout_buffer.observations
    if isinstance(observations, dict):
        return {key: part[:LENGTH] for key, part in observations.items()}
    return observations[:LENGTH]


# --- What is not lost

BOX = spaces.Box(-10, 10, (2,))
BYTES = spaces.Box(0, 255, (2,), np.uint8)
LOSSLESS: dict[str, tuple[spaces.Space, Any, Any]] = {
    "first integers, then real numbers": (BOX, np.array([1, 2]), np.array([0.5, 0.25])),
    "first True and False, then real numbers": (BOX, np.array([True, False]), np.array([0.5, 0.25])),
    "first float32, then float64": (BOX, np.array([1, 2], np.float32), np.array([0.1, -0.2])),
    "first bytes, then negative ones": (
        spaces.Box(-500, 500, (2,), np.int64),
        np.array([1, 2], np.uint8),
        np.array([-300, 300]),
    ),
    "float64 space, integers first": (spaces.Box(-10, 10, (2,), np.float64), np.array([1, 2]), np.array([0.1, 1 / 3])),
    "lists": (BOX, [1, 2], [0.5, 0.25]),
    "float16": (spaces.Box(-10, 10, (2,), np.float16), np.array([1.0, 2.0]), np.array([0.5, 0.25])),
    "bytes that come as int64": (BYTES, np.array([0, 1]), np.array([200, 255])),
    "bytes that come as real numbers": (BYTES, np.array([0, 1], np.uint8), np.array([200.0, 255.0])),
    "Discrete": (spaces.Discrete(4), 1, np.int32(3)),
    "Discrete that comes as a real number": (spaces.Discrete(4), 1, 3.0),
    "MultiDiscrete": (spaces.MultiDiscrete([3, 4]), np.array([0, 1], np.int8), np.array([2, 3])),
    "MultiBinary": (spaces.MultiBinary(2), np.array([True, False]), np.array([1, 1])),
}
LOSSLESS_FAULTS = {
    ("SyncVectorEnv", "Discrete that comes as a real number"): "Gymnasium casts within a kind of numbers only",
    ("SyncVectorEnv", "bytes that come as int64"): "Gymnasium casts within a kind of numbers only",
    ("SyncVectorEnv", "bytes that come as real numbers"): "Gymnasium casts within a kind of numbers only",
}


def marked(request: pytest.FixtureRequest, reason: str | None) -> None:
    if reason is not None:
        request.applymarker(pytest.mark.xfail(strict=True, reason=reason))


@pytest.mark.parametrize("vec_env", VEC_ENVS)
@pytest.mark.parametrize("name", LOSSLESS)
def test_what_an_observation_says_is_kept(vec_env: str, name: str, make: Any, request: pytest.FixtureRequest) -> None:
    marked(request, LOSSLESS_FAULTS.get((vec_env, name)))
    space, first, later = LOSSLESS[name]
    observations = observed(train(make(vec_env, space, first, later)))
    assert observations.dtype == space.dtype
    np.testing.assert_array_equal(observations, np.asarray([first, later, later, later]).astype(space.dtype))


@pytest.mark.parametrize("vec_env", VEC_ENVS)
def test_in_a_dict_as_well(vec_env: str, make: Any) -> None:
    space = spaces.Dict(place=BOX, room=spaces.Discrete(4), lamps=spaces.MultiBinary(2), picture=BYTES)
    first = {"place": np.array([1, 2]), "room": 0, "lamps": np.array([1, 0], np.int8), "picture": np.array([0, 1], np.uint8)}
    later = {**first, "place": np.array([0.5, 0.25]), "room": np.int64(3), "picture": np.array([7, 255], np.uint8)}
    observations = observed(train(make(vec_env, space, first, later)))
    for key, part in space.items():
        assert observations[key].dtype == part.dtype
        np.testing.assert_array_equal(observations[key], np.asarray([first[key], *[later[key]] * 3]))


@pytest.mark.parametrize("wrap", [VecMonitor, lambda env: VecFrameStack(env, 2)], ids=["VecMonitor", "VecFrameStack"])
@pytest.mark.parametrize("vec_env", NAMED_BY_US)
def test_behind_wrappers_as_well(vec_env: str, wrap: Any, make: Any) -> None:
    observations = observed(train(wrap(make(vec_env, BOX, np.array([1, 2]), np.array([0.5, 0.25])))))
    assert observations.dtype == np.float32
    np.testing.assert_array_equal(observations[:, -2:], [[1, 2], *[[0.5, 0.25]] * 3])


# --- What is lost

LOSSY: dict[str, tuple[spaces.Space, Any, Any, str, str]] = {
    "2.7 for Discrete": (spaces.Discrete(4), 1, 2.7, "float64", "int64"),
    "300 for bytes": (BYTES, np.array([1, 2], np.uint8), np.array([1, 300]), "int64", "uint8"),
    "-1 for bytes": (BYTES, np.array([1, 2], np.uint8), np.array([1, -1], np.int16), "int16", "uint8"),
    "1.5 for bytes": (BYTES, np.array([1, 2], np.uint8), np.array([1, 1.5], np.float32), "float32", "uint8"),
    "1e300 for float32": (BOX, np.array([1.0, 2.0]), np.array([1.0, 1e300]), "float64", "float32"),
    "70000 for float16": (spaces.Box(-10, 10, (2,), np.float16), np.zeros(2), np.array([7e4, 0.0]), "float64", "float16"),
    "2.5 for integers": (spaces.Box(-9, 9, (2,), np.int64), np.array([1, 2]), np.array([1.0, 2.5]), "float64", "int64"),
    "0.5 for MultiBinary": (spaces.MultiBinary(2), np.array([0, 1], np.int8), np.array([0, 0.5]), "float64", "int8"),
    "1.5 for MultiDiscrete": (spaces.MultiDiscrete([3, 3]), np.array([0, 1]), np.array([0, 1.5]), "float64", "int64"),
    "nan for integers": (spaces.Box(-9, 9, (2,), np.int64), np.array([1, 2]), np.array([1.0, np.nan]), "float64", "int64"),
    "texts": (BOX, np.array([1.0, 2.0]), np.array(["1", "2"]), "<U1", "float32"),
}
GYMNASIUM_CASTS = "Gymnasium casts in silence, before we see it"
LOSSY_FAULTS = {
    **{("AsyncVectorEnv", name): GYMNASIUM_CASTS for name in LOSSY},
    # NumPy makes them infinite there, which is an error of another kind
    **{("SyncVectorEnv", name): GYMNASIUM_CASTS for name in ("1e300 for float32", "70000 for float16")},
}


def words(came: str, declared: str) -> str:
    return f"(?s)ShowsWhatItIsTold-v0.*{re.escape(came)}.*{declared}"


@pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")
@pytest.mark.parametrize("when", ["later", "first"])
@pytest.mark.parametrize("vec_env", VEC_ENVS)
@pytest.mark.parametrize("name", LOSSY)
def test_what_would_be_lost_is_an_error_that_names_it(
    vec_env: str, name: str, when: str, make: Any, request: pytest.FixtureRequest
) -> None:
    marked(request, LOSSY_FAULTS.get((vec_env, name)))
    space, good, bad, came, declared = LOSSY[name]
    with pytest.raises(ValueError, match=words(came, declared)):
        train(make(vec_env, space, *((good, bad) if when == "later" else (bad, good))))


@pytest.mark.parametrize("vec_env", NAMED_BY_US)
def test_in_a_dict_its_key_is_named(vec_env: str, make: Any) -> None:
    space = spaces.Dict(place=BOX, picture=BYTES)
    good = {"place": np.zeros(2, np.float32), "picture": np.zeros(2, np.uint8)}
    bad = {**good, "picture": np.array([1, 300])}
    with pytest.raises(ValueError, match=words("'picture' of type int64", "uint8")):
        train(make(vec_env, space, good, bad))


def test_random_weight_search_looks_as_well(make: Any) -> None:
    with pytest.raises(ValueError, match=words("int64", "uint8")):
        RandomWeightSearch("LinearSoftmaxPolicy", make("DummyVecEnv", BYTES, np.zeros(2, np.uint8), np.array([1, 300]))).learn(
            99
        )


LAST = {name: LOSSY[name] for name in ("2.7 for Discrete", "300 for bytes", "1e300 for float32", "0.5 for MultiBinary")}


@pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")
@pytest.mark.parametrize("vec_env", NAMED_BY_US)
@pytest.mark.parametrize("name", LAST)
def test_what_follows_an_episode_that_was_cut_off_is_looked_at_too(vec_env: str, name: str, make: Any) -> None:
    space, good, bad, came, declared = LAST[name]
    with pytest.raises(ValueError, match=words(came, declared)):
        train(make(vec_env, space, good, good, bad), bootstrap_truncated=True, gamma=0.9, n_value_updates=1)


def test_of_an_episode_that_was_cut_off_integers_are_as_good(make: Any) -> None:
    env = make("DummyVecEnv", BOX, np.array([1, 2]), np.array([0.5, 0.25]), np.array([3, 4]))
    model = train(env, bootstrap_truncated=True, gamma=0.9, n_value_updates=1)
    np.testing.assert_array_equal(model.rollout_buffer.rollout().last_observations, [[3, 4], [3, 4]])


# --- Shapes

SHAPES: dict[str, tuple[spaces.Space, Any, Any]] = {
    "one number for two": (BOX, np.zeros(2), np.zeros(1)),
    "a number for a vector": (BOX, np.zeros(2), 0.5),
    "a row for a vector": (BOX, np.zeros(2), np.zeros((1, 2))),
    "a column for a matrix": (spaces.Box(-1, 1, (3, 2)), np.zeros((3, 2)), np.zeros((3, 1))),
    "a vector for a matrix": (spaces.Box(-1, 1, (2, 2)), np.zeros((2, 2)), np.zeros(2)),
    "an array for Discrete": (spaces.Discrete(4), 1, np.array([1])),
    "a bit for two": (spaces.MultiBinary(2), np.zeros(2, np.int8), np.zeros(1, np.int8)),
}
SHAPE_FAULTS = {("AsyncVectorEnv", name): GYMNASIUM_CASTS for name in SHAPES if "for a matrix" not in name}


@pytest.mark.filterwarnings("ignore:(?s).*(Traceback|from Worker-|last exception):UserWarning")
@pytest.mark.parametrize("when", ["later", "first"])
@pytest.mark.parametrize("vec_env", VEC_ENVS)
@pytest.mark.parametrize("name", SHAPES)
def test_another_shape_is_an_error_where_it_would_fit_by_repetition_too(
    vec_env: str, name: str, when: str, make: Any, request: pytest.FixtureRequest
) -> None:
    marked(request, SHAPE_FAULTS.get((vec_env, name)))
    space, good, bad = SHAPES[name]
    shown = (good, bad) if when == "later" else (bad, good)
    match = r"(?s)ShowsWhatItIsTold-v0.* of shape \(.*observation_space" if vec_env in NAMED_BY_US else None
    with pytest.raises(ValueError, match=match):
        train(make(vec_env, space, *shown))


# --- Any numbers

DTYPES = [np.float32, np.float64, np.float16, np.int64, np.int32, np.int16, np.uint8, np.bool_]
NUMBERS = st.sampled_from([0, 1, 2, 3, -1, 7, 255, 256, 300, 0.5, 1e-3, -2.25, 6e4, 1e5, 1e15])


@settings(max_examples=80)
@given(
    st.sampled_from([np.float32, np.float64, np.int64, np.int16, np.uint8]),
    st.sampled_from(DTYPES),
    st.sampled_from(DTYPES),
    arrays(np.float64, 2, elements=NUMBERS),
    arrays(np.float64, 2, elements=NUMBERS),
)
def test_numbers_of_any_type_arrive_as_they_are_or_not_at_all(
    declared: Any, first_type: Any, later_type: Any, first: np.ndarray, later: np.ndarray
) -> None:
    bounds = (0, 255) if declared is np.uint8 else (-1000, 1000)
    with np.errstate(invalid="ignore", over="ignore"):
        shown = [first.astype(first_type), later.astype(later_type)]
        exact = [values.astype(declared) for values in shown]
    env = DummyVecEnv([lambda: Shows(spaces.Box(*bounds, (2,), declared), *copy.deepcopy(shown))])
    is_real = np.issubdtype(declared, np.floating)
    try:
        observations = observed(train(env))
    except ValueError as error:
        is_exact = all(np.array_equal(values, cast) for values, cast in zip(shown, exact, strict=True))
        assert not is_exact or "not finite" in str(error)  # noqa: PT017
    else:
        np.testing.assert_array_equal(observations, [exact[0], *[exact[1]] * (LENGTH - 1)])
        for values, cast in zip(shown, exact, strict=True):
            np.testing.assert_allclose(cast.astype(np.float64), values.astype(np.float64), rtol=1e-6 if is_real else 0)
