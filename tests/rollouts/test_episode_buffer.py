from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st

from sb3_reinforce.rollouts import episode_buffer
from sb3_reinforce.rollouts.episode_buffer import EpisodeBuffer

OBS = spaces.Box(-1.0, 1.0, (3,))
DISCRETE = spaces.Discrete(2)

Step = tuple[np.ndarray, int, float]


def add(buffer: EpisodeBuffer, obs: Any, actions: Any, rewards: Any, dones: Any, infos: Any = None) -> list[int]:
    """One step; the environments that have ended an episode that counts."""
    infos = [{} for _ in range(buffer.n_envs)] if infos is None else infos
    return buffer.add(obs, np.array(actions), np.array(rewards), np.array(dones), infos).tolist()


def play(buffer: EpisodeBuffer, lengths: list[int], seed: int = 0) -> list[list[Step]]:
    """Fill the buffer from environments whose k-th started episode has lengths[k]; return the episodes as lists."""
    rng = np.random.default_rng(seed)
    n_envs = buffer.n_envs
    # What each environment is playing, kept apart from the buffer's own account
    playing = list(range(n_envs))
    left = [lengths[k] if k < len(lengths) else 10**9 for k in playing]
    n_started = n_envs
    episodes: list[list[Step]] = [[] for _ in range(n_envs + len(lengths))]
    while not buffer.complete:
        obs = rng.normal(size=(n_envs, 3)).astype(np.float32)
        actions = rng.integers(2, size=n_envs)
        rewards = rng.normal(size=n_envs)
        for env in range(n_envs):
            episodes[playing[env]].append((obs[env], int(actions[env]), float(rewards[env])))
            left[env] -= 1
        dones = np.array([n == 0 for n in left])
        add(buffer, obs, actions, rewards, dones)
        for env in np.flatnonzero(dones):
            playing[env], left[env] = n_started, lengths[n_started] if n_started < len(lengths) else 10**9
            n_started += 1
            if n_started > len(episodes):
                episodes.append([])
    return episodes[: len(lengths)]


lists_of_lengths = st.lists(st.integers(1, 9), min_size=1, max_size=12)


