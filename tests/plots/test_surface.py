from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from matplotlib.figure import Figure
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from sb3_reinforce import REINFORCE
from sb3_reinforce.plots import plot_decision_surface
from sb3_reinforce.plots.surface import decisions, grid


def linear(env: Any = "CartPole-v1", **kwargs: Any) -> REINFORCE:
    """In which the fourth observation decides, if it is CartPole's."""
    model = REINFORCE("LinearPolicy", env, seed=0, **kwargs)
    with th.no_grad():
        for weights in model.policy.action_net.parameters():
            weights.zero_()
    return model


def test_a_grid_holds_all_other_observations() -> None:
    space = spaces.Box(np.array([-1, 2, -1], dtype=np.float32), np.array([1, 3, 1], dtype=np.float32))
    observations = grid(space, (2, 0), (np.array([0.1, 0.2]), np.array([0.5, 0.6, 0.7])), None)
    expected = [[0.5, 2, 0.1], [0.5, 2, 0.2], [0.6, 2, 0.1], [0.6, 2, 0.2], [0.7, 2, 0.1], [0.7, 2, 0.2]]
    np.testing.assert_allclose(observations, expected, rtol=1e-6)
    assert observations.dtype == np.float32
    assert (grid(space, (2, 0), (np.zeros(1), np.zeros(1)), [0, 2.5, 0])[:, 1] == 2.5).all()


def test_the_probability_of_the_second_of_two_actions() -> None:
    model = linear()
    with th.no_grad():
        model.policy.action_net.weight[1, 3] = 2.0
    ax = plot_decision_surface(model, 2, 3, n_points=11, y_range=(-2.0, 2.0))
    values = np.asarray(ax.images[0].get_array())
    expected = 1 / (1 + np.exp(-2.0 * np.linspace(-2, 2, 11)))
    np.testing.assert_allclose(values, np.tile(expected[:, None], 11), rtol=1e-5)
    assert ax.images[0].get_extent() == pytest.approx((-0.41887903, 0.41887903, -2.0, 2.0))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("observation 2", "observation 3")


def test_a_range_without_bounds() -> None:
    assert list(plot_decision_surface(linear(), 1, 3, n_points=3).images[0].get_extent()) == [-3, 3, -3, 3]


def test_the_most_probable_of_three_actions_paler_where_it_is_less_so() -> None:
    model = linear("MountainCar-v0")
    with th.no_grad():
        model.policy.action_net.weight[2, 0] = 5.0
    values, certainty = decisions(model, np.array([[-0.5, 0], [0.5, 0]], dtype=np.float32))
    assert values[1] == 2
    assert certainty[1] == pytest.approx(np.exp(2.5) / (np.exp(2.5) + 2), rel=1e-5)
    ax = plot_decision_surface(model, n_points=5, labels=("position", "velocity"))
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["action 0", "action 1", "action 2"]
    assert ax.get_xlabel() == "position"


def test_a_component_of_a_continuous_action() -> None:
    model = linear("MountainCarContinuous-v0")
    with th.no_grad():
        model.policy.action_net.weight[0, 0] = 0.5
    values = np.asarray(plot_decision_surface(model, n_points=3).images[0].get_array())
    np.testing.assert_allclose(values[0], 0.5 * np.linspace(-1.2, 0.6, 3), rtol=1e-5)
    with pytest.raises(ValueError, match="component must be below 1"):
        plot_decision_surface(model, component=1)


def test_a_policy_without_probabilities_shows_what_it_does() -> None:
    model = DQN("MlpPolicy", "MountainCar-v0", device="cpu", seed=0)
    observations = np.random.default_rng(0).uniform(-0.5, 0.5, (20, 2)).astype(np.float32)
    values, _ = decisions(model, observations)
    np.testing.assert_array_equal(values, model.predict(observations, deterministic=True)[0])
    assert plot_decision_surface(model, n_points=3).images


def test_observations_are_those_before_vec_normalize() -> None:
    env = VecNormalize(DummyVecEnv([lambda: gym.make("CartPole-v1")]))
    env.obs_rms.mean = np.array([0, 0, 0, 3.0])
    model = linear(env)
    with th.no_grad():
        model.policy.action_net.weight[1, 3] = 2.0
    values, _ = decisions(model, np.array([[0, 0, 0, 3.0]], dtype=np.float32))
    assert values == pytest.approx([0.5])


def test_into_axes_of_the_users_and_chance_is_left_alone() -> None:
    axes = Figure().subplots(1, 2)
    model = PPO("MlpPolicy", "CartPole-v1", device="cpu", seed=0)
    state, torch_state = np.random.get_state()[1].copy(), th.get_rng_state()  # type: ignore[union-attr]
    assert plot_decision_surface(model, ax=axes[1], n_points=5) is axes[1]
    np.testing.assert_array_equal(np.random.get_state()[1], state)
    assert th.equal(th.get_rng_state(), torch_state)


@pytest.mark.parametrize(("x", "y"), [(0, 4), (1, 1)])
def test_numbers_that_are_not_there(x: int, y: int) -> None:
    with pytest.raises(ValueError, match=f"two different numbers of the observation, from 0 to 3, but got {x} and {y}"):
        plot_decision_surface(linear(), x, y)


def test_observations_that_are_no_vector() -> None:
    model = linear()
    model.observation_space = spaces.Discrete(3)
    with pytest.raises(ValueError, match=r"the observations are Discrete\(3\)"):
        plot_decision_surface(model)
    with pytest.raises(ValueError, match=r"others must have the shape of an observation, \(4,\), but got \(1,\)"):
        plot_decision_surface(linear(), others=[0])
