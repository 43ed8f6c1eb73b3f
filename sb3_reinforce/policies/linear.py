"""The policies of the textbook, linear in features of the observation."""

from typing import Any, ClassVar, TypeAlias

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.preprocessing import get_flattened_obs_dim
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, MlpExtractor
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule, TensorDict
from torch import nn

from sb3_reinforce.common.known import known_exactly
from sb3_reinforce.common.masking import masked
from sb3_reinforce.common.observations import Observations
from sb3_reinforce.features.fixed_features import unobserved
from sb3_reinforce.features.phi import Phi, PhiDistribution, PhiExtractor
from sb3_reinforce.gradient.distributions import ActionDistribution, distribution_of
from sb3_reinforce.gradient.fisher_blocks import FisherBlock, dense
from sb3_reinforce.gradient.mixture import Mixture
from sb3_reinforce.policies.action_tensors import action_tensor
from sb3_reinforce.policies.fittable import FittablePolicy
from sb3_reinforce.policies.heads import Head, head_of
from sb3_reinforce.rollouts.known_network import known_network

Batch: TypeAlias = PyTorchObs | Observations
"""Observations, as arrays or tensors. Shape ``(batch, *observation_shape)``, or a dict of such."""


@known_exactly
class FlattenDictExtractor(BaseFeaturesExtractor):
    """
    All parts of a Dict observation, flattened, one after the other.

    :param observation_space: Dict.
    """

    def __init__(self, observation_space: spaces.Dict) -> None:
        super().__init__(observation_space, sum(get_flattened_obs_dim(part) for part in observation_space.values()))
        self.keys = list(observation_space)

    def forward(self, observations: TensorDict) -> th.Tensor:
        """
        :param observations: As from SB3's ``preprocess_obs``.
        :return: Shape ``(batch, n_features)``.
        """
        return th.cat([observations[key].flatten(start_dim=1) for key in self.keys], dim=1)


@known_exactly
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


