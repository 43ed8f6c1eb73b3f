"""What a model's ``predict`` does, as a torch module that can be recorded into a graph."""

import copy
import inspect
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np
import torch as th
from gymnasium import spaces
from gymnasium.vector.utils import batch_space
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.utils import obs_as_tensor
from stable_baselines3.common.vec_env import VecNormalize
from torch import nn

from sb3_reinforce.common.observations import Observations

N_CHECKED = 32
"""Observations on which a graph is compared with the model, before it is written."""
_ALL = "observation"  # where there are no keys
_CAUSE = (
    "Its code decides by numbers that it computes (an if, a loop, int(tensor), NumPy), or takes no batches of any size: write "
    "that with torch's functions (th.where, a buffer) and sizes of the input."
)


class ExportError(ValueError):
    """The policy can't be written as a graph that does what the policy does."""


class _Normalizer(nn.Module):
    """
    ``VecNormalize.normalize_obs`` of one array.

    :param statistics: Of what is normalized.
    :param epsilon: As of VecNormalize.
    :param clip: As of VecNormalize.
    """

    mean: th.Tensor
    std: th.Tensor

    def __init__(self, statistics: RunningMeanStd, epsilon: float, clip: float) -> None:
        super().__init__()
        self.register_buffer("mean", th.as_tensor(statistics.mean))
        self.register_buffer("std", th.as_tensor(np.sqrt(statistics.var + epsilon)))
        self.clip = clip

    def forward(self, observations: th.Tensor) -> th.Tensor:
        return ((observations.double() - self.mean) / self.std).clamp(-self.clip, self.clip).float()


class RecordedPolicy(nn.Module):
    """
    From observations to what ``model.predict(observations, deterministic=True)`` returns.

    :param policy: The policy, which acts itself.
    :param action_space: Of the model.
    :param normalization: What normalizes the observations first, if anything.
    """

    low: th.Tensor
    high: th.Tensor

    def __init__(self, policy: BasePolicy, action_space: spaces.Space, normalization: VecNormalize | None) -> None:
        super().__init__()
        self.policy, self.is_box = policy, isinstance(action_space, spaces.Box)
        self.shape = action_space.shape or ()
        self.dtype = th.as_tensor(np.zeros(0, dtype=action_space.dtype)).dtype
        if isinstance(action_space, spaces.Box):
            self.register_buffer("low", th.as_tensor(action_space.low).to(_clipped_in(self.dtype)))
            self.register_buffer("high", th.as_tensor(action_space.high).to(_clipped_in(self.dtype)))
        self.normalizers = nn.ModuleDict(_normalizers(normalization))

    def forward(self, observations: th.Tensor | dict[str, th.Tensor]) -> th.Tensor:
        """
        :param observations: As the model's observation space has them. Shape ``(batch, *observation_shape)``, or a dict of
            such.
        :return: Actions. Shape ``(batch, *action_shape)``.
        """
        if self.normalizers:
            observations = self._normalized(observations)
        actions = self.policy._predict(observations, deterministic=True)  # what SB3's predict asks, and what users override
        actions = actions.reshape(-1, *self.shape)
        if self.is_box:
            actions = self._within_bounds(actions)
        if not self.dtype.is_floating_point and actions.is_floating_point() and self.is_box:
            actions = actions.round()
        return actions.to(self.dtype)

    def _normalized(self, observations: th.Tensor | dict[str, th.Tensor]) -> th.Tensor | dict[str, th.Tensor]:
        if isinstance(observations, th.Tensor):
            return self.normalizers[_ALL](observations)
        parts = self.normalizers
        return {key: parts[key](part) if key in parts else part for key, part in observations.items()}

    def _within_bounds(self, actions: th.Tensor) -> th.Tensor:
        actions = actions.to(self.low.dtype)
        if self.policy.squash_output:
            return self.low + 0.5 * (actions + 1.0) * (self.high - self.low)
        return th.maximum(th.minimum(actions, self.high), self.low)


def _clipped_in(dtype: th.dtype) -> th.dtype:
    """Whole numbers and float64 bounds make NumPy clip in float64."""
    return th.float32 if dtype == th.float32 else th.float64


def _normalizers(normalization: VecNormalize | None) -> dict[str, nn.Module]:
    if normalization is None or not normalization.norm_obs:
        return {}
    settings = normalization.epsilon, normalization.clip_obs
    statistics = normalization.obs_rms
    if isinstance(statistics, dict):
        return {key: _Normalizer(part, *settings) for key, part in statistics.items()}
    return {_ALL: _Normalizer(statistics, *settings)}


