"""GymnasiumVecEnv against DummyVecEnv, in every autoreset mode, and under SB3's wrappers and algorithms."""

import copy
import warnings
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv, VectorWrapper
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from stable_baselines3 import DQN, PPO, SAC
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    VecCheckNan,
    VecEnv,
    VecExtractDictObs,
    VecFrameStack,
    VecMonitor,
    VecNormalize,
)

from sb3_reinforce import REINFORCE
from sb3_reinforce.vec_env import GymnasiumVecEnv
from tests.vec_env.diaries import NONE_OF_OURS, diaries
from tests.vec_env.walks import (
    MODES,
    N_ENVS,
    ReusesItsArrays,
    Walk,
    assert_same,
    assert_same_info,
    assert_steps_like_dummy,
    native_cart_poles,
    walks,
)


@pytest.mark.parametrize("kind", ["box", "dict", "discrete"])
@pytest.mark.parametrize("copied", [True, False])
@pytest.mark.parametrize("mode", MODES)
def test_sync_is_dummy_in_every_mode(mode: AutoresetMode, copied: bool, kind: str) -> None:
    vec_env = GymnasiumVecEnv(SyncVectorEnv(walks(kind), copy=copied, autoreset_mode=mode))
    dummy = DummyVecEnv([lambda: Monitor(Walk(kind)) for _ in range(N_ENVS)])
    assert vec_env.observation_space == dummy.observation_space
    assert vec_env.action_space == dummy.action_space
    assert_steps_like_dummy(vec_env, dummy)


@pytest.mark.parametrize(
    ("mode", "shared_memory", "copied"),
    [
        (AutoresetMode.NEXT_STEP, True, True),
        (AutoresetMode.NEXT_STEP, True, False),
        (AutoresetMode.SAME_STEP, True, False),
        (AutoresetMode.SAME_STEP, False, True),
        (AutoresetMode.DISABLED, True, True),
        (AutoresetMode.DISABLED, False, False),
    ],
)
def test_async_is_dummy_in_every_mode(
    async_env: Callable[..., AsyncVectorEnv], mode: AutoresetMode, shared_memory: bool, copied: bool
) -> None:
    vec_env = GymnasiumVecEnv(async_env(autoreset_mode=mode, shared_memory=shared_memory, copy=copied))
    assert_steps_like_dummy(vec_env, DummyVecEnv([lambda: Monitor(Walk()) for _ in range(N_ENVS)]))


@pytest.mark.parametrize("mode", MODES)
def test_monitors_of_the_sub_environments_stand(mode: AutoresetMode) -> None:
    def clipped() -> gym.Env:
        return gym.wrappers.TransformReward(Monitor(Walk()), lambda reward: 100.0 + float(reward))

    vec_env = GymnasiumVecEnv(SyncVectorEnv([clipped] * N_ENVS, autoreset_mode=mode))
    assert_steps_like_dummy(vec_env, DummyVecEnv([clipped] * N_ENVS))


# Nothing that is handed out changes later


@pytest.mark.parametrize("make", [native_cart_poles, lambda: ReusesItsArrays(N_ENVS)])
def test_what_was_handed_out_stays_as_it_was(make: Callable[[], VectorEnv]) -> None:
    vec_env = GymnasiumVecEnv(make())
    kept: list[Any] = [vec_env.reset()]
    copies = copy.deepcopy(kept)
    for _ in range(40):
        step = vec_env.step(np.ones(N_ENVS, dtype=np.int64))
        kept.append(step)
        copies.append(copy.deepcopy(step))
    for one, other in zip(kept[1:], copies[1:], strict=True):
        for a, b in zip(one[:3], other[:3], strict=True):
            np.testing.assert_array_equal(a, b)
        for info, copied in zip(one[3], other[3], strict=True):
            assert_same(info, copied)
    np.testing.assert_array_equal(kept[0], copies[0])
    assert any(step[2].any() for step in kept[1:])


# What the environment itself has under our keys

