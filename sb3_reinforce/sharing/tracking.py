"""Weights & Biases, MLflow, and whatever else takes numbers by name and step."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch as th
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import KVWriter

from sb3_reinforce.common.constraints import CALLABLE, check_arguments

LogMetrics = Callable[..., Any]
"""Called as ``log(metrics, step=step)``, with numbers by name."""


class _MetricsWriter(KVWriter):
    """
    An output of SB3's logger.

    :param log: Takes the numbers.
    """

    def __init__(self, log: LogMetrics) -> None:
        self.log, self.has_failed = log, False

    def write(self, key_values: dict[str, Any], key_excluded: dict[str, tuple[str, ...]], step: int = 0) -> None:
        """
        :param key_values: What was recorded.
        :param key_excluded: By the same keys, the outputs that it is not for. What is not for TensorBoard is left out.
        :param step: Timesteps so far.
        """
        excluded = {key for key, outputs in key_excluded.items() if outputs and "tensorboard" in outputs}
        numbers = {key: float(value) for key, value in key_values.items() if key not in excluded and _is_number(value)}
        try:
            if numbers:
                self.log(numbers, step=step)
        except Exception as error:
            if not self.has_failed:
                warnings.warn(f"Numbers can't be logged, and training goes on without: {error}", RuntimeWarning, stacklevel=2)
            self.has_failed = True


def _is_number(value: Any) -> bool:
    if isinstance(value, (np.ndarray, th.Tensor)):
        return value.ndim == 0
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool)


class TrackingCallback(BaseCallback):
    """
    Hands everything that a model logs to an experiment tracker, beside its other outputs. For any SB3 algorithm::

        model.learn(50_000, callback=TrackingCallback(wandb.init(project="cartpole").log))
        model.learn(50_000, callback=TrackingCallback(mlflow.log_metrics))

    A tracker that fails is warned about once, and does not end the training.

    :param log: Called as ``log(metrics, step=step)`` with numbers by name, such as ``{"rollout/ep_rew_mean": 21.5}``, and the
        timesteps so far.
    :param verbose: Verbosity level: 0 for no output, 1 for info messages, 2 for debug messages.
    """

    def __init__(self, log: LogMetrics, verbose: int = 0) -> None:
        super().__init__(verbose)
        check_arguments({"log": [CALLABLE]}, {"log": log}, type(self).__name__)
        self._writer = _MetricsWriter(log)

    def _on_training_start(self) -> None:
        self.logger.output_formats.append(self._writer)

    def _on_step(self) -> bool:
        return True

    def _on_training_end(self) -> None:
        if self._writer in self.logger.output_formats:
            self.logger.output_formats.remove(self._writer)
