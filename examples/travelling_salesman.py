"""
A travelling salesman learns a better rule than "go to the nearest city". Masks keep him from cities that he has seen.

    python examples/travelling_salesman.py

Trains on random maps of 10 cities, and then plays 500 maps that nobody has trained on. Prints the mean length of a tour for

- nearest neighbour: go to the nearest city that is left;
- linear: a softmax of phi(s, a), ten features of a city as it is seen from here. Nearest neighbour is such a policy too, the
  one whose only weight is that of the distance;
- MLP on phi: a net of 64 units that scores a city by the same ten features, the same net for each city;
- MlpPolicy: two layers of 64 units on the map as it is observed;
- optimum: the shortest tour, by dynamic programming.

None of the first three depends on how many cities there are. So what they have learned with 10 is played with 20 too.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.type_aliases import Schedule
from stable_baselines3.common.vec_env import VecEnv
from torch import nn

from sb3_reinforce import REINFORCE, PythonVecEnv, tell_action_masks
from sb3_reinforce.features.phi import PhiExtractor

START = 0
"""The city where each tour begins and ends."""


class TravellingSalesmanEnv(gym.Env[np.ndarray, int]):
    """
    Visit each city of a map once and come back, on the shortest way.

    Each episode has a new map: cities drawn uniformly from the unit square. An action is the number of the city to go to
    next. The reward is minus the distance to it; that of the last city includes the way back to the start. So an episode
    of n cities takes n - 1 steps, and its return is minus the length of the tour.

    The observation has a row for each city: its two coordinates, whether it is still to be visited, and whether the salesman
    is there. Shape ``(n_cities, 4)``. Only cities that are still to be visited are allowed.

    :param n_cities: At least 3.
    """

    def __init__(self, n_cities: int = 10) -> None:
        self.n_cities = n_cities
        self.observation_space = spaces.Box(0.0, 1.0, (n_cities, 4), np.float32)
        self.action_space = spaces.Discrete(n_cities)  # type: ignore[assignment]

    def action_masks(self) -> np.ndarray:
        """:return: Which cities are still to be visited. Shape ``(n_cities,)``."""
        return self.to_visit

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        """Draw a map."""
        super().reset(seed=seed)
        self.cities = self.np_random.random((self.n_cities, 2), np.float32)
        self.to_visit = np.arange(self.n_cities) != START
        self.here = START
        return self._observation(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Go to a city."""
        if not self.to_visit[action]:
            raise ValueError(f"City {action} has been visited already.")
        way = self._distance(self.here, action)
        self.here = int(action)
        self.to_visit[action] = False
        is_over = not self.to_visit.any()
        if is_over:
            way += self._distance(action, START)
        return self._observation(), -way, is_over, False, {}

    def _distance(self, city: int, other: int) -> float:
        return float(np.linalg.norm(self.cities[city] - self.cities[other]))

    def _observation(self) -> np.ndarray:
        is_here = np.arange(self.n_cities) == self.here
        return np.column_stack([self.cities, self.to_visit, is_here]).astype(np.float32)


def phi(states: np.ndarray, action: int) -> np.ndarray:
    """
    What is worth knowing of a city. Each feature comes twice, as it is and times the share of cities that are left: what is
    far from the start is to be visited early on, and what is near it, late. Distances are in units in which cities are
    about equally dense, however many there are.

    :param states: Observations. Shape ``(batch, n_cities, 4)``.
    :param action: The number of a city.
    :return: Shape ``(batch, 10)``.
    """
    cities, to_visit, is_here = states[..., :2], states[..., 2] > 0, states[..., 3]
    n_cities = states.shape[1]
    distances = np.linalg.norm(cities - cities[:, [action]], axis=2) * np.sqrt(n_cities)  # from the city to all
    left = to_visit.copy()  # when the salesman is there
    left[:, action] = False
    n_left = left.sum(axis=1)
    way = (distances * is_here).sum(axis=1)
    home = distances[:, START]
    nearest_two = np.partition(np.where(left, distances, home[:, None]), 1, axis=1)[:, :2]
    mean = ((distances * left).sum(axis=1) + home) / (n_left + 1)
    features = np.column_stack([way, home, nearest_two, mean])
    return np.hstack([features, features * (n_left / n_cities)[:, None]])


