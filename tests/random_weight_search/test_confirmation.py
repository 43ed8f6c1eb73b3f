from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sb3_reinforce.random_weight_search.confirmation import Confirmation, ended_in_order, holds_threshold
from sb3_reinforce.random_weight_search.episodes import EndedEpisodes

RETURNS = st.lists(st.one_of(st.none(), st.integers(-5, 5)), max_size=12)


def as_array(returns: list[int | None]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in returns], dtype=np.float64)


def slowly_holds(returns: list[int | None], threshold: int) -> bool:
    known: list[int] = []
    for value in returns:
        if value is None:
            break
        known.append(value)
        if Fraction(sum(known), len(known)) < threshold:
            return False
    return True


@given(RETURNS, st.integers(-5, 5))
def test_holds_threshold_is_the_slow_version(returns: list[int | None], threshold: int) -> None:
    assert holds_threshold(as_array(returns), float(threshold)) is slowly_holds(returns, threshold)


@given(RETURNS)
def test_what_has_ended_in_order_is_the_slow_version(returns: list[int | None]) -> None:
    n_known = next((i for i, value in enumerate(returns) if value is None), len(returns))
    assert ended_in_order(as_array(returns)).tolist() == returns[:n_known]


def test_rounding_alone_drops_nobody() -> None:
    """The running mean of 0.1, 0.1, ... is a rounding error below 0.1."""
    assert holds_threshold(np.full(100, 0.1), 0.1)
    assert not holds_threshold(np.full(100, 0.1), 0.1 + 1e-6)


class SlowOrder:
    """Who plays which episode, one environment after the other."""

    def __init__(self, n_episodes: int, at_start: list[bool]) -> None:
        self.returns: list[int | None] = [None] * n_episodes
        self.n_started = 0
        self.playing: list[int | None] = [self.next_episode() if starts else None for starts in at_start]

    def next_episode(self) -> int | None:
        """The number of the next episode to start, if there is one left."""
        if self.n_started == len(self.returns):
            return None
        self.n_started += 1
        return self.n_started - 1

    def end(self, env: int, value: int) -> None:
        """An environment's episode ends, whether it counts or not."""
        episode = self.playing[env]
        if episode is not None:
            self.returns[episode] = value
        self.playing[env] = self.next_episode()


@given(
    st.lists(st.booleans(), min_size=1, max_size=5),
    st.lists(st.dictionaries(st.integers(0, 4), st.integers(-3, 3), min_size=1), max_size=20),
    st.integers(1, 6),
    st.integers(-2, 2),
)
def test_a_confirmation_is_the_slow_version(
    at_start: list[bool], steps: list[dict[int, int]], n_episodes: int, threshold: int
) -> None:
    """Of each step, the environments whose episode ends, and its return."""
    confirmation = Confirmation(n_episodes, threshold, np.array(at_start))
    slow = SlowOrder(n_episodes, at_start)
    for step in steps:
        ended = sorted((env, value) for env, value in step.items() if env < len(at_start))
        for env, value in ended:
            slow.end(env, value)
        if ended:
            envs, values = map(np.array, zip(*ended, strict=True))
            confirmation.enter(EndedEpisodes(envs, values.astype(float)))
        holds, is_complete = slowly_holds(slow.returns, threshold), None not in slow.returns
        assert confirmation.is_settled is (is_complete or not holds)
        assert confirmation.is_passed is (is_complete and holds)
        assert confirmation.returns.tolist() == ended_in_order(as_array(slow.returns)).tolist()
