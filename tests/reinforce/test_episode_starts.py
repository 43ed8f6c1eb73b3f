"""Each episode that is learned from begins where the environment begins one, and is one of its episodes."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.atari_wrappers import EpisodicLifeEnv
from stable_baselines3.common.callbacks import BaseCallback, EvalCallback
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecEnv, VecFrameStack, VecMonitor, VecNormalize

from sb3_reinforce import REINFORCE, GymnasiumVecEnv, RandomWeightSearch

pytestmark = pytest.mark.filterwarnings("ignore:The environment has not ended one episode yet")

LIVES = 3


class Game(gym.Env[np.ndarray, int]):
    """Games of three lives, each of 3 to 8 timesteps. It shows the number of its game, of the life, and the time in it."""

    observation_space = spaces.Box(-1, 1000, (3,))
    action_space = spaces.Discrete(2)  # type: ignore[assignment]

    def __init__(self) -> None:
        self.ale, self.games = self, 0

    def lives(self) -> int:
        return LIVES - self.life

    def _obs(self) -> np.ndarray:
        return np.array([self.games, self.life, self.time], np.float32)

    def _start_life(self, life: int) -> None:
        self.life, self.time, self.length = life, 0, int(self.np_random.integers(3, 9))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.games += 1
        self._start_life(0)
        return self._obs(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.time += 1
        if self.time == self.length:
            self._start_life(self.life + 1)
        return self._obs(), 1.0, self.life == LIVES, False, {}


class Round(Game):
    """The same with a single life, which is a whole episode of the environment."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        _, info = super().reset(seed=seed)
        self._start_life(LIVES - 1)
        return self._obs(), info


def in_once(make: Callable[[], gym.Env]) -> Callable[[int], list[Callable[[], gym.Env]]]:
    return lambda n: [make] * n


def no_early_reset() -> gym.Env:
    return Monitor(Round(), allow_early_resets=False)


def a_life() -> gym.Env:
    return EpisodicLifeEnv(Monitor(Game()))


def a_life_that_is_not_reset_early() -> gym.Env:
    return EpisodicLifeEnv(Monitor(Game(), allow_early_resets=False))


ENVS: dict[str, Callable[[int], list[Callable[[], gym.Env]]]] = {
    "may be reset": in_once(Round),
    "must not be reset early": in_once(no_early_reset),
    "lives": in_once(a_life),
    "lives that are not reset early": in_once(a_life_that_is_not_reset_early),
}


def whole_episodes(model: REINFORCE) -> list[bool]:
    """Of each that is to be learned from, whether it is a whole one. A life begins with a step that does nothing."""
    observations = model.rollout_buffer.observations[:, -3:]
    episodes = np.split(observations, np.cumsum(model.rollout_buffer.lengths)[:-1])
    return [
        episode[0, 2] <= (episode[0, 1] > 0)
        and not np.ptp(episode[:, :2], axis=0).any()
        and (np.diff(episode[:, 2]) == 1).all()
        for episode in episodes
    ]


class Looks(BaseCallback):
    """Keeps which episodes were whole, and calls a function at one of the moments that callbacks know."""

    def __init__(self, moment: str = "", function: Callable[[Any], Any] = lambda callback: None) -> None:
        super().__init__()
        self.whole: list[bool] = []
        self.moment, self.function = moment, function

    def _at(self, moment: str) -> None:
        if moment == self.moment:
            self.function(self)

    def _on_training_start(self) -> None:
        self._at("on_training_start")

    def _on_rollout_start(self) -> None:
        self._at("on_rollout_start")

    def _on_step(self) -> bool:
        if self.n_calls % 17 == 5:
            self._at("on_step")
        return True

    def _on_rollout_end(self) -> None:
        self.whole += whole_episodes(self.model)  # type: ignore[arg-type]
        self._at("on_rollout_end")

    def _on_training_end(self) -> None:
        self._at("on_training_end")


class Stops(BaseCallback):
    """Ends training after so many steps, or fails then."""

    def __init__(self, n_steps: int | None, fails: bool = False) -> None:
        super().__init__()
        self.n_steps, self.fails = n_steps, fails

    def _on_step(self) -> bool:
        is_enough = self.n_calls == self.n_steps
        if is_enough and self.fails:
            raise ArithmeticError
        return not is_enough


