"""Actions as environments take them."""

from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium import spaces

FEW = 16
"""Numbers that Python sums up faster than NumPy."""


def for_environment(policy: Any) -> Callable[[np.ndarray], np.ndarray] | None:
    """
    :param policy: Any actor-critic policy.
    :return: A function from Box actions, of shape ``(n_envs, action_dim)``, to what the environment takes: of the shape and
        the type of their space, and within its bounds. It raises FloatingPointError if one is NaN. None for other actions,
        which it takes as they are.
    """
    space = policy.action_space
    if not isinstance(space, spaces.Box):
        return None
    shape, low, high, dtype = (-1, *space.shape), space.low, space.high, space.dtype
    is_squashed, is_real, is_flat = bool(policy.squash_output), dtype.kind == "f", len(space.shape) == 1

    def convert(actions: np.ndarray) -> np.ndarray:
        flat = actions.ravel()
        total = sum(flat.tolist()) if flat.size <= FEW else flat.dot(flat)
        if total != total:  # a NaN in any of them is one in this, which costs least
            _check_that_actions_are_numbers(flat)
        if not is_flat:
            actions = actions.reshape(shape)
        actions = policy.unscale_action(actions) if is_squashed else actions.clip(low, high)
        return actions.astype(dtype, copy=False) if is_real else np.rint(actions).astype(dtype)

    return convert


def _check_that_actions_are_numbers(actions: np.ndarray) -> None:
    if np.isnan(actions).any():
        raise FloatingPointError(
            "The policy has drawn an action that is not a number (NaN), which no environment may get. Its parameters, or what "
            "they make of the observations, have grown out of bounds: lower learning_rate, scale the observations "
            "(VecNormalize), or set max_grad_norm. Nothing was learned from this rollout."
        )
