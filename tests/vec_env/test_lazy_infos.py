"""A step's infos are a list of dicts to everyone, and made only when they are read."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sb3_reinforce.vec_env import GymnasiumVecEnv
from sb3_reinforce.vec_env.lazy_infos import Ended, LazyInfos
from tests.vec_env.walks import (
    N_ENVS,
    ReusesItsArrays,
    native_cart_poles,
)

EAGER = [{"place": float(i), "TimeLimit.truncated": False} for i in range(4)]


def test_infos_that_are_read_late_are_of_their_own_step() -> None:
    vec_env = GymnasiumVecEnv(ReusesItsArrays(N_ENVS))
    vec_env.reset()
    steps = [vec_env.step(np.ones(N_ENVS, dtype=np.int64)) for _ in range(30)]
    assert [infos[2]["number"] for *_, infos in steps] == list(range(1, 31))


def test_who_writes_into_an_info_writes_into_that_one_alone() -> None:
    vec_env = GymnasiumVecEnv(native_cart_poles())
    vec_env.reset()
    _, _, _, infos = vec_env.step(np.ones(N_ENVS, dtype=np.int64))
    infos[1]["mine"] = 1
    infos[-1]["TimeLimit.truncated"] = "?"
    assert infos[1] == {"TimeLimit.truncated": False, "mine": 1}
    assert list(infos) == [{"TimeLimit.truncated": False}] + [infos[1]] + [{"TimeLimit.truncated": False}] * 2 + [infos[4]]
    assert infos[4] == {"TimeLimit.truncated": "?"}
    infos[0]["later"] = 2
    assert "later" not in infos[2]
    _, _, _, later = vec_env.step(np.ones(N_ENVS, dtype=np.int64))
    assert later == [{"TimeLimit.truncated": False}] * N_ENVS


@pytest.mark.parametrize(
    "use",
    [
        list,
        tuple,
        copy.copy,
        copy.deepcopy,
        lambda infos: pickle.loads(pickle.dumps(infos)),
        lambda infos: infos[:],
        lambda infos: infos[1:3],
        lambda infos: infos[::-1],
        lambda infos: infos[-1],
        lambda infos: infos[np.int64(2)],
        lambda infos: infos.copy(),
        lambda infos: infos + [1],  # noqa: RUF005
        lambda infos: [1] + infos,  # noqa: RUF005
        lambda infos: infos * 2,
        lambda infos: [*infos],
        lambda infos: [1, 2, *infos],
        lambda infos: np.array(infos).tolist(),
        lambda infos: np.asarray(infos, dtype=object)[1],
        lambda infos: list(reversed(infos)),
        lambda infos: list(enumerate(infos)),
        lambda infos: [info for info in infos if info],
        lambda infos: EAGER[2] in infos,
        lambda infos: infos == EAGER,
        lambda infos: infos != EAGER,
        lambda infos: EAGER == infos,  # noqa: SIM300
        lambda infos: infos.index(EAGER[2]),
        lambda infos: infos.count(EAGER[2]),
        lambda infos: (infos.pop(0), infos[0]),
        lambda infos: (infos.append(1), infos[3], infos[4]),
        lambda infos: (infos.insert(0, 1), infos[1]),
        lambda infos: (infos.__setitem__(slice(0, 2), []), infos[0]),
        lambda infos: (infos.__setitem__(1, {}), infos[1]),
        lambda infos: (infos.__delitem__(0), len(infos), infos[0]),
        lambda infos: (infos.reverse(), infos[0]),
        lambda infos: (infos.extend([{}]), len(infos), infos[4]),
        lambda infos: (infos.clear(), len(infos)),
        lambda infos: [list(pair) for pair in zip(infos, infos, strict=True)],
        lambda infos: dict(enumerate(infos)),
        repr,
        len,
        bool,
        isinstance,
    ],
)
def test_lazy_infos_are_a_list_to_everyone(use: Callable[..., Any]) -> None:
    def lazy() -> LazyInfos:
        return LazyInfos(4, {"place": np.arange(4.0), "end": np.ones(4), "_end": np.zeros(4, dtype=bool)})

    touched = lazy()
    assert touched[2] == EAGER[2]
    for infos in (lazy(), touched):
        eager = copy.deepcopy(EAGER)
        if use is isinstance:
            assert isinstance(infos, list)
            continue
        if use is repr:
            assert str(infos) == str([dict(info) for info in lazy()])
            continue
        assert use(infos) == use(eager)


def test_lazy_infos_fill_an_object_array() -> None:
    array = np.empty(4, dtype=object)
    array[:] = LazyInfos(4, {})
    assert array.tolist() == [{"TimeLimit.truncated": False}] * 4
    assert len({id(info) for info in array}) == 4


def test_lazy_infos_raise_like_a_list() -> None:
    with pytest.raises(IndexError):
        LazyInfos(2, {})[2]


def ended(vector_infos: dict[str, Any], has_monitors: bool = False) -> Ended:
    """Episodes of environments 1, 2 and 5 of six; that of 2 was cut off."""
    terminated, truncated = np.array([0, 1, 0, 0, 0, 1], bool), np.array([0, 1, 1, 0, 0, 0], bool)
    observations, envs = np.arange(12.0).reshape(6, 2), np.array([1, 2, 5])
    returns, lengths = np.array([1.25, 2.5, 0.1 + 0.2]), np.array([4, 5, 6])
    return Ended(envs, terminated, truncated, observations, envs, vector_infos, returns, lengths, 1.23456789, has_monitors)


STATISTICS = [{"r": 1.25, "l": 4, "t": 1.234568}, {"r": 2.5, "l": 5, "t": 1.234568}, {"r": 0.3, "l": 6, "t": 1.234568}]


def test_ended_episodes_as_arrays_and_as_infos() -> None:
    episodes = ended({"a": np.arange(6), "_a": np.arange(6) < 2, "episode": np.arange(6)})
    assert episodes.timeouts.tolist() == [False, True, False]
    assert episodes.terminal_observations.tolist() == [[2.0, 3.0], [4.0, 5.0], [10.0, 11.0]]
    assert episodes.statistics() == STATISTICS
    assert episodes.statistics(np.array([2])) == STATISTICS[2:]
    for env, info in zip([1, 2, 5], episodes.infos(), strict=True):
        assert info.get("a") == (1 if env == 1 else None)
        assert info["episode"] in STATISTICS
        assert info["TimeLimit.truncated"] == (env == 2)
        assert info["terminal_observation"].tolist() == [2.0 * env, 2.0 * env + 1.0]


def test_ended_episodes_of_dicts_and_of_lists() -> None:
    arrays = ended({})._replace(observations={"x": np.arange(6), "y": np.zeros((6, 2))})
    assert [info["terminal_observation"]["x"] for info in arrays.infos()] == [1, 2, 5]
    objects = ended({})._replace(observations=["one", "two", "five"], rows=slice(None))
    assert [info["terminal_observation"] for info in objects.infos()] == ["one", "two", "five"]


MONITORED = {"episode": {"r": np.arange(6.0), "l": np.arange(6), "t": np.zeros(6)}, "_episode": np.ones(6, bool)}
SUCCESSES = {"is_success": np.arange(6) == 5, "_is_success": np.arange(6) > 1, "other": np.arange(6)}


@pytest.mark.parametrize("vector_infos", [{}, {"other": np.arange(6)}, SUCCESSES, MONITORED])
@pytest.mark.parametrize("has_monitors", [False, True])
@pytest.mark.parametrize("envs", [[1, 2, 5], [2], [1, 5], []])
def test_infos_of_episodes_have_what_sb3_reads(envs: list[int], has_monitors: bool, vector_infos: dict[str, Any]) -> None:
    def read(info: dict[str, Any]) -> tuple[Any, Any]:
        return info.get("episode"), info.get("is_success")

    infos = LazyInfos(6, {}, ended(vector_infos, has_monitors))
    of_episodes = [read(info) for info in infos.of_episodes(np.array(envs, dtype=int))]
    assert of_episodes == [read(infos[env]) for env in envs]


def test_infos_of_episodes_are_those_that_somebody_changed() -> None:
    infos = LazyInfos(6, {}, ended({}))
    infos[2]["is_success"] = True
    infos[5]["episode"]["r"] = 7.0
    assert [info.get("is_success") for info in infos.of_episodes(np.array([1, 2, 5]))] == [None, True, None]
    assert infos.of_episodes(np.array([5]))[0]["episode"]["r"] == 7.0


@pytest.mark.parametrize("first", [None, 0, 1, -1, slice(0, 3)])
def test_infos_with_ended_episodes_are_a_list(first: Any) -> None:
    """In whatever order they are read."""
    infos = LazyInfos(6, {"a": np.arange(6)}, ended({"b": np.arange(6)}))
    assert len(infos) == 6
    if first is not None:
        infos[first]
    assert len(infos) == 6
    goes_on = [{"a": i, "TimeLimit.truncated": False} for i in range(6)]
    for i, info in enumerate(infos):
        assert info is infos[i]
        if i in (1, 2, 5):
            assert info.keys() == {"b", "TimeLimit.truncated", "terminal_observation", "episode"}
        else:
            assert info == goes_on[i]
    infos.clear()
    assert len(infos) == 0
    assert infos == []
