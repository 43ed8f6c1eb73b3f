"""
Observations that know what is allowed, so that ``predict`` keeps to it wherever SB3 calls it.

SB3's ``evaluate_policy``, ``EvalCallback`` and the RL Zoo hand observations on, and nothing else. So the masks go with them.
"""

from typing import Any, TypeVar

import numpy as np
from stable_baselines3.common.vec_env import VecEnv

from sb3_reinforce.common.action_masks import ActionMasks, MaskFunction, find_source
from sb3_reinforce.common.moves import replacement_of
from sb3_reinforce.common.training_environments import environment_name

AnyVecEnv = TypeVar("AnyVecEnv", bound=VecEnv)


class _MaskedArray(np.ndarray):
    """An array with masks. What is made of it has none."""

    action_masks: np.ndarray | None = None


class _MaskedDict(dict[str, np.ndarray]):
    """A dict of arrays, with masks."""

    action_masks: np.ndarray | None = None


def with_masks(obs: Any, masks: np.ndarray) -> Any:
    """
    :param obs: Shape ``(n, *observation_shape)``, or a dict of such.
    :param masks: Which choices are allowed there. Booleans. Shape ``(n, mask_size)``.
    :return: The same observations, with ``action_masks``.
    """
    result: Any = _MaskedDict(obs) if isinstance(obs, dict) else obs.view(_MaskedArray)
    result.action_masks = masks
    return result


def masks_told_by(obs: Any) -> np.ndarray | None:
    """
    :param obs: Observations.
    :return: The masks that they have; None for none.
    """
    return obs.action_masks if isinstance(obs, (_MaskedArray, _MaskedDict)) else None


def tell_action_masks(env: AnyVecEnv, action_masks: bool | MaskFunction | None = None) -> AnyVecEnv:
    """
    Have the environments' observations tell which actions are allowed. ``predict`` of our algorithms keeps to that, in SB3's
    ``evaluate_policy`` and ``EvalCallback`` too::

        eval_env = tell_action_masks(make_vec_env("MyGame-v0"))
        evaluate_policy(model, eval_env)

    :param env: Environments to evaluate on, with all their wrappers. They are changed. Nothing is, if they have no masks.
    :param action_masks: Where masks come from: as for :class:`~sb3_reinforce.REINFORCE`.
    :return: The same environments.
    :raises ValueError: If the actions can't be masked.
    """
    source = find_source(action_masks, env)
    if source is None or hasattr(replacement_of(env, "reset"), "tells_masks"):
        return env
    masks, reset, step_wait = ActionMasks(source, env, environment_name(env)), env.reset, env.step_wait

    def masked_reset() -> Any:
        obs = reset()
        masks.start(was_reset=True)
        return with_masks(obs, masks(obs))  # type: ignore[arg-type]

    masked_reset.tells_masks = True  # type: ignore[attr-defined]

    def masked_step_wait() -> Any:
        obs, rewards, dones, infos = step_wait()
        masks.note(infos, dones)
        return with_masks(obs, masks(obs)), rewards, dones, infos  # type: ignore[arg-type]

    env.reset, env.step_wait = masked_reset, masked_step_wait  # type: ignore[method-assign]
    return env


def tell_masks_to(model: Any, env: AnyVecEnv) -> AnyVecEnv:
    """
    Before a model is evaluated, whatever its algorithm.

    :param model: Any SB3 model.
    :param env: Where it is evaluated: see :func:`tell_action_masks`.
    :return: The same environments. Their observations tell what is allowed if the model has learned by that.
    """
    return tell_action_masks(env, getattr(model, "action_masks", False))
