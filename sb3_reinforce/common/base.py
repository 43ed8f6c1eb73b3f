"""What the algorithms have in common as SB3 algorithms."""

import io
import pathlib
import warnings
from collections.abc import Iterable
from typing import Any

import gymnasium as gym
import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import is_wrapped
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.save_util import data_to_json
from stable_baselines3.common.type_aliases import GymEnv, MaybeCallback
from stable_baselines3.common.vec_env import VecEnv

from sb3_reinforce.common.action_masks import MaskFunction, masks_of_observation, of_observations
from sb3_reinforce.common.callbacks import monitored_episode
from sb3_reinforce.common.checks import check_policy_name, check_spaces
from sb3_reinforce.common.logs import forgive_logs
from sb3_reinforce.common.masked_observations import masks_told_by
from sb3_reinforce.common.masking import predict_masked
from sb3_reinforce.common.patience import Patience
from sb3_reinforce.common.resume import ResumableAlgorithm
from sb3_reinforce.common.saving import write_atomically
from sb3_reinforce.common.training_environments import TrainingEnvironments
from sb3_reinforce.vec_env import PythonVecEnv


class CallbackLocals(dict[str, Any]):
    """The local variables that callbacks see. Whoever asks for one that is not there is told which are."""

    def __missing__(self, name: str) -> Any:
        raise KeyError(
            f"There is no '{name}' among the local variables of this algorithm: it computes no values and log-probabilities "
            f"while it collects. There are {', '.join(self)}."
        )


