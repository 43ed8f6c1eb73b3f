"""Comparisons so small that they take seconds."""

from typing import Any

from sb3_reinforce.compare.plan import Plan, make_plan

HYPERPARAMS: dict[str, Any] = {
    "reinforce": {"default": {"policy": "LinearSoftmaxPolicy", "n_episodes": 4}},
    "random_weight_search": {"default": {"policy": "LinearSoftmaxPolicy"}},
    "a2c": {"default": {"policy": "MlpPolicy", "n_envs": 3, "policy_kwargs": "dict(net_arch=[8])"}},
}


def plan(
    algos: tuple[str, ...] = ("reinforce",),
    envs: tuple[str, ...] = ("CartPole-v1",),
    seeds: int | list[int] = 1,
    timesteps: int | None = 200,
    eval_freq: int | None = 100,
    hyperparams: Any = HYPERPARAMS,
    n_eval_episodes: int = 2,
    max_episode_steps: int | None = None,
) -> Plan:
    """A plan of tiny runs."""
    return make_plan(algos, envs, seeds, timesteps, eval_freq, n_eval_episodes, max_episode_steps, hyperparams, "cpu")
