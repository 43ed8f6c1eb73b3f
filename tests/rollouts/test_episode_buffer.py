import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st

from sb3_reinforce.rollouts import episode_buffer
from sb3_reinforce.rollouts.episode_buffer import EpisodeBuffer, EpisodeOrder

OBS = spaces.Box(-1.0, 1.0, (3,))
DISCRETE = spaces.Discrete(2)


def play(buffer: EpisodeBuffer, lengths: list[int], seed: int = 0) -> list[list[tuple[np.ndarray, int, float]]]:
    """Fill the buffer from environments whose k-th started episode has lengths[k]; return the episodes as lists."""
    rng = np.random.default_rng(seed)
    order = buffer.order
    n_envs = buffer.n_envs
    # What each environment is playing, kept apart from the buffer's own account
    playing = list(range(n_envs))
    left = [lengths[k] if k < len(lengths) else 10**9 for k in playing]
    n_started = n_envs
    episodes: list[list[tuple[np.ndarray, int, float]]] = [[] for _ in range(n_envs + len(lengths))]
    while not order.complete:
        obs = rng.normal(size=(n_envs, 3)).astype(np.float32)
        actions = rng.integers(2, size=n_envs)
        rewards = rng.normal(size=n_envs).astype(np.float32)
        buffer.add(obs, actions, rewards)
        for env in range(n_envs):
            episodes[playing[env]].append((obs[env], int(actions[env]), float(rewards[env])))
            left[env] -= 1
        dones = np.array([n == 0 for n in left])
        order.end_episodes(dones)
        for env in np.flatnonzero(dones):
            playing[env], left[env] = n_started, lengths[n_started] if n_started < len(lengths) else 10**9
            n_started += 1
            if n_started > len(episodes):
                episodes.append([])
    return episodes[: len(lengths)]


@given(st.lists(st.integers(1, 9), min_size=1, max_size=12), st.integers(1, 6))
def test_holds_the_first_episodes_started_each_to_its_end(lengths: list[int], n_envs: int) -> None:
    buffer = EpisodeBuffer(len(lengths), OBS, DISCRETE, n_envs=n_envs)
    episodes = play(buffer, lengths)
    np.testing.assert_array_equal(buffer.lengths, lengths)
    np.testing.assert_array_equal(buffer.rewards(), [reward for episode in episodes for _, _, reward in episode])
    assert buffer.size() == sum(lengths)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=12), st.integers(1, 6), st.integers(1, 7))
def test_get_hands_out_each_timestep_once_with_its_weight(lengths: list[int], n_envs: int, rows: int) -> None:
    buffer = EpisodeBuffer(len(lengths), OBS, DISCRETE, n_envs=n_envs)
    buffer._rows_per_block = rows  # small blocks, so that there are many
    episodes = play(buffer, lengths)
    expected = {
        (tuple(obs), action, float(weight), number)
        for weight, (number, (obs, action, _)) in enumerate(
            (i, step) for i, episode in enumerate(episodes) for step in episode
        )
    }
    got = [
        (tuple(obs.numpy()), int(action), float(weight), int(number))
        for batch in buffer.get(np.arange(sum(lengths)))
        for obs, action, weight, number in zip(*batch, strict=True)
    ]
    assert len(got) == sum(lengths)
    assert set(got) == expected


def test_order_says_who_plays_what() -> None:
    order = EpisodeOrder(n_episodes=3, n_envs=2)
    order.n_steps += 1
    envs, episodes = order.end_episodes(np.array([False, True]))
    assert (envs.tolist(), episodes.tolist()) == ([1], [1])
    assert (order.envs.tolist(), order.episodes.tolist(), order.n_started) == ([0, 1], [0, 2], 3)
    mask = order.is_playing
    order.n_steps += 1
    order.end_episodes(np.array([True, False]))
    assert order.is_playing.tolist() == [False, True]
    assert mask.tolist() == [True, True], "the mask of the step before must not change under its holder"
    order.n_steps += 1
    envs, episodes = order.end_episodes(np.array([True, True]))
    assert (envs.tolist(), episodes.tolist()) == ([1], [2]), "the idle environment's episode does not count"
    assert order.complete
    assert order.lengths.tolist() == [2, 1, 2]


def test_more_environments_than_episodes_leaves_some_idle() -> None:
    order = EpisodeOrder(n_episodes=2, n_envs=4)
    assert order.is_playing.tolist() == [True, True, False, False]
    assert order.longest == 0


def test_dict_observations_and_images_keep_their_types() -> None:
    space = spaces.Dict({"image": spaces.Box(0, 255, (2, 2, 3), np.uint8), "vector": spaces.Box(-1, 1, (2,), np.float64)})
    buffer = EpisodeBuffer(1, space, spaces.MultiBinary(2), n_envs=1)
    image, vector = np.full((1, 2, 2, 3), 7, np.uint8), np.array([[0.5, 0.25]])
    buffer.add({"image": image, "vector": vector}, np.array([[0, 1]]), np.array([1.0]))
    image[:] = 0  # what the environment does with its arrays afterwards is its own affair
    buffer.order.end_episodes(np.array([True]))
    (batch,) = buffer.get(np.ones(1))
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
    buffer.add(np.zeros((2, 3), np.float32), actions, np.zeros(2))
    buffer.order.end_episodes(np.array([True, True]))
    (batch,) = buffer.get(np.ones(2))
    assert batch.actions.dtype == dtype
    np.testing.assert_array_equal(batch.actions, actions)


def test_an_incomplete_rollout_is_not_handed_out() -> None:
    buffer = EpisodeBuffer(2, OBS, DISCRETE, n_envs=1)
    buffer.add(np.zeros((1, 3), np.float32), np.array([0]), np.zeros(1))
    buffer.order.end_episodes(np.array([True]))
    with pytest.raises(RuntimeError, match="1 of its 2 episodes"):
        buffer.rewards()
    with pytest.raises(RuntimeError, match="1 of its 2 episodes"):
        next(buffer.get(np.ones(1)))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("what", ["observation", "reward"])
