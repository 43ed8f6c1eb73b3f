"""What README and docs show runs as it stands there."""

import doctest
import json
import pathlib
import re
from typing import Any, NamedTuple

import pytest
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.logger import configure

from sb3_reinforce import REINFORCE, EpisodeDurationCallback, RandomWeightSearch, SuccessRewardWrapper

ROOT = pathlib.Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(?P<language>python|pycon)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
DOCTEST = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


class Snippet(NamedTuple):
    language: str
    code: str
    line: int


def snippets(page: pathlib.Path) -> list[Snippet]:
    text = page.read_text(encoding="utf-8")
    return [
        Snippet(match["language"], match["code"], text.count("\n", 0, match.start("code"))) for match in FENCE.finditer(text)
    ]


def run(snippet: Snippet, page: pathlib.Path, namespace: dict[str, Any]) -> None:
    """With the page's own lines in tracebacks."""
    if snippet.language == "pycon":
        test = doctest.DocTestParser().get_doctest(snippet.code, namespace, page.name, str(page), snippet.line)
        results = doctest.DocTestRunner(optionflags=DOCTEST).run(test, clear_globs=False)
        namespace.update(test.globs)
        assert results.failed == 0, f"{page.name}, line {snippet.line}: see stdout"
    else:
        exec(compile("\n" * snippet.line + snippet.code, str(page), "exec"), namespace)


@pytest.mark.parametrize("page", [page for page in PAGES if snippets(page)], ids=lambda page: page.stem)
def test_snippets_run(page: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    namespace: dict[str, Any] = {"__name__": page.stem}
    for snippet in snippets(page):
        run(snippet, page, namespace)


def test_files_that_are_named_are_there() -> None:
    for page in PAGES:
        for name in re.findall(r"\b(?:examples|tests)/[\w/]+\.(?:py|png|ipynb)\b", page.read_text(encoding="utf-8")):
            assert (ROOT / name).is_file(), f"{page.name} names {name}"


def test_no_install_line_asks_for_a_release() -> None:
    """There is none on PyPI yet."""
    for page in [*PAGES, *ROOT.glob("sb3_reinforce/**/*.py"), *ROOT.glob("examples/*")]:
        if page.suffix in (".md", ".py", ".ipynb"):
            asks = re.search(r"pip install[^\n`&]*[\"' ]sb3[-_]reinforce\b(?!\S* ?@)", page.read_text(encoding="utf-8"))
            assert asks is None, f"{page.name}: {asks and asks.group()}"


def logged_keys(model: Any, folder: pathlib.Path, n_timesteps: int, callback: Any = None) -> set[str]:
    model.set_logger(configure(str(folder), ["json"]))
    model.learn(n_timesteps, callback=callback)
    return {key for line in (folder / "progress.json").read_text().splitlines() for key in json.loads(line)}


def test_every_log_key_is_explained(tmp_path: pathlib.Path) -> None:
    env = make_vec_env("CartPole-v1", 2, env_kwargs={"max_episode_steps": 20}, wrapper_class=SuccessRewardWrapper, seed=0)
    model = REINFORCE("LinearSoftmaxPolicy", env, baseline="value", n_value_updates=1, log_gradient_snr=True, seed=0)
    keys = logged_keys(model, tmp_path / "reinforce", 200, EpisodeDurationCallback())
    keys |= logged_keys(RandomWeightSearch("LinearSoftmaxPolicy", env, seed=0), tmp_path / "search", 200)
    page = (ROOT / "docs" / "log_keys.md").read_text(encoding="utf-8")
    assert "train/gradient_snr" in keys
    assert "rollout/success_rate" in keys
    assert {key for key in keys if f"`{key}`" not in page} == set()
