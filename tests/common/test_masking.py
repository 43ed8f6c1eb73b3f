"""Distributions over what is allowed alone, against slow and obvious versions."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.distributions import CategoricalDistribution, make_proba_distribution

from sb3_reinforce.common.masking import (
    as_masks,
    choices_of_parts,
    entries_of,
    log_uniform_of_allowed,
    mask_logits,
    mask_outputs,
    mask_size,
    masked,
)
from tests.masked import SPACES, draw_mask


def all_actions(space: spaces.Space) -> np.ndarray:
    """Shape ``(n, n_parts)``, or ``(n,)`` for Discrete."""
    actions = np.array(list(itertools.product(*(range(size) for size in choices_of_parts(space)))))
    return actions[:, 0] if isinstance(space, spaces.Discrete) else actions


def allowed_actions(mask: np.ndarray, space: spaces.Space) -> np.ndarray:
    """Which of all actions a mask allows, one by one."""
    return np.array([mask[entries_of(action[None], space)[0]].all() for action in all_actions(space)])


def distribution(space: spaces.Space, logits: th.Tensor) -> Any:
    made: Any = make_proba_distribution(space)
    return made.proba_distribution(logits)


def n_outputs(space: spaces.Space) -> int:
    return mask_size(space) // 2 if isinstance(space, spaces.MultiBinary) else mask_size(space)


drawn = given(name=st.sampled_from(sorted(SPACES)), seed=st.integers(0, 2**31), scale=st.sampled_from([0.0, 1.0, 100.0]))


def draw(name: str, seed: int, scale: float) -> tuple[spaces.Space, th.Tensor, np.ndarray]:
    space, rng = SPACES[name], np.random.default_rng(seed)
    logits = th.tensor(rng.normal(size=(1, n_outputs(space))) * scale, requires_grad=True)
    return space, logits, draw_mask(rng, space)


@drawn
@settings(max_examples=60, deadline=None)
def test_what_is_allowed_has_all_the_probability(name: str, seed: int, scale: float) -> None:
    space, logits, mask = draw(name, seed, scale)
    actions, allowed = all_actions(space), allowed_actions(mask, space)
    batch = logits.expand(len(actions), -1)
    before = distribution(space, batch).log_prob(th.as_tensor(actions).to(batch.dtype)).exp().detach().numpy()
    masks = th.as_tensor(mask).expand(len(actions), -1)
    after = masked(distribution(space, batch), masks, space)
    probabilities = after.log_prob(th.as_tensor(actions).to(batch.dtype)).exp().detach().numpy()
    if before[allowed].sum() > 1e-12:
        np.testing.assert_allclose(probabilities, np.where(allowed, before, 0) / before[allowed].sum(), rtol=1e-6, atol=1e-12)
    assert (probabilities[~allowed] == 0).all()
    entropy = -sum(p * np.log(p) for p in probabilities if p > 0)
    np.testing.assert_allclose(after.entropy()[0].item(), entropy, atol=1e-6)
    drawn_actions = after.sample().numpy()
    assert np.take_along_axis(masks.numpy(), entries_of(drawn_actions, space), axis=1).all()
    assert np.take_along_axis(masks.numpy(), entries_of(after.mode().detach().numpy(), space), axis=1).all()


@drawn
@settings(max_examples=30, deadline=None)
def test_gradients_are_finite_and_none_reaches_what_is_not_allowed(name: str, seed: int, scale: float) -> None:
    space, logits, mask = draw(name, seed, scale)
    dist = masked(distribution(space, logits), th.as_tensor(mask)[None], space)
    action = th.as_tensor(all_actions(space)[allowed_actions(mask, space)][:1]).to(logits.dtype)
    (gradient,) = th.autograd.grad(dist.log_prob(action).sum() + dist.entropy().sum(), logits)
    assert gradient.isfinite().all()
    forbidden = ~mask if not isinstance(space, spaces.MultiBinary) else ~(mask[1::2] & mask[::2])
    assert (gradient[0][th.as_tensor(forbidden)].abs() < 1e-12).all()  # of rounding


@drawn
@settings(max_examples=30, deadline=None)
def test_numpy_masks_what_torch_masks(name: str, seed: int, scale: float) -> None:
    space, logits, mask = draw(name, seed, scale)
    by_torch = mask_outputs(logits, th.as_tensor(mask)[None], space).detach().numpy()
    by_numpy = mask_logits(logits.detach().numpy().copy(), mask[None], space)
    is_free = np.isfinite(by_numpy)
    np.testing.assert_array_equal(by_numpy[is_free], by_torch[is_free])
    np.testing.assert_array_equal(np.sign(by_numpy[~is_free]), np.sign(by_torch[~is_free]))
    assert (np.abs(by_torch[~is_free]) > 1e29).all()


@drawn
@settings(max_examples=30, deadline=None)
def test_uniform_over_what_is_allowed(name: str, seed: int, scale: float) -> None:
    space, _, mask = draw(name, seed, scale)
    log_uniform = log_uniform_of_allowed(th.as_tensor(mask)[None], space)
    np.testing.assert_allclose(log_uniform.exp().item() * allowed_actions(mask, space).sum(), 1.0, rtol=1e-6)


def test_other_masks_are_refused() -> None:
    space = spaces.MultiDiscrete([2, 3])
    np.testing.assert_array_equal(as_masks([1, 1, 1, 0, 1], 1, space), [[True, True, True, False, True]])
    for bad in ([[1, 1, 1]], [[1, 1, 2, 1, 1]], [[1, 1, np.nan, 1, 1]], "mask", [[1], [1, 2]], None):
        with pytest.raises(ValueError, match=r"action_masks must be booleans .*\(1, 5\).*MultiDiscrete"):
            as_masks(bad, 1, space)
    with pytest.raises(ValueError, match="must allow an action"):
        as_masks([[1, 1, 0, 0, 0]], 1, space)
    with pytest.raises(ValueError, match="choices can be counted"):
        as_masks([[1]], 1, spaces.Box(0, 1, (1,)))


class _Cooler(CategoricalDistribution):
    """What it draws is not what its logits say."""

    def sample(self) -> th.Tensor:
        return self.distribution.probs.argmax(dim=1)


class _Maskable(_Cooler):
    def apply_masking(self, masks: th.Tensor) -> None:
        self.distribution = th.distributions.Categorical(logits=self.distribution.logits.masked_fill(~masks, -1e9))


def test_an_unknown_distribution_is_masked_by_itself_or_refused() -> None:
    logits, masks, space = th.tensor([[3.0, 0.0, 0.0]]), th.tensor([[False, True, True]]), spaces.Discrete(3)
    assert masked(_Maskable(3).proba_distribution(logits), masks, space).sample().item() > 0
    with pytest.raises(TypeError, match=r"_Cooler.*apply_masking"):
        masked(_Cooler(3).proba_distribution(logits), masks, space)
