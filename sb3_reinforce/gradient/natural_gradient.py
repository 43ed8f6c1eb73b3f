"""The natural gradient: as far uphill as a given change of the policy's actions leads."""

import math

import torch as th


def lengthening(n_timesteps: int) -> float:
    r"""
    How much longer than the learning rate says a step is that comes from many timesteps,
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
    The entropy coefficient that keeps the noise of natural steps from adding up,
    :math:`\tau_k = \min(1/2, 256 / n, 8 / (k + 1)) / l`, for advantages with a standard deviation of 1 and steps that are
    :math:`l` times as long: see :func:`lengthening`.

    Noise is largest in the first steps, which come from short episodes, and along parameters that these say nothing of, and
    that decide later, longer ones. Nothing draws it back, so it adds up. The policy is then nearly deterministic, and wrong,
    before the data could tell. An entropy bonus draws it back: with softmax logits linear in the parameters, the gradient of
    the entropy is :math:`-F \theta`, so that the natural step becomes
    :math:`\theta \leftarrow (1 - l \tau) \theta + l F^{-1} g` (Cen et al., 2021, "Fast global convergence of natural policy
    gradient methods with entropy regularization"). As the noise does, the bonus falls with the number of timesteps, as if 256
    timesteps that say nothing had been added to each rollout. It falls as 1 / k, too, so that the parameters become an average
    of all steps: polynomial-decay averaging (Shamir and Zhang, 2013, section 4).

    :param n_steps: k, steps taken before.
    :param n_timesteps: n, of this rollout.
    :return: :math:`\tau_k`.
    """
    return min(0.5, 256.0 / n_timesteps, 8.0 / (n_steps + 1)) / lengthening(n_timesteps)


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
    step = direction * th.sqrt(2 * target_kl / gradient.dot(direction)).clamp(max=learning_rate)
    if step.isfinite().all():
        return step
    raise FloatingPointError(
        "The natural gradient's step would not be finite, so none was taken. The policy may have become deterministic, so "
        "that its Fisher matrix vanishes, or the rewards may be too large. Raise damping, lower target_kl, add an entropy "
        "bonus (ent_coef), or scale the rewards (VecNormalize)."
    )
