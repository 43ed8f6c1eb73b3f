import base64
import pathlib
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import nbclient
import nbformat
import numpy as np
import pandas as pd
import pytest
from sb3_contrib import ARS
from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.logger import configure

from sb3_reinforce import REINFORCE, EpsilonSchedule, LiveChartCallback, RandomWeightSearch
from sb3_reinforce.common.live_chart import WORK_FOR_A_DRAWING
from sb3_reinforce.common.plots import plot_training


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

    def plot(rows: list[dict[str, Any]], *args: Any, **kwargs: Any) -> Any:
        figure = plot_training(rows, *args, **kwargs)
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


def n_drawn_at_a_pace(
    rollouts_a_second: float, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, seconds: float = 0.0
) -> tuple[int, float]:
    """Pictures of a training by a clock that goes on with rollouts alone, and by a tenth of a second with a drawing."""
    drawn: list[bytes] = []
    model, chart = algorithms()["reinforce"], LiveChartCallback(tmp_path / "chart.png", seconds=seconds)

    def updates() -> float:
        return model._n_updates / rollouts_a_second  # type: ignore[attr-defined, no-any-return]

    monkeypatch.setattr("sb3_reinforce.common.live_chart.time.monotonic", lambda: updates() + 0.1 * len(drawn))
    monkeypatch.setattr(LiveChartCallback, "_save", lambda self, png: drawn.append(png))
    model.learn(6_000, callback=chart)
    return len(drawn), updates()


def test_live_chart_draws_rarely_enough(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    n_drawn, seconds = n_drawn_at_a_pace(1.0, tmp_path, monkeypatch)
    assert 2 < n_drawn <= 1 + seconds / (0.1 * WORK_FOR_A_DRAWING)
    assert n_drawn_at_a_pace(1.0, tmp_path, monkeypatch, seconds=1_000.0)[0] == 1


def test_live_chart_of_a_short_training_is_drawn_at_its_end(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert n_drawn_at_a_pace(100.0, tmp_path, monkeypatch)[0] == 1


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


def panels(model: BaseAlgorithm, path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, **arguments: Any) -> list[Any]:
    """Of the last picture of a short training."""
    drawn: list[Any] = []
    chart = LiveChartCallback(path, **arguments)
    plot = chart._plot

    def plot_and_remember(*args: Any, **kwargs: Any) -> Any:
        drawn.append(plot(*args, **kwargs))
        return drawn[-1]

    monkeypatch.setattr(chart, "_plot", plot_and_remember)
    model.learn(700, callback=chart, log_interval=1)
    return drawn[-1].axes


def fast_dqn() -> DQN:
    return DQN("MlpPolicy", "CartPole-v1", learning_starts=100, train_freq=50, seed=0, device="cpu")


@pytest.mark.parametrize(
    ("make", "labels"),
    [
        (lambda: algorithms()["reinforce"], ["Return", "Policy loss"]),
        (lambda: algorithms()["ppo"], ["Return", "Policy loss"]),
        (lambda: A2C("MlpPolicy", make_vec_env("CartPole-v1", 2), n_steps=20, device="cpu"), ["Return", "Policy loss"]),
        (fast_dqn, ["Return", "Loss", "Epsilon"]),
        (lambda: REINFORCE("LinearPolicy", "CartPole-v1", epsilon=EpsilonSchedule()), ["Return", "Policy loss", "Epsilon"]),
    ],
    ids=["reinforce", "ppo", "a2c", "dqn", "epsilon"],
)
def test_the_panels_of_each_algorithm(
    make: Callable[[], BaseAlgorithm], labels: list[str], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = panels(make(), tmp_path / "chart.png", monkeypatch)
    assert [ax.get_ylabel() for ax in drawn] == labels
    for ax in drawn:
        assert np.isfinite(ax.lines[0].get_ydata()).all()
        assert len(ax.lines[0].get_ydata()) > 0


def test_the_window_asked_for_is_the_window_drawn_and_logged(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = algorithms()["reinforce"]
    model.set_logger(configure(str(tmp_path), ["csv"]))
    ax = panels(model, tmp_path / "chart.png", monkeypatch, window_size=5)[0]
    model.logger.close()
    returns = np.asarray(ax.collections[0].get_offsets())[:, 1]
    means = [np.mean(returns[max(0, i - 4) : i + 1]) for i in range(len(returns))]
    (line,) = (line for line in ax.lines if line.get_label() == "mean of the last 5")
    np.testing.assert_allclose(line.get_ydata(), means)
    logged = pd.read_csv(tmp_path / "progress.csv")["rollout/episode_return_mean"].dropna()
    assert logged.iloc[-1] == pytest.approx(means[-1])


def test_the_threshold_of_the_environment_is_marked(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ax = panels(algorithms()["reinforce"], tmp_path / "chart.png", monkeypatch)[0]
    assert [line.get_ydata()[0] for line in ax.lines if line.get_label() == "threshold 475"] == [475.0]


READER = r"""
import pathlib, sys, time, zlib
path, seen = pathlib.Path(sys.argv[1]), set()
print("reading", flush=True)
while True:
    png = path.read_bytes() if path.exists() else b""
    if png == b"end":
        break
    if png:
        assert png.startswith(b"\x89PNG") and png.endswith(b"IEND\xaeB`\x82"), len(png)
        seen.add(zlib.crc32(png))
    time.sleep(1e-4)
print(len(seen))
"""


class _OtherEachTime:
    """In the place of a figure: the bytes of a large picture, which differ each time, drawn in no time."""

    n_drawn = 0

    def __call__(self, figure: Any) -> bytes:
        self.n_drawn += 1
        filling = (b"%06d" % self.n_drawn) * (10_000 + 5_000 * (self.n_drawn % 7))
        return b"\x89PNG" + filling + b"IEND\xaeB`\x82"


def test_a_chart_replaced_200_times_is_never_seen_half_written(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "chart.png"
    chart, png = LiveChartCallback(path, seconds=0.0), _OtherEachTime()
    monkeypatch.setattr(chart, "_plot", lambda *args, **kwargs: None)
    monkeypatch.setattr(chart, "_png_of", png)
    monkeypatch.setattr("sb3_reinforce.common.live_chart.WORK_FOR_A_DRAWING", 0)
    model = REINFORCE("LinearPolicy", "CartPole-v1", n_episodes=2, learning_rate=0.0, seed=0)
    with subprocess.Popen([sys.executable, "-c", READER, path], stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "reading\n"
        while png.n_drawn < 200:
            model.learn(5_000, callback=chart, reset_num_timesteps=False)
        path.write_bytes(b"end")
        n_seen = reader.stdout.read()
    assert reader.returncode == 0
    assert 1 < int(n_seen) <= png.n_drawn


@pytest.mark.parametrize("seconds", [-1.0, np.inf, "1"])
def test_seconds_that_are_none(seconds: Any) -> None:
    with pytest.raises(ValueError, match="seconds of LiveChartCallback must be a finite number of at least 0"):
        LiveChartCallback("chart.png", seconds=seconds)
