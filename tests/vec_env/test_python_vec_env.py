"""PythonVecEnv against DummyVecEnv."""

import copy
import gc
import pathlib
import pickle
import sys
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from gymnasium.envs.classic_control import CartPoleEnv
from hypothesis import given
from hypothesis import strategies as st
from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.monitor import Monitor, load_results
from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack, VecMonitor, VecNormalize

from sb3_reinforce import REINFORCE, PythonVecEnv, RandomWeightSearch
from sb3_reinforce.common.training_environments import TrainingEnvironments
from tests.vec_env.diaries import NONE_OF_OURS, diaries
from tests.vec_env.test_known_wrappers import in_known_wrappers
from tests.vec_env.walks import Walk, assert_same, assert_steps_like_dummy, walks


class Hoarder(gym.Env[Any, int]):
    """
    It hands out the same array and the same info all the time.

    :param reset_in_place: Whether its reset writes into that array too; else an episode has an array of its own.
    """

    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)
    action_space = spaces.Discrete(2)  # type: ignore[assignment]

    def __init__(self, reset_in_place: bool = False) -> None:
        self.reset_in_place = reset_in_place
        self.obs = np.zeros(2, np.float32)
        self.info: dict[str, Any] = {}
        self.n_episodes = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.n_episodes, self.time = self.n_episodes + 1, 0
        if not self.reset_in_place:
            self.obs = np.zeros(2, np.float32)
        self.obs[:] = self.n_episodes, 0
        self.info["time"] = 0
        return self.obs, self.info

    def step(self, action: int) -> Any:
        self.time += 1
        self.obs[1] = self.time + 0.1 * action
        self.info["time"] = self.time
        return self.obs, float(action), self.time > self.n_episodes % 7, self.time > 4, self.info


class Pair(gym.Env[Any, int]):
    """Its observations are tuples."""

    observation_space = spaces.Tuple([spaces.Box(-1, 9, (2,)), spaces.Discrete(9)])
    action_space = spaces.Discrete(2)  # type: ignore[assignment]
    time = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        self.time = 0
        return self._observe(), {}

    def _observe(self) -> Any:
        return np.full(2, self.time, np.float32), self.time

    def step(self, action: int) -> Any:
        self.time += 1
        return self._observe(), 1.0, self.time == 4, False, {}


class Shows(gym.Env[Any, int]):
    """It shows what it is told to."""

    action_space = spaces.Discrete(2)  # type: ignore[assignment]

    def __init__(self, space: spaces.Space, observation: Any) -> None:
        self.observation_space, self.observation = space, observation

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        return self.observation_space.sample(), {}

    def step(self, action: int) -> Any:
        return self.observation, 1.0, False, False, {}


def both(make: Callable[[], gym.Env], n_envs: int = 3) -> tuple[PythonVecEnv, DummyVecEnv]:
    return PythonVecEnv([make] * n_envs), DummyVecEnv([make] * n_envs)


# --- The same as DummyVecEnv


WRAPPED: dict[str, Callable[[gym.Env], gym.Env]] = {
    "bare": lambda env: env,
    "Monitor": Monitor,
    "known wrappers": lambda env: in_known_wrappers(env, 7),
    "a wrapper around": lambda env: gym.Wrapper(in_known_wrappers(env, 7)),
}


@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED)
@pytest.mark.parametrize("kind", ["box", "dict", "discrete"])
def test_it_steps_like_dummy(kind: str, wrap: Callable[[gym.Env], gym.Env]) -> None:
    fns = [lambda make=make: wrap(make()) for make in walks(kind)]  # type: ignore[misc]
    assert_steps_like_dummy(PythonVecEnv(fns), DummyVecEnv(fns))