def make(env: VecEnv | gym.Env, n_episodes: int = 4, seed: int = 0) -> REINFORCE:
    return REINFORCE("LinearSoftmaxPolicy", env, seed=seed, n_episodes=n_episodes, learning_rate=1e-3, device="cpu")


def assert_whole(looks: Looks, at_least: int = 8) -> None:
    assert len(looks.whole) >= at_least
    assert all(looks.whole), f"{looks.whole.count(False)} of {len(looks.whole)} episodes are not whole ones"


# --- Whatever the environment is, and however often one learns

PLANS = st.lists(
    st.tuples(st.integers(1, 150), st.booleans(), st.one_of(st.none(), st.integers(1, 30))), min_size=1, max_size=4
)
"""For each call of ``learn``: timesteps, whether to count from 0, and after how many calls a callback stops it."""


@pytest.mark.parametrize("env", ENVS)
@settings(max_examples=15, derandomize=True)
@given(plan=PLANS, n_envs=st.integers(1, 5), n_episodes=st.integers(2, 6))
def test_each_episode_is_a_whole_one(env: str, plan: list[Any], n_envs: int, n_episodes: int) -> None:
    model = make(DummyVecEnv(ENVS[env](n_envs)), n_episodes)
    looks = Looks()
    for timesteps, reset_num_timesteps, n_calls in plan:
        callbacks = [looks, Stops(n_calls)]
        model.learn(timesteps, callback=callbacks, reset_num_timesteps=reset_num_timesteps, log_interval=None)
    assert_whole(looks, 0)


@pytest.mark.parametrize(
    ("kind", "other"),
    [
        ("DummyVecEnv", no_early_reset),
        ("DummyVecEnv", a_life),
        ("SubprocVecEnv", no_early_reset),
        ("SubprocVecEnv", a_life),
        ("SyncVectorEnv", a_life),
        ("SyncVectorEnv", no_early_reset),
    ],
)
def test_one_of_several_environments_may_be_such_a_one(kind: str, other: Callable[[], gym.Env]) -> None:
    env = VEC_ENV_CLASSES[kind]([Round, Round, other])
    model = make(env)
    looks = Looks()
    try:
        for reset_num_timesteps in (True, True, False):
            model.learn(100, callback=looks, reset_num_timesteps=reset_num_timesteps)
    finally:
        env.close()
    assert_whole(looks)


VEC_ENV_CLASSES: dict[str, Callable[[Any], VecEnv]] = {
    "DummyVecEnv": DummyVecEnv,
    "SubprocVecEnv": lambda makers: SubprocVecEnv(makers, start_method="fork"),
    "SyncVectorEnv": lambda makers: GymnasiumVecEnv(gym.vector.SyncVectorEnv(makers)),
}
WRAPPERS: dict[str, Callable[[VecEnv], VecEnv]] = {
    "VecNormalize": lambda env: VecNormalize(env, norm_obs=False),
    "VecFrameStack": lambda env: VecFrameStack(env, 3),
    "VecMonitor": VecMonitor,
    "two of them": lambda env: VecNormalize(VecFrameStack(env, 2), norm_obs=False),
}


@pytest.mark.filterwarnings("ignore:The environment is already wrapped with a `Monitor`")
@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("env", ["may be reset", "must not be reset early", "lives"])
def test_behind_wrappers_too(env: str, wrapper: str) -> None:
    model = make(WRAPPERS[wrapper](DummyVecEnv(ENVS[env](3))))
    looks = Looks()
    for reset_num_timesteps in (True, True, False):
        model.learn(100, callback=looks, reset_num_timesteps=reset_num_timesteps)
    assert_whole(looks)


@pytest.mark.parametrize("env", ["may be reset", "must not be reset early"])
def test_frames_of_another_episode_are_not_stacked(env: str) -> None:
    model = make(VecFrameStack(DummyVecEnv(ENVS[env](3)), 2))

    class LooksAtFirst(Looks):
        def _on_rollout_end(self) -> None:
            super()._on_rollout_end()
            lengths = self.model.rollout_buffer.lengths
            first = self.model.rollout_buffer.observations[np.cumsum(lengths) - lengths]
            assert not first[:, :3].any()

    looks = LooksAtFirst()
    model.learn(100, callback=looks).learn(100, callback=looks).learn(100, callback=looks, reset_num_timesteps=False)
    assert_whole(looks)


