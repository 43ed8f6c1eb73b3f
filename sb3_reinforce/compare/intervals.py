"""
Estimates and their intervals.

The methods are those of Agarwal et al. (2021), "Deep reinforcement learning at the edge of the
statistical precipice", and the bootstrap is their library, rliable. What is resampled is seeds:
the intervals say what another set of seeds could have given, on the same environments.

Scores of an algorithm are an array of shape ``(n_seeds, n_envs, n_steps)`` throughout, the last
step the final score. ``n_envs`` is 1 within an environment, and ``n_seeds`` may differ between
algorithms.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

try:
    from rliable.library import get_interval_estimates
except ImportError as error:
    raise ImportError('Comparing algorithms needs rliable. Install it with: pip install "sb3-reinforce[compare]"') from error

CONFIDENCE = 0.95
N_RESAMPLES = 2000
BOOTSTRAP_SEED = 0

Estimate = tuple[np.ndarray, np.ndarray, np.ndarray]


def interquartile_mean(scores: np.ndarray) -> np.ndarray:
    """
    The mean of the middle half of all runs, over seeds and environments: a quarter of the runs, rounded
    down, is dropped at each end. With fewer than four it is the mean. As robust to a lucky or a broken run as
    the median, and it needs fewer seeds. Agarwal et al. (2021), section 4.3.

    rliable's ``aggregate_iqm`` for all steps at once, which a bootstrap can wait for.

    :param scores: Shape ``(n_seeds, n_envs, n_steps)``.
    :return: Shape ``(n_steps,)``.
    """
    ranked = np.sort(scores.reshape(-1, scores.shape[-1]), axis=0)
    n_cut = len(ranked) // 4
    return ranked[n_cut : len(ranked) - n_cut].mean(axis=0)


def probability_of_improvement(scores: np.ndarray, others: np.ndarray) -> np.ndarray:
    """
    How probable it is that a run of one algorithm scores higher than a run of the other, a tie counting
    half, averaged over the environments. Agarwal et al. (2021), section 4.4; the Mann-Whitney U statistic
    as a share of all pairs.

    rliable's ``probability_of_improvement`` without the p-value that takes nearly all of its time.

    :param scores: Final scores. Shape ``(n_seeds, n_envs)``.
    :param others: Final scores of the other algorithm. Shape ``(n_other_seeds, n_envs)``.
    :return: Shape ``(1,)``, from 0 to 1.
    """
    difference = scores[:, None] - others[None]
    return np.array([(np.sign(difference).mean() + 1) / 2])


def share_at_or_above(scores: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """
    The performance profile: the share of runs that score at least so much. Agarwal et al. (2021),
    section 4.2, have "more than"; "at least" counts a run that just meets a threshold as one that does.

    :param scores: Final scores. Shape ``(n_seeds, n_envs)``.
    :param levels: Shape ``(n_levels,)``.
    :return: Shape ``(n_levels,)``.
    """
    return (scores[..., None] >= levels).mean(axis=(0, 1))


def median_time(times: np.ndarray) -> np.ndarray:
    """
    The median of times of which some are known only to be longer than the run. It is infinite unless more
    than half of the runs have a finite time, since a half that never arrives has no middle.

    :param times: Shape ``(n_seeds, 1)``, infinite where the threshold was not reached.
    :return: Shape ``(1,)``.
    """
    return np.median(times, axis=0)


def bootstrap(function: Callable[..., np.ndarray], *samples: np.ndarray) -> Estimate:
    """
    Percentile interval of rliable's stratified bootstrap: each sample's seeds are drawn with replacement,
    within each environment on its own. The seed is fixed, so the interval is the same every time.

    :param function: From arrays like ``samples`` to shape ``(n,)``.
    :param samples: Each of shape ``(n_seeds, n_envs, ...)``; infinity is allowed.
    :return: The estimate, the lower and the upper end of its interval, each of shape ``(n,)``. Ends are NaN
        where a sample has only one seed: nothing is known then of how seeds differ.
    """
    estimate = function(*samples)
    if min(map(len, samples)) < 2:
        return estimate, np.full_like(estimate, np.nan), np.full_like(estimate, np.nan)
    # Percentiles lie between two resamples, and between a number and infinity there is nothing but NaN
    huge = np.finfo(np.float64).max / 4
    with _numpy_seeded(BOOTSTRAP_SEED):
        _, intervals = get_interval_estimates(
            {"": [np.minimum(sample, huge) for sample in samples]},
            function,
            reps=N_RESAMPLES,
            confidence_interval_size=CONFIDENCE,
        )
    low, high = np.where(intervals[""] > 1e-6 * huge, np.inf, intervals[""])
    return estimate, low, high


@contextmanager
def _numpy_seeded(seed: int) -> Iterator[None]:
    """rliable draws from NumPy's global generator, whatever ``random_state`` it is given."""
    state = np.random.get_state()
    np.random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(state)
