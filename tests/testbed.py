"""Small MDPs whose policy gradient can be computed exactly, by going through all trajectories."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import torch as th
from gymnasium import spaces

Step = tuple[int, int, float]
"""State, action, reward."""


@dataclass(frozen=True)
class Outcome:
    """What may follow an action: with this probability, this reward and this state (None: the end)."""

    probability: float
    reward: float
    state: int | None


@dataclass(frozen=True)
class MDP:
    """``outcomes[state][action]``; every episode starts in state 0, and is cut off after ``time_limit``."""

    outcomes: list[list[list[Outcome]]]
    time_limit: int

    @property
    def n_states(self) -> int:
        return len(self.outcomes)

    @property
    def n_actions(self) -> int:
        return len(self.outcomes[0])

    def trajectories(self, behaviour: th.Tensor, state: int = 0, time: int = 0) -> Iterator[tuple[th.Tensor, list[Step]]]:
        """All trajectories with their probabilities, which are functions of the behaviour's."""
        for action in range(self.n_actions):
            for outcome in self.outcomes[state][action]:
                probability = behaviour[state, action] * outcome.probability
                step = (state, action, outcome.reward)
                if outcome.state is None or time + 1 == self.time_limit:
                    yield probability, [step]
                    continue
                for rest_probability, rest in self.trajectories(behaviour, outcome.state, time + 1):
                    yield probability * rest_probability, [step, *rest]


LOOP = MDP(
    # Short episodes are good or bad, long ones the other way round: any favour for the short shows
    [
        [[Outcome(0.7, 1.0, None), Outcome(0.3, -2.0, 0)], [Outcome(1.0, 0.0, 1)]],
        [[Outcome(0.5, 3.0, None), Outcome(0.5, 0.0, 0)], [Outcome(1.0, 1.0, 2)]],
        [[Outcome(1.0, -1.0, 1)], [Outcome(0.8, 4.0, None), Outcome(0.2, -3.0, 2)]],
    ],
    time_limit=5,
)
CORRIDOR = MDP(
    # To stop at once pays a little, to go on to the end pays most, and the way there costs
    [
        [[Outcome(1.0, 2.0, None)], [Outcome(1.0, -1.0, 1)]],
        [[Outcome(1.0, 0.5, None)], [Outcome(1.0, -1.0, 2)]],
        [[Outcome(1.0, -4.0, None)], [Outcome(1.0, -1.0, 3)]],
        [[Outcome(1.0, 0.0, None)], [Outcome(1.0, 12.0, None)]],
    ],
    time_limit=100,
)
NOISY = MDP(
    # Three actions; rewards that say little about the action that earned them
    [
        [
            [Outcome(0.5, 5.0, 1), Outcome(0.5, -4.0, None)],
            [Outcome(0.1, 30.0, None), Outcome(0.9, -1.0, 1)],
            [Outcome(1.0, 0.3, 0)],
        ],
        [
            [Outcome(1.0, 1.0, 0)],
            [Outcome(0.6, -6.0, None), Outcome(0.4, 8.0, 0)],
            [Outcome(1.0, 0.0, None)],
        ],
    ],
    time_limit=4,
)
MDPS = {"loop": LOOP, "corridor": CORRIDOR, "noisy": NOISY}


class TabularEnv(gym.Env[int, int]):
    """
    An MDP as an environment: the observation is the state.

    :param mdp: The MDP.
    :param allowed: Which actions each state allows, for ``action_masks``; None for all, and no such method.
    """

    def __init__(self, mdp: MDP, allowed: np.ndarray | None = None) -> None:
        self.mdp = mdp
        self.observation_space = spaces.Discrete(mdp.n_states)  # type: ignore[assignment]
        self.action_space = spaces.Discrete(mdp.n_actions)  # type: ignore[assignment]
        self.render_mode = None
        if allowed is not None:
            self.action_masks = lambda: allowed[self.state]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        super().reset(seed=seed)
        self.state, self.time = 0, 0
        return self.state, {}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        outcomes = self.mdp.outcomes[self.state][action]
        outcome = outcomes[0]
        if len(outcomes) > 1:
            outcome = outcomes[self.np_random.choice(len(outcomes), p=[o.probability for o in outcomes])]
        self.time += 1
        terminated = outcome.state is None
        self.state = self.state if outcome.state is None else outcome.state
        return self.state, outcome.reward, terminated, self.time == self.mdp.time_limit and not terminated, {}


