import base64
import pathlib
import re
import shutil
import subprocess
from collections.abc import Iterator

import numpy as np
import pytest

from sb3_reinforce.compare import intervals
from sb3_reinforce.compare.report import write_report
from tests.compare.pages import NASTY, Page
from tests.compare.tables import comparison

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"))), None
)


@pytest.fixture(autouse=True, scope="module")
def _few_resamples() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(intervals, "N_RESAMPLES", 50)
        yield


def test_the_page_needs_nothing_else(written_report: pathlib.Path) -> None:
    content = (written_report / "report.html").read_text()
    page = Page(content)
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.tags}
    assert not re.search(r"https?:|url\(|@import", content.replace("data:image/svg+xml;base64", ""))
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert len(images) == 13
    for image, path in zip(images, re.findall(r"\]\((figures/.*)\)", (written_report / "report.md").read_text()), strict=True):
        kind, _, encoded = str(image["src"]).partition(",")
        assert kind == "data:image/svg+xml;base64"
        assert base64.b64decode(encoded) == (written_report / path).with_suffix(".svg").read_bytes()
        assert image["alt"]


def test_names_are_text(tmp_path: pathlib.Path, no_figures: None) -> None:
    results = comparison([NASTY, "other"], [NASTY])
    results.loc[0, "mean_reward"] = np.nan
    details = {
        "command": f"{NASTY}\n\n# {NASTY}",
        "versions": {NASTY: NASTY},
        "hyperparameters": {NASTY: {NASTY: {NASTY: NASTY}}},
        "failures": [{"algo": NASTY, "env": NASTY, "seed": 0, "error": f"{NASTY}\n{NASTY}"}],
    }
    write_report(tmp_path, results, {NASTY: 8.0}, details)
    page = Page((tmp_path / "report.html").read_text())
    assert not {"script", "del"} & {tag for tag, _ in page.tags}
    links = [attributes["href"] for tag, attributes in page.tags if tag == "a" and "href" in attributes]
    assert links
    assert all(str(link).startswith("#") for link in links)
    assert [tag for tag, _ in page.tags].count("code") == 2  # the command, and results.csv
    assert [NASTY, NASTY] in page.rows
    assert f"{NASTY} in {NASTY}, seed 0: {NASTY} {NASTY}" in page.text
    assert [f"{NASTY} over other", "better"] in [row[:2] for row in page.rows]
    assert f"{NASTY}\n\n# {NASTY}" in page.text
    assert f"Left out of every number: {NASTY} in {NASTY}, seed 0." in page.text
    assert f"Hyperparameters of {NASTY}" in page.text
    alternatives = [attributes["alt"] for tag, attributes in page.tags if tag == "img"]
    assert f"{NASTY}: learning curves" in alternatives


def test_every_link_leads_somewhere(written_report: pathlib.Path) -> None:
    tags = Page((written_report / "report.html").read_text()).tags
    targets = [attributes["id"] for tag, attributes in tags if tag == "a" and "id" in attributes]
    links = {str(attributes["href"])[1:] for tag, attributes in tags if tag == "a" and "href" in attributes}
    assert links == set(targets)
    assert len(targets) == len(set(targets)) == 3 + 4


# In a browser


def browse(page: pathlib.Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Open a page in headless Chromium, which says what is in its console."""
    profile = page.parent / "profile"
    command = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", f"--user-data-dir={profile}"]
    command += ["--disable-quic", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
    command += ["--enable-logging=stderr", "--allow-file-access-from-files", "--virtual-time-budget=15000", *arguments]
    return subprocess.run([*command, page.as_uri()], capture_output=True, text=True, timeout=300, check=True)


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
@pytest.mark.parametrize(("width", "is_dark"), [(390, True), (1280, False)])
def test_in_a_browser(written_report: pathlib.Path, tmp_path: pathlib.Path, width: int, is_dark: bool) -> None:
    # A headless window can't be as narrow as a phone, but a frame can; the page itself may run no script
    page = (written_report / "report.html").as_uri()
    outer = f"""<iframe src="{page}" style="width: {width}px; height: 800px; border: 0"></iframe>
        <script>onload = () => {{
          const page = document.querySelector("iframe").contentDocument, root = page.scrollingElement
          const seen = [...page.images].filter(image => image.naturalWidth > 0 && image.getBoundingClientRect().width > 300)
          const background = parseInt(page.defaultView.getComputedStyle(page.body).backgroundColor.match(/[0-9]+/)[0])
          document.title = [page.images.length, seen.length, root.clientWidth, root.scrollWidth, background].join(" ")
          console.log("measured")
        }}</script>"""
    (tmp_path / "outer.html").write_text(outer)
    scheme = f"--blink-settings=preferredColorScheme={0 if is_dark else 1}"
    browser = browse(tmp_path / "outer.html", "--dump-dom", scheme, f"--window-size={max(width, 800)},900")
    measured = re.search("<title>(.*)</title>", browser.stdout)
    assert measured
    n_images, n_seen, client_width, scroll_width, background = map(int, measured[1].split())
    assert n_images == n_seen == 13
    assert width - 20 <= client_width <= width  # less the scroll bar
    assert scroll_width == client_width
    assert (background < 50) == is_dark
    assert (background == 255) == (not is_dark)
    console = [line for line in browser.stderr.splitlines() if "CONSOLE" in line]
    assert len(console) == 1
    assert "measured" in console[0]