@contextmanager
def recordable(model: BaseAlgorithm, normalization: VecNormalize | None) -> Iterator[RecordedPolicy]:
    """
    Within, the policy is on the CPU, in evaluation mode, and not compiled.

    :param model: A model of any SB3 algorithm.
    :param normalization: What is to normalize the observations first, if anything.
    :return: Its ``predict`` as a module.
    :raises ExportError: If the model's actions depend on more than the observation.
    """
    policy = model.policy
    _refuse_masks(model)
    if getattr(policy, "lstm_actor", None) is not None:
        raise ExportError("A recurrent policy can't be exported: a graph has no memory from step to step.")
    device, was_training = policy.device, policy.training
    validates = th.distributions.Distribution._validate_args
    policy.to("cpu")
    policy.set_training_mode(False)
    th.distributions.Distribution.set_default_validate_args(False)  # which decides by numbers, and changes none
    try:
        with th.no_grad(), _uncompiled():
            yield RecordedPolicy(policy, model.action_space, normalization).eval()
    finally:
        th.distributions.Distribution.set_default_validate_args(validates)
        policy.set_training_mode(was_training)
        policy.to(device)


def _uncompiled() -> AbstractContextManager[Any]:
    set_stance: Any = getattr(th.compiler, "set_stance", None)  # from torch 2.6 on
    return nullcontext() if set_stance is None else set_stance("force_eager")


def _refuse_masks(model: BaseAlgorithm) -> None:
    masks = _masks_actions(model)
    if masks is None:
        raise ExportError(
            f"It is not known whether this {type(model).__name__} masks its actions, for it has no environment, and its file "
            "does not say it. Give it one: model.set_env(env)."
        )
    if masks:
        is_ours = hasattr(model, "action_masks")
        instead = "To export what it does without masks, set model.action_masks = False." if is_ours else ""
        raise ExportError(
            "A model that masks its actions can't be exported: what is allowed comes with the environment, and a graph sees "
            f"only observations. {instead}".rstrip()
        )


def _masks_actions(model: BaseAlgorithm) -> bool | None:
    """None where nobody knows."""
    if "action_masks" not in inspect.signature(model.predict).parameters:
        return False
    told = getattr(model, "action_masks", None)  # None means: what the environment says
    if told is not None:
        return bool(told)
    env = model.get_env()
    if env is not None and env.has_attr("action_masks"):
        return True
    return getattr(model, "learned_with_masks", None if env is None else False)


def examples(space: spaces.Space, n: int) -> Observations:
    """
    :param space: Of the observations.
    :param n: How many.
    :return: Observations drawn from it, always the same. Shape ``(n, *observation_shape)``, or a dict of such.
    """
    batch = batch_space(copy.deepcopy(space), n)  # a copy, to leave the space's generator alone
    batch.seed(0)
    drawn: Any = batch.sample()
    return dict(drawn) if isinstance(space, spaces.Dict) else drawn


def as_tensors(observations: Observations) -> th.Tensor | dict[str, th.Tensor]:
    """
    :param observations: Arrays.
    :return: The same as tensors, in the same types.
    """
    return obs_as_tensor(observations, th.device("cpu"))


def check_graph(model: BaseAlgorithm, normalization: VecNormalize | None, graph: Callable[[Observations], np.ndarray]) -> None:
    """
    :param model: What was recorded.
    :param normalization: What normalizes the observations first, if anything.
    :param graph: Runs the graph.
    :raises ExportError: If it does something else than the model, in batches of 1 or of more.
    """
    for n in (1, N_CHECKED):
        observations: Any = examples(model.observation_space, n)
        given = observations if normalization is None else normalization.normalize_obs(observations)
        expected = model.predict(given, deterministic=True)[0]
        try:
            actions = graph(observations)
        except Exception as error:
            raise ExportError(f"The policy can't be exported: its graph fails in a batch of {n}. {_CAUSE}") from error
        if actions.shape != expected.shape or not np.allclose(actions, expected, rtol=1e-4, atol=1e-4):
            raise ExportError(f"The policy can't be exported: its graph does something else than predict. {_CAUSE}")


@contextmanager
def failure_explained() -> Iterator[None]:
    """
    Within, a policy is recorded.

    :raises ExportError: If torch can't.
    """
    try:
        yield
    except ImportError:
        raise
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        is_ours = "phi" in reason and isinstance(error, RuntimeError)
        raise ExportError(reason if is_ours else f"The policy can't be exported: {reason} {_CAUSE}") from error
