"""
Configurations at random: arguments, spaces and environments, good ones and bad ones, and what comes of them.

``python -m tests.fuzzing 10000`` tries so many, and prints what is not as it should be.
"""

import contextlib
import io
import sys
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium as gym
import numpy as np
import torch as th
from gymnasium import spaces
from gymnasium.vector import SyncVectorEnv
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor, VecNormalize
from torch import nn

from sb3_reinforce import REINFORCE, EpsilonSchedule, FourierBasis, GymnasiumVecEnv, RandomWeightSearch
from sb3_reinforce.vec_env import PythonVecEnv

BOX = spaces.Box(-1.0, 1.0, (3,))
OBSERVATIONS: list[spaces.Space] = [
    *[BOX] * 20,
    *[spaces.Discrete(4)] * 5,
    *[spaces.Dict(a=BOX, b=spaces.Discrete(3))] * 4,
    spaces.Box(-np.inf, np.inf, (2,), np.float64),
    spaces.Box(0, 255, (2, 3), np.uint8),
    spaces.Box(-5, 5, (2,), np.int64),
    spaces.Box(-1.0, 1.0, ()),
    spaces.Box(-1.0, 1.0, (0,)),
    spaces.Box(0, 255, (3, 36, 36), np.uint8),
    spaces.Discrete(4),
    spaces.Discrete(1),
    spaces.Discrete(3, start=1),
    spaces.MultiDiscrete([2, 3]),
    spaces.MultiBinary(3),
    spaces.Dict(a=BOX, b=spaces.Discrete(3)),
    spaces.Dict({}),
    spaces.Tuple([BOX]),
    spaces.Text(3),
]
ACTIONS: list[spaces.Space] = [
    *[spaces.Discrete(2)] * 14,
    spaces.Discrete(1),
    spaces.Discrete(5),
    spaces.Discrete(2, start=-1),
    spaces.MultiDiscrete([2, 3]),
    spaces.MultiDiscrete(np.array([[2, 3]])),
    spaces.MultiBinary(2),
    *[spaces.Box(-1.0, 1.0, (2,))] * 10,
    spaces.Box(0.0, 1e-3, (1, 2), np.float64),
    spaces.Box(1.0, 1.0, (1,)),
    spaces.Box(-3, 3, (2,), np.int64),
    spaces.Box(0, 255, (1,), np.uint8),
    spaces.Box(-np.inf, np.inf, (1,)),
    spaces.Box(-1.0, 1.0, (0,)),
    spaces.Dict(a=spaces.Discrete(2)),
]
REWARDS: list[Any] = [1.0, 0.0, -1, True, np.float32(0.5), 1e20, 1e38]
BAD_REWARDS: list[Any] = [None, np.nan, -np.inf, 1j, np.complex64(1j), "one", [1.0, 2.0], np.zeros(2), {}, 10**400]
BAD_OBSERVATIONS: list[Any] = [
    None,
    "text",
    -1,
    99,
    0.5,
    np.nan,
    {},
    {"a": 1},
    np.zeros(7),
    np.full(3, np.nan),
    np.ones(3) * 1j,
]
FAULTS = ("reward", "observation", "raises", "raises in reset", "never ends")

