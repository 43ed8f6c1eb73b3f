"""Baselines: what is subtracted from the return that follows an action."""

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, Protocol

import numpy as np
import torch as th
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.utils import obs_as_tensor

from sb3_reinforce.common.constraints import Interval, Table, Test, checked
from sb3_reinforce.common.observations import Observations
from sb3_reinforce.gradient.estimators import (
    leave_one_out_baseline,
    mean_baseline,
    no_baseline,
    optimal_constants,
    time_baseline,
)
from sb3_reinforce.gradient.value_net import ValueNet, in_chunks
from sb3_reinforce.rollouts.rollout import Rollout

_LINEAR: Table = {
    "memory": [Test("a number from 0 to below 1", lambda value: Interval(0, 1).allows(value) and value < 1)],
    "regularization": [Interval(0, open_low=True)],
}


class Baseline(Protocol):
    """What training asks of a baseline, in this order, once a rollout."""

    is_constant: ClassVar[bool]
    """Whether it is a constant for each parameter, :meth:`constants`, and not a value for each timestep."""
    explains: bool
    """Whether its values are to explain the returns."""

    def predict(self, rollout: Rollout, returns: np.ndarray) -> np.ndarray:
        """
        :param rollout: The rollout.
        :param returns: The return that follows each action. Shape ``(n_timesteps,)``.
        :return: What to subtract from it. Shape ``(n_timesteps,)``.
        """
        ...

    def constants(self, estimates: np.ndarray, scores: np.ndarray) -> np.ndarray:
        """
        :param estimates: Each episode's estimate of the gradient. Shape ``(n_episodes, n_parameters)``.
        :param scores: Each episode's sum of score vectors. Shape ``(n_episodes, n_parameters)``.
        :return: By how much of its scores each estimate is too large. Shape ``(n_episodes, n_parameters)``.
        """
        ...

    def fit(self, rollout: Rollout, returns: np.ndarray) -> None:
        """
        After the step, so that a baseline never knows the returns that it is subtracted from.

        :param rollout: The rollout.
        :param returns: The return that follows each action. Shape ``(n_timesteps,)``.
        """
        ...


class _Baseline:
    """What most have in common."""

    is_constant: ClassVar[bool] = False
    explains = True

    def constants(self, estimates: np.ndarray, scores: np.ndarray) -> np.ndarray:
        """None."""
        return np.zeros_like(estimates)

    def fit(self, rollout: Rollout, returns: np.ndarray) -> None:
        """Nothing is learned."""


