"""GymnasiumVecEnv against DummyVecEnv, in every autoreset mode, and under SB3's wrappers and algorithms."""

import copy
import pickle
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv, VectorWrapper
from gymnasium.wrappers import vector as vector_wrappers
from stable_baselines3 import DQN, PPO, SAC
from stable_baselines3.common.env_util import make_vec_env
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
from sb3_reinforce.vec_env.gymnasium_vec_env import LazyInfos, info_of

MODES = list(AutoresetMode)
N_ENVS = 5


class Walk(gym.Env[Any, int]):
    """A random walk with infos of all kinds, which ends at -3 and 3 and is cut off after 12 steps."""

    metadata = {"render_modes": ["rgb_array"]}

    def __init__(self, kind: str = "box", render_mode: str | None = None) -> None:
        boxes = {
            "place": spaces.Box(-10.0, 10.0, (2,), np.float32),
            "time": spaces.Discrete(20),
        }
        self.kind = kind
        self.render_mode = render_mode
        self.observation_space = spaces.Dict(boxes) if kind == "dict" else boxes["place"] if kind == "box" else boxes["time"]
        self.action_space = spaces.Discrete(2)  # type: ignore[assignment]
        self.colour = 7
        self.calls = 0

    def _observe(self) -> Any:
        place = np.array([self.place, self.time], np.float32)
        return {"dict": {"place": place, "time": self.time}, "box": place, "discrete": self.time}[self.kind]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.place, self.time = float(self.np_random.uniform(-1.0, 1.0)), 0
        self.place += (options or {}).get("shift", 0.0)
        return self._observe(), {"start": self.place, "options": str(options or None)}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.time += 1
        self.place += 2.0 * action - 1.0 + float(self.np_random.normal(0.0, 0.1))
        terminated, truncated = abs(self.place) > 3.0, self.time >= 12
        info: dict[str, Any] = {"place": self.place, "nested": {"time": self.time}}
        if terminated:
            info["is_success"] = self.place > 0
        return self._observe(), self.place / 3.0, terminated, truncated, info

    def render(self) -> Any:
        return np.full((4, 6, 3), self.time, np.uint8)

    def call(self, number: int, *, plus: int = 0) -> int:
        self.calls += 1
        return number + plus


def walks(kind: str = "box", **kwargs: Any) -> list[Callable[[], gym.Env]]:
    return [lambda: Walk(kind, **kwargs) for _ in range(N_ENVS)]


def native_cart_poles(n_envs: int = N_ENVS, **kwargs: Any) -> VectorEnv:
    return gym.make_vec("CartPole-v1", num_envs=n_envs, vectorization_mode="vector_entry_point", **kwargs)


@pytest.fixture
def async_env() -> Iterator[Callable[..., AsyncVectorEnv]]:
    made: list[AsyncVectorEnv] = []

    def make(**kwargs: Any) -> AsyncVectorEnv:
        made.append(AsyncVectorEnv(walks(), context="fork", **kwargs))
        return made[-1]

    yield make
    for env in made:
        env.close()


def assert_same(actual: Any, expected: Any) -> None:
    if isinstance(expected, dict):
        assert set(actual) == set(expected)
        for key, value in expected.items():
            assert_same(actual[key], value)
    elif isinstance(expected, (np.ndarray, float)):
        assert np.shape(actual) == np.shape(expected)
        np.testing.assert_array_equal(actual, expected)
    else:
        assert actual == expected


def assert_same_info(actual: dict[str, Any], expected: dict[str, Any]) -> None:
    actual, expected = copy.deepcopy(actual), copy.deepcopy(expected)
    for info in (actual, expected):
        if "episode" in info:
            assert info["episode"].pop("t") >= 0.0
            info["episode"]["r"] = pytest.approx(info["episode"]["r"], abs=2e-6) if info is expected else info["episode"]["r"]
    assert_same(actual, expected)


