import base64
import pathlib
from typing import Any

import nbclient
import nbformat
import numpy as np
import pytest
from sb3_contrib import ARS
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.env_util import make_vec_env

from sb3_reinforce import REINFORCE, LiveChartCallback, RandomWeightSearch
from sb3_reinforce.common.plots import plot_learning_curve


def algorithms() -> dict[str, BaseAlgorithm]:
    return {
        "reinforce": REINFORCE("LinearSoftmaxPolicy", make_vec_env("CartPole-v1", 3), n_episodes=5, seed=0),
        "search": RandomWeightSearch("LinearSoftmaxPolicy", make_vec_env("CartPole-v1", 2), seed=0),
        "ppo": PPO("MlpPolicy", make_vec_env("CartPole-v1", 2), n_steps=128, n_epochs=1, seed=0, device="cpu"),
        "dqn": DQN("MlpPolicy", "CartPole-v1", learning_starts=10_000, seed=0, device="cpu"),
        "ars": ARS("LinearPolicy", "CartPole-v1", n_delta=4, seed=0),
    }


@pytest.mark.parametrize("name", algorithms())
def test_live_chart_keeps_a_file_up_to_date(name: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []

    def plot(rows: list[dict[str, Any]], title: str) -> Any:
        figure = plot_learning_curve(rows, title)
        drawn.append(len(figure.axes[0].collections[0].get_offsets()))  # type: ignore[arg-type]
        return figure

    model, chart = algorithms()[name], LiveChartCallback(tmp_path / "chart.png", seconds=0.0)
    monkeypatch.setattr(chart, "_plot", plot)
    model.learn(1_500, callback=chart)
    assert drawn[-1] == chart.n_episodes > 10, "a dot for each episode"
    assert drawn == sorted(drawn)
    assert not any("Memory" in type(output).__name__ for output in model.logger.output_formats)


def test_live_chart_is_a_picture(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "new" / "chart.png"
    algorithms()["reinforce"].learn(300, callback=LiveChartCallback(path))
    assert path.read_bytes().startswith(b"\x89PNG")


def test_live_chart_draws_rarely_enough(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 10_000))
    monkeypatch.setattr("sb3_reinforce.common.live_chart.time.monotonic", lambda: next(clock))
    drawn: list[bytes] = []
    monkeypatch.setattr(LiveChartCallback, "_save", lambda self, png: drawn.append(png))
    model = algorithms()["reinforce"]
    model.learn(3_000, callback=LiveChartCallback(tmp_path / "chart.png", seconds=0.0))
    assert 1 < len(drawn) <= 2 + model._n_updates / 20  # type: ignore[attr-defined]


def test_live_chart_without_a_notebook_or_a_file_is_refused() -> None:
    with pytest.raises(ValueError, match=r"LiveChartCallback\('chart.png'\)"):
        algorithms()["reinforce"].learn(10, callback=LiveChartCallback())


def test_live_chart_is_one_picture_below_the_cell_of_a_notebook() -> None:
    source = (
        "from sb3_reinforce import REINFORCE, LiveChartCallback\n"
        "REINFORCE('LinearSoftmaxPolicy', 'CartPole-v1').learn(2_000, callback=LiveChartCallback(seconds=0.0));"
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    nbclient.NotebookClient(notebook, kernel_name="python3").execute()
    (output,) = (output for output in notebook.cells[0].outputs if output.output_type == "display_data")
    assert base64.b64decode(output["data"]["image/png"]).startswith(b"\x89PNG")


@pytest.mark.parametrize("seconds", [-1.0, np.inf, "1"])
def test_seconds_that_are_none(seconds: Any) -> None:
    with pytest.raises(ValueError, match="seconds of LiveChartCallback must be a finite number of at least 0"):
        LiveChartCallback("chart.png", seconds=seconds)
