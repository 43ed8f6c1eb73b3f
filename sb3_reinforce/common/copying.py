"""Copies and pickles of models, where SB3's have gaps."""

import copyreg
import inspect
from collections.abc import Iterator
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.distributions import Distribution
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper

_NORMALIZED = "_normalized"
"""What a VecNormalize wraps, and its discounted returns, in the state of a copy."""


class CopyableAlgorithm(BaseAlgorithm):
    """An SB3 algorithm that can be copied and pickled, before and after training, if its environments can."""

    def __getstate__(self) -> dict[str, Any]:
        state = vars(self).copy()
        distribution: Any = getattr(state.get("policy"), "action_dist", None)
        if isinstance(distribution, Distribution):
            distribution.distribution = None  # type: ignore[assignment]  # that of the last batch: its graph can't be copied
        for wrapper in _wrappers_of(self.env):
            _make_picklable(type(wrapper))
        if self._vec_normalize_env is not None:  # which leaves out what it wraps
            state[_NORMALIZED] = self._vec_normalize_env.venv, self._vec_normalize_env.returns
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        if _NORMALIZED in state:
            venv, returns = vars(self).pop(_NORMALIZED)
            if self._vec_normalize_env is not None and self._vec_normalize_env.venv is None:  # it is a copy too
                self._vec_normalize_env.set_venv(venv)
                self._vec_normalize_env.returns = returns


def _wrappers_of(env: VecEnv | None) -> Iterator[VecEnvWrapper]:
    while isinstance(env, VecEnvWrapper):
        yield env
        env = env.venv


def _make_picklable(cls: type[VecEnvWrapper]) -> None:
    """SB3's wrappers keep a list of what their class has, which can't be pickled, and is easily made anew."""
    has_own_way = any("__getstate__" in vars(base) or "__reduce__" in vars(base) for base in cls.__mro__[:-1])
    if not has_own_way and cls not in copyreg.dispatch_table:
        copyreg.pickle(cls, _reduce)


def _reduce(wrapper: VecEnvWrapper) -> tuple[Any, ...]:
    state = {name: value for name, value in vars(wrapper).items() if name != "class_attributes"}
    return _wrapper_of_state, (type(wrapper), state)


def _wrapper_of_state(cls: type[VecEnvWrapper], state: dict[str, Any]) -> VecEnvWrapper:
    wrapper = cls.__new__(cls)
    vars(wrapper).update(state, class_attributes=dict(inspect.getmembers(cls)))
    return wrapper
