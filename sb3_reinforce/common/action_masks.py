"""Where masks of invalid actions come from. Each source is one small class, found once."""

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from sb3_reinforce.common.casting import UnfitError
from sb3_reinforce.common.constraints import shown
from sb3_reinforce.common.faults import check_open
from sb3_reinforce.common.flags import all_set
from sb3_reinforce.common.masking import MASKED, first_entries, is_zeros_and_ones, mask_size, parts_with_a_choice
from sb3_reinforce.common.observations import Observations, map_observations

METHOD = "action_masks"
"""sb3-contrib's name for the method of an environment."""
KEY = "action_mask"
"""Gymnasium's name for the entry of info, and PettingZoo's for the part of a Dict observation."""

MaskFunction: TypeAlias = Callable[[Observations], np.ndarray]
"""From observations, of shape ``(n, *observation_shape)`` or a dict of such, to masks of shape ``(n, mask_size)``."""


class MaskSource(Protocol):
    """One way in which environments say what is allowed."""

    where: str
    """What it is called."""
    reads_infos: bool
    """Whether :meth:`note` is to be called after each step."""

    def start(self, was_reset: bool) -> None:
        """
        Make ready for a rollout.

        :param was_reset: Whether the environments have been reset since the last step.
        """
        ...

    def masks(self, obs: Observations) -> Any:
        """
        :param obs: What the environments show. Shape ``(n_envs, *observation_shape)``, or a dict of such.
        :return: What is allowed there. Shape ``(n_envs, mask_size)``.
        """
        ...

    def note(self, infos: list[dict[str, Any]], dones: np.ndarray) -> None:
        """
        :param infos: Of a step.
        :param dones: Which environments have been reset with it. Shape ``(n_envs,)``.
        """
        ...


class OfObservations:
    """
    A function of one's own, or a part of the observation.

    :param function: From observations to masks.
    :param where: What it is called.
    """

    reads_infos = False

    def __init__(self, function: MaskFunction, where: str) -> None:
        self.function, self.where = function, where

    def start(self, was_reset: bool) -> None:
        """See :class:`MaskSource`. Nothing to do."""

    def masks(self, obs: Observations) -> Any:
        """See :class:`MaskSource`."""
        return self.function(obs)

    def note(self, infos: list[dict[str, Any]], dones: np.ndarray) -> None:
        """See :class:`MaskSource`. Nothing to do."""


class OfMethods:
    """
    The method ``action_masks()`` of each environment, or one of a VecEnv for all of its environments.

    :param env: A VecEnv.
    """

    where = f"the environment's method {METHOD}()"
    reads_infos = False

    def __init__(self, env: VecEnv) -> None:
        self._env = env
        self._call: Callable[[], Any]

    def start(self, was_reset: bool) -> None:
        """See :class:`MaskSource`. The methods are looked up once a rollout: that takes longer than to call them."""
        innermost: Any = self._env.unwrapped
        if callable(getattr(innermost, METHOD, None)):
            self._call = getattr(innermost, METHOD)
        elif isinstance(innermost, DummyVecEnv):
            methods = [env.get_wrapper_attr(METHOD) for env in innermost.envs]
            self._call = lambda: [method() for method in methods]
        else:
            self._call = lambda: self._env.env_method(METHOD)

    def masks(self, obs: Observations) -> Any:
        """See :class:`MaskSource`."""
        return self._call()

    def note(self, infos: list[dict[str, Any]], dones: np.ndarray) -> None:
        """See :class:`MaskSource`. Nothing to do."""


