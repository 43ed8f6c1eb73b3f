"""The network between observation and action, where all of it is known exactly."""

from typing import Any, NamedTuple

from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn

from sb3_reinforce.common.known import acts_as_known, is_known
from sb3_reinforce.features.phi import PhiExtractor, PhiNet


class KnownNetwork(NamedTuple):
    """
    :param extractor: From the observation, as SB3 prepares it, to features. Known or not: it is called as it is.
    :param hidden: Linear layers and activations.
    :param action_net: From there to logits, or to the means of Box actions.
    """

    extractor: BaseFeaturesExtractor
    hidden: list[nn.Module]
    action_net: nn.Linear


def known_network(policy: Any) -> KnownNetwork | None:
    """
    :param policy: Any policy, also one that is compiled or wrapped.
    :return: Its network; None if something after the features is not known exactly (see :mod:`sb3_reinforce.common.known`).
    """
    if not acts_as_known(policy):
        return None
    assert isinstance(policy, ActorCriticPolicy)
    extractor = policy.mlp_extractor
    layers = extractor.policy_net
    if not is_known(extractor) or not is_known(layers) or not isinstance(layers, nn.Sequential):
        return None
    modules = [*layers, policy.action_net]
    if not all(is_known(module) and _has_plain_parameters(module) for module in modules):
        return None
    if isinstance(policy.action_net, PhiNet) != isinstance(policy.pi_features_extractor, PhiExtractor):
        return None
    if not isinstance(policy.action_net, nn.Linear) or type(getattr(policy, "log_std", _PLAIN)) is not nn.Parameter:
        return None
    return KnownNetwork(policy.pi_features_extractor, modules[:-1], policy.action_net)


_PLAIN = nn.Parameter()


def _has_plain_parameters(module: nn.Module) -> bool:
    """Whether what it multiplies by are parameters of torch, and not what something else makes of them."""
    if not isinstance(module, nn.Linear):
        return True
    bias = _PLAIN if isinstance(module, PhiNet) else module.bias
    return type(module.weight) is nn.Parameter and type(bias) is nn.Parameter
