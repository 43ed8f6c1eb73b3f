"""The arguments of REINFORCE: what they may be, what they are by default, and the parts that are made of them."""

from typing import Any, ClassVar

import torch as th
from gymnasium import spaces
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.policies import ActorCriticCnnPolicy, ActorCriticPolicy, BasePolicy, MultiInputActorCriticPolicy
from stable_baselines3.common.type_aliases import GymEnv, Schedule

from sb3_reinforce.common.action_masks import MaskFunction, find_source
from sb3_reinforce.common.arguments import ALGORITHM, LEARN, check_that_there_is_an_environment, make_policy
from sb3_reinforce.common.base import EpisodicAlgorithm
from sb3_reinforce.common.checks import check_features, check_spaces
from sb3_reinforce.common.constraints import BOOLEAN, CALLABLE, NONE, Interval, OneOf, Table, Test, check_arguments, checked
from sb3_reinforce.gradient.baselines import (
    BASELINES,
    BASELINES_OF_OTHER_EPISODES,
    LinearBaseline,
    StateBaseline,
    knows_states,
    n_linear_regressors,
)
from sb3_reinforce.gradient.fisher_matrices import check_unknowns
from sb3_reinforce.gradient.scores import Scores, scores_of
from sb3_reinforce.gradient.step_memory import StepMemory
from sb3_reinforce.gradient.steps import NaturalStep, OptimizerStep, Step, TwofoldNaturalStep
from sb3_reinforce.gradient.value_net import NoValueNet, PolicyValueNet, ValueNet
from sb3_reinforce.policies import POLICIES, LinearPolicy
from sb3_reinforce.rollouts.episode_buffer import EpisodeBuffer
from sb3_reinforce.rollouts.epsilon import EpsilonSchedule, epsilon_of_episodes

VALUE_STEP_SIZE = 0.01
"""Of the value net beside the natural gradient."""

CONSTRAINTS: Table = {
    "learning_rate": [Interval(0), CALLABLE],
    "n_episodes": [Interval(1, integer=True), NONE],
    "gamma": [Interval(0, 1)],
    "gae_lambda": [Interval(0, 1)],
    "baseline": [OneOf(BASELINES), Test("a function of observations and timesteps", callable)],
    "reward_to_go": [BOOLEAN],
    "normalize_advantage": [BOOLEAN],
    "epsilon": [Interval(0, 1), Test("an EpsilonSchedule", lambda value: isinstance(value, EpsilonSchedule)), CALLABLE],
    "ent_coef": [Interval()],
    "vf_coef": [Interval(0)],
    "n_value_updates": [Interval(0, integer=True)],
    "max_grad_norm": [Interval(0, open_low=True, finite=False), NONE],
    "natural_gradient": [BOOLEAN],
    "target_kl": [Interval(0, open_low=True, finite=False), NONE],
    "damping": [Interval(0), NONE],
    "line_search": [BOOLEAN],
    "bootstrap_truncated": [BOOLEAN],
    "discount_weighting": [BOOLEAN],
    "action_masks": [BOOLEAN, NONE, CALLABLE],
    "log_gradient_snr": [BOOLEAN],
    "max_episode_steps": [Interval(1, finite=False)],
}

GIVEN: Table = {**ALGORITHM, **CONSTRAINTS, "learning_rate": [*CONSTRAINTS["learning_rate"], NONE]}
"""Of the constructor."""

LEARN_ARGUMENTS: Table = {**LEARN, "total_timesteps": [*LEARN["total_timesteps"], NONE]}


def default_learning_rate(policy_class: type[BasePolicy], action_space: spaces.Space, natural_gradient: bool) -> float:
    """
    :param policy_class: The policy's class.
    :param action_space: The actions.
    :param natural_gradient: Whether steps are natural ones, whose length ``target_kl`` limits.
    :return: The step size.
    """
    if natural_gradient:
        return 1.0
    if issubclass(policy_class, LinearPolicy):
        return 0.05 if isinstance(action_space, spaces.Box) else 0.2
    return 0.005


