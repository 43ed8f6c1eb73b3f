"""
Acting, by torch or without it.

The step loop is where training time goes, and a small network is faster in NumPy than through
torch's dispatcher. The arrays here are views of the policy's parameters: what the optimizer
writes is what the next rollout acts with, and nothing is copied.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.torch_layers import FlattenExtractor
from stable_baselines3.common.utils import obs_as_tensor
from torch import nn

from sb3_reinforce.common.known import all_is_known
from sb3_reinforce.common.masking import mask_logits
from sb3_reinforce.common.observations import Observations, named_parts
from sb3_reinforce.features.fixed_features import FixedFeatures
from sb3_reinforce.features.phi import PhiExtractor, PhiNet, read_only
from sb3_reinforce.rollouts.doors import Door
from sb3_reinforce.rollouts.known_network import KnownNetwork, known_network

_LARGEST_TABLE = 256
"""Of a Discrete observation's one-hot vectors: to look up rows of a table is several times as fast as to write them."""

Actor = Callable[..., np.ndarray]
"""
From observations to actions of shape ``(n_envs,)`` for Discrete, else ``(n_envs, action_dim)``. One that keeps to masks takes
them after the observations: booleans of shape ``(n_envs, mask_size)``.
"""


def _relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0.0)


_ACTIVATIONS: dict[type[nn.Module], Callable[[np.ndarray], np.ndarray] | None] = {
    nn.Identity: None,
    nn.Tanh: np.tanh,
    nn.ReLU: _relu,
}


class DenseLayer(NamedTuple):
    """
    One layer, ``activation(x @ weight + bias)``.

    :param weight: Shape ``(n_in, n_out)``, or ``(n_envs, n_in, n_out)``, one for each environment.
    :param bias: Shape ``(n_out,)``.
    :param activation: None for the identity.
    """

    weight: np.ndarray
    bias: np.ndarray
    activation: Callable[[np.ndarray], np.ndarray] | None


def dense_layers(policy: Any) -> list[DenseLayer] | None:
    """
    The layers from features to action logits (or, for Box actions, means). The weights of a
    :class:`~sb3_reinforce.features.phi.PhiNet` are a layer with a single output for each action.

    :param policy: Any actor-critic policy.
    :return: Layers that share the policy's memory; None if it is on another device, or its network is not known exactly (see
        :mod:`sb3_reinforce.common.known`).
    """
    network = known_network(policy)
    if network is None or policy.device.type != "cpu":
        return None
    return _dense_layers_of(network)


def _dense_layers_of(network: KnownNetwork) -> list[DenseLayer] | None:
    layers: list[DenseLayer] = []
    for module in (*network.hidden, network.action_net):
        if isinstance(module, nn.Linear) and module.weight.dtype in (th.float32, th.float64):
            weight = module.weight.detach().numpy().T
            bias = np.zeros(1, np.float32) if module.bias is None else module.bias.detach().numpy()
            layers.append(DenseLayer(weight, bias, None))
        elif type(module) in _ACTIVATIONS and layers:
            layers[-1] = layers[-1]._replace(activation=_ACTIVATIONS[type(module)])
        else:
            return None
    return layers


def feature_function(policy: ActorCriticPolicy) -> Callable[[Observations], np.ndarray]:
    """
    What SB3's preprocessing and the policy's features extractor do, in NumPy where they are known exactly.

    :param policy: An actor-critic policy whose ``extract_features`` is SB3's.
    :return: A function from observations to features of shape ``(n_envs, n_features)``; from a
        :class:`~sb3_reinforce.features.phi.PhiExtractor`, ``(n_envs, n_actions, n_features)``.
    """
    space, extractor = policy.observation_space, policy.pi_features_extractor
    if all_is_known(extractor):
        if isinstance(extractor, PhiExtractor):
            return _phi_features(policy, extractor)
        if isinstance(extractor, FixedFeatures):
            return extractor.in_numpy()  # type: ignore[return-value]
        if type(extractor) is FlattenExtractor and isinstance(space, spaces.Discrete):
            return partial(_one_hot, int(space.n))
        if type(extractor) is FlattenExtractor and isinstance(space, spaces.Box) and not is_image_space(space):
            if len(space.shape) == 1 and space.dtype == np.float32:
                return _as_they_are  # type: ignore[return-value]
            return lambda obs: obs.reshape(len(obs), -1).astype(np.float32)  # type: ignore[union-attr]

    return partial(_features_by_torch, policy)