class SampleBaseline(_Baseline):
    """
    From the returns of the rollout itself.

    :param function: One of those of :mod:`sb3_reinforce.gradient.estimators`, of returns and lengths.
    """

    def __init__(self, function: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> None:
        self.function = function
        self.explains = function is not no_baseline

    def predict(self, rollout: Rollout, returns: np.ndarray) -> np.ndarray:
        """See :class:`Baseline`."""
        return self.function(returns, rollout.lengths)


class OptimalBaseline(_Baseline):
    """The constant of least variance, one for each parameter: :func:`~sb3_reinforce.gradient.estimators.optimal_constants`."""

    is_constant = True
    explains = False

    def predict(self, rollout: Rollout, returns: np.ndarray) -> np.ndarray:
        """See :class:`Baseline`."""
        return np.zeros_like(returns)

    def constants(self, estimates: np.ndarray, scores: np.ndarray) -> np.ndarray:
        """See :class:`Baseline`."""
        return optimal_constants(estimates, scores)


def before_the_first_fit(values: np.ndarray, rollout: Rollout, returns: np.ndarray) -> np.ndarray:
    """
    What a baseline that is fitted to earlier rollouts takes in the first one. With no baseline at all, the first step would
    follow the time that is left of an episode more than what actions are worth, and may spoil the policy for long.

    :param values: What the baseline says. Shape ``(n_timesteps,)``.
    :param rollout: The first rollout.
    :param returns: The return that follows each action. Shape ``(n_timesteps,)``.
    :return: The mean over the other episodes at the same time since their start, as of the baseline "time"; of a single
        episode, the values. Shape ``(n_timesteps,)``.
    """
    return time_baseline(returns, rollout.lengths) if rollout.n_episodes > 1 else values


class ValueBaseline(_Baseline):
    """
    The policy's value net, which is fitted after the step, and so unbiased: see
    :class:`~sb3_reinforce.gradient.value_net.PolicyValueNet`. Sutton and Barto (2018), section 13.4, REINFORCE with baseline.

    :param value_net: The value net.
    """

    def __init__(self, value_net: ValueNet) -> None:
        self.value_net = value_net

    def predict(self, rollout: Rollout, returns: np.ndarray) -> np.ndarray:
        """See :class:`Baseline`. Before the first fit: :func:`before_the_first_fit`."""
        values = self.value_net.predict(rollout.observations)
        return values if self.value_net.is_fitted else before_the_first_fit(values, rollout, returns)


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


class FittedBaseline(_Baseline):
    """
    A baseline that knows the state, and may be fitted to what earlier rollouts returned.

    :param function: The baseline.
    :param features: From observations to what the baseline sees of them.
    """

    def __init__(self, function: StateBaseline, features: Callable[[Observations], Any] | None = None) -> None:
        self.function = function
        self.features = features
        self._seen: Any = None

    def predict(self, rollout: Rollout, returns: np.ndarray) -> np.ndarray:
        """
        See :class:`Baseline`. Of one that says by ``is_fitted`` that it knows nothing yet: :func:`before_the_first_fit`.

        :raises ValueError: If the baseline does not give a finite number for each timestep.
        """
        self._seen = rollout.observations if self.features is None else self.features(rollout.observations)
        values = np.asarray(self.function(self._seen, rollout.timesteps), dtype=np.float64)
        if values.shape != returns.shape or not np.isfinite(values).all():
            raise ValueError(
                f"The baseline must give a finite number for each timestep, an array of shape {returns.shape}, but gave "
                f"one of shape {values.shape}, {np.count_nonzero(~np.isfinite(values))} of them not finite. "
                "Nothing was learned from this rollout."
            )
        return values if getattr(self.function, "is_fitted", True) else before_the_first_fit(values, rollout, returns)

    def fit(self, rollout: Rollout, returns: np.ndarray) -> None:
        """See :class:`Baseline`."""
        fit = getattr(self.function, "fit", None)
        if fit is not None:
            fit(self._seen, rollout.timesteps, returns)


class LinearBaseline:
    r"""
    Least squares of the returns on :math:`x, x^2, \tau, \tau^2, \tau^3, 1`, with the features
    :math:`x` of the observation and the time :math:`\tau = t / 100`. Fitted to earlier rollouts, and so unbiased;
    0 before there is one (see :func:`before_the_first_fit`). Duan et al. (2016), "Benchmarking deep reinforcement learning
    for continuous control", section 4 (from rllab, which fits it to the last rollout).

    A rollout of a few episodes determines little, so those before it count too, each a factor ``memory``
    less than the one after it.

    Each regressor's penalty is relative to its own mean square, so that the units of an observation make no difference, and
    the cube of a long episode's time takes nothing from the others.

    :param memory: From 0, only the last rollout, to below 1.
    :param regularization: Ridge penalty, above 0, relative to the mean square of each regressor.
    :raises ValueError: If an argument is not what it may be.
    """

    @checked(_LINEAR, "LinearBaseline")
    def __init__(self, memory: float = 0.8, regularization: float = 1e-5) -> None:
        self.memory = memory
        self.regularization = regularization
        self.coefficients: np.ndarray | None = None
        self._squares = self._products = np.zeros(())

    @property
    def is_fitted(self) -> bool:
        """Whether it knows any returns."""
        return self.coefficients is not None

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


_SAMPLE_MEANS = {
    "none": no_baseline,
    "mean": mean_baseline,
    "leave_one_out": leave_one_out_baseline,
    "time": time_baseline,
}
BASELINES = (*_SAMPLE_MEANS, "linear", "value", "optimal")
"""Their names."""
BASELINES_OF_OTHER_EPISODES = ("leave_one_out", "time", "optimal")
"""Those that need two episodes in a rollout."""


def knows_states(baseline: str | StateBaseline) -> bool:
    """
    :param baseline: One of :data:`BASELINES`, or a function of the user's.
    :return: Whether its values are of states, whatever followed them in the rollout.
    """
    return not isinstance(baseline, str) or baseline in ("linear", "value")


def make_baseline(baseline: str | StateBaseline, linear: LinearBaseline, policy: Any, value_net: ValueNet) -> Baseline:
    """
    The baseline that an argument names.

    :param baseline: One of :data:`BASELINES`, or a function of the user's.
    :param linear: What "linear" has learned so far.
    :param policy: Any actor-critic policy, whose features "linear" sees.
    :param value_net: Of "value".
    :return: The baseline.
    """
    if not isinstance(baseline, str):
        return FittedBaseline(baseline)
    if baseline in _SAMPLE_MEANS:
        return SampleBaseline(_SAMPLE_MEANS[baseline])
    if baseline == "linear":
        return FittedBaseline(linear, partial(features_of, policy))
    return OptimalBaseline() if baseline == "optimal" else ValueBaseline(value_net)


@th.no_grad()
def features_of(policy: Any, observations: Observations) -> np.ndarray:
    """
    :param policy: Any actor-critic policy.
    :param observations: Shape ``(n_timesteps, *observation_shape)``, or a dict of such.
    :return: What its features extractor makes of them for the actor. Shape ``(n_timesteps, n_features)``.
    """

    def features(obs: Observations) -> np.ndarray:
        tensors = obs_as_tensor(obs, policy.device)
        return BasePolicy.extract_features(policy, tensors, policy.pi_features_extractor).cpu().numpy()

    return in_chunks(features, observations)