class ReinforceArguments(EpisodicAlgorithm, OnPolicyAlgorithm):
    """
    Takes the arguments, checks them, and keeps them in attributes of the same names. They are described in
    :class:`~sb3_reinforce.REINFORCE`. Whatever they name is looked up when it is needed, so that they can be changed.
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = POLICIES
    rollout_buffer: EpisodeBuffer  # type: ignore[assignment]

    @checked(GIVEN, "REINFORCE")
    def __init__(
        self,
        policy: str | type[ActorCriticPolicy],
        env: GymEnv | str,
        learning_rate: float | Schedule | None = None,
        n_episodes: int | None = None,
        gamma: float = 1.0,
        gae_lambda: float = 1.0,
        baseline: str | StateBaseline = "time",
        reward_to_go: bool = True,
        normalize_advantage: bool = True,
        epsilon: float | Schedule | EpsilonSchedule = 0.0,
        ent_coef: float = 0.0,
        vf_coef: float = 0.5,
        n_value_updates: int = 40,
        max_grad_norm: float | None = None,
        natural_gradient: bool = False,
        target_kl: float | None = None,
        damping: float | None = None,
        line_search: bool = True,
        bootstrap_truncated: bool = False,
        discount_weighting: bool = False,
        action_masks: bool | MaskFunction | None = None,
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
        check_that_there_is_an_environment(env, _init_setup_model)
        policy_class = self._get_policy_from_name(policy) if isinstance(policy, str) else policy
        if device == "auto" and not issubclass(policy_class, (ActorCriticCnnPolicy, MultiInputActorCriticPolicy)):
            device = "cpu"
        super().__init__(
            policy,
            env,
            learning_rate=learning_rate,  # type: ignore[arg-type]
            n_steps=0,  # a rollout is counted in episodes
            gamma=gamma,
            gae_lambda=gae_lambda,
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
        self.line_search = line_search
        self.bootstrap_truncated = bootstrap_truncated
        self.discount_weighting = discount_weighting
        self.action_masks = action_masks
        self.log_gradient_snr = log_gradient_snr
        self.max_episode_steps = max_episode_steps
        self._linear_baseline = LinearBaseline()
        self._step_memory = StepMemory()
        if _init_setup_model:
            self._setup_model()

    def _setup_model(self) -> None:
        if self.learning_rate is None:
            self.learning_rate = default_learning_rate(self.policy_class, self.action_space, self.natural_gradient)
        self._check_arguments()
        self._setup_lr_schedule()
        self._set_up_chance()
        self.rollout_buffer = EpisodeBuffer(
            self.n_episodes or max(8, self.n_envs), self.observation_space, self.action_space, self.device, self.n_envs
        )
        policy = make_policy(
            self.policy_class, self.observation_space, self.action_space, self.lr_schedule, self.policy_kwargs
        )
        self.policy = policy.to(self.device)
        self._check_policy()
        self.policy.set_training_mode(False)
        self._maybe_recommend_cpu("MlpPolicy")

    def _setup_lr_schedule(self) -> None:
        super()._setup_lr_schedule()
        self._check_learning_rate(1.0)

    def _update_learning_rate(self, optimizers: list[th.optim.Optimizer] | th.optim.Optimizer) -> None:
        self._check_learning_rate(self._current_progress_remaining)
        super()._update_learning_rate(optimizers)

    def _check_learning_rate(self, progress_remaining: float) -> None:
        """A schedule may give anything, and no optimizer looks at it."""
        name = f"learning_rate (its value with {progress_remaining:g} of training remaining)"
        rate = self.learning_rate(progress_remaining) if callable(self.learning_rate) else self.learning_rate
        check_arguments({name: [Interval(0)]}, {name: rate}, "REINFORCE")

    def _check(self) -> None:
        """Before each training: arguments and policy may be others than those that were given."""
        self._check_arguments()
        self._check_policy()

    def _check_arguments(self) -> None:
        check_arguments(CONSTRAINTS, vars(self), "REINFORCE")
        epsilon_of_episodes(self.epsilon, 0, 1, 1.0)
        if self.baseline in BASELINES_OF_OTHER_EPISODES and self.n_episodes == 1:
            raise ValueError(
                f"baseline={self.baseline!r} needs the other episodes of a rollout, but n_episodes is 1. "
                "Use n_episodes=2 or more, or baseline='none'."
            )
        if self.gae_lambda < 1.0 and not (self.reward_to_go and knows_states(self.baseline)):
            raise ValueError(
                f"gae_lambda={self.gae_lambda:g} needs the value of each state, and credits an action with what followed, but "
                f"baseline is {self.baseline!r} and reward_to_go {self.reward_to_go}. Use baseline='linear' or 'value' with "
                "reward_to_go=True, or gae_lambda=1."
            )
        if self.log_gradient_snr and self.n_episodes == 1:
            raise ValueError("log_gradient_snr needs the spread between episodes, but n_episodes is 1. Use 2 or more.")
        check_spaces(self.observation_space, self.action_space)
        check_features(self.policy_class, self.policy_kwargs, self.observation_space)

    def _check_policy(self) -> None:
        if self.policy.use_sde:
            raise ValueError(
                "policy_kwargs has use_sde=True, but state-dependent exploration keeps its noise for many steps, and here "
                "actions are drawn independently of each other. Leave use_sde out, or use SB3's A2C or PPO."
            )
        if self.baseline == "linear":
            n_regressors = n_linear_regressors(self.policy.pi_features_extractor.features_dim)
            check_unknowns("baseline='linear'", "regressors", n_regressors, "baseline='time' or 'value'")
        scores = scores_of(self.policy)
        scores.check()
        if self.env is not None and find_source(self.action_masks, self.env) is not None:
            scores.check_masks()
        self._step_by(scores).check()

    def _step_by(self, scores: Scores) -> Step:
        """The way uphill that ``natural_gradient`` names."""
        if not self.natural_gradient:
            return OptimizerStep(self.policy)
        limits = self.target_kl, self.damping, self.line_search
        if scores.fisher().is_twofold:
            return TwofoldNaturalStep(self.policy, scores, *limits, self._step_memory)
        return NaturalStep(self.policy, scores, *limits)

    def _value_net(self) -> ValueNet:
        """The policy's value net, where anything that is asked for needs one."""
        if self.baseline != "value" and not self.bootstrap_truncated:
            return NoValueNet()
        # The learning rate of the natural gradient is of another kind
        step_size = VALUE_STEP_SIZE if self.natural_gradient else None
        return PolicyValueNet(
            self.policy,
            self._rng,
            self.n_value_updates,
            self.vf_coef,
            self.max_grad_norm,
            step_size,
            is_fitted=self._n_updates > 0,
        )
