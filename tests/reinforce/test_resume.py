"""A training that is saved and loaded comes to the same weights, bit for bit, as one that is not."""

import io
import pathlib
import random
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3.common.atari_wrappers import EpisodicLifeEnv
from stable_baselines3.common.callbacks import BaseCallback, CheckpointCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import SubprocVecEnv, VecEnv, VecNormalize
from torch import nn

from sb3_reinforce import (
    REINFORCE,
    EpsilonSchedule,
    FourierBasis,
    GymnasiumVecEnv,
    RandomFourierFeatures,
    ResumableCheckpointCallback,
    TileCoding,
)

TOTAL, TOTALS = 800, {"native": 3_000, "long rollouts": 60_000, "CNN": 80}


class Screens(gym.Env[np.ndarray, int]):
    """Episodes of some noisy pictures; the brighter half tells which action is paid."""

    observation_space = spaces.Box(0, 255, (1, 36, 36), np.uint8)
    action_space = spaces.Discrete(2)  # type: ignore[assignment]
    render_mode = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        return self._screen(), {}

    def _screen(self) -> np.ndarray:
        self.side = int(self.np_random.integers(2))
        screen = self.np_random.integers(0, 100, (1, 36, 36), dtype=np.uint8)
        screen[:, :, self.side * 18 : self.side * 18 + 18] += 100
        return screen

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        reward = float(action == self.side)
        return self._screen(), reward, bool(self.np_random.random() < 0.2), False, {}


class Draws(gym.Wrapper[Any, Any, Any, Any]):
    """An environment that draws from NumPy's global generator."""

    def step(self, action: Any) -> Any:
        obs, reward, terminated, truncated, info = self.env.step(action)
        return obs, float(reward) + np.random.normal(), terminated, truncated, info


def cartpole(n_envs: int = 1, **kwargs: Any) -> VecEnv:
    return make_vec_env("CartPole-v1", n_envs, **kwargs)


def pendulum() -> VecEnv:
    return make_vec_env("Pendulum-v1", 2, env_kwargs={}, wrapper_class=lambda env: gym.wrappers.TimeLimit(env, 20))


def processes() -> VecEnv:
    return SubprocVecEnv([lambda: Monitor(gym.make("CartPole-v1"))] * 2, start_method="fork")


def native() -> VecEnv:
    return GymnasiumVecEnv(gym.make_vec("CartPole-v1", 16, vectorization_mode="vector_entry_point"))


def normalized(**kwargs: Any) -> VecEnv:
    return VecNormalize(cartpole(3), **kwargs)


TILES = {"features_extractor_class": TileCoding, "features_extractor_kwargs": {"n_tiles": 4, "n_tilings": 4}}
Make = Callable[[], VecEnv]
Starts = list[np.ndarray]
CONFIGURATIONS: dict[str, tuple[str, Make, dict[str, Any]]] = {
    "linear": ("LinearSoftmaxPolicy", cartpole, {}),
    "no seed": ("LinearSoftmaxPolicy", cartpole, {"seed": None}),
    "none": ("MlpPolicy", partial(cartpole, 3), {"baseline": "none"}),
    "mean": ("LinearPolicy", cartpole, {"baseline": "mean", "learning_rate": lambda progress: 0.1 * progress}),
    "leave_one_out": ("LinearPolicy", partial(cartpole, 2), {"baseline": "leave_one_out", "epsilon": EpsilonSchedule(0.5)}),
    "optimal": ("LinearPolicy", cartpole, {"baseline": "optimal", "epsilon": lambda progress: 0.3 * progress}),
    "linear baseline": ("LinearPolicy", cartpole, {"baseline": "linear", "log_gradient_snr": True}),
    "value": ("MlpPolicy", cartpole, {"baseline": "value"}),
    "bootstrap": ("LinearPolicy", pendulum, {"bootstrap_truncated": True, "gamma": 0.9, "n_value_updates": 5}),
    "ELU": ("MlpPolicy", cartpole, {"policy_kwargs": {"activation_fn": nn.ELU}}),
    "CNN": ("CnnPolicy", partial(make_vec_env, Screens, 2), {}),
    "Gaussian": ("LinearGaussianPolicy", pendulum, {}),
    "natural": ("LinearSoftmaxPolicy", partial(cartpole, 2), {"natural_gradient": True}),
    "natural Gaussian": (
        "LinearGaussianPolicy",
        pendulum,
        {"natural_gradient": True, "baseline": "value", "n_value_updates": 5},
    ),
    "processes": ("LinearSoftmaxPolicy", processes, {}),
    "native": ("LinearSoftmaxPolicy", native, {"n_episodes": 16}),
    "long rollouts": ("LinearSoftmaxPolicy", native, {"n_episodes": 1_000}),
    "VecNormalize": ("MlpPolicy", normalized, {}),
    "VecNormalize of rewards": ("LinearPolicy", partial(normalized, norm_obs=False), {"normalize_advantage": False}),
    "Fourier": ("LinearPolicy", cartpole, {"policy_kwargs": {"features_extractor_class": FourierBasis}}),
    "tiles": ("LinearPolicy", cartpole, {"policy_kwargs": TILES}),
    "random Fourier": ("LinearPolicy", cartpole, {"policy_kwargs": {"features_extractor_class": RandomFourierFeatures}}),
    "global generator": ("LinearPolicy", partial(cartpole, wrapper_class=Draws), {"normalize_advantage": False}),
}


