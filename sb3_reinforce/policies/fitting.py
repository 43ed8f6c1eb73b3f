"""Supervised fitting of a policy: states, and what to do there."""

import copy
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any, NamedTuple

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.preprocessing import maybe_transpose
from stable_baselines3.common.type_aliases import PyTorchObs
from stable_baselines3.common.utils import obs_as_tensor

from sb3_reinforce.common.constraints import BOOLEAN, Interval, Table, check_arguments
from sb3_reinforce.common.extras import needs
from sb3_reinforce.common.masking import as_masks, entries_of, masked
from sb3_reinforce.common.observations import Observations, named_parts, take_rows
from sb3_reinforce.features.fixed_features import unobserved
from sb3_reinforce.policies.action_tensors import action_tensor

BATCH_SIZE = 64
_ARGUMENTS: Table = {
    "n_epochs": [Interval(1, integer=True)],
    "learning_rate": [Interval(0.0, open_low=True)],
    "progress_bar": [BOOLEAN],
}


class FitHistory(NamedTuple):
    """
    How well a policy fits its examples, after each epoch.

    :param loss: Mean over the examples of minus the log-probability (for Box actions, log-density) of the
        action: the cross-entropy.
    :param accuracy: Share of the examples, from 0 to 1, whose action is the policy's most probable one.
        Empty for Box actions, of which none is simply right.
    """

    loss: list[float]
    accuracy: list[float]


