"""Any Gymnasium vector environment as an SB3 VecEnv."""

import operator
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv, VectorWrapper
from gymnasium.wrappers import vector as vector_wrappers
from stable_baselines3.common.env_util import is_wrapped
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.preprocessing import check_for_nested_spaces
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvObs, VecEnvStepReturn

Observations = np.ndarray | dict[str, np.ndarray]
Info = dict[str, Any]
# The numbers of some sub-environments -> their reset observations, a row each, and their reset infos if there are any
PartialReset = Callable[[np.ndarray], tuple[Observations, list[Info] | None]]

# They keep something about every sub-environment and do not know, or get wrong, the reset of a few
_NOT_RESET_IN_PART = (
    vector_wrappers.NormalizeObservation,
    vector_wrappers.NormalizeReward,
    vector_wrappers.RecordEpisodeStatistics,
)


def _reset_cart_poles(env: Any, indices: np.ndarray) -> np.ndarray:
    """What ``CartPoleVectorEnv.step`` does to the environments in ``prev_done``, one step earlier."""
    states = env.np_random.uniform(low=env.low, high=env.high, size=(4, len(indices)))
    env.state[:, indices] = states
    env.steps[indices] = 0
    env.prev_done[indices] = False
    return states.T.astype(np.float32)


NATIVE_RESETS: dict[str, Callable[[Any, np.ndarray], Observations]] = {
    "gymnasium.envs.classic_control.cartpole:CartPoleVectorEnv": _reset_cart_poles,
}
"""
How to reset some sub-environments, now, of vector environments with next-step autoreset that have no
``reset_mask``, by ``module:class``, so that nothing is imported for them. The functions take the vector
environment and the numbers of the sub-environments, and return their reset observations. A class listed
here also promises to hand out new arrays at every step.
"""


def is_envpool(vector_env: Any) -> bool:
    """
    :param vector_env: Any object.
    :return: Whether EnvPool made it.
    """
    # EnvPool makes its classes at run time: their own module is "abc"
    return any(cls.__module__.split(".")[0] == "envpool" for cls in type(vector_env).__mro__)


def _class_name(vector_env: Any) -> str:
    return f"{type(vector_env).__module__}:{type(vector_env).__qualname__}"


def _wrappers(vector_env: Any) -> list[VectorWrapper]:
    """The wrappers around a vector environment, outermost first."""
    found = []
    while isinstance(vector_env, VectorWrapper):
        found.append(vector_env)
        vector_env = vector_env.env
    return found


def _copied(obs: Observations) -> Observations:
    return {key: values.copy() for key, values in obs.items()} if isinstance(obs, dict) else obs.copy()


def _rows(obs: Observations, indices: np.ndarray) -> Observations:
    """The observations of some sub-environments, as arrays of their own."""
    return {key: values[indices] for key, values in obs.items()} if isinstance(obs, dict) else obs[indices]


def _put_rows(obs: Observations, indices: np.ndarray, rows: Observations) -> None:
    if isinstance(obs, dict):
        assert isinstance(rows, dict)
        for key, values in obs.items():
            values[indices] = rows[key]
    else:
        obs[indices] = rows


def _own_observation(space: spaces.Space, obs: Any) -> Any:
    """One observation as arrays that no environment writes to, of the type of the space."""
    if isinstance(space, spaces.Dict):
        return {key: _own_observation(subspace, obs[key]) for key, subspace in space.spaces.items()}
    return np.array(obs, dtype=space.dtype)


def info_of(vector_infos: Info, index: int) -> Info:
    """
    One sub-environment's part of a vector environment's infos.

    :param vector_infos: Values for all sub-environments by key, with a mask under ``_key`` that says
        which of them have it.
    :param index: Number of the sub-environment.
    :return: Its own info.
    """
    info = {}
    for key, values in vector_infos.items():
        if key[:1] == "_" and key[1:] in vector_infos:
            continue
        mask = vector_infos.get(f"_{key}")
        if mask is None or mask[index]:
            info[key] = info_of(values, index) if isinstance(values, dict) else values[index]
    return info


