"""The policy's value net, as a baseline, and for what a time limit cut off."""

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
import torch as th
from stable_baselines3.common.utils import obs_as_tensor, update_learning_rate

from sb3_reinforce.common.observations import Observations, n_rows, take_rows
from sb3_reinforce.gradient.clipping import clip_gradient
from sb3_reinforce.gradient.estimators import add_to_last, reward_to_go
from sb3_reinforce.rollouts.rollout import Rollout

_CHUNK_ROWS = 4096
_BATCH_ROWS = 512


class ValueNet(Protocol):
    """What training asks of a value net, in this order, once a rollout."""

    is_fitted: bool
    """Whether it has seen a rollout before."""

    def complete(self, rollout: Rollout, gamma: float) -> np.ndarray:
        """
        :param rollout: A rollout that may have kept what a time limit cut off.
        :param gamma: Discount factor.
        :return: Its rewards, with the discounted value of what was cut off among them. Shape ``(n_timesteps,)``.
        """
        ...

    def targets(self, rewards: np.ndarray, lengths: np.ndarray, gamma: float) -> np.ndarray:
        """
        :param rewards: As from :meth:`complete`. Shape ``(n_timesteps,)``.
        :param lengths: Timesteps of each episode. Shape ``(n_episodes,)``.
        :param gamma: Discount factor.
        :return: What the value net is fitted to: what follows each timestep, whatever actions are credited with.
        :raises FloatingPointError: If it can't be fitted to these.
        """
        ...

    def predict(self, observations: Observations) -> np.ndarray:
        """
        :param observations: Shape ``(n_timesteps, *observation_shape)``, or a dict of such.
        :return: Their values. Shape ``(n_timesteps,)``.
        """
        ...

    def fit(self, rollout: Rollout, targets: np.ndarray) -> dict[str, float]:
        """
        :param rollout: The rollout.
        :param targets: As from :meth:`targets`. Shape ``(n_timesteps,)``.
        :return: What is to be logged, by name.
        :raises FloatingPointError: If a gradient is not finite; the value net is as it was before that step.
        """
        ...


class NoValueNet:
    """Where none is needed."""

    is_fitted = False

    def complete(self, rollout: Rollout, gamma: float) -> np.ndarray:
        """See :class:`ValueNet`."""
        return rollout.rewards

    def targets(self, rewards: np.ndarray, lengths: np.ndarray, gamma: float) -> np.ndarray:
        """See :class:`ValueNet`."""
        return rewards

    def predict(self, observations: Observations) -> np.ndarray:
        """See :class:`ValueNet`."""
        return np.zeros(n_rows(observations))

    def fit(self, rollout: Rollout, targets: np.ndarray) -> dict[str, float]:
        """See :class:`ValueNet`."""
        return {}


class PolicyValueNet:
    """
    The policy's value net, trained by mean squared error on the returns of earlier rollouts.

    Of what policy and value net share (the features extractor of images, by SB3's default), both train the
    weights. The optimizer is the policy's. Parameters with ``requires_grad=False`` stay as they are.

    :param policy: Any actor-critic policy.
    :param rng: Draws the timesteps.
    :param n_updates: Gradient steps a rollout, each on 512 timesteps or as many as there are.
    :param vf_coef: What the loss is multiplied by.
    :param max_grad_norm: The maximum norm of a gradient; None for no clipping.
    :param step_size: Of the optimizer; None for the one that it has.
    :param is_fitted: Whether it has seen a rollout before.
    """

    def __init__(
        self,
        policy: Any,
        rng: np.random.Generator,
        n_updates: int,
        vf_coef: float,
        max_grad_norm: float | None,
        step_size: float | None = None,
        is_fitted: bool = True,
    ) -> None:
        self.policy = policy
        self.rng = rng
        self.n_updates = n_updates
        self.vf_coef = vf_coef
        self.max_grad_norm = max_grad_norm
        self.step_size = step_size
        self.is_fitted = is_fitted

    def complete(self, rollout: Rollout, gamma: float) -> np.ndarray:
        """See :class:`ValueNet`."""
        if rollout.last_observations is None:
            return rollout.rewards
        values = gamma * self.predict(rollout.last_observations)
        return add_to_last(rollout.rewards, rollout.lengths, rollout.cut_off, values)

    def targets(self, rewards: np.ndarray, lengths: np.ndarray, gamma: float) -> np.ndarray:
        """See :class:`ValueNet`."""
        targets = reward_to_go(rewards, lengths, gamma)
        check_value_targets(targets)
        return targets

    @th.no_grad()
    def predict(self, observations: Observations) -> np.ndarray:
        """See :class:`ValueNet`."""
        return in_chunks(lambda obs: self._values(obs).cpu().numpy(), observations).astype(np.float64)

    def _values(self, observations: Observations) -> th.Tensor:
        return self.policy.predict_values(obs_as_tensor(observations, self.policy.device)).flatten()

    def fit(self, rollout: Rollout, targets: np.ndarray) -> dict[str, float]:
        """See :class:`ValueNet`. The loss is the mean over the steps, before it is multiplied."""
        if self.step_size is not None:
            update_learning_rate(self.policy.optimizer, self.step_size)
        losses = list(self._losses(rollout.observations, targets))
        return {"value_loss": float(np.mean(losses)) if losses else 0.0}

    def _losses(self, observations: Observations, targets: np.ndarray) -> Iterator[float]:
        """Steps; the loss before each."""
        for _ in range(self.n_updates):
            rows = self.rng.integers(len(targets), size=min(_BATCH_ROWS, len(targets)))
            some_targets = th.as_tensor(targets[rows], dtype=th.float32, device=self.policy.device)
            loss = th.nn.functional.mse_loss(self._values(take_rows(observations, rows)), some_targets)
            yield loss.item()
            if not loss.requires_grad:  # all of it is frozen
                return
            self.policy.optimizer.zero_grad()
            (self.vf_coef * loss).backward()
            clip_gradient(self.policy.parameters(), self.max_grad_norm, "value net's gradient")
            self.policy.optimizer.step()


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
