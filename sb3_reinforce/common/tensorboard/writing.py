"""What the callbacks for TensorBoard have in common: where they write, and how often."""

from collections.abc import Callable
from typing import Any

from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger, TensorBoardOutputFormat
from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils.tensorboard import SummaryWriter

from sb3_reinforce.common.chance import keeps_global_generators
from sb3_reinforce.common.constraints import NONE, Interval, Table
from sb3_reinforce.common.figures import png_of
from sb3_reinforce.common.logs import say_that_it_is_not_written

RECORDS_OF_A_TRAINING = 10
ARGUMENTS: Table = {"every": [Interval(1, integer=True), NONE]}


def writers_of(logger: Logger) -> list[SummaryWriter]:
    """
    :param logger: Of an SB3 algorithm.
    :return: What writes for TensorBoard among its outputs.
    """
    return [output.writer for output in logger.output_formats if isinstance(output, TensorBoardOutputFormat)]


def add_summary(writer: SummaryWriter, summary: Summary, step: int | None = None) -> None:
    """
    :param writer: Where to write.
    :param summary: What torch's SummaryWriter has no method for.
    :param step: The timestep.
    """
    assert writer.file_writer is not None
    writer.file_writer.add_summary(summary, step)


def encoded_image(tag: str, content: bytes, width: int, height: int) -> Summary:
    """
    :param tag: Its name.
    :param content: A PNG or GIF file.
    :param width: In pixels.
    :param height: In pixels.
    :return: It as TensorBoard shows it among its images.
    """
    image = Summary.Image(width=width, height=height, colorspace=3, encoded_image_string=content)
    return Summary(value=[Summary.Value(tag=tag, image=image)])


def png_image(tag: str, figure: Any) -> Summary:
    """
    :param tag: Its name.
    :param figure: Of matplotlib.
    :return: It as TensorBoard shows it among its images.
    """
    width, height = figure.canvas.get_width_height()
    return encoded_image(tag, png_of(figure), width, height)


class TensorBoardCallback(BaseCallback):
    """
    A callback that writes where the algorithm's TensorBoard is. If that can't be written to, it is said once, and training
    goes on.

    :raises ValueError: When training starts, if the algorithm has no TensorBoard.
    """

    hears_steps = False

    def __init__(self) -> None:
        super().__init__()
        self._has_failed = False

    def _on_training_start(self) -> None:
        if not writers_of(self.logger):
            raise ValueError(
                f"{type(self).__name__} writes to TensorBoard, but this {type(self.model).__name__} does not. Give it a "
                "folder: tensorboard_log='logs', or model.set_logger(configure('logs', ['tensorboard']))."
            )

    def _on_step(self) -> bool:
        return True

    @property
    def n_timesteps(self) -> int:
        """How far training is. ``num_timesteps`` is not told to who hears no steps."""
        return self.model.num_timesteps

    def _write(self, write: Callable[[SummaryWriter], Any]) -> None:
        """Call a function for each writer."""
        try:
            for writer in writers_of(self.logger):
                write(writer)
                writer.flush()
        except OSError as error:
            if not self._has_failed:
                self._has_failed = True
                say_that_it_is_not_written(type(self).__name__, error)


class IntervalCallback(TensorBoardCallback):
    """
    Records something when training starts, about every so many timesteps between two rollouts, and when training ends.
    Whatever it does, the global generators of chance are what they were.

    :param every: Timesteps from one to the next. Default: a tenth of the training.
    """

    def __init__(self, every: int | None = None) -> None:
        super().__init__()
        self.every = every

    def _on_training_start(self) -> None:
        super()._on_training_start()
        self._interval = self.every or max(1, self.model._total_timesteps // RECORDS_OF_A_TRAINING)
        self._next = -(-self.n_timesteps // self._interval) * self._interval  # as if training had never been interrupted

    def _on_rollout_start(self) -> None:
        if self.n_timesteps >= self._next:
            self._next = (self.n_timesteps // self._interval + 1) * self._interval
            self._record_without_chance()

    def _on_training_end(self) -> None:
        self._record_without_chance()

    @keeps_global_generators
    def _record_without_chance(self) -> None:
        self._record()

    def _record(self) -> None:
        raise NotImplementedError
