import errno
import io
import os
import pathlib
import select
import socket
import stat
import threading
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


# Where it can't be written


@pytest.mark.parametrize("make", [pathlib.Path.mkdir, lambda path: path.write_bytes(b"a file")])
def test_a_failure_leaves_no_folders(tmp_path: pathlib.Path, make: Any) -> None:
    (tmp_path / "here").mkdir()
    path = tmp_path / "here" / "new" / "deep" / "x"
    for name in ("n" * 256, "n" * 300):
        with pytest.raises(OSError, match="File name too long"):
            write_atomically(path / name, b"new")
        assert names(tmp_path / "here") == []
    make(tmp_path / "here" / "taken")
    with pytest.raises(OSError, match="Could not write"):
        write_atomically(tmp_path / "here" / "taken" / "a" / ("n" * 256), b"new")
    assert names(tmp_path / "here") == ["taken"]


def test_a_folder_that_somebody_else_uses_meanwhile_stays(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space_and_company(*_: Any) -> NoReturn:
        (tmp_path / "new" / "theirs").touch()
        no_space()

    monkeypatch.setattr(os, "fsync", no_space_and_company)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(tmp_path / "new" / "deep" / "mine", b"new")
    assert names(tmp_path / "new") == ["theirs"]


@pytest.mark.parametrize("name", ["n" * 255, "ä" * 127, "n" * 251 + ".zip"])
def test_the_longest_names(tmp_path: pathlib.Path, name: str) -> None:
    for content in (b"first", b"second"):
        write_atomically(tmp_path / name, content)
    assert (tmp_path / name).read_bytes() == b"second"
    assert names(tmp_path) == [name]


# Files that can't be replaced by others


@pytest.mark.parametrize("content", [b"new", b"new, and longer than what was there", b""])
def test_a_file_with_two_names_keeps_them(tmp_path: pathlib.Path, content: bytes) -> None:
    (tmp_path / "one").write_bytes(b"what was there")
    os.link(tmp_path / "one", tmp_path / "two")
    write_atomically(tmp_path / "two", content)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes() == content
    assert (tmp_path / "one").samefile(tmp_path / "two")


@pytest.mark.parametrize("fails", ["fsync", "ftruncate", "write"])
def test_a_file_with_two_names_gets_its_content_back(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    (tmp_path / "one").write_bytes(b"what was there")
    os.link(tmp_path / "one", tmp_path / "two")
    function, calls = getattr(os, fails), []

    def fails_once(*arguments: Any) -> Any:
        calls.append(arguments)
        return no_space() if len(calls) == 1 else function(*arguments)

    monkeypatch.setattr(os, fails, fails_once)
    with pytest.raises(OSError, match=r"No space left on device\. What was there before is untouched"):
        write_atomically(tmp_path / "two", b"something new that is longer")
    assert (tmp_path / "one").read_bytes() == b"what was there"


def test_a_pipe_is_written_to(tmp_path: pathlib.Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    content = bytes(range(256)) * 1000  # more than a pipe holds
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(reader, True)
    writer = threading.Thread(target=write_atomically, args=(tmp_path / "pipe", content))
    writer.start()
    select.select([reader], [], [])
    with os.fdopen(reader, "rb") as file:
        assert file.read() == content
    writer.join()
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_a_pipe_that_nobody_reads_from_is_no_reason_to_wait(tmp_path: pathlib.Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="nobody reads from it"):
        write_atomically(tmp_path / "pipe", b"new")


def test_a_socket_and_a_device(tmp_path: pathlib.Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        with pytest.raises(OSError, match="neither a file nor a pipe"):
            write_atomically(tmp_path / "socket", b"new")
    write_atomically(pathlib.Path("/dev/null"), b"new")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


@pytest.mark.skipif(os.getuid() != 0, reason="only root may give a file away")
@pytest.mark.parametrize("may_give_away", [True, False])
def test_another_users_file_stays_theirs(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, may_give_away: bool) -> None:
    def refused(*_: Any) -> NoReturn:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    path = tmp_path / "theirs"
    path.write_bytes(b"old")
    os.chown(path, 1234, 4321)
    path.chmod(0o640)
    if not may_give_away:
        monkeypatch.setattr(os, "chown", refused)
    write_atomically(path, b"new")
    info = path.stat()
    assert (info.st_uid, info.st_gid, stat.S_IMODE(info.st_mode)) == (1234, 4321, 0o640)
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["theirs"]


def test_a_file_in_a_folder_that_takes_no_new_ones(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any, **__: Any) -> NoReturn:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    (tmp_path / "file").write_bytes(b"old")
    monkeypatch.setattr("tempfile.mkstemp", refused)
    write_atomically(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"


def test_a_write_protected_file_is_not_replaced(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"old")
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everywhere
    with pytest.raises(PermissionError, match="write-protected"):
        write_atomically(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"old"


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


@pytest.mark.parametrize("algorithm", MODELS)
def test_a_model_of_a_user_who_errs_leaves_no_folder(tmp_path: pathlib.Path, algorithm: Algorithm) -> None:
    model = algorithm("LinearSoftmaxPolicy", "CartPole-v1")
    with pytest.raises(OSError, match="File name too long"):
        model.save(tmp_path / "new" / ("n" * 252))
    assert names(tmp_path) == []
    model.save(tmp_path / "new" / ("n" * 251))
    assert algorithm.load(tmp_path / "new" / ("n" * 251)).policy_class is model.policy_class
