"""Baselines that know the state: functions of observation and time, fitted to what earlier rollouts returned."""

from collections.abc import Callable, Iterable
from typing import Protocol

import numpy as np
import torch as th
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.utils import obs_as_tensor

from sb3_reinforce.rollouts.episode_buffer import Observations, take_rows

_CHUNK_ROWS = 4096
_VALUE_BATCH_ROWS = 512


class StateBaseline(Protocol):
    """
    A baseline of one's own: anything that can be called like this. Asked once a rollout, for all of
    its timesteps, in episode order (all timesteps of the first episode, then of the second).

    If it also has a method ``fit(observations, timesteps, returns)``, that is called after each
    rollout, with what followed. A baseline that is fitted only to earlier rollouts, and
    looks at nothing but the state and the time, keeps the gradient unbiased.

    It is saved with the model, and so must be picklable. For example, the mean return so far::

        class MeanSoFar:
            total, count = 0.0, 0

            def __call__(self, observations, timesteps):
                return np.full(len(timesteps), self.total / max(self.count, 1))

            def fit(self, observations, timesteps, returns):
                self.total += returns.sum()
                self.count += len(returns)

        REINFORCE("LinearSoftmaxPolicy", "CartPole-v1", baseline=MeanSoFar())
    """

    def __call__(self, observations: Observations, timesteps: np.ndarray) -> np.ndarray:
        """
        :param observations: Shape ``(n_timesteps, *observation_shape)``, or a dict of such.
        :param timesteps: The time of each since its episode's start, from 0. Shape ``(n_timesteps,)``.
        :return: What to subtract from the return that follows. Shape ``(n_timesteps,)``.
        """
        ...


class LinearBaseline:
    r"""
    Least squares of the returns on :math:`x, x^2, \tau, \tau^2, \tau^3, 1`, with the features
    :math:`x` of the observation and the time :math:`\tau = t / 100`. Fitted to earlier rollouts, and so unbiased;
    0 before there is one. Duan et al. (2016), "Benchmarking deep reinforcement learning for continuous
    control", section 4 (from rllab, which fits it to the last rollout).

    A rollout of a few episodes determines little, so those before it count too, each a factor ``memory``
    less than the one after it.

    Each regressor's penalty is relative to its own mean square, so that the units of an observation make no difference, and
    the cube of a long episode's time takes nothing from the others.

    :param memory: From 0, only the last rollout, to below 1.
    :param regularization: Ridge penalty, above 0, relative to the mean square of each regressor.
    """

    def __init__(self, memory: float = 0.8, regularization: float = 1e-5) -> None:
        self.memory = memory
        self.regularization = regularization
        self.coefficients: np.ndarray | None = None
        self._squares = self._products = np.zeros(())

    def __call__(self, observations: Observations, timesteps: np.ndarray) -> np.ndarray:
        """
        :param observations: Features. Shape ``(n_timesteps, n_features)``.
        :param timesteps: Time since the episode's start. Shape ``(n_timesteps,)``.
        :return: Shape ``(n_timesteps,)``.
        """
        if self.coefficients is None:
            return np.zeros(len(timesteps))
        return _regressors(observations, timesteps) @ self.coefficients

    def fit(self, observations: Observations, timesteps: np.ndarray, returns: np.ndarray) -> None:
        """
        :param observations: Features. Shape ``(n_timesteps, n_features)``.
        :param timesteps: Time since the episode's start. Shape ``(n_timesteps,)``.
        :param returns: What followed. Shape ``(n_timesteps,)``.
        """
        x = _regressors(observations, timesteps)
        self._squares = x.T @ x + self.memory * self._squares
        self._products = x.T @ returns + self.memory * self._products
        self.coefficients = ridge_solution(self._squares, self._products, self.regularization)


def ridge_solution(squares: np.ndarray, products: np.ndarray, regularization: float) -> np.ndarray:
    r"""
    Coefficients :math:`c` that minimise :math:`|X c - y|^2 + \rho \sum_j d_j^2 c_j^2`, with the length :math:`d_j` of the
    j-th column: ridge regression on columns brought to length 1. To rescale a column rescales its coefficient, and changes
    no prediction. Hastie, Tibshirani and Friedman (2009), "The elements of statistical learning", section 3.4.1.

    :param squares: :math:`X^\top X`. Shape ``(n_columns, n_columns)``.
    :param products: :math:`X^\top y`. Shape ``(n_columns,)``.
    :param regularization: :math:`\rho`, above 0.
    :return: Shape ``(n_columns,)``; 0 for a column of zeros.
    """
    lengths = np.sqrt(squares.diagonal())
    lengths[lengths == 0.0] = 1.0
    correlations = squares / lengths / lengths[:, np.newaxis]
    correlations.flat[:: len(lengths) + 1] += regularization
    return np.linalg.solve(correlations, products / lengths) / lengths


def n_linear_regressors(n_features: int) -> int:
    """
    :param n_features: Features of an observation.
    :return: How many regressors :class:`LinearBaseline` makes of them and of the time.
    """
    return 2 * n_features + 4


def _regressors(features: Observations, timesteps: np.ndarray) -> np.ndarray:
    assert isinstance(features, np.ndarray)
    x = features.astype(np.float64)
    time = timesteps[:, None] / 100.0
    return np.hstack([x, x**2, time, time**2, time**3, np.ones_like(time)])


def in_chunks(function: Callable[[Observations], np.ndarray], observations: Observations) -> np.ndarray:
    """
    A function of many observations, some thousands at a time, so that a network's activations fit into memory.

    :param function: From observations to an array with as many rows.
    :param observations: Shape ``(n_rows, *observation_shape)``, or a dict of such.
    :return: Shape ``(n_rows, ...)``.
    """
    arrays = list(observations.values()) if isinstance(observations, dict) else [observations]
    starts = range(0, len(arrays[0]), _CHUNK_ROWS)
    return np.concatenate([function(take_rows(observations, slice(start, start + _CHUNK_ROWS))) for start in starts])


class ValueBaseline:
    """
    The policy's value net, trained by mean squared error on the returns of earlier rollouts, and so unbiased. Sutton
    and Barto (2018), section 13.4, REINFORCE with baseline.

    Of what policy and value net share (the features extractor of images, by SB3's default), both train the
    weights. The optimizer is the policy's.

    :param policy: Any actor-critic policy.
    :param rng: Draws the timesteps.
    """

    def __init__(self, policy: ActorCriticPolicy, rng: np.random.Generator) -> None:
        self.policy = policy
        self.rng = rng

    def __call__(self, observations: Observations, timesteps: np.ndarray) -> np.ndarray:
        """
        :param observations: Shape ``(n_timesteps, *observation_shape)``, or a dict of such.
        :param timesteps: Not looked at. Shape ``(n_timesteps,)``.
        :return: Their values. Shape ``(n_timesteps,)``.
        """
        with th.no_grad():
            return in_chunks(lambda obs: self._values(obs).cpu().numpy(), observations).astype(np.float64)

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
        optimizer, n_rows = self.policy.optimizer, min(_VALUE_BATCH_ROWS, len(returns))
        losses = []
        for _ in range(n_updates):
            rows = self.rng.integers(len(returns), size=n_rows)
            targets = th.as_tensor(returns[rows], dtype=th.float32, device=self.policy.device)
            loss = th.nn.functional.mse_loss(self._values(take_rows(observations, rows)), targets)
            optimizer.zero_grad()
            (vf_coef * loss).backward()
            clip_gradient(self.policy.parameters(), max_grad_norm, "value net's gradient")
            optimizer.step()
            losses.append(loss.item())
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