def assert_steps_like_dummy(vec_env: VecEnv, dummy: VecEnv, n_steps: int = 120) -> None:
    """The same seeds and actions must give the same of everything."""
    vec_env.seed(3)
    dummy.seed(3)
    rng = np.random.default_rng(0)
    assert_same(vec_env.reset(), dummy.reset())
    seen = {"terminated": 0, "timeouts": 0}
    for _ in range(n_steps):
        assert_same(list(vec_env.reset_infos), dummy.reset_infos)
        actions = rng.integers(0, 2, N_ENVS)
        obs, rewards, dones, infos = vec_env.step(actions)
        dummy_obs, dummy_rewards, dummy_dones, dummy_infos = dummy.step(actions)
        assert_same(obs, dummy_obs)
        assert rewards.dtype == np.float32
        assert dones.dtype == bool
        assert_same(rewards, dummy_rewards)
        assert_same(dones, dummy_dones)
        assert len(infos) == N_ENVS
        for info, dummy_info in zip(infos, dummy_infos, strict=True):
            assert_same_info(info, dummy_info)
        for done, info in zip(dones, infos, strict=True):
            seen["timeouts"] += info["TimeLimit.truncated"]
            seen["terminated"] += done and not info["TimeLimit.truncated"]
    assert min(seen.values()) >= 5


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


def test_async_that_does_not_forget_its_autoreset_is_refused(async_env: Callable[..., AsyncVectorEnv]) -> None:
    with pytest.raises(ValueError, match="shared_memory=True"):
        GymnasiumVecEnv(async_env(shared_memory=False))


@pytest.mark.parametrize("mode", MODES)
def test_monitors_of_the_sub_environments_stand(mode: AutoresetMode) -> None:
    def clipped() -> gym.Env:
        return gym.wrappers.TransformReward(Monitor(Walk()), lambda reward: 100.0 + float(reward))

    vec_env = GymnasiumVecEnv(SyncVectorEnv([clipped] * N_ENVS, autoreset_mode=mode))
    assert_steps_like_dummy(vec_env, DummyVecEnv([clipped] * N_ENVS))


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED])
def test_gymnasiums_wrappers_may_lie_between(mode: AutoresetMode) -> None:
    sync = SyncVectorEnv(walks(), autoreset_mode=mode)
    space = spaces.Box(-20.0, 20.0, (2,), np.float32)
    doubled = vector_wrappers.TransformObservation(
        sync, lambda obs: obs * np.float32(2.0), None, single_observation_space=space
    )
    vec_env = GymnasiumVecEnv(vector_wrappers.TransformReward(doubled, lambda rewards: rewards + 1.0))

    def same() -> gym.Env:
        env = gym.wrappers.TransformObservation(Walk(), lambda obs: obs * np.float32(2.0), space)
        return Monitor(gym.wrappers.TransformReward(env, lambda reward: float(reward) + 1.0))

    assert_steps_like_dummy(vec_env, DummyVecEnv([same] * N_ENVS))


def copy_states(native: CartPoleVectorEnv, dummy: DummyVecEnv, which: np.ndarray) -> None:
    for i in np.flatnonzero(which):
        dummy.envs[i].unwrapped.state = native.state[:, i].copy()  # type: ignore[attr-defined, index]


