"""The linear layers that are searched, and what of them is drawn."""

from typing import Any, NamedTuple

import numpy as np
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from torch import nn

from sb3_reinforce.common.known import has_hooks, is_known, overrides
from sb3_reinforce.policies import DENSE_POLICIES
from sb3_reinforce.rollouts.acting import DenseLayer, dense_layers
from sb3_reinforce.rollouts.known_network import known_network

_METHODS_OF_ACTING = (
    "forward",
    "evaluate_actions",
    "get_distribution",
    "extract_features",
    "_get_action_dist_from_latent",
    "predict",
    "_predict",
    "obs_to_tensor",
)


class SearchedLayer(NamedTuple):
    """
    A linear layer of the policy. What has ``requires_grad=False`` is frozen: it stays as it is, and is played as it is.

    :param own: Arrays that share the policy's memory: to write to them is to change the policy.
    :param is_drawn: Whether candidates have weights of their own, else they have the policy's.
    :param has_bias: Whether they have the policy's bias, because it is frozen, else none.
    """

    own: DenseLayer
    is_drawn: bool
    has_bias: bool

    def of_candidates(self, n_candidates: int) -> DenseLayer:
        """
        :param n_candidates: How many play at a time.
        :return: The layer of all of them. Its weights are still to be drawn, if they are. Shape of the weights
            ``(n_candidates, n_in, n_out)``; of frozen ones, ``(n_in, n_out)``.
        """
        weight, bias, _ = self.own
        return self.own._replace(
            weight=np.empty((n_candidates, *weight.shape), weight.dtype) if self.is_drawn else weight,
            bias=bias if self.has_bias else np.zeros(1, weight.dtype),
        )

    def take(self, candidate: DenseLayer) -> None:
        """
        Make the candidate's weights the policy's.

        :param candidate: The layer of one candidate.
        """
        if self.is_drawn:
            self.own.weight[:] = candidate.weight
        if not self.has_bias:
            self.own.bias[:] = 0.0


def searched_layers(policy: Any) -> list[SearchedLayer]:
    """
    :param policy: Any policy.
    :return: Its layers from features to action logits (for Box actions, means).
    :raises ValueError: If something between observation and action is not known exactly (see
        :mod:`sb3_reinforce.common.known`): what would be played is then not what the policy does.
    """
    network, layers = known_network(policy), dense_layers(policy)
    if network is None or layers is None:
        raise ValueError(
            "RandomWeightSearch draws the weights of linear layers and plays them without torch, so it must know all that the "
            f"policy does between observation and action. It does not know {_name_of(policy)}: {_unknown_part(policy)}. Use "
            f"one of {', '.join(DENSE_POLICIES)} as they are, with Tanh or ReLU as activation_fn, or REINFORCE, which acts by "
            "the policy itself."
        )
    modules = [module for module in (*network.hidden, network.action_net) if isinstance(module, nn.Linear)]
    return [
        SearchedLayer(layer, module.weight.requires_grad, module.bias is not None and not module.bias.requires_grad)
        for module, layer in zip(modules, layers, strict=True)
    ]


def check_policy(policy: Any) -> None:
    """
    :param policy: Any policy.
    :raises ValueError: If it can't be searched: not all of it is known, or there is nothing to draw.
    """
    if not any(layer.is_drawn for layer in searched_layers(policy)):
        raise ValueError(
            f"All weights between features and actions of {_name_of(policy)} have requires_grad=False, so there is nothing to "
            "search. Leave one layer at least to be drawn: policy.action_net.requires_grad_(True)."
        )


def _name_of(policy: Any) -> str:
    return type(getattr(policy, "_orig_mod", policy)).__name__


def _unknown_part(policy: Any) -> str:
    """What an error says of it."""
    kind = type(policy).__name__
    if not isinstance(policy, BasePolicy):
        return f"it is compiled or wrapped ({kind}). Search first, and compile or wrap the policy that was found"
    if not isinstance(policy, ActorCriticPolicy):
        return f"a {kind} is no ActorCriticPolicy"
    if policy.device.type != "cpu":
        return f"it is on the device '{policy.device}', not on the CPU"
    overridden = [method for method in _METHODS_OF_ACTING if overrides(policy, method)]
    if overridden:
        return f"it overrides {', '.join(overridden)}"
    modules = {name: module for name, module in policy.named_modules() if _acts(name)}
    hooked = [name for name, module in {"the policy": policy, **modules}.items() if has_hooks(module)]
    if hooked:
        return f"{hooked[0]} has hooks"
    for name, part in {**modules, "action_dist": policy.action_dist}.items():
        if not is_known(part):
            return f"its {name} ({type(part).__name__}) is of another class than it knows, or was changed"
    return "a part of it is not as SB3 makes it"


def _acts(name: str) -> bool:
    """Whether a module of that name stands between features and action."""
    return name in ("mlp_extractor", "action_net") or name.startswith("mlp_extractor.policy_net")
