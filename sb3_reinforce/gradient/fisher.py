"""
The Fisher information of linear policies: the covariance of their score, with the expectation over actions taken exactly.

All functions are pure, keep the type and device of their arguments, and sum over a batch of states. Give them float64:
the matrices are nearly singular.
"""

import torch as th


def softmax_fisher(features: th.Tensor, logits: th.Tensor) -> th.Tensor:
    r"""
    Fisher information of a linear softmax policy, the covariance of its score, summed over states and with
    the expectation over actions taken exactly:
    :math:`\sum_s (\operatorname{diag} \pi(\cdot|s) - \pi(\cdot|s) \pi(\cdot|s)^\top) \otimes \tilde x(s) \tilde x(s)^\top`,
    with :math:`\tilde x = (x, 1)`. Kakade (2001), eq. 2; Peters and Schaal (2008), section 4.

    :param features: :math:`x(s)`. Shape ``(batch, n_features)``.
    :param logits: Of :math:`\pi(\cdot|s)`. Shape ``(batch, n_actions)``.
    :return: In the order of :func:`softmax_score`. Shape ``(n_parameters, n_parameters)``.
    """
    n_features, n_actions = features.shape[1], logits.shape[1]
    probabilities = th.softmax(logits, dim=1)
    # 1 - pi, added up: as a difference it would be 0, or below, for a policy that is all but deterministic
    of_others = probabilities @ (1 - th.eye(n_actions, dtype=logits.dtype, device=logits.device))
    variances = probabilities * of_others
    x = th.cat([features, th.ones_like(features[:, :1])], dim=1)
    expected = (probabilities.unsqueeze(2) * x.unsqueeze(1)).flatten(start_dim=1)
    fisher = -expected.T @ expected
    for action in range(n_actions):
        rows = slice(action * (n_features + 1), (action + 1) * (n_features + 1))
        fisher[rows, rows] = x.T @ (x * variances[:, action : action + 1])
    is_bias = th.arange(len(fisher), device=fisher.device) % (n_features + 1) == n_features
    order = th.cat([(~is_bias).nonzero().flatten(), is_bias.nonzero().flatten()])
    return fisher[order][:, order]


def bernoulli_fisher(features: th.Tensor, logits: th.Tensor) -> th.Tensor:
    r"""
    Fisher information of one linear Bernoulli-logistic unit, summed over states:
    :math:`\sum_s p(s) (1 - p(s)) \tilde x(s) \tilde x(s)^\top`, with :math:`\tilde x = (x, 1)`.

    :param features: :math:`x(s)`. Shape ``(batch, n_features)``.
    :param logits: Of :math:`p(s)`, the probability of a 1. Shape ``(batch,)``.
    :return: Weights first, then the bias. Shape ``(n_features + 1, n_features + 1)``.
    """
    x = th.cat([features, th.ones_like(features[:, :1])], dim=1)
    variances = logits.sigmoid() * (-logits).sigmoid()  # 1 - p would lose its digits where p is all but 1
    return x.T @ (x * variances.unsqueeze(1))


def phi_fisher(phi: th.Tensor, logits: th.Tensor) -> th.Tensor:
    r"""
    Fisher information of logits :math:`\theta^\top \phi(s, a)`: the covariance of :math:`\phi(s, \cdot)` under the policy,
    summed over states.

    :param phi: :math:`\phi(s, \cdot)`. Shape ``(batch, n_actions, n_features)``.
    :param logits: Of :math:`\pi(\cdot|s)`. Shape ``(batch, n_actions)``.
    :return: Shape ``(n_features, n_features)``.
    """
    probabilities = th.softmax(logits, dim=1).unsqueeze(2)
    # A covariance does not depend on the origin. With the most probable action there, what the others differ by stays exact
    # however improbable they are
    moved = phi - phi[th.arange(len(phi), device=phi.device), logits.argmax(dim=1)].unsqueeze(1)
    mean = (probabilities * moved).sum(dim=1, keepdim=True)
    deviations = (probabilities.sqrt() * (moved - mean)).flatten(end_dim=1)
    return deviations.T @ deviations


def gaussian_fisher(features: th.Tensor) -> th.Tensor:
    r"""
    Fisher information of one linear Gaussian unit with a standard deviation of 1, summed over states:
    :math:`\sum_s \tilde x(s) \tilde x(s)^\top`, with :math:`\tilde x = (x, 1)`. Peters and Schaal (2008), section 4.

    :param features: :math:`x(s)`. Shape ``(batch, n_features)``.
    :return: Weights first, then the bias. Shape ``(n_features + 1, n_features + 1)``.
    """
    x = th.cat([features, th.ones_like(features[:, :1])], dim=1)
    return x.T @ x