OWN = {
    "a number": [{"episode": 7, **NONE_OF_OURS}],
    "a number that is not always there": [{"episode": 7}, {}, {"terminal_observation": 1.5}],
    "a text": [{"episode": "the first", "terminal_observation": None}],
    "a dict": [{"episode": {"id": 3, "r": "none"}, **NONE_OF_OURS}],
    "an array": [{"episode": np.arange(3), "terminal_observation": np.zeros(5)}],
    "one after the other": [{"episode": 7}, {"episode": "text"}, {"episode": {"id": 3}}, {"episode": None}, {"episode": 2.5}],
    "keys that are no texts": [{1: "one", None: 2, ("a", 1): 3.5, "episode": 0}],
}


def assert_infos_like_dummy(vec_env: VecEnv, dummy: VecEnv, n_steps: int = 30) -> None:
    n_envs = dummy.num_envs
    vec_env.reset()
    dummy.reset()
    n_ended = 0
    for _ in range(n_steps):
        for info, dummy_info in zip(vec_env.reset_infos, dummy.reset_infos, strict=True):
            assert_same_info(info, dummy_info)
        _, _, dones, infos = vec_env.step(np.ones(n_envs, dtype=np.int64))
        _, _, dummy_dones, dummy_infos = dummy.step(np.ones(n_envs, dtype=np.int64))
        assert dones.tolist() == dummy_dones.tolist()
        for info, dummy_info in zip(infos, dummy_infos, strict=True):
            assert_same_info(info, dummy_info)
        n_ended += int(dones.sum())
    assert n_ended > 12


@pytest.mark.parametrize("entries", OWN.values(), ids=OWN.keys())
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("wrap", [lambda env: env, Monitor], ids=["bare", "Monitor"])
def test_our_words_stand_at_an_episodes_end(
    wrap: Callable[[gym.Env], gym.Env], mode: AutoresetMode, entries: list[dict[Any, Any]]
) -> None:
    vec_env = GymnasiumVecEnv(SyncVectorEnv(diaries(entries, wrap), autoreset_mode=mode))
    assert_infos_like_dummy(vec_env, DummyVecEnv(diaries(entries, Monitor)))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("wrap", [lambda env: env, Monitor], ids=["bare", "Monitor"])
def test_our_words_stand_with_processes_too(
    wrap: Callable[[gym.Env], gym.Env], mode: AutoresetMode, async_env: Callable[..., AsyncVectorEnv]
) -> None:
    entries = OWN["one after the other"]
    vec_env = GymnasiumVecEnv(async_env(diaries(entries, wrap), autoreset_mode=mode))
    assert_infos_like_dummy(vec_env, DummyVecEnv(diaries(entries, Monitor)))


def test_our_words_stand_where_a_wrapper_hides_monitors() -> None:
    class Hides(gym.Wrapper):
        def step(self, action: Any) -> Any:
            *step, info = self.env.step(action)
            return *step, {**info, "episode": 5}

    vec_env = GymnasiumVecEnv(SyncVectorEnv(diaries([{"episode": 5}], lambda env: Hides(Monitor(env)))))
    assert_infos_like_dummy(vec_env, DummyVecEnv(diaries([{"episode": 5}], Monitor)))


class TalkativeCartPoles(CartPoleVectorEnv):
    """Has infos of its own, of each environment and of all."""

    metadata = {**CartPoleVectorEnv.metadata, "autoreset_mode": AutoresetMode.DISABLED}

    def _infos(self) -> dict[str, Any]:
        own = {"episode": np.arange(self.num_envs), "terminal_observation": np.full(self.num_envs, "mine")}
        return {**own, "log": {"mean": 0.5}, "name": "native", "total": np.array(3), "none": None}

    def step(self, action: np.ndarray) -> Any:
        *step, _ = super().step(action)
        self.prev_done[:] = False
        return *step, self._infos()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        mask = (options or {}).pop("reset_mask", np.ones(self.num_envs, bool))
        if self.state is None:
            super().reset(seed=seed)
        assert self.state is not None
        self.state[:, mask] = 0.0
        self.steps[mask] = 0
        return self.state.T.astype(np.float32), self._infos()


