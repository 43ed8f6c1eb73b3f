"""Updates that are taken whole or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch as th
from torch import nn
from torch.nn.utils import parameters_to_vector

_ADVICE = "Lower learning_rate, scale the rewards and observations (VecNormalize), or set max_grad_norm."


@contextmanager
def undone_if_it_fails(policy: Any) -> Iterator[None]:
    """
    Within, the parameters of a policy are changed. They are as before if something fails in it, or if what comes out could
    not act.

    :param policy: Any actor-critic policy.
    :raises FloatingPointError: If a parameter is not finite afterwards, or a Gaussian's standard deviation is 0 or infinite.
    """
    parameters = [parameter for parameter in policy.parameters() if parameter.requires_grad]
    before = _values(parameters)
    try:
        yield
        problem = _problem_of(policy, parameters)
        if problem:
            raise FloatingPointError(f"The step would {problem}, so it was not taken. {_ADVICE}")
    except BaseException as error:
        _put_back(parameters, before)
        if isinstance(error, RuntimeError) and "overflow" in str(error):  # of Adam's own arithmetic
            raise FloatingPointError(
                f"The step is too large to be computed ({error}), so it was not taken. {_ADVICE}"
            ) from error
        raise


@th.no_grad()
def _values(parameters: list[nn.Parameter]) -> th.Tensor:
    """A copy of all of them."""
    return parameters_to_vector(parameters) if parameters else th.empty(0)


@th.no_grad()
def _put_back(parameters: list[nn.Parameter], values: th.Tensor) -> None:
    for parameter, value in zip(parameters, values.split([p.numel() for p in parameters]), strict=True):
        parameter.copy_(value.view_as(parameter))


@th.no_grad()
def _problem_of(policy: Any, parameters: list[nn.Parameter]) -> str:
    """What would be wrong; an empty text if nothing is."""
    if not th.isfinite(_values(parameters)).all():
        return "make parameters of the policy infinite or NaN"
    log_std = getattr(policy, "log_std", None)
    if isinstance(log_std, th.Tensor):
        std = log_std.exp()
        if not (th.isfinite(std) & (std > 0)).all():
            return f"make the standard deviations of actions {std.flatten().tolist()}"
    return ""
