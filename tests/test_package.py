import subprocess
import sys

import sb3_reinforce


def test_all_public_names_are_there_and_documented() -> None:
    for name in sb3_reinforce.__all__:
        assert hasattr(sb3_reinforce, name), name
        if name != "__version__":
            assert getattr(sb3_reinforce, name).__doc__, name


def test_import_brings_neither_the_command_line_nor_what_it_needs() -> None:
    code = "import sys, stable_baselines3; before = set(sys.modules); import sb3_reinforce.public; print(*(set(sys.modules) - before))"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    new = process.stdout.split()
    assert "sb3_reinforce.reinforce" in new
    assert [name for name in new if name.split(".")[0] in ("rich", "imageio", "argparse", "joblib", "hypothesis")] == []
    assert "sb3_reinforce.cli" not in new