@pytest.mark.parametrize("env", ["may be reset", "must not be reset early", "lives"])
@pytest.mark.parametrize("kind", ["SubprocVecEnv", "SyncVectorEnv", "SyncVectorEnv, reset by a step"])
def test_in_other_vec_envs_too(kind: str, env: str) -> None:
    makers = ENVS[env](3)
    if kind == "SubprocVecEnv":
        vec_env: VecEnv = SubprocVecEnv(makers, start_method="fork")
    else:
        mode = "NextStep" if "step" in kind else "SameStep"
        vec_env = GymnasiumVecEnv(gym.vector.SyncVectorEnv(makers, autoreset_mode=gym.vector.AutoresetMode(mode)))
    looks = Looks()
    try:
        make(vec_env).learn(150, callback=looks).learn(150, callback=looks, reset_num_timesteps=False)
    finally:
        vec_env.close()
    assert_whole(looks)


# --- Somebody else moves the environments


def evaluates(callback: Any) -> None:
    evaluate_policy(callback.model, callback.training_env, 2, warn=False)


def steps(callback: Any) -> None:
    env = callback.training_env
    env.step(np.zeros(env.num_envs, dtype=np.int64))


def resets(callback: Any) -> None:
    callback.training_env.reset()


def moves_what_is_inside(callback: Any) -> None:
    env = callback.training_env.unwrapped
    env.reset()
    env.step(np.ones(env.num_envs, dtype=np.int64))


MOVES = [evaluates, steps, resets, moves_what_is_inside]
VEC_ENVS: dict[str, Callable[[], VecEnv]] = {
    "one": lambda: DummyVecEnv([Round]),
    "two": lambda: VecMonitor(DummyVecEnv([Round] * 2)),
    "processes": lambda: SubprocVecEnv([Round] * 2, start_method="fork"),
    "vector": lambda: VecFrameStack(GymnasiumVecEnv(gym.vector.SyncVectorEnv([Round] * 3)), 2),
}


@pytest.mark.parametrize("env", VEC_ENVS)
@pytest.mark.parametrize("move", MOVES)
def test_in_the_middle_of_a_rollout_it_is_told_and_nothing_is_learned(move: Any, env: str) -> None:
    vec_env = VEC_ENVS[env]()
    model = make(vec_env)
    before = model.policy.parameters_to_vector()
    try:
        with pytest.raises(RuntimeError, match=r"training environment \S+ in the middle of a rollout.*on_rollout_end"):
            model.learn(300, callback=Looks("on_step", move))
        assert model._n_updates == 0
        np.testing.assert_array_equal(model.policy.parameters_to_vector(), before)
        looks = Looks()
        model.learn(200, callback=looks, reset_num_timesteps=False)  # and it can go on
        assert_whole(looks)
    finally:
        vec_env.close()


@pytest.mark.parametrize("moment", ["on_training_start", "on_rollout_start", "on_rollout_end", "on_training_end"])
@pytest.mark.parametrize("env", VEC_ENVS)
@pytest.mark.parametrize("move", MOVES)
def test_between_rollouts_it_makes_no_difference_to_what_an_episode_is(move: Any, env: str, moment: str) -> None:
    vec_env = VEC_ENVS[env]()
    looks = Looks(moment, move)
    try:
        model = make(vec_env).learn(100, callback=looks)
        model.learn(100, callback=looks, reset_num_timesteps=False)
    finally:
        vec_env.close()
    assert_whole(looks)


@pytest.mark.parametrize("reset_num_timesteps", [True, False])
@pytest.mark.parametrize("n_envs", [1, 3])
def test_between_two_calls_of_learn_too(n_envs: int, reset_num_timesteps: bool) -> None:
    env = DummyVecEnv([Round] * n_envs)
    looks = Looks()
    model = make(env)
    for _ in range(4):
        model.learn(60, callback=looks, reset_num_timesteps=reset_num_timesteps)
        evaluate_policy(model, env, 2, warn=False)
        evaluate_policy(model, model.get_env(), 1, warn=False)  # type: ignore[arg-type]
    assert_whole(looks)


