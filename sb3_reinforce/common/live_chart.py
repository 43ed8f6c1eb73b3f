"""A chart that grows while an SB3 algorithm trains."""

import io
import pathlib
import sys
import time
from collections.abc import Callable
from typing import Any

from stable_baselines3.common.logger import KVWriter, filter_excluded_keys

from sb3_reinforce.common.callbacks import EpisodeDurationCallback
from sb3_reinforce.common.constraints import Interval, check_arguments
from sb3_reinforce.common.saving import write_atomically


class LiveChartCallback(EpisodeDurationCallback):
    """
    Draws each episode's duration, the loss and epsilon while an SB3 algorithm trains: in a Jupyter notebook below the cell, or
    into a PNG file. It logs what :class:`EpisodeDurationCallback` logs, and takes its place. Needs matplotlib and pandas
    (the extra ``extra``)::

        REINFORCE("LinearSoftmaxPolicy", "CartPole-v1").learn(callback=LiveChartCallback())

    :param path: The PNG file to keep up to date; None to draw in the notebook.
    :param seconds: At least so many seconds lie between two drawings, and twenty times as long as one takes, so that
        training is hardly slowed.
    :param window_size: Over how many of the last episodes the running means go.
    :param verbose: Verbosity level: 0 for no output, 1 for a line at each new best return.
    :raises ImportError: If matplotlib or pandas is missing.
    :raises ValueError: When training starts, if there is no path and no notebook, or the environment has no Monitor.
    """

    def __init__(
        self, path: str | pathlib.Path | None = None, seconds: float = 1.0, window_size: int = 100, verbose: int = 0
    ) -> None:
        super().__init__(window_size, verbose)
        check_arguments({"seconds": [Interval(0.0)]}, {"seconds": seconds}, "LiveChartCallback")
        from sb3_reinforce.common.plots import plot_learning_curve  # early, should something be missing

        self._plot = plot_learning_curve
        self.path = None if path is None else pathlib.Path(path)
        self.seconds = seconds
        self._log = _LogInMemory()

    def _on_training_start(self) -> None:
        super()._on_training_start()
        self._show = _show_below_the_cell() if self.path is None else self._save
        self._next_drawing = 0.0
        self.logger.output_formats.append(self._log)

    def _on_rollout_start(self) -> None:
        if time.monotonic() >= self._next_drawing:
            self._draw()

    def _on_training_end(self) -> None:
        self._draw()
        self.logger.output_formats.remove(self._log)

    def _draw(self) -> None:
        if self.n_episodes == 0:
            return
        start = time.monotonic()
        png = io.BytesIO()
        self._plot(self._log.rows, title=type(self.model).__name__).savefig(png, format="png")
        self._show(png.getvalue())
        end = time.monotonic()
        self._next_drawing = end + max(self.seconds, 20 * (end - start))

    def _save(self, png: bytes) -> None:
        assert self.path is not None
        write_atomically(self.path, png)


class _LogInMemory(KVWriter):
    """Rows as in SB3's ``progress.csv``."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def write(self, key_values: dict[str, Any], key_excluded: dict[str, tuple[str, ...]], step: int = 0) -> None:
        self.rows.append(filter_excluded_keys(key_values, key_excluded, "csv"))

    def close(self) -> None:
        pass


def _show_below_the_cell() -> Callable[[bytes], None]:
    """A function that shows one picture in the place of the last."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if not hasattr(shell, "kernel"):
        raise ValueError(
            "LiveChartCallback draws in a Jupyter notebook. Elsewhere, give it a file: LiveChartCallback('chart.png')."
        )
    from IPython.display import Image, display

    handle = display(display_id=True)
    return lambda png: handle.update(Image(png))