def test_our_words_stand_in_native_environments() -> None:
    vec_env = GymnasiumVecEnv(TalkativeCartPoles(3, max_episode_steps=20))
    vec_env.reset()
    of_all = {"log": {"mean": 0.5}, "name": "native", "total": 3, "none": None}
    own = [{"episode": i, "terminal_observation": "mine", **of_all} for i in range(3)]
    assert vec_env.reset_infos == own
    n_ended = 0
    for _ in range(40):
        obs, _, dones, infos = vec_env.step(np.arange(3) % 2)
        for i in range(3):
            if not dones[i]:
                assert infos[i] == {**own[i], "TimeLimit.truncated": False}
                continue
            n_ended += 1
            assert infos[i].keys() == {*own[i], "TimeLimit.truncated"}
            assert infos[i]["episode"]["l"] == infos[i]["episode"]["r"]
            assert infos[i]["terminal_observation"].shape == obs[i].shape
    assert n_ended >= 3


# Types and shapes are those that come


class Rewarded(Walk):
    """A walk with rewards that are given."""

    def __init__(self, reward: Any) -> None:
        super().__init__()
        self.reward = reward

    def step(self, action: int) -> Any:
        obs, _, terminated, truncated, info = super().step(action)
        return obs, self.reward, terminated, truncated, info


@pytest.mark.parametrize("reward", [1e39, -1e300, 2**24 + 1, 0.1, np.float32(0.1), np.int64(2**40 + 1), True])
@pytest.mark.parametrize("mode", MODES)
def test_rewards_lose_nothing(mode: AutoresetMode, reward: Any) -> None:
    vec_env = GymnasiumVecEnv(SyncVectorEnv([lambda: Rewarded(reward)] * 2, autoreset_mode=mode))
    vec_env.reset()
    for _ in range(20):
        _, rewards, dones, infos = vec_env.step(np.ones(2, dtype=np.int64))
        assert rewards.tolist() == [float(reward)] * 2
        for i in np.flatnonzero(dones).tolist():
            assert infos[i]["episode"]["r"] == pytest.approx(float(reward) * infos[i]["episode"]["l"], rel=1e-12, abs=1e-6)


class Given(VectorEnv):
    """Hands out arrays that are given: those of a step, and those of a reset."""

    def __init__(self, space: spaces.Space, step: Any, reset: Any, rewards: np.ndarray, mode: AutoresetMode) -> None:
        self.num_envs = len(rewards)
        self.single_observation_space, self.single_action_space = space, spaces.Discrete(2)
        self.metadata = {"autoreset_mode": mode}
        self.step_obs, self.reset_obs, self.rewards = step, reset, rewards

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        return self.reset_obs, {}

    def step(self, actions: np.ndarray) -> Any:
        ends = np.arange(self.num_envs) % 2 == 0
        infos = {"final_obs": self.step_obs} if self.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP else {}
        return self.step_obs, self.rewards, ends, np.zeros(self.num_envs, bool), infos


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.float16, np.bool_, np.float32, np.float64])
def test_rewards_can_be_added_to(dtype: Any) -> None:
    """As SB3's on-policy algorithms do with the value of what a time limit cut off."""
    obs = np.zeros((4, 2), np.float32)
    vec_env = GymnasiumVecEnv(Given(spaces.Box(-1, 1, (2,)), obs, obs, np.ones(4, dtype), AutoresetMode.DISABLED))
    vec_env.reset()
    _, rewards, _, _ = vec_env.step(np.zeros(4, dtype=np.int64))
    assert rewards.dtype == (np.float32 if dtype == np.float32 else np.float64)
    rewards[1] += 0.25
    assert rewards.tolist() == [1.0, 1.25, 1.0, 1.0]
    assert vec_env.step(np.zeros(4, dtype=np.int64))[1].tolist() == [1.0] * 4


KINDS = [np.uint8, np.int32, np.float16, np.float32, np.float64]


