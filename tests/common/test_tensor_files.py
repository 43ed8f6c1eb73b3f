import contextlib
import io
import pathlib
import pickle
import zipfile
from typing import Any

import pytest
import torch as th
from torch import nn

from sb3_reinforce.common.archives import DamagedFileError
from sb3_reinforce.common.tensor_files import n_elements, no_more_parameters_than, read_tensors, write_tensors
from tests.common.forged import Poison, members_of, tensors, zipped


def trained(optimizer: Any) -> tuple[nn.Module, th.optim.Optimizer]:
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    steps = optimizer(net.parameters(), lr=0.1)
    net(th.ones(5, 3)).sum().backward()
    steps.step()
    return net, steps


@pytest.mark.parametrize("optimizer", [th.optim.Adam, th.optim.SGD, th.optim.RMSprop, th.optim.Adagrad])
def test_states_of_modules_and_optimizers_come_back(optimizer: Any) -> None:
    for part in trained(optimizer):
        state = part.state_dict()
        back = read_tensors(write_tensors(read_tensors(tensors(state))))
        th.testing.assert_close(back, state, rtol=0, atol=0, equal_nan=True) if isinstance(part, nn.Module) else None
        part.load_state_dict(back)
    assert n_elements(trained(optimizer)[0].state_dict()) == 3 * 4 + 4 + 4 * 4 + 1 + 4 * 2 + 2


def script() -> bytes:
    file = io.BytesIO()
    th.jit.save(th.jit.script(nn.Linear(2, 2)), file)
    return file.getvalue()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_program_is_no_tensor() -> None:
    with pytest.raises(DamagedFileError, match="its parameters are no tensors: they have the member"):
        read_tensors(script())


@pytest.mark.parametrize("order", [1, -1])
def test_what_is_hidden_before_or_behind_the_file_is_not_read(order: int, tmp_path: pathlib.Path) -> None:
    contents = [tensors(Poison(tmp_path / "poisoned")), tensors({"a": th.ones(1)})][::order]
    with contextlib.suppress(pickle.UnpicklingError):
        assert read_tensors(b"".join(contents))["a"] == 1
    assert not (tmp_path / "poisoned").exists()


@pytest.mark.parametrize(
    "value",
    [
        {"a": th.zeros(1).expand(1000)},
        {"a": th.zeros(2, 2).to_sparse()},
        {"a": th.empty(3, device="meta")},
        {"a": {"b": [(bytearray(3),)]}},
        {"a": th.float32},
        [th.Size([1])],
    ],
    ids=str,
)
def test_what_no_state_has(value: Any) -> None:
    with pytest.raises(DamagedFileError, match=r"no tensors|of an unusual kind"):
        read_tensors(tensors(value))


def test_views_are_what_they_are() -> None:
    whole = th.arange(12.0).reshape(3, 4)
    th.testing.assert_close(read_tensors(tensors({"a": whole.T, "b": whole[1:]})), {"a": whole.T, "b": whole[1:]})


def test_a_storage_that_says_it_is_longer_than_it_is() -> None:
    members = members_of(tensors({"a": th.arange(64.0)}))
    members["archive/data.pkl"] = members["archive/data.pkl"].replace(b"K@", b"K\xff")
    with pytest.raises(Exception, match=r"does not match expected size|out of bounds"):
        read_tensors(zipped(members))


def test_compressed_tensors() -> None:
    members = members_of(tensors({"a": th.arange(64.0)}))
    assert read_tensors(zipped(members, zipfile.ZIP_DEFLATED))["a"].tolist() == list(range(64))


def test_modules_with_many_more_parameters_than_allowed() -> None:
    with no_more_parameters_than(100):
        nn.Linear(1000, 1000)
        with pytest.raises(DamagedFileError, match="many more parameters than the 100 numbers"):
            nn.Linear(1000, 10_000)
    nn.Linear(1000, 10_000)
    with no_more_parameters_than(10_000_000):
        nn.Linear(1000, 10_000)