@pytest.mark.parametrize("kwargs", [{}, {"sutton_barto_reward": True}])
def test_native_cart_pole_is_dummy(kwargs: dict[str, Any]) -> None:
    native = native_cart_poles(8, max_episode_steps=25, **kwargs)
    vec_env = GymnasiumVecEnv(native)
    dummy = DummyVecEnv([lambda: Monitor(gym.make("CartPole-v1", max_episode_steps=25, **kwargs)) for _ in range(8)])
    vec_env.seed(1)
    reset_obs = vec_env.reset()
    dummy.reset()
    everyone = np.ones(8, dtype=bool)
    copy_states(native.unwrapped, dummy, everyone)
    rng = np.random.default_rng(1)
    n_timeouts = n_ended = 0
    for _ in range(300):
        actions = rng.integers(0, 2, 8)
        obs, rewards, dones, infos = vec_env.step(actions)
        dummy_obs, dummy_rewards, dummy_dones, dummy_infos = dummy.step(actions)
        np.testing.assert_array_equal(dones, dummy_dones)
        np.testing.assert_array_equal(rewards, dummy_rewards)
        assert isinstance(obs, np.ndarray)
        assert isinstance(dummy_obs, np.ndarray)
        np.testing.assert_allclose(obs[~dones], dummy_obs[~dones], rtol=1e-5, atol=1e-6)
        for i in np.flatnonzero(dones):
            assert np.abs(obs[i]).max() <= 0.05
            np.testing.assert_allclose(
                infos[i]["terminal_observation"], dummy_infos[i]["terminal_observation"], rtol=1e-5, atol=1e-6
            )
            for key in ("r", "l"):
                assert infos[i]["episode"][key] == dummy_infos[i]["episode"][key]
        timeouts = [info["TimeLimit.truncated"] for info in infos]
        assert timeouts == [info["TimeLimit.truncated"] for info in dummy_infos]
        n_timeouts, n_ended = n_timeouts + sum(timeouts), n_ended + dones.sum()
        copy_states(native.unwrapped, dummy, dones)
    assert np.abs(np.asarray(reset_obs)).max() <= 0.05
    assert n_timeouts >= 10
    assert n_ended - n_timeouts >= 10


def test_native_cart_pole_draws_as_it_would_itself() -> None:
    """The reset states are those of the bare vector environment, handed out a step earlier."""
    bare, vec_env = native_cart_poles(1), GymnasiumVecEnv(native_cart_poles(1))
    vec_env.seed(5)
    bare_obs, _ = bare.reset(seed=5)
    obs = vec_env.reset()
    left = np.zeros(1, dtype=np.int64)
    for _ in range(60):
        np.testing.assert_array_equal(obs, bare_obs)
        bare_obs, _, terminated, _, _ = bare.step(left)
        obs, _, dones, infos = vec_env.step(left)
        assert dones[0] == terminated[0]
        if terminated[0]:
            np.testing.assert_array_equal(infos[0]["terminal_observation"], bare_obs[0])
            bare_obs, *_ = bare.step(left)


def test_custom_reset_bounds_hold_for_later_resets_too() -> None:
    vec_env = GymnasiumVecEnv(native_cart_poles(4))
    vec_env.set_options({"low": 0.01, "high": 0.02})
    obs = np.asarray(vec_env.reset())
    assert obs.min() >= 0.0099
    for _ in range(30):
        obs, _, dones, _ = vec_env.step(np.zeros(4, dtype=np.int64))  # type: ignore[assignment]
        assert dones.sum() == 0 or obs[dones].min() >= 0.0099


# What other algorithms can't be spared


class NextStepOnly(CartPoleVectorEnv):
    """Like any vector environment nobody knows: it can't be reset in part."""


