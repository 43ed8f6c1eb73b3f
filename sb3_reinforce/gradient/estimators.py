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
    if gamma == 1.0:
        so_far = np.cumsum(rewards, dtype=np.float64)  # up to and with each timestep, earlier episodes included
        returns = np.repeat(so_far[np.cumsum(lengths) - 1], lengths)
        returns -= so_far
        returns += rewards
        return returns
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


def total_return(rewards: np.ndarray, lengths: np.ndarray, gamma: float = 1.0) -> np.ndarray:
    r"""
    The return of the whole episode at each of its timesteps, :math:`G_0 = \sum_k \gamma^k r_k`: what
    the original REINFORCE credits every action with. Williams (1992), theorem 2 (episodic REINFORCE).

    :param rewards: Shape ``(n_timesteps,)``.
    :param lengths: Timesteps of each episode, at least 1. Shape ``(n_episodes,)``.
    :param gamma: Discount factor.
    :return: Shape ``(n_timesteps,)``, float64.
    """
    discounted = discounts(lengths, gamma) * rewards
    return np.repeat(np.add.reduceat(discounted, np.cumsum(lengths) - lengths), lengths)


def discounts(lengths: np.ndarray, gamma: float) -> np.ndarray:
    r"""
    :math:`\gamma^t`: what turns the usual estimate, which counts states that come later as much as the
    first, into the gradient of the discounted return. Sutton and Barto (2018), section 13.3, the
    box of REINFORCE.

    :param lengths: Timesteps of each episode. Shape ``(n_episodes,)``.
    :param gamma: Discount factor.
    :return: Shape ``(n_timesteps,)``.
    """
    return np.power(gamma, timesteps_of(lengths))


def add_to_last(rewards: np.ndarray, lengths: np.ndarray, episodes: np.ndarray, values: np.ndarray) -> np.ndarray:
    """
    Credit some episodes' last action with what would have followed: the bootstrapping of Sutton and Barto
    (2018), section 3.4, for episodes that a time limit cut off. Pardo et al. (2018), "Time limits in reinforcement
    learning", section 4.

    :param rewards: Shape ``(n_timesteps,)``.
    :param lengths: Timesteps of each episode, at least 1. Shape ``(n_episodes,)``.
    :param episodes: Their numbers, each at most once. Shape ``(n_cut_off,)``.
    :param values: What to add. Shape ``(n_cut_off,)``.
    :return: Shape ``(n_timesteps,)``.
    """
    rewards = rewards.copy()
    rewards[np.cumsum(lengths)[episodes] - 1] += values
    return rewards