@pytest.mark.parametrize("env_id", ["CartPole-v1", "Pendulum-v1", "FrozenLake-v1", "Acrobot-v1"])
def test_it_steps_like_dummy_what_gymnasium_makes(env_id: str) -> None:
    env, dummy = (make_vec_env(env_id, 3, seed=1, vec_env_cls=cls) for cls in (PythonVecEnv, DummyVecEnv))
    actions = [[space.sample() for space in [dummy.action_space] * 3] for _ in range(250)]
    assert_same(env.reset(), dummy.reset())
    for action in actions:
        for actual, expected in zip(env.step(np.array(action))[:3], dummy.step(np.array(action))[:3], strict=True):
            assert_same(actual, expected)
            assert actual.dtype == expected.dtype


@given(
    st.lists(st.dictionaries(st.sampled_from(["a", "episode", *NONE_OF_OURS]), st.integers()), min_size=1, max_size=4),
    st.booleans(),
)
def test_infos_are_those_of_dummy_whatever_the_environment_has_in_them(entries: list[Any], monitored: bool) -> None:
    env, dummy = (cls(diaries(entries, Monitor if monitored else lambda env: env)) for cls in (PythonVecEnv, DummyVecEnv))
    env.reset()
    dummy.reset()
    for _ in range(12):
        *_, infos = env.step(np.ones(3, dtype=int))
        *_, expected_infos = dummy.step(np.ones(3, dtype=int))
        for info, expected in zip(infos, expected_infos, strict=True):
            for each in (info, expected):
                if isinstance(each.get("episode"), dict):
                    each["episode"].pop("t")
            assert_same(info, expected)


def test_tuples_are_those_of_dummy() -> None:
    env, dummy = both(Pair)
    for part, expected_part in zip(env.reset(), dummy.reset(), strict=True):
        assert_same(part, expected_part)
    for _ in range(10):
        obs, *_, infos = env.step(np.zeros(3, dtype=int))
        expected_obs, *_, expected_infos = dummy.step(np.zeros(3, dtype=int))
        assert type(obs) is type(expected_obs) is tuple
        for part, expected_part in zip(obs, expected_obs, strict=True):
            assert_same(part, expected_part)
        assert str(infos) == str(expected_infos)


def test_sb3s_wrappers_see_the_same() -> None:
    envs = [
        VecMonitor(VecNormalize(VecFrameStack(make_vec_env("CartPole-v1", 2, seed=0, vec_env_cls=cls), 3)))
        for cls in (PythonVecEnv, DummyVecEnv)
    ]
    assert_same(*(env.reset() for env in envs))
    for _ in range(60):
        (obs, rewards, dones, _), expected = (env.step(np.array([0, 1])) for env in envs)
        for actual, value in zip((obs, rewards, dones), expected, strict=False):
            assert_same(actual, value)


POLICIES = {
    A2C: "MlpPolicy",
    PPO: "MlpPolicy",
    DQN: "MlpPolicy",
    REINFORCE: "LinearPolicy",
    RandomWeightSearch: "LinearPolicy",
}
SETTINGS: dict[Any, dict[str, Any]] = {PPO: {"n_steps": 64, "n_epochs": 2}, DQN: {"learning_starts": 100}}
ENVIRONMENTS: dict[str, Any] = {
    "CartPole": "CartPole-v1",
    "Pendulum": lambda: gym.make("Pendulum-v1", max_episode_steps=50),
    "FrozenLake": "FrozenLake-v1",
    "Dict": lambda: Walk("dict"),
    "its arrays again": Hoarder,
}


def weights(algorithm: Any, env: Any, cls: type[DummyVecEnv], n_steps: int = 300) -> list[np.ndarray]:
    vec_env = make_vec_env(env, 2, seed=0, vec_env_cls=cls)
    policy = "MultiInputPolicy" if isinstance(vec_env.observation_space, spaces.Dict) else POLICIES[algorithm]
    model = algorithm(policy, vec_env, seed=0, device="cpu", **SETTINGS.get(algorithm, {}))
    model.learn(n_steps)
    return [parameter.detach().numpy().copy() for parameter in model.policy.parameters()]