def test_unknown_next_step_environments_have_reset_transitions() -> None:
    with pytest.warns(UserWarning, match="only with the step after"):
        vec_env = GymnasiumVecEnv(NextStepOnly(4, max_episode_steps=20))
    twin = NextStepOnly(4, max_episode_steps=20)
    vec_env.seed(0)
    obs = vec_env.reset()
    np.testing.assert_array_equal(obs, twin.reset(seed=0)[0])
    rng = np.random.default_rng(0)
    before = np.zeros(4, dtype=bool)
    lengths = np.zeros(4, dtype=int)
    assert not vec_env.reset_transitions.any()
    n_ended = 0
    for _ in range(200):
        actions = rng.integers(0, 2, 4)
        obs, rewards, dones, infos = vec_env.step(actions)
        twin_obs, twin_rewards, terminated, truncated, _ = twin.step(actions)
        np.testing.assert_array_equal(obs, twin_obs)
        np.testing.assert_array_equal(rewards, twin_rewards)
        np.testing.assert_array_equal(dones, terminated | truncated)
        np.testing.assert_array_equal(vec_env.reset_transitions, before)
        assert [info.get("reset_transition", False) for info in infos] == before.tolist()
        lengths = np.where(before, 0, lengths + 1)
        for i in np.flatnonzero(dones):
            np.testing.assert_array_equal(infos[i]["terminal_observation"], twin_obs[i])
            assert infos[i]["episode"]["l"] == infos[i]["episode"]["r"] == lengths[i]
            n_ended += 1
        before = dones
    assert n_ended > 10
    vec_env.reset()
    assert not vec_env.reset_transitions.any()
    vec_env.step(np.zeros(4, dtype=np.int64))
    assert not vec_env.reset_transitions.any()


@pytest.mark.parametrize(
    "wrapper",
    [vector_wrappers.NormalizeObservation, vector_wrappers.NormalizeReward, vector_wrappers.RecordEpisodeStatistics],
)
def test_wrappers_that_can_not_be_reset_in_part_are_named(wrapper: Callable[[VectorEnv], VectorEnv]) -> None:
    with pytest.warns(UserWarning, match=getattr(wrapper, "__name__", "")):
        vec_env = GymnasiumVecEnv(wrapper(SyncVectorEnv(walks())))
    vec_env.reset()
    n_resets = 0
    for _ in range(30):
        _, _, _, infos = vec_env.step(np.ones(N_ENVS, dtype=np.int64))
        n_resets += sum("reset_transition" in info for info in infos)
    assert n_resets >= N_ENVS


def test_a_wrapped_native_environment_is_not_reset_behind_its_wrappers() -> None:
    doubled = vector_wrappers.TransformReward(native_cart_poles(), lambda rewards: 2 * rewards)
    with pytest.warns(UserWarning, match="only with the step after"):
        vec_env = GymnasiumVecEnv(doubled)
    vec_env.reset()
    np.testing.assert_array_equal(vec_env.step(np.ones(N_ENVS, dtype=np.int64))[1], np.full(N_ENVS, 2.0))


def test_no_warning_where_all_is_well() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        vec_env = GymnasiumVecEnv(native_cart_poles())
        vec_env.reset()
        for _ in range(40):
            vec_env.step(np.ones(N_ENVS, dtype=np.int64))
            assert not vec_env.reset_transitions.any()


# Nothing that is handed out changes later


class ReusesItsArrays(CartPoleVectorEnv):
    """Same-step resets, with everything written into the same arrays at each step."""

    metadata = {**CartPoleVectorEnv.metadata, "autoreset_mode": AutoresetMode.DISABLED}

    def _hand_out(self, obs: np.ndarray) -> np.ndarray:
        if not hasattr(self, "buffer"):
            self.buffer = obs.copy()
        self.buffer[:] = obs
        return self.buffer

    def step(self, action: np.ndarray) -> Any:
        obs, rewards, terminated, truncated, _ = super().step(action)
        self.prev_done[:] = False
        self.numbers = getattr(self, "numbers", np.zeros(self.num_envs))
        self.numbers += 1
        return self._hand_out(obs), rewards, terminated, truncated, {"number": self.numbers}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        mask = (options or {}).pop("reset_mask", None)
        if mask is None:
            return self._hand_out(super().reset(seed=seed)[0]), {}
        assert self.state is not None
        self.state[:, mask] = 0.0
        self.steps[mask] = 0
        return self._hand_out(self.state.T.astype(np.float32)), {}


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


def test_infos_that_are_read_late_are_of_their_own_step() -> None:
    vec_env = GymnasiumVecEnv(ReusesItsArrays(N_ENVS))
    vec_env.reset()
    steps = [vec_env.step(np.ones(N_ENVS, dtype=np.int64)) for _ in range(30)]
    assert [infos[2]["number"] for *_, infos in steps] == list(range(1, 31))


