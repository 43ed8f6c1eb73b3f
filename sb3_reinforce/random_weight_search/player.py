"""Playing episodes greedily, and hearing of those that have ended."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback

from sb3_reinforce.common.base import EpisodicAlgorithm
from sb3_reinforce.common.callbacks import listening
from sb3_reinforce.common.flags import any_set
from sb3_reinforce.random_weight_search.candidates import GreedyActor
from sb3_reinforce.random_weight_search.episodes import NO_EPISODES, EndedEpisodes, OngoingEpisodes
from sb3_reinforce.rollouts.acting import DenseLayer


@dataclass(kw_only=True)
class Play:
    """
    What one ``learn`` plays with.

    :param actor: Makes actions of layers.
    :param episodes: Those that the environments are in the middle of.
    :param callback: To be called at every step.
    :param is_stopped: Whether it has ended training.
    """

    actor: GreedyActor
    episodes: OngoingEpisodes
    callback: BaseCallback
    is_stopped: bool = False


class EpisodePlayer(EpisodicAlgorithm):
    """An algorithm that plays layers greedily, and learns from the returns of episodes alone."""

    def _is_over(self, play: Play) -> bool:
        """Whether the timesteps are used up, or a callback has ended training."""
        return play.is_stopped or self.num_timesteps >= self._total_timesteps

    def _begin_episodes(self, play: Play, seed: int) -> np.ndarray:
        """
        Break off the episodes that have not ended, and begin others.

        :param seed: Of the environments.
        :return: Which environments stand at the start of an episode. The others play theirs to its end first. Shape
            ``(n_envs,)``.
        """
        at_start = self._start_episodes(seed)
        play.episodes.begin(self._patience())
        return at_start

    def _play(self, play: Play, layers: list[DenseLayer]) -> Iterator[EndedEpisodes]:
        """
        Step the environments until training is over. A step on which a callback ends training still counts.

        :param layers: Of one network that plays all environments, or of one for each.
        :return: The episodes that have ended with a step, for each step with any.
        """
        env, environments, callback = self.env, self._environments, play.callback
        assert env is not None
        assert environments is not None
        (hears_each_step, hears_ends), nowhere = listening(callback), np.zeros(env.num_envs, dtype=bool)
        while not self._is_over(play):
            action_masks = environments.action_masks(self._last_obs)  # type: ignore[arg-type]
            actions = play.actor.act(layers, self._last_obs, action_masks)  # type: ignore[arg-type]
            new_obs, rewards, dones, infos = environments.step(actions)
            self.num_timesteps += env.num_envs
            # If anything fails from here on, no environment counts as standing at the start of an episode
            self._last_obs, self._last_episode_starts = new_obs, nowhere  # type: ignore[assignment]
            if hears_each_step or (hears_ends and any_set(dones)):
                callback.update_locals(locals())
                play.is_stopped = not callback.on_step()
            play.episodes.step(rewards)
            ended = self._end_episodes(play, dones, infos) if any_set(dones) else NO_EPISODES
            play.episodes.check()
            if len(ended.envs):
                yield ended

    def _end_episodes(self, play: Play, dones: np.ndarray, infos: list[dict[str, Any]]) -> EndedEpisodes:
        envs = np.flatnonzero(dones)
        ended = play.episodes.end(envs, self._record_episodes(infos, envs))
        self._episode_num += len(ended.envs)
        self._last_episode_starts = np.zeros(len(dones), dtype=bool)
        self._last_episode_starts[ended.envs] = True
        return ended
