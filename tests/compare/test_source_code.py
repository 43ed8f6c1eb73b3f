import functools
import importlib
import linecache
import os
import pathlib
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.classic_control import CartPoleEnv
from gymnasium.envs.registration import EnvSpec, WrapperSpec
from stable_baselines3 import A2C

from sb3_reinforce.compare.source_code import (
    code_of_environment,
    code_of_hyperparameters,
    fingerprints,
    registration,
)

ROOM = """
import gymnasium as gym

import prices
from houses.walls import Walled

REWARD = 1.0


class Room(Walled):
    def step(self, action):
        from lazily import wait  # only when it is called
        return 0, REWARD * prices.PRICE, False, False, {}


class Narrow(gym.Wrapper):
    pass


def make(**kwargs):
    return Narrow(Room(**kwargs))


if __name__ == "__main__":
    print("trying it out")
"""
FILES = {
    "room.py": ROOM,
    "prices.py": "PRICE = 2.0\n",
    "lazily.py": "def wait():\n    return 1\n",
    "houses/__init__.py": "",
    "houses/walls.py": "import gymnasium as gym\n\nfrom . import bricks\n\n\nclass Walled(gym.Env):\n    size = bricks.SIZE\n",
    "houses/bricks.py": "SIZE = 3\n",
    "houses/roof.py": "TILES = 100\n",
}


@pytest.fixture
def user(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str, str], None]]:
    """A user's modules, of which ``room`` is imported; edited by the name of a file, what was there, and what is then."""

    def edit(file: str, old: str, new: str) -> None:
        text = (tmp_path / file).read_text()
        assert old in text
        (tmp_path / file).write_text(text.replace(old, new))

    for file, text in FILES.items():
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield edit
    for module in set(sys.modules) - before:
        if module.partition(".")[0] in {"room", "prices", "lazily", "houses", "broken"}:
            del sys.modules[module]


def room(name: str = "Room") -> Any:
    return getattr(importlib.import_module("room"), name)


Edit = Callable[[str, str, str], None]


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("room.py", "REWARD = 1.0", "REWARD = 5.0"),
        ("room.py", "False, False", "True, False"),
        ("houses/walls.py", "bricks.SIZE", "bricks.SIZE + 1"),  # a base class
        ("prices.py", "2.0", "3.0"),  # of a module that is imported
        ("houses/bricks.py", "3", "4"),  # from within its package
        ("lazily.py", "1", "2"),  # when it is called
    ],
)
def test_what_an_environment_does_was_edited(user: Edit, file: str, old: str, new: str) -> None:
    before = fingerprints([room()])
    assert before == fingerprints([room()])
    user(file, old, new)
    after = fingerprints([room()])
    assert before.keys() == after.keys()
    assert [name for name in before if before[name] != after[name]] == [file.removesuffix(".py").replace("/", ".")]


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("room.py", "REWARD = 1.0", "REWARD = 1.0  # for each step"),
        ("room.py", "\n\nclass Room", "\n\n\n\nclass Room"),
        ("room.py", "trying it out", "it works"),
        ("houses/roof.py", "100", "200"),  # nobody imports it
    ],
)
def test_what_makes_no_difference_was_edited(user: Edit, file: str, old: str, new: str) -> None:
    before = fingerprints([room()])
    user(file, old, new)
    assert fingerprints([room()]) == before


def test_what_is_looked_at(user: Edit) -> None:
    modules = ["houses", "houses.bricks", "houses.walls", "lazily", "prices", "room"]
    assert list(fingerprints([room()])) == modules
    for entry_point in (room("make"), functools.partial(room("make"), size=3), lambda: 0, room()()):
        assert {"room"} <= fingerprints([room(), entry_point]).keys()
    assert fingerprints([None]) == {}


@pytest.mark.parametrize("known", [CartPoleEnv, A2C, np.ndarray, dict, len, functools.reduce, pathlib.Path])
def test_packages_of_known_version_and_python_itself_are_not(known: Any) -> None:
    assert fingerprints([known]) == {}


def test_what_was_installed_is_looked_at_but_not_what_it_imports() -> None:
    minigrid = pytest.importorskip("minigrid.envs")
    found = fingerprints([minigrid.EmptyEnv])
    assert found.keys() == {"minigrid.envs.empty", "minigrid.minigrid_env"}  # its own and its base's


def test_a_source_that_can_not_be_told_is_no_error(user: Edit) -> None:
    typed_in = type("TypedIn", (gym.Env,), {"__module__": "nowhere"})
    assert fingerprints([typed_in]) == {}
    assert "prices" in fingerprints([room()])
    user("prices.py", "PRICE = 2.0", "PRICE = (")
    assert "prices" not in fingerprints([room()])


