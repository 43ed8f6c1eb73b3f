"""
Options of a command, from signatures and docstrings: nothing about them is written twice. tyro, which is in the extra
``extra``, makes the command line of them.
"""

import copy
import dataclasses
import functools
import inspect
import pathlib
import re
import types
import typing
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Annotated, Any

import docstring_parser
import tyro
import yaml


def number(text: str) -> int | float:
    """
    :param text: A number, also as ``1e5`` or ``100_000``.
    :return: The number, an integer if it is a whole one that has no point.
    :raises ValueError: If it is none.
    """
    try:
        return int(text)
    except ValueError:
        value = float(text)
    return int(value) if value.is_integer() and "." not in text else value


def constant(text: str) -> Any:
    """
    :param text: What a user gives as a hyperparameter.
    :return: A number, a truth value or None, if it reads so; else the text, as a YAML file of the RL Zoo would have it.
    """
    constants: dict[str, Any] = {"true": True, "false": False, "none": None, "null": None}
    try:
        return number(text)
    except ValueError:
        return constants.get(text.lower(), text)


def structure(text: str) -> Any:
    """
    :param text: YAML, as it stands in a file of the RL Zoo.
    :return: What it says.
    :raises ValueError: If it is none.
    """
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"must be YAML, as in the RL Zoo's files, but got '{text}'") from error


def mapping(texts: Sequence[str]) -> dict[str, Any]:
    """
    :param texts: ``name:value`` each, as the RL Zoo's command line has them, or one mapping in YAML.
    :return: The values by name.
    :raises ValueError: If it is neither.
    """
    whole = structure(texts[0]) if len(texts) == 1 else None
    if isinstance(whole, dict):
        return whole
    pairs = [text.partition(":") for text in texts]
    if not all(name and colon for name, colon, _ in pairs):
        raise ValueError(f"must be name:value, or several of these, but got '{' '.join(texts)}'")
    return {name: constant(value) for name, _, value in pairs}


def whole_number(low: int, high: float = float("inf")) -> Callable[[str], int]:
    """
    :param low: The least that it may be.
    :param high: The most that it may be.
    :return: What reads such a number.
    """
    limits = f"of at least {low}" if high == float("inf") else f"from {low} to {high:.0f}"

    def read(text: str) -> int:
        try:
            value = number(text)
        except ValueError:
            value = -1.5
        if not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"must be a whole number {limits}, but got '{text}'")
        return value

    return read


def _number_or_error(text: str) -> Any:
    try:
        return number(text)
    except ValueError:
        raise ValueError(f"must be a number, but got '{text}'") from None


def _spec(metavar: str, read: Callable[[str], Any]) -> Any:
    return tyro.constructors.PrimitiveConstructorSpec[Any](
        nargs=1,
        metavar=metavar,
        instance_from_str=lambda texts: read(texts[0]),
        is_instance=lambda value: True,
        str_from_instance=lambda value: [str(value)],
    )


Positional = tyro.conf.Positional
FLAG = tyro.conf.FlagCreatePairsOff
"""For a switch that needs no switch against it."""
COUNT = _spec("N", whole_number(1))
COUNT_OR_NONE_AT_ALL = _spec("N", whole_number(0))
SEED = _spec("SEED", whole_number(0, 2**32 - 1))
PATH = _spec("PATH", pathlib.Path)
NAME = _spec("NAME", str)
NUMBER = _spec("NUMBER", _number_or_error)
STRUCTURE = _spec("YAML", structure)
MAPPING = tyro.constructors.PrimitiveConstructorSpec[Any](
    nargs="*",
    metavar="NAME:VALUE ...",
    instance_from_str=lambda texts: mapping(texts),
    is_instance=lambda value: True,
    str_from_instance=lambda value: [str(value)],
)


@dataclasses.dataclass(frozen=True)
class Option:
    """An option of a command."""

    name: str
    argument: str
    """That it stands for, which has the same name unless another option has that already."""
    type: Any
    """What tyro makes its reader of."""
    default: Any
    help: str


def options_of(function: Callable[..., Any], without: Collection[str] = (), taken: Collection[str] = ()) -> list[Option]:
    """
    :param function: A function or a class, whose docstring says ``:param name:`` of each argument.
    :param without: Arguments that are to be no options.
    :param taken: Names of other options. An argument of such a name gets ``model_`` before it.
    :return: An option for each argument.
    """
    documented = docstring_parser.parse(inspect.getdoc(function) or "", docstring_parser.DocstringStyle.REST)
    helps = {param.arg_name: plain_text(param.description or "") for param in documented.params}
    return [
        Option(
            f"model_{name}" if name in taken else name,
            name,
            _readable(parameter.annotation),
            dataclasses.MISSING if parameter.default is parameter.empty else parameter.default,
            helps.get(name, ""),
        )
        for name, parameter in inspect.signature(function).parameters.items()
        if name not in without
    ]


def plain_text(docstring: str) -> str:
    """
    :param docstring: In reStructuredText.
    :return: The same without markup, on one line.
    """
    text = re.sub(r":\w+:`~?(?:[\w.]*\.)?([^`]+)`", r"\1", docstring)
    text = re.sub(r"``([^`]+)``", r"\1", text)
    return " ".join(re.sub(r"\\(\w+)", r"\1", text).split())


def _readable(annotation: Any) -> Any:
    """An annotation as tyro is to take it. A number may be 1e5; what is of several types is read as in the RL Zoo's files."""
    if annotation in (int, float):
        return Annotated[Any, NUMBER]
    if typing.get_origin(annotation) not in (typing.Union, types.UnionType):
        return annotation
    if pathlib.Path in typing.get_args(annotation) and str not in typing.get_args(annotation):
        return Annotated[Any, PATH]
    kinds = [getattr(kind, "__name__", "") for kind in typing.get_args(annotation) if kind is not type(None)]
    if set(kinds) <= {"int", "float"}:
        return Annotated[Any, _spec("NUMBER", lambda text: None if text.lower() == "none" else _number_or_error(text))]
    return Annotated[Any, _spec("VALUE", constant)]


def parse(
    options: Sequence[Option],
    arguments: Sequence[str],
    prog: str,
    description: str,
    aliases: Mapping[str, tuple[str, ...]] | None = None,
) -> dict[str, Any]:
    """
    :param options: The options of a command.
    :param arguments: The arguments that the user gives.
    :param prog: What the command is called.
    :param description: What it does: paragraphs of a line, which is not wrapped.
    :param aliases: Other names of options.
    :return: The value of each option.
    :raises SystemExit: If the arguments are not what they may be, which has been said then, or help was asked for.
    """
    fields: list[Any] = []
    for option in options:
        hint = "" if option.default in (None, dataclasses.MISSING) else f"(default: {_shown(option.default)})"
        if option.default is dataclasses.MISSING:
            hint = "(required)"
        argument = tyro.conf.arg(
            help=option.help, help_behavior_hint=hint, aliases=(aliases or {}).get(option.name, ()), name=option.name
        )
        default: dict[str, Any] = {}
        if option.default is not dataclasses.MISSING:
            default["default_factory"] = functools.partial(copy.deepcopy, option.default)
        fields.append((option.name, Annotated[option.type, argument], dataclasses.field(kw_only=True, **default)))
    command = dataclasses.make_dataclass("Options", fields)
    values: Any = tyro.cli(command, prog=prog, description=description, args=list(arguments))
    return {option.name: getattr(values, option.name) for option in options}


def _shown(default: Any) -> str:
    return {True: "yes", False: "no"}[default] if isinstance(default, bool) else str(default)
