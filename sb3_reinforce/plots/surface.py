"""What a policy does, over two of the things that it observes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.distributions import CategoricalDistribution
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.vec_env import VecNormalize

from sb3_reinforce.common.constraints import Interval, Table, checked

if TYPE_CHECKING:
    from matplotlib.axes import Axes

UNBOUNDED = 1e6
"""A bound beyond it is none: CartPole's velocities have the largest float."""
DEFAULT_RANGE = (-3.0, 3.0)
BATCH = 4096
Range = tuple[float, float]
ARGUMENTS: Table = {
    "x": [Interval(0, integer=True)],
    "y": [Interval(0, integer=True)],
    "n_points": [Interval(2, 1000, integer=True)],
    "component": [Interval(0, integer=True)],
}


@checked(ARGUMENTS, "plot_decision_surface")
def plot_decision_surface(
    model: BaseAlgorithm,
    x: int = 0,
    y: int = 1,
    *,
    x_range: Range | None = None,
    y_range: Range | None = None,
    others: Sequence[float] | None = None,
    component: int = 0,
    labels: tuple[str, str] | None = None,
    n_points: int = 100,
    ax: "Axes | None" = None,
) -> "Axes":
    """
    Draw what a policy does over two of the numbers that it observes; all others are held.

    With two discrete actions it is the probability of action 1, and a line where both are as probable; with more, the most
    probable action, the paler the less it is so; with continuous actions, one component of the mean. For an algorithm whose
    policy has no probabilities, as DQN's, it is the action that it takes.

    :param model: Any SB3 algorithm whose observations are a vector. Where it learns from a ``VecNormalize``, the observations
        here are those before it.
    :param x: Which number of the observation is drawn to the right.
    :param y: Which one is drawn upward.
    :param x_range: From where to where. Default: the bounds of the space, or -3 to 3 where there are none.
    :param y_range: The same, upward.
    :param others: The observation in which ``x`` and ``y`` are replaced. Shape ``(n_dims,)``. Default: zeros, or the bound
        next to it.
    :param component: Of an action of several numbers, the one to draw.
    :param labels: What the two are called.
    :param n_points: How many points each way.
    :param ax: Where to draw. Default: a new figure's.
    :return: The axes; their figure is ``ax.figure``, not shown and not saved yet.
    :raises ValueError: If the observations are no vector, or have no number ``x`` or ``y``; or if an argument is not what it
        may be.
    """
    space = _vector_space(model, x, y)
    ranges = (x_range or _range_of(space, x), y_range or _range_of(space, y))
    xs, ys = (np.linspace(*ends, n_points) for ends in ranges)
    values, certainty = decisions(model, grid(space, (x, y), (xs, ys), others), component)
    if ax is None:
        from matplotlib.figure import Figure

        ax = Figure(figsize=(5.2, 4.2), layout="constrained", dpi=100).subplots()
    _draw(ax, model.action_space, xs, ys, values.reshape(n_points, n_points), certainty.reshape(n_points, n_points), component)
    x_label, y_label = labels or (f"observation {x}", f"observation {y}")
    ax.set_xlabel(x_label)
    ax.set_ylabel(y_label)
    return ax


def grid(
    space: spaces.Box, axes: tuple[int, int], points: tuple[np.ndarray, np.ndarray], others: Sequence[float] | None
) -> np.ndarray:
    """
    :param space: Of the observations.
    :param axes: Which two of their numbers differ.
    :param points: Their values. Shapes ``(n_x,)`` and ``(n_y,)``.
    :param others: An observation. Shape ``(n_dims,)``. Default: zeros, or the bound next to it.
    :return: All observations, row by row. Shape ``(n_y * n_x, n_dims)``.
    :raises ValueError: If ``others`` is no observation.
    """
    held = np.clip(np.zeros(space.shape), space.low, space.high) if others is None else np.asarray(others, dtype=float)
    if held.shape != space.shape:
        raise ValueError(f"others must have the shape of an observation, {space.shape}, but got {held.shape}.")
    observations = np.tile(held, (len(points[0]) * len(points[1]), 1))
    observations[:, axes[0]] = np.tile(points[0], len(points[1]))
    observations[:, axes[1]] = np.repeat(points[1], len(points[0]))
    return observations.astype(space.dtype)


