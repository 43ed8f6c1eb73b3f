"""A step's infos, made only when somebody reads them."""

import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from sb3_reinforce.common.observations import take_rows
from sb3_reinforce.vec_env.vector_infos import Info, info_of


class Ended(NamedTuple):
    """
    The episodes that ended with a step: what their infos say, as arrays with an entry each.

    :param envs: The environments they ended in, in order.
    :param terminated: Whether the episode terminated, of all environments.
    :param truncated: Whether the episode was truncated, of all environments.
    :param observations: Array, dict of arrays or list of observations, the last ones among them.
    :param rows: Which of these are the last ones.
    :param vector_infos: The vector environment's infos of all environments with their last steps.
    :param returns: Sums of the rewards.
    :param lengths: Numbers of steps.
    :param seconds: Since the vector environment was made.
    :param has_monitors: Whether a Monitor in the sub-environments says what is in ``infos[i]["episode"]``.
    """

    envs: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    observations: Any
    rows: np.ndarray | slice
    vector_infos: Info
    returns: np.ndarray
    lengths: np.ndarray
    seconds: float
    has_monitors: bool

    @property
    def timeouts(self) -> np.ndarray:
        """Whether they were truncated and not terminated."""
        return self.truncated[self.envs] > self.terminated[self.envs]

    @property
    def terminal_observations(self) -> Any:
        """Their last observations: array, dict of arrays or list of observations."""
        return take_rows(self.observations, self.rows)

    def statistics(self, rows: np.ndarray | slice = slice(None)) -> list[Info]:
        """
        :param rows: Which of the episodes. Default: all.
        :return: What Monitor has in ``infos[i]["episode"]``.
        """
        seconds = round(self.seconds, 6)
        results = zip(self.returns[rows].round(6).tolist(), self.lengths[rows].tolist(), strict=True)
        return [{"r": r, "l": length, "t": seconds} for r, length in results]

    def infos(self) -> list[Info]:
        """
        :return: Their infos. What we say of an episode's end stands, as Monitor's and DummyVecEnv's words do,
            whatever the environment itself has under the same keys.
        """
        observations = self.terminal_observations
        if isinstance(observations, dict):
            rows = zip(*observations.values(), strict=True)
            observations = [dict(zip(observations, row, strict=True)) for row in rows]
        pairs = zip(self.timeouts.tolist(), observations, strict=True)
        infos: list[Info] = [{"TimeLimit.truncated": timeout, "terminal_observation": obs} for timeout, obs in pairs]
        if self.vector_infos:
            infos = [{**info_of(self.vector_infos, i), **info} for i, info in zip(self.envs.tolist(), infos, strict=True)]
        for info, statistics in zip(infos, self.statistics(), strict=True):
            if not (self.has_monitors and isinstance(info.get("episode"), dict)):
                info["episode"] = statistics
        return infos


_BLANK: Info = {}
"""Stands for an info that nobody has asked for yet."""


class LazyInfos(list[Info]):
    """
    A step's infos, a dict for each sub-environment, that are made when they are asked for.

    Making a thousand dicts that nobody reads would take as long as the step itself. To whoever reads
    or changes it, this is a list of dicts: each one is made once, belongs to that sub-environment
    and that step alone, and keeps what is written into it. Taking one by its number makes
    that one, or those of all episodes that ended; everything else makes all.

    :param n_envs: Number of sub-environments.
    :param vector_infos: The vector environment's own infos.
    :param ended: The episodes that ended with the step.
    """

    ended: Ended | None
    """The episodes that ended with the step, for whoever wants arrays and no dicts."""
    vector_infos: Info
    """The vector environment's own infos."""

    __slots__ = ("_has_blanks", "_n_missing", "ended", "vector_infos")

    def __init__(self, n_envs: int, vector_infos: Info, ended: Ended | None = None) -> None:
        self.vector_infos = vector_infos
        self.ended = ended
        # The list itself is empty until it is asked for anything
        self._n_missing = n_envs
        self._has_blanks = True

    def __len__(self) -> int:
        return super().__len__() + self._n_missing

    def _fill(self) -> None:
        """Blanks, and the infos of the episodes that ended."""
        super().extend([_BLANK] * self._n_missing)
        self._n_missing = 0
        if self.ended is not None:
            put = super().__setitem__
            for env, info in zip(self.ended.envs.tolist(), self.ended.infos(), strict=True):
                put(env, info)

    def _make(self, index: int) -> Info:
        """The info of an environment whose episode goes on."""
        info = info_of(self.vector_infos, index) if self.vector_infos else {}
        info["TimeLimit.truncated"] = False
        return info

    def of_episodes(self, envs: np.ndarray) -> list[Info]:
        """
        For whoever wants the statistics and no terminal observations: a tenth of the work.

        :param envs: Some of the environments whose episode has ended with the step, in order.
        :return: For each, an info with what ``BaseAlgorithm._update_info_buffer`` reads.
        """
        ended = self.ended
        if ended is None or ended.has_monitors or not self._n_missing:
            return [self[i] for i in envs.tolist()]
        rows = slice(None) if len(envs) == len(ended.envs) else np.searchsorted(ended.envs, envs)
        infos: list[Info] = [{"episode": statistics} for statistics in ended.statistics(rows)]
        successes = {key: values for key, values in ended.vector_infos.items() if key in ("is_success", "_is_success")}
        if successes:
            for env, info in zip(envs.tolist(), infos, strict=True):
                info.update(info_of(successes, env))
        return infos

    def make_all(self) -> None:
        """Make those that nobody has asked for yet."""
        if self._has_blanks:
            if self._n_missing:
                self._fill()
            made = [self._make(i) if info is _BLANK else info for i, info in enumerate(super().__iter__())]
            super().__setitem__(slice(None), made)
            self._has_blanks = False

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            self.make_all()
        elif self._n_missing:
            self._fill()
        info = super().__getitem__(index)
        if info is _BLANK:
            env = operator.index(index) % len(self)
            info = self._make(env)
            super().__setitem__(env, info)
        return info

    def __radd__(self, other: list[Info]) -> list[Info]:
        return other + list(self)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return list, (list(self),)


def _after_all_are_made(name: str) -> Callable[..., Any]:
    method = getattr(list, name)

    def complete(self: LazyInfos, *args: Any, **kwargs: Any) -> Any:
        self.make_all()
        return method(self, *args, **kwargs)

    complete.__name__ = name
    return complete


_READ_OR_MOVE_ALL = (
    "__add__ __contains__ __delitem__ __eq__ __ge__ __gt__ __iadd__ __imul__ __iter__ __le__ __lt__ __mul__ __ne__ "
    "__repr__ __reversed__ __rmul__ __setitem__ append clear copy count extend index insert pop remove reverse sort"
)
for _name in _READ_OR_MOVE_ALL.split():
    setattr(LazyInfos, _name, _after_all_are_made(_name))