class Examples(NamedTuple):
    """
    :param observations: Shape ``(n, *observation_shape)``, or a dict of such.
    :param actions: Shape ``(n,)`` for Discrete actions, else ``(n, action_dim)``.
    :param action_masks: Which choices are allowed; None for all. Booleans. Shape ``(n, mask_size)``.
    """

    observations: Observations
    actions: th.Tensor
    action_masks: th.Tensor | None = None

    def batches(self, order: np.ndarray, device: th.device) -> Iterator[tuple[PyTorchObs, th.Tensor, th.Tensor | None]]:
        """
        :param order: The numbers of the examples. Shape ``(n,)``.
        :param device: Where to put the tensors.
        :return: The examples in that order, a minibatch at a time.
        """
        for rows in np.array_split(order, -(-len(order) // BATCH_SIZE)):
            masks = None if self.action_masks is None else self.action_masks[rows].to(device)
            yield obs_as_tensor(take_rows(self.observations, rows), device), self.actions[rows].to(device), masks


def fit_policy(
    policy: ActorCriticPolicy,
    observations: Any,
    actions: Any,
    n_epochs: int = 50,
    learning_rate: float = 0.01,
    progress_bar: bool = False,
    action_masks: Any = None,
) -> FitHistory:
    """
    What :meth:`~sb3_reinforce.policies.policies.FittablePolicy.fit` does, for any actor-critic policy; the other
    parameters, what is returned and what is raised are there.

    :param policy: Any actor-critic policy.
    """
    arguments = {"n_epochs": n_epochs, "learning_rate": learning_rate, "progress_bar": progress_bar}
    check_arguments(_ARGUMENTS, arguments, "fit")
    examples = check_examples(policy, observations, actions, action_masks)
    _evaluate(policy, examples)  # an error that is not the fit's own comes out here
    _check_that_it_can_learn(policy, examples)
    bar = _progress_bar(n_epochs) if progress_bar else None
    optimizer = th.optim.Adam([parameter for parameter in policy.parameters() if parameter.requires_grad], lr=learning_rate)
    history = FitHistory([], [])
    before = copy.deepcopy(policy.state_dict())
    try:
        for epoch in range(n_epochs):
            with unobserved(policy) if epoch > 0 else nullcontext():  # statistics count each example once
                _train(policy, optimizer, examples)
            loss, accuracy = _evaluate(policy, examples)
            if not np.isfinite(loss):
                raise ValueError(f"The loss is {loss}.")
            history.loss.append(loss)
            if not isinstance(policy.action_space, spaces.Box):
                history.accuracy.append(accuracy)
            if bar is not None:
                bar.set_postfix({name: values[-1] for name, values in history._asdict().items() if values}, refresh=False)
                bar.update()
    except Exception as error:
        policy.load_state_dict(before)
        if not isinstance(error, ValueError):  # of torch's distributions, whose parameters are not finite
            raise
        raise FloatingPointError(
            f"The fit went out of bounds in epoch {len(history.loss) + 1}. The parameters are as they were before. Lower "
            "learning_rate, or scale the observations."
        ) from error
    finally:
        optimizer.zero_grad()
        if bar is not None:
            bar.close()
    return history


def _progress_bar(n_epochs: int) -> Any:
    with needs("extra", "The progress bar"):
        from tqdm.auto import tqdm
    return tqdm(total=n_epochs, desc="fit", unit="epoch")


def _check_that_it_can_learn(policy: ActorCriticPolicy, examples: Examples) -> None:
    obs, actions, masks = next(examples.batches(np.arange(1), policy.device))
    if not masked(policy.get_distribution(obs), masks, policy.action_space).log_prob(actions).requires_grad:
        raise ValueError(
            "There is nothing to fit: none of the parameters that the actions depend on is learned, as all have "
            "requires_grad=False. Set it to True for those that are to be fitted."
        )


def _train(policy: ActorCriticPolicy, optimizer: th.optim.Optimizer, examples: Examples) -> None:
    """One epoch."""
    policy.set_training_mode(True)
    order = th.randperm(len(examples.actions)).numpy()
    for obs, actions, masks in examples.batches(order, policy.device):
        loss = -masked(policy.get_distribution(obs), masks, policy.action_space).log_prob(actions).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@th.no_grad()
def _evaluate(policy: ActorCriticPolicy, examples: Examples) -> tuple[float, float]:
    """Loss and accuracy."""
    policy.set_training_mode(False)
    n, loss, n_right = len(examples.actions), 0.0, 0
    for obs, actions, masks in examples.batches(np.arange(n), policy.device):
        distribution = masked(policy.get_distribution(obs), masks, policy.action_space)
        loss -= distribution.log_prob(actions).sum().item()
        n_right += int((distribution.mode() == actions).reshape(len(actions), -1).all(dim=1).sum())
    return loss / n, n_right / n


def check_examples(policy: ActorCriticPolicy, observations: Any, actions: Any, action_masks: Any = None) -> Examples:
    """
    :param policy: To whose spaces they must belong.
    :param observations: Shape ``(n, *observation_shape)``, or a dict of such.
    :param actions: Shape ``(n, *action_shape)``.
    :param action_masks: Which choices are allowed; None for all. Shape ``(n, mask_size)``.
    :return: The examples.
    :raises ValueError: If they don't belong there, their numbers differ, there are none, or an action is not allowed.
    """
    space = policy.observation_space
    checked: Observations
    if isinstance(space, spaces.Dict):
        if not isinstance(observations, dict) or set(observations) != set(space.spaces):
            got = sorted(observations) if isinstance(observations, dict) else type(observations).__name__
            raise ValueError(f"observations must be a dict of arrays with the keys {sorted(space.spaces)}, but got {got}.")
        checked = {key: _check_values(f"observations[{key!r}]", observations[key], part) for key, part in space.items()}
    else:
        checked = _check_values("observations", observations, space)
    labels = _check_values("actions", actions, policy.action_space)
    for values in named_parts(checked).values():
        if len(values) != len(labels):
            raise ValueError(f"There must be an action for each observation, but got {len(values)} and {len(labels)}.")
    if isinstance(policy.action_space, spaces.Box):
        _check_bounds(labels, policy.action_space)
    parameter = next(policy.parameters())
    masks = None if action_masks is None else as_masks(action_masks, len(labels), policy.action_space)
    if masks is not None:
        _check_allowed(labels, masks, policy.action_space)
    allowed = None if masks is None else th.as_tensor(masks)
    return Examples(checked, action_tensor(labels, policy.action_space, parameter.cpu()), allowed)


def _check_allowed(actions: np.ndarray, masks: np.ndarray, space: spaces.Space) -> None:
    is_allowed = np.take_along_axis(masks, entries_of(actions, space), axis=1).all(axis=1)
    if not is_allowed.all():
        raise ValueError(f"action_masks must allow the actions, but that of example {is_allowed.argmin()} is not allowed.")


def _check_values(name: str, values: Any, space: spaces.Space) -> np.ndarray:
    values = np.asarray(values)
    if values.size == 0:
        raise ValueError(f"{name} must hold at least one example, but there is none.")
    if values.ndim == 4:
        values = maybe_transpose(values, space)
    if values.shape[1:] != space.shape or values.ndim == 0 or values.dtype.kind not in "biuf":
        shape = ", ".join(str(size) for size in ("n", *space.shape))  # type: ignore[misc]
        raise ValueError(
            f"{name} must be numbers of shape ({shape}) for {space}, n the number of examples, but got {values.dtype} of "
            f"shape {values.shape}."
        )
    if not np.isfinite(values).all():
        raise ValueError(f"{name} must be finite, but those of example {np.argwhere(~np.isfinite(values))[0][0]} are not.")
    n_choices = _n_choices(space)
    if n_choices is not None:
        bad = (values < 0) | (values >= n_choices) | (values % 1 != 0)
        if bad.any():
            raise ValueError(f"{name} must be integers of {space}, but those of example {np.argwhere(bad)[0][0]} are not.")
    return values


def _n_choices(space: spaces.Space) -> Any:
    """How many values a number of the space may have; None for any."""
    if isinstance(space, spaces.Discrete):
        return space.n
    if isinstance(space, spaces.MultiDiscrete):
        return space.nvec
    return 2 if isinstance(space, spaces.MultiBinary) else None


def _check_bounds(actions: np.ndarray, space: spaces.Box) -> None:
    actions = actions.astype(space.dtype)
    outside = (actions < space.low) | (actions > space.high)
    if outside.any():
        raise ValueError(f"actions must lie within {space}, but those of example {np.argwhere(outside)[0][0]} do not.")
