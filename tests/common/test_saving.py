import errno
import io
import os
import pathlib
import stat
from typing import Any, NoReturn

import pytest

from sb3_reinforce import REINFORCE, RandomWeightSearch
from sb3_reinforce.common.saving import write_atomically

Algorithm = type[REINFORCE] | type[RandomWeightSearch]


def no_space(*_: Any, **__: Any) -> NoReturn:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class FullDisk(io.BytesIO):
    """Takes half of what it is given."""

    def write(self, content: Any) -> int:
        no_space()


def full_disk(descriptor: int, mode: str) -> FullDisk:
    os.write(descriptor, b"half of")
    os.close(descriptor)
    return FullDisk()


def names(folder: pathlib.Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_writes_and_overwrites(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "new" / "folder" / "file.txt"
    write_atomically(path, b"first, and longer")
    write_atomically(path, b"second")
    assert path.read_bytes() == b"second"
    assert names(path.parent) == ["file.txt"]


@pytest.mark.parametrize(("function", "fails"), [("fdopen", full_disk), ("fsync", no_space), ("replace", no_space)])
def test_a_full_disk_leaves_the_old_file(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, function: str, fails: Any
) -> None:
    path = tmp_path / "file.txt"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, function, fails)
    with pytest.raises(OSError, match=r"file\.txt': No space left on device\. What was there before is untouched") as info:
        write_atomically(path, b"new")
    assert info.value.errno == errno.ENOSPC
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file.txt"]


def test_an_interrupt_leaves_the_old_file(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: int) -> NoReturn:
        raise KeyboardInterrupt

    path = tmp_path / "file.txt"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file.txt"]


def test_a_folder_that_takes_no_files(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any, **__: Any) -> NoReturn:
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("tempfile.mkstemp", refused)
    with pytest.raises(PermissionError, match=r"Could not write '.*file\.txt': Permission denied"):
        write_atomically(tmp_path / "file.txt", b"new")


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_a_new_file_has_the_usual_permissions(tmp_path: pathlib.Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        write_atomically(tmp_path / "file", b"")
        assert os.umask(umask) == umask
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == mode


def test_an_old_file_keeps_its_permissions(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"private")
    path.chmod(0o600)
    write_atomically(path, b"still private")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_link_is_followed(tmp_path: pathlib.Path) -> None:
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    write_atomically(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


MODELS = [REINFORCE, RandomWeightSearch]


@pytest.mark.parametrize("algorithm", MODELS)
@pytest.mark.parametrize(
    ("name", "written"), [("model", "model.zip"), ("model.zip", "model.zip"), ("model.v1", "model.v1"), ("a/b/model", None)]
)
def test_a_model_is_saved_where_sb3_would(
    tmp_path: pathlib.Path, algorithm: Algorithm, name: str, written: str | None
) -> None:
    model = algorithm("LinearSoftmaxPolicy", "CartPole-v1", seed=7)
    model.save(tmp_path / name)
    assert names(tmp_path) == [written or "a"]
    assert algorithm.load(str(tmp_path / name)).seed == 7


@pytest.mark.parametrize("algorithm", MODELS)
def test_a_model_is_saved_to_a_stream(algorithm: Algorithm) -> None:
    stream = io.BytesIO()
    algorithm("LinearSoftmaxPolicy", "CartPole-v1", seed=7).save(stream)
    stream.seek(0)
    assert algorithm.load(stream).seed == 7


@pytest.mark.parametrize("algorithm", MODELS)
def test_a_model_that_can_not_be_saved_leaves_the_last_one(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, algorithm: Algorithm
) -> None:
    algorithm("LinearSoftmaxPolicy", "CartPole-v1", seed=1).save(tmp_path / "model")
    second = algorithm("LinearSoftmaxPolicy", "CartPole-v1", seed=2)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdopen", full_disk)
        with pytest.raises(OSError, match="untouched"):
            second.save(tmp_path / "model")
    assert names(tmp_path) == ["model.zip"]
    assert algorithm.load(tmp_path / "model").seed == 1


def test_a_folder_is_no_model(tmp_path: pathlib.Path) -> None:
    (tmp_path / "model.zip").mkdir()
    with pytest.raises(IsADirectoryError, match="it is a folder"):
        REINFORCE("LinearSoftmaxPolicy", "CartPole-v1").save(tmp_path / "model.zip")
