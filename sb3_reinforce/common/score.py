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

import torch as th


def score_of_logits(probabilities: th.Tensor, actions: th.Tensor, dim: int = 1) -> th.Tensor:
    r"""
    Gradient of :math:`\log \pi(a|s)` by the logits: :math:`e_a - \pi(\cdot|s)`.

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
    by_logits = score_of_logits(probabilities, actions)
    by_weights = by_logits.unsqueeze(2) * features.unsqueeze(1)
    return th.cat([by_weights.flatten(start_dim=1), by_logits], dim=1)


def mixture_log_prob(log_prob: th.Tensor, log_uniform: th.Tensor | float, epsilon: th.Tensor) -> th.Tensor:
    r"""
    Log-probability of the behaviour that explores by epsilon,
    :math:`\beta(a|s) = (1 - \epsilon) \pi(a|s) + \epsilon u(a)`.

    :param log_prob: :math:`\log \pi(a|s)`. Shape ``(batch,)``.
    :param log_uniform: :math:`\log u(a)`, the uniform distribution. A number, or shape ``(batch,)``.
    :param epsilon: Between 0 and 1. Shape ``(batch,)``.
    :return: :math:`\log \beta(a|s)`. Shape ``(batch,)``.
    """
    return th.logaddexp(th.log1p(-epsilon) + log_prob, th.log(epsilon) + log_uniform)


def mixture_factor(log_prob: th.Tensor, log_uniform: th.Tensor | float, epsilon: th.Tensor) -> th.Tensor:
    r"""
    What the score of :math:`\pi` is multiplied by to make it that of the mixture :math:`\beta`:
    :math:`\nabla \log \beta = \frac{(1 - \epsilon) \pi(a|s)}{\beta(a|s)} \nabla \log \pi`.

    :param log_prob: :math:`\log \pi(a|s)`. Shape ``(batch,)``.
    :param log_uniform: :math:`\log u(a)`. A number, or shape ``(batch,)``.
    :param epsilon: Between 0 and 1. Shape ``(batch,)``.
    :return: Between 0 and 1. Shape ``(batch,)``.
    """
    return th.exp(th.log1p(-epsilon) + log_prob - mixture_log_prob(log_prob, log_uniform, epsilon))