class OfInfos:
    """
    ``info["action_mask"]`` of each step and each reset.

    :param env: A VecEnv.
    """

    where = f'info["{KEY}"]'
    reads_infos = True

    def __init__(self, env: VecEnv) -> None:
        self._env = env
        self._last: Any = None

    def start(self, was_reset: bool) -> None:
        """See :class:`MaskSource`."""
        if not was_reset:
            return
        infos = self._env.unwrapped.reset_infos
        if not any(KEY in info for info in infos):
            raise ValueError(
                f"action_masks=True, but there are no masks: no method {METHOD}(), no part {KEY!r} of a Dict observation, and "
                f"no info[{KEY!r}] of the reset. Give the environment one of these (sb3_contrib.common.wrappers.ActionMasker "
                "makes a method of a function), give action_masks a function of the observations, or leave it out."
            )
        self._last = [info.get(KEY) for info in infos]

    def masks(self, obs: Observations) -> Any:
        """See :class:`MaskSource`."""
        return self._last

    def note(self, infos: list[dict[str, Any]], dones: np.ndarray) -> None:
        """See :class:`MaskSource`. Those of an environment that was reset stand in its ``reset_infos``."""
        of_all = getattr(infos, "vector_infos", {})  # of a vector environment: no loop over environments
        if KEY in of_all and np.all(of_all.get(f"_{KEY}", True)):
            self._last = of_all[KEY]
        else:
            self._last = [info.get(KEY) for info in infos]
        ended = np.flatnonzero(dones)
        if len(ended):
            self._last = list(self._last)
            for i in ended.tolist():
                self._last[i] = self._env.unwrapped.reset_infos[i].get(KEY)


class ActionMasks:
    """
    What the environments allow now, checked.

    :param source: Who says it.
    :param env: The environments.
    :param name: What errors call them.
    """

    def __init__(self, source: MaskSource, env: VecEnv, name: str) -> None:
        self.source, self._name, self._space = source, name, env.action_space
        self._shape = (env.num_envs, mask_size(self._space))
        self._firsts = first_entries(self._space)
        self._bool = np.dtype(bool)
        # Where the step after an episode's end is only a reset, any action will do
        self._reset_takes_a_step = bool(getattr(env.unwrapped, "has_reset_transitions", False))
        self._resets_next = np.zeros(env.num_envs, bool)
        self.must_note = source.reads_infos or self._reset_takes_a_step
        """Whether :meth:`note` is to be called after each step."""

    def start(self, was_reset: bool) -> None:
        """
        Make ready for a rollout.

        :param was_reset: Whether the environments have been reset since the last step.
        """
        if was_reset:
            self._resets_next = np.zeros(self._shape[0], bool)
        self.source.start(was_reset)

    def note(self, infos: list[dict[str, Any]], dones: np.ndarray) -> None:
        """
        :param infos: Of a step.
        :param dones: Which environments have ended an episode with it. Shape ``(n_envs,)``.
        """
        self.source.note(infos, dones)
        if self._reset_takes_a_step:
            self._resets_next = dones

    def __call__(self, obs: Observations) -> np.ndarray:
        """
        :param obs: What the environments show. Shape ``(n_envs, *observation_shape)``, or a dict of such.
        :return: Booleans. Shape ``(n_envs, mask_size)``.
        :raises ValueError: If a mask is missing or is none, or allows no action.
        """
        given = self.source.masks(obs)
        try:
            masks = np.array(given)  # the environment may write into its own before the rollout has them
        except ValueError:  # of several shapes
            masks = np.empty(0, object)
        if masks.shape != self._shape or masks.dtype is not self._bool:
            masks = self._as_masks(given, masks)
        if self._reset_takes_a_step:
            masks[self._resets_next] = True
        if not all_set(masks) and not parts_with_a_choice(masks, self._firsts).all():
            self._refuse_nothing_allowed(masks)
        return masks

    def _as_masks(self, given: Any, masks: np.ndarray) -> np.ndarray:
        """Zeros and ones of another type are masks as well; nothing else is."""
        if masks.shape == self._shape and is_zeros_and_ones(masks):
            return masks.astype(bool)
        rows = list(given) if isinstance(given, (list, tuple, np.ndarray)) and np.ndim(masks) > 0 else []
        if len(rows) != self._shape[0]:
            raise UnfitError(
                f"{self.source.where} of {self._name} gave {_described(given)}, but there must be masks of shape "
                f"{self._shape}: a row for each environment, an entry for each choice of {self._space}."
            )
        rows = [np.ones(self._shape[1], bool) if resets else row for row, resets in zip(rows, self._resets_next, strict=True)]
        for i, row in enumerate(rows):
            if not _is_mask(row, self._shape[1]):
                came = "is missing" if row is None else f"is {_described(row)}"
                raise UnfitError(
                    f"The action mask of environment number {i} ({self._name}, by {self.source.where}) {came}, but it must be "
                    f"an array of booleans (or of 0 and 1) of shape ({self._shape[1]},): an entry for each choice of "
                    f"{self._space}. Mend the environment, or set action_masks=False."
                )
        return np.array(rows).astype(bool).reshape(self._shape)

    def _refuse_nothing_allowed(self, masks: np.ndarray) -> None:
        nothing = np.argwhere(~parts_with_a_choice(masks, self._firsts))
        i, part = nothing[0].tolist()
        of_part = f" for part {part} of the action" if len(self._firsts) > 1 else ""
        raise UnfitError(
            f"The action mask of environment number {i} ({self._name}, by {self.source.where}) allows no action{of_part}: "
            f"{shown(masks[i])}. Where nothing can be done, the episode has ended: mend the environment."
        )


