"""How long to wait for an episode to end."""

from sb3_reinforce.common.checks import check_that_episodes_end
from sb3_reinforce.common.telling import warn_user


class Patience:
    """
    A warning where none has ended when the budget is used up, and an error where one is longer than episodes may be.

    :param max_episode_steps: An episode longer than this is taken for one that never ends.
    :param n_steps_of_budget: Steps of each environment until the budget is used up.
    :param warns: Whether there is a warning to be given: not for environments that are known to end episodes.
    """

    def __init__(self, max_episode_steps: int, n_steps_of_budget: int, warns: bool) -> None:
        self.max_episode_steps = max_episode_steps
        self.warns = warns
        self.next_check = min(max_episode_steps, max(n_steps_of_budget, 1)) if warns else max_episode_steps
        """After how many steps of an environment there is something to :meth:`check`."""

    def check(self, n_steps: int, n_ended: int, longest: int) -> None:
        """
        :param n_steps: Steps of each environment so far.
        :param n_ended: How many episodes have ended.
        :param longest: Timesteps so far of the longest episode that has not ended.
        :raises RuntimeError: If one has not ended within ``max_episode_steps``.
        """
        if self.warns and n_ended == 0:
            warn_user(
                f"The environment has not ended one episode yet, after {n_steps:,} timesteps of it: all that were asked "
                "for. Only whole episodes count, so nothing has come of them yet. If they never end, give the "
                "environment a time limit: gymnasium.make(..., max_episode_steps=...) or gymnasium.wrappers.TimeLimit.",
            )
        self.warns = False
        self.next_check = n_steps + max(self.max_episode_steps - longest, 1)
        check_that_episodes_end(longest, self.max_episode_steps)
