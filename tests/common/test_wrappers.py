from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.wrappers import TimeLimit
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor

from sb3_reinforce import REINFORCE, SuccessRewardWrapper


class Countdown(gym.Env[np.ndarray, int]):
    """Rewards every step with 5; terminated by action 0, and after ``steps`` steps."""

    def __init__(self, steps: int = 1000) -> None:
        self.observation_space, self.action_space = spaces.Box(-1, 1, (1,)), spaces.Discrete(2)  # type: ignore[assignment]
        self.steps = steps

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.time = 0
        return np.zeros(1, np.float32), {"start": True}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.time += 1
        return np.zeros(1, np.float32), 5.0, action == 0 or self.time >= self.steps, False, {"time": self.time}


def play(env: gym.Env, actions: list[int]) -> tuple[list[float], list[dict[str, Any]], bool]:
    env.reset(seed=0)
    rewards, infos, ended = [], [], False
    for action in actions:
        assert not ended
        _, reward, terminated, truncated, info = env.step(action)
        rewards.append(float(reward))
        infos.append(info)
        ended = terminated or truncated
    return rewards, infos, ended


def test_an_episode_that_lasts_is_rewarded_at_its_end() -> None:
    env = SuccessRewardWrapper(TimeLimit(Countdown(), 4))
    rewards, infos, ended = play(env, [1, 1, 1, 1])
    assert ended
    assert rewards == [0, 0, 0, 1]
    infos[-1].pop("TimeLimit.truncated", None)  # rl_zoo3 adds it to TimeLimit, once it was imported
    assert infos == [{"time": 1}, {"time": 2}, {"time": 3}, {"time": 4, "is_success": True}]


@pytest.mark.parametrize("actions", [[0], [1, 1, 0], [1, 1, 1, 0]])
def test_an_episode_that_is_terminated_is_not_not_even_in_its_last_step(actions: list[int]) -> None:
    rewards, infos, ended = play(SuccessRewardWrapper(TimeLimit(Countdown(), 4)), actions)
    assert ended
    assert rewards == [0.0] * len(actions)
    assert [info.get("is_success") for info in infos] == [None] * (len(actions) - 1) + [False]


def test_nor_is_one_that_ends_by_itself() -> None:
    rewards, _, ended = play(SuccessRewardWrapper(TimeLimit(Countdown(steps=3), 4)), [1, 1, 1])
    assert ended
    assert rewards == [0, 0, 0]


def test_an_environment_without_a_time_limit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"lasts? to the time limit, but <Countdown instance> has none. Give it one"):
        SuccessRewardWrapper(Countdown())
    with pytest.raises(ValueError, match="inside this wrapper"):
        TimeLimit(SuccessRewardWrapper(Monitor(Countdown())), 4)


def test_gymnasium_can_make_it_again_from_its_spec() -> None:
    env = SuccessRewardWrapper(gym.make("CartPole-v1", max_episode_steps=7))
    again = gym.make(env.spec)
    assert isinstance(again, SuccessRewardWrapper)
    assert again.spec is not None
    assert again.spec.max_episode_steps == 7


def test_monitor_inside_reports_what_the_environment_paid_and_outside_what_the_wrapper_does() -> None:
    inside = SuccessRewardWrapper(Monitor(TimeLimit(Countdown(), 4)))
    outside = Monitor(SuccessRewardWrapper(TimeLimit(Countdown(), 4)))
    assert play(inside, [1, 1, 1, 1])[1][-1]["episode"]["r"] == 20
    assert play(outside, [1, 1, 1, 1])[1][-1]["episode"]["r"] == 1


def test_reinforce_learns_cartpole_from_success_alone() -> None:
    def make(n_envs: int, seed: int) -> Any:
        kwargs = {"max_episode_steps": 50}
        return make_vec_env("CartPole-v1", n_envs, seed, env_kwargs=kwargs, wrapper_class=SuccessRewardWrapper)

    model = REINFORCE("LinearSoftmaxPolicy", make(8, seed=0), n_episodes=32, seed=0)
    _, lengths = evaluate_policy(model, make(10, seed=1), 50, deterministic=False, return_episode_rewards=True)
    assert np.mean(lengths) < 30
    model.learn(40_000)
    assert np.mean(model.ep_success_buffer) > 0.9  # what SB3 logs as rollout/success_rate
    mean, _ = evaluate_policy(model, make(10, seed=1), 50)
    assert mean > 48  # Monitor is inside: it counts steps
