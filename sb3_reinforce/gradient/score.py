r"""
The score function of a softmax policy, in closed form.

For logits linear in the parameters, :math:`h(s, a) = \theta^\top \phi(s, a)`, the softmax policy
:math:`\pi(a|s) \propto \exp h(s, a)` has the score (or eligibility) vector

.. math:: \nabla_\theta \log \pi(a|s) = \phi(s, a) - \mathbb{E}_{b \sim \pi(\cdot|s)}[\phi(s, b)]

(Sutton and Barto, 2018, eq. 13.9 and exercise 13.3). With one block of parameters for each action,
:math:`\phi(s, a) = e_a \otimes x(s)`, this is the outer product of
:math:`e_a - \pi(\cdot|s)` and the features :math:`x(s)`.

All functions are pure, keep the type and device of their arguments, and work on batches.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch as th


def score_of_logits(probabilities: th.Tensor, actions: th.Tensor, dim: int = 1) -> th.Tensor:
    r"""
    Gradient of :math:`\log \pi(a|s)` with respect to the logits: :math:`e_a - \pi(\cdot|s)`.

    :param probabilities: :math:`\pi(\cdot|s)`. Shape ``(batch, n_actions)``, or the other way round.
    :param actions: Integers. Shape ``(batch,)``.
    :param dim: Along which dimension the actions lie.
    :return: Of the probabilities' shape.
    """
    chosen = actions.unsqueeze(dim)
    return (-probabilities).scatter_add_(dim, chosen, th.ones_like(chosen, dtype=probabilities.dtype))


def softmax_score(features: th.Tensor, probabilities: th.Tensor, actions: th.Tensor) -> th.Tensor:
    r"""
    Score vector :math:`\phi(s, a) - \mathbb{E}_\pi[\phi(s, \cdot)]` of a linear softmax policy with
    weights of shape ``(n_actions, n_features)`` and, after them, biases of shape ``(n_actions,)``.

    :param features: :math:`x(s)`. Shape ``(batch, n_features)``.
    :param probabilities: :math:`\pi(\cdot|s)`. Shape ``(batch, n_actions)``.
    :param actions: Integers. Shape ``(batch,)``.
    :return: Shape ``(batch, n_actions * n_features + n_actions)``.
    """
    return linear_score(features, score_of_logits(probabilities, actions))


def entropy_score_of_logits(log_probabilities: th.Tensor, dim: int = 1) -> th.Tensor:
    r"""
    Gradient of the entropy :math:`H(\pi(\cdot|s))` of a softmax with respect to the logits:
    :math:`-\pi_a (\log \pi_a + H)`. The entropy bonus of Williams and Peng (1991).

    :param log_probabilities: :math:`\log \pi(\cdot|s)`. Shape ``(batch, n_actions)``, or the other way round.
    :param dim: Along which dimension the actions lie.
    :return: Of the same shape.
    """
    probabilities = log_probabilities.exp()
    entropy = -(probabilities * log_probabilities).sum(dim=dim, keepdim=True)
    return -probabilities * (log_probabilities + entropy)


def linear_score(features: th.Tensor, by_outputs: th.Tensor) -> th.Tensor:
    r"""
    Chain rule through a linear layer, :math:`W x(s) + b`, for each sample on its own.

    :param features: :math:`x(s)`. Shape ``(batch, n_features)``.
    :param by_outputs: Score with respect to the layer's outputs. Shape ``(batch, n_outputs)``.
    :return: Score with respect to the weights, of shape ``(n_outputs, n_features)``, and after them the biases, of shape
        ``(n_outputs,)``. Shape ``(batch, n_outputs * n_features + n_outputs)``.
    """
    by_weights = by_outputs.unsqueeze(2) * features.unsqueeze(1)
    return th.cat([by_weights.flatten(start_dim=1), by_outputs], dim=1)


def phi_score(phi: th.Tensor, by_logits: th.Tensor) -> th.Tensor:
    r"""
    Score vector of logits :math:`\theta^\top \phi(s, a)` with features of any kind:
    :math:`\sum_b (1[a = b] - \pi(b|s)) \phi(s, b) = \phi(s, a) - \mathbb{E}_\pi[\phi(s, \cdot)]`.

    :param phi: :math:`\phi(s, \cdot)`. Shape ``(batch, n_actions, n_features)``.
    :param by_logits: Score with respect to the logits. Shape ``(batch, n_actions)``.
    :return: Shape ``(batch, n_features)``.
    """
    return th.einsum("bn,bnf->bf", by_logits, phi)


class ActionTerms(NamedTuple):
    r"""
    What a policy gradient needs to know of the actions and of the distributions that they were drawn from.

    The parameters of a distribution, such as its logits, are rows here and samples are columns: torch's
    softmax over a few numbers is ten times faster down a long column.

    :param log_prob: :math:`\log \pi(a|s)`. Shape ``(batch,)``.
    :param score: Its gradient with respect to the distribution's parameters. Shape ``(n_rows, batch)``.
    :param entropy: :math:`H(\pi(\cdot|s))`. Shape ``(batch,)``.
    """

    log_prob: th.Tensor
    score: th.Tensor
    entropy: th.Tensor


def log_softmax_of_parts(logits: th.Tensor, sizes: Sequence[int]) -> th.Tensor:
    """
    Log-probabilities of each part of an action on its own.

    :param logits: One block of rows a part. Shape ``(sum(sizes), batch)``.
    :param sizes: Number of choices of each part; a single one for a Discrete action.
    :return: Shape ``(sum(sizes), batch)``.
    """
    if len(sizes) == 1:
        return th.log_softmax(logits, dim=0)
    return th.cat([th.log_softmax(part, dim=0) for part in logits.split(list(sizes))])


def softmax_terms(logits: th.Tensor, actions: th.Tensor, sizes: Sequence[int]) -> ActionTerms:
    r"""
    A product of softmax distributions, :math:`\pi(a|s) = \prod_k \pi_k(a_k|s)`: one for a Discrete action, one for
    each part of a MultiDiscrete action. With respect to the logits of a part, the score is
    :math:`e_{a_k} - \pi_k(\cdot|s)` (Sutton and Barto, 2018, eq. 13.9).

    :param logits: One block of rows a part. Shape ``(sum(sizes), batch)``.
    :param actions: Integers. Shape ``(batch, len(sizes))``.
    :param sizes: Number of choices of each part.
    """
    if list(sizes) == [2]:
        return _two_choice_terms(logits[1] - logits[0], actions[:, 0])
    log_probabilities = log_softmax_of_parts(logits, sizes)
    probabilities = log_probabilities.exp()
    starts = th.tensor([sum(sizes[:k]) for k in range(len(sizes))], device=actions.device)
    rows = (actions + starts).T
    return ActionTerms(
        log_probabilities.gather(0, rows).sum(dim=0),
        (-probabilities).scatter_add_(0, rows, th.ones_like(rows, dtype=probabilities.dtype)),
        -(probabilities * log_probabilities).sum(dim=0),
    )


def _two_choice_terms(difference: th.Tensor, actions: th.Tensor) -> ActionTerms:
    """
    :func:`softmax_terms` of two choices, of which only the difference of the logits counts: half the work.

    :param difference: By how much the logit of action 1 is larger. Shape ``(batch,)``.
    :param actions: 0 or 1. Shape ``(batch,)``.
    """
    terms = bernoulli_terms(difference.unsqueeze(0), actions.unsqueeze(1).to(difference.dtype))
    return terms._replace(score=th.cat([-terms.score, terms.score]))


def entropy_score_of_parts(logits: th.Tensor, sizes: Sequence[int]) -> th.Tensor:
    """
    Gradient of the entropy of :func:`softmax_terms` with respect to the logits.

    :param logits: One block of rows a part. Shape ``(sum(sizes), batch)``.
    :param sizes: Number of choices of each part.
    :return: Shape ``(sum(sizes), batch)``.
    """
    parts = log_softmax_of_parts(logits, sizes).split(list(sizes))
    return th.cat([entropy_score_of_logits(part, dim=0) for part in parts])


def bernoulli_terms(logits: th.Tensor, bits: th.Tensor) -> ActionTerms:
    r"""
    Independent bits, :math:`p_k = \sigma(h_k)` the probability that bit k is 1: a MultiBinary action. The score
    with respect to the logits is :math:`a - p` (Williams, 1992, section 4, the Bernoulli-logistic unit).

    :param logits: :math:`h`. Shape ``(n_bits, batch)``.
    :param bits: Zeros and ones, of the logits' type. Shape ``(batch, n_bits)``.
    """
    p = logits.sigmoid()
    log_normalizer = th.nn.functional.softplus(logits)  # log(1 + exp(h))
    return ActionTerms(
        (bits.T * logits - log_normalizer).sum(dim=0),
        bits.T - p,
        (log_normalizer - p * logits).sum(dim=0),
    )


def entropy_score_of_bits(logits: th.Tensor) -> th.Tensor:
    r"""
    Gradient of the entropy of :func:`bernoulli_terms` with respect to the logits: :math:`-h p (1 - p)`.

    :param logits: :math:`h`. Shape ``(n_bits, batch)``.
    :return: Shape ``(n_bits, batch)``.
    """
    p = logits.sigmoid()
    return -logits * p * (1 - p)


def gaussian_terms(mean: th.Tensor, log_std: th.Tensor, actions: th.Tensor) -> ActionTerms:
    r"""
    Independent normal distributions with standard deviations that are the same in every state: a Box action.
    The score with respect to the means is :math:`(a - \mu) / \sigma^2`, and with respect to :math:`\log \sigma` it is
    :math:`(a - \mu)^2 / \sigma^2 - 1` (Williams, 1992, section 6; Sutton and Barto, 2018, exercise 13.4).

    :param mean: :math:`\mu`. Shape ``(action_dim, batch)``.
    :param log_std: :math:`\log \sigma`. Shape ``(action_dim,)``.
    :param actions: Shape ``(batch, action_dim)``.
    :return: With ``2 * action_dim`` rows: first the means, then the :math:`\log \sigma`.
    """
    inverse_std = (-log_std).exp().unsqueeze(1)
    z = (actions.T - mean) * inverse_std
    log_normalizer = log_std.sum() + len(log_std) * math.log(2 * math.pi) / 2
    return ActionTerms(
        -(z * z).sum(dim=0) / 2 - log_normalizer,
        th.cat([z * inverse_std, z * z - 1]),
        (log_normalizer + len(log_std) / 2).expand(mean.shape[1]),
    )


def entropy_score_of_gaussian(mean: th.Tensor) -> th.Tensor:
    """
    Gradient of the entropy of :func:`gaussian_terms`: 0 with respect to the means, and 1 with respect to the logarithms of the
    standard deviations.

    :param mean: Shape ``(action_dim, batch)``.
    :return: Shape ``(2 * action_dim, batch)``.
    """
    return th.cat([th.zeros_like(mean), th.ones_like(mean)])