def _as_they_are(obs: Observations) -> Observations:
    return obs


@th.no_grad()
def _features_by_torch(policy: ActorCriticPolicy, obs: Observations) -> np.ndarray:
    return BasePolicy.extract_features(policy, obs_as_tensor(obs, policy.device), policy.pi_features_extractor).numpy()


def _phi_features(policy: ActorCriticPolicy, extractor: PhiExtractor) -> Callable[[Observations], np.ndarray]:
    space = policy.observation_space
    if isinstance(space, (spaces.Discrete, spaces.MultiDiscrete)):
        return lambda obs: extractor.features(read_only(obs))  # type: ignore[arg-type]
    if isinstance(space, spaces.Box) and not is_image_space(space):
        return lambda obs: extractor.features(read_only(obs.astype(np.float32, copy=False)))  # type: ignore[union-attr]
    shape = (-1, extractor.n_actions, extractor.n_features)
    return lambda obs: _features_by_torch(policy, obs).reshape(shape)


@lru_cache(maxsize=8)
def _table_of_one_hot(n: int) -> np.ndarray:
    return np.eye(n, dtype=np.float32)


def _one_hot(n: int, indices: Observations) -> np.ndarray:
    assert isinstance(indices, np.ndarray)
    if n <= _LARGEST_TABLE:
        return _table_of_one_hot(n).take(indices, axis=0)
    one_hot = np.zeros((len(indices), n), dtype=np.float32)
    one_hot[np.arange(len(indices)), indices.astype(np.int64, copy=False)] = 1.0
    return one_hot


def dense_forward(layers: list[DenseLayer], features: np.ndarray) -> np.ndarray:
    """
    :param layers: As from :func:`dense_layers`.
    :param features: Shape ``(n_envs, n_features)``, or ``(n_envs, n_actions, n_features)``.
    :return: Logits or means. Shape ``(n_envs, n_out)``; if features have actions, ``(n_envs, n_actions)``.
    """
    x = features
    for weight, bias, activation in layers:
        x = x.dot(weight) if weight.ndim < 3 else np.einsum("n...i,nio->n...o", x, weight)
        x += bias
        if activation is not None:
            x = activation(x)
    return x if features.ndim < 3 else x.squeeze(2)


