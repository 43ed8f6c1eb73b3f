"""
From rewards to what each action is weighed by: pure functions of arrays.

An array of timesteps is flat and in episode order: all timesteps of the first episode, then
all of the second's, and so on; ``lengths`` says how many each has. So
``lengths.sum() == len(rewards)`` throughout.
"""

import numpy as np


def reward_to_go(rewards: np.ndarray, lengths: np.ndarray, gamma: float = 1.0) -> np.ndarray:
    r"""
    The return that follows each action, :math:`G_t = \sum_{k \ge t} \gamma^{k-t} r_k`.

    An action has no part in the rewards that came before it, so leaving those out keeps the
    policy gradient unbiased and lowers its variance. Sutton and Barto (2018), eq. 3.8 and
    section 13.3.

    :param rewards: Shape ``(n_timesteps,)``.
    :param lengths: Timesteps of each episode, at least 1. Shape ``(n_episodes,)``.
    :param gamma: Discount factor.
    :return: Shape ``(n_timesteps,)``, float64.
    """
    returns = rewards.astype(np.float64)
    # From the episodes' ends backwards, all episodes at once, the longest first: those that
    # have a timestep this far from their end are always the first n_long of them
    longest_first = np.argsort(-lengths, kind="stable")
    last_rows = (np.cumsum(lengths) - 1)[longest_first]
    n_longer = len(lengths) - np.searchsorted(np.sort(lengths), np.arange(lengths.max(initial=0)), side="right")
    for from_end in range(1, len(n_longer)):
        rows = last_rows[: n_longer[from_end]] - from_end
        returns[rows] += gamma * returns[rows + 1]
    return returns


def timesteps_of(lengths: np.ndarray) -> np.ndarray:
    """
    :param lengths: Timesteps of each episode. Shape ``(n_episodes,)``.
    :return: The time of each timestep since its episode's start, from 0. Shape ``(n_timesteps,)``.
    """
    return np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)


def no_baseline(returns: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """
    Zero. Unbiased: the REINFORCE of Williams (1992) with no reinforcement baseline.

    :param returns: The return that follows each action. Shape ``(n_timesteps,)``.
    :param lengths: Timesteps of each episode. Shape ``(n_episodes,)``.
    :return: Shape ``(n_timesteps,)``.
    """
    return np.zeros_like(returns)


def mean_baseline(returns: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """
    The mean over all timesteps of the rollout. Biased: it holds the very return that it is
    subtracted from. The bias shrinks as 1 / n_episodes; ``leave_one_out`` has none.
    Williams (1992), section 4 (reinforcement comparison), has it as a running mean.

    :param returns: The return that follows each action. Shape ``(n_timesteps,)``.
    :param lengths: Timesteps of each episode. Shape ``(n_episodes,)``.
    :return: Shape ``(n_timesteps,)``.
    """
    return np.full_like(returns, returns.mean())


def leave_one_out_baseline(returns: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """
    For each episode, the mean over all timesteps of the *other* episodes. Unbiased: the
    episodes are independent, so this knows nothing of the actions it judges.
    Kool, van Hoof and Welling (2019), "Buy 4 REINFORCE samples, get a baseline for free!", eq. 8.

    :param returns: The return that follows each action. Shape ``(n_timesteps,)``.
    :param lengths: Timesteps of each episode, two episodes or more. Shape ``(n_episodes,)``.
    :return: Shape ``(n_timesteps,)``.
    """
    sums = np.add.reduceat(returns, np.cumsum(lengths) - lengths)
    others = (sums.sum() - sums) / (lengths.sum() - lengths)
    return np.repeat(others, lengths)


def time_baseline(returns: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """
    For each timestep of an episode, the mean over the *other* episodes at the same time since their
    start, as far as they lasted that long; 0 where none did. Unbiased, for the same reason as
    :func:`leave_one_out_baseline`: it is the leave-one-out baseline at each time. Time-dependent
    baselines: Peters and Schaal (2008), "Reinforcement learning of motor skills with policy gradients",
    section 3.2.

    :param returns: The return that follows each action. Shape ``(n_timesteps,)``.
    :param lengths: Timesteps of each episode, two episodes or more. Shape ``(n_episodes,)``.
    :return: Shape ``(n_timesteps,)``.
    """
    times = timesteps_of(lengths)
    n_others = np.bincount(times)[times] - 1
    sums_of_others = np.bincount(times, weights=returns)[times] - returns
    return np.where(n_others > 0, sums_of_others / np.maximum(n_others, 1), 0.0)


_BASELINE_FUNCTIONS = {
    "none": no_baseline,
    "mean": mean_baseline,
    "leave_one_out": leave_one_out_baseline,
    "time": time_baseline,
}
BASELINES = tuple(_BASELINE_FUNCTIONS)


def baseline_values(name: str, returns: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """
    The baseline of that name.

    :param name: One of ``BASELINES``.
    :param returns: The return that follows each action. Shape ``(n_timesteps,)``.
    :param lengths: Timesteps of each episode. Shape ``(n_episodes,)``.
    :return: Shape ``(n_timesteps,)``.
    """
    return _BASELINE_FUNCTIONS[name](returns, lengths)


def normalize(advantages: np.ndarray) -> np.ndarray:
    """
    Zero mean and unit standard deviation over the timesteps, as SB3's PPO does with each
    batch. Biased: both are computed from what they are applied to. Advantages that are all
    the same become zero.

    :param advantages: Shape ``(n_timesteps,)``.
    :return: Shape ``(n_timesteps,)``.
    """
    return (advantages - advantages.mean()) / (advantages.std() + 1e-8)
