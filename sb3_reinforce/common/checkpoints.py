"""Checkpoints from which training goes on as if it had not been interrupted."""

import os
import pathlib
import re
import time
import warnings

from stable_baselines3.common.callbacks import BaseCallback

from sb3_reinforce.common.constraints import PATH, TEXT, Interval, Table, check_arguments
from sb3_reinforce.common.resume import ResumableAlgorithm

_ARGUMENTS: Table = {
    "save_path": [PATH],
    "n_kept": [Interval(1, integer=True)],
    "every_seconds": [Interval(0)],
    "every_rollouts": [Interval(1, integer=True)],
    "name_prefix": [TEXT],
}
PREFIX = "checkpoint"


class ResumableCheckpointCallback(BaseCallback):
    """
    Saves the model between rollouts, so that a training that was killed goes on to the same weights bit for bit, in whatever
    process::

        path = ResumableCheckpointCallback.latest("checkpoints")
        if path is None:
            model = REINFORCE("MlpPolicy", env).learn(1_000_000, callback=ResumableCheckpointCallback("checkpoints"))
        else:
            model = REINFORCE.load(path, env).resume(callback=ResumableCheckpointCallback("checkpoints"))

    SB3's own ``CheckpointCallback`` saves in the middle of rollouts. Ours can be loaded then as well, and begin that rollout
    anew; but a checkpoint of this callback is one file, with the statistics of a VecNormalize in it, never half written, and
    old ones are removed. The environment is made as it was made before, with a fresh VecNormalize, if it had one.

    What goes on bit for bit is the model and what SB3 puts around it. What is in none of our files does not: callbacks, which
    start anew, and what environments and their wrappers remember from one episode to the next. An environment that must not
    be reset early, or can't be seeded again (EnvPool), goes on with other episodes, and a warning says so.

    :param save_path: Folder of the checkpoints, one for each training.
    :param n_kept: How many of the last checkpoints to keep.
    :param every_seconds: How long to wait at least from one to the next. To save takes some milliseconds.
    :param every_rollouts: How many rollouts to wait at least.
    :param name_prefix: What the names of the files begin with: ``{name_prefix}_{num_timesteps}_steps.zip``.
    :param verbose: Verbosity level: 0 for no output, 1 for a line at each checkpoint.
    :raises ValueError: If an argument is not what it may be; when training starts, if the algorithm is none of ours, or the
        folder has checkpoints of another training.
    """

    model: ResumableAlgorithm
    hears_steps = False

    def __init__(
        self,
        save_path: str | os.PathLike[str],
        n_kept: int = 3,
        every_seconds: float = 60.0,
        every_rollouts: int = 1,
        name_prefix: str = PREFIX,
        verbose: int = 0,
    ) -> None:
        super().__init__(verbose)
        check_arguments(_ARGUMENTS, locals(), type(self).__name__)
        self.save_path = pathlib.Path(save_path)
        self.n_kept = n_kept
        self.every_seconds = every_seconds
        self.every_rollouts = every_rollouts
        self.name_prefix = name_prefix

    @staticmethod
    def latest(save_path: str | os.PathLike[str], name_prefix: str = PREFIX) -> pathlib.Path | None:
        """
        :param save_path: Folder of checkpoints, which need not be there.
        :param name_prefix: What their names begin with.
        :return: The last one; None if there is none.
        """
        checkpoints = _checkpoints(pathlib.Path(save_path), name_prefix)
        return checkpoints[max(checkpoints)] if checkpoints else None

    def _on_training_start(self) -> None:
        if not isinstance(self.model, ResumableAlgorithm):
            raise ValueError(
                f"{type(self).__name__} is for REINFORCE and RandomWeightSearch, but this is a {type(self.model).__name__}. "
                "Use stable_baselines3.common.callbacks.CheckpointCallback."
            )
        later = [n for n in _checkpoints(self.save_path, self.name_prefix) if n > self.num_timesteps]
        if later:
            raise ValueError(
                f"The folder '{self.save_path}' has a checkpoint of {max(later):,} timesteps, but this training begins at "
                f"{self.num_timesteps:,}. Go on from that one (load {type(self).__name__}.latest(...), and call resume), or "
                "use another folder."
            )
        self._time, self._n_rollouts = time.monotonic(), 0

    def _on_rollout_start(self) -> None:
        is_due = self._n_rollouts >= self.every_rollouts and time.monotonic() - self._time >= self.every_seconds
        if is_due and self.model.is_resumable:
            self._save()
        self._n_rollouts += 1

    def _on_step(self) -> bool:
        return True

    def _on_training_end(self) -> None:
        self._save()

    def _save(self) -> None:
        """Save, and remove what is too old. A training does not end because a checkpoint can't be written."""
        self._time, self._n_rollouts = time.monotonic(), 0
        path = self.save_path / f"{self.name_prefix}_{self.model.num_timesteps_to_save}_steps.zip"
        try:
            self.model.save(path)
            checkpoints = _checkpoints(self.save_path, self.name_prefix)
            for n_timesteps in sorted(checkpoints)[: -self.n_kept]:
                checkpoints[n_timesteps].unlink(missing_ok=True)
        except OSError as error:
            warnings.warn(f"No checkpoint: {error} Training goes on.", stacklevel=2)
            return
        if self.verbose >= 1:
            print(f"Saved {path}")


def _checkpoints(folder: pathlib.Path, prefix: str) -> dict[int, pathlib.Path]:
    """Those in the folder, by their timesteps."""
    name = re.compile(rf"{re.escape(prefix)}_(\d+)_steps\.zip")
    files = folder.iterdir() if folder.is_dir() else ()
    return {int(match[1]): file for file in files if (match := name.fullmatch(file.name))}
