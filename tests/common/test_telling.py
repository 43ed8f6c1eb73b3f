import importlib.util
import pathlib

import pytest

import sb3_reinforce
from sb3_reinforce.common.telling import warn_user


def test_a_warning_points_to_whoever_called_from_outside(tmp_path: pathlib.Path) -> None:
    with pytest.warns(UserWarning, match="careful") as caught:
        warn_user("careful")
    assert caught[0].filename == __file__
    inside = pathlib.Path(sb3_reinforce.__file__).parent / "somewhere.py"
    code = "def outer(function):\n    return inner(function)\ndef inner(function):\n    function('careful')\n"
    names: dict[str, object] = {}
    exec(compile(code, str(inside), "exec"), names)
    with pytest.warns(UserWarning, match="careful") as caught:
        names["outer"](warn_user)  # type: ignore[operator]
    assert caught[0].filename == __file__
    assert importlib.util.find_spec("sb3_reinforce.somewhere") is None