def timesteps_of(lengths: np.ndarray) -> np.ndarray:
    """
    :param lengths: Timesteps of each episode. Shape ``(n_episodes,)``.
    :return: The time of each timestep since its episode's start, from 0. Shape ``(n_timesteps,)``.
    """
    timesteps = np.arange(lengths.sum())
    timesteps -= np.repeat(np.cumsum(lengths) - lengths, lengths)
    return timesteps


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
    Williams (1992), section 4 (reinforcement comparison), has it as a running mean. Of a single episode, which
    would be compared with itself, it is 0.

    :param returns: The return that follows each action. Shape ``(n_timesteps,)``.
    :param lengths: Timesteps of each episode. Shape ``(n_episodes,)``.
    :return: Shape ``(n_timesteps,)``.
    """
    if len(lengths) == 1:
        return np.zeros_like(returns)
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
    sums = np.bincount(times, weights=returns)
    n_others = len(lengths) - np.searchsorted(np.sort(lengths), np.arange(len(sums)), side="right") - 1
    values = sums[times]
    values -= returns
    values /= np.maximum(n_others, 1)[times]  # with no others, nothing is left to divide
    return values


def optimal_constants(estimates: np.ndarray, scores: np.ndarray) -> np.ndarray:
    r"""
    For each episode and each parameter, the constant that, subtracted from every return, leaves the
    estimate with the least variance, as the *other* episodes have it:

    .. math:: b_{ij} = \frac{\sum_{k \ne i} S_{kj} A_{kj}}{\sum_{k \ne i} S_{kj}^2}, \quad
        S_i = \sum_t \nabla \log \beta(a_{i,t}|s_{i,t}), \quad A_i = \sum_t G_{i,t} \nabla \log \beta(a_{i,t}|s_{i,t})

    The estimate of an episode is then :math:`A_i - b_i S_i`. With the return of the whole episode this is
    the optimal baseline of Peters and Schaal (2008), section 3.2, table 1; the same calculation gives it for the
    reward-to-go. They take the sums over all episodes, which biases the estimate; leaving out the episode that is judged
    does not.

    :param estimates: :math:`A`. Shape ``(n_episodes, n_parameters)``, two episodes or more.
    :param scores: :math:`S`. Shape ``(n_episodes, n_parameters)``.
    :return: Shape ``(n_episodes, n_parameters)``; 0 where the other episodes' scores are.
    """
    products, squares = scores * estimates, scores**2
    products_of_others, squares_of_others = products.sum(axis=0) - products, squares.sum(axis=0) - squares
    tiny = 1e-12 * squares.sum(axis=0)  # what a difference of sums leaves of zero
    known = squares_of_others > tiny
    return np.where(known, products_of_others / np.where(known, squares_of_others, 1.0), 0.0)


def advantages_of(returns: np.ndarray, values: np.ndarray) -> np.ndarray:
    """
    Returns less their baseline. Differences that are nothing but rounding are 0: where all episodes are alike there is nothing
    to learn, but an optimizer that divides by the gradient's own size, as Adam does, would take whole steps along it.

    :param returns: Shape ``(n_timesteps,)``.
    :param values: The baseline. Shape ``(n_timesteps,)``.
    :return: Shape ``(n_timesteps,)``.
    """
    advantages = returns - values
    rounding = 1e-10 * max(returns.max(initial=0.0), -returns.min(initial=0.0))
    if -rounding <= advantages.min(initial=0.0) and advantages.max(initial=0.0) <= rounding:
        advantages[:] = 0.0
    return advantages


def generalized_advantages(
    rewards: np.ndarray, values: np.ndarray, lengths: np.ndarray, gamma: float, gae_lambda: float
) -> np.ndarray:
    r"""
    Generalized advantage estimates, the discounted sum of what each later step turned out better than its value had said:

    .. math:: \hat A_t = \sum_{k \ge t} (\gamma \lambda)^{k-t} \delta_k, \quad \delta_k = r_k + \gamma V(s_{k+1}) - V(s_k)

    with the value 0 after the end of an episode. Schulman et al. (2016), "High-dimensional continuous control using
    generalized advantage estimation", eq. 16. For :math:`\lambda = 1` they are the return that follows less its value, and
    unbiased. Below, they have less variance, and are biased as far as the values are wrong.

    :param rewards: Shape ``(n_timesteps,)``.
    :param values: :math:`V`. Shape ``(n_timesteps,)``.
    :param lengths: Timesteps of each episode, at least 1. Shape ``(n_episodes,)``.
    :param gamma: Discount factor.
    :param gae_lambda: :math:`\lambda`, from 0 to 1.
    :return: Shape ``(n_timesteps,)``.
    """
    next_values = np.append(values[1:], 0.0)
    next_values[np.cumsum(lengths) - 1] = 0.0
    return reward_to_go(rewards + gamma * next_values - values, lengths, gamma * gae_lambda)


def normalize(advantages: np.ndarray, n_episodes: int) -> np.ndarray:
    """
    Zero mean and unit standard deviation over the timesteps, as SB3's PPO does with each
    batch. Biased: both are computed from what they are applied to. Advantages that are all
    the same become zero: there is nothing to tell them apart by. A single episode has nothing to be compared with: its
    advantages are divided by their root mean square, and their mean stays.

    :param advantages: Shape ``(n_timesteps,)``.
    :param n_episodes: How many episodes they are of.
    :return: Shape ``(n_timesteps,)``.
    """
    centred = advantages.copy() if n_episodes == 1 else advantages - advantages.mean()
    centred /= root_mean_square(centred) + 1e-8
    return centred


def root_mean_square(values: np.ndarray) -> float:
    """
    Of a large array in a single pass, where ``numpy.std`` takes four.

    :param values: Shape ``(n,)``, at least one.
    :return: Of values with a mean of 0, their standard deviation.
    """
    return float(np.sqrt(values @ values / len(values)))


def signal_to_noise(estimates: np.ndarray) -> float:
    r"""
    How much of a rollout's gradient is signal: the squared length of the expected gradient to the
    variance of its estimate, :math:`|\mathbb{E} g|^2 / \operatorname{tr} \operatorname{Var}(\bar g)`.

    Both are estimated without bias from the spread of the episodes' own gradients. At 1 the estimate is as
    much noise as signal; below 0, the noise hides whatever signal there is. Compare McCandlish et al.
    (2018), "An empirical model of large-batch training", eq. 2.8: this is the number of episodes divided by their
    simple noise scale.

    :param estimates: Each episode's estimate of the gradient, two episodes or more. Shape
        ``(n_episodes, n_parameters)``.
    :return: From -1 to infinity; 0 if all estimates are 0.
    """
    mean = estimates.mean(axis=0)
    noise = float(((estimates - mean) ** 2).sum()) / (len(estimates) * (len(estimates) - 1))
    squared_norm = float((mean**2).sum())
    if noise == 0.0:
        return np.inf if squared_norm > 0 else 0.0
    return squared_norm / noise - 1.0
