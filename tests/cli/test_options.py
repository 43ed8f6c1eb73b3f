import pathlib
from typing import Annotated, Any

import pytest

from sb3_reinforce.cli.options import COUNT, constant, mapping, number, options_of, parse, plain_text, structure


@pytest.mark.parametrize(
    ("text", "value"), [("1e5", 100_000), ("100_000", 100_000), ("1e-3", 0.001), ("2.0", 2.0), ("-3", -3), ("2.5e0", 2.5)]
)
def test_numbers(text: str, value: float) -> None:
    assert number(text) == constant(text) == value
    assert type(number(text)) is type(value)


@pytest.mark.parametrize(
    ("text", "value"), [("True", True), ("false", False), ("none", None), ("null", None), ("lin_0.1", "lin_0.1"), ("", "")]
)
def test_constants(text: str, value: Any) -> None:
    assert constant(text) is value or constant(text) == value


def test_structures() -> None:
    assert structure("[{a.B: {c: 1}}, d.E]") == [{"a.B": {"c": 1}}, "d.E"]
    assert mapping(["a:1e3", "b:true", "c:d:e"]) == {"a": 1000, "b": True, "c": "d:e"}
    assert mapping(["{a: [1, 2]}"]) == {"a": [1, 2]}
    with pytest.raises(ValueError, match="must be YAML"):
        structure("{a")
    for texts in (["a"], [":1"], ["a:1", "b"]):
        with pytest.raises(ValueError, match="must be name:value"):
            mapping(texts)


def test_text_without_markup() -> None:
    docstring = r"""A ``number``, an :class:`~sb3_reinforce.EpsilonSchedule` or
        :math:`\gamma^t`."""
    assert plain_text(docstring) == "A number, an EpsilonSchedule or gamma^t."


class Example:
    """
    :param size: How large.
    :param rate: How fast.
    :param loud: Whether it is heard.
    :param path: Where.
    :param seed: Of its chance.
    """

    def __init__(
        self,
        size: int,
        rate: float | None = None,
        loud: bool = True,
        path: pathlib.Path | None = None,
        seed: Annotated[int, COUNT] = 1,
    ) -> None: ...


def test_options_are_what_signature_and_docstring_say(capsys: pytest.CaptureFixture[str]) -> None:
    options = options_of(Example, without=["rate"], taken=["seed"])
    assert [(option.name, option.argument) for option in options] == [
        ("size", "size"),
        ("loud", "loud"),
        ("path", "path"),
        ("model_seed", "seed"),
    ]
    values = parse(options, ["--size", "1e1", "--no-loud", "-p", "1e5"], "prog", "What it does.", {"path": ("-p",)})
    assert values == {"size": 10, "loud": False, "path": pathlib.Path("1e5"), "model_seed": 1}
    with pytest.raises(SystemExit):
        parse(options, ["--help"], "prog", "What it does.")
    out = capsys.readouterr().out
    for said in ("--size NUMBER", "How large. (required)", "--loud, --no-loud", "(default: yes)", "--model-seed N"):
        assert said in " ".join(out.split())
    with pytest.raises(SystemExit):
        parse(options, [], "prog", "What it does.")