@pytest.mark.parametrize("env", ENVIRONMENTS.values(), ids=ENVIRONMENTS)
@pytest.mark.parametrize("algorithm", POLICIES)
@pytest.mark.filterwarnings("ignore:.*share an object")
def test_what_is_learned_is_the_same_to_the_last_bit(algorithm: Any, env: Any) -> None:
    space = make_vec_env(env).action_space
    if algorithm is DQN and isinstance(space, spaces.Box):
        pytest.skip("no such actions")
    if algorithm is RandomWeightSearch and isinstance(make_vec_env(env).observation_space, spaces.Dict):
        pytest.skip("no such observations")
    expected = weights(algorithm, env, DummyVecEnv)
    actual = weights(algorithm, env, PythonVecEnv)
    for a, b in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(a, b)


# --- What it returns is the caller's own


@pytest.mark.parametrize("wrap", [lambda env: env, lambda env: in_known_wrappers(env, 3)])
@pytest.mark.filterwarnings("ignore:.*share an object")
def test_what_is_kept_stays_as_it_was(wrap: Callable[[gym.Env], gym.Env]) -> None:
    env = PythonVecEnv([lambda: wrap(Hoarder(reset_in_place=True))] * 2)
    kept = [(env.reset(), np.zeros(2), np.zeros(2, dtype=bool), list(env.reset_infos))]
    copies = copy.deepcopy(kept)
    for step in range(20):
        kept.append(env.step(np.array([0, step % 2])))
        copies.append(copy.deepcopy(kept[-1]))
    for now, then in zip(kept, copies, strict=True):
        for values, expected in zip(now[:3], then[:3], strict=True):
            assert_same(values, expected)
        for info, expected_info in zip(now[3], then[3], strict=True):
            assert_same(info, expected_info)


def test_what_a_caller_writes_reaches_nobody() -> None:
    env, expected = both(Hoarder)
    env.reset()[:] = 9  # type: ignore[index]
    expected.reset()
    for _ in range(10):
        step, expected_step = env.step(np.ones(3, dtype=int)), expected.step(np.ones(3, dtype=int))
        for values, expected_values in zip(step[:3], expected_step[:3], strict=True):
            assert_same(values, expected_values)
            values[:] = 5  # type: ignore[index]
        for i in range(3):
            step[3][i]["mine"] = env.reset_infos[i]["mine"] = 1
            assert "mine" not in env.envs[i].unwrapped.info


@pytest.mark.filterwarnings("ignore:.*share an object")
def test_the_last_observation_is_that_of_the_episode_that_has_ended() -> None:
    env = PythonVecEnv([lambda: Hoarder(reset_in_place=True)])
    env.reset()
    n_ended = 0
    for _ in range(30):
        episode, time = env.envs[0].unwrapped.n_episodes, env.envs[0].unwrapped.time + 1
        obs, _, dones, infos = env.step(np.zeros(1, dtype=int))
        assert_same(obs[0], np.array([episode + dones[0], 0 if dones[0] else time], np.float32))
        if dones[0]:
            n_ended += 1
            assert_same(infos[0]["terminal_observation"], np.array([episode, time], np.float32))
    assert n_ended > 5


# --- What does not fit


BOX, BYTES, NUMBER = spaces.Box(-1, 1, (3,)), spaces.Box(0, 255, (3,), np.uint8), spaces.Discrete(300, dtype=np.int16)
ZEROS = np.zeros(3)
FITS: list[tuple[spaces.Space, Any, Any]] = [
    (BOX, ZEROS + 0.1, (ZEROS + 0.1).astype(np.float32)),
    (BOX, [0.0, 0.5, 1.0], [0.0, 0.5, 1.0]),
    (BOX, np.array([0, 1, -1]), [0, 1, -1]),
    (BOX, np.zeros((3, 2), np.float32)[:, 0], ZEROS),
    (BOX, np.zeros(3, ">f4"), ZEROS),
    (BYTES, np.array([1.0, 2.0, 255.0]), [1, 2, 255]),
    (NUMBER, 7, 7),
    (NUMBER, np.int64(299), 299),
    (NUMBER, np.array(7), 7),
    (spaces.Box(0, 1, (2, 2)), np.ones((2, 2)), np.ones((2, 2))),
    (spaces.MultiBinary(2), np.array([True, False]), [1, 0]),
]


