import io
import threading
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from sb3_reinforce.common.figures import ReusedPanels, new_panels, png_of, quick_png_of
from sb3_reinforce.common.plots import Evaluation, draw_training

EPISODES = [
    {"time/total_timesteps": float(10 * i), "rollout/episode_return": float(i % 7), "rollout/episode_length": float(i % 7)}
    for i in range(40)
]
LOSSES = [{"time/total_timesteps": 100.0 * i, "train/policy_loss": 0.1 * i} for i in range(4)]
EPSILONS = [{"time/total_timesteps": 100.0 * i, "rollout/epsilon": 0.5 - 0.1 * i} for i in range(4)]


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))


def test_png_of() -> None:
    figure = Figure(figsize=(2, 1), dpi=50)
    figure.text(0.1, 0.5, "Hello")
    assert pixels(png_of(figure)).shape == (50, 100, 4)
    assert pixels(png_of(figure, dpi=100)).shape == (100, 200, 4)
    content = io.BytesIO()
    figure.savefig(content, format="png")
    np.testing.assert_array_equal(pixels(png_of(figure)), pixels(content.getvalue()))


def test_quick_png_of_looks_like_the_other() -> None:
    figure = draw_training(EPISODES + LOSSES, title="A chart", threshold=5.0, dpi=50)
    quick, exact = pixels(quick_png_of(figure)), pixels(png_of(figure))
    assert quick.shape == exact.shape[:2], "one byte a pixel"
    colors = np.asarray(Image.open(io.BytesIO(quick_png_of(figure))).convert("RGB"), dtype=int)
    differences = np.abs(colors - exact[..., :3].astype(int))
    assert (colors[0, 0] == 255).all()
    assert np.median(differences) == 0
    assert (differences > 32).mean() < 0.03, "letters, which are not moved to whole pixels"
    assert matplotlib.rcParams["text.hinting"] == matplotlib.rcParamsDefault["text.hinting"]


@pytest.mark.parametrize(
    ("before", "options"),
    [
        (EPISODES[:5] + LOSSES, {"title": "Before", "threshold": -30.0}),
        (EPISODES + EPSILONS, {"title": "Before", "evaluation": Evaluation(900.0, 2.0, 10)}),
        (EPISODES, {}),
    ],
    ids=["other data", "another panel", "fewer panels"],
)
def test_panels_that_are_used_again_show_nothing_of_the_last_picture(before: list[Any], options: dict[str, Any]) -> None:
    after: dict[str, Any] = {"progress": EPISODES + LOSSES, "title": "After", "threshold": 5.0, "dpi": 40}
    panels = ReusedPanels()
    draw_training(before, **options, dpi=40, panels=panels)
    again = png_of(draw_training(**after, panels=panels))
    np.testing.assert_array_equal(pixels(again), pixels(png_of(draw_training(**after))))


def test_panels_are_used_again_where_they_fit() -> None:
    panels = ReusedPanels()
    axes = panels(1, 40)
    assert panels(1, 40) is axes
    with matplotlib.rc_context({"axes.facecolor": "black"}):
        dark = panels(1, 40)
    assert dark is not axes, "the user's style"
    assert dark[0].get_facecolor() == (0, 0, 0, 1)
    assert [len(panels(n_small, 40)) for n_small in (0, 2)] == [1, 3]


def test_each_thread_has_panels_of_its_own() -> None:
    panels, others = ReusedPanels(), []
    axes = panels(0, 40)
    thread = threading.Thread(target=lambda: others.append(panels(0, 40)))
    thread.start()
    thread.join()
    assert others[0] is not axes


def test_panels_share_timesteps_and_have_a_label_below_the_last_alone() -> None:
    axes = new_panels(2, 40)
    axes[1].plot([0, 20_000], [0, 1])
    assert axes[0].get_xlim() == axes[2].get_xlim()
    assert [ax.get_xlabel() for ax in axes] == ["", "", "Timesteps"]