class ScoreEachCity(nn.Sequential):
    """
    One net for all cities: from the features of a city to its logit.

    :param n_features: Of a city.
    """

    def __init__(self, n_features: int) -> None:
        self.n_features = n_features
        super().__init__(nn.Linear(n_features, 64), nn.Tanh(), nn.Linear(64, 1))

    def forward(self, features: th.Tensor) -> th.Tensor:
        """
        :param features: Shape ``(batch, n_cities * n_features)``.
        :return: Shape ``(batch, n_cities)``.
        """
        return super().forward(features.unflatten(1, (-1, self.n_features))).squeeze(2)


class PhiMlpPolicy(ActorCriticPolicy):
    """Any ActorCriticPolicy is learned as it is: here the action net is one's own."""

    def __init__(self, observation_space: spaces.Box, action_space: spaces.Discrete, lr_schedule: Schedule, **kwargs: Any):
        super().__init__(
            observation_space,
            action_space,
            lr_schedule,
            net_arch=[],
            features_extractor_class=PhiExtractor,
            features_extractor_kwargs=dict(phi=phi, n_actions=int(action_space.n)),
            **kwargs,
        )

    def _build(self, lr_schedule: Schedule) -> None:
        super()._build(lr_schedule)
        assert isinstance(self.pi_features_extractor, PhiExtractor)
        self.action_net = ScoreEachCity(self.pi_features_extractor.n_features)
        self.optimizer = self.optimizer_class(self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)  # type: ignore[call-arg]


def nearest_city(observations: np.ndarray) -> np.ndarray:
    """
    :param observations: Shape ``(n_maps, n_cities, 4)``.
    :return: The nearest of the cities that are left. Shape ``(n_maps,)``.
    """
    cities, to_visit, is_here = observations[..., :2], observations[..., 2] > 0, observations[..., 3] > 0
    distances = np.linalg.norm(cities - cities[is_here][:, None], axis=2)
    return np.where(to_visit, distances, np.inf).argmin(axis=1)


def shortest(cities: np.ndarray) -> np.ndarray:
    """
    The length of the shortest tour, exactly, by dynamic programming over sets of cities (Held and Karp, 1962). It takes twice
    as long with each further city: a second with 12 of them.

    :param cities: Maps. Shape ``(n_maps, n_cities, 2)``.
    :return: Shape ``(n_maps,)``.
    """
    distances = np.linalg.norm(cities[:, :, None] - cities[:, None], axis=3)
    n_others = cities.shape[1] - 1  # all but the start
    between, from_start = distances[:, 1:, 1:], distances[:, 1:, START]
    # best[visited, :, last]: the shortest way from the start through a set of cities, a bit for each, that ends at its last
    best = np.full((2**n_others, len(cities), n_others), np.inf)
    for visited in range(1, 2**n_others):
        for last in range(n_others):
            before = visited & ~(1 << last)
            if before == 0:
                best[visited, :, last] = from_start[:, last]
            elif before != visited:
                best[visited, :, last] = (best[before] + between[:, :, last]).min(axis=1)
    return (best[-1] + from_start).min(axis=1)


def make_env(n_cities: int, n_envs: int, seed: int) -> VecEnv:
    """Several salesmen."""
    return make_vec_env(TravellingSalesmanEnv, n_envs, seed, env_kwargs=dict(n_cities=n_cities), vec_env_cls=PythonVecEnv)