@known_exactly
class LinearPolicy(FittablePolicy):
    r"""
    A policy whose action distribution has parameters that are linear in fixed features :math:`x(s)`, so that its score has a
    closed form: a softmax for discrete actions, as :class:`LinearSoftmaxPolicy`, or a Gaussian for Box actions, as
    :class:`LinearGaussianPolicy`.

    The features are those of SB3's flatten extractor: a Box observation as it is, a Discrete one as a
    one-hot vector, the parts of a Dict one after the other.

    :param observation_space: Any that SB3 serves.
    :param action_space: Discrete, MultiDiscrete, MultiBinary or Box.
    :param lr_schedule: Learning rate schedule (could be constant).
    :param net_arch: Sizes of hidden *linear* layers, by default none.
    :param activation_fn: Activation after each hidden layer, the identity by default.
    :param phi: Features of states and actions, for Discrete actions; None for the observation's own.
    :param kwargs: The other arguments of SB3's ``ActorCriticPolicy``.
    :raises ValueError: If a space is not served, ``use_sde`` is True, or what phi returns is not of one shape
        ``(batch, n_features)``.
    """

    action_net: nn.Linear
    served: ClassVar[tuple[type[spaces.Space], ...]] = (
        spaces.Discrete,
        spaces.MultiDiscrete,
        spaces.MultiBinary,
        spaces.Box,
    )
    """The action spaces that the class serves."""

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        lr_schedule: Schedule,
        net_arch: list[int] | dict[str, list[int]] | None = None,
        activation_fn: type[nn.Module] = nn.Identity,
        phi: Phi | None = None,
        **kwargs: Any,
    ) -> None:
        self._check_action_space(action_space)
        if kwargs.get("use_sde"):
            raise ValueError(
                f"{type(self).__name__} draws its actions independently of each other: use_sde must be False. State-dependent "
                "exploration is for 'MlpPolicy' with SB3's A2C or PPO."
            )
        if phi is not None:
            kwargs = {**kwargs, **_phi_arguments(phi, action_space, net_arch, kwargs)}
        elif isinstance(observation_space, spaces.Dict):
            kwargs.setdefault("features_extractor_class", FlattenDictExtractor)
        super().__init__(
            observation_space,
            action_space,
            lr_schedule,
            net_arch=[] if net_arch is None else net_arch,
            activation_fn=activation_fn,
            **kwargs,
        )

    @classmethod
    def _check_action_space(cls, action_space: spaces.Space) -> None:
        if not isinstance(action_space, cls.served):
            served = " and ".join(", ".join(space.__name__ for space in cls.served).rsplit(", ", 1))
            others = [
                policy for policy in (LinearSoftmaxPolicy, LinearGaussianPolicy) if isinstance(action_space, policy.served)
            ]
            instead = f"'{others[0].__name__}' or " if others else ""
            raise ValueError(
                f"{cls.__name__} serves {served} actions, but these are {action_space}. Use {instead}'MlpPolicy' "
                "('CnnPolicy' for images, 'MultiInputPolicy' for Dict observations)."
            )

    def _build_mlp_extractor(self) -> None:
        self.mlp_extractor = _LinearExtractor(
            self.features_dim, net_arch=self.net_arch, activation_fn=self.activation_fn, device=self.device
        )

    def _build(self, lr_schedule: Schedule) -> None:
        if isinstance(self.pi_features_extractor, PhiExtractor):
            self.action_dist = PhiDistribution(self.pi_features_extractor.n_actions)
        super()._build(lr_schedule)
        if not self._parameters_before_outputs():
            nn.init.zeros_(self.action_net.weight)

    def _parameters_before_outputs(self) -> list[nn.Parameter]:
        modules = (self.pi_features_extractor, self.mlp_extractor.policy_net)
        return [parameter for module in modules for parameter in module.parameters()]

    def _parameters_of_outputs(self) -> list[nn.Parameter]:
        named = dict(self.action_net.named_parameters())  # in whatever order they were registered
        layer = [named[name] for name in ("weight", "bias") if name in named]
        return [*layer, *([self.log_std] if isinstance(self.action_space, spaces.Box) else [])]

    @property
    def has_closed_form(self) -> bool:
        """
        Whether the outputs are linear in the parameters that are learned, and nothing is overridden, hooked or replaced, so
        that the score has its closed form.
        """
        frozen = not any(parameter.requires_grad for parameter in self._parameters_before_outputs())
        return frozen and known_network(self) is not None

    def actor_parameters(self) -> list[nn.Parameter]:
        r"""
        :return: The parameters that the actions depend on and that are learned, in the order of :meth:`score`: features
            extractor, hidden layers, weights of shape ``(n_outputs, n_features)``, biases of shape ``(n_outputs,)`` and, for
            Box actions, :math:`\log \sigma` of shape ``(n_outputs,)``. Those with ``requires_grad=False`` are not among them.
        """
        parameters = [*self._parameters_before_outputs(), *self._parameters_of_outputs()]
        return [parameter for parameter in parameters if parameter.requires_grad]

    def step_fractions(self) -> dict[nn.Parameter, float]:
        """
        An optimizer like Adam moves every parameter as far. A weight's move changes the output by as much as its feature is
        large, but a bias has the feature 1, and most observations are smaller. So the bias takes most of the noise, and it
        tilts the policy to one side. It takes a fifth of the step. With hidden layers it takes the whole step, as they do.

        :return: Of which parameters :class:`~sb3_reinforce.REINFORCE` takes a fraction of the optimizer's step, and which.
        """
        bias = getattr(self.action_net, "bias", None)
        return {} if bias is None or self._parameters_before_outputs() else {bias: 0.2}

    def _is_learned(self) -> th.Tensor:
        """Which numbers among the outputs' parameters are learned. Shape ``(n_parameters,)``."""
        parts = [th.full((p.numel(),), p.requires_grad, device=p.device) for p in self._parameters_of_outputs()]
        return th.cat(parts)

    def _tensors(self, obs: Batch) -> PyTorchObs:
        if isinstance(obs, th.Tensor):
            return obs.to(self.device)
        if isinstance(obs, dict) and all(isinstance(value, th.Tensor) for value in obs.values()):
            return {key: value.to(self.device) for key, value in obs.items()}  # type: ignore[union-attr]
        return self.obs_to_tensor(obs)[0]  # type: ignore[arg-type]

    def _mask_tensor(self, action_masks: th.Tensor | np.ndarray | None) -> th.Tensor | None:
        return None if action_masks is None else th.as_tensor(action_masks, dtype=th.bool, device=self.device)

    def _latent(self, obs: PyTorchObs) -> th.Tensor:
        features = BasePolicy.extract_features(self, obs, self.pi_features_extractor)
        return self.mlp_extractor.forward_actor(features)

    def _distribution(self, head: Head, latent: th.Tensor, masks: th.Tensor | None = None) -> ActionDistribution:
        log_std = self.log_std.to(latent) if isinstance(self.action_space, spaces.Box) else None
        return distribution_of(self.action_space, head.outputs(latent), log_std, masks)

    def score(
        self, obs: Batch, actions: th.Tensor | np.ndarray, action_masks: th.Tensor | np.ndarray | None = None
    ) -> th.Tensor:
        r"""
        The score (eligibility) vectors :math:`\nabla_\theta \log \pi(a|s)`, a row for each pair of
        observation and action: in closed form where :attr:`has_closed_form`, else by autograd sample by sample.

        :param obs: Observations, an array or a tensor. Shape ``(batch, *observation_shape)``.
        :param actions: Shape ``(batch,)`` for Discrete, else ``(batch, *action_shape)``.
        :param action_masks: Which choices are allowed: see :mod:`sb3_reinforce.common.masking`. None for all. Shape
            ``(batch, mask_size)``.
        :return: Columns in the order of :meth:`actor_parameters`, each of them flattened.
            Shape ``(batch, n_parameters)``.
        """
        obs = self._tensors(obs)
        actions = action_tensor(actions, self.action_space, self.action_net.weight)
        masks = self._mask_tensor(action_masks)
        score = self._closed_form_score if self.has_closed_form else self._score_by_autograd
        with unobserved(self):
            return score(obs, actions, masks)

    @th.no_grad()
    def _closed_form_score(self, obs: PyTorchObs, actions: th.Tensor, masks: th.Tensor | None) -> th.Tensor:
        latent, head = self._latent(obs), head_of(self.action_net)
        score = head.scores(latent, self._distribution(head, latent, masks).terms(actions).score)
        is_learned = self._is_learned()
        return score if is_learned.all() else score[:, is_learned]

    def _score_by_autograd(self, obs: PyTorchObs, actions: th.Tensor, masks: th.Tensor | None) -> th.Tensor:
        log_prob = masked(self.get_distribution(obs), masks, self.action_space).log_prob(actions)
        rows = th.autograd.grad(
            log_prob,
            self.actor_parameters(),
            grad_outputs=th.eye(len(actions), device=self.device, dtype=log_prob.dtype),
            is_grads_batched=True,
            materialize_grads=True,
        )
        return th.cat([row.flatten(start_dim=1) for row in rows], dim=1)

    @th.no_grad()
    def accumulate_gradient(
        self,
        obs: PyTorchObs,
        actions: th.Tensor,
        weights: th.Tensor,
        mixture: Mixture | None = None,
        entropy_weight: float = 0.0,
        action_masks: th.Tensor | None = None,
    ) -> tuple[float, float]:
        r"""
        Add the gradient of :math:`-\sum_t w_t \log \beta(a_t|s_t) - c \sum_t H(\pi(\cdot|s_t))` to the parameters'
        ``grad``, as ``backward`` would, from the closed-form score. Needs :attr:`has_closed_form`.

        :param obs: Observations. Shape ``(batch, *observation_shape)``.
        :param actions: As from :class:`~sb3_reinforce.rollouts.episode_buffer.EpisodeBuffer`.
        :param weights: :math:`w_t`. Shape ``(batch,)``.
        :param mixture: What the actions were explored by; None for nothing.
        :param entropy_weight: :math:`c`, of the entropy bonus.
        :param action_masks: Which choices were allowed; None for all. Booleans. Shape ``(batch, mask_size)``.
        :return: :math:`-\sum_t w_t \log \beta(a_t|s_t)`, and the sum of the policy's entropies.
        """
        latent, head = self._latent(obs), head_of(self.action_net)
        distribution = self._distribution(head, latent, action_masks)
        terms = distribution.terms(actions)
        log_behaviour, factors = terms.log_prob, weights.to(terms.log_prob)
        if mixture is not None:
            log_behaviour = mixture.log_prob(terms.log_prob)
            factors = factors * mixture.factor(terms.log_prob)
        by_outputs = terms.score * factors
        if entropy_weight:
            by_outputs += entropy_weight * distribution.entropy_score()
        for parameter, uphill in zip(self._parameters_of_outputs(), head.gradients(latent, by_outputs), strict=True):
            if parameter.requires_grad:
                parameter.grad = -uphill if parameter.grad is None else parameter.grad - uphill
        return -float(weights.to(log_behaviour) @ log_behaviour), float(terms.entropy.sum())

    @th.no_grad()
    def fisher(self, obs: PyTorchObs, action_masks: th.Tensor | None = None) -> th.Tensor:
        r"""
        The Fisher information :math:`\sum_s \mathbb{E}_{a \sim \pi}[\nabla \log \pi(a|s) \nabla \log \pi(a|s)^\top]`
        in closed form. Needs :attr:`has_closed_form`.

        :param obs: Observations. Shape ``(batch, *observation_shape)``.
        :param action_masks: Which choices are allowed; None for all. Booleans. Shape ``(batch, mask_size)``.
        :return: Float64, in the order of :meth:`score`. Shape ``(n_parameters, n_parameters)``.
        """
        return dense(self.fisher_blocks(obs, action_masks))

    @th.no_grad()
    def fisher_blocks(self, obs: PyTorchObs, action_masks: th.Tensor | None = None) -> list[FisherBlock]:
        """
        :meth:`fisher` in the form in which a natural step solves with it, without the zeros. Needs :attr:`has_closed_form`.

        :param obs: Observations. Shape ``(batch, *observation_shape)``.
        :param action_masks: Which choices are allowed; None for all. Booleans. Shape ``(batch, mask_size)``.
        :return: A block for each part of a MultiDiscrete action, each bit of a MultiBinary one, and all means of a Box one.
        """
        with unobserved(self):
            latent = self._latent(obs).double()
        head = head_of(self.action_net)
        blocks = head.fisher(latent, self._distribution(head, latent, action_masks))
        return [block.restricted(self._is_learned()) for block in blocks]

    def fisher_unknowns(self) -> list[int]:
        """
        :return: How many unknowns a system of equations with each of the :meth:`fisher_blocks` has.
        """
        head, latent = head_of(self.action_net), th.empty(0, self.mlp_extractor.latent_dim_pi, device=self.device)
        is_learned = self._is_learned().cpu()
        return [int(is_learned[places[0]].sum()) for places in head.places(self._distribution(head, latent))]

    @th.no_grad()
    def action_probabilities(self, obs: Batch, action_masks: th.Tensor | np.ndarray | None = None) -> th.Tensor:
        r"""
        For discrete actions.

        :param obs: Observations, an array or a tensor. Shape ``(batch, *observation_shape)``.
        :param action_masks: Which choices are allowed; None for all. Shape ``(batch, mask_size)``.
        :return: :math:`\pi(\cdot|s)`. Shape ``(batch, n_actions)``. For MultiDiscrete actions, the probabilities of
            the first part's choices, then of the second's and so on, ``(batch, sum(nvec))``; for MultiBinary
            ones, the probabilities of a 1, ``(batch, n_bits)``.
        :raises ValueError: If actions are Box.
        """
        if isinstance(self.action_space, spaces.Box):
            raise ValueError(
                f"Only discrete actions have probabilities, but these are {self.action_space}: see get_distribution."
            )
        masks = self._mask_tensor(action_masks)
        with unobserved(self):
            distribution: Any = masked(self.get_distribution(self._tensors(obs)), masks, self.action_space).distribution
        parts = distribution if isinstance(distribution, list) else [distribution]
        return th.cat([part.probs for part in parts], dim=1)