SCRIPT = """
import gymnasium as gym
from houses.walls import Walled
from sb3_reinforce.compare.source_code import fingerprints

REWARD = 1.0

class Here(Walled):
    pass

if __name__ == "__main__":
    print(fingerprints([Here]))
"""


def test_a_class_of_the_script_that_runs(user: Edit, tmp_path: pathlib.Path) -> None:
    def run(text: str) -> str:
        (tmp_path / "script.py").write_text(text)
        root = str(pathlib.Path(__file__).parents[2])
        env = {**os.environ, "PYTHONPATH": os.pathsep.join([root, *sys.path])}
        return subprocess.run(
            [sys.executable, "script.py"], cwd=tmp_path, env=env, capture_output=True, text=True, check=True
        ).stdout

    before = run(SCRIPT)
    assert "'__main__': " in before
    assert "'houses.bricks': " in before
    assert run(SCRIPT.replace("    print(", "    print  (")) == before
    assert run(SCRIPT.replace("REWARD = 1.0", "REWARD = 2.0")) != before


def in_a_notebook(source: str, cell: int) -> Any:
    """A class of a cell, of which Python has the lines, but no file."""
    module = types.ModuleType("notebook")
    name = f"<cell {cell}>"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    sys.modules["notebook"] = module
    exec(compile(source, name, "exec"), vars(module))
    return module.Cell  # type: ignore[attr-defined]


def test_a_class_of_a_notebook() -> None:
    source = "REWARD = 1.0\n\n\nclass Cell:\n    def step(self, action):\n        return REWARD * action\n"
    first, same = (fingerprints([in_a_notebook(source, cell)]) for cell in (1, 2))
    assert first == same
    assert first.keys() == {"notebook.Cell"}
    assert fingerprints([in_a_notebook(source.replace("* action", "+ action"), 3)]) != first
    assert fingerprints([in_a_notebook(source.replace("REWARD = 1.0", "REWARD = 5.0"), 4)]) != first


def test_the_code_of_an_environment(user: Edit) -> None:
    wrapper = WrapperSpec("Narrow", "room:Narrow", None)
    makers = "room:Room", room(), room("make")
    for entry_point in makers:
        code = list(code_of_environment(EnvSpec("Room-v0", entry_point, additional_wrappers=(wrapper,))))
        assert code == [room("make") if entry_point is makers[2] else room(), room("Narrow")]


@pytest.mark.parametrize("entry_point", ["nowhere:Room", "room:Hall", "broken:Room", "gymnasium.envs.mujoco:Nothing", None])
def test_an_environment_that_can_not_be_imported(user: Edit, tmp_path: pathlib.Path, entry_point: str | None) -> None:
    (tmp_path / "broken.py").write_text("1 / 0")
    assert list(code_of_environment(EnvSpec("Room-v0", entry_point))) == [None]


@pytest.mark.parametrize("key", ["env_wrapper", "train_env_wrapper", "vec_env_wrapper", "callback", "policy"])
def test_the_code_that_hyperparameters_name(user: Edit, key: str) -> None:
    for value in (
        "room.Narrow",
        ["room.Narrow"],
        [{"room.Narrow": {"size": 3}}],
        ["gymnasium.wrappers.TimeLimit", "room.Narrow"],
    ):
        assert [code for code in code_of_hyperparameters({key: value}) if code is not None] == [room("Narrow")]
    assert list(
        code_of_hyperparameters({"policy": "MlpPolicy", key: "nowhere.Narrow", "env_kwargs": {"wall": "room.Room"}})
    ) in (
        [None],
        [None, None],
    )


class Colour:
    """Whose representation has an address."""


def test_how_an_environment_is_registered() -> None:
    kwargs = {"size": 3, "map": np.eye(2), "colour": Colour(), "names": ("a", "b"), "step": np.float32(0.5)}
    spec = EnvSpec(
        "Room-v0", max_episode_steps=9, kwargs=kwargs, additional_wrappers=(WrapperSpec("Narrow", "room:Narrow", {"by": 2}),)
    )
    assert registration(spec) == {
        "max_episode_steps": 9,
        "kwargs": {"size": 3, "map": [[1.0, 0.0], [0.0, 1.0]], "colour": "Colour", "names": ["a", "b"], "step": 0.5},
        "wrappers": [{"name": "Narrow", "kwargs": {"by": 2}}],
    }