def test_a_callback_of_sb3_that_evaluates_on_the_training_environment_is_told_of() -> None:
    env = VecMonitor(DummyVecEnv([Round] * 2))
    with pytest.raises(RuntimeError, match="middle of a rollout"):
        make(env, n_episodes=20).learn(300, callback=EvalCallback(env, n_eval_episodes=1, eval_freq=10, verbose=0))


def test_a_copy_of_the_training_environment_may_be_moved_at_any_time() -> None:
    env = DummyVecEnv([Round] * 2)
    model = make(env).learn(50)

    def evaluates_on_a_copy(callback: Any) -> None:
        evaluate_policy(callback.model, copy.deepcopy(callback.training_env), 1, warn=False)
        evaluate_policy(callback.model, pickle.loads(pickle.dumps(callback.training_env)), 1, warn=False)

    looks = Looks("on_step", evaluates_on_a_copy)
    model.learn(200, callback=looks)
    assert_whole(looks)


def test_an_evaluation_on_an_environment_of_its_own_is_nobodys_business() -> None:
    looks = Looks("on_step", lambda callback: evaluate_policy(callback.model, DummyVecEnv([Round]), 1, warn=False))
    make(DummyVecEnv([Round] * 2)).learn(200, callback=looks)
    assert_whole(looks)


def inside_out(callback: Any) -> None:
    """The model was given this environment, and made a VecEnv of it."""
    evaluate_policy(callback.model, callback.training_env.envs[0].unwrapped, 1, warn=False)


def by_a_method(callback: Any) -> None:
    callback.training_env.env_method("reset")


@pytest.mark.parametrize("move", [inside_out, by_a_method])
def test_an_environment_inside_is_watched_as_well_in_the_middle_of_a_rollout(move: Any) -> None:
    with pytest.raises(RuntimeError, match="middle of a rollout"):
        make(Round()).learn(300, callback=Looks("on_step", move))


@pytest.mark.parametrize("moment", ["on_rollout_start", "on_rollout_end"])
@pytest.mark.parametrize("move", [inside_out, by_a_method])
def test_an_environment_inside_is_watched_as_well_between_rollouts(move: Any, moment: str) -> None:
    looks = Looks(moment, move)
    make(Round()).learn(200, callback=looks)
    assert_whole(looks)


@pytest.mark.parametrize("n_envs", [1, 2])
def test_it_is_told_after_several_calls_of_learn_as_well(n_envs: int) -> None:
    model = make(DummyVecEnv(ENVS["lives"](n_envs))).learn(50).learn(50)
    with pytest.raises(RuntimeError, match="middle of a rollout"):
        model.learn(300, callback=Looks("on_step", resets), reset_num_timesteps=False)


# --- Several models


@pytest.mark.parametrize("n_envs", [1, 3])
def test_two_models_can_share_an_environment(n_envs: int) -> None:
    env = DummyVecEnv([Round] * n_envs)
    looks = [Looks(), Looks()]
    models = [make(env, seed=seed) for seed in range(2)]
    for _ in range(3):
        for model, look in zip(models, looks, strict=True):
            model.learn(60, callback=look, reset_num_timesteps=False)
    for look in looks:
        assert_whole(look)


def test_a_model_that_trains_within_anothers_rollout_is_told_of() -> None:
    env = DummyVecEnv([Round] * 2)
    other = make(env)
    with pytest.raises(RuntimeError, match="middle of a rollout"):
        make(env).learn(300, callback=Looks("on_step", lambda callback: other.learn(20)))


MOVED_BEFORE: dict[str, Callable[[VecEnv], Any]] = {
    "stepped": lambda env: [env.reset(), *(env.step(np.zeros(env.num_envs, dtype=np.int64)) for _ in range(5))],
    "evaluated": lambda env: evaluate_policy(make(env), env, 5, warn=False),
    "learned from by another model": lambda env: make(env, seed=1).learn(100),
}


