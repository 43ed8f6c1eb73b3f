"""Figures of matplotlib: as a PNG file, and with panels for what is drawn against timesteps."""

import io
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 8.0
"""Of a figure, in inches."""


def png_of(figure: "Figure", dpi: float | None = None) -> bytes:
    """
    :param figure: Any.
    :param dpi: Dots per inch. Default: the figure's own.
    :return: It as a PNG file.
    """
    content = io.BytesIO()
    # The default, 6, takes three times as long, and saves a tenth of the file
    figure.savefig(content, format="png", dpi="figure" if dpi is None else dpi, pil_kwargs={"compress_level": 1})
    return content.getvalue()


def quick_png_of(figure: "Figure") -> bytes:
    """
    For a chart of lines and few colours, which is drawn again and again: in 256 colours, and with letters as they were
    designed, not moved to whole pixels. It takes two thirds of the time of :func:`png_of`, and a third of the space.

    :param figure: Any, with a canvas of Agg.
    :return: It as a PNG file.
    """
    import matplotlib
    import numpy as np
    from PIL import Image

    canvas: Any = figure.canvas
    with matplotlib.rc_context({"text.hinting": "no_hinting"}):
        canvas.draw()
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    # To choose the colours takes longer than to use them, and every third row and column has them all
    few = image.resize((-(-image.width // 3), -(-image.height // 3)), Image.Resampling.NEAREST)
    palette = few.quantize(256, method=Image.Quantize.FASTOCTREE)
    # A colour is a mean of those that it stands for, and white that of what is nearly white
    palette.putpalette([255 if level >= 254 else level for level in palette.getpalette() or []])
    content = io.BytesIO()
    image.quantize(palette=palette, dither=Image.Dither.NONE).save(content, format="png", compress_level=1)
    return content.getvalue()


def new_panels(n_small: int, dpi: float) -> list["Axes"]:
    """
    :param n_small: How many small panels are below the large one.
    :param dpi: Dots per inch.
    :return: The axes of a new figure, from top to bottom, without data. They share timesteps as their horizontal axis.
    """
    # The object-oriented way: it needs no display, and leaves the user's pyplot alone
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.transforms import blended_transform_factory

    figure = Figure(figsize=(WIDTH, 3.6 + 1.5 * n_small), dpi=dpi)
    FigureCanvasAgg(figure)  # one that it keeps, and with it the sizes of texts. Without, each saving has a new one
    axes = list(figure.subplots(1 + n_small, 1, sharex=True, squeeze=False, height_ratios=[2.2] + [1] * n_small)[:, 0])
    for ax in axes:
        dress(ax)
        # A tick takes a hundredth of a picture's time
        ax.locator_params(axis="x", nbins=5)
        ax.locator_params(axis="y", nbins=5 if ax is axes[0] else 3)
        ax.locator_params(prune="both")  # ticks beyond the ends, which would be made and not shown
        # Labels are put where they are to be, in inches: to find that out, matplotlib would lay out all tick labels twice
        ax.yaxis.set_label_coords(0.25, 0.5, blended_transform_factory(figure.dpi_scale_trans, ax.transAxes))
        ax.xaxis.set_label_coords(0.5, 0.28, blended_transform_factory(ax.transAxes, figure.dpi_scale_trans))
    for ax in axes[:-1]:
        ax.set_xlabel("")
    return axes


class ReusedPanels(threading.local):
    """
    :func:`new_panels` for pictures that are drawn again and again: the axes of the last one, emptied, where they fit. Most of
    the time that a picture takes is for making axes with their ticks. Each thread has axes of its own.
    """

    def __init__(self) -> None:
        self._made_for: Any = None
        self._axes: list[Axes] = []

    def __call__(self, n_small: int, dpi: float) -> list["Axes"]:
        """
        :param n_small: How many small panels are below the large one.
        :param dpi: Dots per inch.
        :return: The axes of a figure, as :func:`new_panels` makes them. Those of the last call show nothing any more.
        """
        import matplotlib

        made_for = n_small, dpi, matplotlib.rcParams.copy()  # the user's style
        if made_for == self._made_for:
            for ax in self._axes:
                _empty(ax)
        else:
            self._axes = new_panels(n_small, dpi)
            self._made_for = made_for
        return self._axes


def _empty(ax: "Axes") -> None:
    """Take away what is drawn, and leave what is around it. The legend is right as long as its labels are."""
    for container in [*ax.containers]:  # with its lines
        container.remove()
    for artist in [*ax.lines, *ax.collections]:
        artist.remove()
    ax.relim()
    ax.autoscale()


def dress(ax: "Axes") -> None:
    """
    :param ax: Whose horizontal axis shows timesteps. They get a grid in place of ticks, and lines on two sides.
    """
    ax.grid(alpha=0.25)
    ax.tick_params(bottom=False, left=False)
    ax.spines[["top", "right"]].set_visible(False)
    dress_timesteps(ax)


def dress_timesteps(ax: "Axes") -> None:
    """
    :param ax: Whose horizontal axis shows timesteps.
    """
    ax.set_xlabel("Timesteps")
    ax.xaxis.set_major_formatter(lambda x, _: f"{x / 1e6:g}M" if abs(x) >= 1e6 else f"{x / 1e3:g}k" if x else "0")
