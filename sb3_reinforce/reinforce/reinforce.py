"""REINFORCE: collect whole episodes, weigh their actions by what followed, take one step uphill."""

import io
import pathlib
from collections.abc import Iterable
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch as th
from gymnasium import spaces
from gymnasium.vector.utils import batch_space
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.distributions import Distribution
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.policies import ActorCriticCnnPolicy, ActorCriticPolicy, BasePolicy, MultiInputActorCriticPolicy
from stable_baselines3.common.save_util import data_to_json
from stable_baselines3.common.type_aliases import GymEnv, MaybeCallback, Schedule
from stable_baselines3.common.utils import LinearSchedule, explained_variance, obs_as_tensor, update_learning_rate
from stable_baselines3.common.vec_env import VecEnv

from sb3_reinforce.common.base import EpisodicAlgorithm
from sb3_reinforce.common.callbacks import has_listeners
from sb3_reinforce.common.checks import check_features, check_spaces, check_that_episodes_end
from sb3_reinforce.features.fixed_features import unobserved
from sb3_reinforce.gradient.baselines import (
    LinearBaseline,
    StateBaseline,
    ValueBaseline,
    check_value_targets,
    clip_gradient,
    in_chunks,
    n_linear_regressors,
)
from sb3_reinforce.gradient.estimators import (
    SAMPLE_BASELINES,
    add_to_last,
    advantages_of,
    baseline_values,
    discounts,
    normalize,
    optimal_constants,
    reward_to_go,
    signal_to_noise,
    timesteps_of,
    total_return,
)
from sb3_reinforce.gradient.natural_gradient import natural_step
from sb3_reinforce.gradient.score import mixture_factor, mixture_log_prob
from sb3_reinforce.policies.policies import (
    CnnPolicy,
    LinearGaussianPolicy,
    LinearPolicy,
    LinearSoftmaxPolicy,
    MlpPolicy,
    MultiInputPolicy,
)
from sb3_reinforce.rollouts.acting import Actor, numpy_actor, torch_actor
from sb3_reinforce.rollouts.episode_buffer import EpisodeBatch, EpisodeBuffer, EpisodeOrder, Observations
from sb3_reinforce.rollouts.epsilon import EpsilonSchedule, log_uniform_density

BASELINES = (*SAMPLE_BASELINES, "linear", "value", "optimal")
_BASELINES_OF_OTHER_EPISODES = ("leave_one_out", "time", "optimal")
VALUE_STEP_SIZE = 0.01
"""Of the value net beside the natural gradient, whose learning rate is of another kind."""
_LEAST = {"n_episodes": 1, "max_episode_steps": 1, "n_value_updates": 0, "vf_coef": 0, "damping": 0}
_INTEGERS = ("n_episodes", "n_value_updates")
_MAX_MATRIX_ROWS = 5_000
"""A matrix of float64 has 200 MB then, and its solution takes seconds."""

SelfREINFORCE = TypeVar("SelfREINFORCE", bound="REINFORCE")


def _default_step_size(policy_class: type[BasePolicy]) -> float:
    if issubclass(policy_class, LinearSoftmaxPolicy):
        return 0.2
    return 0.05 if issubclass(policy_class, LinearGaussianPolicy) else 0.005


def _check_matrix(argument: str, names: str, n: int, instead: str) -> None:
    """Before a matrix of that size, and its solution, stop the machine."""
    if n > _MAX_MATRIX_ROWS:
        raise ValueError(
            f"{argument} solves a system of equations with as many unknowns as there are {names}, {n:,} here, but more than "
            f"{_MAX_MATRIX_ROWS:,} would take too much memory and time. Use {instead}, or a features extractor with fewer "
            "features."
        )