def _phi_arguments(
    phi: Phi, action_space: spaces.Space, net_arch: list[int] | dict[str, list[int]] | None, kwargs: dict[str, Any]
) -> dict[str, Any]:
    """What makes an ActorCriticPolicy one of phi(s, a)."""
    if not isinstance(action_space, spaces.Discrete):
        raise ValueError(f"phi(states, action) serves Discrete actions, but these are {action_space}. Leave phi out.")
    if net_arch or kwargs.get("features_extractor_class") is not None:
        raise ValueError(
            "phi gives the features that the logits are linear in: leave net_arch and features_extractor_class out."
        )
    return {
        "features_extractor_class": PhiExtractor,
        "features_extractor_kwargs": {"phi": phi, "n_actions": int(action_space.n)},
    }


@known_exactly
class LinearSoftmaxPolicy(LinearPolicy):
    r"""
    The softmax policy of the textbook, for Discrete actions:

    .. math:: \pi(a|s) \propto \exp(w_a^\top x(s) + b_a)

    with the features :math:`x(s)` of SB3's flatten extractor: a Box observation as it is, a
    Discrete one as a one-hot vector, which makes this the tabular softmax policy; the parts of a Dict one after
    the other. Its score has a closed form (Sutton and Barto, 2018, eq. 13.9), and training uses it.

    A MultiDiscrete action has a softmax of its own for each part, a MultiBinary action for each bit the
    probability :math:`\sigma(w^\top x(s) + b)` that it is 1; all are independent.

    It starts from zero weights: the uniform policy, the same for every seed.

    The value net is linear in the same features, so ``A2C(LinearSoftmaxPolicy, env)`` is the textbook's
    actor-critic.

    **Features of your own.** With ``phi`` the logits are :math:`\theta^\top \phi(s, a)`, and the score is
    :math:`\phi(s, a) - \mathbb{E}_\pi[\phi(s, \cdot)]`. ``phi(states, action)`` is a function of NumPy arrays: it is
    called with a batch of states and, in turn, with each action, an ``int``, and returns the features of each of
    these states with that action, as many for every action::

        def phi(states, action):  # of shape (batch, 4), and 0 or 1
            return states * (2 * action - 1)  # a weight for each number that CartPole shows, and no more

        REINFORCE("LinearSoftmaxPolicy", "CartPole-v1", policy_kwargs=dict(phi=phi)).learn()

    It sees observations as SB3 prepares them for a network (float32; images divided by 255, channels first), but
    discrete ones as integers; those of a Dict space in a dict. There is no bias: a feature that is constant for one
    action and 0 for the others is one. The value net is linear in the features of all actions. phi is saved with the
    model.

    :param observation_space: Any that SB3 serves.
    :param action_space: Discrete, MultiDiscrete or MultiBinary; with ``phi``, Discrete.
    :param lr_schedule: Learning rate schedule (could be constant).
    :param net_arch: Sizes of hidden *linear* layers, by default none. ``[2, 4]`` is a stack of
        linear layers without activation between observation and logits: it can say no more
        than a single layer, but it learns differently, and starts from random weights.
    :param activation_fn: Activation after each hidden layer, the identity by default.
    :param phi: Features of states and actions; None for the observation's own.
    :param kwargs: The other arguments of SB3's ``ActorCriticPolicy``, such as ``features_extractor_class``,
        ``normalize_images``, ``optimizer_class`` (by default ``th.optim.Adam``) and ``optimizer_kwargs``.
    :raises ValueError: If a space is not served, or what phi returns is not of one shape ``(batch, n_features)``.
    """

    served = (spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)