class EpisodicAlgorithm(ResumableAlgorithm):
    """
    An SB3 algorithm that plays whole episodes: it starts from fresh episodes, goes on where it was interrupted, and saves
    without ever leaving half a file.
    """

    max_episode_steps: int
    action_masks: bool | MaskFunction | None = None
    learned_with_masks = False
    """Whether invalid actions were masked in the last training. A file keeps it."""
    _masked_by_environment = False  # where predict can't know what is allowed
    _environments: TrainingEnvironments | None = None

    def _get_policy_from_name(self, policy_name: str) -> type[BasePolicy]:
        return check_policy_name(policy_name, self.policy_aliases)

    @staticmethod
    def _wrap_env(env: GymEnv, verbose: int = 0, monitor_wrapper: bool = True) -> VecEnv:
        if isinstance(env, (gym.Env, VecEnv)):  # before SB3 wraps what it can't wrap
            check_spaces(env.observation_space, env.action_space)
        if isinstance(env, gym.Env):
            env = _in_this_process(env, verbose, monitor_wrapper)
        return BaseAlgorithm._wrap_env(env, verbose, monitor_wrapper)

    def predict(
        self,
        observation: np.ndarray | dict[str, np.ndarray],
        state: tuple[np.ndarray, ...] | None = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
        action_masks: np.ndarray | None = None,
    ) -> tuple[np.ndarray, tuple[np.ndarray, ...] | None]:
        """
        The policy's action, in the type of the action space: whole numbers where it is one of whole numbers.

        Only allowed actions are chosen where the observation tells what is allowed (a part of it, a function ``action_masks``,
        :func:`~sb3_reinforce.common.masked_observations.tell_action_masks`). Other masks have to be given, as to sb3-contrib's
        MaskablePPO, whose ``evaluate_policy`` and ``MaskableEvalCallback`` do it.

        :param observation: The input observation.
        :param state: Handed back as it is.
        :param episode_start: Not used.
        :param deterministic: Whether to take the most probable action.
        :param action_masks: Which choices are allowed: booleans, or 0 and 1. Shape ``(n, mask_size)``, or ``(mask_size,)``.
        :return: The action and the state.
        :raises ValueError: If these are no such masks, or allow nothing.
        """
        if action_masks is None:
            action_masks = self._masks_told_by(observation)
        if action_masks is None:
            self._warn_of_missing_masks()
            action, state = super().predict(observation, state, episode_start, deterministic)
        else:
            action = predict_masked(self.policy, observation, action_masks, deterministic)
        dtype = self.action_space.dtype
        if action.dtype != dtype and dtype is not None:
            action = (np.rint(action) if dtype.kind in "iu" else action).astype(dtype)
        return action, state

    def _masks_told_by(self, observation: Any) -> Any:
        if self.action_masks is False:
            return None
        told = masks_told_by(observation)
        return masks_of_observation(self.action_masks, observation, self.policy) if told is None else told

    def _warn_of_missing_masks(self) -> None:
        if self._masked_by_environment:
            self._masked_by_environment = False  # once
            warnings.warn(
                "The model has learned with masks of invalid actions, which the environment told, and predict gets none. It "
                "may choose actions that are not allowed. Evaluate on sb3_reinforce.tell_action_masks(env), use sb3-contrib's "
                "evaluate_policy and MaskableEvalCallback in the place of SB3's, or call predict(obs, action_masks=...).",
                stacklevel=3,
            )

    def _excluded_save_params(self) -> list[str]:
        # Without n_steps, which is none of ours, SB3's on-policy algorithms load our files with their own
        return [*super()._excluded_save_params(), "_rng", "n_steps", "_environments", "_before_rollout"]

    def _record(self, section: str, **values: Any) -> None:
        """Log values under ``section/name``."""
        for name, value in values.items():
            self.logger.record(f"{section}/{name}", value)

    def _record_episodes(self, infos: list[dict[str, Any]], envs: np.ndarray) -> list[dict[str, Any]]:
        """
        Enter the episodes that some environments have ended with the step into the statistics that are logged.

        :return: What was entered: infos with Monitor's ``"episode"``, if the environments have one.
        """
        ended = infos.of_episodes(envs) if hasattr(infos, "of_episodes") else [infos[i] for i in envs.tolist()]
        ended = [_with_monitors_episode_only(info) for info in ended]
        self._update_info_buffer(ended, np.ones(len(ended), dtype=bool))
        return ended

    def _setup_learn(
        self,
        total_timesteps: int,
        callback: MaybeCallback = None,
        reset_num_timesteps: bool = True,
        tb_log_name: str = "run",
        progress_bar: bool = False,
    ) -> tuple[int, BaseCallback]:
        assert self.env is not None
        if self._environments is None or self._environments.env is not self.env:
            self._environments = TrainingEnvironments(self.env)
        source = self._environments.mask_by(self.action_masks)
        self.learned_with_masks = source is not None
        self._masked_by_environment = source is not None and of_observations(self.action_masks, self.observation_space) is None
        if source is not None and self.verbose >= 1:
            print(f"Masking invalid actions by {source.where}.")
        self._end_rollout()  # if one was broken off
        last_obs: Any = self._last_obs
        is_reset = reset_num_timesteps or last_obs is None
        seed = self._seed_of_environments()
        with self._environments.beginning(last_obs, self._last_episode_starts, seed) as at_start:
            result = super()._setup_learn(total_timesteps, callback, reset_num_timesteps, tb_log_name, progress_bar)
        if not reset_num_timesteps:
            self._tell_of_obstacles(self._environments)
        if is_reset:
            self._last_episode_starts = at_start
        forgive_logs(self.logger, self.env)
        return result

    def _patience(self) -> Patience:
        """How long to wait for episodes to end in the rollout that begins."""
        assert self._environments is not None
        n_steps_left = -(-(self._total_timesteps - self.num_timesteps) // self.n_envs)
        warns = self._episode_num == 0 and not self._environments.have_a_time_limit
        return Patience(self.max_episode_steps, n_steps_left, warns)

    def _start_rollout(self) -> np.ndarray:
        """
        Begin a rollout, and bring the environments to where episodes start.

        :return: Which of them stand at the start of an episode. Shape ``(n_envs,)``.
        """
        self._keep_for_saving()
        return self._start_episodes(self._begin_rollout())

    def _start_episodes(self, seed: int) -> np.ndarray:
        """
        Bring the environments to where episodes start.

        From here on none counts as standing there: whatever ends the rollout early, an error in its first step
        perhaps, the next one resets.

        :param seed: Of the environments, if they are reset.
        :return: Which of them stand at the start of an episode. Shape ``(n_envs,)``.
        """
        assert self._environments is not None
        assert self._last_episode_starts is not None
        last_obs: Any = self._last_obs
        self._last_obs, at_start = self._environments.start_rollout(last_obs, self._last_episode_starts, seed)
        self._last_episode_starts = np.zeros(len(at_start), dtype=bool)
        return at_start

    def save(
        self,
        path: str | pathlib.Path | io.BufferedIOBase,
        exclude: Iterable[str] | None = None,
        include: Iterable[str] | None = None,
    ) -> None:
        """
        Save all the attributes of the object and the model parameters in a zip-file. The file
        takes its place only when it is complete.

        :param path: Path to the file (``.zip`` is added if it has no suffix), or a file-like object.
        :param exclude: Names of parameters that should be excluded in addition to the default ones.
        :param include: Names of parameters that might be excluded but should be included anyway.
        :raises OSError: If it can't be written; a file that was there before is untouched.
        :raises ValueError: If something of the user's in it can't be pickled; the same holds.
        """
        if not isinstance(path, (str, pathlib.Path)):
            self._write(path, exclude, include)
            return
        path = pathlib.Path(path)
        if path.suffix == "":
            path = pathlib.Path(f"{path}.zip")
        if path.is_dir():
            raise IsADirectoryError(f"Could not save to '{path}': it is a folder. Give the name of a file.")
        content = io.BytesIO()
        self._write(content, exclude, include)
        write_atomically(path, content.getvalue())

    def _write(self, file: io.BufferedIOBase, exclude: Iterable[str] | None, include: Iterable[str] | None) -> None:
        exclude = list(exclude or ())
        try:
            super().save(file, exclude, include)
        except Exception as error:
            for name in set(vars(self)) - {*exclude, *self._excluded_save_params()}:
                if not _can_be_pickled(value := getattr(self, name)):
                    raise ValueError(
                        f"The model can't be saved, for its {name} {value!r} can't be pickled: {error}. Give it a "
                        "__getstate__ that leaves out what belongs to this process (open files, locks, environments), or "
                        f"save with exclude=['{name}'] and set model.{name} after loading."
                    ) from error
            raise


def _in_this_process(env: gym.Env, verbose: int, monitor_wrapper: bool) -> VecEnv:
    """An environment in what SB3 wraps it in, but for the VecEnv."""
    if monitor_wrapper and not is_wrapped(env, Monitor):
        if verbose >= 1:
            print("Wrapping the env with a `Monitor` wrapper")
        env = Monitor(env)
    if verbose >= 1:
        print("Wrapping the env in a PythonVecEnv.")
    return PythonVecEnv([lambda: env])


def _can_be_pickled(value: Any) -> bool:
    try:
        data_to_json({"value": value})
    except Exception:
        return False
    return True


def _with_monitors_episode_only(info: dict[str, Any]) -> dict[str, Any]:
    """The info, in which ``"episode"`` is Monitor's or missing: SB3 takes it for Monitor's, whatever it is."""
    if "episode" not in info or monitored_episode(info) is not None:
        return info
    return {key: value for key, value in info.items() if key != "episode"}
