"""
What runs depend on beside their hyperparameters and packages: how an environment was registered, and the source code of
environments, wrappers, callbacks, policies and algorithms, the user's own above all.

Of source code there are fingerprints. One is of a whole module, for a constant of it may have been edited. The user's own
modules that it imports have theirs. Comments, layout and what stands under ``if __name__ == "__main__"`` make no
difference.
"""

import ast
import functools
import hashlib
import importlib
import importlib.util
import inspect
import json
import pathlib
import sys
import tokenize
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from gymnasium.envs.registration import EnvSpec

# The plan names the versions of these
OF_KNOWN_VERSION = {"gymnasium", "numpy", "rl_zoo3", "sb3_contrib", "sb3_reinforce", "stable_baselines3", "torch"}
# Hyperparameters that the RL Zoo imports by their names
OF_CODE = ("callback", "env_wrapper", "policy", "train_env_wrapper", "vec_env_wrapper")


def registration(spec: EnvSpec) -> dict[str, Any]:
    """
    :param spec: What Gymnasium knows of an environment.
    :return: How its episodes depend on what it was registered with, as JSON has it.
    """
    registered = {
        "max_episode_steps": spec.max_episode_steps,
        "kwargs": spec.kwargs,
        "wrappers": [{"name": wrapper.name, "kwargs": wrapper.kwargs} for wrapper in spec.additional_wrappers],
    }
    return json.loads(json.dumps(registered, default=_in_json, skipkeys=True))


def _in_json(value: Any) -> Any:
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else type(value).__qualname__


def code_of_environment(spec: EnvSpec) -> Iterator[Any]:
    """
    :param spec: What Gymnasium knows of an environment.
    :return: The class or function that makes it, and the wrappers that Gymnasium puts around it, as far as they can be
        imported.
    """
    for entry_point in (spec.entry_point, *(wrapper.entry_point for wrapper in spec.additional_wrappers)):
        yield entry_point if callable(entry_point) else _import(str(entry_point).replace(":", "."))


def code_of_hyperparameters(hyperparameters: Mapping[str, Any]) -> Iterator[Any]:
    """
    :param hyperparameters: As the RL Zoo's files have them.
    :return: What is named in them as ``module.Class``, as far as it can be imported.
    """
    for key in OF_CODE:
        for name in _names(hyperparameters.get(key)):
            yield _import(name)


def _names(value: Any) -> Iterator[str]:
    """A name, a list of such, or of mappings of one name to its arguments."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, Mapping)):
        for inner in value:
            yield from _names(inner)


def _import(name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    if not module or _is_of_known_version(module):
        return None
    try:
        return getattr(importlib.import_module(module), attribute)
    except Exception:  # a module may do anything; a run that needs it will say so
        return None


def fingerprints(objects: Iterable[Any]) -> dict[str, str]:
    """
    :param objects: Classes and functions. Of a class, its bases count as well.
    :return: For each module that they are in or that such a module imports, as far as Python can tell its source, twelve
        characters that are the same for the same code in every process.
    """
    found: dict[str, str] = {}
    for obj in objects:
        for part in _parts(obj):
            module = getattr(part, "__module__", None) or "builtins"
            if not _is_of_known_version(module):
                _add_module(module, found)
                if module not in found:  # as in a notebook
                    _add_source(f"{module}.{part.__qualname__}", part, found)
    return dict(sorted(found.items()))


def _is_of_known_version(module: str) -> bool:
    """Whether its source changes only with the version of Python or of a package that the plan names."""
    return module.partition(".")[0] in {*OF_KNOWN_VERSION, *sys.stdlib_module_names}


def _parts(obj: Any) -> Iterator[Any]:
    while isinstance(obj, functools.partial):
        obj = obj.func
    if inspect.isroutine(obj):
        yield obj
    elif obj is not None:
        yield from inspect.getmro(obj if isinstance(obj, type) else type(obj))


def _add_module(name: str, found: dict[str, str]) -> None:
    """Also the modules that it imports, and those that these import, if they are the user's own."""
    path = _file_of(name)
    if name in found or path is None:
        return
    try:
        with tokenize.open(path) as file:
            tree = ast.parse(file.read())
    except (OSError, SyntaxError, ValueError):
        return
    tree.body = [statement for statement in tree.body if not _is_main_guard(statement)]
    found[name] = _digest(ast.dump(tree))
    for imported in _imports(tree, _package_of(name, path)):
        if _is_users_own(imported):
            _add_module(imported, found)


def _package_of(module: str, path: pathlib.Path) -> str:
    """That which its relative imports start from."""
    if module == "__main__":  # whose name says nothing
        return getattr(sys.modules[module], "__package__", None) or ""
    return module if path.name == "__init__.py" else module.rpartition(".")[0]


def _add_source(name: str, obj: Any, found: dict[str, str]) -> None:
    """What has no file: in a notebook, Python knows the source of functions, but neither that of classes nor of the rest."""
    functions = [obj, *(member for member in vars(obj).values() if inspect.isfunction(member))]
    sources = [source for function in functions for source in _sources_of(function)]
    if sources:
        found[name] = _digest("\n".join(sources))


def _sources_of(function: Any) -> Iterator[str]:
    """The source, and the numbers and texts that it takes from its module."""
    try:
        yield inspect.getsource(function)
        for name, value in sorted(inspect.getclosurevars(function).globals.items()):
            if isinstance(value, (bool, int, float, str)):
                yield f"{name} = {value!r}"
    except (OSError, TypeError):  # compiled, or typed in
        return


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _file_of(module: str) -> pathlib.Path | None:
    """Where the source of a module is. To be asked, it need not have been imported, but its packages are."""
    try:
        origin = getattr(sys.modules.get(module), "__file__", None) or importlib.util.find_spec(module).origin  # type: ignore[union-attr]
    except Exception:  # packages may do anything
        return None
    return pathlib.Path(origin) if origin is not None and origin.endswith(".py") else None


def _is_main_guard(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.If) and ast.unparse(statement.test) == "__name__ == '__main__'"


def _imports(tree: ast.Module, package: str) -> Iterator[str]:
    """The names of all modules that may be meant: of ``from a import b``, both ``a`` and ``a.b``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*parents, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def _is_users_own(module: str) -> bool:
    """Whether it is code that is edited: not of a package that is installed."""
    top = module.partition(".")[0]
    path = None if not top or _is_of_known_version(top) else _file_of(top)
    return path is not None and not {"site-packages", "dist-packages"} & set(path.parts)
