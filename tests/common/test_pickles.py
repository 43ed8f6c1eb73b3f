import io
import pickle
import threading
from typing import Any

import pytest

from sb3_reinforce import REINFORCE, EpsilonSchedule, FourierBasis, LinearSoftmaxPolicy
from sb3_reinforce.common.archives import UntrustedFileError
from sb3_reinforce.common.pickles import trusted_files, unpickle
from sb3_reinforce.gradient.baselines import LinearBaseline
from tests.common.forged import saved

CONTENT = saved(REINFORCE("LinearSoftmaxPolicy", "CartPole-v1", learning_rate=lambda _: 0.1))


def load() -> Any:
    return REINFORCE.load(io.BytesIO(CONTENT))


@pytest.mark.parametrize(
    ("module", "value"),
    [
        ("sb3_reinforce.reinforce.policies", LinearSoftmaxPolicy),
        ("sb3_reinforce.common.features", FourierBasis),
        ("sb3_reinforce.common.epsilon", EpsilonSchedule),
        ("sb3_reinforce.common.baselines", LinearBaseline),
    ],
)
def test_what_0_1_0_had_elsewhere_is_found(module: str, value: type) -> None:
    assert unpickle(f"c{module}\n{value.__name__}\n.".encode()) is value
    assert unpickle(pickle.dumps({"a": value})) == {"a": value}


def test_within_a_context_files_are_trusted_and_after_it_no_more() -> None:
    with pytest.raises(UntrustedFileError):
        load()
    with trusted_files():
        assert load().learning_rate(1.0) == 0.1
        with trusted_files():
            load()
        load()
    with pytest.raises(UntrustedFileError):
        load()
    with pytest.raises(KeyError), trusted_files():
        raise KeyError
    with pytest.raises(UntrustedFileError):
        load()


def test_other_threads_do_not_trust() -> None:
    refused = []

    def run() -> None:
        try:
            load()
        except UntrustedFileError as error:
            refused.append(error)

    with trusted_files():
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
    assert len(refused) == 1