@pytest.mark.parametrize(("space", "observation", "expected"), FITS)
def test_nothing_is_lost_of_what_is_shown_in_another_type(space: spaces.Space, observation: Any, expected: Any) -> None:
    env = PythonVecEnv([lambda: Shows(space, observation)] * 2)
    env.reset()
    obs = np.asarray(env.step(np.zeros(2, dtype=int))[0])
    assert obs.dtype == space.dtype
    np.testing.assert_array_equal(obs, [expected] * 2)


UNFIT: list[tuple[spaces.Space, Any, str]] = [
    (BOX, np.zeros(1, np.float32), r"shape \(1,\)"),
    (BOX, np.zeros((1, 3), np.float32), r"shape \(1, 3\)"),
    (BOX, 0.0, r"shape \(\)"),
    (BOX, np.array(["a", "b", "c"]), "type <U1"),
    (BYTES, np.array([0.5, 0.0, 0.0]), "type float64"),
    (BYTES, np.array([-1, 0, 0]), "type int64"),
    (NUMBER, np.int64(1 << 20), "type int64"),
    (NUMBER, 0.5, "type float64"),
    (spaces.Dict(a=BOX, b=BYTES), {"a": ZEROS, "b": ZEROS - 1}, "observation 'b' of type float64"),
    (spaces.Dict(a=BOX, b=BYTES), {"a": ZEROS}, "without the part 'b'"),
    (spaces.Dict(a=BOX, b=BYTES), ZEROS, "without the part 'a'"),
    (spaces.Tuple([BOX, BYTES]), (ZEROS, ZEROS - 1), "observation 1 of type float64"),
]


@pytest.mark.parametrize(("space", "observation", "words"), UNFIT)
def test_what_would_lose_something_is_an_error_that_names_it(space: spaces.Space, observation: Any, words: str) -> None:
    env = PythonVecEnv([lambda: Shows(space, observation)])
    env.reset()
    with pytest.raises(ValueError, match=f"environment Shows returned an .*{words}"):
        env.step(np.zeros(1, dtype=int))
    env.envs[0].reset = lambda **kwargs: (observation, {})
    with pytest.raises(ValueError, match=f"environment Shows returned an .*{words}"):
        env.reset()


def test_an_integer_that_is_too_large_is_an_error() -> None:
    env = PythonVecEnv([lambda: Shows(NUMBER, 1 << 20)])
    env.reset()
    with pytest.raises(OverflowError):
        env.step(np.zeros(1, dtype=int))


# --- Errors are those of DummyVecEnv


def error_of(action: Callable[[], Any]) -> tuple[type[BaseException], str]:
    with pytest.raises(Exception) as caught:  # noqa: PT011
        action()
    return caught.type, str(caught.value)


def _breaks(env: Any) -> Any:
    env.reset()
    env.envs[0].unwrapped.step = lambda action: 1 / 0
    return env.step(np.zeros(3, dtype=int))


def _steps_after_the_end(env: Any) -> Any:
    env.reset()
    env.envs[1].needs_reset = True
    return env.step(np.zeros(3, dtype=int))


def _is_reset_early(env: Any) -> Any:
    env.reset()
    env.step(np.zeros(3, dtype=int))
    return env.reset()


