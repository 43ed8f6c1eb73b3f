"""How the environments whose episode ended with a step are reset: a class for each way, chosen once."""

import warnings
from collections.abc import Callable
from copy import deepcopy
from typing import Any, NamedTuple, Protocol

import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv, VectorWrapper
from gymnasium.wrappers import vector as vector_wrappers

from sb3_reinforce.common.observations import Observations, map_observations, take_rows
from sb3_reinforce.vec_env.async_workers import ask_workers
from sb3_reinforce.vec_env.envpool import EnvPoolStepper
from sb3_reinforce.vec_env.vector_envs import class_name, is_envpool, wrappers_of
from sb3_reinforce.vec_env.vector_infos import Info, info_of


class ResetStep(NamedTuple):
    """
    A step, seen after the environments whose episode ended with it have been reset.

    :param observations: Of all environments; of those that were reset, the first ones of the next episode.
    :param vector_infos: The step's infos, of the environments whose episode goes on.
    :param last_observations: Array, dict of arrays or list, with the last observations of the ended episodes in it.
    :param last_rows: Which of these are the last ones, in the environments' order.
    :param last_infos: Vector infos with those of the ended episodes' last steps in it.
    :param reset_infos: Of the environments that were reset, in order. None if they have none, or have not been reset.
    """

    observations: Observations
    vector_infos: Info
    last_observations: Any
    last_rows: np.ndarray | slice
    last_infos: Info
    reset_infos: list[Info] | None


class Resets(Protocol):
    """A way to reset the environments whose episode has ended."""

    has_reset_transitions: bool
    """Whether that takes a step of its own."""

    def __call__(self, obs: Observations, vector_infos: Info, envs: np.ndarray) -> ResetStep:
        """
        :param obs: All observations of the step; they may be written to.
        :param vector_infos: The step's infos.
        :param envs: Numbers of the environments whose episode ended with it, in order; at least one.
        :return: The step, after the reset.
        """
        ...


class WithTheStep:
    """``AutoresetMode.SAME_STEP``: the vector environment has already done it."""

    has_reset_transitions = False

    def __call__(self, obs: Observations, vector_infos: Info, envs: np.ndarray) -> ResetStep:
        """See :class:`Resets`."""
        final = ("final_info", "_final_info", "final_obs", "_final_obs")
        step_infos = {key: values for key, values in vector_infos.items() if key not in final}
        if "final_obs" not in vector_infos:
            raise ValueError(
                'With AutoresetMode.SAME_STEP, infos["final_obs"] must have the last observations, but is missing.'
            )
        final_obs = vector_infos["final_obs"]
        # An object for each environment, or arrays; no environment is to write to them later
        last = [deepcopy(map_observations(lambda values, i=i: values[i], final_obs)) for i in envs.tolist()]
        reset_infos = [info_of(step_infos, i) for i in envs.tolist()]
        return ResetStep(obs, step_infos, last, slice(None), vector_infos.get("final_info", {}), reset_infos)


class WithTheNextStep:
    """The next step will do it, and do nothing else in these environments."""

    has_reset_transitions = True

    def __call__(self, obs: Observations, vector_infos: Info, envs: np.ndarray) -> ResetStep:
        """See :class:`Resets`."""
        return ResetStep(obs, vector_infos, take_rows(obs, envs), slice(None), vector_infos, None)


class ByMask:
    """
    By Gymnasium's ``options={"reset_mask": ...}``.

    :param vector_env: The vector environment.
    """

    has_reset_transitions = False

    def __init__(self, vector_env: VectorEnv) -> None:
        self._vector_env = vector_env

    def __call__(self, obs: Observations, vector_infos: Info, envs: np.ndarray) -> ResetStep:
        """See :class:`Resets`."""
        mask = np.zeros(self._vector_env.num_envs, dtype=bool)
        mask[envs] = True
        last = take_rows(obs, envs)
        all_obs, reset_infos = self._vector_env.reset(options={"reset_mask": mask})
        obs = replace_rows(obs, envs, take_rows(all_obs, envs))
        own_infos = [info_of(reset_infos, i) for i in envs.tolist()]
        return ResetStep(obs, vector_infos, last, slice(None), vector_infos, own_infos)