def test_who_writes_into_an_info_writes_into_that_one_alone() -> None:
    vec_env = GymnasiumVecEnv(native_cart_poles())
    vec_env.reset()
    _, _, _, infos = vec_env.step(np.ones(N_ENVS, dtype=np.int64))
    infos[1]["mine"] = 1
    infos[-1]["TimeLimit.truncated"] = "?"
    assert infos[1] == {"TimeLimit.truncated": False, "mine": 1}
    assert list(infos) == [{"TimeLimit.truncated": False}] + [infos[1]] + [{"TimeLimit.truncated": False}] * 2 + [infos[4]]
    assert infos[4] == {"TimeLimit.truncated": "?"}
    infos[0]["later"] = 2
    assert "later" not in infos[2]
    _, _, _, later = vec_env.step(np.ones(N_ENVS, dtype=np.int64))
    assert later == [{"TimeLimit.truncated": False}] * N_ENVS


EAGER = [{"place": float(i), "TimeLimit.truncated": False} for i in range(4)]


@pytest.mark.parametrize(
    "use",
    [
        list,
        tuple,
        copy.copy,
        copy.deepcopy,
        lambda infos: pickle.loads(pickle.dumps(infos)),
        lambda infos: infos[:],
        lambda infos: infos[1:3],
        lambda infos: infos[::-1],
        lambda infos: infos[-1],
        lambda infos: infos[np.int64(2)],
        lambda infos: infos.copy(),
        lambda infos: infos + [1],  # noqa: RUF005
        lambda infos: [1] + infos,  # noqa: RUF005
        lambda infos: infos * 2,
        lambda infos: [*infos],
        lambda infos: [1, 2, *infos],
        lambda infos: np.array(infos).tolist(),
        lambda infos: np.asarray(infos, dtype=object)[1],
        lambda infos: list(reversed(infos)),
        lambda infos: list(enumerate(infos)),
        lambda infos: [info for info in infos if info],
        lambda infos: EAGER[2] in infos,
        lambda infos: infos == EAGER,
        lambda infos: infos != EAGER,
        lambda infos: EAGER == infos,  # noqa: SIM300
        lambda infos: infos.index(EAGER[2]),
        lambda infos: infos.count(EAGER[2]),
        lambda infos: (infos.pop(0), infos[0]),
        lambda infos: (infos.append(1), infos[3], infos[4]),
        lambda infos: (infos.insert(0, 1), infos[1]),
        lambda infos: (infos.__setitem__(slice(0, 2), []), infos[0]),
        repr,
        len,
        bool,
        isinstance,
    ],
)
def test_lazy_infos_are_a_list_to_everyone(use: Callable[..., Any]) -> None:
    def lazy() -> LazyInfos:
        return LazyInfos(4, {"place": np.arange(4.0), "end": np.ones(4), "_end": np.zeros(4, dtype=bool)})

    touched = lazy()
    assert touched[2] == EAGER[2]
    for infos in (lazy(), touched):
        eager = copy.deepcopy(EAGER)
        if use is isinstance:
            assert isinstance(infos, list)
            continue
        if use is repr:
            assert str(infos) == str([dict(info) for info in lazy()])
            continue
        assert use(infos) == use(eager)


def test_lazy_infos_fill_an_object_array() -> None:
    array = np.empty(4, dtype=object)
    array[:] = LazyInfos(4, {})
    assert array.tolist() == [{"TimeLimit.truncated": False}] * 4
    assert len({id(info) for info in array}) == 4


def test_lazy_infos_raise_like_a_list() -> None:
    with pytest.raises(IndexError):
        LazyInfos(2, {})[2]


