import copy
import pickle
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common.atari_wrappers import EpisodicLifeEnv
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecEnv, VecFrameStack, VecMonitor, VecNormalize

from sb3_reinforce import GymnasiumVecEnv, PythonVecEnv
from sb3_reinforce.common.training_environments import TrainingEnvironments, environment_name
from tests.testbed import Toy


class Clock(gym.Env[np.ndarray, int]):
    """Episodes of four timesteps in lives of two; it shows how often it was reset, and the time."""

    observation_space = spaces.Box(0, 1000, (2,))
    action_space = spaces.Discrete(2)  # type: ignore[assignment]
    n_resets = 0

    @property
    def ale(self) -> "Clock":
        return self

    def lives(self) -> int:
        return 2 - self.time // 2

    def _obs(self) -> np.ndarray:
        return np.array([self.n_resets, self.time], np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.n_resets, self.time = self.n_resets + 1, 0
        return self._obs(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.time += 1
        return self._obs(), 1.0, self.time == 4, False, {}


def no_early_reset() -> gym.Env:
    return Monitor(Clock(), allow_early_resets=False)


def lives() -> gym.Env:
    return EpisodicLifeEnv(Clock())


VEC_ENVS: dict[str, Callable[[], VecEnv]] = {
    "DummyVecEnv": lambda: DummyVecEnv([Clock] * 2),
    "PythonVecEnv": lambda: PythonVecEnv([Clock] * 2),
    "VecMonitor": lambda: VecMonitor(DummyVecEnv([Clock] * 2)),
    "VecNormalize of VecFrameStack": lambda: VecNormalize(VecFrameStack(DummyVecEnv([Clock] * 2), 2)),
    "SubprocVecEnv": lambda: SubprocVecEnv([Clock] * 2, start_method="fork"),
    "GymnasiumVecEnv": lambda: GymnasiumVecEnv(gym.vector.SyncVectorEnv([Clock] * 2)),
}
SEED = 5
NOTHING = np.zeros(2, dtype=np.int64)
STARTED, IN_THE_MIDDLE = np.ones(2, dtype=bool), np.array([True, False])


@pytest.fixture(params=VEC_ENVS)
def env(request: pytest.FixtureRequest) -> Any:
    made = VEC_ENVS[request.param]()
    yield made
    made.close()


# --- What they are


def test_they_are_called_what_they_are_registered_as_else_what_they_are() -> None:
    assert environment_name(make_vec_env("CartPole-v1", 2)) == "CartPole-v1"
    assert environment_name(GymnasiumVecEnv(gym.make_vec("CartPole-v1", 2))) == "CartPole-v1"
    assert environment_name(VecFrameStack(DummyVecEnv([lambda: Monitor(Clock())]), 2)) == "Clock"
    assert TrainingEnvironments(DummyVecEnv([Clock])).name == "Clock"


def test_it_is_known_who_was_registered_with_a_time_limit() -> None:
    assert TrainingEnvironments(make_vec_env("CartPole-v1", 2)).have_a_time_limit
    assert TrainingEnvironments(GymnasiumVecEnv(gym.make_vec("CartPole-v1", 2))).have_a_time_limit
    assert not TrainingEnvironments(DummyVecEnv([Clock])).have_a_time_limit


class ResetsByAStep(DummyVecEnv):
    """As vector environments of Gymnasium that only their own step can reset."""

    has_reset_transitions = True


def test_whose_reset_takes_a_step_is_reset_before_each_rollout() -> None:
    assert not TrainingEnvironments(DummyVecEnv([Clock] * 2)).reset_takes_a_step
    env = VecMonitor(ResetsByAStep([Clock] * 2))
    environments = TrainingEnvironments(env)
    assert environments.reset_takes_a_step
    first = env.reset()
    obs, at_start = environments.start_rollout(first, STARTED, SEED)  # type: ignore[arg-type]
    assert env.get_attr("n_resets") == [2, 2]
    assert obs is not first
    assert at_start.all()


# --- Who moves them


def _resets(env: VecEnv) -> None:
    env.reset()


def _steps(env: VecEnv) -> None:
    env.step(NOTHING)


def _steps_in_two_parts(env: VecEnv) -> None:
    env.step_async(NOTHING)
    env.step_wait()


def _moves_what_is_inside(env: VecEnv) -> None:
    env.unwrapped.step(NOTHING)


@pytest.mark.parametrize("move", [_resets, _steps, _steps_in_two_parts, _moves_what_is_inside])
def test_moves_of_others_are_noticed_and_our_own_are_not(move: Callable[[VecEnv], None], env: VecEnv) -> None:
    environments = TrainingEnvironments(env)
    environments.start_rollout(env.reset(), STARTED, SEED)  # type: ignore[arg-type]
    for _ in range(5):
        environments.step(NOTHING)
        assert not environments.were_moved()
    move(env)
    assert environments.were_moved()
    with pytest.raises(RuntimeError, match=r"training environment \w+ in the middle of a rollout"):
        environments.step(NOTHING)
    environments.start_rollout(np.zeros((2, 2)), IN_THE_MIDDLE, SEED)
    environments.step(NOTHING)
    assert not environments.were_moved()


def test_two_who_share_them_notice_each_other(env: VecEnv) -> None:
    first, second = TrainingEnvironments(env), TrainingEnvironments(env)
    first.start_rollout(env.reset(), STARTED, SEED)  # type: ignore[arg-type]
    first.step(NOTHING)
    assert second.were_moved()
    second.start_rollout(np.zeros((2, 2)), STARTED, SEED)
    second.step(NOTHING)
    with pytest.raises(RuntimeError, match="middle of a rollout"):
        first.step(NOTHING)


def test_a_look_moves_nothing(env: VecEnv) -> None:
    environments = TrainingEnvironments(env)
    environments.start_rollout(env.reset(), STARTED, SEED)  # type: ignore[arg-type]
    env.get_attr("time")
    env.env_is_wrapped(Monitor)
    env.seed(3)
    environments.step(NOTHING)
    assert not environments.were_moved()


def _pickled(env: VecEnv) -> VecEnv:
    return pickle.loads(pickle.dumps(env))


@pytest.mark.parametrize(
    ("name", "copied"),
    [
        ("DummyVecEnv", copy.deepcopy),
        ("DummyVecEnv", _pickled),
        ("GymnasiumVecEnv", copy.deepcopy),
        ("GymnasiumVecEnv", _pickled),
    ],
)
def test_a_copy_moves_by_itself(name: str, copied: Callable[[VecEnv], VecEnv]) -> None:
    """SB3's wrappers can't be copied."""
    env = VEC_ENVS[name]()
    environments = TrainingEnvironments(env)
    environments.start_rollout(env.reset(), STARTED, SEED)  # type: ignore[arg-type]
    environments.step(NOTHING)
    other = copied(env)
    of_the_copy = TrainingEnvironments(other)
    np.testing.assert_array_equal(other.get_attr("time"), [1, 1])
    other.step(NOTHING)
    assert other.get_attr("time") == [2, 2]
    assert env.get_attr("time") == [1, 1]
    assert of_the_copy.were_moved()
    assert not environments.were_moved()
    environments.step(NOTHING)
    env.step(NOTHING)
    assert environments.were_moved()


def test_a_shallow_copy_of_an_environment_inside_moves_by_itself() -> None:
    """As an environment copies itself that looks ahead."""
    env = DummyVecEnv([Clock])
    TrainingEnvironments(env)
    env.reset()
    clock: Any = env.envs[0]
    other = copy.copy(clock)
    other.step(0)
    assert (clock.time, other.time) == (0, 1)


def test_a_copy_of_normalisation_is_what_it_was(tmp_path: Any) -> None:
    env = VecNormalize(DummyVecEnv([Clock] * 2))
    TrainingEnvironments(env).start_rollout(env.reset(), STARTED, SEED)  # type: ignore[arg-type]
    env.save(str(tmp_path / "statistics"))
    again = VecNormalize.load(str(tmp_path / "statistics"), DummyVecEnv([Clock] * 2))
    np.testing.assert_array_equal(again.obs_rms.mean, env.obs_rms.mean)  # type: ignore[union-attr]


# --- Where episodes begin


@pytest.mark.parametrize("make", [Clock, lambda: Monitor(Clock())])
def test_who_may_be_reset_is_reset_before_each_rollout(make: Callable[[], gym.Env]) -> None:
    env = DummyVecEnv([make] * 2)
    environments = TrainingEnvironments(env)
    first = env.reset()
    obs, at_start = environments.start_rollout(first, STARTED, SEED)  # type: ignore[arg-type]
    assert obs is not None
    assert env.get_attr("n_resets") == [2, 2], "somebody else's reset, as far as they know"
    environments.step(NOTHING)
    obs, at_start = environments.start_rollout(obs, IN_THE_MIDDLE, SEED)
    np.testing.assert_array_equal(obs, [[3, 0], [3, 0]])
    assert at_start.all()
    again, at_start = environments.start_rollout(obs, STARTED, SEED)
    np.testing.assert_array_equal(again, [[4, 0], [4, 0]])
    assert at_start.all()


def test_a_rollout_is_a_function_of_its_seed(env: VecEnv) -> None:
    environments = TrainingEnvironments(env)
    seeds: list[int | None] = []
    seed = env.seed
    env.seed = lambda number=None: [seeds.append(number), *seed(number)]  # type: ignore[method-assign, func-returns-value]
    for number in (7, 8, 7):
        environments.start_rollout(None, STARTED, number)
        environments.step(NOTHING)
    assert seeds == [7, 8, 7]


def test_lines_of_random_numbers_begin_where_the_seed_says() -> None:
    environments = TrainingEnvironments(make_vec_env("CartPole-v1", 3))
    first, again, other = (environments.start_rollout(None, np.ones(3, bool), seed)[0] for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first[1:], other[:2])  # type: ignore[index]


@pytest.mark.parametrize("make", [no_early_reset, lives])
def test_who_must_not_be_reset_early_stays_where_he_is(make: Callable[[], gym.Env]) -> None:
    env = DummyVecEnv([make] * 2)
    environments = TrainingEnvironments(env)
    with environments.beginning(None, None, SEED) as at_start:
        env.reset()
        assert at_start.all()
    obs, _, dones, _ = environments.step(NOTHING)
    now, at_start = environments.start_rollout(obs, dones, SEED)  # type: ignore[arg-type]
    np.testing.assert_array_equal(now, [[1, 1], [1, 1]])
    assert not at_start.any()
    with environments.beginning(obs, dones, SEED) as at_start:  # type: ignore[arg-type]
        np.testing.assert_array_equal(env.reset(), [[1, 1], [1, 1]])
        assert not at_start.any()
    assert env.get_attr("n_resets") == [1, 1]


@pytest.mark.parametrize("make", [no_early_reset, lives])
def test_at_the_beginning_others_who_use_it_are_left_alone(make: Callable[[], gym.Env]) -> None:
    """What stands in the place of ``reset`` meanwhile is gone afterwards, an error or not."""
    env = DummyVecEnv([make] * 2)
    environments = TrainingEnvironments(env)
    with environments.beginning(None, None, SEED):
        first = env.reset()
    with pytest.raises(ArithmeticError), environments.beginning(first, STARTED, SEED):  # type: ignore[arg-type]
        raise ArithmeticError
    for _ in range(4):
        environments.step(NOTHING)
    if make is lives:
        assert env.reset() is not first
    else:
        with pytest.raises(RuntimeError, match="before done"):
            env.reset()


def test_after_the_beginning_a_reset_is_still_noticed() -> None:
    env = DummyVecEnv([lives] * 2)
    environments = TrainingEnvironments(env)
    with environments.beginning(None, None, SEED):
        first = env.reset()
    with environments.beginning(first, STARTED, SEED):  # type: ignore[arg-type]
        env.reset()
    environments.step(NOTHING)
    env.reset()
    assert environments.were_moved()


def test_lives_that_somebody_else_has_moved_are_played_out() -> None:
    env = DummyVecEnv([lives] * 2)
    environments = TrainingEnvironments(env)
    with environments.beginning(None, None, SEED):
        env.reset()
    env.step(NOTHING)
    _, at_start = environments.start_rollout(np.zeros((2, 2)), STARTED, SEED)
    assert not at_start.any()
    env.step(NOTHING)
    with environments.beginning(np.zeros((2, 2)), STARTED, SEED) as at_start:
        assert not at_start.any()
        env.reset()


@pytest.mark.parametrize(
    "space",
    [
        spaces.Box(-1, 1, (3,)),
        spaces.Box(0, 255, (2, 3), np.uint8),
        spaces.Discrete(7),
        spaces.Dict(position=spaces.Box(-1, 1, (2,)), level=spaces.Discrete(4)),
    ],
    ids=lambda space: type(space).__name__,
)
def test_what_a_dummy_vec_env_gives_is_what_it_gave_and_stays(space: spaces.Space) -> None:
    ours, theirs = (DummyVecEnv([lambda: Toy(copy.deepcopy(space))] * 2) for _ in range(2))
    TrainingEnvironments(ours)
    for env in (ours, theirs):
        env.seed(3)
    given = [(ours.reset(), theirs.reset())]
    given += [(ours.step(actions)[0], theirs.step(actions)[0]) for actions in [np.array([0, 1])] * 12]
    for our_obs, their_obs in given:
        assert type(our_obs) is type(their_obs)
        our_parts, their_parts = (obs if isinstance(obs, dict) else {None: obs} for obs in (our_obs, their_obs))
        assert our_parts.keys() == their_parts.keys()
        for key, part in their_parts.items():
            assert our_parts[key].dtype == part.dtype
            np.testing.assert_array_equal(our_parts[key], part)


def test_a_dummy_vec_env_that_gives_something_else_is_left_alone() -> None:
    class Doubles(DummyVecEnv):
        def _obs_from_buf(self) -> Any:
            return 2 * super()._obs_from_buf()

    environments = TrainingEnvironments(Doubles([Clock]))
    environments.start_rollout(None, np.ones(1, bool), 0)
    np.testing.assert_array_equal(environments.step(np.array([0]))[0], [[2, 2]])