def behaviour_of(weight: th.Tensor, bias: th.Tensor, epsilon: float, allowed: np.ndarray | None = None) -> th.Tensor:
    """The epsilon mixture of a tabular softmax policy, over what is allowed. Shape ``(n_states, n_actions)``."""
    logits = weight.T + bias
    masks = th.ones_like(logits) if allowed is None else th.as_tensor(allowed).to(logits)
    pi = masks * logits.exp() / (masks * logits.exp()).sum(dim=1, keepdim=True)
    return (1 - epsilon) * pi + epsilon * masks / masks.sum(dim=1, keepdim=True)


def exact_gradient(
    mdp: MDP,
    weight: np.ndarray,
    bias: np.ndarray,
    epsilon: float = 0.0,
    gamma: float = 1.0,
    allowed: np.ndarray | None = None,
) -> np.ndarray:
    """Gradient of the expected discounted return by the weights and, after them, the biases."""
    w = th.tensor(weight, dtype=th.float64, requires_grad=True)
    b = th.tensor(bias, dtype=th.float64, requires_grad=True)
    expected_return = th.zeros((), dtype=th.float64)
    for probability, steps in mdp.trajectories(behaviour_of(w, b, epsilon, allowed)):
        expected_return = expected_return + probability * sum(gamma**t * reward for t, (_, _, reward) in enumerate(steps))
    by_weight, by_bias = th.autograd.grad(expected_return, [w, b])
    return np.concatenate([by_weight.numpy().ravel(), by_bias.numpy()])


def exact_estimate(mdp: MDP, weight: np.ndarray, bias: np.ndarray, gamma: float, epsilon: float = 0.0) -> np.ndarray:
    """What REINFORCE's estimate, discounted as usual, is on average: for gamma below 1 no gradient of anything."""
    w = th.tensor(weight, dtype=th.float64, requires_grad=True)
    b = th.tensor(bias, dtype=th.float64, requires_grad=True)
    behaviour = behaviour_of(w, b, epsilon)
    total = th.zeros((), dtype=th.float64)
    for probability, steps in mdp.trajectories(behaviour):
        for t, (state, action, _) in enumerate(steps):
            to_go = sum(gamma**k * reward for k, (_, _, reward) in enumerate(steps[t:]))
            total = total + probability.detach() * to_go * behaviour[state, action].log()
    by_weight, by_bias = th.autograd.grad(total, [w, b])
    return np.concatenate([by_weight.numpy().ravel(), by_bias.numpy()])


def standard_errors_off(samples: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """By how many standard errors the mean of the samples misses each component. Samples: ``(n, n_parameters)``."""
    standard_errors = samples.std(axis=0, ddof=1) / np.sqrt(len(samples))
    return np.abs(samples.mean(axis=0) - exact) / np.maximum(standard_errors, 1e-12)


class Toy(gym.Env[Any, Any]):
    """Episodes of 5 timesteps over any spaces; the reward is the action, or the mean of its parts."""

    def __init__(self, observation_space: spaces.Space | None = None, action_space: spaces.Space | None = None) -> None:
        self.observation_space = observation_space or spaces.Box(-1, 1, (2,))
        self.action_space = action_space or spaces.Discrete(2)
        self.render_mode = None
        self.never_ends = False
        self.reward: float | None = None
        self.obs: Any = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self.time = 0
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.time += 1
        obs = self.observation_space.sample() if self.obs is None else self.obs
        reward = float(np.mean(action)) if self.reward is None else self.reward
        return obs, reward, self.time >= 5 and not self.never_ends, False, {}
