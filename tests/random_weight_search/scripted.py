"""Environments whose only action is the candidate's only weight, so that whoever holds the log knows who played what."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from sb3_reinforce import RandomWeightSearch

Rule = Callable[[float, int], tuple[float, int]]
"""From the weight and how often it has been met before to an episode's return and length."""


class ScriptedEnv(gym.Env[np.ndarray, np.ndarray]):
    """
    The observation is always 1, so the action is the candidate's only weight. The rule says what an episode is like.

    :param rule: Says it from the action.
    :param plays: How often each action has been met, where several environments count together.
    """

    observation_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
    action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)

    def __init__(self, rule: Rule, plays: Counter[float] | None = None) -> None:
        self.rule = rule
        self.plays: Counter[float] = Counter() if plays is None else plays
        self.n_steps = 0
        self.n_resets = 0
        self.time = 0
        # (action, return) of each episode, finished or (return None) not
        self.episodes: list[tuple[float, float | None]] = []
        self.render_mode = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.n_resets += 1
        self.time = 0
        return np.ones(1, np.float32), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        assert action.shape == (1,)
        weight = float(action[0])
        if self.time == 0:
            self.script = self.rule(weight, self.plays[weight])
            self.plays[weight] += 1
            self.episodes.append((weight, None))
        assert self.episodes[-1][0] == weight, "another candidate took over in the middle of an episode"
        self.n_steps += 1
        self.time += 1
        episode_return, length = self.script
        done = self.time == length
        if done:
            self.episodes[-1] = (weight, episode_return)
        return np.ones(1, np.float32), episode_return if done else 0.0, done, False, {}


def scripted(*rules: Rule, monitored: bool = True) -> tuple[DummyVecEnv, list[ScriptedEnv]]:
    """One environment for each rule; how often an action has been met is counted over all of them."""
    plays: Counter[float] = Counter()
    envs = [ScriptedEnv(rule, plays) for rule in rules]
    return DummyVecEnv([lambda env=env: Monitor(env) if monitored else env for env in envs]), envs  # type: ignore[misc]


def search(env: VecEnv | gym.Env, **arguments: Any) -> RandomWeightSearch:
    """A search for a single weight."""
    return RandomWeightSearch("MlpPolicy", env, policy_kwargs={"net_arch": []}, **{"seed": 0, **arguments})


def weight_of(model: RandomWeightSearch) -> float:
    """The best candidate's only weight."""
    (weights,) = model.best_weights
    return float(weights[0, 0])


def tried(env: ScriptedEnv) -> list[float]:
    """The candidates that an environment has played, in the order of their first episodes."""
    return list(dict.fromkeys(weight for weight, _ in env.episodes))


class StopAfter(BaseCallback):
    """Ends training at a step."""

    def __init__(self, n_calls: int) -> None:
        super().__init__()
        self.stop_at = n_calls

    def _on_step(self) -> bool:
        return self.n_calls < self.stop_at
