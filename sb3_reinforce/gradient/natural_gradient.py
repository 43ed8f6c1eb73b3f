"""The natural gradient: as far uphill as a given change of the policy's actions leads."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch as th

from sb3_reinforce.gradient.fisher_blocks import FisherBlock, product, solve

CAUTIOUS_DAMPING = 1.0
"""Of averaged steps, relative to the mean of the Fisher matrix's diagonal."""


def lengthening(n_timesteps: int) -> float:
    r"""
    How much longer than the learning rate says a bold step is that comes from many timesteps,
    :math:`l = \max(1, \sqrt{n / 1000})`.

    A natural step of learning rate 1 is a regression of the advantages on the scores. Its noise has the covariance
    :math:`F^{-1} / n` for n timesteps. So a step that is :math:`\sqrt n` times as long has as much noise as before, and long
    rollouts, of which there are few, lead further.

    :param n_timesteps: n, of this rollout.
    :return: A factor of the learning rate.
    """
    return max(1.0, math.sqrt(n_timesteps / 1_000))


def forgetting(n_steps: int, n_timesteps: int) -> float:
    r"""
    Which share of the bold steps so far the next one takes back, :math:`\tau_k = \min(1/2, 256 / n, 8 / (k + 1))`.

    Their noise is largest in the first steps, which come from short episodes, and along parameters that these say nothing of,
    and that decide later, longer ones. Would nothing draw it back, the policy would be nearly deterministic, and wrong, before
    the data could tell. As the noise does, :math:`\tau_k` falls with the number of timesteps, as if 256 timesteps that say
    nothing had been added to each rollout. It falls as 1 / k, too, so that what is left is an average of all steps:
    polynomial-decay averaging (Shamir and Zhang, 2013, section 4).

    :param n_steps: k, steps taken before.
    :param n_timesteps: n, of this rollout.
    :return: :math:`\tau_k`.
    """
    return min(0.5, 256.0 / n_timesteps, 8.0 / (n_steps + 1))


def averaged_rate(n_timesteps: int, n_before: int) -> float:
    r"""
    How much longer than the learning rate says an averaged step is, :math:`\frac{n}{200} \frac{N}{N + 2000}`.

    In one regression for all rollouts each timestep counts the same. While there were few, its result is mostly noise: it is
    shrunk as if 2,000 timesteps that say nothing had been added.

    :param n_timesteps: n, of this rollout.
    :param n_before: Of all rollouts before. N is the sum of both.
    :return: A factor of the learning rate.
    """
    n_all = n_before + n_timesteps
    return n_timesteps / 200 * n_all / (n_all + 2_000)


class Fishers(NamedTuple):
    """
    What an averaged step goes by.

    :param before: The mean Fisher matrix of all rollouts before.
    :param after: The same with this rollout.
    :param now: That of this rollout.
    """

    before: Sequence[FisherBlock]
    after: Sequence[FisherBlock]
    now: Sequence[FisherBlock]


def natural_step(gradient: th.Tensor, direction: th.Tensor, learning_rate: float, target_kl: float) -> th.Tensor:
    r"""
    The step :math:`\alpha (F + \lambda I)^{-1} g`, as long as the learning rate says, but no longer than
    where, to second order, the policy has changed by a Kullback-Leibler divergence of ``target_kl``:

    .. math:: \alpha = \min\left(\eta, \sqrt{2 \delta / g^\top (F + \lambda I)^{-1} g}\right)

    Direction: Kakade (2001), "A natural policy gradient", eq. 2. Trust region: Schulman et al. (2015), "Trust region
    policy optimization", appendix C. They always go to its border; but what noise there is in :math:`g` is then
    as good as signal, and a few short episodes can lead a policy so far astray that it never comes back.

    The damping :math:`\lambda` is relative to the mean of the Fisher matrix's diagonal. It is needed because the Fisher matrix
    of a softmax policy is singular: to raise all logits together changes nothing.

    :param gradient: :math:`g`, of the objective for each timestep. Shape ``(n_parameters,)``.
    :param direction: :math:`(F + \lambda I)^{-1} g`, with F the mean over the timesteps. Shape ``(n_parameters,)``.
    :param learning_rate: :math:`\eta`.
    :param target_kl: :math:`\delta`, in nats, the mean over the timesteps.
    :return: What to add to the parameters. Shape ``(n_parameters,)``.
    :raises FloatingPointError: If the step would not be finite.
    """
    return _finite(direction * th.sqrt(2 * target_kl / gradient.dot(direction)).clamp(max=learning_rate))


