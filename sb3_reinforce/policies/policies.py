"""Policies of REINFORCE."""

from typing import Any, TypeAlias

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.policies import (
    ActorCriticCnnPolicy,
    ActorCriticPolicy,
    BasePolicy,
    MultiInputActorCriticPolicy,
)
from stable_baselines3.common.preprocessing import get_flattened_obs_dim
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, MlpExtractor
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule, TensorDict
from torch import nn

from sb3_reinforce.features.fixed_features import unobserved
from sb3_reinforce.features.phi import Phi, PhiDistribution, PhiExtractor, PhiNet
from sb3_reinforce.gradient.score import (
    ActionTerms,
    bernoulli_fisher,
    bernoulli_terms,
    entropy_score_of_bits,
    entropy_score_of_gaussian,
    entropy_score_of_parts,
    fisher_of_parts,
    gaussian_terms,
    linear_score,
    log_softmax_of_parts,
    mixture_factor,
    mixture_log_prob,
    phi_fisher,
    phi_score,
    softmax_fisher,
    softmax_terms,
)
from sb3_reinforce.policies.fitting import FitHistory, fit_policy
from sb3_reinforce.rollouts.acting import action_tensor
from sb3_reinforce.rollouts.episode_buffer import Observations

Batch: TypeAlias = PyTorchObs | Observations
"""Observations, as arrays or tensors. Shape ``(batch, *observation_shape)``, or a dict of such."""


class FittablePolicy(ActorCriticPolicy):
    """An actor-critic policy of SB3 that can also learn from examples of what to do."""

    def fit(
        self,
        observations: Any,
        actions: Any,
        n_epochs: int = 50,
        learning_rate: float = 0.01,
        progress_bar: bool = False,
    ) -> FitHistory:
        """
        Learn from examples by maximum likelihood, for a warm start, or to see that the policy can tell
        states apart at all: Adam on minibatches of 64 examples in random order. The value net and the
        policy's own optimizer are left as they are (a features extractor that both nets share is not).

        :param observations: As the environment gives them. Shape ``(n, *observation_shape)``, or a dict of such.
        :param actions: What to do there. Shape ``(n, *action_shape)``.
        :param n_epochs: How often to go through all examples.
        :param learning_rate: Step size.
        :param progress_bar: Display a progress bar using tqdm.
        :return: ``loss`` and ``accuracy`` after each epoch, a list each. The loss is the cross-entropy (for Box
            actions, minus the mean log-density); the accuracy is the share of examples whose action is the
            policy's most probable one (for Box actions, empty).
        :raises ValueError: If an argument is out of its range. The parameters are then as they were.
        :raises FloatingPointError: If the loss does not stay finite; the same holds.
        :raises ImportError: If there is to be a progress bar, but no tqdm.
        """
        return fit_policy(self, observations, actions, n_epochs, learning_rate, progress_bar)


class MlpPolicy(FittablePolicy):
    """SB3's ``ActorCriticPolicy``, with :meth:`fit`."""


class CnnPolicy(FittablePolicy, ActorCriticCnnPolicy):
    """SB3's ``ActorCriticCnnPolicy``, with :meth:`fit`."""


class MultiInputPolicy(FittablePolicy, MultiInputActorCriticPolicy):
    """SB3's ``MultiInputActorCriticPolicy``, with :meth:`fit`."""


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


