import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sb3_reinforce.common.patience import Patience

ENDS = r"not ended one episode yet, after .* timesteps.*TimeLimit"
MUCH = 10**9


def wait(patience: Patience, lengths: list[int], n_steps: int = MUCH) -> tuple[int | None, int | None]:
    """
    Steps of one environment whose episodes have these lengths, the last of which never ends.

    :return: After how many steps there was a warning, and an error.
    """
    warned, starts = None, [0]
    for length in lengths:
        starts.append(starts[-1] + length)
    for step in range(1, n_steps + 1):
        n_ended = sum(start <= step for start in starts[1:])
        if step < patience.next_check:
            continue
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            try:
                patience.check(step, n_ended, step - starts[n_ended])
            except RuntimeError:
                return warned, step
        if told:
            assert warned is None, "it is said once"
            warned = step
    return warned, None


@given(st.lists(st.integers(1, 20), max_size=4), st.integers(1, 60), st.integers(1, 60), st.booleans())
def test_one_is_warned_with_the_budget_and_it_fails_with_the_first_episode_that_is_too_long(
    lengths: list[int], max_episode_steps: int, budget: int, warns: bool
) -> None:
    warned, failed = wait(Patience(max_episode_steps, budget, warns), lengths, 400)
    too_long = next((i for i, length in enumerate([*lengths, MUCH]) if length > max_episode_steps), None)
    assert too_long is not None
    assert failed == sum(lengths[:too_long]) + max_episode_steps
    first = [*lengths, MUCH][0]
    is_to_be_warned = warns and budget < first and budget < max_episode_steps
    assert warned == (budget if is_to_be_warned else None)


def test_what_is_said() -> None:
    patience = Patience(100, 30, True)
    with pytest.warns(UserWarning, match=ENDS):
        patience.check(30, 0, 30)
    with pytest.raises(RuntimeError, match=r"not ended within 100 timesteps.*raise max_episode_steps"):
        patience.check(100, 0, 100)


def test_nothing_is_said_where_one_has_ended() -> None:
    patience = Patience(100, 30, True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        patience.check(30, 1, 5)


@pytest.mark.parametrize("n_steps_of_budget", [0, -7])
def test_a_budget_that_is_used_up_already_is_one_step(n_steps_of_budget: int) -> None:
    assert Patience(100, n_steps_of_budget, True).next_check == 1


def test_without_a_limit_one_waits_for_ever() -> None:
    patience = Patience(float("inf"), 10, False)  # type: ignore[arg-type]
    patience.check(10**12, 0, 10**12)
