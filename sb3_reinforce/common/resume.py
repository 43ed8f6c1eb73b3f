"""Going on with a training that was interrupted, as if it had not been."""

import io
import pathlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from copy import copy
from typing import Any, TypeVar

import numpy as np
from stable_baselines3.common.type_aliases import GymEnv, MaybeCallback

from sb3_reinforce.common.chance import environments_seed, rollout_generator, seed_global_generators
from sb3_reinforce.common.constraints import NONE, SEED, Interval, Table, Test, check_arguments
from sb3_reinforce.common.loading import LoadableAlgorithm
from sb3_reinforce.common.normalization import Statistics, is_statistics, put_back, statistics_of, take_over
from sb3_reinforce.common.telling import warn_user
from sb3_reinforce.common.training_environments import TrainingEnvironments

_STATE: Table = {
    "_drawn_seed": [SEED, NONE],
    "_n_rollouts": [Interval(0, 2**62, integer=True)],
    "_normalization": [Test("statistics of VecNormalize", is_statistics), NONE],
}
SelfResumable = TypeVar("SelfResumable", bound="ResumableAlgorithm")


class ResumableAlgorithm(LoadableAlgorithm):
    """
    An SB3 algorithm whose rollouts are functions of its seed, their number, and what has been learned.

    A file that is saved between two rollouts holds all that the next ones depend on: numbers, parameters, and the statistics
    of a VecNormalize. Whoever loads it, in whatever process, goes on to the same weights bit for bit. What is saved while a
    rollout is collected is saved as it was when that rollout began.
    """

    is_resumable: bool = True
    """Whether what is saved now goes on bit for bit."""
    _drawn_seed: int | None = None
    _n_rollouts: int = 0
    _normalization: Statistics | None = None
    _before_rollout: dict[str, Any] | None = None
    _is_from_file: bool = False
    _rng: np.random.Generator

    def set_random_seed(self, seed: int | None = None) -> None:
        """
        Set the seed of the pseudo-random generators (python, numpy, pytorch, gym, action_space), and of all rollouts to come,
        which are counted from 0 again.

        :param seed: None to draw one from numpy's global generator, as SB3's ``set_random_seed`` left it.
        """
        super().set_random_seed(seed)
        self.seed = seed
        self._drawn_seed = int(np.random.randint(2**31)) if seed is None else None
        self._n_rollouts = 0
        self._rng = rollout_generator(self._seed_of_rollouts, 0)

    @property
    def _seed_of_rollouts(self) -> int:
        seed = self._drawn_seed if self.seed is None else self.seed
        assert seed is not None
        return int(seed)

    def _set_up_chance(self) -> None:
        """A model from a file goes on with the seed that it has drawn, and with the number of its next rollout."""
        drawn_seed, n_rollouts = self._drawn_seed, self._n_rollouts
        state = {"_drawn_seed": drawn_seed, "_n_rollouts": n_rollouts, "_normalization": self._normalization}
        check_arguments(_STATE, state, "a file")
        self.set_random_seed(self.seed)
        if self.seed is None and drawn_seed is not None:
            self._drawn_seed = drawn_seed
        self._n_rollouts = n_rollouts
        self._is_from_file = n_rollouts > 0
        self._take_over_normalization()

    def _seed_of_environments(self) -> int:
        """Of those in the next rollout."""
        return environments_seed(rollout_generator(self._seed_of_rollouts, self._n_rollouts), self.n_envs)

    def _begin_rollout(self) -> int:
        """
        From here on, chance is that of the next rollout.

        :return: The seed of its environments.
        """
        self._rng = rollout_generator(self._seed_of_rollouts, self._n_rollouts)
        self._n_rollouts += 1
        seed = environments_seed(self._rng, self.n_envs)
        seed_global_generators(int(self._rng.integers(2**31)), self.device)
        return seed

    def _keep_for_saving(self) -> None:
        """What is saved from here on is saved as it is now, until :meth:`_end_rollout`."""
        names = ("num_timesteps", "_episode_num", "_n_rollouts", "ep_info_buffer", "ep_success_buffer")
        self._before_rollout = {name: copy(getattr(self, name)) for name in names}
        self._before_rollout["_normalization"] = self._current_normalization()

    def _end_rollout(self) -> None:
        """What is saved from here on is saved as it is."""
        self._before_rollout = None

    @property
    def num_timesteps_to_save(self) -> int:
        """The ``num_timesteps`` of a file that is saved now: without those of a rollout that was not learned from."""
        return self.num_timesteps if self._before_rollout is None else int(self._before_rollout["num_timesteps"])

    def set_env(self, env: GymEnv, force_reset: bool = True) -> None:
        """
        Set the environment to learn from. A VecNormalize in it that has seen nothing yet takes over the statistics of a model
        that was loaded without an environment.

        :param env: The environment, with as many as the model has.
        :param force_reset: Whether to reset it before training.
        """
        super().set_env(env, force_reset)
        self._take_over_normalization()

    def _current_normalization(self) -> Statistics | None:
        return self._normalization if self._vec_normalize_env is None else statistics_of(self._vec_normalize_env)

    def _take_over_normalization(self) -> None:
        if self._vec_normalize_env is not None and self._normalization is not None:
            take_over(self._vec_normalize_env, self._normalization)
            self._normalization = None

    def _tell_of_obstacles(self, environments: TrainingEnvironments) -> None:
        """Say once what a training that goes on can't promise."""
        if self._is_from_file and environments.obstacle_to_resuming is not None:
            warn_user(
                "This training goes on rightly, but not to the very weights that it would have come to without the "
                f"interruption. {environments.obstacle_to_resuming}"
            )
        self._is_from_file = False

    def resume(self: SelfResumable, callback: MaybeCallback = None, **kwargs: Any) -> SelfResumable:
        """
        Go on with the training that was interrupted, up to the timesteps that its ``learn`` was called with. What comes out
        is what would have come out of that ``learn``, bit for bit: of a model that was loaded, or after Ctrl-C in the same
        process, from the beginning of the rollout that was broken off.

        It is ``learn(total - num_timesteps, reset_num_timesteps=False)``. Since ``learn`` counts these from ``num_timesteps``
        on, the total is again the one that it was, and so is the progress that schedules see.

        :param callback: As for ``learn``. Callbacks start anew.
        :param kwargs: Other arguments of ``learn``, but the timesteps.
        :return: The trained model.
        :raises ValueError: If its training has not begun.
        """
        if self._total_timesteps == 0:
            raise ValueError("There is no training to go on with: this model has not begun one. Call learn.")
        self._go_back_to_rollout()
        n_left = max(self._total_timesteps - self.num_timesteps, 0)
        return self.learn(n_left, callback=callback, reset_num_timesteps=False, **kwargs)

    def _go_back_to_rollout(self) -> None:
        """To the beginning of a rollout that was broken off, where a file would begin that was saved in it."""
        if self._before_rollout is None:
            return
        then = dict(self._before_rollout)
        normalization = then.pop("_normalization")
        if self._vec_normalize_env is not None and normalization is not None:
            put_back(self._vec_normalize_env, normalization)
        vars(self).update(then)
        self._end_rollout()

    def save(
        self,
        path: str | pathlib.Path | io.BufferedIOBase,
        exclude: Iterable[str] | None = None,
        include: Iterable[str] | None = None,
    ) -> None:
        """
        Save what a training needs to go on. While a rollout is collected, that is what there was when it began.

        :param path: As for SB3's ``save``.
        :param exclude: As for SB3's ``save``.
        :param include: As for SB3's ``save``.
        """
        with self._as_before_rollout():
            super().save(path, exclude, include)

    @contextmanager
    def _as_before_rollout(self) -> Iterator[None]:
        """Within, what changes while a rollout is collected is as it was when that began."""
        then = {"_normalization": self._current_normalization(), **(self._before_rollout or {})}
        now = {name: getattr(self, name) for name in then}
        vars(self).update(then)
        try:
            yield
        finally:
            vars(self).update(now)