def in_bulk(draw: Callable[[tuple[int, ...]], np.ndarray], shape: tuple[int, ...]) -> Iterator[np.ndarray]:
    """
    Random arrays without end, drawn many at a time: for a few numbers, the call is what costs.

    :param draw: Draws an array of a shape.
    :param shape: Of the arrays to hand out.
    """
    n_arrays = max(8, 4096 // int(np.prod(shape)))
    while True:
        yield from draw((n_arrays, *shape))


def gumbel(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """
    :param rng: Source of randomness.
    :param shape: Shape of the array.
    :return: Standard Gumbel draws, float32. Added to logits, they make their argmax a draw from the softmax.
    """
    with np.errstate(divide="ignore"):  # in float32 an exponential draw may be 0, and infinity is right
        return -np.log(rng.standard_exponential(shape, dtype=np.float32))


def logistic(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """
    :param rng: Source of randomness.
    :param shape: Shape of the array.
    :return: Standard logistic draws, float32: the difference of two Gumbel draws.
    """
    uniform = rng.random(shape, dtype=np.float32)
    with np.errstate(divide="ignore"):
        return np.log(uniform / (1 - uniform))


def greedy_choice(action_space: spaces.Space) -> Callable[[np.ndarray], np.ndarray]:
    """
    :param action_space: Discrete, MultiDiscrete or MultiBinary.
    :return: A function from logits, shape ``(n_envs, n_logits)``, to the most probable actions, shape
        ``(n_envs,)`` for Discrete, else ``(n_envs, action_dim)``.
    """
    if isinstance(action_space, spaces.MultiDiscrete):
        ends = np.cumsum(action_space.nvec).tolist()
        parts = [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]
        return lambda logits: np.stack([logits[:, part].argmax(axis=1) for part in parts], axis=1)
    if isinstance(action_space, spaces.MultiBinary):
        return lambda logits: (logits > 0).astype(np.int8)
    return lambda logits: logits.argmax(axis=1)


def numpy_actor(policy: Any, n_envs: int, rng: np.random.Generator, has_masks: bool = False) -> Actor | None:
    """
    A function that draws actions from the policy without torch. It holds views or copies of the
    parameters as they are now, so make a new one for each rollout.

    :param policy: Any actor-critic policy.
    :param n_envs: For how many environments it will act at a time.
    :param rng: Source of randomness.
    :param has_masks: Whether it is to keep to masks.
    :return: None if the policy needs torch to act: see :func:`dense_layers`.
    """
    layers = dense_layers(policy)
    if layers is None or policy.use_sde:
        return None
    features, space = feature_function(policy), policy.action_space
    *hidden, (weight, bias, _) = layers
    if type(policy.action_net) is PhiNet:
        weight = weight[:, 0]  # one number for each action, and no axis of one
    latent = partial(_forward, hidden, features) if hidden else features

    # The last layer's bias comes with the noise, which is made many at a time
    if isinstance(space, spaces.Discrete) and weight.shape[1:] == (2,):
        weight, bias = weight[:, 1] - weight[:, 0], bias[1] - bias[0]
        thresholds = in_bulk(lambda shape: logistic(rng, shape) - bias, (n_envs,))
        if has_masks:  # 1 is drawn where it is allowed, and wanted or the only one
            return lambda obs, masks: (masks[:, 1] & ((latent(obs).dot(weight) > next(thresholds)) | ~masks[:, 0])).astype(
                np.int64
            )
        if latent is _as_they_are:  # a call less
            return lambda obs: (obs.dot(weight) > next(thresholds)).astype(np.int64)
        return lambda obs: (latent(obs).dot(weight) > next(thresholds)).astype(np.int64)
    if isinstance(space, spaces.Box):
        std = policy.log_std.detach().exp().numpy()
        noise = in_bulk(lambda shape: bias + std * rng.standard_normal(shape, dtype=np.float32), (n_envs, len(bias)))
        return lambda obs: latent(obs).dot(weight) + next(noise)
    draw = logistic if isinstance(space, spaces.MultiBinary) else gumbel
    n_outputs = int(space.n) if isinstance(space, spaces.Discrete) else len(bias)
    noise = in_bulk(lambda shape: bias + draw(rng, shape), (n_envs, n_outputs))
    choose = greedy_choice(space)
    if has_masks:
        return lambda obs, masks: choose(mask_logits(latent(obs).dot(weight) + next(noise), masks, space))
    return lambda obs: choose(latent(obs).dot(weight) + next(noise))


def _forward(layers: list[DenseLayer], features: Callable[[Observations], np.ndarray], obs: Observations) -> np.ndarray:
    return dense_forward(layers, features(obs))


def torch_actor(door: Door, device: th.device, action_space: spaces.Space) -> Actor:
    """
    A function that draws actions from any policy.

    :param door: How the policy is asked.
    :param device: Where the policy is.
    :param action_space: Discrete, MultiDiscrete, MultiBinary or Box.
    :return: It raises ValueError on observations that are not finite.
    """

    def act(obs: Observations, masks: np.ndarray | None = None) -> np.ndarray:
        check_finite(obs)
        allowed = None if masks is None else th.as_tensor(masks, device=device)
        with th.no_grad():
            actions = door.sample(obs_as_tensor(obs, device), allowed).cpu().numpy()
        return actions if isinstance(action_space, spaces.Discrete) else actions.reshape(len(actions), -1)

    return act


def check_finite(obs: Observations) -> None:
    """
    :param obs: Observations.
    :raises ValueError: If one is NaN or infinite.
    """
    for name, values in named_parts(obs).items():
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise ValueError(
                f"The environment returned an {name} that is not finite. Nothing was learned from this rollout. "
                "Mend the environment (stable_baselines3.common.vec_env.VecCheckNan finds the step)."
            )
