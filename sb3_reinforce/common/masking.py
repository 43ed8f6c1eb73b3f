r"""
Invalid actions: distributions over what is allowed alone.

A mask says which choices are allowed, in sb3-contrib's order: those of a Discrete action; those of a MultiDiscrete action's
first part, then of the second's and so on; for each bit of a MultiBinary action whether it may be 0, and whether it may be 1.

The logit of what is not allowed is put where its probability is exactly 0, so a masked softmax is
:math:`\pi(a|s) \propto 1[a \text{ allowed}] \exp h(s, a)`. Its score is
:math:`\phi(s, a) - \mathbb{E}_\pi[\phi(s, \cdot)]` as ever, with the expectation over what is allowed (Huang and Ontañón,
2022, "A closer look at invalid action masking in policy gradient algorithms").
"""

import copy
from typing import Any

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.distributions import Distribution
from torch.distributions import Bernoulli, Categorical

from sb3_reinforce.common.constraints import shown
from sb3_reinforce.common.known import is_known
from sb3_reinforce.common.observations import n_rows

MASKED = (spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)
"""Action spaces whose choices can be counted."""


_FAR = 2.0**100  # the same number in float32, in which torch computes where an action is float32


def choices_of_parts(space: spaces.Space) -> list[int]:
    """
    :param space: Discrete, MultiDiscrete or MultiBinary.
    :return: How many choices each part of an action has. A mask has an entry for each of them.
    """
    if isinstance(space, spaces.Discrete):
        return [int(space.n)]
    if isinstance(space, spaces.MultiDiscrete):
        return [int(n) for n in space.nvec.ravel()]
    return [2] * int(np.prod(space.shape))  # type: ignore[arg-type]


def mask_size(space: spaces.Space) -> int:
    """
    :param space: Discrete, MultiDiscrete or MultiBinary.
    :return: How many entries a mask has.
    """
    return sum(choices_of_parts(space))


def first_entries(space: spaces.Space) -> np.ndarray:
    """
    :param space: Discrete, MultiDiscrete or MultiBinary.
    :return: Where the entries of each part of an action begin. Shape ``(n_parts,)``.
    """
    return np.cumsum([0, *choices_of_parts(space)[:-1]])


def is_zeros_and_ones(values: np.ndarray) -> bool:
    """
    :param values: What may be masks. Any shape.
    :return: Whether they are booleans, or 0 and 1 of another type.
    """
    return values.dtype.kind in "biuf" and bool(((values == 0) | (values == 1)).all())


def parts_with_a_choice(masks: np.ndarray, firsts: np.ndarray) -> np.ndarray:
    """
    :param masks: Booleans. Shape ``(n, mask_size)``.
    :param firsts: As from :func:`first_entries`. Shape ``(n_parts,)``.
    :return: Whether anything is allowed for each part of an action. Shape ``(n, n_parts)``.
    """
    return np.logical_or.reduceat(masks, firsts, axis=1)


def entries_of(actions: np.ndarray, space: spaces.Space) -> np.ndarray:
    """
    :param actions: Shape ``(n, *action_shape)``.
    :param space: Discrete, MultiDiscrete or MultiBinary.
    :return: Which entries of a mask allow these actions. Shape ``(n, n_parts)``.
    """
    return actions.reshape(len(actions), -1).astype(np.int64) + first_entries(space)


def mask_outputs(outputs: th.Tensor, masks: th.Tensor, space: spaces.Space) -> th.Tensor:
    """
    Finite numbers, so that nothing that is computed from them is NaN, and so large that probabilities are exactly 0 and 1.

    :param outputs: Logits. Shape ``(batch, n_outputs)``.
    :param masks: Booleans. Shape ``(batch, mask_size)``.
    :param space: Discrete, MultiDiscrete or MultiBinary.
    :return: Logits under which no choice that is not allowed is ever drawn. Shape ``(batch, n_outputs)``.
    """
    far = min(_FAR, th.finfo(outputs.dtype).max / 2)
    if isinstance(space, spaces.MultiBinary):
        return outputs.masked_fill(~masks[:, 1::2], -far).masked_fill(~masks[:, ::2], far)
    return outputs.masked_fill(~masks, -far)


def mask_logits(logits: np.ndarray, masks: np.ndarray, space: spaces.Space) -> np.ndarray:
    """
    :func:`mask_outputs` in NumPy, and in place. Noise that was added before makes no difference.

    :param logits: Shape ``(n_envs, n_outputs)``; it is changed.
    :param masks: Booleans. Shape ``(n_envs, mask_size)``.
    :param space: Discrete, MultiDiscrete or MultiBinary.
    :return: The same array.
    """
    if isinstance(space, spaces.MultiBinary):
        np.copyto(logits, -np.inf, where=~masks[:, 1::2])
        np.copyto(logits, np.inf, where=~masks[:, ::2])
    else:
        np.copyto(logits, -np.inf, where=~masks)
    return logits


