"""Actions as SB3's distributions want them."""

import numpy as np
import torch as th
from gymnasium import spaces


def action_tensor(actions: np.ndarray | th.Tensor, action_space: spaces.Space, like: th.Tensor) -> th.Tensor:
    """
    :param actions: Shape ``(batch, *action_shape)``.
    :param action_space: Discrete, MultiDiscrete, MultiBinary or Box.
    :param like: Of the device and the floating type to have, such as a parameter of the policy.
    :return: Integers for Discrete, shape ``(batch,)``, and MultiDiscrete; else floating. Shape ``(batch, action_dim)``.
    """
    is_integer = isinstance(action_space, (spaces.Discrete, spaces.MultiDiscrete))
    tensor = th.as_tensor(actions).to(like.device, th.long if is_integer else like.dtype)
    return tensor.flatten() if isinstance(action_space, spaces.Discrete) else tensor.reshape(len(tensor), -1)
