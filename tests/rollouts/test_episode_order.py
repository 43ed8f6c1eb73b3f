import numpy as np

from sb3_reinforce.rollouts.episode_order import EpisodeOrder


def step(order: EpisodeOrder, *dones: bool) -> tuple[list[int], list[int]]:
    """One step; the environments that have ended an episode that counts, and its number."""
    order.n_steps += 1
    envs, episodes = order.end_episodes(np.array(dones))
    return envs.tolist(), episodes.tolist()


def test_order_says_who_plays_what() -> None:
    order = EpisodeOrder(3, np.ones(2, dtype=bool))
    assert step(order, False, True) == ([1], [1])
    assert (order.episodes.tolist(), order.n_started) == ([0, 2], 3)
    mask = order.is_playing
    step(order, True, False)
    assert order.is_playing.tolist() == [False, True]
    assert mask.tolist() == [True, True], "the mask of the step before must not change under its holder"
    assert step(order, True, True) == ([1], [2]), "the idle environment's episode does not count"
    assert order.complete
    assert order.lengths.tolist() == [2, 1, 2]


def test_more_environments_than_episodes_leaves_some_idle() -> None:
    order = EpisodeOrder(2, np.ones(4, dtype=bool))
    assert order.is_playing.tolist() == [True, True, False, False]
    assert order.longest == 0


def test_an_environment_in_the_middle_of_an_episode_starts_its_first_when_that_has_ended() -> None:
    order = EpisodeOrder(3, np.array([False, True, False]))
    assert order.is_playing.tolist() == [False, True, False]
    assert step(order, True, False, False) == ([], [])
    assert order.episodes.tolist() == [1, 0, -1]
    assert step(order, True, True, True) == ([0, 1], [1, 0])
    assert order.episodes.tolist() == [2, -1, -1], "in the order of the environments"
    assert step(order, True, True, True) == ([0], [2])
    assert order.lengths.tolist() == [2, 1, 1]
    assert order.complete


def test_the_longest_is_what_is_played_or_where_nothing_is_all_that_goes_on() -> None:
    order = EpisodeOrder(2, np.array([True, False]))
    for _ in range(3):
        step(order, False, False)
    assert order.longest == 3
    step(order, True, False)
    step(order, False, False)
    assert order.longest == 1, "of the second; the idle environment's is none of ours"
    waiting = EpisodeOrder(1, np.array([False]))
    for _ in range(5):
        step(waiting, False)
    assert waiting.longest == 5, "an idle episode that never ends lets nothing start"


def test_where_a_reset_takes_a_step_it_belongs_to_no_episode() -> None:
    order = EpisodeOrder(2, np.ones(1, dtype=bool), reset_takes_a_step=True)
    assert step(order, True) == ([0], [0])
    assert order.is_playing.tolist() == [False]
    step(order, False)
    assert order.is_playing.tolist() == [True]
    assert step(order, True) == ([0], [1])
    assert order.lengths.tolist() == [1, 1]