def made(name: str) -> REINFORCE:
    policy, make, arguments = CONFIGURATIONS[name]
    return REINFORCE(policy, make(), **{"seed": 3, "n_episodes": 4, **arguments})


def loaded(file: Any, name: str) -> REINFORCE:
    """In other environments, and whatever has been drawn since from the global generators."""
    np.random.random(17), th.rand(23)
    return REINFORCE.load(file, CONFIGURATIONS[name][1](), trusted=True)


def saved(model: REINFORCE) -> io.BytesIO:
    model.save(file := io.BytesIO())
    file.seek(0)
    return file


def assert_same(model: REINFORCE, other: REINFORCE) -> None:
    assert (model.num_timesteps, model._n_updates) == (other.num_timesteps, other._n_updates)
    ours, theirs = (m.policy.state_dict() | m.policy.optimizer.state_dict()["state"] for m in (model, other))
    th.testing.assert_close(ours, theirs, rtol=0, atol=0)
    if isinstance(env := model.get_env(), VecNormalize):
        th.testing.assert_close(env.ret_rms.mean, other.get_env().ret_rms.mean, rtol=0, atol=0)  # type: ignore[union-attr]
    for each in (model, other):
        each.get_env().close()  # type: ignore[union-attr]


class Keeps(BaseCallback):
    """Files of the model: one at a rollout's beginning, and one within it."""

    def __init__(self, rollout: int) -> None:
        super().__init__()
        self.rollout, self.n_rollouts, self.n_steps = rollout, 0, 0
        self.files: list[io.BytesIO] = []

    def _on_rollout_start(self) -> None:
        self.n_rollouts, self.n_steps = self.n_rollouts + 1, 0
        if self.n_rollouts == self.rollout:
            self.files.append(saved(self.model))  # type: ignore[arg-type]

    def _on_step(self) -> bool:
        self.n_steps += 1
        if self.n_rollouts == self.rollout and self.n_steps == 7:
            self.files.append(saved(self.model))  # type: ignore[arg-type]
        return True

    def _on_rollout_end(self) -> None:
        if self.n_rollouts == self.rollout:
            self.files.append(saved(self.model))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_what_is_saved_goes_on_to_the_same_weights(name: str) -> None:
    model = made(name).learn(TOTALS.get(name, TOTAL), keeps := Keeps(rollout=2))
    assert model._n_updates >= 3
    at_start, within, at_end = keeps.files
    assert_same(loaded(at_start, name).resume(), model)
    assert_same(loaded(within, name).resume(), model)
    assert_same(loaded(at_end, name).resume(), model)


def test_whoever_loads_again_and_again_sees_other_episodes_each_time() -> None:
    """As on a machine that is taken away after each rollout."""
    name = "linear"
    starts: Starts = []
    file = saved(made(name))
    for _ in range(5):
        model = loaded(file, name)
        model.learn(1, FirstObservation(starts), reset_num_timesteps=False)
        file = saved(model)
    assert len(np.unique(starts, axis=0)) == 5
    assert_same(model, made(name).learn(model.num_timesteps))


class FirstObservation(BaseCallback):
    def __init__(self, seen: Starts) -> None:
        super().__init__()
        self.seen = seen

    def _on_step(self) -> bool:
        if self.n_calls == 1:
            self.seen.append(self.locals["new_obs"][0])
        return True


@pytest.mark.parametrize("seed", [3, None])
def test_a_second_learn_goes_on_too(seed: int | None) -> None:
    model = REINFORCE("LinearSoftmaxPolicy", "CartPole-v1", seed=seed)
    starts: Starts = []
    for _ in range(3):
        model.learn(1, FirstObservation(starts))
    assert len(np.unique(starts, axis=0)) == 3


