"""Random linear softmax policies, and what they have chosen."""

import torch as th
from hypothesis import strategies as st

sizes = st.tuples(st.integers(1, 6), st.integers(1, 5), st.integers(1, 7))
seeds = st.integers(0, 2**31)


def draw(batch: int, n_actions: int, n_features: int, seed: int) -> tuple[th.Tensor, th.Tensor, th.Tensor, th.Tensor]:
    generator = th.Generator().manual_seed(seed)
    features = th.randn(batch, n_features, dtype=th.float64, generator=generator)
    weight = th.randn(n_actions, n_features, dtype=th.float64, generator=generator)
    bias = th.randn(n_actions, dtype=th.float64, generator=generator)
    actions = th.randint(n_actions, (batch,), generator=generator)
    return features, weight, bias, actions


def log_prob(features: th.Tensor, weight: th.Tensor, bias: th.Tensor, actions: th.Tensor) -> th.Tensor:
    return th.log_softmax(features @ weight.T + bias, dim=1)[th.arange(len(actions)), actions]


def probabilities(features: th.Tensor, weight: th.Tensor, bias: th.Tensor) -> th.Tensor:
    return th.softmax(features @ weight.T + bias, dim=1)