@pytest.mark.parametrize("mode", [AutoresetMode.DISABLED, AutoresetMode.SAME_STEP])
@given(
    at_steps=arrays(st.sampled_from(KINDS), (3, 2), elements=st.integers(0, 100)),
    at_resets=arrays(st.sampled_from(KINDS), (3, 2), elements=st.integers(0, 100)),
    is_dict=st.booleans(),
)
def test_observations_have_the_type_in_which_they_come(
    mode: AutoresetMode, at_steps: np.ndarray, at_resets: np.ndarray, is_dict: bool
) -> None:
    """A number that only the wider type has is among them, whichever of the two that is."""
    for array in (at_steps, at_resets):
        array[:] = np.nextafter(array, array.dtype.type(200)) if array.dtype.kind == "f" else array
    box = spaces.Box(-np.inf, np.inf, (2,), np.float32)
    space, step, reset = (({"a": part, "b": part} if is_dict else part) for part in (box, at_steps.copy(), at_resets.copy()))
    vec_env = GymnasiumVecEnv(Given(spaces.Dict(space) if is_dict else space, step, reset, np.ones(3), mode))

    def assert_exactly(obs: Any, expected: np.ndarray) -> None:
        for values in obs.values() if is_dict else [obs]:
            np.testing.assert_array_equal(values, expected, strict=True)

    assert_exactly(vec_env.reset(), at_resets)
    obs, _, dones, infos = vec_env.step(np.zeros(3, dtype=np.int64))
    assert dones.tolist() == [True, False, True]
    for i in (0, 2):
        assert_exactly(infos[i]["terminal_observation"], at_steps[i])
    if mode == AutoresetMode.DISABLED:
        expected = at_steps.astype(np.result_type(at_steps, at_resets))
        expected[::2] = at_resets[::2]
        assert_exactly(obs, expected)
    else:
        assert_exactly(obs, at_steps)


@pytest.mark.parametrize("dtype", [np.float64, np.int64])
def test_last_observations_are_those_of_dummy(dtype: Any) -> None:
    """In same-step mode the environment's own object is handed out, which may be of another type than the space."""

    class Wide(Walk):
        def _observe(self) -> Any:
            return (1e9 * super()._observe()).astype(dtype)

    vec_env = GymnasiumVecEnv(SyncVectorEnv([Wide] * 2, autoreset_mode=AutoresetMode.SAME_STEP))
    dummy = DummyVecEnv([Wide] * 2)
    for env in (vec_env, dummy):
        env.seed(1)
        env.reset()
    n_ended = 0
    for _ in range(20):
        _, _, dones, infos = vec_env.step(np.ones(2, dtype=np.int64))
        _, _, _, dummy_infos = dummy.step(np.ones(2, dtype=np.int64))
        for i in np.flatnonzero(dones):
            last, expected = infos[i]["terminal_observation"], dummy_infos[i]["terminal_observation"]
            np.testing.assert_array_equal(last, expected, strict=True)
            n_ended += 1
    assert n_ended > 4


@pytest.mark.parametrize("shape", [(4, 1), (4, 3), (4,)])
def test_resets_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    step, reset = np.zeros((4, 2), np.float32), np.zeros(shape, np.float32)
    vec_env = GymnasiumVecEnv(Given(spaces.Box(-1, 1, (2,)), step, reset, np.ones(4), AutoresetMode.DISABLED))
    vec_env.reset()
    with pytest.raises(ValueError, match=r"shape \(2,\) at steps, but of shape"):
        vec_env.step(np.zeros(4, dtype=np.int64))


def test_same_step_resets_without_last_observations_are_refused() -> None:
    obs = np.zeros((4, 2), np.float32)
    given_env = Given(spaces.Box(-1, 1, (2,)), obs, obs, np.ones(4), AutoresetMode.DISABLED)
    given_env.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}
    vec_env = GymnasiumVecEnv(given_env)
    given_env.metadata = {"autoreset_mode": AutoresetMode.DISABLED}
    vec_env.reset()
    with pytest.raises(ValueError, match="final_obs"):
        vec_env.step(np.zeros(4, dtype=np.int64))


@pytest.mark.parametrize("kind", ["box", "dict"])
@pytest.mark.parametrize("mode", MODES)
def test_last_observations_stay_as_they_were(mode: AutoresetMode, kind: str) -> None:
    """Where environments write each observation into the same array, too."""

    class Reuses(Walk):
        def _observe(self) -> Any:
            obs = super()._observe()
            self.kept = getattr(self, "kept", obs)
            (self.kept["place"] if kind == "dict" else self.kept)[:] = obs["place"] if kind == "dict" else obs
            return self.kept

    vec_env = GymnasiumVecEnv(SyncVectorEnv([lambda: Reuses(kind)] * 2, autoreset_mode=mode))
    vec_env.reset()
    last: list[Any] = []
    copies: list[Any] = []
    for _ in range(20):
        _, _, dones, infos = vec_env.step(np.ones(2, dtype=np.int64))
        last += [infos[i]["terminal_observation"] for i in np.flatnonzero(dones)]
        copies = copies + copy.deepcopy(last[len(copies) :])
    assert len(last) > 4
    for one, other in zip(last, copies, strict=True):
        assert_same(one, other)


