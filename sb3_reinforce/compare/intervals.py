"""
Estimates and their intervals.

The methods are those of Agarwal et al. (2021), "Deep reinforcement learning at the edge of the
statistical precipice". Their library, rliable, gives the same numbers (the tests compare the two), but
works through one resample after the other; here all are in one array, which is many times faster.
What is resampled is seeds: the intervals say what another set of seeds could have given, on the same
environments.

Scores of an algorithm are an array of shape ``(n_seeds, n_envs, n_steps)`` throughout, the last
step the final score. ``n_envs`` is 1 within an environment, and ``n_seeds`` may differ between
algorithms. Each function takes many such arrays at once as well, along axes in front (``...``).
"""

from collections.abc import Callable, Iterator

import numpy as np

from sb3_reinforce.common.extras import needs

with needs("compare", "Comparing algorithms"):
    from scipy.stats import rankdata

CONFIDENCE = 0.95
N_RESAMPLES = 2000
BOOTSTRAP_SEED = 0
# So many numbers of resamples are in memory at a time
_MAX_NUMBERS = 2_000_000

Estimate = tuple[np.ndarray, np.ndarray, np.ndarray]


def interquartile_mean(scores: np.ndarray) -> np.ndarray:
    """
    The mean of the middle half of all runs, over seeds and environments: a quarter of the runs, rounded
    down, is dropped at each end. With fewer than four it is the mean. As robust to a lucky or a broken run as
    the median, and it needs fewer seeds. Agarwal et al. (2021), section 4.3.

    :param scores: Shape ``(..., n_seeds, n_envs, n_steps)``.
    :return: Shape ``(..., n_steps)``.
    """
    *many, n_seeds, n_envs, n_steps = scores.shape
    ranked = np.sort(scores.reshape(*many, n_seeds * n_envs, n_steps), axis=-2)
    n_cut = n_seeds * n_envs // 4
    return ranked[..., n_cut : n_seeds * n_envs - n_cut, :].mean(axis=-2)


def probability_of_improvement(scores: np.ndarray, others: np.ndarray) -> np.ndarray:
    """
    How probable it is that a run of one algorithm scores higher than a run of the other, a tie counting
    half, averaged over the environments. Agarwal et al. (2021), section 4.4; the Mann-Whitney U statistic
    as a share of all pairs, from the ranks of all runs.

    :param scores: Final scores. Shape ``(..., n_seeds, n_envs)``.
    :param others: Final scores of the other algorithm. Shape ``(..., n_other_seeds, n_envs)``.
    :return: Shape ``(..., 1)``, from 0 to 1.
    """
    n_seeds, n_others = scores.shape[-2], others.shape[-2]
    ranks = rankdata(np.concatenate([scores, others], axis=-2), axis=-2)  # those of a tie are averaged
    n_won = ranks[..., :n_seeds, :].mean(axis=-2) - (n_seeds + 1) / 2  # what is left without one's own
    return n_won.mean(axis=-1)[..., None] / n_others


def share_at_or_above(scores: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """
    The performance profile: the share of runs that score at least so much. Agarwal et al. (2021),
    section 4.2, have "more than"; "at least" counts a run that just meets a threshold as one that does.

    :param scores: Final scores. Shape ``(..., n_seeds, n_envs)``.
    :param levels: Shape ``(n_levels,)``.
    :return: Shape ``(..., n_levels)``.
    """
    return (scores[..., None] >= levels).mean(axis=(-3, -2))


def median_time(times: np.ndarray) -> np.ndarray:
    """
    The median of times of which some are known only to be longer than the run. It is infinite unless more
    than half of the runs have a finite time, since a half that never arrives has no middle.

    :param times: Shape ``(..., n_seeds, 1)``, infinite where the threshold was not reached.
    :return: Shape ``(..., 1)``.
    """
    return np.median(times, axis=-2)


def bootstrap(function: Callable[..., np.ndarray], *samples: np.ndarray) -> Estimate:
    """
    Percentile interval of a stratified bootstrap: each sample's seeds are drawn with replacement, within each environment
    on its own. The seed is fixed, so the interval is the same every time.

    :param function: From arrays like ``samples``, with many of them along a first axis, to shape ``(..., n)``.
    :param samples: Each of shape ``(n_seeds, n_envs, ...)``; infinity is allowed.
    :return: The estimate, the lower and the upper end of its interval, each of shape ``(n,)``. Ends are NaN
        where a sample has only one seed: nothing is known then of how seeds differ.
    """
    estimate = function(*samples)
    if min(map(len, samples)) < 2:
        return estimate, np.full_like(estimate, np.nan), np.full_like(estimate, np.nan)
    # Percentiles lie between two resamples, and between a number and infinity there is nothing but NaN
    huge = np.finfo(np.float64).max / 4
    finite = [np.minimum(sample, huge) for sample in samples]
    outcomes = np.concatenate([function(*resamples) for resamples in _resamples(finite, estimate.size)])
    tails = (1 - CONFIDENCE) / 2
    ends = np.quantile(outcomes, [tails, 1 - tails], axis=0)
    low, high = np.where(ends > 1e-6 * huge, np.inf, ends)
    return estimate, low, high


def _resamples(samples: list[np.ndarray], n_outcomes: int) -> Iterator[list[np.ndarray]]:
    """All resamples of each sample, as many at a time as memory should hold."""
    rng = np.random.default_rng(BOOTSTRAP_SEED)
    drawn = [rng.integers(len(sample), size=(N_RESAMPLES, *sample.shape[:2])) for sample in samples]
    n_at_a_time = max(1, _MAX_NUMBERS // (n_outcomes * sum(sample.size for sample in samples)))
    for start in range(0, N_RESAMPLES, n_at_a_time):
        rows = slice(start, start + n_at_a_time)
        yield [sample[seeds[rows], np.arange(sample.shape[1])] for sample, seeds in zip(samples, drawn, strict=True)]
