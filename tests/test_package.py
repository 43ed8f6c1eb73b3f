import importlib.resources
import pathlib
import subprocess
import sys

import sb3_reinforce


def test_all_public_names_are_there_and_documented() -> None:
    for name in sb3_reinforce.__all__:
        assert hasattr(sb3_reinforce, name), name
        if name != "__version__":
            assert getattr(sb3_reinforce, name).__doc__, name


def test_import_brings_neither_the_command_line_nor_what_it_needs() -> None:
    code = (
        "import sys, stable_baselines3; before = set(sys.modules); import sb3_reinforce.public; "
        "print(*(set(sys.modules) - before))"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    new = process.stdout.split()
    assert "sb3_reinforce.reinforce" in new
    assert [name for name in new if name.split(".")[0] in ("rich", "imageio", "argparse", "joblib", "hypothesis")] == []
    assert "sb3_reinforce.cli" not in new


def test_the_citation_is_of_this_version() -> None:
    root = pathlib.Path(__file__).parent.parent
    assert f"version: {sb3_reinforce.__version__}\n" in (root / "CITATION.cff").read_text()


def test_what_is_not_python_is_beside_it() -> None:
    """The files that a wheel could lack: each is found by the code that reads it, not by its path in the repository."""
    package = importlib.resources.files("sb3_reinforce")
    for name in ("py.typed", "zoo/hyperparams/reinforce.yml", "zoo/hyperparams/random_weight_search.yml"):
        assert package.joinpath(name).is_file(), name
