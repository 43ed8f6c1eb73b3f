"""A step's infos are a list of dicts to everyone, and made only when they are read."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sb3_reinforce.vec_env import GymnasiumVecEnv
from sb3_reinforce.vec_env.lazy_infos import LazyInfos
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