@pytest.mark.parametrize(
    "makers",
    [
        [a_life] * 4,
        [Round, a_life, a_life],
    ],
    ids=["all", "some"],
)
@pytest.mark.parametrize("name", MOVED_BEFORE)
def test_lives_that_somebody_began_before_are_played_out_first(name: str, makers: list[Callable[[], gym.Env]]) -> None:
    wrong = 0
    for seed in range(8):
        env = DummyVecEnv(makers)
        env.seed(seed)
        MOVED_BEFORE[name](env)
        looks = Looks()
        make(env).learn(60, callback=looks)
        wrong += looks.whole.count(False)
    assert wrong == 0


# --- After an accident, and from a file


@pytest.mark.parametrize("moment", ["on_rollout_start", "on_rollout_end"])
@pytest.mark.parametrize("env", ENVS)
def test_an_error_between_rollouts_leaves_environments_that_can_be_learned_from(env: str, moment: str) -> None:
    model = make(DummyVecEnv(ENVS[env](3)))
    for reset_num_timesteps in (True, False, True, False):
        with pytest.raises(ArithmeticError):
            model.learn(200, callback=Looks(moment, _fails))
        looks = Looks()
        model.learn(60, callback=looks, reset_num_timesteps=reset_num_timesteps)
        assert_whole(looks, 4)


def _fails(callback: Any) -> None:
    raise ArithmeticError


@pytest.mark.parametrize("env", ENVS)
def test_an_error_in_any_step_leaves_environments_that_can_be_learned_from(env: str) -> None:
    """As somebody makes it who stops a notebook's cell, and goes on."""
    wrong = 0
    for n_steps in range(1, 20):
        model = make(DummyVecEnv(ENVS[env](1)))
        with pytest.raises(ArithmeticError):
            model.learn(200, callback=Stops(n_steps, fails=True))
        looks = Looks()
        model.learn(30, callback=looks, reset_num_timesteps=False)
        wrong += looks.whole.count(False)
    assert wrong == 0


def test_environments_are_as_they_were_once_one_has_learned() -> None:
    """Nothing of ours is left in the way of whoever uses them next."""
    env = DummyVecEnv(ENVS["must not be reset early"](2))
    model = make(env).learn(50).learn(50)
    with pytest.raises(RuntimeError, match="before done"):  # Monitor's own
        env.reset()
    model.learn(50, reset_num_timesteps=False)
    pickle.dumps(env)


@pytest.mark.parametrize("env", ["may be reset", "lives"])
def test_a_model_from_a_file_starts_with_fresh_episodes(env: str, tmp_path: Any) -> None:
    make(DummyVecEnv(ENVS[env](3))).learn(70).save(tmp_path / "model")
    looks = Looks()
    loaded = REINFORCE.load(tmp_path / "model", env=DummyVecEnv(ENVS[env](2)))
    loaded.learn(100, callback=looks, reset_num_timesteps=False)
    assert_whole(looks, 4)


def test_another_environment_is_started_afresh() -> None:
    model = make(DummyVecEnv(ENVS["may be reset"](3))).learn(70)
    model.set_env(DummyVecEnv(ENVS["must not be reset early"](3)))
    looks = Looks()
    model.learn(100, callback=looks, reset_num_timesteps=False).learn(100, callback=looks, reset_num_timesteps=False)
    assert_whole(looks)


# --- The search


@pytest.mark.parametrize("env", ["must not be reset early", "lives that are not reset early"])
@pytest.mark.parametrize("n_envs", [1, 3])
def test_random_weight_search_does_not_reset_early_either(n_envs: int, env: str) -> None:
    model = RandomWeightSearch("LinearSoftmaxPolicy", DummyVecEnv(ENVS[env](n_envs)), seed=0)
    model.learn(100).learn(100).learn(100, reset_num_timesteps=False)
    assert model.num_timesteps >= 200


def test_random_weight_search_is_told_of_as_well() -> None:
    model = RandomWeightSearch("LinearSoftmaxPolicy", DummyVecEnv([Round] * 2), seed=0)
    with pytest.raises(RuntimeError, match="middle of a rollout"):
        model.learn(300, callback=Looks("on_step", evaluates))
