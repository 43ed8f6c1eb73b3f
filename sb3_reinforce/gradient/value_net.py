"""The policy's value net, as a baseline, and for what a time limit cut off."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch as th
from stable_baselines3.common.utils import obs_as_tensor

from sb3_reinforce.common.observations import Observations, n_rows, take_rows
from sb3_reinforce.gradient.clipping import clip_gradient
from sb3_reinforce.gradient.estimators import add_to_last
from sb3_reinforce.rollouts.rollout import Rollout

_CHUNK_ROWS = 4096
_BATCH_ROWS = 512


class ValueNet:
    """
    The policy's value net, trained by mean squared error on the returns of earlier rollouts.

    Of what policy and value net share (the features extractor of images, by SB3's default), both train the
    weights. The optimizer is the policy's. Parameters with ``requires_grad=False`` stay as they are.

    :param policy: Any actor-critic policy.
    :param rng: Draws the timesteps.
    """

    def __init__(self, policy: Any, rng: np.random.Generator) -> None:
        self.policy = policy
        self.rng = rng

    @th.no_grad()
    def predict(self, observations: Observations) -> np.ndarray:
        """
        :param observations: Shape ``(n_timesteps, *observation_shape)``, or a dict of such.
        :return: Their values. Shape ``(n_timesteps,)``.
        """
        return in_chunks(lambda obs: self._values(obs).cpu().numpy(), observations).astype(np.float64)

    def complete(self, rollout: Rollout, gamma: float) -> np.ndarray:
        """
        :param rollout: A rollout whose episodes a time limit may have cut off.
        :param gamma: Discount factor.
        :return: Its rewards, with the discounted value of what was cut off among them. Shape ``(n_timesteps,)``.
        """
        if rollout.last_observations is None:
            return rollout.rewards
        values = gamma * self.predict(rollout.last_observations)
        return add_to_last(rollout.rewards, rollout.lengths, rollout.cut_off, values)

    def _values(self, observations: Observations) -> th.Tensor:
        return self.policy.predict_values(obs_as_tensor(observations, self.policy.device)).flatten()

    def fit(
        self, observations: Observations, returns: np.ndarray, n_updates: int, vf_coef: float, max_grad_norm: float | None
    ) -> float:
        """
        :param observations: Shape ``(n_timesteps, *observation_shape)``, or a dict of such.
        :param returns: Shape ``(n_timesteps,)``.
        :param n_updates: Gradient steps, each on 512 timesteps or as many as there are.
        :param vf_coef: What the loss is multiplied by.
        :param max_grad_norm: The maximum norm of a gradient; None for no clipping.
        :return: The mean loss of the steps, before it is multiplied; 0 if there are none.
        :raises FloatingPointError: If a gradient is not finite; the value net is as it was before that step.
        """
        optimizer, batch_rows = self.policy.optimizer, min(_BATCH_ROWS, len(returns))
        losses = []
        for _ in range(n_updates):
            rows = self.rng.integers(len(returns), size=batch_rows)
            targets = th.as_tensor(returns[rows], dtype=th.float32, device=self.policy.device)
            loss = th.nn.functional.mse_loss(self._values(take_rows(observations, rows)), targets)
            losses.append(loss.item())
            if not loss.requires_grad:  # all of it is frozen
                break
            optimizer.zero_grad()
            (vf_coef * loss).backward()
            clip_gradient(self.policy.parameters(), max_grad_norm, "value net's gradient")
            optimizer.step()
        return float(np.mean(losses)) if losses else 0.0


def check_value_targets(returns: np.ndarray) -> None:
    """
    :param returns: What a value net is to be fitted to. Shape ``(n_timesteps,)``.
    :raises FloatingPointError: If their squares, which are in its loss, are too large for float32.
    """
    largest = np.abs(returns).max(initial=0.0)
    if not largest < np.sqrt(np.finfo(np.float32).max):
        raise FloatingPointError(
            f"The value net can't be fitted to returns as large as {largest}: their squares do not fit into float32. Nothing "
            "was learned from this rollout. Scale the rewards (VecNormalize)."
        )


def in_chunks(function: Callable[[Observations], np.ndarray], observations: Observations) -> np.ndarray:
    """
    A function of many observations, some thousands at a time, so that a network's activations fit into memory.

    :param function: From observations to an array with as many rows.
    :param observations: Shape ``(n_rows, *observation_shape)``, or a dict of such.
    :return: Shape ``(n_rows, ...)``.
    """
    starts = range(0, n_rows(observations), _CHUNK_ROWS)
    return np.concatenate([function(take_rows(observations, slice(start, start + _CHUNK_ROWS))) for start in starts])