GOOD: dict[str, list[Any]] = {
    "learning_rate": [0.0, 0.1, 1e3, 1e30, np.float32(0.1), lambda left: 0.1 * left],
    "n_episodes": [1, 2, 5, np.int64(3)],
    "gamma": [0.0, 0.5, 1, 1.0],
    "baseline": [
        "none",
        "mean",
        "leave_one_out",
        "time",
        "optimal",
        "linear",
        "value",
        lambda obs, timesteps: np.zeros(len(timesteps)),
    ],
    "reward_to_go": [True, False],
    "normalize_advantage": [True, False],
    "epsilon": [0.0, 0.3, 1.0, EpsilonSchedule(), lambda left: left],
    "ent_coef": [0.0, 0.1, -1.0],
    "vf_coef": [0.0, 0.5],
    "n_value_updates": [0, 2],
    "max_grad_norm": [None, 0.5, np.inf],
    "natural_gradient": [True, False],
    "target_kl": [0.01, np.inf],
    "damping": [None, 0.0, 1e-3],
    "line_search": [True, False],
    "bootstrap_truncated": [True, False],
    "discount_weighting": [True, False],
    "log_gradient_snr": [True, False],
    "stats_window_size": [1, 100],
    "seed": [0, np.int64(3), 2**32 - 1, None],
    "device": ["cpu", "auto"],
}
BAD: dict[str, list[Any]] = {
    "learning_rate": [-1.0, np.nan, np.inf, "0.1", [0.1], lambda left: -left, lambda left: np.nan, lambda left: None],
    "n_episodes": [0, -1, 1.5, "8"],
    "gamma": [-0.1, 1.1, np.nan, "1"],
    "baseline": ["foo", 3, None, lambda obs, timesteps: np.zeros(1), lambda obs, timesteps: np.full(len(timesteps), np.nan)],
    "reward_to_go": [1, "yes", None],
    "normalize_advantage": [2, None],
    "epsilon": [-0.1, 1.5, np.nan, "0", lambda left: 2.0, lambda left: None],
    "ent_coef": [np.nan, "0", None],
    "vf_coef": [-1.0, np.inf],
    "n_value_updates": [-1, 1.5],
    "max_grad_norm": [0.0, -1.0, np.nan],
    "natural_gradient": ["yes"],
    "target_kl": [0.0, np.nan],
    "damping": [-1.0, np.inf],
    "line_search": ["yes"],
    "bootstrap_truncated": [3],
    "stats_window_size": [0, 1.5],
    "seed": [-1, 1.5, "1", 2**32],
    "device": ["foo", 3],
    "verbose": ["a"],
    "tensorboard_log": [3],
    "policy_kwargs": [3, {"foo": 1}, {"net_arch": "64"}, {"optimizer_class": 3}],
    "max_episode_steps": [0, "a"],
}
GOOD_OF_SEARCH = {
    "n_eval_episodes": [1, 2],
    "weight_scale": [0.1, 10.0],
    "reward_threshold": [None, 2.0],
    "n_confirmation_episodes": [2],
}
BAD_OF_SEARCH = {"n_eval_episodes": [1.5, 0], "weight_scale": [0.0, np.nan, np.inf], "reward_threshold": [np.nan, "a"]}
POLICIES: list[Any] = [
    *["LinearPolicy"] * 12,
    *["MlpPolicy"] * 5,
    "LinearSoftmaxPolicy",
    "LinearGaussianPolicy",
    "CnnPolicy",
    "MultiInputPolicy",
]
BAD_POLICIES: list[Any] = ["foo", 3, None, nn.Linear]
POLICY_KWARGS: list[dict[str, Any]] = [
    {"net_arch": [4]},
    {"net_arch": [4], "activation_fn": nn.ReLU},
    {"activation_fn": nn.ELU},
    {"optimizer_class": th.optim.SGD},
    {"log_std_init": -2.0},
    {"phi": lambda states, action: np.ones((len(states), 2)) * action},
    {"features_extractor_class": FourierBasis},
    {"ortho_init": False},
]
LEARN: dict[str, list[Any]] = {
    "log_interval": [1, 2, None],
    "reset_num_timesteps": [True, False],
    "callback": [None, [], lambda *_: True],
}
BAD_LEARN: dict[str, list[Any]] = {
    "log_interval": [0, "a"],
    "total_timesteps": [-1, "a", np.nan],
    "callback": [3, [None]],
    "tb_log_name": [3],
}


class OwnError(Exception):
    """The environment's own."""


class Environment(gym.Env[Any, Any]):
    """
    Short episodes, and perhaps a fault.

    :param observation_space: Its observations.
    :param action_space: Its actions. It looks at what it gets.
    :param reward: Of each step.
    :param length: Timesteps of an episode.
    :param fault: What goes wrong; None for nothing.
    :param at: At which step.
    :param bad: What it gives then.
    """

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        reward: Any,
        length: int,
        fault: str | None,
        at: int,
        bad: Any,
    ) -> None:
        self.observation_space, self.action_space, self.reward, self.length = observation_space, action_space, reward, length
        self.fault, self.at, self.bad, self.n_steps = fault, at, bad, 0
        self.wrong_actions: list[Any] = []

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.t = 0
        if self.fault == "raises in reset" and self.n_steps >= self.at:
            raise OwnError
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        self.t, self.n_steps = self.t + 1, self.n_steps + 1
        given = np.asarray(action)
        if not self.action_space.contains(
            given.astype(np.int8) if isinstance(self.action_space, spaces.MultiBinary) else _plain(given)
        ):
            self.wrong_actions.append(action)
        is_fault = self.n_steps >= self.at
        if is_fault and self.fault == "raises":
            raise OwnError
        obs = self.bad if is_fault and self.fault == "observation" else self.observation_space.sample()
        reward = self.bad if is_fault and self.fault == "reward" else self.reward
        is_over = self.t >= self.length and not (is_fault and self.fault == "never ends")
        return obs, reward, is_over and self.length % 2 == 0, is_over, {}


def _plain(value: np.ndarray) -> Any:
    return value.item() if value.ndim == 0 and value.dtype.kind in "iu" else value