class Ended(NamedTuple):
    """
    The episodes that ended with a step, an entry each: what their infos say, as arrays.

    :param envs: The environments they ended in.
    :param timeouts: Whether they were truncated and not terminated.
    :param terminal_observations: Array, dict of arrays or list of observations.
    :param vector_infos: The vector environment's infos of all environments with their last steps.
    :param returns: Sums of the rewards.
    :param lengths: Numbers of steps.
    :param seconds: Since the vector environment was made.
    :param has_monitors: Whether a Monitor in the sub-environments says what is in ``infos[i]["episode"]``.
    """

    envs: np.ndarray
    timeouts: np.ndarray
    terminal_observations: Any
    vector_infos: Info
    returns: np.ndarray
    lengths: np.ndarray
    seconds: float
    has_monitors: bool

    def infos(self) -> list[Info]:
        """:return: Their infos."""
        observations = self.terminal_observations
        if isinstance(observations, dict):
            rows = zip(*observations.values(), strict=True)
            observations = [dict(zip(observations, row, strict=True)) for row in rows]
        pairs = zip(self.timeouts.tolist(), observations, strict=True)
        infos: list[Info] = [{"TimeLimit.truncated": timeout, "terminal_observation": obs} for timeout, obs in pairs]
        if self.vector_infos:
            infos = [{**info_of(self.vector_infos, i), **info} for i, info in zip(self.envs.tolist(), infos, strict=True)]
        if not self.has_monitors:
            seconds = self.seconds
            results = zip(np.round(self.returns, 6).tolist(), self.lengths.tolist(), strict=True)
            for info, (r, length) in zip(infos, results, strict=True):
                info["episode"] = {"r": r, "l": length, "t": seconds}
        return infos


class LazyInfos(list[Info]):
    """
    A step's infos, a dict for each sub-environment, that are made when they are asked for.

    Making a thousand dicts that nobody reads would take as long as the step itself. To whoever reads
    or changes it, this is a list of dicts: each one is made once, belongs to that sub-environment
    and that step alone, and keeps what is written into it. Taking one by its number makes
    that one, or those of all episodes that ended; everything else makes all.

    :param n_envs: Number of sub-environments.
    :param vector_infos: The vector environment's own infos.
    """

    ended: Ended | None
    """The episodes that ended with the step, for whoever wants arrays and no dicts."""
    vector_infos: Info

    __slots__ = ("_blank", "_ended_are_made", "ended", "vector_infos")

    def __init__(self, n_envs: int, vector_infos: Info) -> None:
        self.vector_infos = vector_infos
        self.ended = None
        self._ended_are_made = False
        self._blank: Info | None = {}
        super().__init__((self._blank,))
        list.__imul__(self, n_envs)

    def _make(self, index: int) -> Info:
        self._make_ended()
        info: Info = super().__getitem__(index)
        if info is self._blank:
            info = info_of(self.vector_infos, index) if self.vector_infos else {}
            info["TimeLimit.truncated"] = False
            super().__setitem__(index, info)
        return info

    def _make_ended(self) -> None:
        if self.ended is not None and not self._ended_are_made:
            self._ended_are_made = True
            put = super().__setitem__
            for env, info in zip(self.ended.envs.tolist(), self.ended.infos(), strict=True):
                put(env, info)

    def of_episodes(self, envs: np.ndarray) -> list[Info]:
        """
        For whoever wants the statistics and no terminal observations: a tenth of the work.

        :param envs: Some of the environments whose episode has ended with the step, in order.
        :return: For each, an info with what :meth:`BaseAlgorithm._update_info_buffer` reads.
        """
        ended = self.ended
        if ended is None or ended.has_monitors or ended.vector_infos:
            return [self[i] for i in envs.tolist()]
        rows = slice(None) if len(envs) == len(ended.envs) else np.searchsorted(ended.envs, envs)
        results = zip(ended.returns[rows].tolist(), ended.lengths[rows].tolist(), strict=True)
        return [{"episode": {"r": round(r, 6), "l": length, "t": ended.seconds}} for r, length in results]

    def make_all(self) -> None:
        """Make those that nobody has asked for yet."""
        if self._blank is None:
            return
        self._make_ended()
        if self.vector_infos:
            for index in range(len(self)):
                self._make(index)
        else:
            blank = self._blank
            made = [{"TimeLimit.truncated": False} if info is blank else info for info in super().__iter__()]
            super().__setitem__(slice(None), made)
        self._blank = None

    def __getitem__(self, index: Any) -> Any:
        info = list.__getitem__(self, index)
        if info is self._blank:
            return self._make(operator.index(index))
        if type(info) is list:
            self.make_all()
            return list.__getitem__(self, index)
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
    "__add__ __contains__ __delitem__ __eq__ __iadd__ __imul__ __iter__ __mul__ __ne__ __repr__ __reversed__ __rmul__ "
    "__setitem__ append copy count extend index insert pop remove reverse sort"
)
for _name in _READ_OR_MOVE_ALL.split():
    setattr(LazyInfos, _name, _after_all_are_made(_name))


