"""Parameters that are given as a dictionary or a file: all of them are taken over, or none."""

import copy
import io
from collections.abc import Callable
from typing import Any

import pytest
import torch as th

from sb3_reinforce import REINFORCE
from tests.common.forged import members_of, saved, tensors, zipped


def trained(seed: int, **policy_kwargs: Any) -> Any:
    return REINFORCE("MlpPolicy", "CartPole-v1", seed=seed, n_episodes=2, policy_kwargs=policy_kwargs).learn(100)


OPTIMIZER = "policy.optimizer"
Change = Callable[[dict[str, Any]], Any]


def put(*keys: Any) -> Change:
    """Puts the last of the keys where the others lead to."""

    def change(state: Any) -> None:
        *path, last, value = keys
        for key in path:
            state = state[key]
        state[last] = value

    return change


WRONG: dict[str, tuple[str, Change]] = {
    "a number for a tensor": ("policy", put("action_net.bias", 3)),
    "nothing for a tensor": ("policy", put("action_net.bias", None)),
    "another shape": ("policy", put("action_net.bias", th.zeros(3))),
    "one more": ("policy", put("more", th.zeros(3))),
    "one more that has no name": ("policy", put(3, th.zeros(3))),
    "one less": ("policy", lambda state: state.pop("action_net.bias")),
    "no groups": (OPTIMIZER, put("param_groups", [])),
    "groups that are none": (OPTIMIZER, put("param_groups", [3])),
    "no group": (OPTIMIZER, lambda state: state.pop("param_groups")),
    "no state": (OPTIMIZER, put("state", 3)),
    "too few parameters": (OPTIMIZER, put("param_groups", 0, "params", [0])),
    "a learning rate in words": (OPTIMIZER, put("param_groups", 0, "lr", "fast")),
    "a state of another shape": (OPTIMIZER, put("state", 0, "exp_avg", th.zeros(7))),
    "half a state": (OPTIMIZER, lambda state: state["state"][0].pop("step")),
}


@pytest.mark.parametrize("what", WRONG)
@pytest.mark.parametrize("from_file", [True, False])
def test_what_does_not_fit_changes_nothing(what: str, from_file: bool) -> None:
    model, theirs = trained(0), trained(1)
    name, change = WRONG[what]
    given = copy.deepcopy(theirs.get_parameters())
    change(given[name])
    before = copy.deepcopy(model.get_parameters())
    source: Any = given
    if from_file:
        source = io.BytesIO(zipped({**members_of(saved(theirs)), f"{name}.pth": tensors(given[name])}))
    with pytest.raises(ValueError, match=r"The (parameters|state)"):
        model.set_parameters(source)
    th.testing.assert_close(model.get_parameters(), before, rtol=0, atol=0)
    model.learn(50)


@pytest.mark.parametrize("name", ["policy", OPTIMIZER])
@pytest.mark.parametrize("state", [None, [], 3, {}])
def test_what_is_no_state(name: str, state: Any) -> None:
    model = trained(0)
    with pytest.raises(ValueError, match=r"The (parameters|state)"):
        model.set_parameters({**trained(1).get_parameters(), name: state})


@pytest.mark.parametrize("optimizer", [th.optim.SGD, th.optim.Adafactor, th.optim.AdamW, th.optim.RMSprop])
def test_every_optimizer_is_taken_over(optimizer: Any) -> None:
    kwargs = {} if optimizer is not th.optim.SGD else {"optimizer_kwargs": {"momentum": 0.9}}
    model, theirs = (trained(seed, optimizer_class=optimizer, **kwargs) for seed in (0, 1))
    model.set_parameters(io.BytesIO(saved(theirs)))
    th.testing.assert_close(model.get_parameters(), theirs.get_parameters(), rtol=0, atol=0)
    model.learn(50)
