"""Gradients that are too long, or not finite."""

from collections.abc import Iterable

import numpy as np
import torch as th


def clip_gradient(parameters: Iterable[th.nn.Parameter], max_norm: float | None, name: str = "gradient") -> float:
    """
    :param parameters: Whose gradient is clipped.
    :param max_norm: Its maximum norm; None for no clipping.
    :param name: What an error calls it.
    :return: The norm before.
    :raises FloatingPointError: If that is not finite.
    """
    grad_norm = float(th.nn.utils.clip_grad_norm_(parameters, th.inf if max_norm is None else max_norm))
    if not np.isfinite(grad_norm):
        raise FloatingPointError(
            f"The {name} is not finite (its norm is {grad_norm}), so its step was not taken. The rewards may be too large: "
            "scale them (VecNormalize), or lower learning_rate if the parameters have grown out of bounds."
        )
    return grad_norm
