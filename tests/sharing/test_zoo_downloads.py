"""The RL Zoo's ``load_from_hub`` with today's huggingface_hub."""

import pathlib
import sys
from typing import Any

import pytest

from sb3_reinforce import REINFORCE
from tests.sharing.local_hub import LocalHub
from tests.zoo.commands import main

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*found in sys.modules after import of package 'rl_zoo3'"),
    pytest.mark.filterwarnings("ignore:rich is experimental/alpha"),
]


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", sys.argv)


def zoo(command: str, *arguments: Any, algo: str = "reinforce") -> int:
    return main([command, "--algo", algo, "--env", "CartPole-v1", "-f", "logs", *map(str, arguments)])


def test_a_model_without_normalization_comes_back(hub: LocalHub, capsys: pytest.CaptureFixture[str]) -> None:
    assert zoo("train", "-n", 50, "--verbose", 0, "-params", "policy:'LinearSoftmaxPolicy'") == 0
    assert zoo("push_to_hub", "-orga", "me", "--no-render") == 0
    assert "vec_normalize.pkl" not in hub.repositories["me/reinforce-CartPole-v1"]
    assert zoo("load_from_hub", "-orga", "me") == 0
    assert "No normalization file" in capsys.readouterr().out
    first, second = (REINFORCE.load(f"logs/reinforce/CartPole-v1_{run}/CartPole-v1.zip") for run in (1, 2))
    assert (first.policy.action_net.weight == second.policy.action_net.weight).all()
    assert zoo("enjoy", "--no-render", "-n", 50, "--exp-id", 2) == 0


def test_others_files_are_downloaded_only_if_trusted(
    hub: LocalHub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("TRUST_REMOTE_CODE", raising=False)
    assert zoo("load_from_hub", "-orga", "me", algo="ppo") == 2
    assert "TRUST_REMOTE_CODE" in capsys.readouterr().err