# Seeds, options, actions


def test_seeds_and_options_are_used_once() -> None:
    vec_env = GymnasiumVecEnv(SyncVectorEnv(walks()))
    vec_env.seed(np.int64(2))  # type: ignore[arg-type]
    vec_env.set_options({"shift": 5.0})
    first = np.asarray(vec_env.reset())
    assert first[:, 0].min() > 3.0
    assert vec_env.reset_infos[0]["options"] == "{'shift': 5.0}"
    again = np.asarray(vec_env.reset())
    assert again[:, 0].max() < 3.0
    assert vec_env.reset_infos[0]["options"] == "None"
    assert not np.allclose(first[:, 0] - 5.0, again[:, 0])


@pytest.mark.parametrize("make", [native_cart_poles, lambda: SyncVectorEnv(walks())])
def test_the_seed_decides(make: Callable[[], VectorEnv]) -> None:
    def play(seed: int) -> list[Any]:
        vec_env = GymnasiumVecEnv(make())
        assert vec_env.seed(seed) == [seed + i for i in range(N_ENVS)]
        played: list[Any] = [vec_env.reset()]
        return played + [vec_env.step(np.ones(N_ENVS, dtype=np.int64))[0] for _ in range(30)]

    first, same, other = play(4), play(4), play(5)
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)


def test_options_that_differ_are_refused() -> None:
    vec_env = GymnasiumVecEnv(SyncVectorEnv(walks()))
    vec_env.set_options([{"shift": float(i)} for i in range(N_ENVS)])
    with pytest.raises(ValueError, match="they differ"):
        vec_env.reset()


def test_arrays_of_another_library_are_refused() -> None:
    class Lists(VectorWrapper):
        def reset(self, **kwargs: Any) -> Any:
            obs, infos = self.env.reset(**kwargs)
            return obs.tolist(), infos

    vec_env = GymnasiumVecEnv(Lists(SyncVectorEnv(walks(), autoreset_mode=AutoresetMode.SAME_STEP)))
    with pytest.raises(TypeError, match="observations of type list"):
        vec_env.reset()


def test_steps_before_the_reset_and_after_the_end_are_refused() -> None:
    vec_env = GymnasiumVecEnv(native_cart_poles())
    with pytest.raises(RuntimeError, match="reset"):
        vec_env.step(np.ones(N_ENVS, dtype=np.int64))
    vec_env.reset()
    vec_env.close()
    vec_env.close()
    with pytest.raises(RuntimeError, match="closed"):
        vec_env.step(np.ones(N_ENVS, dtype=np.int64))


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8, np.float32])
def test_actions_of_other_types(dtype: Any) -> None:
    vec_env = GymnasiumVecEnv(native_cart_poles())
    vec_env.reset()
    vec_env.step(np.ones(N_ENVS, dtype=dtype))


def test_float64_actions_for_a_float32_box() -> None:
    vec_env = GymnasiumVecEnv(gym.make_vec("Pendulum-v1", num_envs=2, vectorization_mode="sync"))
    vec_env.reset()
    vec_env.step(np.zeros((2, 1), dtype=np.float64))


# SB3's wrappers and algorithms


def test_sb3_wrappers_stack() -> None:
    vec_env: VecEnv = GymnasiumVecEnv(native_cart_poles(max_episode_steps=20))
    with pytest.warns(UserWarning, match="already wrapped"):
        vec_env = VecMonitor(vec_env)
    vec_env = VecFrameStack(VecNormalize(VecCheckNan(vec_env, raise_exception=True)), 3)
    vec_env.seed(0)
    obs = vec_env.reset()
    assert np.shape(obs) == (N_ENVS, 12)
    n_ended = 0
    for _ in range(100):
        obs, _, dones, infos = vec_env.step(np.random.default_rng(0).integers(0, 2, N_ENVS))
        for i in np.flatnonzero(dones):
            assert infos[i]["terminal_observation"].shape == (12,)
            assert infos[i]["episode"]["l"] <= 20
            n_ended += 1
    assert n_ended > 5