def test_values_that_are_not_finite_are_named(what: str, bad: float) -> None:
    buffer = EpisodeBuffer(1, OBS, DISCRETE, n_envs=1)
    obs, rewards = np.zeros((1, 3), np.float32), np.zeros(1)
    buffer.add(obs, np.array([0]), rewards)
    (obs if what == "observation" else rewards)[0] = bad
    buffer.add(obs, np.array([0]), rewards)
    buffer.order.end_episodes(np.array([True]))
    with pytest.raises(ValueError, match=f"{what} that is not finite.*timestep 1"):
        buffer.rewards()


def test_values_that_are_not_finite_are_found_while_a_long_rollout_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(episode_buffer, "_BLOCK_MAX_ROWS", 4)
    buffer = EpisodeBuffer(1, OBS, DISCRETE, n_envs=1)

    def go_on() -> None:
        for _ in range(10):
            buffer.add(np.full((1, 3), np.nan, np.float32), np.array([0]), np.zeros(1))

    with pytest.raises(ValueError, match="observation that is not finite"):
        go_on()


def test_reset_forgets_everything() -> None:
    buffer = EpisodeBuffer(2, OBS, DISCRETE, n_envs=2)
    play(buffer, [3, 4])
    buffer.reset()
    assert buffer.size() == 0
    assert not buffer.order.complete
    play(buffer, [1, 2], seed=1)
    assert buffer.size() == 3


def test_a_rollout_is_not_sampled_from() -> None:
    with pytest.raises(NotImplementedError, match="never sampled"):
        EpisodeBuffer(1, OBS, DISCRETE)._get_samples(np.array([0]))


def test_blocks_are_about_a_mebibyte() -> None:
    images = EpisodeBuffer(1, spaces.Box(0, 255, (4, 84, 84), np.uint8), DISCRETE, n_envs=2)
    assert images._rows_per_block == (1 << 20) // (4 * 84 * 84 + 8 + 12)


@pytest.mark.parametrize("n_episodes", [2, 3])
def test_steps_that_are_only_resets_are_left_out(n_episodes: int) -> None:
    buffer = EpisodeBuffer(n_episodes, OBS, DISCRETE, n_envs=2)
    steps = [
        # rewards, dones, resets: the first environment's episode of one step, then its reset, then another of two
        ([1.0, 10.0], [True, False], [False, False]),
        ([-1.0, 20.0], [False, False], [True, False]),
        ([2.0, 30.0], [False, False], [False, False]),
        ([3.0, 40.0], [True, True], [False, False]),
    ]
    for rewards, dones, resets in steps:
        buffer.add(np.zeros((2, 3), np.float32), np.zeros(2, int), np.array(rewards), np.array(resets))
        buffer.order.end_episodes(np.array(dones))
    assert buffer.order.complete
    assert buffer.lengths.tolist() == [1, 4, 2][:n_episodes]
    assert buffer.rewards().tolist() == [1.0, 10.0, 20.0, 30.0, 40.0, 2.0, 3.0][: buffer.lengths.sum()]


@given(st.lists(st.integers(1, 9), min_size=1, max_size=12), st.integers(1, 6), st.integers(1, 7))
def test_observations_are_handed_out_in_episode_order(lengths: list[int], n_envs: int, rows: int) -> None:
    buffer = EpisodeBuffer(len(lengths), OBS, DISCRETE, n_envs=n_envs)
    buffer._rows_per_block = rows
    episodes = play(buffer, lengths)
    np.testing.assert_array_equal(buffer.observations(), [obs for episode in episodes for obs, _, _ in episode])


def test_dict_observations_are_handed_out_in_episode_order() -> None:
    space = spaces.Dict({"a": OBS, "b": spaces.Discrete(9)})
    buffer = EpisodeBuffer(3, space, DISCRETE, n_envs=2)
    for step in range(4):  # lengths 1 and 4, then 2: the third is played by the first environment
        obs = {"a": np.full((2, 3), step, np.float32), "b": np.array([step, 10 + step])}
        buffer.add(obs, np.zeros(2, np.int64), np.zeros(2))
        buffer.order.end_episodes(np.array([step in (0, 2), step == 3]))
    observations = buffer.observations()
    assert isinstance(observations, dict)
    assert observations["b"].tolist() == [0, 10, 11, 12, 13, 1, 2]
    assert observations["a"][:, 0].tolist() == [0, 0, 1, 2, 3, 1, 2]


def test_what_was_cut_off_is_kept_until_the_reset() -> None:
    buffer = EpisodeBuffer(3, OBS, DISCRETE)
    assert len(buffer.cut_off()[0]) == 0
    buffer.add_cut_off(2, np.ones(3))
    buffer.add_cut_off(0, np.zeros(3))
    numbers, observations = buffer.cut_off()
    assert numbers.tolist() == [2, 0]
    np.testing.assert_array_equal(observations, [[1, 1, 1], [0, 0, 0]])
    buffer.reset()
    assert len(buffer.cut_off()[0]) == 0


def test_dict_observations_that_were_cut_off() -> None:
    buffer = EpisodeBuffer(3, OBS, DISCRETE)
    buffer.add_cut_off(1, {"a": np.ones(3), "b": np.array(4)})
    buffer.add_cut_off(2, {"a": np.zeros(3), "b": np.array(5)})
    observations = buffer.cut_off()[1]
    assert isinstance(observations, dict)
    assert observations["b"].tolist() == [4, 5]
    assert observations["a"].shape == (2, 3)
