import numpy as np
import pytest
import torch as th

from sb3_reinforce.gradient.clipping import clip_gradient


def test_clip_gradient_gives_the_norm_before() -> None:
    parameter = th.nn.Parameter(th.zeros(2))
    parameter.grad = th.tensor([3.0, 4.0])
    assert clip_gradient([parameter], None) == 5.0
    assert clip_gradient([parameter], 1.0) == 5.0
    assert float(parameter.grad.norm()) == pytest.approx(1.0, rel=1e-4)
    parameter.grad = th.tensor([np.nan, 0.0])
    with pytest.raises(FloatingPointError):
        clip_gradient([parameter], 1.0)