def small_buffer(n_episodes: int, n_envs: int, n_rows: int) -> EpisodeBuffer:
    """Blocks of a few rows, so that there are many."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(episode_buffer, "_BLOCK_MAX_ROWS", n_rows)
        return EpisodeBuffer(n_episodes, OBS, DISCRETE, n_envs=n_envs)


@given(lists_of_lengths, st.integers(1, 6), st.integers(1, 40))
def test_holds_the_first_episodes_started_each_to_its_end(lengths: list[int], n_envs: int, n_rows: int) -> None:
    buffer = small_buffer(len(lengths), n_envs, n_rows)
    episodes = play(buffer, lengths)
    steps = [step for episode in episodes for step in episode]
    np.testing.assert_array_equal(buffer.lengths, lengths)
    np.testing.assert_array_equal(buffer.rewards, [reward for _, _, reward in steps])
    np.testing.assert_array_equal(buffer.actions, [action for _, action, _ in steps])
    np.testing.assert_array_equal(buffer.observations, [obs for obs, _, _ in steps])
    np.testing.assert_array_equal(buffer.rollout().timesteps, [t for length in lengths for t in range(length)])
    assert buffer.size() == sum(lengths)


@given(lists_of_lengths, st.integers(1, 6), st.integers(1, 40), st.booleans())
def test_batches_hold_each_timestep_once_with_its_weight_and_epsilon(
    lengths: list[int], n_envs: int, n_rows: int, look: bool
) -> None:
    buffer = small_buffer(len(lengths), n_envs, n_rows)
    epsilons = np.linspace(0.1, 0.9, len(lengths))
    buffer.reset(epsilons)
    episodes = play(buffer, lengths)
    if look:  # whoever looks at the arrays changes where batches come from
        assert len(buffer.observations) == len(buffer.actions)
    numbered = [(number, *step[:2]) for number, episode in enumerate(episodes) for step in episode]
    expected = {(number, tuple(obs), action, float(weight)) for weight, (number, obs, action) in enumerate(numbered)}
    got = set()
    for batch in buffer.rollout().batches(np.arange(sum(lengths))):
        assert batch.epsilon is not None
        assert isinstance(batch.observations, th.Tensor)
        np.testing.assert_allclose(batch.epsilon, epsilons[batch.episodes], rtol=1e-6)
        for obs, action, weight, number in zip(*batch[:4], strict=True):
            got.add((int(number), tuple(obs.numpy()), int(action), float(weight)))
    assert len(got) == sum(lengths)
    assert got == expected


def test_batches_without_exploration_have_no_epsilon() -> None:
    buffer = EpisodeBuffer(2, OBS, DISCRETE)
    play(buffer, [2, 1])
    assert all(batch.epsilon is None for batch in buffer.rollout().batches(np.zeros(3)))


@pytest.mark.parametrize("n_envs", [1, 2])
def test_what_is_written_into_the_arrays_is_what_batches_hold(n_envs: int) -> None:
    buffer = EpisodeBuffer(3, OBS, DISCRETE, n_envs=n_envs)
    play(buffer, [3, 1, 2])
    buffer.rewards += 1.0
    buffer.rewards[0] = -7.0
    buffer.observations[:] = np.arange(6)[:, np.newaxis]
    buffer.actions = np.array([0, 1, 0, 1, 1, 0])
    rollout = buffer.rollout()
    assert rollout.rewards[0] == -7.0
    for batch in rollout.batches(np.arange(6)):
        assert isinstance(batch.observations, th.Tensor)
        np.testing.assert_array_equal(batch.observations[:, 0], batch.weights)
        np.testing.assert_array_equal(batch.actions, np.array([0, 1, 0, 1, 1, 0])[batch.weights.long()])


def test_dict_observations_and_images_keep_their_types() -> None:
    space = spaces.Dict({"image": spaces.Box(0, 255, (2, 2, 3), np.uint8), "vector": spaces.Box(-1, 1, (2,), np.float64)})
    buffer = EpisodeBuffer(1, space, spaces.MultiBinary(2), n_envs=1)
    image, vector = np.full((1, 2, 2, 3), 7, np.uint8), np.array([[0.5, 0.25]])
    add(buffer, {"image": image, "vector": vector}, [[0, 1]], [1.0], [True])
    image[:] = 0  # what the environment does with its arrays afterwards is its own affair
    (batch,) = buffer.rollout().batches(np.ones(1))
    assert isinstance(batch.observations, dict)
    assert batch.observations["image"].dtype == th.uint8
    assert batch.observations["image"].unique().tolist() == [7]
    assert batch.observations["vector"].dtype == th.float64
    assert batch.actions.tolist() == [[0.0, 1.0]]


@pytest.mark.parametrize(
    ("space", "actions", "dtype"),
    [
        (spaces.Discrete(3), np.array([2, 1]), th.int64),
        (spaces.MultiDiscrete([2, 3]), np.array([[1, 2], [0, 1]]), th.int64),
        (spaces.Box(-1, 1, (2, 2)), np.ones((2, 4), np.float32), th.float32),
    ],
)
def test_actions_of_each_space(space: spaces.Space, actions: np.ndarray, dtype: th.dtype) -> None:
    buffer = EpisodeBuffer(2, OBS, space, n_envs=2)
    add(buffer, np.zeros((2, 3), np.float32), actions, np.zeros(2), [True, True])
    (batch,) = buffer.rollout().batches(np.ones(2))
    assert batch.actions.dtype == dtype
    np.testing.assert_array_equal(batch.actions, actions)


def test_an_incomplete_rollout_is_not_handed_out() -> None:
    buffer = EpisodeBuffer(2, OBS, DISCRETE, n_envs=1)
    add(buffer, np.zeros((1, 3), np.float32), [0], [0.0], [True])
    for name in ("rewards", "observations", "actions"):
        with pytest.raises(RuntimeError, match="1 of its 2 episodes"):
            getattr(buffer, name)
    with pytest.raises(RuntimeError, match="1 of its 2 episodes"):
        buffer.rollout()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("what", ["observation", "reward"])
def test_values_that_are_not_finite_are_named(what: str, bad: float) -> None:
    buffer = EpisodeBuffer(1, OBS, DISCRETE, n_envs=1)
    obs, rewards = np.zeros((1, 3), np.float32), np.zeros(1)
    add(buffer, obs, [0], rewards, [False])
    (obs if what == "observation" else rewards)[0] = bad
    add(buffer, obs, [0], rewards, [True])
    with pytest.raises(ValueError, match=f"{what} that is not finite.*timestep 1"):
        buffer.rollout()


def test_values_that_are_not_finite_are_found_while_a_long_rollout_goes_on() -> None:
    buffer = small_buffer(1, 1, 4)

    def go_on() -> None:
        for _ in range(10):
            add(buffer, np.full((1, 3), np.nan, np.float32), [0], [0.0], [False])

    with pytest.raises(ValueError, match="observation that is not finite"):
        go_on()


@pytest.mark.parametrize("shape", [(2, 1), (1, 3), (2, 2), (3,)])
def test_observations_of_another_shape_are_refused_and_not_stretched(shape: tuple[int, ...]) -> None:
    buffer = EpisodeBuffer(2, OBS, DISCRETE, n_envs=2)
    buffer.environment = "Corridor-v0"
    with pytest.raises(ValueError, match=r"Corridor-v0 returned an observation of shape"):
        add(buffer, np.zeros(shape, np.float32), [0, 0], [0.0, 0.0], [False, False])


def test_real_observations_of_an_integer_space_are_refused() -> None:
    buffer = EpisodeBuffer(2, spaces.Discrete(5), DISCRETE, n_envs=2)
    add(buffer, np.array([1.0, 4.0]), [0, 0], [0.0, 0.0], [False, True])
    with pytest.raises(ValueError, match="type float64, but its space Discrete"):
        add(buffer, np.array([1.5, 4.0]), [0, 0], [0.0, 0.0], [False, True])


def test_reset_forgets_everything() -> None:
    buffer = EpisodeBuffer(2, OBS, DISCRETE, n_envs=2)
    play(buffer, [3, 4])
    buffer.reset()
    assert buffer.size() == 0
    assert not buffer.complete
    play(buffer, [1, 2], seed=1)
    assert buffer.size() == 3


def test_a_rollout_is_not_sampled_from() -> None:
    with pytest.raises(NotImplementedError, match="never sampled"):
        EpisodeBuffer(1, OBS, DISCRETE)._get_samples(np.array([0]))


@pytest.mark.parametrize("n_episodes", [2, 3])
def test_steps_that_are_only_resets_are_left_out(n_episodes: int) -> None:
    buffer = EpisodeBuffer(n_episodes, OBS, DISCRETE, n_envs=2)
    buffer.reset(reset_takes_a_step=True)
    steps = [
        # The first environment's episode of one step, then its reset, then another of two
        ([1.0, 10.0], [True, False]),
        ([-1.0, 20.0], [False, False]),
        ([2.0, 30.0], [False, False]),
        ([3.0, 40.0], [True, True]),
    ]
    for rewards, dones in steps:
        add(buffer, np.zeros((2, 3), np.float32), [0, 0], rewards, dones)
    assert buffer.complete
    assert buffer.lengths.tolist() == [1, 4, 2][:n_episodes]
    assert buffer.rewards.tolist() == [1.0, 10.0, 20.0, 30.0, 40.0, 2.0, 3.0][: buffer.lengths.sum()]


def test_environments_in_the_middle_of_an_episode_play_it_out_first() -> None:
    buffer = EpisodeBuffer(3, OBS, DISCRETE, n_envs=2)
    buffer.reset(at_start=np.array([False, True]))
    steps = [
        ([-1.0, 10.0], [False, False]),
        ([-2.0, 20.0], [True, False]),  # what the first environment was in the middle of ends, and does not count
        ([1.0, 30.0], [False, True]),
        ([2.0, 40.0], [True, True]),
    ]
    ended = [add(buffer, np.zeros((2, 3), np.float32), [0, 0], rewards, dones) for rewards, dones in steps]
    assert ended == [[], [], [1], [0, 1]]
    assert buffer.lengths.tolist() == [3, 2, 1]
    assert buffer.rewards.tolist() == [10.0, 20.0, 30.0, 1.0, 2.0, 40.0]


def test_dict_observations_are_handed_out_in_episode_order() -> None:
    space = spaces.Dict({"a": OBS, "b": spaces.Discrete(19)})
    buffer = EpisodeBuffer(3, space, DISCRETE, n_envs=2)
    for step in range(4):  # lengths 1 and 4, then 2: the third is played by the first environment
        obs = {"a": np.full((2, 3), step, np.float32), "b": np.array([step, 10 + step])}
        add(buffer, obs, [0, 0], [0.0, 0.0], [step in (0, 2), step == 3])
    observations = buffer.observations
    assert isinstance(observations, dict)
    assert observations["b"].tolist() == [0, 10, 11, 12, 13, 1, 2]
    assert observations["a"][:, 0].tolist() == [0, 0, 1, 2, 3, 1, 2]


def cut_off(last_obs: Any, truncated: bool = True) -> dict[str, Any]:
    return {"TimeLimit.truncated": truncated, "terminal_observation": last_obs}


def test_what_a_time_limit_cut_off_is_kept_if_it_is_asked_for() -> None:
    for keep in (True, False):
        buffer = EpisodeBuffer(3, OBS, DISCRETE)
        buffer.reset(keep_cut_off=keep)
        for value, truncated in ((1.0, True), (2.0, False), (3.0, True)):
            info = cut_off(np.full(3, value), truncated)
            add(buffer, np.zeros((1, 3), np.float32), [0], [0.0], [True], [info])
        rollout = buffer.rollout()
        assert rollout.cut_off.tolist() == ([0, 2] if keep else [])
        if keep:
            np.testing.assert_array_equal(rollout.last_observations, [[1, 1, 1], [3, 3, 3]])  # type: ignore[arg-type]
        else:
            assert rollout.last_observations is None


def test_dict_observations_that_were_cut_off() -> None:
    space = spaces.Dict({"a": OBS, "b": spaces.Discrete(9)})
    buffer = EpisodeBuffer(2, space, DISCRETE, n_envs=2)
    buffer.reset(keep_cut_off=True)
    obs = {"a": np.zeros((2, 3), np.float32), "b": np.array([0, 1])}
    infos = [cut_off({"a": np.ones(3), "b": np.array(4)}), cut_off({"a": np.zeros(3), "b": np.array(5)})]
    add(buffer, obs, [0, 0], [0.0, 0.0], [True, True], infos)
    observations = buffer.rollout().last_observations
    assert isinstance(observations, dict)
    assert observations["b"].tolist() == [4, 5]
    assert observations["a"].shape == (2, 3)