def test_another_seed_goes_on_in_another_way_and_the_same_seed_begins_anew() -> None:
    file = saved(made("linear").learn(100))
    starts: Starts = []
    for arguments in ({}, {}, {"seed": 4}, {"seed": 5}):
        file.seek(0)
        REINFORCE.load(file, cartpole(), **arguments).learn(1, FirstObservation(starts), reset_num_timesteps=False)
    assert len(np.unique(starts, axis=0)) == 3
    np.testing.assert_array_equal(starts[0], starts[1])
    model = made("linear")
    model.learn(1, FirstObservation(starts))
    model.set_random_seed(3)
    model.learn(1, FirstObservation(starts))
    np.testing.assert_array_equal(starts[-1], starts[-2])


def test_models_without_a_seed_differ_but_follow_the_global_generator() -> None:
    starts: Starts = []
    for _ in range(2):
        REINFORCE("LinearSoftmaxPolicy", "CartPole-v1").learn(1, FirstObservation(starts))
    assert not np.array_equal(*starts)
    for _ in range(2):
        np.random.seed(7)
        REINFORCE("LinearSoftmaxPolicy", "CartPole-v1").learn(1, FirstObservation(starts))
    np.testing.assert_array_equal(starts[2], starts[3])


@pytest.mark.parametrize("name", ["linear", "ELU", "global generator"])
def test_the_global_generators_are_left_as_they_were(name: str) -> None:
    def draws() -> tuple[float, float, float]:
        return random.random(), np.random.random(), float(th.rand(1))

    model = made(name)
    random.seed(1), np.random.seed(1), th.manual_seed(1)
    expected = draws()
    random.seed(1), np.random.seed(1), th.manual_seed(1)
    model.learn(100)
    assert draws() == expected


class Interrupts(BaseCallback):
    def __init__(self, at: int) -> None:
        super().__init__()
        self.at = at

    def _on_step(self) -> bool:
        if self.n_calls == self.at:
            raise KeyboardInterrupt
        return True


@pytest.mark.parametrize("name", ["linear", "ELU", "VecNormalize"])
def test_what_is_saved_after_ctrl_c_goes_on_to_the_same_weights(name: str) -> None:
    model = made(name)
    with pytest.raises(KeyboardInterrupt):
        model.learn(TOTAL, Interrupts(100))
    assert model.num_timesteps == 100 * model.n_envs  # all that were taken
    again = loaded(saved(model), name)
    assert again.num_timesteps < model.num_timesteps  # those that were learned from
    assert_same(again.resume(), made(name).learn(TOTAL))
    assert_same(model.resume(), made(name).learn(TOTAL))  # in the same process


def test_whoever_goes_on_in_the_same_process_does_not_repeat_what_was_interrupted() -> None:
    model = made("linear")
    starts: Starts = []
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            model.learn(TOTAL, [FirstObservation(starts), Interrupts(3)], reset_num_timesteps=False)
    assert len(np.unique(starts, axis=0)) == 3
    assert model.num_timesteps == 9


def test_checkpoints_of_sb3_can_be_gone_on_with_as_well(tmp_path: pathlib.Path) -> None:
    name = "VecNormalize"
    model = made(name).learn(TOTAL, CheckpointCallback(60, str(tmp_path)))  # in the middle of rollouts
    paths = list(tmp_path.iterdir())
    assert len(paths) > 2
    for path in paths:
        assert_same(loaded(path, name).resume(), model)


def test_nothing_to_go_on_with() -> None:
    with pytest.raises(ValueError, match="has not begun"):
        made("linear").resume()
    model = made("linear").learn(100)
    weights = [parameter.clone() for parameter in model.policy.parameters()]
    model.resume()
    th.testing.assert_close(list(model.policy.parameters()), weights, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("name", "value"),
    [("_n_rollouts", -1), ("_n_rollouts", "many"), ("_drawn_seed", -3), ("_drawn_seed", "x"), ("_normalization", {"mean": 3})],
)
def test_a_damaged_state_is_refused(name: str, value: Any) -> None:
    model = made("no seed").learn(100)
    setattr(model, name, value)
    with pytest.raises(ValueError, match=f"{name} of a file must be|its '{name}' can't be"):
        REINFORCE.load(saved(model), cartpole())


def test_a_vec_normalize_with_statistics_of_its_own_keeps_them(tmp_path: pathlib.Path) -> None:
    model = made("VecNormalize").learn(200)
    env: Any = model.get_env()
    env.save(tmp_path / "env.pkl")
    file = saved(model)
    for other in (VecNormalize(cartpole(3)), VecNormalize.load(str(tmp_path / "env.pkl"), cartpole(3))):
        file.seek(0)
        REINFORCE.load(file, other)
        th.testing.assert_close(other.obs_rms.mean, env.obs_rms.mean, rtol=0, atol=0)  # type: ignore[union-attr]
    seen = VecNormalize(cartpole(3))
    seen.reset()
    mean = seen.obs_rms.mean.copy()  # type: ignore[union-attr]
    file.seek(0)
    REINFORCE.load(file, seen)
    np.testing.assert_array_equal(seen.obs_rms.mean, mean)  # type: ignore[union-attr]
    file.seek(0)
    later = REINFORCE.load(file)
    later.set_env(fresh := VecNormalize(cartpole(3)))
    np.testing.assert_array_equal(fresh.obs_rms.mean, env.obs_rms.mean)  # type: ignore[union-attr]