def test_info_of_takes_what_the_masks_allow() -> None:
    infos = {
        "a": np.array([1, 2]),
        "_a": np.array([True, False]),
        "b": {"c": np.array([3, 4]), "_c": np.array([False, True])},
        "_private": np.array([5, 6]),
    }
    assert info_of(infos, 0) == {"a": 1, "b": {}, "_private": 5}
    assert info_of(infos, 1) == {"b": {"c": 4}, "_private": 6}


# Seeds, options, attributes, pictures


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


def test_options_that_differ_are_refused() -> None:
    vec_env = GymnasiumVecEnv(SyncVectorEnv(walks()))
    vec_env.set_options([{"shift": float(i)} for i in range(N_ENVS)])
    with pytest.raises(ValueError, match="they differ"):
        vec_env.reset()


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_attributes_and_methods_of_sub_environments(kind: str, async_env: Callable[..., AsyncVectorEnv]) -> None:
    vec_env = GymnasiumVecEnv(async_env() if kind == "async" else SyncVectorEnv(walks()))
    assert vec_env.get_attr("colour") == [7] * N_ENVS
    assert vec_env.get_attr("spec") == vec_env.get_attr("render_mode") == [None] * N_ENVS
    vec_env.set_attr("colour", 8, indices=[1, 3])
    vec_env.set_attr("colour", 9, indices=-1)
    assert vec_env.get_attr("colour") == [7, 8, 7, 8, 9]
    assert vec_env.get_attr("colour", indices=[4, 0]) == [9, 7]
    assert vec_env.env_method("call", 2, plus=3, indices=[0, 2]) == [5, 5]
    assert vec_env.get_attr("calls") == [1, 0, 1, 0, 0]
    assert vec_env.env_method("call", 2) == [2] * N_ENVS
    assert vec_env.has_attr("colour")
    assert not vec_env.has_attr("sound")
    with pytest.raises(AttributeError):
        vec_env.get_attr("sound")
    with pytest.raises(AttributeError):
        vec_env.env_method("sing")
    vec_env.set_attr("colour", 1)
    assert vec_env.get_attr("colour") == [1] * N_ENVS
    vec_env.reset()


def test_attributes_of_a_native_environment() -> None:
    vec_env = GymnasiumVecEnv(native_cart_poles())
    spec = vec_env.get_attr("spec", indices=0)[0]
    assert (spec.id, spec.reward_threshold) == ("CartPole-v1", 475.0)
    assert vec_env.get_attr("gravity") == [9.8] * N_ENVS
    assert vec_env.get_attr("gravity", indices=[1, 2]) == [9.8] * 2
    vec_env.set_attr("gravity", 1.6)
    assert vec_env.get_attr("gravity", indices=3) == [1.6]
    with pytest.raises(ValueError, match="one object for all"):
        vec_env.set_attr("gravity", 1.6, indices=[1])
    assert len(vec_env.env_method("__repr__")) == N_ENVS
    with pytest.raises(ValueError, match="one object for all"):
        vec_env.env_method("__repr__", indices=0)
    assert not vec_env.has_attr("sound")
    with pytest.raises(AttributeError, match="sound"):
        vec_env.get_attr("sound")


def test_env_is_wrapped() -> None:
    vec_env = GymnasiumVecEnv(SyncVectorEnv([lambda: gym.wrappers.TimeLimit(Walk(), 5), Walk]))
    assert vec_env.env_is_wrapped(Monitor) == [True, True]
    assert vec_env.env_is_wrapped(gym.wrappers.TimeLimit) == [True, False]
    assert vec_env.env_is_wrapped(gym.wrappers.TimeLimit, indices=1) == [False]
    assert GymnasiumVecEnv(native_cart_poles()).env_is_wrapped(gym.wrappers.TimeLimit, indices=0) == [False]


