import pathlib

import pytest

from sb3_reinforce.cli.errors import CliError
from sb3_reinforce.cli.run_folder import (
    RunFolder,
    find_run_folder,
    latest_run_folder,
    name_of_environment,
    new_run_folder,
)
from sb3_reinforce.common.archives import UntrustedFileError


@pytest.mark.parametrize(
    ("env_id", "name"),
    [
        ("CartPole-v1", "CartPole-v1"),
        ("module:CartPole-v1", "CartPole-v1"),
        ("a.b:ALE/Pong-v5", "ALE-Pong-v5"),
        ("my pole:x?-v0", "x--v0"),
    ],
)
def test_names_are_names_of_files_everywhere(env_id: str, name: str) -> None:
    assert name_of_environment(env_id) == name


def test_runs_are_counted_as_the_zoo_counts_them(tmp_path: pathlib.Path) -> None:
    for number in (1, 2):
        folder = new_run_folder(tmp_path, "reinforce", "m:CartPole-v1")
        assert folder == RunFolder(tmp_path / "reinforce" / f"CartPole-v1_{number}", "CartPole-v1")
    for other in ("CartPole-v1_9x", "CartPole-v10_7", "Other-CartPole-v1_8"):
        (tmp_path / "reinforce" / other).mkdir()
    (tmp_path / "reinforce" / "CartPole-v1_5").mkdir()
    assert new_run_folder(tmp_path, "reinforce", "CartPole-v1").path.name == "CartPole-v1_6"
    assert latest_run_folder(tmp_path, "reinforce", "CartPole-v1").path.name == "CartPole-v1_6"
    with pytest.raises(CliError, match="there is no run of ppo on CartPole-v1"):
        latest_run_folder(tmp_path, "ppo", "CartPole-v1")


def test_settings_come_back(tmp_path: pathlib.Path) -> None:
    assert find_run_folder(tmp_path) is None
    folder = RunFolder(tmp_path, "CartPole-v1")
    assert folder.read_arguments() == {}
    folder.write_settings({"env": "CartPole-v1"}, {"gamma": 0.9, "env_wrapper": [{"a.B": {"c": None}}]})
    assert find_run_folder(tmp_path) == folder
    assert folder.read_arguments() == {"env": "CartPole-v1"}
    assert folder.read_hyperparameters() == {"gamma": 0.9, "env_wrapper": [{"a.B": {"c": None}}]}


def test_an_object_of_python_in_them_is_not_made(tmp_path: pathlib.Path) -> None:
    folder = RunFolder(tmp_path, "CartPole-v1")
    folder.write_settings({}, {})
    (folder.parameters / "config.yml").write_text("a: !!python/object/apply:os.getcwd []")
    with pytest.raises(UntrustedFileError, match="--trusted"):
        folder.read_hyperparameters()