class ByWorkers:
    """
    By a word with their processes alone.

    :param vector_env: An AsyncVectorEnv with shared memory, in no wrapper.
    """

    has_reset_transitions = False

    def __init__(self, vector_env: AsyncVectorEnv) -> None:
        self._vector_env = vector_env

    def __call__(self, obs: Observations, vector_infos: Info, envs: np.ndarray) -> ResetStep:
        """See :class:`Resets`. As AsyncVectorEnv does it for a ``reset_mask``, but the others are not asked to do nothing."""
        last, numbers = take_rows(obs, envs), envs.tolist()
        reset_infos: Info = {}
        for i, (_, info) in zip(numbers, ask_workers(self._vector_env, numbers, _RESET), strict=True):
            reset_infos = self._vector_env._add_info(reset_infos, info, i)
        obs = replace_rows(obs, envs, take_rows(self._vector_env.observations, envs))
        return ResetStep(obs, vector_infos, last, slice(None), vector_infos, [info_of(reset_infos, i) for i in numbers])


_RESET: tuple[str, Info] = ("reset", {"seed": None, "options": {}})


class ByEnvPool:
    """
    By EnvPool's ``reset(env_id)``.

    :param stepper: The EnvPool.
    """

    has_reset_transitions = False

    def __init__(self, stepper: EnvPoolStepper) -> None:
        self._stepper = stepper

    def __call__(self, obs: Observations, vector_infos: Info, envs: np.ndarray) -> ResetStep:
        """See :class:`Resets`."""
        last = take_rows(obs, envs)
        reset_obs, reset_infos, order = self._stepper.reset_some(envs)
        obs = replace_rows(obs, envs, take_rows(reset_obs, order))
        own_infos = [info_of(reset_infos, i) for i in order.tolist()]
        return ResetStep(obs, vector_infos, last, slice(None), vector_infos, own_infos)


class ByFunction:
    """
    By a function that knows the class of the vector environment from the inside.

    :param vector_env: The vector environment.
    :param function: One of :data:`NATIVE_RESETS`.
    """

    has_reset_transitions = False

    def __init__(self, vector_env: VectorEnv, function: Callable[[Any, np.ndarray, Any], Observations]) -> None:
        self._vector_env = vector_env
        self._function = function

    def __call__(self, obs: Observations, vector_infos: Info, envs: np.ndarray) -> ResetStep:
        """See :class:`Resets`."""
        return ResetStep(self._function(self._vector_env, envs, obs), vector_infos, obs, envs, vector_infos, None)


def replace_rows(obs: Observations, rows: np.ndarray, others: Observations) -> Observations:
    """
    :param obs: Shape ``(n, *observation_shape)``, or a dict of such. They are written to where their type has room.
    :param rows: Numbers of some.
    :param others: What to put there, a row each.
    :return: Observations with these rows, of a type that holds both.
    :raises ValueError: If they have another shape.
    """

    def replace(values: np.ndarray, new: np.ndarray) -> np.ndarray:
        if values.shape[1:] != new.shape[1:]:
            raise ValueError(
                f"The vector environment gives observations of shape {values.shape[1:]} at steps, but of shape "
                f"{new.shape[1:]} at resets."
            )
        values = values.astype(np.result_type(values, new), copy=False)
        values[rows] = new
        return values

    return map_observations(replace, obs, others)


def _reset_cart_poles(env: Any, envs: np.ndarray, obs: np.ndarray) -> np.ndarray:
    """What ``CartPoleVectorEnv.step`` does to the environments in ``prev_done``, one step earlier."""
    states = env.np_random.uniform(env.low, env.high, (4, len(envs)))
    env.state[:, envs] = states
    env.steps[envs] = 0
    env.prev_done[envs] = False
    obs = obs.copy()
    obs[envs] = states.T
    return obs