class GymnasiumVecEnv(VecEnv):
    """
    Any ``gymnasium.vector.VectorEnv`` as an SB3 ``VecEnv``, for every SB3 algorithm and wrapper.

    ``step`` hands back what ``DummyVecEnv`` of monitored environments would: the reset observation of an
    environment whose episode has ended, its last one in ``infos[i]["terminal_observation"]``,
    ``infos[i]["TimeLimit.truncated"]``, and in ``infos[i]["episode"]`` the return, length and time, as
    ``Monitor`` has them. Where the sub-environments are wrapped in ``Monitor`` themselves, theirs stand.

    All three of Gymnasium's autoreset modes are served. In the mode "next step", which is the default
    of ``SyncVectorEnv`` and ``AsyncVectorEnv``, of the native CartPole and of EnvPool, environments are
    reset as soon as their episode has ended. That is not possible for any vector environment: of
    others, and within wrappers that can't be reset in part, the step after the end of an episode is only a
    reset, whose action does nothing and whose reward is 0. Then there is a warning; ``reset_transitions`` says
    which environments' last step was one, and so does ``infos[i]["reset_transition"]``. They
    do not count in the episode's statistics.

    A native vector environment is one object for all its sub-environments: ``get_attr``,
    ``set_attr`` and ``env_method`` read, set and call it once, for all of them.

    :param vector_env: The vector environment, e.g. from ``gymnasium.make_vec`` or ``envpool.make_gymnasium``.
    :raises TypeError: If it is none.
    :raises ValueError: If its spaces are not among SB3's, or if it can't be stepped rightly.
    """

    has_reset_transitions: bool
    """Whether there are steps that are only resets."""
    reset_transitions: np.ndarray
    """Of which environments the last step was only a reset. Shape ``(n_envs,)``."""

    def __init__(self, vector_env: VectorEnv) -> None:
        self._envpool = is_envpool(vector_env)
        if not isinstance(vector_env, VectorEnv) and not self._envpool:
            raise TypeError(
                f"GymnasiumVecEnv takes a gymnasium.vector.VectorEnv, but got {vector_env!r}. "
                "Make one with gymnasium.make_vec(env_id, num_envs=...)."
            )
        self.vector_env = vector_env
        self._base: Any = vector_env.unwrapped
        self._wrappers = _wrappers(vector_env)
        self._is_ready = False
        _check_spaces(vector_env)
        self._check_wrappers()
        super().__init__(vector_env.num_envs, vector_env.single_observation_space, vector_env.single_action_space)
        self.metadata = dict(vector_env.metadata)
        self.autoreset_mode = AutoresetMode(vector_env.metadata.get("autoreset_mode", AutoresetMode.NEXT_STEP))
        self._partial_reset = self._find_partial_reset()
        self.has_reset_transitions = self.autoreset_mode == AutoresetMode.NEXT_STEP and self._partial_reset is None
        if self.has_reset_transitions:
            self._warn_of_reset_transitions()
        self._hands_out_new_arrays = not self._wrappers and self._makes_new_arrays()
        self._has_monitors = self._find_monitors()
        self._dones = np.zeros(self.num_envs, dtype=bool)
        self.reset_transitions = np.zeros(self.num_envs, dtype=bool)
        self._returns = np.zeros(self.num_envs)
        self._n_steps = 0
        self._starts = np.zeros(self.num_envs, dtype=np.int64)
        self._action_dtype = self.action_space.dtype
        self._start_time = time.time()

    def _check_wrappers(self) -> None:
        if any(isinstance(wrapper, vector_wrappers.DictInfoToList) for wrapper in self._wrappers):
            raise ValueError("GymnasiumVecEnv makes lists of infos itself: give it the environment without DictInfoToList.")
        if self._envpool and self._base.config["batch_size"] != self._base.config["num_envs"]:
            raise ValueError("SB3 steps all environments at once: make the EnvPool without batch_size.")

    def _find_partial_reset(self) -> PartialReset | None:
        """The way to reset some sub-environments at once, if there is one and it is needed."""
        base = self._base
        if self.autoreset_mode == AutoresetMode.SAME_STEP:
            return None
        if self.autoreset_mode == AutoresetMode.DISABLED:
            return self._reset_by_mask
        if not self._wrappers and self._envpool:
            return self._reset_envpool
        if not self._wrappers and _class_name(base) in NATIVE_RESETS:
            self._native_reset = NATIVE_RESETS[_class_name(base)]
            return self._reset_native
        if type(base) is AsyncVectorEnv and not base.shared_memory:
            raise ValueError(
                "An AsyncVectorEnv with shared_memory=False does not forget to autoreset when it is reset. "
                "Make it with shared_memory=True, or with autoreset_mode=AutoresetMode.SAME_STEP."
            )
        # Both clear their autoreset flag for the environments that a mask resets
        takes_mask = type(base) is SyncVectorEnv or (type(base) is AsyncVectorEnv and base.worker is None)
        if takes_mask and not self._find_whole_resetter():
            return self._reset_by_mask
        return None

    def _find_whole_resetter(self) -> str | None:
        """A wrapper that may go wrong when only some environments are reset."""
        for wrapper in self._wrappers:
            is_gymnasiums = type(wrapper).__module__.startswith("gymnasium.wrappers.vector.")
            if not is_gymnasiums or isinstance(wrapper, _NOT_RESET_IN_PART):
                return type(wrapper).__name__
        return None

    def _makes_new_arrays(self) -> bool:
        """Whether what a step returns is known not to be written to by the next one."""
        if type(self._base) in (SyncVectorEnv, AsyncVectorEnv):
            return bool(self._base.copy)
        return self._envpool or _class_name(self._base) in NATIVE_RESETS

    def _warn_of_reset_transitions(self) -> None:
        culprit = self._find_whole_resetter() if isinstance(self._base, (SyncVectorEnv, AsyncVectorEnv)) else None
        warnings.warn(
            f"{self.vector_env} resets an environment only with the step after its episode's end"
            f"{f', and {culprit} can not be reset for some environments alone' if culprit else ''}. "
            'Such steps are marked in reset_transitions and infos[i]["reset_transition"]. REINFORCE leaves them out, but '
            "other algorithms learn from them as from any step. Use wrappers of SB3 around GymnasiumVecEnv in the place of "
            "Gymnasium's, or a vector environment with autoreset_mode=AutoresetMode.SAME_STEP.",
            stacklevel=3,
        )

    def _find_monitors(self) -> bool:
        """Whether every sub-environment has a Monitor of its own."""
        if isinstance(self._base, SyncVectorEnv):
            return all(is_wrapped(env, Monitor) for env in self._base.envs)
        if isinstance(self._base, AsyncVectorEnv):
            return all(self._base.call("has_wrapper_attr", "get_episode_rewards"))
        return False

    def reset(self) -> VecEnvObs:
        """
        Reset all environments; with the seeds and options set before, once.

        :return: Their first observations.
        """
        kwargs: Info = {} if self._envpool else {"seed": None if self._seeds[0] is None else int(self._seeds[0])}
        obs, vector_infos = self.vector_env.reset(**kwargs, **self._common_options())
        if not isinstance(obs, (np.ndarray, dict)):
            raise TypeError(
                f"The vector environment gives observations of type {type(obs).__name__}, but SB3 takes NumPy arrays. "
                "Wrap it in gymnasium.wrappers.vector.JaxToNumpy, or its like."
            )
        vector_infos = self._without_noise(vector_infos)
        self.reset_infos = [{} for _ in range(self.num_envs)]
        if vector_infos:
            self.reset_infos = [info_of(vector_infos, i) for i in range(self.num_envs)]
        self._reset_seeds()
        self._reset_options()
        self._dones = np.zeros(self.num_envs, dtype=bool)
        self.reset_transitions = np.zeros(self.num_envs, dtype=bool)
        self._returns[:] = 0.0
        self._starts[:] = self._n_steps
        self._is_ready = True
        return obs if self._hands_out_new_arrays else _copied(obs)

    def _common_options(self) -> Info:
        """The options set for the next reset, as an argument."""
        first = self._options[0]
        if any(options is not first and options != first for options in self._options):
            raise ValueError("A vector environment takes one dict of options for all its environments, but they differ.")
        return {"options": deepcopy(first)} if first else {}

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """
        Set the seed for the next reset. The environments of ``SyncVectorEnv`` and ``AsyncVectorEnv`` take
        ``seed``, ``seed + 1``, ...; a native vector environment draws for all of them from one generator.

        :param seed: None to draw one.
        :return: The seeds of the environments.
        """
        if self._envpool:
            warnings.warn("EnvPool takes its seed when it is made: envpool.make_gymnasium(..., seed=...).", stacklevel=2)
        return super().seed(seed)

    def step_async(self, actions: np.ndarray) -> None:
        """
        :param actions: One for each environment; taken by :meth:`step_wait`.
        """
        if not self._is_ready:
            raise RuntimeError("The environments are closed, or have not been reset yet. Call reset() first.")
        self._actions = actions if actions.dtype == self._action_dtype else actions.astype(self._action_dtype)

    def step_wait(self) -> VecEnvStepReturn:
        """
        :return: Observations, rewards, whether an episode ended, infos.
        """
        obs, rewards, terminated, truncated, vector_infos = self.vector_env.step(self._actions)
        if not self._hands_out_new_arrays:
            obs, vector_infos = _copied(obs), deepcopy(vector_infos)
        self._returns += rewards
        self._n_steps += 1
        own_rewards = np.array(rewards, dtype=np.float32)
        dones = np.logical_or(terminated, truncated)
        infos = LazyInfos(self.num_envs, self._without_noise(vector_infos) if vector_infos else vector_infos)
        if self.has_reset_transitions:
            self._mark_reset_transitions(infos)
        self._dones = dones
        envs = dones.nonzero()[0]
        if len(envs):
            infos.ended = self._end_episodes(obs, envs, truncated[envs] > terminated[envs], vector_infos, infos.vector_infos)
        return obs, own_rewards, dones, infos

    def _without_noise(self, vector_infos: Info) -> Info:
        """EnvPool tells every environment's number at every step; same-step infos are of two episodes."""
        if self._envpool:
            return {key: values for key, values in vector_infos.items() if key not in ("env_id", "players")}
        if "final_info" in vector_infos or "final_obs" in vector_infos:
            final = ("final_info", "_final_info", "final_obs", "_final_obs")
            return {key: values for key, values in vector_infos.items() if key not in final}
        return vector_infos

    def _mark_reset_transitions(self, infos: LazyInfos) -> None:
        """The environments whose episode ended with the last step have only been reset by this one."""
        self.reset_transitions = self._dones
        for i in np.flatnonzero(self._dones).tolist():
            self.reset_infos[i] = info_of(infos.vector_infos, i)
            infos[i]["reset_transition"] = True
            self._returns[i] = 0.0
            self._starts[i] = self._n_steps

    def _end_episodes(
        self, obs: Observations, envs: np.ndarray, timeouts: np.ndarray, vector_infos: Info, step_infos: Info
    ) -> Ended:
        """Close the statistics of the episodes that ended, and put the reset observations into ``obs``."""
        returns, lengths = self._returns[envs], self._n_steps - self._starts[envs]
        self._returns[envs] = 0.0
        self._starts[envs] = self._n_steps
        terminal_observations: Any
        if self.autoreset_mode == AutoresetMode.SAME_STEP:
            terminal_observations = [self._final_observation(vector_infos["final_obs"], i) for i in envs.tolist()]
            for i in envs.tolist():
                self.reset_infos[i] = info_of(step_infos, i)
            step_infos = vector_infos.get("final_info", {})
        else:
            terminal_observations = _rows(obs, envs)
            if self._partial_reset is not None:
                self._reset_some(obs, envs)
        seconds = round(time.time() - self._start_time, 6)
        return Ended(envs, timeouts, terminal_observations, step_infos, returns, lengths, seconds, self._has_monitors)

    def _final_observation(self, final_obs: Any, index: int) -> Any:
        obs = {key: values[index] for key, values in final_obs.items()} if isinstance(final_obs, dict) else final_obs[index]
        return _own_observation(self.observation_space, obs)

    def _reset_some(self, obs: Observations, envs: np.ndarray) -> None:
        assert self._partial_reset is not None
        reset_obs, reset_infos = self._partial_reset(envs)
        _put_rows(obs, envs, reset_obs)
        if reset_infos is not None:
            for i, info in zip(envs.tolist(), reset_infos, strict=True):
                self.reset_infos[i] = info

    def _reset_by_mask(self, envs: np.ndarray) -> tuple[Observations, list[Info] | None]:
        mask = np.zeros(self.num_envs, dtype=bool)
        mask[envs] = True
        obs, vector_infos = self.vector_env.reset(options={"reset_mask": mask})
        return _rows(obs, envs), [info_of(vector_infos, i) for i in envs.tolist()]

    def _reset_native(self, envs: np.ndarray) -> tuple[Observations, list[Info] | None]:
        return self._native_reset(self._base, envs), None

    def _reset_envpool(self, envs: np.ndarray) -> tuple[Observations, list[Info] | None]:
        obs, vector_infos = self._base.reset(envs.astype(np.int32))
        # As a rule in the order asked for, but EnvPool promises only to say which is which
        order = np.argsort(vector_infos["env_id"])
        vector_infos = self._without_noise(vector_infos)
        return _rows(obs, order), [info_of(vector_infos, i) for i in order.tolist()]

    def close(self) -> None:
        """Close the environments; they can't be used any more."""
        self._is_ready = False
        self.vector_env.close()

    def get_images(self) -> Sequence[np.ndarray | None]:
        """
        :return: A picture of each environment, or None of each if ``render_mode`` is not "rgb_array".
        """
        if self.render_mode != "rgb_array":
            warnings.warn(f"The render mode is {self.render_mode}, but pictures need render_mode='rgb_array'.", stacklevel=2)
            return [None] * self.num_envs
        if self._envpool:
            return list(self._base.render(np.arange(self.num_envs)))
        return list(self.vector_env.render())  # type: ignore[arg-type]

    def has_attr(self, attr_name: str) -> bool:
        """
        :param attr_name: Name of an attribute.
        :return: Whether all environments have it.
        """
        if isinstance(self._base, AsyncVectorEnv):
            return all(self._base.call("has_wrapper_attr", attr_name))
        return super().has_attr(attr_name)

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """
        :param attr_name: Name of an attribute.
        :param indices: Of which environments. Default: of all.
        :return: Its value in each of them; what a native vector environment has, as often.
        :raises AttributeError: If they have none of that name.
        """
        numbers = self._numbers(indices)
        if isinstance(self._base, SyncVectorEnv):
            return [self._base.envs[i].get_wrapper_attr(attr_name) for i in numbers]
        if isinstance(self._base, AsyncVectorEnv):
            # A worker that has to answer with an error is lost
            if not self.has_attr(attr_name):
                raise AttributeError(f"The sub-environments of {self.vector_env} have no attribute {attr_name!r}.")
            return self._ask_workers(numbers, ("_call", ("get_wrapper_attr", (attr_name,), {})))
        return [getattr(self._holder(attr_name), attr_name)] * len(numbers)

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """
        :param attr_name: Name of an attribute.
        :param value: Its new value.
        :param indices: In which environments. Default: in all.
        :raises ValueError: If a native vector environment is asked to set it for some only.
        """
        numbers = self._numbers(indices)
        if isinstance(self._base, SyncVectorEnv):
            for i in numbers:
                self._base.envs[i].set_wrapper_attr(attr_name, value)
        elif isinstance(self._base, AsyncVectorEnv):
            self._ask_workers(numbers, ("_setattr", (attr_name, value)))
        else:
            self._check_that_all_are_meant(numbers)
            try:
                holder = self._holder(attr_name)
            except AttributeError:
                holder = self._base
            setattr(holder, attr_name, value)

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        """
        :param method_name: Name of a method.
        :param method_args: Its positional arguments.
        :param indices: Of which environments. Default: of all.
        :param method_kwargs: Its keyword arguments.
        :return: What each of them returned; what a native vector environment returned, as often.
        :raises AttributeError: If they have none of that name.
        :raises ValueError: If a native vector environment is asked to call it for some only.
        """
        numbers = self._numbers(indices)
        if isinstance(self._base, SyncVectorEnv):
            methods = [self._base.envs[i].get_wrapper_attr(method_name) for i in numbers]
            return [method(*method_args, **method_kwargs) for method in methods]
        if isinstance(self._base, AsyncVectorEnv):
            if not self.has_attr(method_name):
                raise AttributeError(f"The sub-environments of {self.vector_env} have no method {method_name!r}.")
            return self._ask_workers(numbers, ("_call", (method_name, method_args, method_kwargs)))
        self._check_that_all_are_meant(numbers)
        return [getattr(self._holder(method_name), method_name)(*method_args, **method_kwargs)] * len(numbers)

    def env_is_wrapped(self, wrapper_class: type[gym.Wrapper], indices: VecEnvIndices = None) -> list[bool]:
        """
        :param wrapper_class: A wrapper of single environments.
        :param indices: Of which environments. Default: of all.
        :return: Whether each is wrapped in it. ``Monitor`` counts, since its statistics are given.
            Wrappers in the processes of an ``AsyncVectorEnv`` can't be seen.
        """
        numbers = self._numbers(indices)
        if wrapper_class is Monitor:
            return [True] * len(numbers)
        if isinstance(self._base, SyncVectorEnv):
            return [is_wrapped(self._base.envs[i], wrapper_class) for i in numbers]
        return [False] * len(numbers)

    def _numbers(self, indices: VecEnvIndices) -> list[int]:
        return list(range(self.num_envs)[i] for i in self._get_indices(indices))

    def _check_that_all_are_meant(self, numbers: list[int]) -> None:
        if set(numbers) != set(range(self.num_envs)):
            raise ValueError(
                f"{self.vector_env} is one object for all its {self.num_envs} environments: leave out indices={numbers}."
            )

    def _holder(self, attr_name: str) -> Any:
        """The outermost of the vector environment and its wrappers that has an attribute."""
        for env in (*self._wrappers, self._base):
            if hasattr(env, attr_name):
                return env
        raise AttributeError(f"{self.vector_env} has no attribute {attr_name!r}.")

    def _ask_workers(self, numbers: list[int], message: tuple[str, Any]) -> list[Any]:
        """AsyncVectorEnv's own methods ask all its workers; this asks some, in the same words."""
        base = self._base
        base._assert_is_running()
        for i in numbers:
            base.parent_pipes[i].send(message)
        answers = [base.parent_pipes[i].recv() for i in numbers]
        base._raise_if_errors([True] * (self.num_envs - len(answers)) + [success for _, success in answers])
        return [answer for answer, _ in answers]


def _leaves(space: spaces.Space) -> Iterator[spaces.Space]:
    yield from space.spaces.values() if isinstance(space, spaces.Dict) else [space]


def _check_spaces(vector_env: VectorEnv) -> None:
    observation_space, action_space = vector_env.single_observation_space, vector_env.single_action_space
    served = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)
    if isinstance(observation_space, spaces.Dict):
        check_for_nested_spaces(observation_space)
    for space in _leaves(observation_space):
        if not isinstance(space, served):
            raise ValueError(
                f"SB3 has no observations like {space}. Use Box, Discrete, MultiDiscrete, MultiBinary or a Dict of these, "
                "for example by gymnasium.wrappers.FlattenObservation."
            )
    if not isinstance(action_space, served):
        raise ValueError(f"SB3 has no actions like {action_space}. Use Box, Discrete, MultiDiscrete or MultiBinary.")