def test_pictures() -> None:
    vec_env = GymnasiumVecEnv(SyncVectorEnv(walks(render_mode="rgb_array")))
    vec_env.reset()
    assert vec_env.render_mode == "rgb_array"
    assert [image.shape for image in vec_env.get_images() if image is not None] == [(4, 6, 3)] * N_ENVS
    picture = vec_env.render()
    assert picture is not None
    assert picture.shape == (12, 12, 3)
    silent = GymnasiumVecEnv(SyncVectorEnv(walks()))
    with pytest.warns(UserWarning, match="rgb_array"):
        assert silent.get_images() == [None] * N_ENVS


def test_pictures_of_native_cart_poles() -> None:
    pytest.importorskip("pygame")
    vec_env = GymnasiumVecEnv(native_cart_poles(2, render_mode="rgb_array"))
    vec_env.reset()
    picture = vec_env.render()
    assert picture is not None
    assert picture.shape == (800, 600, 3)
    vec_env.close()


# What can't be


class Space(gym.Env[Any, Any]):
    def __init__(self, observation_space: spaces.Space, action_space: spaces.Space) -> None:
        self.observation_space, self.action_space = observation_space, action_space
        self.render_mode = None


def test_spaces_that_sb3_lacks_are_refused() -> None:
    box = spaces.Box(-1.0, 1.0, (2,))
    for observed in (spaces.Tuple((box, box)), spaces.Text(3), spaces.Dict(a=spaces.Tuple((box,)))):
        with pytest.raises((ValueError, NotImplementedError)):
            GymnasiumVecEnv(SyncVectorEnv([lambda space=observed: Space(space, spaces.Discrete(2))]))  # type: ignore[misc]
    with pytest.raises(ValueError, match="no observations like Tuple"):
        GymnasiumVecEnv(SyncVectorEnv([lambda: Space(spaces.Tuple((box, box)), box)]))
    with pytest.raises(ValueError, match="no actions like Tuple"):
        GymnasiumVecEnv(SyncVectorEnv([lambda: Space(box, spaces.Tuple((box, box)))]))


def test_other_things_are_refused() -> None:
    with pytest.raises(TypeError, match="make_vec"):
        GymnasiumVecEnv(gym.make("CartPole-v1"))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="without DictInfoToList"):
        GymnasiumVecEnv(vector_wrappers.DictInfoToList(SyncVectorEnv(walks())))


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


def test_ppo_learns_as_on_dummy() -> None:
    """Three seeds each; what is compared is the mean of the last 30 episodes of training, which varies by a sixth a seed."""

    def learn(env: VecEnv, seed: int) -> float:
        settings = dict(n_steps=32, batch_size=256, n_epochs=20, gae_lambda=0.8, gamma=0.98, learning_rate=1e-3)
        model = PPO("MlpPolicy", env, stats_window_size=30, seed=seed, device="cpu", **settings)
        return float(np.mean([info["r"] for info in model.learn(6_000).ep_info_buffer]))

    on_native = [learn(GymnasiumVecEnv(native_cart_poles(8)), seed) for seed in range(3)]
    on_dummy = [learn(make_vec_env("CartPole-v1", 8), seed) for seed in range(3)]
    assert min(*on_native, *on_dummy) > 50, "a random policy reaches 22"
    assert 0.65 < np.mean(on_native) / np.mean(on_dummy) < 1.55, (on_native, on_dummy)


def test_off_policy_algorithms_run() -> None:
    cart_poles = GymnasiumVecEnv(native_cart_poles(4))
    DQN("MlpPolicy", cart_poles, learning_starts=100, buffer_size=1000, seed=0, device="cpu").learn(400)
    pendulums = GymnasiumVecEnv(gym.make_vec("Pendulum-v1", num_envs=2, vectorization_mode="sync"))
    model = SAC("MlpPolicy", pendulums, learning_starts=100, buffer_size=1000, seed=0, device="cpu")
    model.learn(450)
    # An episode of Pendulum is always cut off at 200 steps, and never terminates
    assert model.replay_buffer is not None
    assert model.replay_buffer.timeouts[199].all()
    assert model.replay_buffer.timeouts.sum() == 2