NATIVE_RESETS: dict[str, Callable[[Any, np.ndarray, Any], Observations]] = {
    "gymnasium.envs.classic_control.cartpole:CartPoleVectorEnv": _reset_cart_poles,
}
"""
How to reset some sub-environments, now, of vector environments with next-step autoreset that have no
``reset_mask``, by ``module:class``, so that nothing is imported for them. The functions take the vector
environment, the numbers of the sub-environments and the observations of all, and return those of all after the reset, in new
arrays.
A class listed here also promises to hand out new arrays at every step.
"""


def makes_new_arrays(vector_env: Any) -> bool:
    """
    :param vector_env: A vector environment.
    :return: Whether what a step returns is known not to be written to by a later one.
    """
    base = vector_env.unwrapped
    if wrappers_of(vector_env):
        return False
    if type(base) in (SyncVectorEnv, AsyncVectorEnv):
        return bool(base.copy)
    return is_envpool(base) or class_name(base) in NATIVE_RESETS


def find_resets(vector_env: Any, stepper: Any, autoreset_mode: AutoresetMode) -> Resets:
    """
    :param vector_env: The vector environment.
    :param stepper: What steps it: itself, or an :class:`EnvPoolStepper`.
    :param autoreset_mode: When it resets its environments by itself.
    :return: The earliest way to reset some of them.
    :raises ValueError: If it can't be reset rightly.
    """
    base, wrappers = vector_env.unwrapped, wrappers_of(vector_env)
    if autoreset_mode == AutoresetMode.SAME_STEP:
        return WithTheStep()
    if type(base) is AsyncVectorEnv and not wrappers and base.worker is None and base.shared_memory:
        return ByWorkers(base)
    if autoreset_mode == AutoresetMode.DISABLED:
        return ByMask(vector_env)
    if isinstance(stepper, EnvPoolStepper):
        return ByEnvPool(stepper)
    if not wrappers and class_name(base) in NATIVE_RESETS:
        return ByFunction(base, NATIVE_RESETS[class_name(base)])
    if type(base) is AsyncVectorEnv and not base.shared_memory:
        raise ValueError(
            "An AsyncVectorEnv with shared_memory=False does not forget to autoreset when it is reset. "
            "Make it with shared_memory=True, or with autoreset_mode=AutoresetMode.SAME_STEP."
        )
    # Both clear their autoreset flag for the environments that a mask resets
    takes_mask = type(base) is SyncVectorEnv or (type(base) is AsyncVectorEnv and base.worker is None)
    if takes_mask and _find_whole_resetter(wrappers) is None:
        return ByMask(vector_env)
    return WithTheNextStep()


# They keep something about every sub-environment and do not know, or get wrong, the reset of a few
_NOT_RESET_IN_PART = (
    vector_wrappers.NormalizeObservation,
    vector_wrappers.NormalizeReward,
    vector_wrappers.RecordEpisodeStatistics,
)


def _find_whole_resetter(wrappers: list[VectorWrapper]) -> str | None:
    """A wrapper that may go wrong when only some environments are reset."""
    for wrapper in wrappers:
        is_gymnasiums = type(wrapper).__module__.startswith("gymnasium.wrappers.vector.")
        if not is_gymnasiums or isinstance(wrapper, _NOT_RESET_IN_PART):
            return type(wrapper).__name__
    return None


def warn_of_reset_transitions(vector_env: VectorEnv, stacklevel: int) -> None:
    """
    :param vector_env: A vector environment that is reset with the next step.
    :param stacklevel: Of the warning, from the caller's place.
    """
    is_gymnasiums = isinstance(vector_env.unwrapped, (SyncVectorEnv, AsyncVectorEnv))
    culprit = _find_whole_resetter(wrappers_of(vector_env)) if is_gymnasiums else None
    warnings.warn(
        f"{vector_env} resets an environment only with the step after its episode's end"
        f"{f', and {culprit} can not be reset for some environments alone' if culprit else ''}. "
        'Such steps are marked in reset_transitions and infos[i]["reset_transition"]. REINFORCE leaves them out, but '
        "other algorithms learn from them as from any step. Use wrappers of SB3 around GymnasiumVecEnv in the place of "
        "Gymnasium's, or a vector environment with autoreset_mode=AutoresetMode.SAME_STEP.",
        stacklevel=stacklevel + 1,
    )