ERRORS: dict[str, Callable[[Any], Any]] = {
    "not reset": lambda env: env.step(np.zeros(3, dtype=int)),
    "too few actions": lambda env: env.reset() is None or env.step(np.zeros(2, dtype=int)),
    "an error of the environment": _breaks,
    "a step after the end": _steps_after_the_end,
    "an early reset": _is_reset_early,
    "an unknown attribute": lambda env: env.get_attr("nothing"),
    "an unknown method": lambda env: env.env_method("nothing"),
}


@pytest.mark.parametrize("action", ERRORS.values(), ids=ERRORS)
def test_errors_are_those_of_dummy(action: Callable[[Any], Any]) -> None:
    env, dummy = both(lambda: in_known_wrappers(Walk(), allow_early_resets=False))
    assert error_of(lambda: action(env)) == error_of(lambda: action(dummy))


def test_the_same_environment_twice_is_refused() -> None:
    single = Walk()
    with pytest.raises(ValueError, match="returned the same instance"):
        PythonVecEnv([lambda: single] * 2)


def test_an_environment_goes_on_after_an_error() -> None:
    envs = both(lambda: in_known_wrappers(Walk(), 5))
    for env in envs:
        env.seed(0)
        env.reset()
        for _ in range(3):
            env.step(np.zeros(3, dtype=int))
        error_of(lambda env=env: env.step(np.array([0, 1])))  # type: ignore[misc]
    for _ in range(10):
        (obs, *_), (expected, *_) = (env.step(np.ones(3, dtype=int)) for env in envs)
        assert_same(obs, expected)


# --- Access


def test_access_is_that_of_dummy() -> None:
    env, dummy = both(lambda: in_known_wrappers(Walk(render_mode="rgb_array")))
    for each in (env, dummy):
        each.seed(5)
        each.set_options([{"shift": 0.5}, {}, {"shift": -0.5}])
        each.reset()
        each.set_attr("colour", 3, indices=[1])
    assert isinstance(env, DummyVecEnv)
    assert_same(env.reset_infos, dummy.reset_infos)
    assert env.render_mode == dummy.render_mode == "rgb_array"
    assert_same(env.render(), dummy.render())
    assert env.metadata == dummy.metadata
    for name, indices in (("colour", None), ("place", [0, 2]), ("needs_reset", 1)):
        assert env.get_attr(name, indices) == dummy.get_attr(name, indices)
    assert env.env_method("call", 2, plus=3, indices=[0, 1]) == [5, 5]
    assert env.get_attr("calls") == [1, 1, 0]
    assert env.has_attr("colour")
    assert not env.has_attr("nothing")
    assert env.env_is_wrapped(Monitor) == [True] * 3
    assert env.env_is_wrapped(VecMonitor) == [False] * 3
    assert PythonVecEnv([Walk]).env_is_wrapped(Monitor) == [False]
    assert_same(env.reset(), dummy.reset())


def test_what_set_attr_replaces_is_followed_at_once() -> None:
    env = PythonVecEnv([lambda: in_known_wrappers(Walk(), 50)] * 2)
    env.reset()
    for _ in range(3):
        env.step(np.array([0, 1]))
    env.set_attr("step", lambda action: (np.full(2, 7, np.float32), 7.0, False, False, {}), indices=1)
    obs, rewards, *_ = env.step(np.array([0, 1]))
    assert obs[1].tolist() == [7, 7]
    assert rewards[1] == 7
    assert rewards[0] != 7


def test_an_environment_that_is_put_in_another_wrapper_is_stepped_through_it() -> None:
    env = PythonVecEnv([lambda: in_known_wrappers(Walk(), 50)])
    env.reset()
    for _ in range(3):
        env.step(np.zeros(1, dtype=int))
    env.envs[0] = gym.wrappers.TransformReward(env.envs[0], lambda reward: 7.0)
    assert env.step(np.zeros(1, dtype=int))[1] == [7.0]