def _is_mask(row: Any, size: int) -> bool:
    try:
        row = np.asarray(row)
    except ValueError:
        return False
    return row.shape == (size,) and is_zeros_and_ones(row)


def _described(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype} of shape {value.shape}"
    return f"{shown(value)}, of {type(value)}"


def has_method(env: VecEnv) -> bool:
    """
    :param env: A VecEnv.
    :return: Whether its environments say by a method what is allowed.
    :raises ValueError: If only some of them do.
    :raises RuntimeError: If they are in processes that have ended.
    """
    check_open(env, type(env.unwrapped).__name__)
    if callable(getattr(env.unwrapped, METHOD, None)) or env.has_attr(METHOD):
        return True
    try:
        have = [bool(has) for has in env.env_method("has_wrapper_attr", METHOD)]
    except (AttributeError, NotImplementedError, ValueError):
        return False
    if any(have) and not all(have):
        raise ValueError(
            f"Only some of the environments have a method {METHOD}(): number {have.index(False)} has none. Give it to all of "
            "them, or set action_masks=False."
        )
    return False


def key_of(space: spaces.Space) -> MaskFunction | None:
    """
    :param space: Of the observations.
    :return: Takes the masks out of them; None if there is no such part.
    """
    if not isinstance(space, spaces.Dict) or KEY not in space.spaces:
        return None
    return lambda obs: obs[KEY]


def of_observations(action_masks: bool | MaskFunction | None, space: spaces.Space) -> OfObservations | None:
    """
    :param action_masks: The argument of the algorithms.
    :param space: Of the observations.
    :return: The source, if it needs no environment, and so serves ``predict`` too; else None. True takes masks from a method
        first, but an environment with both gives the same.
    """
    if callable(action_masks):
        return OfObservations(action_masks, "the function action_masks")
    key = key_of(space) if action_masks is True else None
    return None if key is None else OfObservations(key, f"the observation's part {KEY!r}")


def masks_of_observation(action_masks: bool | MaskFunction | None, observation: Any, policy: Any) -> Any | None:
    """
    :param action_masks: The argument of the algorithms.
    :param observation: One, or several of them in an array or a dict of arrays.
    :param policy: Any actor-critic policy.
    :return: What is allowed there, if the observation is all that is needed to know it; else None.
    """
    source = of_observations(action_masks, policy.observation_space)
    if source is None:
        return None
    is_batch = policy.is_vectorized_observation(observation)
    return source.masks(observation if is_batch else map_observations(lambda part: np.asarray(part)[None], observation))


def find_source(action_masks: bool | MaskFunction | None, env: VecEnv) -> MaskSource | None:
    """
    :param action_masks: None for the environment's method ``action_masks()`` where it has one; True for wherever masks are
        found; False for none; or a function of one's own.
    :param env: The environments.
    :return: Who says what is allowed; None for nobody.
    :raises ValueError: If the actions are of a space that can't be masked.
    """
    if action_masks is False or (action_masks is None and not has_method(env)):
        return None
    if not isinstance(env.action_space, MASKED):
        raise ValueError(
            f"action_masks needs Discrete, MultiDiscrete or MultiBinary actions, whose choices can be counted, but these are "
            f"{env.action_space}. Set action_masks=False."
        )
    if not callable(action_masks) and (action_masks is None or has_method(env)):
        return OfMethods(env)
    return of_observations(action_masks, env.observation_space) or OfInfos(env)
