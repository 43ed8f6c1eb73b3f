"""Each configuration trains, or is refused with an error of ours that says what to do: see tests/fuzzing.py."""

import signal
from collections import Counter
from collections.abc import Iterator
from typing import Any, NoReturn

import pytest

from tests.fuzzing import Configuration

N_CONFIGURATIONS, N_GROUPS, SECONDS = 400, 4, 60


@pytest.fixture
def _no_hang() -> Iterator[None]:
    """An alarm, where there are any."""

    def ring(*_: Any) -> NoReturn:
        raise TimeoutError(f"A configuration has not come to an end in {SECONDS} seconds.")

    if not hasattr(signal, "SIGALRM"):
        yield
        return
    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("_no_hang")
@pytest.mark.parametrize("group", range(N_GROUPS))
def test_each_configuration_trains_or_is_refused(group: int) -> None:
    configurations = {seed: Configuration(seed) for seed in range(group, N_CONFIGURATIONS, N_GROUPS)}
    outcomes = {seed: configuration.outcome() for seed, configuration in configurations.items()}
    wrong = [f"{outcome}: {configurations[seed]}" for seed, outcome in outcomes.items() if outcome.startswith("WRONG")]
    assert not wrong, "\n".join(wrong)
    kinds = Counter(outcome.split(":")[0] for outcome in outcomes.values())
    assert kinds["trained"] >= len(outcomes) / 5, "else it would be no test"
    assert kinds["refused"] >= 1
