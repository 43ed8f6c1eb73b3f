"""RandomWeightSearch: guess the weights, play, keep the best."""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.type_aliases import MaybeCallback

from sb3_reinforce.common.arguments import LEARN
from sb3_reinforce.common.base import CallbackLocals
from sb3_reinforce.common.callbacks import environment_reward_threshold
from sb3_reinforce.common.chance import environments_seed, keeps_global_generators
from sb3_reinforce.common.constraints import checked
from sb3_reinforce.common.logs import removes_outputs_on_error
from sb3_reinforce.random_weight_search.arguments import SearchArguments
from sb3_reinforce.random_weight_search.candidates import Candidates, GreedyActor
from sb3_reinforce.random_weight_search.confirmation import Confirmation
from sb3_reinforce.random_weight_search.episodes import OngoingEpisodes
from sb3_reinforce.random_weight_search.layers import check_policy, searched_layers
from sb3_reinforce.random_weight_search.player import EpisodePlayer, Play

SelfRandomWeightSearch = TypeVar("SelfRandomWeightSearch", bound="RandomWeightSearch")


@dataclass(kw_only=True)
class Search(Play):
    """
    What one ``learn`` searches with.

    :param candidates: Those that the environments play.
    :param threshold: Mean return to reach; infinity if there is none.
    :param begins_afresh: Whether all environments are to begin new episodes before anything is played.
    """

    candidates: Candidates
    threshold: float
    begins_afresh: bool = True