class Configuration:
    """
    One of them.

    :param seed: Which.
    """

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.algorithm: Any = REINFORCE if self.rng.random() < 0.8 else RandomWeightSearch
        of_search = self.algorithm is RandomWeightSearch
        self.arguments = {
            "max_episode_steps": 40,
            "seed": seed % 1000,
            **({} if of_search else {"n_episodes": 2, "n_value_updates": 2}),
        }
        good, bad = (GOOD_OF_SEARCH, BAD_OF_SEARCH) if of_search else (GOOD, BAD)
        self._draw_into(self.arguments, good, 0.25)
        self._draw_into(self.arguments, bad, 0.005)
        if self._chance(0.3):
            self.arguments.setdefault("policy_kwargs", self._one(POLICY_KWARGS))
        self.learn: dict[str, Any] = {"total_timesteps": int(self.rng.integers(1, 40))}
        self._draw_into(self.learn, LEARN, 0.3)
        self._draw_into(self.learn, BAD_LEARN, 0.01)
        self.policy = self._one(POLICIES if self._chance(0.97) else BAD_POLICIES)
        self.environment = self._environment()
        self.vec_env = str(
            self._one(["none", "none", "none", "DummyVecEnv", "PythonVecEnv", "GymnasiumVecEnv", "VecMonitor", "VecNormalize"])
        )
        self.n_envs = int(self.rng.integers(1, 4))
        self.made: list[Environment] = []

    def _chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def _one(self, options: list[Any]) -> Any:
        return options[int(self.rng.integers(len(options)))]

    def _draw_into(self, arguments: dict[str, Any], options: Mapping[str, list[Any]], probability: float) -> None:
        for name, values in options.items():
            if self._chance(probability):
                arguments[name] = self._one(values)

    def _environment(self) -> dict[str, Any]:
        fault = str(self._one(list(FAULTS))) if self._chance(0.25) else None
        bad = self._one(BAD_REWARDS if fault == "reward" else BAD_OBSERVATIONS)
        return {
            "observation_space": self._one(OBSERVATIONS),
            "action_space": self._one(ACTIONS),
            "reward": self._one(REWARDS),
            "length": int(self.rng.integers(1, 6)),
            "fault": fault,
            "at": int(self.rng.integers(1, 30)),
            "bad": bad,
        }

    def __str__(self) -> str:
        call = f"{self.algorithm.__name__}({self.policy!r}, {self.arguments}).learn({self.learn})"
        return f"{call} on {self.n_envs} of {self.environment} in {self.vec_env}"

    def _make(self) -> Environment:
        self.made.append(Environment(**self.environment))
        return self.made[-1]

    def _make_env(self) -> Any:
        makers: list[Callable[[], gym.Env[Any, Any]]] = [self._make] * self.n_envs
        if self.vec_env == "none":
            return self._make()
        if self.vec_env == "GymnasiumVecEnv":
            return GymnasiumVecEnv(SyncVectorEnv(makers))
        if self.vec_env == "PythonVecEnv":
            return PythonVecEnv(makers)
        env = DummyVecEnv(makers)
        return {"DummyVecEnv": lambda env: env, "VecMonitor": VecMonitor, "VecNormalize": VecNormalize}[self.vec_env](env)

    def outcome(self) -> str:
        """
        :return: "trained", "refused" with the first words of our own error, "environment" for the environment's own error;
            "WRONG" with what it is for anything else.
        """
        try:
            with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
                warnings.simplefilter("ignore")
                env = self._make_env()
                model = self.algorithm(self.policy, env, **self.arguments)
                model.learn(**self.learn)
                return self._judge(model)
        except OwnError:
            return "environment"
        except Exception as error:
            return _judge_error(error)

    def _judge(self, model: Any) -> str:
        if not all(th.isfinite(parameter).all() for parameter in model.policy.parameters()):
            return "WRONG: weights that are not finite"
        wrong = [action for env in self.made for action in env.wrong_actions]
        if wrong:
            return f"WRONG: an action that the environment does not take: {wrong[0]!r}"
        if model.num_timesteps < self.learn["total_timesteps"] and not (getattr(model, "solved", False)):
            return f"WRONG: only {model.num_timesteps} timesteps"
        if not isinstance(model.policy, ActorCriticPolicy):
            return "WRONG: no policy"
        return "trained"


def _judge_error(error: Exception) -> str:
    """Ours are raised in our own code, and say something."""
    frames = traceback.extract_tb(error.__traceback__)
    if (
        "sb3_reinforce" in frames[-1].filename
        and isinstance(error, (ValueError, RuntimeError, FloatingPointError))
        and len(str(error)) > 40
    ):
        return f"refused: {type(error).__name__}: {' '.join(str(error).split()[:4])}"
    if "You must use `MultiInputPolicy`" in str(error):
        return "refused by SB3"
    if isinstance(error, (ValueError, TypeError)) and "stable_baselines3/common/vec_env" in frames[-1].filename:
        return f"refused by SB3's VecEnv: {error}"[:90]
    where = " < ".join(f"{frame.filename.split('/')[-1]}:{frame.lineno}" for frame in reversed(frames[-3:]))
    return f"WRONG: {type(error).__name__}: {str(error)[:150]} ({where})"


def main(n: int, first: int = 0) -> None:
    """
    :param n: How many to try.
    :param first: The number of the first.
    """
    th.set_num_threads(1)
    outcomes: Counter[str] = Counter()
    for seed in range(first, first + n):
        configuration = Configuration(seed)
        outcome = configuration.outcome()
        if outcome.startswith("WRONG"):
            print(f"{seed}: {outcome}\n    {configuration}", flush=True)
        outcomes[outcome.split(":")[0]] += 1
    print(dict(outcomes))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
