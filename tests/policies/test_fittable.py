from typing import Any

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy

from sb3_reinforce import REINFORCE, LinearSoftmaxPolicy
from sb3_reinforce.policies import CnnPolicy, MlpPolicy, MultiInputPolicy

BOX = spaces.Box(-1, 1, (3,))


def test_the_seeds_two_states_are_fitted() -> None:
    """A stack of linear layers of 2 and of 4 units, 50 epochs of Adam with a step size of 0.01, two labelled states."""
    states = np.array([[0.45204008, 0.69368565, 0.99150026, 0.4770708], [0.17957842, 0.9985689, 0.41209364, 0.45931566]])
    for seed in range(5):
        th.manual_seed(seed)
        policy = LinearSoftmaxPolicy(spaces.Box(0, 1, (4,)), spaces.Discrete(2), lambda _: 0.1, net_arch=[2, 4])
        history = policy.fit(states, [0, 1])
        assert len(history.loss) == len(history.accuracy) == 50
        assert history.accuracy[-1] == 1.0
        assert history.loss[-1] < history.loss[0]
        assert policy.action_probabilities(states).argmax(dim=1).tolist() == [0, 1]


def test_every_policy_of_ours_can_be_fitted() -> None:
    image = spaces.Box(0, 255, (1, 36, 36), np.uint8)
    for policy_class, space in (
        (LinearSoftmaxPolicy, BOX),
        (MlpPolicy, BOX),
        (CnnPolicy, image),
        (MultiInputPolicy, spaces.Dict(a=BOX, b=image)),
    ):
        space.seed(0)
        policy = policy_class(space, spaces.Discrete(2), lambda _: 0.1)
        if isinstance(space, spaces.Dict):
            observations: Any = {key: np.stack([part.sample() for _ in range(4)]) for key, part in space.items()}
        else:
            observations = np.stack([space.sample() for _ in range(4)])
        before = policy.parameters_to_vector()
        history = policy.fit(observations, np.array([0, 1, 1, 0]), n_epochs=2, learning_rate=1e-3)
        assert len(history.loss) == 2
        assert not np.array_equal(before, policy.parameters_to_vector())


def test_a_fitted_policy_goes_on_learning() -> None:
    model = REINFORCE("LinearSoftmaxPolicy", "CartPole-v1", seed=0)
    states = np.random.default_rng(0).normal(size=(500, 4)).astype(np.float32)
    leans_right = states[:, 2] + states[:, 3] > 0
    model.policy.fit(states, leans_right.astype(int), n_epochs=20)
    env = make_vec_env("CartPole-v1", n_envs=10, seed=1_000)
    assert evaluate_policy(model, env, 20)[0] > 100
    model.learn(500)
