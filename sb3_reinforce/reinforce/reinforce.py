"""REINFORCE: collect whole episodes, weigh their actions by what followed, take one step uphill."""

from typing import Any, ClassVar, TypeVar

import numpy as np
import torch as th
from gymnasium import spaces
from gymnasium.vector.utils import batch_space
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.policies import ActorCriticCnnPolicy, ActorCriticPolicy, BasePolicy, MultiInputActorCriticPolicy
from stable_baselines3.common.type_aliases import GymEnv, MaybeCallback, Schedule
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import VecEnv

from sb3_reinforce.common.acting import Actor, numpy_actor, torch_actor
from sb3_reinforce.common.base import EpisodicAlgorithm
from sb3_reinforce.common.callbacks import is_heard
from sb3_reinforce.common.checks import check_spaces, check_that_episodes_end
from sb3_reinforce.common.episode_buffer import EpisodeBatch, EpisodeBuffer, EpisodeOrder
from sb3_reinforce.common.epsilon import EpsilonSchedule, log_uniform_density
from sb3_reinforce.common.estimators import BASELINES, baseline_values, normalize, reward_to_go
from sb3_reinforce.common.score import mixture_log_prob
from sb3_reinforce.reinforce.policies import LinearSoftmaxPolicy

SelfREINFORCE = TypeVar("SelfREINFORCE", bound="REINFORCE")


