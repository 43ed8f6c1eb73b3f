"""What REINFORCE's arguments may be, and what they are by default."""

from typing import Any

from gymnasium import spaces
from stable_baselines3.common.policies import BasePolicy

from sb3_reinforce.common.constraints import BOOLEAN, CALLABLE, NONE, Interval, OneOf, Table, Test, check_arguments
from sb3_reinforce.gradient.baselines import BASELINES, BASELINES_OF_OTHER_EPISODES, n_linear_regressors
from sb3_reinforce.gradient.steps import check_unknowns
from sb3_reinforce.policies import LinearPolicy
from sb3_reinforce.rollouts.epsilon import EpsilonSchedule

CONSTRAINTS: Table = {
    "learning_rate": [Interval(0), CALLABLE],
    "n_episodes": [Interval(1, integer=True), NONE],
    "gamma": [Interval(0, 1)],
    "baseline": [OneOf(BASELINES), Test("a function of observations and timesteps", callable)],
    "reward_to_go": [BOOLEAN],
    "normalize_advantage": [BOOLEAN],
    "epsilon": [Interval(0, 1), Test("an EpsilonSchedule", lambda value: isinstance(value, EpsilonSchedule)), CALLABLE],
    "ent_coef": [Interval()],
    "vf_coef": [Interval(0)],
    "n_value_updates": [Interval(0, integer=True)],
    "max_grad_norm": [Interval(0, open_low=True, finite=False), NONE],
    "natural_gradient": [BOOLEAN],
    "target_kl": [Interval(0, open_low=True, finite=False)],
    "damping": [Interval(0)],
    "bootstrap_truncated": [BOOLEAN],
    "discount_weighting": [BOOLEAN],
    "log_gradient_snr": [BOOLEAN],
    "max_episode_steps": [Interval(1, finite=False)],
}


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
        return 0.05 if isinstance(action_space, spaces.Box) else 0.1
    return 0.005


def check(model: Any) -> None:
    """
    :param model: A REINFORCE, whose arguments stand in its attributes.
    :raises ValueError: If one is not what it may be, or two do not go together.
    """
    check_arguments(CONSTRAINTS, vars(model), "REINFORCE")
    if model.baseline in BASELINES_OF_OTHER_EPISODES and model.n_episodes == 1:
        raise ValueError(
            f"baseline={model.baseline!r} needs the other episodes of a rollout, but n_episodes is 1. "
            "Use n_episodes=2 or more, or baseline='none'."
        )
    if model.log_gradient_snr and model.n_episodes == 1:
        raise ValueError("log_gradient_snr needs the spread between episodes, but n_episodes is 1. Use 2 or more.")


def check_policy(model: Any) -> None:
    """
    :param model: A REINFORCE with its policy.
    :raises ValueError: If the policy keeps its noise for many steps, or has too many features for what is asked for.
    """
    if model.policy.use_sde:
        raise ValueError(
            "policy_kwargs has use_sde=True, but state-dependent exploration keeps its noise for many steps, and here "
            "actions are drawn independently of each other. Leave use_sde out, or use SB3's A2C or PPO."
        )
    if model.baseline == "linear":
        n_regressors = n_linear_regressors(model.policy.pi_features_extractor.features_dim)
        check_unknowns("baseline='linear'", "regressors", n_regressors, "baseline='time' or 'value'")