def decisions(model: BaseAlgorithm, observations: np.ndarray, component: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """
    :param model: Any SB3 algorithm whose observations are a vector.
    :param observations: Before a ``VecNormalize``. Shape ``(n, n_dims)``.
    :param component: Of an action of several numbers, the one to return.
    :return: What the policy does, and how probable that is. With two actions of known probability, it is the probability of
        the second. Shapes ``(n,)``.
    """
    normalize = _normalization(model)
    parts = [
        _decide(model, normalize(observations[start : start + BATCH]), component)
        for start in range(0, len(observations), BATCH)
    ]
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def _decide(model: BaseAlgorithm, observations: np.ndarray, component: int) -> tuple[np.ndarray, np.ndarray]:
    policy = model.policy
    actions, _ = model.predict(observations, deterministic=True)  # which leaves the policy in evaluation mode
    if isinstance(policy, ActorCriticPolicy) and isinstance(policy.action_dist, CategoricalDistribution):
        with th.no_grad():
            distribution: Any = policy.get_distribution(policy.obs_to_tensor(observations)[0]).distribution
        probabilities: np.ndarray = distribution.probs.cpu().numpy()
        if probabilities.shape[1] == 2:
            return probabilities[:, 1], np.ones(len(actions))
        return probabilities.argmax(axis=1), probabilities.max(axis=1)
    of_each = np.asarray(actions, dtype=float).reshape(len(observations), -1)
    if component >= of_each.shape[1]:
        raise ValueError(f"component must be below {of_each.shape[1]}, the numbers of an action, but got {component}.")
    return of_each[:, component], np.ones(len(of_each))


def _normalization(model: BaseAlgorithm) -> Any:
    env = model.get_vec_normalize_env()
    return env.normalize_obs if isinstance(env, VecNormalize) else lambda observations: observations


def _vector_space(model: BaseAlgorithm, x: int, y: int) -> spaces.Box:
    space = model.observation_space
    if not isinstance(space, spaces.Box) or len(space.shape) != 1:
        raise ValueError(f"A decision surface is drawn over two numbers of a vector, but the observations are {space}.")
    if x == y or max(x, y) >= space.shape[0]:
        raise ValueError(
            f"x and y must be two different numbers of the observation, from 0 to {space.shape[0] - 1}, but got {x} and {y}."
        )
    return space


def _range_of(space: spaces.Box, index: int) -> Range:
    low, high = float(space.low[index]), float(space.high[index])
    return (low, high) if max(abs(low), abs(high)) < UNBOUNDED else DEFAULT_RANGE


def _draw(
    ax: "Axes",
    action_space: spaces.Space,
    xs: np.ndarray,
    ys: np.ndarray,
    values: np.ndarray,
    certainty: np.ndarray,
    component: int,
) -> None:
    extent = (xs[0], xs[-1], ys[0], ys[-1])
    style: dict[str, Any] = {"extent": extent, "origin": "lower", "aspect": "auto"}
    figure = ax.get_figure(root=True)
    assert figure is not None
    if not isinstance(action_space, spaces.Discrete):
        figure.colorbar(ax.imshow(values, cmap="viridis", **style), ax=ax, label=f"Action, component {component}")
    elif action_space.n == 2:
        image = ax.imshow(values, cmap="RdBu_r", vmin=0, vmax=1, **style)
        figure.colorbar(image, ax=ax, label=f"Probability of action {action_space.start + 1}")
        if values.min() < 0.5 < values.max():
            ax.contour(xs, ys, values, levels=[0.5], colors="black", linewidths=1)
    else:
        _draw_actions(ax, int(action_space.n), int(action_space.start), values.astype(int), certainty, style)


def _draw_actions(
    ax: "Axes", n_actions: int, start: int, values: np.ndarray, certainty: np.ndarray, style: dict[str, Any]
) -> None:
    """A colour for each action, paler where the policy is less certain of it."""
    from matplotlib import colormaps
    from matplotlib.patches import Patch

    colors = colormaps["tab10" if n_actions <= 10 else "tab20"](np.arange(n_actions) % 20)[:, :3]
    strength = ((certainty - 1 / n_actions) / (1 - 1 / n_actions)).clip(0.15, 1)[..., None]
    ax.imshow(1 - strength * (1 - colors[values]), **style)
    handles = [Patch(color=color, label=f"action {start + i}") for i, color in enumerate(colors)]
    ax.legend(handles=handles, loc="lower left", bbox_to_anchor=(0, 1), ncols=4, frameon=False, fontsize="small")