class REINFORCE(EpisodicAlgorithm, OnPolicyAlgorithm):
    r"""
    REINFORCE, the Monte Carlo policy gradient of Williams (1992); Sutton and Barto (2018),
    chapter 13.

    It repeats three steps. Collect: play ``n_episodes`` whole episodes. Weigh: give every action
    the return that followed it, less a baseline. Step: move the parameters once along

    .. math:: \frac{1}{N} \sum_{i=1}^{N} \sum_{t=0}^{T_i - 1} (G_{i,t} - b_i) \nabla_\theta \log \beta_\theta(a_{i,t}|s_{i,t})

    the mean over episodes of the sum over timesteps. (To divide by the number of timesteps,
    which is itself random and depends on the policy, would bias it.) With a ``baseline`` other than
    "mean", no ``normalize_advantage`` and no ``max_grad_norm``, this is an unbiased
    estimate of the gradient of the expected return, for ``gamma`` 1; a smaller gamma discounts
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
    entropy of :math:`\pi`), ``train/grad_norm`` (before clipping), ``train/learning_rate``.

    :param policy: "LinearSoftmaxPolicy", "MlpPolicy", "CnnPolicy", "MultiInputPolicy", or a
        subclass of SB3's ``ActorCriticPolicy``. The value net is not used.
    :param env: The environment to learn from (if registered in Gymnasium, can be a string), or a
        VecEnv of any number of them. Actions may be Discrete, MultiDiscrete, MultiBinary or Box.
    :param learning_rate: Step size, or a function of the current progress remaining (from 1 to 0).
        Default: falls linearly to 0, from 0.2 with LinearSoftmaxPolicy, from 0.005 with other policies.
    :param n_episodes: Episodes of a rollout, for each gradient step. Default: 8, or one for each
        environment if there are more.
    :param gamma: Discount factor. The default does not discount: an episode has an end.
    :param baseline: "none", "mean" (over the rollout, biased), "leave_one_out" (the mean over the
        other episodes, unbiased) or "time" (the same at each timestep since the start, unbiased). The last
        two need two episodes. See :mod:`sb3_reinforce.common.estimators`.
    :param normalize_advantage: Whether to bring the advantages of a rollout to mean 0 and standard
        deviation 1. Makes the step size mean the same everywhere, at the price of a bias.
    :param epsilon: How often an action is drawn uniformly instead of from the policy: a number
        from 0 to 1, an :class:`~sb3_reinforce.EpsilonSchedule`, which falls by episode, or an
        SB3 schedule, a function of the progress remaining.
    :param max_grad_norm: The maximum norm of the gradient; None for no clipping.
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
    :raises FloatingPointError: While learning, if the gradient is not finite. As with the other
        errors, the parameters are then as they were before the rollout.
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        "LinearSoftmaxPolicy": LinearSoftmaxPolicy,
        "MlpPolicy": ActorCriticPolicy,
        "CnnPolicy": ActorCriticCnnPolicy,
        "MultiInputPolicy": MultiInputActorCriticPolicy,
    }
    rollout_buffer: EpisodeBuffer  # type: ignore[assignment]

    def __init__(
        self,
        policy: str | type[ActorCriticPolicy],
        env: GymEnv | str,
        learning_rate: float | Schedule | None = None,
        n_episodes: int | None = None,
        gamma: float = 1.0,
        baseline: str = "time",
        normalize_advantage: bool = True,
        epsilon: float | Schedule | EpsilonSchedule = 0.0,
        max_grad_norm: float | None = None,
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
            learning_rate = LinearSchedule(0.2 if issubclass(policy_class, LinearSoftmaxPolicy) else 0.005, 0.0, 1.0)
        if device == "auto" and not issubclass(policy_class, (ActorCriticCnnPolicy, MultiInputActorCriticPolicy)):
            device = "cpu"
        super().__init__(
            policy,
            env,
            learning_rate=learning_rate,
            n_steps=0,  # a rollout is counted in episodes
            gamma=gamma,
            gae_lambda=1.0,
            ent_coef=0.0,
            vf_coef=0.0,
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
        self.normalize_advantage = normalize_advantage
        self.epsilon = epsilon
        self.max_episode_steps = max_episode_steps
        self.exploration_rate = 0.0
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
        self._maybe_recommend_cpu()

    def _check_arguments(self) -> None:
        if self.n_episodes is not None and self.n_episodes < 1:
            raise ValueError(f"n_episodes must be at least 1, but got {self.n_episodes}.")
        if not 0.0 <= self.gamma <= 1.0:
            raise ValueError(f"gamma must be between 0 and 1, but got {self.gamma}.")
        if self.baseline not in BASELINES:
            raise ValueError(f"baseline must be one of {', '.join(BASELINES)}, but got {self.baseline!r}.")
        if self.baseline in ("leave_one_out", "time") and self.n_episodes == 1:
            raise ValueError(
                f"baseline={self.baseline!r} needs the other episodes of a rollout, but n_episodes is 1. "
                "Use n_episodes=2 or more, or baseline='none'."
            )
        if self.max_grad_norm is not None and not self.max_grad_norm > 0:
            raise ValueError(f"max_grad_norm must be positive, or None for no clipping, but got {self.max_grad_norm}.")
        if self.max_episode_steps < 1:
            raise ValueError(f"max_episode_steps must be at least 1, but got {self.max_episode_steps}.")
        check_spaces(self.observation_space, self.action_space)
        self._epsilon_of_episodes(0, 1)

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

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "_uniform_actions", "_rollout_epsilon"]

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
        has_listeners = is_heard(callback)
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
            if has_listeners:
                learned_from = order.is_playing
                callback.update_locals(locals())
                if not callback.on_step():
                    self._last_obs, self._last_episode_starts = new_obs, dones  # type: ignore[assignment]
                    return False
            n_steps += 1
            resets = vec_env.reset_transitions if waits_for_reset else None
            rollout_buffer.add(self._last_obs, actions, rewards, resets)
            if np.count_nonzero(dones):  # several times as fast as any()
                ended, _ = order.end_episodes(dones)
                self._record_episodes(infos, ended)
                self.exploration_rate = float(self._rollout_epsilon[order.n_started - 1])
            elif n_steps >= self.max_episode_steps:
                check_that_episodes_end(order.longest, self.max_episode_steps)
            self._last_obs = new_obs  # type: ignore[assignment]
            self._last_episode_starts = dones
        self._episode_num += rollout_buffer.n_episodes
        callback.update_locals(locals())
        callback.on_rollout_end()
        return True

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
        """Weigh the rollout's actions and take one gradient step."""
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        weights = self._advantages() / self.rollout_buffer.n_episodes
        self.policy.optimizer.zero_grad()
        loss, entropy = 0.0, 0.0
        for batch in self.rollout_buffer.get(weights):
            batch_loss, batch_entropy = self._accumulate_gradient(batch)
            loss += batch_loss
            entropy += batch_entropy
        grad_norm = self._clip_gradient()
        self.policy.optimizer.step()
        self._n_updates += 1
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self.logger.record("train/policy_loss", loss)
        self.logger.record("train/entropy_loss", -entropy / self.rollout_buffer.size())
        self.logger.record("train/grad_norm", grad_norm)
        if hasattr(self.policy, "log_std"):
            self.logger.record("train/std", th.exp(self.policy.log_std).mean().item())

    def _advantages(self) -> np.ndarray:
        """What each action of the rollout is weighed by, in episode order."""
        lengths = self.rollout_buffer.lengths
        returns = reward_to_go(self.rollout_buffer.rewards(), lengths, self.gamma)
        advantages = returns - baseline_values(self.baseline, returns, lengths)
        return normalize(advantages) if self.normalize_advantage else advantages

    def _accumulate_gradient(self, batch: EpisodeBatch) -> tuple[float, float]:
        """Add one batch's part to the gradient; return its parts of the loss and of the entropy."""
        epsilon = self._epsilon_of_timesteps(batch)
        log_uniform = 0.0 if epsilon is None else log_uniform_density(self.action_space, batch.actions)
        if isinstance(self.policy, LinearSoftmaxPolicy) and self.policy.is_linear:
            assert isinstance(log_uniform, float)
            return self.policy.accumulate_gradient(batch.observations, batch.actions, batch.weights, log_uniform, epsilon)
        distribution = self.policy.get_distribution(batch.observations)
        log_prob = distribution.log_prob(batch.actions)
        if epsilon is not None:
            log_prob = mixture_log_prob(log_prob, log_uniform, epsilon)
        loss = -(batch.weights * log_prob).sum()
        loss.backward()
        entropy = distribution.entropy()
        return loss.item(), entropy.sum().item() if entropy is not None else -log_prob.sum().item()

    def _epsilon_of_timesteps(self, batch: EpisodeBatch) -> th.Tensor | None:
        if not self._rollout_epsilon.any():
            return None
        epsilon = th.as_tensor(self._rollout_epsilon, dtype=batch.weights.dtype, device=self.device)
        return epsilon[batch.episodes.long()]

    def _clip_gradient(self) -> float:
        max_norm = th.inf if self.max_grad_norm is None else self.max_grad_norm
        grad_norm = float(th.nn.utils.clip_grad_norm_(self.policy.parameters(), max_norm))
        if not np.isfinite(grad_norm):
            raise FloatingPointError(
                f"The gradient is not finite (its norm is {grad_norm}), so no step was taken. The rewards may be too large: "
                "scale them (VecNormalize), or lower learning_rate if the parameters have grown out of bounds."
            )
        return grad_norm

    def dump_logs(self, iteration: int = 0) -> None:
        """
        Write log.

        :param iteration: Current logging iteration.
        """
        self.logger.record("rollout/epsilon", self.exploration_rate)
        super().dump_logs(iteration)
