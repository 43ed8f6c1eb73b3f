"""REINFORCE: collect whole episodes, weigh their actions by what followed, take one step uphill."""

from typing import TypeVar

import numpy as np
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.type_aliases import MaybeCallback
from stable_baselines3.common.utils import explained_variance
from stable_baselines3.common.vec_env import VecEnv

from sb3_reinforce.common.base import CallbackLocals
from sb3_reinforce.common.callbacks import listening
from sb3_reinforce.common.chance import keeps_global_generators
from sb3_reinforce.common.constraints import checked
from sb3_reinforce.common.flags import any_set
from sb3_reinforce.common.logs import removes_outputs_on_error
from sb3_reinforce.features.fixed_features import unobserved
from sb3_reinforce.gradient.baselines import make_baseline
from sb3_reinforce.gradient.clipping import clip_gradient
from sb3_reinforce.gradient.estimators import (
    advantages_of,
    discounts,
    generalized_advantages,
    normalize,
    reward_to_go,
    signal_to_noise,
    total_return,
)
from sb3_reinforce.gradient.scores import accumulate_gradient, episode_estimates, scores_of
from sb3_reinforce.gradient.undoing import undone_if_it_fails
from sb3_reinforce.reinforce.arguments import LEARN_ARGUMENTS, ReinforceArguments
from sb3_reinforce.rollouts.behaviour import Behaviour
from sb3_reinforce.rollouts.episode_buffer import EpisodeBuffer
from sb3_reinforce.rollouts.epsilon import epsilon_of_episodes
from sb3_reinforce.rollouts.rollout import Rollout

SelfREINFORCE = TypeVar("SelfREINFORCE", bound="REINFORCE")