def averaged_step(
    gradient: th.Tensor,
    parameters: th.Tensor,
    fishers: Fishers,
    learning_rate: float,
    damping: float,
    target_kl: float,
    pace: float = 1.0,
) -> th.Tensor:
    r"""
    A natural step by which the noise of early rollouts is outweighed by later ones.

    A natural step is a regression of the advantages on the scores (Peters and Schaal, 2008, section 3.2), and a softmax
    policy's parameters are the sum of these regressions (as in Politex: Abbasi-Yadkori et al., 2019). Here all rollouts are
    one regression, in which each timestep counts the same. With :math:`A_k = M_k + \lambda I`, where
    :math:`M_k` is the mean Fisher matrix over all timesteps up to the k-th rollout, what is summed up is
    :math:`A \theta` (dual averaging: Nesterov, 2009; Xiao, 2010):

    .. math:: A_{k+1} \theta_{k+1} = A_k \theta_k + \eta g

    If the Fisher matrix were always the same, this would be the natural gradient's step. Where it becomes larger, because
    the episodes go where they have not been, what was believed of it before is worth less.

    The step is shortened so that, to second order, the policy changes by a Kullback-Leibler divergence of at most
    ``target_kl``.

    :param gradient: :math:`g`, of the objective for each timestep of the rollout. Shape ``(n_parameters,)``.
    :param parameters: :math:`\theta_k`. Shape ``(n_parameters,)``.
    :param fishers: :math:`M_k`, :math:`M_{k+1}`, and that of this rollout.
    :param learning_rate: :math:`\eta`.
    :param damping: :math:`\lambda`, relative to the mean of the matrices' diagonals.
    :param target_kl: In nats, the mean over the timesteps.
    :param pace: Which share of what :math:`A_{k+1} - A_k` takes from the parameters is taken.
    :return: What to add to the parameters. Shape ``(n_parameters,)``.
    :raises FloatingPointError: If the step would not be finite.
    """
    discounted = product(fishers.after, parameters, damping) - product(fishers.before, parameters, damping)
    return shortened(solve(fishers.after, learning_rate * gradient - pace * discounted, damping), fishers.now, target_kl)


def shortened(step: th.Tensor, fisher: Sequence[FisherBlock], target_kl: float) -> th.Tensor:
    """
    :param step: Any. Shape ``(n_parameters,)``.
    :param fisher: The Fisher matrix of the rollout.
    :param target_kl: In nats, the mean over the rollout's timesteps.
    :return: As much of the step as changes the policy, to second order, by no more than that. Of the same shape.
    :raises FloatingPointError: If the step is not finite.
    """
    divergence = 0.5 * step.dot(product(fisher, step))
    return _finite(step * th.sqrt(target_kl / divergence.clamp(min=th.finfo(step.dtype).tiny)).clamp(max=1.0))


def _finite(step: th.Tensor) -> th.Tensor:
    if step.isfinite().all():
        return step
    raise FloatingPointError(
        "The natural gradient's step would not be finite, so none was taken. The policy may have become deterministic, so "
        "that its Fisher matrix vanishes, or the rewards may be too large. Raise damping, lower target_kl, add an entropy "
        "bonus (ent_coef), or scale the rewards (VecNormalize)."
    )
