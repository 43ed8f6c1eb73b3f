"""
Evaluations that come to an end. A greedy policy may stand still for ever, and where an environment has no time limit, no
evaluation would end then: a limit of timesteps for each episode, and a count of the episodes that have reached it.
"""

from typing import Any

import gymnasium as gym
from gymnasium.core import ActType, ObsType
from gymnasium.envs.registration import EnvSpec
from stable_baselines3.common.monitor import Monitor

# As many as the longest time limit of an environment that comes with Gymnasium
DEFAULT_MAX_EPISODE_STEPS = 2_000
MAX_EPISODE_STEPS_HELP = (
    "timesteps after which an episode is cut off where a policy is evaluated or played, never in training "
    f"(default: {DEFAULT_MAX_EPISODE_STEPS}, or the environment's own time limit if that is longer)"
)
CUT_OFF_ADVICE = (
    "The score of an episode that was cut off depends on the limit. Give the environment a time limit of its own, with "
    "gymnasium.wrappers.TimeLimit, gymnasium.register(..., max_episode_steps=...) or gymnasium.make(..., "
    "max_episode_steps=...), which is env_kwargs in a file of hyperparameters. If its episodes are that long, raise "
    "max_episode_steps (--max-episode-steps)."
)
_CUT_OFF = "EpisodeLimit.cut_off"  # in info; named as SB3 names TimeLimit.truncated


class EpisodeLimit(gym.Wrapper[ObsType, ActType, ObsType, ActType]):
    """
    Cuts off an episode of an evaluation that does not end, and says so in ``info``; see :func:`was_cut_off`. An episode
    that ends by itself is left as it is, also if it does so with the very step of the limit.

    It belongs inside of ``Monitor``, which then reports the episode, and so inside of Atari's wrappers, which begin a new
    game only when Monitor's episode has ended. See :func:`limit_episodes`.

    A wrapper around Monitor may end episodes early, as a ``TimeLimit`` does there. Monitor sees no end of these, and
    ``evaluate_policy`` waits for one. So an episode is also cut off if there has been no end within twice the limit,
    whatever resets there were. (Twice: an evaluation leaves episodes unfinished, and the next one begins with a reset.)

    :param env: An environment, not yet inside of Monitor.
    :param max_episode_steps: The limit, in timesteps of ``env``: those that Monitor counts.
    """

    def __init__(self, env: gym.Env[ObsType, ActType], max_episode_steps: int) -> None:
        super().__init__(env)
        self.max_episode_steps = max_episode_steps
        self._steps_since_reset = 0
        self._steps_since_end = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[ObsType, dict[str, Any]]:
        """
        :param seed: The environment's.
        :param options: The environment's.
        :return: Observation and info.
        """
        self._steps_since_reset = 0
        return self.env.reset(seed=seed, options=options)

    def step(self, action: ActType) -> tuple[ObsType, Any, bool, bool, dict[str, Any]]:
        """
        :param action: What to do.
        :return: Observation, reward, terminated, truncated and info, as of every environment.
        """
        obs, reward, terminated, truncated, info = self.env.step(action)
        self._steps_since_reset += 1
        self._steps_since_end += 1
        has_ended = terminated or truncated
        if not has_ended and self._is_over():
            truncated = has_ended = info[_CUT_OFF] = True
        if has_ended:
            self._steps_since_end = 0
        return obs, reward, terminated, truncated, info

    def _is_over(self) -> bool:
        return self._steps_since_reset >= self.max_episode_steps or self._steps_since_end >= 2 * self.max_episode_steps


def limit_episodes(env: Monitor[ObsType, ActType], max_episode_steps: int) -> Monitor[ObsType, ActType]:
    """
    :param env: An environment with Monitor around it, which wrappers may go around.
    :param max_episode_steps: Timesteps after which an episode is cut off.
    :return: The same Monitor, with :class:`EpisodeLimit` inside of it.
    """
    env.env = EpisodeLimit(env.env, max_episode_steps)
    return env


def episode_limit(max_episode_steps: int | None, own_limit: int | None) -> int:
    """
    :param max_episode_steps: What the user has said, or None.
    :param own_limit: The environment's own time limit; see :func:`own_time_limit`.
    :return: Timesteps after which an episode of an evaluation is cut off. Where the user has said nothing, an environment's
        own time limit is never cut short.
    """
    return max(DEFAULT_MAX_EPISODE_STEPS, own_limit or 0) if max_episode_steps is None else max_episode_steps


def own_time_limit(spec: EnvSpec | None) -> int | None:
    """
    :param spec: What Gymnasium knows of an environment.
    :return: After how many timesteps its episodes end at the latest, as far as that is known. Atari's limit is in
        frames, of which a timestep has one or more.
    """
    if spec is None:
        return None
    return spec.max_episode_steps or spec.kwargs.get("max_num_frames_per_episode")


def was_cut_off(info: dict[str, Any]) -> bool:
    """
    :param info: Of a step that has ended an episode.
    :return: Whether the episode was cut off by :class:`EpisodeLimit`.
    """
    return bool(info.get(_CUT_OFF, False))


class CutOffCounter:
    """Counts the episodes that were cut off, as the ``callback`` of SB3's ``evaluate_policy``."""

    def __init__(self) -> None:
        self.n_cut_off = 0

    def __call__(self, local_variables: dict[str, Any], global_variables: dict[str, Any]) -> None:
        """
        :param local_variables: Those of ``evaluate_policy``, after a step of one of the environments whose episodes count.
        :param global_variables: Not used.
        """
        self.n_cut_off += was_cut_off(local_variables["info"])


def cut_off_message(n_cut_off: int, n_episodes: int, max_episode_steps: int) -> str:
    """
    :param n_cut_off: How many episodes were cut off.
    :param n_episodes: Of how many.
    :param max_episode_steps: After how many timesteps.
    :return: That it was so, in words.
    """
    return f"{n_cut_off:,} of {n_episodes:,} episodes had not ended after {max_episode_steps:,} timesteps, and were cut off."