class REINFORCE(EpisodicAlgorithm, OnPolicyAlgorithm):
    r"""
    REINFORCE, the Monte Carlo policy gradient of Williams (1992); Sutton and Barto (2018),
    chapter 13.

    It repeats three steps. Collect: play ``n_episodes`` whole episodes. Weigh: give every action
    the return that followed it, less a baseline. Step: move the parameters once along

    .. math:: \frac{1}{N} \sum_{i=1}^{N} \sum_{t=0}^{T_i - 1} (G_{i,t} - b_i) \nabla_\theta \log \beta_\theta(a_{i,t}|s_{i,t})

    the mean over episodes of the sum over timesteps. (To divide by the number of timesteps,
    which is itself random and depends on the policy, would bias it.) With a ``baseline`` other than
    "mean", no ``normalize_advantage``, no ``max_grad_norm``, no ``bootstrap_truncated`` and no ``ent_coef``, this is an
    unbiased estimate of the gradient of the expected return, for ``gamma`` 1; a smaller gamma discounts
    what an action is credited with, as is the custom, and not the states that come later.

    A rollout is the first ``n_episodes`` episodes *started*, each played to its end, from
    freshly reset environments. While the last of them end, environments with nothing left to play
    go on idly; their steps are counted in ``num_timesteps`` and are not learned from. Where a
    time limit ends an episode, the return ends there too.

    With ``epsilon`` the behaviour is :math:`\beta(a|s) = (1-\epsilon)\pi(a|s) + \epsilon u(a)`,
    u the uniform distribution over the action space, and the gradient is exactly that of
    :math:`\beta`. ``predict`` acts by :math:`\pi` and never explores by epsilon.

    Logged at the end of every ``log_interval``-th rollout, with SB3's own keys: ``rollout/epsilon``
    (of the last episode started), ``train/policy_loss``, ``train/entropy_loss`` (minus the mean
    entropy of :math:`\pi`), ``train/grad_norm`` (before clipping), ``train/learning_rate``, ``train/advantage_mean`` and
    ``train/advantage_std`` (before they are normalised), ``train/explained_variance`` (of the returns by the
    baseline), ``train/value_loss`` where there is one.

    :param policy: "LinearSoftmaxPolicy", "LinearGaussianPolicy", "MlpPolicy", "CnnPolicy", "MultiInputPolicy", or a
        subclass of SB3's ``ActorCriticPolicy``. The value net serves ``baseline="value"`` and ``bootstrap_truncated`` only.
    :param env: The environment to learn from (if registered in Gymnasium, can be a string), or a
        VecEnv of any number of them. Actions may be Discrete, MultiDiscrete, MultiBinary or Box.
    :param learning_rate: Step size, or a function of the current progress remaining (from 1 to 0).
        Default: falls linearly to 0, from 0.2 with LinearSoftmaxPolicy, from 0.05 with LinearGaussianPolicy, from 0.005
        with other policies; 1 for the natural gradient.
    :param n_episodes: Episodes of a rollout, for each gradient step. Default: 8, or one for each
        environment if there are more.
    :param gamma: Discount factor. The default does not discount: an episode has an end.
    :param baseline: What is subtracted from the return that follows an action. All but "mean" keep the gradient
        unbiased. "none"; "mean" (over all timesteps of the rollout); from the other episodes of the rollout, so that two are
        needed, "leave_one_out" (the mean over their timesteps) or "time" (the same at each timestep since the start);
        fitted to earlier rollouts, "linear" (least squares on features and time) or "value" (the policy's value net);
        "optimal" (the constant of least variance, one for each parameter; it needs the gradient of each episode, which is
        cheap for linear policies only); or a
        function of your own: :class:`~sb3_reinforce.gradient.baselines.StateBaseline`. For sources
        see :mod:`sb3_reinforce.gradient.estimators` and :mod:`sb3_reinforce.gradient.baselines`.
    :param reward_to_go: Whether to credit an action with what followed it; else with the return of the
        whole episode, as in Williams (1992), which has the same mean and more variance.
    :param normalize_advantage: Whether to bring the advantages of a rollout to mean 0 and standard
        deviation 1. Makes the step size mean the same everywhere, at the price of a bias.
    :param epsilon: How often an action is drawn uniformly instead of from the policy: a number
        from 0 to 1, an :class:`~sb3_reinforce.EpsilonSchedule`, which falls by episode, or an
        SB3 schedule, a function of the progress remaining.
    :param ent_coef: Entropy coefficient: every timestep adds this many times the policy's entropy to the objective.
    :param vf_coef: Value function coefficient for the loss of the value net, where it is used.
    :param n_value_updates: Gradient steps of the value net a rollout, each on 512 of its timesteps, where it is used: with
        ``baseline="value"`` or ``bootstrap_truncated``.
    :param max_grad_norm: The maximum norm of the gradient; None for no clipping. Shortens the estimates of the rollouts
        that say most, and so biases even the direction.
    :param natural_gradient: Whether to go along the natural gradient (Kakade, 2001), which counts a step by how
        much it changes what the policy does. For LinearSoftmaxPolicy with logits linear in the parameters. The default
        learning rate is then 1, all the way; ``ent_coef=0.2`` keeps its long steps from ending in a corner. The value net,
        where it is used, has no such gradient, and goes by Adam with a step size of 0.01, whatever the learning rate.
    :param target_kl: With ``natural_gradient``, the most that a step may change the policy: the mean Kullback-Leibler
        divergence over the rollout's timesteps, in nats. Steps that would be longer are shortened.
    :param damping: With ``natural_gradient``, what is added to the Fisher matrix's diagonal, relative to its mean.
    :param bootstrap_truncated: Whether the value net's estimate of what would have followed is added where a time limit ended
        the episode; else the time limit belongs to the task, and the return ends there. The gradient is biased as far as that
        estimate is wrong. The value net learns from the same returns, with its own estimate at their end, so give a ``gamma``
        below 1: with 1, and time limits that end most episodes, these returns grow without bound.
    :param discount_weighting: Whether to weigh the action at time t by :math:`\gamma^t` too, which makes the estimate the
        gradient of the discounted return (Sutton and Barto, 2018, section 13.3). Without ``reward_to_go`` it is
        that already, and this changes nothing.
    :param log_gradient_snr: Whether to log ``train/gradient_snr``, the signal-to-noise ratio of the rollout's gradient, from
        the gradient of each episode (see :func:`~sb3_reinforce.gradient.estimators.signal_to_noise`). Cheap for linear
        policies; for others it takes about as long as the update.
    :param max_episode_steps: An episode longer than this is taken for one that never ends.
    :param stats_window_size: Over how many episodes ``rollout/ep_rew_mean``, ``rollout/ep_len_mean``
        and the success rate are averaged.
    :param tensorboard_log: The log location for TensorBoard (if None, no logging).
    :param policy_kwargs: Additional arguments to be passed to the policy on creation.
    :param verbose: Verbosity level: 0 for no output, 1 for info messages (such as device or wrappers
        used), 2 for debug messages.
    :param seed: Seed for the pseudo random generators.
    :param device: Device (cpu, cuda, ...) on which the code should be run. "auto" is the CPU, where
        small networks are fastest, but the GPU if possible for CnnPolicy and MultiInputPolicy.
    :param _init_setup_model: Whether or not to build the network at the creation of the instance.
    :raises ValueError: If an argument is out of its range, a name is unknown, or a space is not
        supported; while learning, if an observation or a reward is not finite.
    :raises RuntimeError: While learning, if an episode is longer than ``max_episode_steps``.
    :raises FloatingPointError: While learning, if a gradient is not finite: its step is not taken. If it is the policy's, the
        parameters are as they were before the rollout, as with the other errors. The value net learns after the policy has.
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        "LinearSoftmaxPolicy": LinearSoftmaxPolicy,
        "LinearGaussianPolicy": LinearGaussianPolicy,
        "MlpPolicy": MlpPolicy,
        "CnnPolicy": CnnPolicy,
        "MultiInputPolicy": MultiInputPolicy,
    }
    rollout_buffer: EpisodeBuffer  # type: ignore[assignment]

    def __init__(
        self,
        policy: str | type[ActorCriticPolicy],
        env: GymEnv | str,
        learning_rate: float | Schedule | None = None,
        n_episodes: int | None = None,
        gamma: float = 1.0,
        baseline: str | StateBaseline = "time",
        reward_to_go: bool = True,
        normalize_advantage: bool = True,
        epsilon: float | Schedule | EpsilonSchedule = 0.0,
        ent_coef: float = 0.0,
        vf_coef: float = 0.5,
        n_value_updates: int = 40,
        max_grad_norm: float | None = None,
        natural_gradient: bool = False,
        target_kl: float = 0.02,
        damping: float = 1e-3,
        bootstrap_truncated: bool = False,
        discount_weighting: bool = False,
        log_gradient_snr: bool = False,
        max_episode_steps: int = 100_000,
        stats_window_size: int = 100,
        tensorboard_log: str | None = None,
        policy_kwargs: dict[str, Any] | None = None,
        verbose: int = 0,
        seed: int | None = None,
        device: th.device | str = "auto",
        _init_setup_model: bool = True,
    ) -> None:
        policy_class = self._get_policy_from_name(policy) if isinstance(policy, str) else policy
        if learning_rate is None:
            learning_rate = 1.0 if natural_gradient else LinearSchedule(_default_step_size(policy_class), 0.0, 1.0)
        if device == "auto" and not issubclass(policy_class, (ActorCriticCnnPolicy, MultiInputActorCriticPolicy)):
            device = "cpu"
        super().__init__(
            policy,
            env,
            learning_rate=learning_rate,
            n_steps=0,  # a rollout is counted in episodes
            gamma=gamma,
            gae_lambda=1.0,
            ent_coef=ent_coef,
            vf_coef=vf_coef,
            max_grad_norm=max_grad_norm,  # type: ignore[arg-type]
            use_sde=False,
            sde_sample_freq=-1,
            stats_window_size=stats_window_size,
            tensorboard_log=tensorboard_log,
            policy_kwargs=policy_kwargs,
            verbose=verbose,
            seed=seed,
            device=device,
            _init_setup_model=False,
            supported_action_spaces=(spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary),
        )
        self.n_episodes = n_episodes
        self.baseline = baseline
        self.reward_to_go = reward_to_go
        self.normalize_advantage = normalize_advantage
        self.epsilon = epsilon
        self.n_value_updates = n_value_updates
        self.natural_gradient = natural_gradient
        self.target_kl = target_kl
        self.damping = damping
        self.bootstrap_truncated = bootstrap_truncated
        self.discount_weighting = discount_weighting
        self.log_gradient_snr = log_gradient_snr
        self.max_episode_steps = max_episode_steps
        self.exploration_rate = 0.0
        self._linear_baseline = LinearBaseline()
        if _init_setup_model:
            self._setup_model()

    def _setup_model(self) -> None:
        self._check_arguments()
        self._setup_lr_schedule()
        self.set_random_seed(self.seed)
        self.rollout_buffer = EpisodeBuffer(
            self.n_episodes or max(8, self.n_envs), self.observation_space, self.action_space, self.device, self.n_envs
        )
        self.policy = self.policy_class(  # type: ignore[assignment]
            self.observation_space, self.action_space, self.lr_schedule, **self.policy_kwargs
        )
        self.policy = self.policy.to(self.device)
        self._check_policy()
        self._value_baseline = ValueBaseline(self.policy, self._rng)
        self.policy.set_training_mode(False)
        self._maybe_recommend_cpu("MlpPolicy")

    def _check_arguments(self) -> None:
        self._check_numbers()
        if not callable(self.baseline) and self.baseline not in BASELINES:
            raise ValueError(
                f"baseline must be one of {', '.join(BASELINES)}, or a function of observations and timesteps, "
                f"but got {self.baseline!r}."
            )
        if self.baseline in _BASELINES_OF_OTHER_EPISODES and self.n_episodes == 1:
            raise ValueError(
                f"baseline={self.baseline!r} needs the other episodes of a rollout, but n_episodes is 1. "
                "Use n_episodes=2 or more, or baseline='none'."
            )
        if self.log_gradient_snr and self.n_episodes == 1:
            raise ValueError("log_gradient_snr needs the spread between episodes, but n_episodes is 1. Use 2 or more.")
        check_spaces(self.observation_space, self.action_space)
        check_features(self.policy_class, self.policy_kwargs, self.observation_space)
        self._epsilon_of_episodes(0, 1)

    def _check_numbers(self) -> None:
        if not 0.0 <= self.gamma <= 1.0:
            raise ValueError(f"gamma must be between 0 and 1, but got {self.gamma}.")
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if value is not None and not value >= least:
                raise ValueError(f"{name} must be at least {least}, but got {value}.")
            if name in _INTEGERS and value is not None and not isinstance(value, (int, np.integer)):
                raise ValueError(f"{name} must be an integer, but got {value!r}.")
        if not np.isfinite(self.ent_coef):
            raise ValueError(f"ent_coef must be finite, but got {self.ent_coef}.")
        if not self.target_kl > 0:
            raise ValueError(f"target_kl must be positive, but got {self.target_kl}.")
        if self.max_grad_norm is not None and not self.max_grad_norm > 0:
            raise ValueError(f"max_grad_norm must be positive, or None for no clipping, but got {self.max_grad_norm}.")

    def _check_policy(self) -> None:
        if self.policy.use_sde:
            raise ValueError(
                "policy_kwargs has use_sde=True, but state-dependent exploration keeps its noise for many steps, and here "
                "actions are drawn independently of each other. Leave use_sde out, or use SB3's A2C or PPO."
            )
        if self.natural_gradient and not (isinstance(self.policy, LinearSoftmaxPolicy) and self.policy.is_linear):
            raise ValueError(
                "natural_gradient needs the closed-form Fisher matrix of LinearSoftmaxPolicy with logits linear in the "
                f"parameters (no net_arch), but this is a {type(self.policy).__name__}. Use that, or natural_gradient=False."
            )
        if self.natural_gradient:
            n_parameters = sum(parameter.numel() for parameter in self._actor_parameters())
            _check_matrix("natural_gradient", "parameters", n_parameters, "natural_gradient=False")
        if self.baseline == "linear":
            n_regressors = n_linear_regressors(self.policy.pi_features_extractor.features_dim)
            _check_matrix("baseline='linear'", "regressors", n_regressors, "baseline='time' or 'value'")

    def _epsilon_of_episodes(self, first: int, n_episodes: int) -> np.ndarray:
        """Epsilon of the episodes from number ``first`` on; a rollout long for a schedule by progress."""
        if isinstance(self.epsilon, EpsilonSchedule):
            return np.array([self.epsilon.value(first + i) for i in range(n_episodes)])
        epsilon = float(self.epsilon(self._current_progress_remaining) if callable(self.epsilon) else self.epsilon)
        if not 0.0 <= epsilon <= 1.0:
            raise ValueError(f"epsilon must be between 0 and 1, but got {epsilon}.")
        return np.full(n_episodes, epsilon)

    def set_random_seed(self, seed: int | None = None) -> None:
        """
        Set the seed of the pseudo-random generators (python, numpy, pytorch, gym, action_space).

        :param seed: None to go by numpy's global generator, as SB3's ``set_random_seed`` left it.
        """
        super().set_random_seed(seed)
        # One draw for all environments; n_envs is missing while a saved model is loaded without one
        self._uniform_actions = batch_space(self.action_space, getattr(self, "n_envs", 1))
        self._uniform_actions.seed(int(self._rng.integers(2**31)))
        if hasattr(self, "_value_baseline"):
            self._value_baseline.rng = self._rng

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "_uniform_actions", "_rollout_epsilon", "_value_baseline"]

    def learn(
        self: SelfREINFORCE,
        total_timesteps: int | None = None,
        callback: MaybeCallback = None,
        log_interval: int | None = 1,
        tb_log_name: str = "REINFORCE",
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> SelfREINFORCE:
        """
        Return a trained model.

        :param total_timesteps: Environment steps to train on, at the least: the rollout in which
            they are reached is finished and learned from. The default solves CartPole-v1: 7500 for each
            episode of a rollout (60,000 in all with one environment), and twice that with several
            environments, whose idle steps count too.
        :param callback: Callback(s) called at every step with state of the algorithm.
        :param log_interval: How many rollouts lie between two logs; None for no logs.
        :param tb_log_name: The name of the run for TensorBoard logging.
        :param reset_num_timesteps: Whether to count timesteps from 0, or on from the last ``learn``.
        :param progress_bar: Display a progress bar using tqdm and rich.
        :return: The trained model.
        """
        if total_timesteps is None:
            total_timesteps = 7_500 * self.rollout_buffer.n_episodes * (1 if self.n_envs == 1 else 2)
        total_timesteps, callback = self._setup_learn(
            total_timesteps, callback, reset_num_timesteps, tb_log_name, progress_bar
        )
        assert self.env is not None
        callback.on_training_start(locals(), globals())
        iteration = 0
        while self.num_timesteps < total_timesteps:
            self._update_current_progress_remaining(self.num_timesteps, total_timesteps)
            if not self.collect_rollouts(self.env, callback, self.rollout_buffer):
                break
            self.train()
            iteration += 1
            if log_interval is not None and iteration % log_interval == 0:
                self.dump_logs(iteration)
        callback.on_training_end()
        return self

    def collect_rollouts(
        self,
        env: VecEnv,
        callback: BaseCallback,
        rollout_buffer: EpisodeBuffer | RolloutBuffer,
        n_rollout_steps: int = 0,
    ) -> bool:
        """
        Play the rollout's episodes, each to its end, and store them.

        :param env: The training environment.
        :param callback: Called at each step, and at the beginning and end of the rollout.
        :param rollout_buffer: Buffer to fill.
        :param n_rollout_steps: Not used: a rollout is counted in episodes.
        :return: False if the callback ended training before the rollout was complete.
        """
        assert isinstance(rollout_buffer, EpisodeBuffer)
        self.policy.set_training_mode(False)
        self._restart_environments(env)
        rollout_buffer.reset()
        order = rollout_buffer.order
        act = self._make_actor(order)
        box = self.action_space if isinstance(self.action_space, spaces.Box) else None
        vec_env: Any = env.unwrapped
        waits_for_reset = getattr(vec_env, "has_reset_transitions", False)  # of GymnasiumVecEnv
        is_listened_to = has_listeners(callback)
        # Of more episodes than the statistics remember, nobody but a listener sees the first ones
        n_unseen = 0 if is_listened_to else rollout_buffer.n_episodes - self._stats_window_size
        n_steps = 0
        callback.on_rollout_start()
        while not order.complete:
            assert self._last_obs is not None
            actions = act(self._last_obs)
            clipped_actions = actions
            if box is not None:
                clipped_actions = np.clip(actions.reshape(-1, *box.shape), box.low, box.high)
            new_obs, rewards, dones, infos = env.step(clipped_actions)
            self.num_timesteps += env.num_envs
            if is_listened_to:
                learned_from = order.is_playing
                callback.update_locals(locals())
                if not callback.on_step():
                    self._last_obs, self._last_episode_starts = new_obs, dones  # type: ignore[assignment]
                    return False
            n_steps += 1
            resets = vec_env.reset_transitions if waits_for_reset else None
            rollout_buffer.add(self._last_obs, actions, rewards, resets)
            if np.count_nonzero(dones):  # several times as fast as any()
                ended = self._end_episodes(order, dones, infos)
                if order.n_ended > n_unseen:
                    self._record_episodes(infos, ended)
            elif n_steps >= self.max_episode_steps:
                check_that_episodes_end(order.longest, self.max_episode_steps)
            self._last_obs = new_obs  # type: ignore[assignment]
            self._last_episode_starts = dones
        self._episode_num += rollout_buffer.n_episodes
        callback.update_locals(locals())
        callback.on_rollout_end()
        return True

    def _end_episodes(self, order: EpisodeOrder, dones: np.ndarray, infos: list[dict[str, Any]]) -> np.ndarray:
        """Close the episodes that ended with the step; return the environments of those that count."""
        ended, episodes = order.end_episodes(dones)
        if self.bootstrap_truncated:
            self._keep_cut_off(infos, ended, episodes)
        self.exploration_rate = float(self._rollout_epsilon[order.n_started - 1])
        return ended

    def _keep_cut_off(self, infos: list[dict[str, Any]], envs: np.ndarray, episodes: np.ndarray) -> None:
        for env, episode in zip(envs.tolist(), episodes.tolist(), strict=True):
            if infos[env].get("TimeLimit.truncated", False):
                self.rollout_buffer.add_cut_off(episode, infos[env]["terminal_observation"])

    def _make_actor(self, order: EpisodeOrder) -> Actor:
        """The policy as it is now, as a function from observations to actions, epsilon included."""
        act_by_policy = numpy_actor(self.policy, self.n_envs, self._rng) or torch_actor(self.policy)
        self._rollout_epsilon = self._epsilon_of_episodes(self._episode_num, order.n_episodes)
        self.exploration_rate = float(self._rollout_epsilon[order.n_started - 1])
        if not self._rollout_epsilon.any():
            return act_by_policy

        def act(obs: Any) -> np.ndarray:
            actions = act_by_policy(obs)
            epsilon = np.zeros(len(actions))
            epsilon[order.envs] = self._rollout_epsilon[order.episodes]
            explore = self._rng.random(len(actions)) < epsilon
            actions[explore] = self._uniform_actions.sample().reshape(actions.shape)[explore]
            return actions

        return act

    def train(self) -> None:
        """Weigh the rollout's actions, take one gradient step, and fit the baseline to what it saw."""
        self._update_learning_rate(self.policy.optimizer)
        if self.natural_gradient:  # the optimizer then steps the value net only
            update_learning_rate(self.policy.optimizer, VALUE_STEP_SIZE)
        observations = self.rollout_buffer.observations() if self._baseline_sees_observations() else None
        rewards = self._credited_rewards()
        returns = self._returns(rewards)
        values = self._baseline_values(returns, observations)
        targets = self._value_targets(returns, rewards)
        advantages = advantages_of(returns, values)
        weights = self._weights(advantages)
        self.policy.set_training_mode(True)
        loss, entropy = self._compute_gradient(weights)
        with unobserved(self.policy):  # features with running statistics have seen the rollout now, and once is enough
            grad_norm = clip_gradient(self.policy.parameters(), self.max_grad_norm)
            if self.log_gradient_snr:
                self.logger.record("train/gradient_snr", signal_to_noise(self._episode_gradients(weights)))
            self._step()
            self._n_updates += 1
            if observations is not None:
                self._fit_baseline(observations, returns, targets)
        self.policy.set_training_mode(False)
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self.logger.record("train/policy_loss", loss)
        self.logger.record("train/entropy_loss", -entropy / self.rollout_buffer.size())
        self.logger.record("train/grad_norm", grad_norm)
        self._log_advantages(advantages, returns, values)
        if hasattr(self.policy, "log_std"):
            self.logger.record("train/std", th.exp(self.policy.log_std).mean().item())

    def _baseline_sees_observations(self) -> bool:
        return callable(self.baseline) or self.baseline in ("linear", "value") or self.bootstrap_truncated

    def _credited_rewards(self) -> np.ndarray:
        """The rewards in episode order; with ``bootstrap_truncated``, the value of what a time limit cut off is among them."""
        rewards = self.rollout_buffer.rewards()
        if self.bootstrap_truncated:
            episodes, last_observations = self.rollout_buffer.cut_off()
            if len(episodes) > 0:
                values = self._value_baseline(last_observations, episodes)
                rewards = add_to_last(rewards, self.rollout_buffer.lengths, episodes, self.gamma * values)
        return rewards

    def _returns(self, rewards: np.ndarray) -> np.ndarray:
        """What each action is credited with, in episode order."""
        return (reward_to_go if self.reward_to_go else total_return)(rewards, self.rollout_buffer.lengths, self.gamma)

    def _value_targets(self, returns: np.ndarray, rewards: np.ndarray) -> np.ndarray | None:
        """What follows each timestep, for the value net where it is used: not what actions are credited with, perhaps."""
        if self.baseline != "value" and not self.bootstrap_truncated:
            return None
        targets = returns if self.reward_to_go else reward_to_go(rewards, self.rollout_buffer.lengths, self.gamma)
        check_value_targets(targets)
        return targets

    def _baseline_values(self, returns: np.ndarray, observations: Observations | None) -> np.ndarray:
        """What is subtracted from the returns; "optimal" is not a number for each timestep, and comes later."""
        lengths = self.rollout_buffer.lengths
        if self.baseline in SAMPLE_BASELINES:
            return baseline_values(str(self.baseline), returns, lengths)
        if self.baseline == "optimal":
            return np.zeros_like(returns)
        assert observations is not None
        baseline, seen = self._state_baseline(observations)
        values = np.asarray(baseline(seen, timesteps_of(lengths)), dtype=np.float64)
        if values.shape != returns.shape or not np.isfinite(values).all():
            raise ValueError(
                f"The baseline must give a finite number for each timestep, an array of shape {returns.shape}, but gave "
                f"one of shape {values.shape}, {np.count_nonzero(~np.isfinite(values))} of them not finite. "
                "Nothing was learned from this rollout."
            )
        return values

    def _state_baseline(self, observations: Observations) -> tuple[StateBaseline, Observations]:
        """The baseline that knows the state, and what it sees of it."""
        if self.baseline == "linear":
            return self._linear_baseline, self._features(observations)
        if callable(self.baseline):
            return self.baseline, observations
        return self._value_baseline, observations

    @th.no_grad()
    def _features(self, observations: Observations) -> np.ndarray:
        def features(obs: Observations) -> np.ndarray:
            extractor = self.policy.pi_features_extractor
            return BasePolicy.extract_features(self.policy, obs_as_tensor(obs, self.device), extractor).cpu().numpy()

        return in_chunks(features, observations)

    def _fit_baseline(self, observations: Observations, returns: np.ndarray, targets: np.ndarray | None) -> None:
        """After the step, so that a baseline never knows the returns that it is subtracted from."""
        baseline, seen = self._state_baseline(observations)
        if baseline is not self._value_baseline and hasattr(baseline, "fit"):
            baseline.fit(seen, timesteps_of(self.rollout_buffer.lengths), returns)
        if targets is not None:
            value_loss = self._value_baseline.fit(
                observations, targets, self.n_value_updates, self.vf_coef, self.max_grad_norm
            )
            self.logger.record("train/value_loss", value_loss)

    def _weights(self, advantages: np.ndarray) -> np.ndarray:
        """What each action's score is weighed by, in episode order."""
        weights = normalize(advantages) if self.normalize_advantage else advantages
        if self.discount_weighting and self.reward_to_go:
            weights = weights * discounts(self.rollout_buffer.lengths, self.gamma)
        return weights / self.rollout_buffer.n_episodes

    def _log_advantages(self, advantages: np.ndarray, returns: np.ndarray, values: np.ndarray) -> None:
        self.logger.record("train/advantage_mean", advantages.mean())
        self.logger.record("train/advantage_std", advantages.std())
        if self.baseline not in ("none", "optimal"):
            self.logger.record("train/explained_variance", explained_variance(values, returns))

    def _compute_gradient(self, weights: np.ndarray) -> tuple[float, float]:
        """Of minus the objective; return its policy part, and the sum of the policy's entropies."""
        self.policy.optimizer.zero_grad()
        loss, entropy = 0.0, 0.0
        for batch in self.rollout_buffer.get(weights):
            batch_loss, batch_entropy = self._accumulate_gradient(batch)
            loss += batch_loss
            entropy += batch_entropy
        if self.baseline == "optimal":
            self._subtract_optimal_constants(weights)
        return loss, entropy

    def _accumulate_gradient(self, batch: EpisodeBatch) -> tuple[float, float]:
        """Add one batch's part to the gradient; return its parts of the loss and of the entropy."""
        entropy_weight = self.ent_coef / self.rollout_buffer.n_episodes
        epsilon = self._epsilon_of_timesteps(batch)
        if isinstance(self.policy, LinearPolicy) and self.policy.is_linear:
            log_uniform = 0.0 if epsilon is None else log_uniform_density(self.action_space, batch.actions)
            return self.policy.accumulate_gradient(*batch[:3], log_uniform, epsilon, entropy_weight)
        distribution, log_prob = self._log_behaviour(batch, epsilon)
        entropy = distribution.entropy()
        entropies = -distribution.log_prob(batch.actions) if entropy is None else entropy
        loss = -(batch.weights * log_prob).sum()
        (loss - entropy_weight * entropies.sum()).backward()
        return loss.item(), entropies.sum().item()

    def _log_behaviour(self, batch: EpisodeBatch, epsilon: th.Tensor | None) -> tuple[Distribution, th.Tensor]:
        """The policy's distributions, and the log-probabilities of the behaviour, epsilon included."""
        distribution = self.policy.get_distribution(batch.observations)
        log_prob = distribution.log_prob(batch.actions)
        if epsilon is not None:
            log_prob = mixture_log_prob(log_prob, log_uniform_density(self.action_space, batch.actions), epsilon)
        return distribution, log_prob

    def _epsilon_of_timesteps(self, batch: EpisodeBatch) -> th.Tensor | None:
        if not self._rollout_epsilon.any():
            return None
        epsilon = th.as_tensor(self._rollout_epsilon, dtype=batch.weights.dtype, device=self.device)
        return epsilon[batch.episodes.long()]

    def _actor_parameters(self) -> list[th.nn.Parameter]:
        """The parameters that the gradient is of."""
        if isinstance(self.policy, LinearPolicy):
            return self.policy.actor_parameters()
        return [parameter for parameter in self.policy.parameters() if parameter.grad is not None]

    def _episode_sums(self, weights: np.ndarray) -> np.ndarray:
        """Each episode's weighted sum of score vectors. Shape ``(n_episodes, n_parameters)``."""
        parameters = self._actor_parameters()
        sums = th.zeros(self.rollout_buffer.n_episodes, sum(p.numel() for p in parameters), dtype=th.float64)
        with unobserved(self.policy):
            for batch in self.rollout_buffer.get(weights):
                if isinstance(self.policy, LinearPolicy) and self.policy.is_linear:
                    sums.index_add_(0, batch.episodes.cpu(), self._weighted_scores(batch).double().cpu())
                    continue
                _, log_prob = self._log_behaviour(batch, self._epsilon_of_timesteps(batch))
                for episode in batch.episodes.unique():
                    weighted = (batch.weights * log_prob)[batch.episodes == episode].sum()
                    gradients = th.autograd.grad(weighted, parameters, retain_graph=True)
                    sums[int(episode)] += th.cat([gradient.flatten() for gradient in gradients]).double().cpu()
        return sums.numpy()

    @th.no_grad()
    def _weighted_scores(self, batch: EpisodeBatch) -> th.Tensor:
        """Score vectors of the behaviour in closed form, times their weights. Shape ``(batch, n_parameters)``."""
        assert isinstance(self.policy, LinearPolicy)
        factors, epsilon = batch.weights, self._epsilon_of_timesteps(batch)
        if epsilon is not None:
            log_prob = self.policy.get_distribution(batch.observations).log_prob(batch.actions)
            factors = factors * mixture_factor(log_prob, log_uniform_density(self.action_space, batch.actions), epsilon)
        return self.policy.score(batch.observations, batch.actions) * factors.unsqueeze(1)

    def _episode_gradients(self, weights: np.ndarray) -> np.ndarray:
        """Each episode's own estimate of the gradient, without the entropy bonus. Shape ``(n_episodes, n_parameters)``."""
        estimates = self.rollout_buffer.n_episodes * self._episode_sums(weights)
        if self.baseline == "optimal":
            estimates -= self._optimal_part(estimates)
        return estimates

    def _optimal_part(self, estimates: np.ndarray) -> np.ndarray:
        """What the optimal constants take off each episode's estimate. Shape ``(n_episodes, n_parameters)``."""
        ones = np.ones(self.rollout_buffer.size())
        if self.discount_weighting and self.reward_to_go:
            ones = discounts(self.rollout_buffer.lengths, self.gamma)
        scores = self._episode_sums(ones)
        return optimal_constants(estimates, scores) * scores

    def _subtract_optimal_constants(self, weights: np.ndarray) -> None:
        excess = self._optimal_part(self.rollout_buffer.n_episodes * self._episode_sums(weights)).mean(axis=0)
        parameters = self._actor_parameters()
        sizes = [parameter.numel() for parameter in parameters]
        for parameter, part in zip(parameters, th.as_tensor(excess).split(sizes), strict=True):
            assert parameter.grad is not None
            parameter.grad += part.view_as(parameter).to(parameter.grad)

    def _step(self) -> None:
        if self.natural_gradient:
            self._natural_step()
        else:
            self.policy.optimizer.step()

    @th.no_grad()
    def _natural_step(self) -> None:
        assert isinstance(self.policy, LinearSoftmaxPolicy)
        parameters = self._actor_parameters()
        gradient = -th.cat([parameter.grad.flatten() for parameter in parameters if parameter.grad is not None]).double()
        fisher = th.zeros(len(gradient), len(gradient), dtype=th.float64, device=self.device)
        n_timesteps = self.rollout_buffer.size()
        for batch in self.rollout_buffer.get(np.zeros(n_timesteps)):
            fisher += self.policy.fisher(batch.observations)
        gradient *= self.rollout_buffer.n_episodes / n_timesteps
        learning_rate = self.lr_schedule(self._current_progress_remaining)
        step = natural_step(gradient, fisher / n_timesteps, learning_rate, self.target_kl, self.damping)
        for parameter, part in zip(parameters, step.split([p.numel() for p in parameters]), strict=True):
            parameter.add_(part.view_as(parameter))

    def save(
        self,
        path: str | pathlib.Path | io.BufferedIOBase,
        exclude: Iterable[str] | None = None,
        include: Iterable[str] | None = None,
    ) -> None:
        """
        Save all the attributes of the object and the model parameters in a zip-file. The file
        takes its place only when it is complete.

        :param path: Path to the file (``.zip`` is added if it has no suffix), or a file-like object.
        :param exclude: Names of parameters that should be excluded in addition to the default ones.
        :param include: Names of parameters that might be excluded but should be included anyway.
        :raises OSError: If it can't be written; a file that was there before is untouched.
        :raises ValueError: If a ``baseline`` of the user's own can't be pickled; the same holds.
        """
        exclude = list(exclude or ())
        if callable(self.baseline) and "baseline" not in exclude:
            try:
                data_to_json({"baseline": self.baseline})
            except Exception as error:
                raise ValueError(
                    f"The model can't be saved, for its baseline {self.baseline!r} can't be pickled: {error}. Give it a "
                    "__getstate__ that leaves out what belongs to this process (open files, locks, environments), or save "
                    "with exclude=['baseline'] and set model.baseline after loading."
                ) from error
        super().save(path, exclude, include)

    def dump_logs(self, iteration: int = 0) -> None:
        """
        Write log.

        :param iteration: Current logging iteration.
        """
        self.logger.record("rollout/epsilon", self.exploration_rate)
        super().dump_logs(iteration)
