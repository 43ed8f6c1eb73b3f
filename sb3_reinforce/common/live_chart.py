"""A chart that grows while an SB3 algorithm trains."""

import pathlib
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from stable_baselines3.common.logger import KVWriter, filter_excluded_keys

from sb3_reinforce.common.callbacks import ARGUMENTS, EpisodeDurationCallback, environment_reward_threshold
from sb3_reinforce.common.constraints import NONE, PATH, Interval, checked
from sb3_reinforce.common.extras import needs
from sb3_reinforce.common.figures import ReusedPanels, quick_png_of
from sb3_reinforce.common.log_keys import DRAWN, LENGTH, LOSSES, RETURN, TIMESTEPS, running
from sb3_reinforce.common.logs import say_that_it_is_not_written
from sb3_reinforce.common.saving import write_atomically

MAX_POINTS = 2_000
"""More than a picture has columns of pixels."""
WORK_FOR_A_DRAWING = 60
"""Training goes on for so many times as long as a drawing takes, before the next one and before it ends."""
FIRST_DRAWING = 0.1
"""Seconds that the first is taken to take."""
SHORTEST = [{TIMESTEPS: 1, RETURN: 0.0, LENGTH: 1, next(iter(LOSSES)): 0.0}]
"""Of a training of one timestep, what is drawn. Most charts have its panels."""
DPI = 100
PANELS = ReusedPanels()
"""Of all charts: a picture is a file when the next one is drawn."""


class LiveChartCallback(EpisodeDurationCallback):
    """
    Draws each episode's return while an SB3 algorithm trains, with the environment's threshold, the loss, and durations and
    epsilon where they say more: in a Jupyter notebook below the cell, or into a PNG file. It logs what
    :class:`EpisodeDurationCallback` logs, and takes its place. Needs matplotlib and pandas (the extra ``extra``)::

        REINFORCE("LinearSoftmaxPolicy", "CartPole-v1").learn(callback=LiveChartCallback())

    :param path: The PNG file to keep up to date; None to draw in the notebook.
    :param seconds: At least so many seconds lie between two drawings, and sixty times as long as one takes: training is
        slowed by less than 2 %. A training that is shorter than that has one drawing, at its end, of about 0.05 seconds.
    :param window_size: Over how many of the last episodes the running means go, those that are drawn and those that are
        logged. The default is less than EpisodeDurationCallback's: a picture shows what has just changed.
    :param verbose: Verbosity level: 0 for no output, 1 for a line at each new best return.
    :raises ImportError: If matplotlib or pandas is missing.
    :raises ValueError: When training starts, if there is no path and no notebook, or the environment has no Monitor.
    """

    @checked({**ARGUMENTS, "path": [PATH, NONE], "seconds": [Interval(0)]}, "LiveChartCallback")
    def __init__(
        self, path: str | pathlib.Path | None = None, seconds: float = 1.0, window_size: int = 20, verbose: int = 0
    ) -> None:
        super().__init__(window_size, verbose)
        with needs("extra", "LiveChartCallback"):  # early, should something be missing
            from sb3_reinforce.common.plots import draw_training

        self._plot, self._png_of = partial(draw_training, panels=PANELS, dpi=DPI), quick_png_of
        self._png_of(self._plot(SHORTEST))  # matplotlib makes axes and finds its fonts now, and not while training goes on
        self.path = None if path is None else pathlib.Path(path)
        self.seconds = seconds
        self.window_size = window_size
        self._episodes = _Points()
        self._log = _LogInMemory()
        self._has_failed = False

    def _on_training_start(self) -> None:
        super()._on_training_start()
        self._show = _show_below_the_cell() if self.path is None else self._save
        self._start, self._start_timesteps = time.monotonic(), self.model.num_timesteps
        self._next_drawing, self._drawing_takes = self._start + self.seconds, FIRST_DRAWING
        self._threshold = environment_reward_threshold(self.training_env)
        self._stop_listening()  # should an error have ended the last training
        self.logger.output_formats.append(self._log)

    def _stop_listening(self) -> None:
        outputs = self.logger.output_formats
        outputs[:] = [output for output in outputs if output is not self._log]

    def _on_episode_end(self, episode_return: float, length: int) -> None:
        super()._on_episode_end(episode_return, length)
        if self._episodes.takes_next():
            row = {TIMESTEPS: self.num_timesteps, RETURN: episode_return, LENGTH: length}
            means = {
                running(RETURN): sum(self.returns) / len(self.returns),
                running(LENGTH): sum(self.lengths) / len(self.lengths),
            }
            self._episodes.rows.append({**row, **means})

    def _on_rollout_start(self) -> None:
        now = time.monotonic()
        if now >= self._next_drawing and self._seconds_left(now) >= WORK_FOR_A_DRAWING * self._drawing_takes:
            self._draw()

    def _seconds_left(self, now: float) -> float:
        """Of the training, if it goes on at its pace so far."""
        timesteps = self.model.num_timesteps
        pace = (now - self._start) / max(1, timesteps - self._start_timesteps)
        return pace * (self.model._total_timesteps - timesteps)

    def _on_training_end(self) -> None:
        self._stop_listening()
        self._draw()

    def _draw(self) -> None:
        if self.n_episodes == 0:
            return
        start = time.monotonic()
        rows = self._episodes.rows + self._log.points.rows
        figure = self._plot(rows, type(self.model).__name__, self.window_size, self._threshold)
        try:
            self._show(self._png_of(figure))
        except OSError as error:
            if not self._has_failed:
                self._has_failed = True
                say_that_it_is_not_written(type(self).__name__, error)
        end = time.monotonic()
        self._drawing_takes = end - start
        self._next_drawing = end + max(self.seconds, WORK_FOR_A_DRAWING * self._drawing_takes)

    def _save(self, png: bytes) -> None:
        assert self.path is not None
        write_atomically(self.path, png)


class _Points:
    """Rows of numbers. There are never more than a picture can show: then every second is left out, and of later ones too."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []
        self._n_seen, self._every = 0, 1

    def takes_next(self) -> bool:
        """Whether the next row, which is there now, is one to append."""
        self._n_seen += 1
        if len(self.rows) > MAX_POINTS:
            del self.rows[1::2]
            self._every *= 2
        return (self._n_seen - 1) % self._every == 0


class _LogInMemory(KVWriter):
    """What is drawn of the rows of SB3's ``progress.csv``."""

    of_one_training = True

    def __init__(self) -> None:
        self.points = _Points()

    def write(self, key_values: dict[str, Any], key_excluded: dict[str, tuple[str, ...]], step: int = 0) -> None:
        if key_values.keys().isdisjoint(DRAWN):  # as at the end of each episode
            return
        row = filter_excluded_keys(key_values, key_excluded, "csv")
        drawn = {key: float(row[key]) for key in DRAWN if key in row}
        if drawn and TIMESTEPS in row and self.points.takes_next():
            self.points.rows.append({TIMESTEPS: row[TIMESTEPS], **drawn})

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