def log_uniform_of_allowed(masks: th.Tensor, space: spaces.Space) -> th.Tensor:
    """
    Log-probability of actions drawn uniformly from what is allowed: minus the logarithm of how many there are.

    :param masks: Booleans. Shape ``(batch, mask_size)``.
    :param space: Discrete, MultiDiscrete or MultiBinary.
    :return: Shape ``(batch,)``.
    """
    counts = [part.sum(dim=1) for part in masks.split(choices_of_parts(space), dim=1)]
    return -th.stack(counts).double().log().sum(dim=0).to(th.get_default_dtype())


def can_be_masked(distribution: Any) -> bool:
    """
    :param distribution: A distribution of SB3.
    :return: Whether it is known how to draw from what is allowed alone: it is SB3's own, or has sb3-contrib's
        ``apply_masking``.
    """
    return is_known(distribution) or hasattr(distribution, "apply_masking")


def masked(distribution: Any, masks: th.Tensor | None, space: spaces.Space) -> Any:
    """
    :param distribution: A distribution of SB3, for a batch of states.
    :param masks: Booleans. Shape ``(batch, mask_size)``. None allows everything.
    :param space: Discrete, MultiDiscrete or MultiBinary.
    :return: The same, over what is allowed alone.
    :raises TypeError: If it is of a class of which nobody knows how to do that.
    """
    if masks is None:
        return distribution
    if not can_be_masked(distribution):
        raise TypeError(cannot_be_masked(distribution))
    if not is_known(distribution):
        distribution.apply_masking(masks)
        return distribution
    result: Distribution = copy.copy(distribution)
    inner: Any = distribution.distribution
    if isinstance(inner, list):
        parts = zip(inner, masks.split([part.logits.shape[1] for part in inner], dim=1), strict=True)
        result.distribution = [_masked_softmax(part.logits, mask) for part, mask in parts]
    elif isinstance(space, spaces.MultiBinary):
        result.distribution = Bernoulli(logits=mask_outputs(inner.logits, masks, space))
    else:
        result.distribution = _masked_softmax(inner.logits, masks)
    return result


def _masked_softmax(logits: th.Tensor, masks: th.Tensor) -> Categorical:
    return Categorical(logits=mask_outputs(logits, masks, spaces.Discrete(logits.shape[1])))


def cannot_be_masked(distribution: Any) -> str:
    """
    :param distribution: Of whatever class.
    :return: What an error says if that can't be masked.
    """
    return (
        f"Actions are masked, but it is not known how to draw from a {type(distribution).__name__} only what is allowed. Use "
        "a policy with SB3's own distribution, give that class sb3-contrib's method apply_masking(masks), or set "
        "action_masks=False."
    )


def as_masks(values: Any, n: int, space: spaces.Space) -> np.ndarray:
    """
    :param values: What was given as masks: booleans, or 0 and 1. Shape ``(n, mask_size)``, or flat.
    :param n: How many there must be.
    :param space: Discrete, MultiDiscrete or MultiBinary.
    :return: Booleans. Shape ``(n, mask_size)``.
    :raises ValueError: If they are no such masks, or one of them allows no action.
    """
    if not isinstance(space, MASKED):
        raise ValueError(f"action_masks needs actions whose choices can be counted, but these are {space}: leave it out.")
    size = mask_size(space)
    try:
        masks = np.asarray(values)
    except ValueError:  # of several lengths
        masks = np.empty(0, object)
    if masks.size != n * size or not is_zeros_and_ones(masks):
        raise ValueError(
            f"action_masks must be booleans (or 0 and 1) of shape ({n}, {size}), an entry for each choice of {space}, "
            f"but they are {shown(values)}."
        )
    masks = masks.astype(bool).reshape(n, size)
    if not parts_with_a_choice(masks, first_entries(space)).all():
        raise ValueError(f"action_masks must allow an action everywhere, but they are {shown(values)}.")
    return masks


def predict_masked(policy: Any, observation: Any, action_masks: Any, deterministic: bool) -> np.ndarray:
    """
    :param policy: Any actor-critic policy.
    :param observation: One, or several of them in an array or a dict of arrays.
    :param action_masks: Which choices are allowed there. Shape ``(n, mask_size)``, or flat.
    :param deterministic: Whether to take the most probable of the allowed actions.
    :return: The action, or an array of them, as SB3's ``policy.predict`` gives them.
    :raises ValueError: If these are no masks.
    """
    policy.set_training_mode(False)
    obs, is_batch = policy.obs_to_tensor(observation)
    space, n = policy.action_space, n_rows(obs)
    masks = th.as_tensor(as_masks(action_masks, n, space), device=policy.device)
    with th.no_grad():
        actions = masked(policy.get_distribution(obs), masks, space).get_actions(deterministic=deterministic)
    actions = actions.cpu().numpy().reshape((n, *space.shape))
    return actions if is_batch else actions.squeeze(axis=0)
