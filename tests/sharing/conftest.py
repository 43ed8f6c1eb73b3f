"""A Hub on this machine."""

import pathlib
from collections.abc import Iterator

import pytest
from huggingface_hub import constants

from tests.sharing.local_hub import LocalHub, local_hub


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> Iterator[LocalHub]:
    """What huggingface_hub takes for the Hub, and an empty cache."""
    with local_hub() as started:
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", started.url + "/{repo_id}/resolve/{revision}/{filename}")
        monkeypatch.setattr(constants, "ENDPOINT", started.url)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        yield started
