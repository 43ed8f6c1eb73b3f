import io
import pathlib
import warnings
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sb3_reinforce.common.archives import DamagedFileError, damage_reported, name_of, read_archive, write_archive
from tests.common.forged import zipped


@given(st.dictionaries(st.text(st.characters(exclude_characters="\x00", codec="utf-8"), min_size=1), st.binary(max_size=50)))
def test_members_come_back(members: dict[str, bytes]) -> None:
    assert read_archive(write_archive(members)) == members


def test_two_members_of_one_name() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr("data", "one")
        archive.writestr("data", "two")
    with pytest.raises(DamagedFileError, match="two members of the same name"):
        read_archive(file)


def test_a_size_that_is_not_the_true_one() -> None:
    content = zipped({"a": bytes(10_000_000)}, zipfile.ZIP_DEFLATED)
    size = (10_000_000).to_bytes(4, "little")
    with pytest.raises(DamagedFileError, match="would expand"):
        read_archive(io.BytesIO(content))
    with pytest.raises(DamagedFileError, match=r"x is not a saved model, or is damaged: \w+: "), damage_reported("x"):
        read_archive(io.BytesIO(content.replace(size, (1000).to_bytes(4, "little"))))


def test_nothing_is_written_anywhere(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = ["../up", "/tmp/sb3_reinforce_slip", "a/../../b", "here"]
    assert list(read_archive(io.BytesIO(zipped(dict.fromkeys(names, b"x"))))) == names
    assert not list(tmp_path.iterdir())
    assert not pathlib.Path("/tmp/sb3_reinforce_slip").exists()


@pytest.mark.parametrize(
    "error", [KeyError("a"), MemoryError(), RecursionError("deep"), AssertionError(), OSError(22, "seek")]
)
def test_any_error_within_is_the_files(error: Exception) -> None:
    message = rf"^x is not a saved model, or is damaged: {type(error).__name__}"
    with pytest.raises(DamagedFileError, match=message), damage_reported("x"):
        raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_but_not_what_ends_a_process(error: type[BaseException]) -> None:
    with pytest.raises(error), damage_reported("x"):
        raise error


def test_names_in_messages() -> None:
    assert name_of(pathlib.Path("a\x1b.zip")) == "'a\\x1b.zip'"
    assert name_of(io.BytesIO()) == "the file"