def test_a_file_is_written_where_one_is_asked_for(tmp_path: pathlib.Path) -> None:
    results = []
    for cls in (PythonVecEnv, DummyVecEnv):
        folder = tmp_path / cls.__name__
        env = make_vec_env("CartPole-v1", 2, seed=0, monitor_dir=str(folder), vec_env_cls=cls)
        env.reset()
        for _ in range(100):
            env.step(np.array([0, 1]))
        env.close()
        results.append(load_results(str(folder)).sort_values(["r", "l"])[["r", "l"]].to_numpy())
    assert len(results[0]) > 10
    assert_same(*results)
    assert len(list(tmp_path.iterdir())) == 2


# --- Copies


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_a_copy_goes_on_by_itself(copied: Callable[[Any], Any]) -> None:
    env, dummy = (make_vec_env("CartPole-v1", 2, seed=0, vec_env_cls=cls) for cls in (PythonVecEnv, DummyVecEnv))
    for each in (env, dummy):
        each.reset()
        for _ in range(5):
            each.step(np.array([0, 1]))
    twin = copied(env)
    for _ in range(30):
        expected = dummy.step(np.array([1, 0]))
        for each in (env, twin):
            for values, expected_values in zip(each.step(np.array([1, 0])), expected[:3], strict=False):
                assert_same(values, expected_values)
    assert twin.get_attr("total_steps") == env.get_attr("total_steps") == [35, 35]


# --- Training on it


def test_training_does_not_hook_into_it_and_still_notices_who_moves_it() -> None:
    env = make_vec_env("CartPole-v1", 2, seed=0, vec_env_cls=PythonVecEnv)
    environments = TrainingEnvironments(env)
    assert "_save_obs" not in vars(env)
    env.reset()
    env.step(np.zeros(2, dtype=int))
    assert environments.were_moved()


@pytest.mark.parametrize("env", ["CartPole-v1", gym.make("CartPole-v1")])
@pytest.mark.parametrize("algorithm", [REINFORCE, RandomWeightSearch])
def test_ids_and_bare_environments_are_wrapped_in_it(algorithm: Any, env: Any) -> None:
    model = algorithm("LinearSoftmaxPolicy", env)
    assert type(model.env) is PythonVecEnv
    assert model.env.env_is_wrapped(Monitor) == [True]
    model.learn(100)
    ours = DummyVecEnv([lambda: Monitor(gym.make("CartPole-v1"))])
    assert algorithm("LinearSoftmaxPolicy", ours).env is ours


def test_an_environment_with_a_monitor_gets_no_other() -> None:
    env = Monitor(gym.make("CartPole-v1"))
    model = REINFORCE("LinearSoftmaxPolicy", env)
    assert model.env is not None
    assert model.env.unwrapped.envs == [env]


def test_pixels_are_transposed_as_sb3_does_it() -> None:
    space = spaces.Box(0, 255, (36, 36, 3), np.uint8)
    model = REINFORCE("CnnPolicy", Shows(space, space.sample()))
    assert model.observation_space.shape == (3, 36, 36)
    assert isinstance(model.env.unwrapped, PythonVecEnv)
    assert th.is_tensor(next(model.policy.parameters()))


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="Python has mended it")
@pytest.mark.parametrize("algorithm", [REINFORCE, RandomWeightSearch])
def test_training_looks_into_no_dict_of_environments(algorithm: Any) -> None:
    """With these versions of Python, an object whose ``__dict__`` was looked into is slower from then on."""

    class Pole(CartPoleEnv):
        """Of a class of its own: others' objects may have been looked into by other tests."""

    class Wrapped(gym.Wrapper):
        pass

    env = PythonVecEnv([lambda: Wrapped(Pole()), lambda: Wrapped(Pole())])
    algorithm("LinearSoftmaxPolicy", env, seed=0).learn(500)
    for layer in env.envs:
        assert not _has_dict(layer, "_cached_spec")
        assert not _has_dict(layer.unwrapped, "_np_random")


def _has_dict(layer: Any, attribute: str) -> bool:
    return any(type(held) is dict and attribute in held for held in gc.get_referents(layer))