class REINFORCE(ReinforceArguments):
    r"""
    REINFORCE, the Monte Carlo policy gradient of Williams (1992); Sutton and Barto (2018), chapter 13.

    It repeats three steps. Collect: play ``n_episodes`` whole episodes, the first ones *started*. Weigh: give every action
    the return that followed it, less a baseline. Step: move the parameters once along

    .. math:: \frac{1}{N} \sum_{i=1}^{N} \sum_{t=0}^{T_i - 1} (G_{i,t} - b_i) \nabla_\theta \log \beta_\theta(a_{i,t}|s_{i,t})

    the mean over episodes of the sum over timesteps. Without what is called biased below, this is an unbiased estimate of the
    gradient of the expected return, for ``gamma`` 1. With ``epsilon`` the behaviour is
    :math:`\beta(a|s) = (1-\epsilon)\pi(a|s) + \epsilon u(a)`, u the uniform distribution, and the gradient is exactly that of
    :math:`\beta`.

    :param policy: "LinearPolicy", "LinearSoftmaxPolicy", "LinearGaussianPolicy", "MlpPolicy", "CnnPolicy",
        "MultiInputPolicy", or a subclass of SB3's ``ActorCriticPolicy``.
    :param env: The environment to learn from (if registered in Gymnasium, can be a string), or a VecEnv.
    :param learning_rate: Step size, or a function of the progress remaining (from 1 to 0). Default: 0.2 with linear softmax
        policies, 0.05 with linear Gaussian ones, 0.005 with others; 1 for the natural gradient.
    :param n_episodes: Episodes of a rollout, for each step. Default: 8, or one for each environment if there are more.
    :param gamma: Discount factor of what an action is credited with. The default does not discount.
    :param gae_lambda: Below 1, what follows counts less the later it comes, and the baseline's values say the rest: Schulman
        et al. (2016), GAE. Less variance; biased as far as the values are wrong. For the baselines that know the state.
    :param baseline: What is subtracted from the return. "none"; "mean" (of the rollout; biased); from its other episodes
        "leave_one_out", "time" (at the same time since the start) or "optimal" (the constant of least variance for each
        parameter); fitted to earlier rollouts "linear" or "value" (the value net); or a function of your own, a
        :class:`~sb3_reinforce.gradient.baselines.StateBaseline`.
    :param reward_to_go: Whether to credit an action with what followed it; else with the return of the whole episode.
    :param normalize_advantage: Whether to bring a rollout's advantages to mean 0 and standard deviation 1. Biased.
    :param epsilon: How often an action is drawn uniformly: a number from 0 to 1, an
        :class:`~sb3_reinforce.EpsilonSchedule`, which falls by episode, or a function of the progress remaining.
    :param ent_coef: Every timestep adds this many times the policy's entropy to the objective.
    :param vf_coef: Coefficient of the value net's loss, where it is used.
    :param n_value_updates: Steps of the value net a rollout, each on 512 timesteps, where it is used: with
        ``baseline="value"`` or ``bootstrap_truncated``.
    :param max_grad_norm: The maximum norm of the gradient; None for no clipping. Biased.
    :param natural_gradient: Whether to step along the natural gradient (Kakade, 2001): exactly for linear policies, else by
        conjugate gradients. The Fisher matrix is the policy's own, also with ``epsilon``.
    :param target_kl: The most that a natural step may change the policy: mean Kullback-Leibler divergence, in nats. Default:
        0.15 with linear policies of discrete actions, 0.02 with others.
    :param damping: What is added to the Fisher matrix's diagonal, relative to its mean. Default: 0.001 with linear policies,
        1 with others.
    :param line_search: Whether to measure each natural step, and to shorten one that changes the policy by more than
        ``target_kl``: it is computed to second order, and may be too long.
    :param bootstrap_truncated: Whether the value net says what would have followed where a time limit ended an episode; else
        the return ends there. Biased as far as the value net is wrong. Give a ``gamma`` below 1 with it.
    :param discount_weighting: Whether to weigh the action at time t by :math:`\gamma^t` too: the gradient of the discounted
        return (Sutton and Barto, 2018, section 13.3).
    :param action_masks: Which actions are allowed. None: what the environment's method ``action_masks()`` says, if it has
        one. True: also ``info["action_mask"]``, or the part "action_mask" of a Dict observation. False: all. Or a function
        from observations to masks, see :data:`~sb3_reinforce.common.action_masks.MaskFunction`.
    :param log_gradient_snr: Whether to log ``train/gradient_snr``, the signal-to-noise ratio of the gradient.
    :param max_episode_steps: An episode longer than this is taken for one that never ends.
    :param stats_window_size: Over how many episodes ``rollout/ep_rew_mean`` and its like are averaged.
    :param tensorboard_log: The log location for TensorBoard (if None, no logging).
    :param policy_kwargs: Additional arguments to be passed to the policy on creation.
    :param verbose: Verbosity level: 0 for no output, 1 for info messages, 2 for debug messages.
    :param seed: Seed for the pseudo random generators, from which all chance of each rollout is drawn. None draws one.
    :param device: "auto" is the CPU, but the GPU if possible for CnnPolicy and MultiInputPolicy.
    :param _init_setup_model: Whether or not to build the network at the creation of the instance.
    :raises ValueError: If an argument is not what it may be, or the policy or a space is not served; while learning, if an
        observation or a reward is not finite.
    :raises RuntimeError: While learning, if an episode does not end, or somebody else moves the environment.
    :raises FloatingPointError: While learning, if a gradient is not finite: its step is not taken.
    """

    @property
    def exploration_rate(self) -> float:
        """Epsilon of the last episode started."""
        buffer = self.rollout_buffer
        return float(buffer.epsilons[max(buffer.order.n_started, 1) - 1])

    @keeps_global_generators
    @removes_outputs_on_error
    @checked(LEARN_ARGUMENTS, "REINFORCE.learn")
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

        :param total_timesteps: Environment steps to train on, at the least: the rollout in which they are reached is finished
            and learned from. The default solves CartPole-v1: 7500 for each episode of a rollout (60,000 in all with one
            environment), and twice that with several environments, whose idle steps count too.
        :param callback: Callback(s) called at every step with state of the algorithm.
        :param log_interval: How many rollouts lie between two logs; None for no logs.
        :param tb_log_name: The name of the run for TensorBoard logging.
        :param reset_num_timesteps: Whether to count timesteps from 0, or on from the last ``learn``.
        :param progress_bar: Display a progress bar using tqdm and rich.
        :return: The trained model.
        """
        if total_timesteps is None:
            total_timesteps = 7_500 * self.rollout_buffer.n_episodes * (1 if self.n_envs == 1 else 2)
        self._check()  # arguments and policy may be others than those that were given
        total_timesteps, callback = self._setup_learn(
            total_timesteps, callback, reset_num_timesteps, tb_log_name, progress_bar
        )
        assert self.env is not None
        callback.on_training_start(CallbackLocals(locals()), globals())
        iteration, go_on = 0, True
        while go_on and self.num_timesteps < total_timesteps:
            self._update_current_progress_remaining(self.num_timesteps, total_timesteps)
            go_on = self.collect_rollouts(self.env, callback, self.rollout_buffer)
            if self.rollout_buffer.complete:
                self.train()
                iteration += 1
                if log_interval is not None and iteration % log_interval == 0:
                    self.dump_logs(iteration)
        callback.on_training_end()
        return self

    def collect_rollouts(
        self, env: VecEnv, callback: BaseCallback, rollout_buffer: EpisodeBuffer | RolloutBuffer, n_rollout_steps: int = 0
    ) -> bool:
        """
        Play the rollout's episodes, each to its end, and store them.

        :param env: The training environment.
        :param callback: Called at each step, and at the beginning and end of the rollout.
        :param rollout_buffer: Buffer to fill.
        :param n_rollout_steps: Not used: a rollout is counted in episodes.
        :return: False if the callback ended training.
        """
        assert isinstance(rollout_buffer, EpisodeBuffer)
        self.policy.set_training_mode(False)
        callback.on_rollout_start()
        epsilons = epsilon_of_episodes(
            self.epsilon, self._episode_num, rollout_buffer.n_episodes, self._current_progress_remaining
        )
        at_start, environments = self._start_rollout(), self._environments
        assert environments is not None
        rollout_buffer.environment = environments.name
        rollout_buffer.reset(epsilons, at_start, environments.reset_takes_a_step, self.bootstrap_truncated)
        behaviour = Behaviour(self.policy, rollout_buffer, self._rng, has_masks=environments.masks is not None)
        order, patience, (hears_each_step, hears_ends) = rollout_buffer.order, self._patience(), listening(callback)
        # Of more episodes than the statistics remember, nobody but a listener sees the first ones
        n_unseen = 0 if hears_ends else order.n_episodes - self._stats_window_size
        n_steps, go_on = 0, True
        while go_on and not order.complete:
            action_masks = environments.action_masks(self._last_obs)  # type: ignore[arg-type]
            actions, clipped_actions = behaviour.act(self._last_obs, action_masks)  # type: ignore[arg-type]
            new_obs, rewards, dones, infos = environments.step(clipped_actions)
            self.num_timesteps += env.num_envs
            if hears_each_step or (hears_ends and any_set(dones)):
                learned_from = order.is_playing
                callback.update_locals(locals())
                go_on = callback.on_step()
            n_steps += 1
            ended = rollout_buffer.add(self._last_obs, actions, rewards, dones, infos, action_masks)  # type: ignore[arg-type]
            if len(ended) and order.n_ended > n_unseen:
                self._record_episodes(infos, ended)
            if n_steps >= patience.next_check:
                patience.check(n_steps, order.n_ended, order.longest)
            self._last_obs, self._last_episode_starts = new_obs, dones  # type: ignore[assignment]
        if order.complete:
            self._episode_num += order.n_episodes
            callback.update_locals(locals())
            callback.on_rollout_end()
            self._end_rollout()
        return go_on

    def train(self) -> None:
        """Weigh the rollout's actions, take one step uphill, and fit the baseline to what it saw."""
        self._update_learning_rate(self.policy.optimizer)
        rollout = self.rollout_buffer.rollout()
        scores, value_net = scores_of(self.policy), self._value_net()
        step, baseline = self._step_by(scores), make_baseline(self.baseline, self._linear_baseline, self.policy, value_net)
        rewards = value_net.complete(rollout, self.gamma)  # with what a time limit cut off, if that is asked for
        returns = (reward_to_go if self.reward_to_go else total_return)(rewards, rollout.lengths, self.gamma)
        targets = value_net.targets(rewards, rollout.lengths, self.gamma)
        values = baseline.predict(rollout, returns)
        advantages = advantages_of(returns, values)
        if self.gae_lambda < 1.0:
            advantages = generalized_advantages(rewards, values, rollout.lengths, self.gamma, self.gae_lambda)
        weights = self._weights(advantages, rollout)
        self.policy.set_training_mode(True)
        self.policy.optimizer.zero_grad()
        loss, entropy = accumulate_gradient(scores, rollout, weights, self.ent_coef / rollout.n_episodes)
        # Features with running statistics have seen the rollout now, and once is enough
        with unobserved(self.policy), undone_if_it_fails(self.policy):
            if baseline.is_constant or self.log_gradient_snr:
                estimates = episode_estimates(scores, self.policy, rollout, weights, self._units(rollout), baseline)
            grad_norm = clip_gradient(self.policy.parameters(), self.max_grad_norm)
            step.take(rollout, self.lr_schedule(self._current_progress_remaining))
            baseline.fit(rollout, returns)
            self._record("train", **value_net.fit(rollout, targets))
        self.policy.set_training_mode(False)
        self._n_updates += 1
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self._record("train", policy_loss=loss, entropy_loss=-entropy / rollout.n_timesteps, grad_norm=grad_norm)
        self._record("train", advantage_mean=advantages.mean(), advantage_std=advantages.std())
        if baseline.explains:
            self._record("train", explained_variance=explained_variance(values, returns))
        if self.log_gradient_snr:
            self._record("train", gradient_snr=signal_to_noise(estimates))

    def _weights(self, advantages: np.ndarray, rollout: Rollout) -> np.ndarray:
        """What each action's score is weighed by."""
        weights = normalize(advantages, rollout.n_episodes) if self.normalize_advantage else advantages.copy()
        weights /= rollout.n_episodes
        if self.discount_weighting:
            weights *= self._units(rollout)
        return weights

    def _units(self, rollout: Rollout) -> np.ndarray:
        """What it would be weighed by for a return of 1 at each timestep."""
        is_discounted = self.discount_weighting and self.reward_to_go
        return discounts(rollout.lengths, self.gamma if is_discounted else 1.0)

    def dump_logs(self, iteration: int = 0) -> None:
        """
        Write log.

        :param iteration: Current logging iteration.
        """
        self.logger.record("rollout/epsilon", self.exploration_rate)
        super().dump_logs(iteration)
