import pathlib
from typing import Any

import pytest
import rl_zoo3
import torch as th
import yaml
from torch import nn

from sb3_reinforce import EpsilonSchedule, FourierBasis, LinearSoftmaxPolicy
from sb3_reinforce.zoo.expressions import NotPlainExpressionError, read_expression


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("dict(net_arch=[64, 64], activation_fn=nn.ReLU)", {"net_arch": [64, 64], "activation_fn": nn.ReLU}),
        (" dict(net_arch=dict(pi=[8], vf=[]),\n ortho_init=False) ", {"net_arch": {"pi": [8], "vf": []}, "ortho_init": False}),
        ("{'log_std_init': -1, 'a': (1.5, None, 'b'), 3: 1e-3}", {"log_std_init": -1, "a": (1.5, None, "b"), 3: 1e-3}),
        ("dict(features_extractor_class=FourierBasis)", {"features_extractor_class": FourierBasis}),
        ("dict(optimizer_class=th.optim.RMSprop, b=th.nn.Tanh)", {"optimizer_class": th.optim.RMSprop, "b": nn.Tanh}),
        ("EpsilonSchedule(0.5, end=0.25)", EpsilonSchedule(0.5, 0.25)),
        ("LinearSoftmaxPolicy", LinearSoftmaxPolicy),
        ("0.5", 0.5),
        ("'lin_0.1'", "lin_0.1"),
    ],
)
def test_what_is_read(text: str, value: Any) -> None:
    assert read_expression(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').mkdir('ran')",
        "dict(a=__import__('os').mkdir('ran'))",
        "[mkdir for mkdir in [__import__('os').mkdir]]",
        "dict(a=lambda: 1)",
        "dict(**{'a': 1})",
        "{**{}}",
        "dict.__class__",
        "nn.Module.__init_subclass__",
        "nn.functional",
        "nn.modules.activation.ReLU",
        "th.hub.load",
        "nn.Linear(10**9, 10**9)",
        "make_fast_vec_env('evil:Evil-v0')",
        "EpsilonSchedule.value",
        "9**9**9",
        "'a' * 10**10",
        "f'{1}'",
        "(x := 1)",
        "-nn.ReLU",
        "1 if True else 2",
        "import os",
        "",
        "\x00",
        "(" * 10_000,
        "-" * 10_000 + "1",
        "[" * 5_000 + "]" * 5_000,
    ],
)
def test_what_would_have_to_be_evaluated(text: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotPlainExpressionError):
        read_expression(text)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["EpsilonSchedule(start=2.0)", "EpsilonSchedule(begin=1)"])
def test_what_is_wrong_is_said_by_whom_it_concerns(text: str) -> None:
    with pytest.raises((ValueError, TypeError), match=r"start|begin"):
        read_expression(text)


def test_nearly_all_of_the_zoo_is_read() -> None:
    files = (pathlib.Path(rl_zoo3.__file__).parent / "hyperparams").glob("*.yml")
    entries = [entry for file in files for entry in yaml.safe_load(file.read_text()).values()]
    texts = {entry["policy_kwargs"] for entry in entries if isinstance(entry.get("policy_kwargs"), str)}
    read = set()
    for text in texts:
        try:
            read_expression(text)
        except NotPlainExpressionError:
            continue
        read.add(text)
    assert len(read) > 0.9 * len(texts)