class Maps:
    """
    Maps to compare tours on, the same ones for all.

    :param n_cities: Of each map.
    :param n_maps: How many.
    """

    def __init__(self, n_cities: int, n_maps: int) -> None:
        self._env = tell_action_masks(make_env(n_cities, n_maps, seed=10_000))
        self._n_cities = n_cities

    def start(self) -> Any:
        """:return: The observations that tours start with."""
        self._env.seed(10_000)
        return self._env.reset()

    def mean_length(self, choose: Callable[[Any], np.ndarray]) -> float:
        """
        :param choose: From observations to the cities to go to.
        :return: Of its tours.
        """
        observations, length = self.start(), 0.0
        for _ in range(self._n_cities - 1):
            observations, rewards, _, _ = self._env.step(choose(observations))
            length -= float(rewards.mean())
        return length


class Learner(NamedTuple):
    """How to train."""

    policy: str | type[ActorCriticPolicy]
    timesteps: int
    arguments: dict[str, Any]

    def train(self, n_cities: int, seed: int, timesteps: int | None) -> REINFORCE:
        """:return: A trained model."""
        model = REINFORCE(self.policy, make_env(n_cities, 32, seed), n_episodes=64, seed=seed, **self.arguments)
        return model.learn(self.timesteps if timesteps is None else timesteps)


LEARNERS = {
    "linear": Learner("LinearSoftmaxPolicy", 40_000, dict(natural_gradient=True, policy_kwargs=dict(phi=phi))),
    "MLP on phi": Learner(PhiMlpPolicy, 40_000, dict()),
    "MlpPolicy": Learner("MlpPolicy", 200_000, dict()),
}


def for_more_cities(model: REINFORCE, n_cities: int) -> REINFORCE:
    """
    :param model: One whose action net is the same for each city.
    :param n_cities: Of the maps to play.
    :return: One with the same weights.
    """
    larger = REINFORCE(type(model.policy), make_env(n_cities, 1, seed=0), policy_kwargs=model.policy_kwargs)
    larger.policy.action_net.load_state_dict(model.policy.action_net.state_dict())
    return larger


def greedily(model: REINFORCE) -> Callable[[Any], np.ndarray]:
    """:return: From observations to the most probable of the allowed actions."""
    return lambda observations: model.predict(observations, deterministic=True)[0]


def main() -> None:
    """Train with each seed, play, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cities", type=int, default=10, help="of the maps to train on (default: 10)")
    parser.add_argument("--more-cities", type=int, default=20, help="of larger maps, only to play (default: 20)")
    parser.add_argument("--maps", type=int, default=500, help="how many maps to play (default: 500)")
    parser.add_argument("--seeds", type=int, default=3, help="how many seeds (default: 3)")
    parser.add_argument("--timesteps", type=int, help="of each training (default: each learner's own)")
    parser.add_argument("--only", choices=LEARNERS, nargs="+", default=list(LEARNERS), help="default: all of them")
    options = parser.parse_args()
    th.set_num_threads(1)
    few, many = Maps(options.cities, options.maps), Maps(options.more_cities, options.maps)
    optimum = float(shortest(few.start()[..., :2]).mean())
    nearest = few.mean_length(nearest_city), many.mean_length(nearest_city)

    sizes = f"{options.cities} cities | / optimum | {options.more_cities} cities | / nearest neighbour"
    print(f"| | seed | timesteps | seconds | {sizes} |\n|---|---|---|---|---|---|---|---|", flush=True)
    print(f"| nearest neighbour | | | | {nearest[0]:.3f} | {nearest[0] / optimum:.3f} | {nearest[1]:.3f} | 1.000 |")
    for name in options.only:
        for seed in range(options.seeds):
            start = time.perf_counter()
            model = LEARNERS[name].train(options.cities, seed, options.timesteps)
            seconds, length = time.perf_counter() - start, few.mean_length(greedily(model))
            cells = f"{name} | {seed} | {model.num_timesteps:,} | {seconds:.0f} | {length:.3f} | {length / optimum:.3f}"
            length = many.mean_length(greedily(for_more_cities(model, options.more_cities))) if name != "MlpPolicy" else np.nan
            print(f"| {cells} | {length:.3f} | {length / nearest[1]:.3f} |".replace("nan", ""), flush=True)
    print(f"| optimum | | | | {optimum:.3f} | 1.000 | | |")


if __name__ == "__main__":
    main()