@known_exactly
class LinearGaussianPolicy(LinearPolicy):
    r"""
    The Gaussian policy of the textbook, for Box actions: the numbers of an action are independent and normal,

    .. math:: a_k \sim \mathcal{N}(w_k^\top x(s) + b_k, \sigma_k^2)

    with the features :math:`x(s)` of SB3's flatten extractor, and standard deviations :math:`\sigma_k` that are
    learned too, as :math:`\log \sigma_k`, and are the same in every state, as everywhere in SB3. Its score has a closed
    form (Williams, 1992, section 6; Sutton and Barto, 2018, exercise 13.4), and training uses it:

    .. math:: \nabla_{w_k} \log \pi(a|s) = \frac{a_k - \mu_k(s)}{\sigma_k^2} x(s), \qquad
        \nabla_{\log \sigma_k} \log \pi(a|s) = \frac{(a_k - \mu_k(s))^2}{\sigma_k^2} - 1

    It starts from zero weights: means of 0 in every state, the same for every seed. Actions outside the bounds of the space
    are clipped for the environment, and learned from as they were drawn.

    The value net is linear in the same features, so ``A2C(LinearGaussianPolicy, env)`` is the textbook's actor-critic.

    :param observation_space: Any that SB3 serves.
    :param action_space: Box.
    :param lr_schedule: Learning rate schedule (could be constant).
    :param net_arch: Sizes of hidden *linear* layers, by default none; with any, it starts from random weights.
    :param activation_fn: Activation after each hidden layer, the identity by default.
    :param kwargs: The other arguments of SB3's ``ActorCriticPolicy``, such as ``log_std_init`` (by default 0, a standard
        deviation of 1), ``features_extractor_class``, ``normalize_images``, ``optimizer_class`` (by default
        ``th.optim.Adam``) and ``optimizer_kwargs``.
    :raises ValueError: If a space is not served, or ``use_sde`` is True.
    """

    served = (spaces.Box,)