class LinearPolicy(FittablePolicy):
    r"""
    What linear policies have in common: an action distribution whose parameters are linear in fixed features
    :math:`x(s)`, so that the score has a closed form. They are used through their subclasses.

    The features are those of SB3's flatten extractor: a Box observation as it is, a Discrete one as a
    one-hot vector, the parts of a Dict one after the other.

    :param observation_space: Any that SB3 serves.
    :param action_space: What the subclass serves.
    :param lr_schedule: Learning rate schedule (could be constant).
    :param net_arch: Sizes of hidden *linear* layers, by default none.
    :param activation_fn: Activation after each hidden layer, the identity by default.
    :param kwargs: The other arguments of SB3's ``ActorCriticPolicy``.
    """

    action_net: nn.Linear

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        lr_schedule: Schedule,
        net_arch: list[int] | dict[str, list[int]] | None = None,
        activation_fn: type[nn.Module] = nn.Identity,
        **kwargs: Any,
    ) -> None:
        if isinstance(observation_space, spaces.Dict):
            kwargs.setdefault("features_extractor_class", FlattenDictExtractor)
        super().__init__(
            observation_space,
            action_space,
            lr_schedule,
            net_arch=[] if net_arch is None else net_arch,
            activation_fn=activation_fn,
            **kwargs,
        )

    def _build_mlp_extractor(self) -> None:
        self.mlp_extractor = _LinearExtractor(
            self.features_dim, net_arch=self.net_arch, activation_fn=self.activation_fn, device=self.device
        )

    def _build(self, lr_schedule: Schedule) -> None:
        super()._build(lr_schedule)
        if self.is_linear:
            nn.init.zeros_(self.action_net.weight)

    @property
    def is_linear(self) -> bool:
        """Whether the outputs are linear in the parameters, so that the score has a closed form."""
        return not any(True for module in self._modules_before_outputs() for _ in module.parameters())

    def _modules_before_outputs(self) -> tuple[nn.Module, nn.Module]:
        return self.pi_features_extractor, self.mlp_extractor.policy_net

    def actor_parameters(self) -> list[nn.Parameter]:
        """
        :return: The parameters that the actions depend on, in the order of :meth:`score`: features
            extractor, hidden layers, weights of shape ``(n_outputs, n_features)``, biases of shape ``(n_outputs,)``.
        """
        modules = (*self._modules_before_outputs(), self.action_net)
        return [parameter for module in modules for parameter in module.parameters()]

    def _tensors(self, obs: Batch) -> PyTorchObs:
        if isinstance(obs, th.Tensor):
            return obs.to(self.device)
        if isinstance(obs, dict) and all(isinstance(value, th.Tensor) for value in obs.values()):
            return {key: value.to(self.device) for key, value in obs.items()}  # type: ignore[union-attr]
        return self.obs_to_tensor(obs)[0]  # type: ignore[arg-type]

    def _latent(self, obs: PyTorchObs) -> th.Tensor:
        features = BasePolicy.extract_features(self, obs, self.pi_features_extractor)
        return self.mlp_extractor.forward_actor(features)

    def _outputs(self, latent: th.Tensor) -> th.Tensor:
        """What the last layer gives, by rows. Shape ``(n_outputs, batch)``."""
        return self.action_net.weight @ latent.T + self.action_net.bias.unsqueeze(1)

    def _terms(self, outputs: th.Tensor, actions: th.Tensor) -> ActionTerms:
        """Log-probabilities, scores and entropies."""
        raise NotImplementedError

    def _entropy_score(self, outputs: th.Tensor) -> th.Tensor:
        """Gradients of the entropies by the distribution's parameters."""
        raise NotImplementedError

    def _gradients(self, latent: th.Tensor, by_rows: th.Tensor) -> list[th.Tensor]:
        """From gradients by the distribution's parameters to those by the policy's, summed over the batch."""
        return [by_rows @ latent, by_rows.sum(dim=1)]

    def _scores(self, latent: th.Tensor, by_rows: th.Tensor) -> th.Tensor:
        """The same sample by sample. Shape ``(batch, n_parameters)``."""
        return linear_score(latent, by_rows.T)

    def score(self, obs: Batch, actions: th.Tensor | np.ndarray) -> th.Tensor:
        r"""
        The score (eligibility) vectors :math:`\nabla_\theta \log \pi(a|s)`, a row for each pair of
        observation and action: in closed form where :attr:`is_linear`, else by autograd sample by sample.

        :param obs: Observations, an array or a tensor. Shape ``(batch, *observation_shape)``.
        :param actions: Shape ``(batch,)`` for Discrete, else ``(batch, *action_shape)``.
        :return: Columns in the order of :meth:`actor_parameters`, each of them flattened.
            Shape ``(batch, n_parameters)``.
        """
        obs = self._tensors(obs)
        actions = action_tensor(actions, self.action_space, self.action_net.weight)
        if self.is_linear:
            with th.no_grad(), unobserved(self):
                latent = self._latent(obs)
                return self._scores(latent, self._terms(self._outputs(latent), actions).score)
        with unobserved(self):
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
        self,
        obs: PyTorchObs,
        actions: th.Tensor,
        weights: th.Tensor,
        log_uniform: th.Tensor | float,
        epsilon: th.Tensor | None,
        entropy_weight: float = 0.0,
    ) -> tuple[float, float]:
        r"""
        Add the gradient of :math:`-\sum_t w_t \log \beta(a_t|s_t) - c \sum_t H(\pi(\cdot|s_t))` to the parameters'
        ``grad``, as ``backward`` would, from the closed-form score. Needs :attr:`is_linear`.

        :param obs: Observations. Shape ``(batch, *observation_shape)``.
        :param actions: As from :class:`~sb3_reinforce.rollouts.episode_buffer.EpisodeBuffer`.
        :param weights: :math:`w_t`. Shape ``(batch,)``.
        :param log_uniform: Log-probability (for Box, log-density) of uniformly drawn actions. A number, or shape ``(batch,)``.
        :param epsilon: How much each action was explored by; None for none. Shape ``(batch,)``.
        :param entropy_weight: :math:`c`, of the entropy bonus.
        :return: :math:`-\sum_t w_t \log \beta(a_t|s_t)`, and the sum of the policy's entropies.
        """
        latent = self._latent(obs)
        outputs = self._outputs(latent)
        terms = self._terms(outputs, actions)
        log_behaviour, factors = terms.log_prob, weights
        if epsilon is not None:
            log_behaviour = mixture_log_prob(terms.log_prob, log_uniform, epsilon)
            factors = weights * mixture_factor(terms.log_prob, log_uniform, epsilon)
        by_rows = terms.score * factors
        if entropy_weight:
            by_rows += entropy_weight * self._entropy_score(outputs)
        uphill = self._gradients(latent, by_rows)
        for parameter, gradient in zip(self.actor_parameters(), uphill, strict=True):
            parameter.grad = -gradient if parameter.grad is None else parameter.grad - gradient
        return -float(weights @ log_behaviour), float(terms.entropy.sum())


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

    action_space: spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary

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
        if not isinstance(action_space, (spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)):
            raise ValueError(
                f"LinearSoftmaxPolicy serves Discrete, MultiDiscrete and MultiBinary actions, but these are {action_space}. "
                "Use 'LinearGaussianPolicy' or 'MlpPolicy' ('CnnPolicy' for images, 'MultiInputPolicy' for Dict observations)."
            )
        if phi is not None:
            kwargs = {**kwargs, **_phi_arguments(phi, action_space, net_arch, kwargs)}
        super().__init__(observation_space, action_space, lr_schedule, net_arch, activation_fn, **kwargs)

    def _build(self, lr_schedule: Schedule) -> None:
        if isinstance(self.pi_features_extractor, PhiExtractor):
            self.action_dist = PhiDistribution(self.pi_features_extractor.n_actions)
        super()._build(lr_schedule)

    def _outputs(self, latent: th.Tensor) -> th.Tensor:
        return self.action_net(latent).T.contiguous() if isinstance(self.action_net, PhiNet) else super()._outputs(latent)

    def _sizes(self) -> list[int]:
        """How many choices each part of an action has."""
        space: Any = self.action_space
        return space.nvec.tolist() if isinstance(space, spaces.MultiDiscrete) else [int(space.n)]

    def _terms(self, outputs: th.Tensor, actions: th.Tensor) -> ActionTerms:
        if isinstance(self.action_space, spaces.MultiBinary):
            return bernoulli_terms(outputs, actions)
        return softmax_terms(outputs, actions.reshape(len(actions), -1), self._sizes())

    def _entropy_score(self, outputs: th.Tensor) -> th.Tensor:
        if isinstance(self.action_space, spaces.MultiBinary):
            return entropy_score_of_bits(outputs)
        return entropy_score_of_parts(outputs, self._sizes())

    def _gradients(self, latent: th.Tensor, by_rows: th.Tensor) -> list[th.Tensor]:
        if isinstance(self.action_net, PhiNet):
            return [self._scores(latent, by_rows).sum(dim=0, keepdim=True)]
        return super()._gradients(latent, by_rows)

    def _scores(self, latent: th.Tensor, by_rows: th.Tensor) -> th.Tensor:
        if isinstance(self.action_net, PhiNet):
            return phi_score(latent.unflatten(1, (len(by_rows), -1)), by_rows.T)
        return super()._scores(latent, by_rows)

    @th.no_grad()
    def action_probabilities(self, obs: Batch) -> th.Tensor:
        r"""
        :param obs: Observations, an array or a tensor. Shape ``(batch, *observation_shape)``.
        :return: :math:`\pi(\cdot|s)`. Shape ``(batch, n_actions)``. For MultiDiscrete actions, the probabilities of
            the first part's choices, then of the second's and so on, ``(batch, sum(nvec))``; for MultiBinary
            ones, the probabilities of a 1, ``(batch, n_bits)``.
        """
        with unobserved(self):
            outputs = self.action_net(self._latent(self._tensors(obs)))
        if isinstance(self.action_space, spaces.MultiBinary):
            return outputs.sigmoid()
        return log_softmax_of_parts(outputs.T, self._sizes()).exp().T

    @th.no_grad()
    def fisher(self, obs: PyTorchObs) -> th.Tensor:
        r"""
        The Fisher information :math:`\sum_s \mathbb{E}_{a \sim \pi}[\nabla \log \pi(a|s) \nabla \log \pi(a|s)^\top]`
        in closed form. Needs :attr:`is_linear`.

        :param obs: Observations. Shape ``(batch, *observation_shape)``.
        :return: Float64, in the order of :meth:`score`. Shape ``(n_parameters, n_parameters)``.
        """
        with unobserved(self):
            latent = self._latent(obs).double()
        if isinstance(self.action_net, PhiNet):
            phi = latent.unflatten(1, (-1, self.action_net.in_features))
            return phi_fisher(phi, phi @ self.action_net.weight[0].double())
        logits = latent @ self.action_net.weight.T.double() + self.action_net.bias.double()
        if isinstance(self.action_space, spaces.MultiBinary):
            sizes = [1] * logits.shape[1]
            parts = [bernoulli_fisher(latent, bit) for bit in logits.unbind(dim=1)]
        else:
            sizes = self._sizes()
            parts = [softmax_fisher(latent, part) for part in logits.split(sizes, dim=1)]
        return fisher_of_parts(parts, sizes, latent.shape[1])


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

    log_std: nn.Parameter

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        lr_schedule: Schedule,
        net_arch: list[int] | dict[str, list[int]] | None = None,
        activation_fn: type[nn.Module] = nn.Identity,
        **kwargs: Any,
    ) -> None:
        if not isinstance(action_space, spaces.Box):
            raise ValueError(
                f"LinearGaussianPolicy serves Box actions, but these are {action_space}. Use 'LinearSoftmaxPolicy' or "
                "'MlpPolicy' ('CnnPolicy' for images, 'MultiInputPolicy' for Dict observations)."
            )
        if kwargs.get("use_sde"):
            raise ValueError(
                "LinearGaussianPolicy draws its actions independently of each other: use_sde must be False. State-dependent "
                "exploration is for 'MlpPolicy' with SB3's A2C or PPO."
            )
        super().__init__(observation_space, action_space, lr_schedule, net_arch, activation_fn, **kwargs)

    def actor_parameters(self) -> list[nn.Parameter]:
        r"""
        :return: The parameters that the actions depend on, in the order of :meth:`score`: features extractor, hidden layers,
            weights of shape ``(action_dim, n_features)``, biases and :math:`\log \sigma` of shape ``(action_dim,)``.
        """
        return [*super().actor_parameters(), self.log_std]

    def _terms(self, outputs: th.Tensor, actions: th.Tensor) -> ActionTerms:
        return gaussian_terms(outputs, self.log_std, actions)

    def _entropy_score(self, outputs: th.Tensor) -> th.Tensor:
        return entropy_score_of_gaussian(outputs)

    def _gradients(self, latent: th.Tensor, by_rows: th.Tensor) -> list[th.Tensor]:
        by_means, by_log_std = by_rows.chunk(2)
        return [*super()._gradients(latent, by_means), by_log_std.sum(dim=1)]

    def _scores(self, latent: th.Tensor, by_rows: th.Tensor) -> th.Tensor:
        by_means, by_log_std = by_rows.chunk(2)
        return th.cat([super()._scores(latent, by_means), by_log_std.T], dim=1)