def test_the_reset_at_the_beginning_of_training_enters_into_no_statistics() -> None:
    model = made("VecNormalize")
    counts: list[float] = []
    model.learn(1, SeesCounts(counts))
    assert counts == [pytest.approx(1e-4), pytest.approx(6 + 1e-4)]  # three environments, by their reset and by a step


class SeesCounts(BaseCallback):
    def __init__(self, counts: list[float]) -> None:
        super().__init__()
        self.counts = counts

    def _on_training_start(self) -> None:
        self.counts.append(self.training_env.obs_rms.count)  # type: ignore[attr-defined]

    def _on_step(self) -> bool:
        if self.n_calls == 1:
            self.counts.append(self.training_env.obs_rms.count)  # type: ignore[attr-defined]
        return True


def no_early_reset() -> VecEnv:
    return make_vec_env("CartPole-v1", 2, monitor_kwargs={"allow_early_resets": False})


def envpool() -> VecEnv:
    module = pytest.importorskip("envpool")
    return GymnasiumVecEnv(module.make_gymnasium("CartPole-v1", num_envs=2, seed=0))


class Unseeded(GymnasiumVecEnv):
    """Of those who write a VecEnv of their own, some leave this out."""

    def __init__(self) -> None:
        super().__init__(gym.make_vec("CartPole-v1", 2))

    def seed(self, seed: int | None = None) -> Any:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("make", "reason"), [(no_early_reset, "allow_early_resets"), (envpool, "EnvPool"), (Unseeded, "seeded again")]
)
def test_where_a_training_does_not_go_on_bit_for_bit_it_says_so_once(make: Make, reason: str) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("error", ".*(very weights|EnvPool takes)")
        model = REINFORCE("LinearSoftmaxPolicy", make(), n_episodes=2).learn(100)
        model.learn(100, reset_num_timesteps=False)
        again = REINFORCE.load(saved(model), make())
    again.learn(1)  # another training, which is not a resumed one
    again = REINFORCE.load(saved(model), make())
    with pytest.warns(UserWarning, match=f"not to the very weights.*{reason}") as caught:
        again.learn(100, reset_num_timesteps=False)
    assert {each.filename for each in caught if "very weights" in str(each.message)} == {__file__}
    with warnings.catch_warnings():
        warnings.filterwarnings("error", ".*(very weights|EnvPool takes)")
        again.learn(100, reset_num_timesteps=False)
    assert again.num_timesteps >= model.num_timesteps + 200


class Lives(Screens):
    """A game of which each life is an episode to EpisodicLifeEnv."""

    @property
    def ale(self) -> "Lives":
        return self

    def lives(self) -> int:
        return 1


def test_with_lives_it_goes_on_and_repeats_nothing() -> None:
    make = partial(make_vec_env, lambda: EpisodicLifeEnv(Lives()))
    model = REINFORCE("LinearSoftmaxPolicy", make(), seed=0).learn(50)
    starts: Starts = []
    for _ in range(3):
        model = REINFORCE.load(saved(model), make())
        with pytest.warns(UserWarning, match="EpisodicLifeEnv"):
            model.learn(1, FirstObservation(starts), reset_num_timesteps=False)
    assert len(np.unique(starts, axis=0)) == 3


@pytest.mark.parametrize("name", ["linear", "VecNormalize"])
def test_checkpoints_of_the_callback(name: str, tmp_path: pathlib.Path) -> None:
    callback = ResumableCheckpointCallback(tmp_path, every_seconds=0, n_kept=2)
    model = made(name).learn(TOTAL, callback)
    first, last = sorted(tmp_path.iterdir(), key=lambda path: path.stat().st_mtime)
    assert ResumableCheckpointCallback.latest(tmp_path) == last
    assert REINFORCE.load(last).num_timesteps == model.num_timesteps
    last.unlink()
    again = loaded(first, name)
    assert again.num_timesteps < model.num_timesteps
    assert_same(again.resume(callback=ResumableCheckpointCallback(tmp_path, every_seconds=0, n_kept=2)), model)
    assert ResumableCheckpointCallback.latest(tmp_path) == last