@pytest.mark.parametrize("mode", MODES)
def test_sb3_wrappers_see_what_they_see_on_dummy(mode: AutoresetMode) -> None:
    stacks: list[VecEnv] = []
    for inner in (
        GymnasiumVecEnv(SyncVectorEnv(walks("dict"), autoreset_mode=mode)),
        DummyVecEnv([lambda: Monitor(Walk("dict")) for _ in range(N_ENVS)]),
    ):
        stacks.append(VecFrameStack(VecNormalize(VecExtractDictObs(inner, "place")), 2))
    assert_steps_like_dummy_approximately(*stacks)


def assert_steps_like_dummy_approximately(vec_env: VecEnv, dummy: VecEnv) -> None:
    vec_env.seed(3)
    dummy.seed(3)
    np.testing.assert_allclose(vec_env.reset(), dummy.reset())  # type: ignore[arg-type]
    rng = np.random.default_rng(0)
    for _ in range(60):
        actions = rng.integers(0, 2, N_ENVS)
        obs, rewards, dones, infos = vec_env.step(actions)
        dummy_obs, dummy_rewards, dummy_dones, dummy_infos = dummy.step(actions)
        np.testing.assert_allclose(obs, dummy_obs)  # type: ignore[arg-type]
        np.testing.assert_allclose(rewards, dummy_rewards, rtol=1e-6)
        for i in np.flatnonzero(dones | dummy_dones):
            np.testing.assert_allclose(infos[i]["terminal_observation"], dummy_infos[i]["terminal_observation"])


def test_evaluate_policy_and_reinforce() -> None:
    vec_env = GymnasiumVecEnv(native_cart_poles(8))
    model = REINFORCE("LinearSoftmaxPolicy", vec_env, seed=0)
    model.learn(2000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        returns, lengths = evaluate_policy(model, vec_env, n_eval_episodes=10, return_episode_rewards=True)
    assert len(returns) == 10  # type: ignore[arg-type]
    assert returns == lengths
    assert model.ep_info_buffer


def ppo(env: VecEnv, n_timesteps: int) -> PPO:
    settings = dict(n_steps=32, batch_size=256, n_epochs=20, gae_lambda=0.8, gamma=0.98, learning_rate=3e-3)
    return PPO("MlpPolicy", env, stats_window_size=30, seed=0, device="cpu", **settings).learn(n_timesteps)


def test_ppo_learns_the_same_as_on_dummy() -> None:
    """To the last bit, with episodes that are cut off, too: what PPO adds there is the value of the last observation."""
    makers = [lambda: gym.make("CartPole-v1", max_episode_steps=20)] * 8
    models = [ppo(env, 600) for env in (GymnasiumVecEnv(SyncVectorEnv(makers)), VecMonitor(DummyVecEnv(makers)))]
    assert [info["r"] for info in models[0].ep_info_buffer] == [info["r"] for info in models[1].ep_info_buffer]
    for ours, theirs in zip(*(model.policy.parameters() for model in models), strict=True):
        assert th.equal(ours, theirs)


def test_ppo_learns_on_native_environments() -> None:
    """The mean of the last 30 episodes of training."""
    model = ppo(GymnasiumVecEnv(native_cart_poles(8)), 3_500)
    assert np.mean([info["r"] for info in model.ep_info_buffer]) > 50, "a random policy reaches 22"


def test_off_policy_algorithms_run() -> None:
    cart_poles = GymnasiumVecEnv(native_cart_poles(4))
    DQN("MlpPolicy", cart_poles, learning_starts=100, buffer_size=1000, seed=0, device="cpu").learn(160)
    pendulums = GymnasiumVecEnv(gym.make_vec("Pendulum-v1", num_envs=2, vectorization_mode="sync", max_episode_steps=30))
    small = {"net_arch": [16]}
    model = SAC("MlpPolicy", pendulums, learning_starts=70, buffer_size=200, policy_kwargs=small, seed=0, device="cpu")
    model.learn(90)
    # An episode of Pendulum is always cut off at 30 steps, and never terminates
    assert model.replay_buffer is not None
    assert model.replay_buffer.timeouts[29].all()
    assert model.replay_buffer.timeouts.sum() == 2