class RandomWeightSearch(SearchArguments, EpisodePlayer):
    """
    The baseline that guesses: draw all weights from uniform(-``weight_scale``, ``weight_scale``),
    play greedily, keep the best. On CartPole it is hard to beat, which says more about CartPole.

    Every environment plays a candidate of its own for ``n_eval_episodes`` episodes; a candidate's score
    is its mean return. Scores of so few episodes are lucky ones, so a candidate that meets
    ``reward_threshold`` has to hold it: all environments play it on fresh episodes, and it is
    dropped as soon as the mean over those so far, in the order they were started, falls below the
    threshold. The search ends when one holds it over ``n_confirmation_episodes``, or when
    ``total_timesteps`` are used up. Every step taken is counted.

    Biases are zero, features extractors stay as they are, and the value net is not used. Parameters with
    ``requires_grad=False`` stay as they are, and are played so. The policy is the best candidate so far at all
    times; what was learned is in:

    - ``best_weights``: the weight matrices of the best candidate;
    - ``best_mean_reward``: its score, over the confirmation episodes where it played any;
    - ``n_candidates``: how many candidates have been tried;
    - ``num_timesteps``: how many environment steps that took;
    - ``solved``: whether the best candidate held the threshold.

    The same numbers are logged as ``rollout/candidates``, ``rollout/best_mean_reward`` and
    ``time/total_timesteps``. A rollout, for callbacks, is as many candidates as there are environments, or fewer if one is
    confirmed.

    From time to time, before a rollout, all environments are seeded and reset, and candidates play the episodes anew that
    they were in the middle of. What is saved then goes on bit for bit (``is_resumable``, which
    :class:`~sb3_reinforce.ResumableCheckpointCallback` waits for). What is saved at other times goes on with the same
    candidates, but other episodes.

    :param policy: "LinearPolicy", "LinearSoftmaxPolicy", "LinearGaussianPolicy", "MlpPolicy", or a subclass of SB3's
        ``ActorCriticPolicy`` made of linear layers and the usual activations, with nothing overridden between
        observation and action.
    :param env: The environment to learn from (if registered in Gymnasium, can be a string), or a
        VecEnv of any number of them. Actions may be Discrete, MultiDiscrete, MultiBinary or Box.
    :param n_eval_episodes: Episodes that each candidate plays.
    :param weight_scale: Weights are drawn between minus this and this.
    :param reward_threshold: Mean return to reach. Default: the environment's own; if it has none,
        the search goes on for all of ``total_timesteps``.
    :param n_confirmation_episodes: Fresh episodes over which a candidate has to hold the threshold.
    :param action_masks: Which actions are allowed: as for :class:`~sb3_reinforce.REINFORCE`.
    :param max_episode_steps: An episode longer than this is taken for one that never ends.
    :param stats_window_size: Over how many episodes ``rollout/ep_rew_mean`` and ``rollout/ep_len_mean`` are averaged.
    :param tensorboard_log: The log location for TensorBoard (if None, no logging).
    :param policy_kwargs: Additional arguments to be passed to the policy on creation.
    :param verbose: Verbosity level: 0 for no output, 1 for info messages and the outcome, 2 for debug messages.
    :param seed: Seed for the pseudo random generators.
    :param device: "cpu" (or "auto", which is the same): candidates are played without torch.
    :param _init_setup_model: Whether or not to build the network at the creation of the instance.
    :raises ValueError: If an argument is not what it may be, or the policy or a space is not served; while learning, if an
        observation or a reward is not finite, or an observation is not of the type of its space.
    :raises RuntimeError: While learning, if an episode does not end, or somebody else moves the environment.
    """

    @property
    def best_weights(self) -> list[np.ndarray]:
        """The best candidate's weight matrices, layer by layer. Shapes ``(n_out, n_in)``."""
        return [layer.own.weight.T.copy() for layer in searched_layers(self.policy)]

    def predict(
        self,
        observation: np.ndarray | dict[str, np.ndarray],
        state: tuple[np.ndarray, ...] | None = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = True,
        action_masks: np.ndarray | None = None,
    ) -> tuple[np.ndarray, tuple[np.ndarray, ...] | None]:
        """
        The best candidate's action, always the greedy one: that is how it was judged.

        :param observation: The input observation.
        :param state: Handed back as it is.
        :param episode_start: Not used.
        :param deterministic: Not used.
        :param action_masks: Which choices are allowed: booleans, or 0 and 1. Shape ``(n, mask_size)``, or ``(mask_size,)``.
        :return: The action and the state.
        """
        return super().predict(observation, state, episode_start, deterministic=True, action_masks=action_masks)

    @removes_outputs_on_error
    @checked(LEARN, "RandomWeightSearch.learn")
    @keeps_global_generators
    def learn(
        self: SelfRandomWeightSearch,
        total_timesteps: int = 500_000,
        callback: MaybeCallback = None,
        log_interval: int | None = 10,
        tb_log_name: str = "RandomWeightSearch",
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> SelfRandomWeightSearch:
        """
        Search until a candidate holds the threshold.

        :param total_timesteps: Environment steps after which to give up.
        :param callback: Callback(s) called at every step with state of the algorithm.
        :param log_interval: How many rollouts lie between two logs; None for no logs.
        :param tb_log_name: The name of the run for TensorBoard logging.
        :param reset_num_timesteps: Whether to search anew, or go on from the last ``learn``.
        :param progress_bar: Display a progress bar using tqdm and rich.
        :return: The model with the best candidate's weights.
        """
        self._check_arguments()  # they and the policy may be others than those that were given
        check_policy(self.policy)
        self.policy.set_training_mode(False)
        total_timesteps, callback = self._setup_learn(
            total_timesteps, callback, reset_num_timesteps, tb_log_name, progress_bar
        )
        assert self.env is not None
        if reset_num_timesteps:
            self._forget()
        callback.on_training_start(CallbackLocals(locals()), globals())
        search = self._start_search(callback)
        iteration = 0
        while not (self.solved or self._is_over(search)):
            self._update_current_progress_remaining(self.num_timesteps, total_timesteps)
            self.is_resumable = search.begins_afresh
            callback.on_rollout_start()
            self._search(search)
            callback.on_rollout_end()
            iteration += 1
            if log_interval is not None and iteration % log_interval == 0:
                self.dump_logs(iteration)
        if log_interval is not None and iteration % log_interval != 0:
            self.dump_logs(iteration)
        if self.verbose >= 1:
            outcome = "solved" if self.solved else "not solved"
            print(
                f"RandomWeightSearch: {outcome} after {self.n_candidates} candidates and {self.num_timesteps} timesteps, "
                f"best mean reward {self.best_mean_reward:.2f}"
            )
        callback.on_training_end()
        return self

    def _start_search(self, callback: BaseCallback) -> Search:
        """Every environment gets a candidate."""
        assert self.env is not None
        assert self._environments is not None
        threshold = environment_reward_threshold(self.env) if self.reward_threshold is None else self.reward_threshold
        candidates = Candidates(
            self.policy, self.n_envs, self.n_eval_episodes, self.weight_scale, self._seed_of_rollouts, self._in_flight
        )
        self._in_flight = candidates.in_flight
        return Search(
            candidates=candidates,
            threshold=np.inf if threshold is None else threshold,
            actor=GreedyActor(self.policy),
            episodes=OngoingEpisodes(self.env, self._patience()),
            callback=callback,
        )

    def _begin_afresh(self, search: Search) -> None:
        """With chance of its own, as if nothing had been played before."""
        search.candidates.begin(self._begin_episodes(search, self._begin_rollout()))
        search.begins_afresh = False

    def _search(self, search: Search) -> None:
        """Play candidates until as many have a score as there are environments, or one was confirmed."""
        assert self._environments is not None
        if search.begins_afresh or self._environments.were_moved():  # by a callback between two rollouts
            self._begin_afresh(search)
        n_scored = 0
        for ended in self._play(search, search.candidates.layers):
            scored = search.candidates.enter(ended)
            if len(scored):
                self._judge(search, scored)
            n_scored += len(scored)
            if n_scored >= self.n_envs or search.begins_afresh:
                break
        search.begins_afresh = search.begins_afresh or search.episodes.may_be_broken_off

    def _judge(self, search: Search, scored: np.ndarray) -> None:
        """Keep the best of the candidates that have a score, once it has held the threshold if it met it. Guess others."""
        scores = search.candidates.scores(scored)
        self.n_candidates += len(scored)
        best_first = np.argsort(-scores, kind="stable")
        for env, score in zip(scored[best_first], scores[best_first], strict=True):
            if score < search.threshold or self._is_over(search):
                self._keep_if_best(search, env, score)
                break
            returns = self._confirm(search, env)
            self._keep_if_best(search, env, returns.mean() if len(returns) else score)
            if self.solved:
                break
        search.candidates.draw(scored)

    def _confirm(self, search: Search, candidate: int) -> np.ndarray:
        """
        All environments play one candidate on fresh episodes, for as long as it holds the threshold.
        The other candidates' unfinished episodes are broken off, and will be played again.

        :return: The returns of the confirmation episodes up to the first that has not ended.
        """
        at_start = self._begin_episodes(search, environments_seed(self._rng, self.n_envs))
        confirmation = Confirmation(self.n_confirmation_episodes, search.threshold, at_start)
        for ended in self._play(search, search.candidates.layers_of(candidate)):
            confirmation.enter(ended)
            if confirmation.is_settled:
                break
        self.solved = confirmation.is_passed
        search.begins_afresh = True
        return confirmation.returns

    def _keep_if_best(self, search: Search, candidate: int, score: float) -> None:
        """Write the candidate's weights into the policy, if it is the best so far or the one that solves."""
        if score > self.best_mean_reward or self.solved:
            self.best_mean_reward = float(score)
            search.candidates.put_into_policy(candidate)

    def dump_logs(self, iteration: int = 0) -> None:
        """
        Write log.

        :param iteration: Current logging iteration.
        """
        self.logger.record("rollout/candidates", self.n_candidates)
        if np.isfinite(self.best_mean_reward):
            self.logger.record("rollout/best_mean_reward", self.best_mean_reward)
        self.logger.record("rollout/solved", int(self.solved))
        OnPolicyAlgorithm.dump_logs(self, iteration)  # type: ignore[arg-type]
