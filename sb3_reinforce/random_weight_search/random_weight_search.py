"""RandomWeightSearch: guess the weights, play, keep the best."""

from typing import Any, ClassVar, TypeVar

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.common.type_aliases import GymEnv, MaybeCallback
from stable_baselines3.common.vec_env import VecEnv

from sb3_reinforce.common.base import EpisodicAlgorithm
from sb3_reinforce.common.callbacks import environment_reward_threshold, has_listeners, is_monitored
from sb3_reinforce.common.checks import check_features, check_spaces, check_that_episodes_end
from sb3_reinforce.policies import LinearGaussianPolicy, LinearSoftmaxPolicy, MlpPolicy
from sb3_reinforce.rollouts.acting import DenseLayer, dense_forward, dense_layers, feature_function, greedy_choice
from sb3_reinforce.rollouts.episode_order import EpisodeOrder

SelfRandomWeightSearch = TypeVar("SelfRandomWeightSearch", bound="RandomWeightSearch")


class RandomWeightSearch(EpisodicAlgorithm):
    """
    The baseline that guesses: draw all weights from uniform(-``weight_scale``, ``weight_scale``),
    play greedily, keep the best. On CartPole it is hard to beat, which says more about CartPole.

    Every environment plays a candidate of its own for ``n_eval_episodes`` episodes; a candidate's score
    is its mean return. Scores of so few episodes are lucky ones, so a candidate that meets
    ``reward_threshold`` has to hold it: all environments play it on fresh episodes, and it is
    dropped as soon as the mean over those so far, in the order they were started, falls below the
    threshold. The search ends when one holds it over ``n_confirmation_episodes``, or when
    ``total_timesteps`` are used up. Every step taken is counted.

    Biases stay zero, and the value net is not used. The policy is the best candidate so far at all
    times; what was learned is in:

    - ``best_weights``: the weight matrices of the best candidate;
    - ``best_mean_reward``: its score, over the confirmation episodes where it played any;
    - ``n_candidates``: how many candidates have been tried;
    - ``num_timesteps``: how many environment steps that took;
    - ``solved``: whether the best candidate held the threshold.

    The same numbers are logged as ``rollout/candidates``, ``rollout/best_mean_reward`` and
    ``time/total_timesteps``. A rollout, for callbacks, is as many candidates as there are environments.

    :param policy: "LinearSoftmaxPolicy", "LinearGaussianPolicy", "MlpPolicy", or a subclass of SB3's
        ``ActorCriticPolicy`` made of linear layers and the usual activations.
    :param env: The environment to learn from (if registered in Gymnasium, can be a string), or a
        VecEnv of any number of them. Actions may be Discrete, MultiDiscrete, MultiBinary or Box.
    :param n_eval_episodes: Episodes that each candidate plays.
    :param weight_scale: Weights are drawn between minus this and this.
    :param reward_threshold: Mean return to reach. Default: the environment's own; if it has none,
        the search goes on for all of ``total_timesteps``.
    :param n_confirmation_episodes: Fresh episodes over which a candidate has to hold the threshold.
    :param max_episode_steps: An episode longer than this is taken for one that never ends.
    :param stats_window_size: Over how many episodes ``rollout/ep_rew_mean`` and ``rollout/ep_len_mean`` are averaged.
    :param tensorboard_log: The log location for TensorBoard (if None, no logging).
    :param policy_kwargs: Additional arguments to be passed to the policy on creation.
    :param verbose: Verbosity level: 0 for no output, 1 for info messages and the outcome, 2 for debug messages.
    :param seed: Seed for the pseudo random generators.
    :param device: "cpu" (or "auto", which is the same): candidates are played without torch.
    :param _init_setup_model: Whether or not to build the network at the creation of the instance.
    :raises ValueError: If an argument is out of its range, a name is unknown, or a space or policy is not
        supported; while learning, if an observation or a reward is not finite.
    :raises RuntimeError: While learning, if an episode is longer than ``max_episode_steps``.
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        "LinearSoftmaxPolicy": LinearSoftmaxPolicy,
        "LinearGaussianPolicy": LinearGaussianPolicy,
        "MlpPolicy": MlpPolicy,
    }
    policy: ActorCriticPolicy

    def __init__(
        self,
        policy: str | type[ActorCriticPolicy],
        env: GymEnv | str,
        n_eval_episodes: int = 1,
        weight_scale: float = 1.0,
        reward_threshold: float | None = None,
        n_confirmation_episodes: int = 100,
        max_episode_steps: int = 100_000,
        stats_window_size: int = 100,
        tensorboard_log: str | None = None,
        policy_kwargs: dict[str, Any] | None = None,
        verbose: int = 0,
        seed: int | None = None,
        device: th.device | str = "cpu",
        _init_setup_model: bool = True,
    ) -> None:
        if th.device("cpu" if device == "auto" else device).type != "cpu":
            raise ValueError(
                f"RandomWeightSearch plays its candidates on the CPU, but got device={device!r}. Use device='cpu'."
            )
        super().__init__(
            policy,
            env,
            learning_rate=0.0,
            stats_window_size=stats_window_size,
            tensorboard_log=tensorboard_log,
            policy_kwargs=policy_kwargs,
            verbose=verbose,
            device="cpu",
            support_multi_env=True,
            seed=seed,
        )
        self.n_eval_episodes = n_eval_episodes
        self.weight_scale = weight_scale
        self.reward_threshold = reward_threshold
        self.n_confirmation_episodes = n_confirmation_episodes
        self.max_episode_steps = max_episode_steps
        self._forget()
        if _init_setup_model:
            self._setup_model()

    def _forget(self) -> None:
        self.n_candidates = 0
        self.best_mean_reward = -np.inf
        self.solved = False

    def _setup_model(self) -> None:
        self._check_arguments()
        self._setup_lr_schedule()
        self.set_random_seed(self.seed)
        if self.n_candidates > 0:
            # A saved search goes on with fresh guesses, not with those its seed has already made
            self._rng = np.random.default_rng((int(self._rng.integers(2**31)), self.n_candidates))
        self.policy = self.policy_class(  # type: ignore[assignment]
            self.observation_space, self.action_space, self.lr_schedule, **self.policy_kwargs
        )
        if dense_layers(self.policy) is None:
            raise ValueError(
                f"RandomWeightSearch draws the weights of linear layers, but {self.policy_class.__name__} has others. "
                f"Use one of {', '.join(self.policy_aliases)}."
            )

    def _check_arguments(self) -> None:
        for name in ("n_eval_episodes", "n_confirmation_episodes", "max_episode_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, but got {getattr(self, name)}.")
        if not 0.0 < self.weight_scale < np.inf:
            raise ValueError(f"weight_scale must be positive and finite, but got {self.weight_scale}.")
        if self.reward_threshold is not None and np.isnan(self.reward_threshold):
            raise ValueError(f"reward_threshold must be a number, but got {self.reward_threshold}.")
        check_spaces(self.observation_space, self.action_space)
        check_features(self.policy_class, self.policy_kwargs, self.observation_space)

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "_candidates", "_features", "_choose"]

    @property
    def best_weights(self) -> list[np.ndarray]:
        """The best candidate's weight matrices, layer by layer. Shapes ``(n_out, n_in)``."""
        return [layer.weight.T.copy() for layer in self._layers()]

    def _layers(self) -> list[DenseLayer]:
        """The policy's own layers: to write to them is to change the policy."""
        layers = dense_layers(self.policy)
        assert layers is not None
        return layers

    def predict(
        self,
        observation: np.ndarray | dict[str, np.ndarray],
        state: tuple[np.ndarray, ...] | None = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = True,
    ) -> tuple[np.ndarray, tuple[np.ndarray, ...] | None]:
        """
        The best candidate's action, always the greedy one: that is how it was judged.

        :param observation: The input observation.
        :param state: Handed back as it is.
        :param episode_start: Not used.
        :param deterministic: Not used.
        :return: The action and the state.
        """
        return self.policy.predict(observation, state, episode_start, deterministic=True)

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
        total_timesteps, callback = self._setup_learn(
            total_timesteps, callback, reset_num_timesteps, tb_log_name, progress_bar
        )
        assert self.env is not None
        if reset_num_timesteps:
            self._forget()
        threshold = environment_reward_threshold(self.env) if self.reward_threshold is None else self.reward_threshold
        self._threshold = np.inf if threshold is None else threshold
        callback.on_training_start(locals(), globals())
        self._start_search(self.env)
        iteration, go_on = 0, True
        while go_on and not self.solved and self.num_timesteps < total_timesteps:
            self._update_current_progress_remaining(self.num_timesteps, total_timesteps)
            callback.on_rollout_start()
            go_on = self._search(self.env, callback)
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

    def _start_search(self, env: VecEnv) -> None:
        """Every environment gets a first candidate and stands at the start of an episode."""
        self._features = feature_function(self.policy)
        self._choose = greedy_choice(self.action_space)
        self._monitored = is_monitored(env)
        # A candidate's weights are a row of each of these, so that all are played by one product a layer
        self._candidates = [
            layer._replace(
                weight=np.empty((env.num_envs, *layer.weight.shape), dtype=np.float32), bias=np.zeros(1, np.float32)
            )
            for layer in self._layers()
        ]
        self._draw_candidates(np.arange(env.num_envs))
        self._score_sums = np.zeros(env.num_envs)
        self._score_counts = np.zeros(env.num_envs, dtype=np.int64)
        self._restart(env)

    def _draw_candidates(self, envs: np.ndarray) -> None:
        for layer in self._candidates:
            shape = layer.weight[envs].shape
            layer.weight[envs] = self._rng.uniform(-self.weight_scale, self.weight_scale, shape)

    def _restart(self, env: VecEnv) -> None:
        self._restart_environments(env)
        self._episode_returns = np.zeros(env.num_envs)
        self._episode_lengths = np.zeros(env.num_envs, dtype=np.int64)
        self._n_plays = 0

    def _play(self, env: VecEnv, callback: BaseCallback, layers: list[DenseLayer]) -> tuple[np.ndarray, np.ndarray] | None:
        """
        One step of every environment, by candidates of their own or by one for all.

        :return: The environments whose episode has ended, and the returns; None if the callback ends training.
        """
        assert self._last_obs is not None
        actions = self._greedy_actions(layers, self._features(self._last_obs))
        new_obs, rewards, dones, infos = env.step(actions)
        self.num_timesteps += env.num_envs
        self._n_plays += 1
        self._last_obs = new_obs  # type: ignore[assignment]
        self._last_episode_starts = dones
        if has_listeners(callback):
            callback.update_locals(locals())
            if not callback.on_step():
                return None
        self._episode_returns += rewards
        self._episode_lengths += 1
        if self._n_plays >= self.max_episode_steps:
            check_that_episodes_end(int(self._episode_lengths[~dones].max(initial=0)), self.max_episode_steps)
        return self._end_episodes(dones, infos) if np.count_nonzero(dones) else (np.empty(0, dtype=np.int64), np.empty(0))

    def _greedy_actions(self, layers: list[DenseLayer], features: np.ndarray) -> np.ndarray:
        outputs = dense_forward(layers, features)
        # An activation may hide an infinite observation (tanh(inf) is 1), a linear layer does not
        hidden = any(layer.activation is not None for layer in layers)
        if not np.isfinite(outputs).all() or (hidden and not np.isfinite(features).all()):
            raise ValueError(
                "An observation is not finite, or so large that its product with the weights is not. Mend the environment "
                "(stable_baselines3.common.vec_env.VecCheckNan finds the step), or scale its observations (VecNormalize)."
            )
        if isinstance(self.action_space, spaces.Box):
            return np.clip(outputs.reshape(-1, *self.action_space.shape), self.action_space.low, self.action_space.high)
        return self._choose(outputs)

    def _end_episodes(self, dones: np.ndarray, infos: list[dict[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
        envs = np.flatnonzero(dones)
        ended = self._record_episodes(infos, envs)
        self._episode_lengths[envs] = 0
        if self._monitored:
            # As in SB3's evaluate_policy: a wrapper may end episodes (a lost life) that are not over
            is_over = np.array(["episode" in info for info in ended])
            envs = envs[is_over]
            returns = np.array([info["episode"]["r"] for info in ended if "episode" in info], dtype=np.float64)
        else:
            returns = self._episode_returns[envs]
        if not np.isfinite(returns).all():
            raise ValueError(f"The environment returned rewards that are not finite: the return of an episode is {returns}.")
        self._episode_returns[envs] = 0.0
        self._episode_num += len(envs)
        return envs, returns

    def _search(self, env: VecEnv, callback: BaseCallback) -> bool:
        """
        Play candidates until as many have a score as there are environments, or one has met the threshold.

        :return: False if the callback ended training.
        """
        n_scored = 0
        while n_scored < env.num_envs and not self.solved and self.num_timesteps < self._total_timesteps:
            played = self._play(env, callback, self._candidates)
            if played is None:
                return False
            envs, returns = played
            self._score_sums[envs] += returns
            self._score_counts[envs] += 1
            scored = envs[self._score_counts[envs] == self.n_eval_episodes]
            if len(scored) and not self._judge(env, callback, scored):
                return False
            n_scored += len(scored)
        return True

    def _judge(self, env: VecEnv, callback: BaseCallback, scored: np.ndarray) -> bool:
        """
        Keep the best of the candidates that have a score, once it has held the threshold if it met it.

        :return: False if the callback ended training.
        """
        scores = self._score_sums[scored] / self.n_eval_episodes
        self.n_candidates += len(scored)
        best_first = np.argsort(-scores, kind="stable")
        for candidate, score in zip(scored[best_first], scores[best_first], strict=True):
            if score < self._threshold:
                self._keep_if_best(candidate, score)
                break
            confirmed = self._confirm(env, callback, candidate)
            if confirmed is None:
                return False
            self._keep_if_best(candidate, float(confirmed.mean()) if len(confirmed) else score)
            if self.solved:
                break
        self._draw_candidates(scored)
        self._score_sums[scored], self._score_counts[scored] = 0.0, 0
        return True

    def _confirm(self, env: VecEnv, callback: BaseCallback, candidate: int) -> np.ndarray | None:
        """
        All environments play one candidate on fresh episodes, for as long as it holds the threshold.
        The other candidates' unfinished episodes are broken off, and will be played again.

        :return: The returns of the confirmation episodes up to the first that has not ended; None if
            the callback ended training.
        """
        layers = [layer._replace(weight=layer.weight[candidate]) for layer in self._candidates]
        order = EpisodeOrder(self.n_confirmation_episodes, env.num_envs)
        returns = np.full(self.n_confirmation_episodes, np.nan)
        self._restart(env)
        holds = True
        while holds and not order.complete and self.num_timesteps < self._total_timesteps:
            played = self._play(env, callback, layers)
            if played is None:
                return None
            order.n_steps += 1
            over = np.zeros(env.num_envs, dtype=bool)
            over[played[0]] = True
            ended, episodes = order.end_episodes(over)
            returns[episodes] = played[1][np.isin(played[0], ended)]
            holds = holds_threshold(returns, self._threshold)
        self._restart(env)
        self.solved = holds and order.complete
        return ended_in_order(returns)

    def _keep_if_best(self, candidate: int, score: float) -> None:
        """Write the candidate's weights into the policy, if it is the best so far or the one that solves."""
        if score > self.best_mean_reward or self.solved:
            self.best_mean_reward = float(score)
            for mine, theirs in zip(self._layers(), self._candidates, strict=True):
                mine.weight[:] = theirs.weight[candidate]
                mine.bias[:] = 0.0

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


def ended_in_order(returns: np.ndarray) -> np.ndarray:
    """
    :param returns: In start order, NaN for an episode that has not ended. Shape ``(n_episodes,)``.
    :return: Those before the first episode that has not ended: what ends before an earlier one has
        is short, and has to wait.
    """
    not_ended = np.isnan(returns)
    return returns[: int(not_ended.argmax())] if not_ended.any() else returns


def holds_threshold(returns: np.ndarray, threshold: float) -> bool:
    """
    Whether the mean of the episodes so far has met a threshold after each of them, taken in the order they
    were started. Means that miss it by rounding alone meet it.

    :param returns: In start order, NaN for an episode that has not ended. Shape ``(n_episodes,)``.
    :param threshold: What the means have to meet.
    :return: Also True while the first episode has not ended.
    """
    ended = ended_in_order(returns)
    means = np.cumsum(ended) / np.arange(1, len(ended) + 1)
    return bool((means >= threshold - 1e-9 * max(1.0, abs(threshold))).all())
