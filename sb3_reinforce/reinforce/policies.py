"""Policies of REINFORCE."""

from typing import Any

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.policies import (
    ActorCriticCnnPolicy,
    ActorCriticPolicy,
    BasePolicy,
    MultiInputActorCriticPolicy,
)
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, FlattenExtractor, MlpExtractor
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule
from torch import nn

from sb3_reinforce.common.score import mixture_factor, mixture_log_prob, score_of_logits, softmax_score


class _LinearExtractor(MlpExtractor):
    """Linear layers in the precision that the policy was put to: SB3 hands features on as float32."""

    _precision: th.Tensor

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.register_buffer("_precision", th.empty(0), persistent=False)

    def forward_actor(self, features: th.Tensor) -> th.Tensor:
        return super().forward_actor(features.to(self._precision.dtype))

    def forward_critic(self, features: th.Tensor) -> th.Tensor:
        return super().forward_critic(features.to(self._precision.dtype))


class LinearSoftmaxPolicy(ActorCriticPolicy):
    r"""
    The softmax policy of the textbook, for Discrete actions:

    .. math:: \pi(a|s) \propto \exp(w_a^\top x(s) + b_a)

    with the features :math:`x(s)` of SB3's flatten extractor: a Box observation as it is, a
    Discrete one as a one-hot vector, which makes this the tabular softmax policy. Its score has a
    closed form (Sutton and Barto, 2018, eq. 13.9), and training uses it.

    It starts from zero weights: the uniform policy, the same for every seed.

    The value net, which REINFORCE does not use, is linear in the same features, so
    ``A2C(LinearSoftmaxPolicy, env)`` is the textbook's actor-critic.

    :param observation_space: Any that SB3's flatten extractor takes.
    :param action_space: Discrete.
    :param lr_schedule: Learning rate schedule (could be constant).
    :param net_arch: Sizes of hidden *linear* layers, by default none. ``[2, 4]`` is a stack of
        linear layers without activation between observation and logits: it can say no more
        than a single layer, but it learns differently, and starts from random weights.
    :param activation_fn: Activation after each hidden layer, the identity by default.
    :param ortho_init: Whether hidden layers start from orthogonal weights.
    :param features_extractor_class: Features extractor to use.
    :param features_extractor_kwargs: Keyword arguments to pass to the features extractor.
    :param share_features_extractor: If True, policy and value net share the features extractor.
    :param normalize_images: Whether to divide images by 255.0.
    :param optimizer_class: The optimizer to use, ``th.optim.Adam`` by default.
    :param optimizer_kwargs: Additional keyword arguments, excluding the learning rate, to pass to
        the optimizer.
    :raises ValueError: If the action space is not Discrete, or the observations can't be flattened.
    """

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        lr_schedule: Schedule,
        net_arch: list[int] | dict[str, list[int]] | None = None,
        activation_fn: type[nn.Module] = nn.Identity,
        ortho_init: bool = True,
        use_sde: bool = False,
        features_extractor_class: type[BaseFeaturesExtractor] = FlattenExtractor,
        features_extractor_kwargs: dict[str, Any] | None = None,
        share_features_extractor: bool = True,
        normalize_images: bool = True,
        optimizer_class: type[th.optim.Optimizer] = th.optim.Adam,
        optimizer_kwargs: dict[str, Any] | None = None,
    ) -> None:
        if not isinstance(action_space, spaces.Discrete):
            raise ValueError(
                f"LinearSoftmaxPolicy serves Discrete action spaces, but this one is {action_space}. "
                "Use 'MlpPolicy' (or 'CnnPolicy' for images, 'MultiInputPolicy' for Dict observations), which "
                "serve Box, MultiDiscrete and MultiBinary actions too."
            )
        if isinstance(observation_space, spaces.Dict) and features_extractor_class is FlattenExtractor:
            raise ValueError(
                f"LinearSoftmaxPolicy flattens observations, and can not flatten {observation_space}. Wrap the environment in "
                "gymnasium.wrappers.FlattenObservation, use 'MultiInputPolicy', or pass a features_extractor_class that "
                "takes Dict observations, such as CombinedExtractor."
            )
        super().__init__(
            observation_space,
            action_space,
            lr_schedule,
            net_arch=[] if net_arch is None else net_arch,
            activation_fn=activation_fn,
            ortho_init=ortho_init,
            use_sde=use_sde,
            features_extractor_class=features_extractor_class,
            features_extractor_kwargs=features_extractor_kwargs,
            share_features_extractor=share_features_extractor,
            normalize_images=normalize_images,
            optimizer_class=optimizer_class,
            optimizer_kwargs=optimizer_kwargs,
        )

    def _get_constructor_parameters(self) -> dict[str, Any]:
        data = super()._get_constructor_parameters()
        for gaussian_only in ("log_std_init", "squash_output", "full_std", "use_expln"):
            del data[gaussian_only]
        return data

    def _build_mlp_extractor(self) -> None:
        self.mlp_extractor = _LinearExtractor(
            self.features_dim, net_arch=self.net_arch, activation_fn=self.activation_fn, device=self.device
        )

    def _build(self, lr_schedule: Schedule) -> None:
        super()._build(lr_schedule)
        if self.is_linear:
            nn.init.zeros_(self.action_net.weight)  # type: ignore[arg-type]

    @property
    def is_linear(self) -> bool:
        """Whether the logits are linear in the parameters, so that the score has a closed form."""
        return len(self.actor_parameters()) == 2

    def actor_parameters(self) -> list[nn.Parameter]:
        """
        :return: The parameters that the action probabilities depend on, in the order of
            :meth:`score`: features extractor, hidden layers, weights of shape
            ``(n_actions, n_features)``, biases of shape ``(n_actions,)``.
        """
        modules = (self.pi_features_extractor, self.mlp_extractor.policy_net, self.action_net)
        return [parameter for module in modules for parameter in module.parameters()]

    def _tensors(self, obs: PyTorchObs | np.ndarray | dict[str, np.ndarray]) -> PyTorchObs:
        if isinstance(obs, th.Tensor):
            return obs.to(self.device)
        if isinstance(obs, dict) and all(isinstance(value, th.Tensor) for value in obs.values()):
            return {key: value.to(self.device) for key, value in obs.items()}  # type: ignore[union-attr]
        return self.obs_to_tensor(obs)[0]  # type: ignore[arg-type]

    def _latent(self, obs: PyTorchObs) -> th.Tensor:
        features = BasePolicy.extract_features(self, obs, self.pi_features_extractor)
        return self.mlp_extractor.forward_actor(features)

    @th.no_grad()
    def action_probabilities(self, obs: PyTorchObs | np.ndarray | dict[str, np.ndarray]) -> th.Tensor:
        r"""
        :param obs: Observations, an array or a tensor. Shape ``(batch, *observation_shape)``.
        :return: :math:`\pi(\cdot|s)`. Shape ``(batch, n_actions)``.
        """
        return th.softmax(self.action_net(self._latent(self._tensors(obs))), dim=1)

    def score(self, obs: PyTorchObs | np.ndarray | dict[str, np.ndarray], actions: th.Tensor | np.ndarray) -> th.Tensor:
        r"""
        The score (eligibility) vectors :math:`\nabla_\theta \log \pi(a|s)`, a row for each pair of
        observation and action: in closed form where the logits are linear in the parameters, else
        by autograd sample by sample. Sutton and Barto (2018), eq. 13.9.

        :param obs: Observations, an array or a tensor. Shape ``(batch, *observation_shape)``.
        :param actions: Integers. Shape ``(batch,)``.
        :return: Columns in the order of :meth:`actor_parameters`, each of them flattened.
            Shape ``(batch, n_parameters)``.
        """
        obs = self._tensors(obs)
        actions = th.as_tensor(actions, device=self.device).long().flatten()
        if self.is_linear:
            with th.no_grad():
                latent = self._latent(obs)
                return softmax_score(latent, th.softmax(self.action_net(latent), dim=1), actions)
        log_prob = self.get_distribution(obs).log_prob(actions)
        rows = th.autograd.grad(
            log_prob,
            self.actor_parameters(),
            grad_outputs=th.eye(len(actions), device=self.device, dtype=log_prob.dtype),
            is_grads_batched=True,
        )
        return th.cat([row.flatten(start_dim=1) for row in rows], dim=1)

    @th.no_grad()
    def accumulate_gradient(
        self, obs: PyTorchObs, actions: th.Tensor, weights: th.Tensor, log_uniform: float, epsilon: th.Tensor | None
    ) -> tuple[float, float]:
        r"""
        Add the gradient of :math:`-\sum_t w_t \log \beta(a_t|s_t)` to the parameters' ``grad``, as
        ``backward`` would, from the closed-form score. Needs :attr:`is_linear`.

        :param obs: Observations. Shape ``(batch, *observation_shape)``.
        :param actions: Integers. Shape ``(batch,)``.
        :param weights: :math:`w_t`. Shape ``(batch,)``.
        :param log_uniform: Log-probability of a uniformly drawn action.
        :param epsilon: How much each action was explored by; None for none. Shape ``(batch,)``.
        :return: :math:`-\sum_t w_t \log \beta(a_t|s_t)`, and the sum of the policy's entropies.
        """
        latent = self._latent(obs)
        weight, bias = self.actor_parameters()
        # Actions by rows: torch's softmax over a few numbers is ten times faster down a long column
        log_probabilities = th.log_softmax(weight @ latent.T + bias.unsqueeze(1), dim=0)
        probabilities = log_probabilities.exp()
        log_prob = log_probabilities.gather(0, actions.unsqueeze(0)).squeeze(0)
        log_behaviour, factors = log_prob, weights
        if epsilon is not None:
            log_behaviour = mixture_log_prob(log_prob, log_uniform, epsilon)
            factors = weights * mixture_factor(log_prob, log_uniform, epsilon)
        by_logits = score_of_logits(probabilities, actions, dim=0) * factors
        for parameter, gradient in ((weight, -by_logits @ latent), (bias, -by_logits.sum(dim=1))):
            parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
        entropy = -(probabilities * log_probabilities).sum()
        return -float(weights @ log_behaviour), float(entropy)


MlpPolicy = ActorCriticPolicy
CnnPolicy = ActorCriticCnnPolicy
MultiInputPolicy = MultiInputActorCriticPolicy
