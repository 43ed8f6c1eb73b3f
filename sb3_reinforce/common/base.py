"""What the algorithms have in common as SB3 algorithms."""

import io
import pathlib
from collections.abc import Iterable
from typing import Any

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.vec_env import VecEnv

from sb3_reinforce.common.checks import check_policy_name
from sb3_reinforce.common.saving import write_atomically


class EpisodicAlgorithm(BaseAlgorithm):
    """
    An SB3 algorithm that plays whole episodes: it draws from a generator of its own, starts from fresh
    episodes, and saves without ever leaving half a file.
    """

    def _get_policy_from_name(self, policy_name: str) -> type[BasePolicy]:
        return check_policy_name(policy_name, self.policy_aliases)

    def set_random_seed(self, seed: int | None = None) -> None:
        """
        Set the seed of the pseudo-random generators (python, numpy, pytorch, gym, action_space).

        :param seed: None to go by numpy's global generator, as SB3's ``set_random_seed`` left it.
        """
        super().set_random_seed(seed)
        self._rng = np.random.default_rng(np.random.randint(2**31) if seed is None else seed)

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "_rng"]

    def _record_episodes(self, infos: list[dict[str, Any]], envs: np.ndarray) -> list[dict[str, Any]]:
        """
        Enter the episodes that some environments have ended with the step into the statistics that are logged.

        :return: What was entered: infos with Monitor's ``"episode"``, if the environments have one.
        """
        ended = infos.of_episodes(envs) if hasattr(infos, "of_episodes") else [infos[i] for i in envs.tolist()]
        self._update_info_buffer(ended, np.ones(len(ended), dtype=bool))
        return ended

    def _restart_environments(self, env: VecEnv) -> None:
        """
        Reset, unless every environment stands at the start of an episode already.

        From here on none counts as standing there: whatever ends the rollout early, an error in its first step
        perhaps, the next one resets.
        """
        assert self._last_episode_starts is not None
        # A GymnasiumVecEnv that can't reset at once still stands where the episodes ended
        if not self._last_episode_starts.all() or getattr(env.unwrapped, "has_reset_transitions", False):
            self._last_obs = env.reset()  # type: ignore[assignment]
        self._last_episode_starts = np.zeros(env.num_envs, dtype=bool)

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
        """
        if not isinstance(path, (str, pathlib.Path)):
            super().save(path, exclude, include)
            return
        path = pathlib.Path(path)
        if path.suffix == "":
            path = pathlib.Path(f"{path}.zip")
        if path.is_dir():
            raise IsADirectoryError(f"Could not save to '{path}': it is a folder. Give the name of a file.")
        content = io.BytesIO()
        super().save(content, exclude, include)
        write_atomically(path, content.getvalue())
