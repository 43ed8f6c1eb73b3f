"""The arguments of RandomWeightSearch: what they may be, and the model that is made of them."""

from typing import Any, ClassVar

import numpy as np
import torch as th
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.common.type_aliases import GymEnv

from sb3_reinforce.common.action_masks import MaskFunction, find_source
from sb3_reinforce.common.arguments import ALGORITHM, check_that_there_is_an_environment, make_policy
from sb3_reinforce.common.base import EpisodicAlgorithm
from sb3_reinforce.common.checks import check_features, check_spaces
from sb3_reinforce.common.constraints import BOOLEAN, CALLABLE, NONE, Interval, Table, Test, check_arguments, checked
from sb3_reinforce.policies import DENSE_POLICIES
from sb3_reinforce.random_weight_search.candidates import InFlight, is_in_flight
from sb3_reinforce.random_weight_search.layers import check_policy

CONSTRAINTS: Table = {
    "n_eval_episodes": [Interval(1, integer=True)],
    "weight_scale": [Interval(0, open_low=True)],
    "reward_threshold": [Interval(finite=False), NONE],
    "n_confirmation_episodes": [Interval(1, integer=True)],
    "max_episode_steps": [Interval(1, finite=False)],
    "action_masks": [BOOLEAN, NONE, CALLABLE],
    "_in_flight": [Test("what is known of candidates", is_in_flight), NONE],
}


class SearchArguments(EpisodicAlgorithm):
    """
    Takes the arguments, checks them, and keeps them in attributes of the same names. They are described in
    :class:`~sb3_reinforce.RandomWeightSearch`.
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = DENSE_POLICIES
    policy: ActorCriticPolicy

    @checked({**ALGORITHM, **CONSTRAINTS}, "RandomWeightSearch")
    def __init__(
        self,
        policy: str | type[ActorCriticPolicy],
        env: GymEnv | str,
        n_eval_episodes: int = 1,
        weight_scale: float = 1.0,
        reward_threshold: float | None = None,
        n_confirmation_episodes: int = 100,
        action_masks: bool | MaskFunction | None = None,
        max_episode_steps: int = 100_000,
        stats_window_size: int = 100,
        tensorboard_log: str | None = None,
        policy_kwargs: dict[str, Any] | None = None,
        verbose: int = 0,
        seed: int | None = None,
        device: th.device | str = "cpu",
        _init_setup_model: bool = True,
    ) -> None:
        check_that_there_is_an_environment(env, _init_setup_model)
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
        self.action_masks = action_masks
        self.max_episode_steps = max_episode_steps
        self._in_flight: InFlight | None = None
        self._forget()
        if _init_setup_model:
            self._setup_model()

    def _forget(self) -> None:
        """Start from no candidates at all."""
        self.n_candidates = 0
        self.best_mean_reward = -np.inf
        self.solved = False
        if self._in_flight is not None:
            self._in_flight["returns"][:], self._in_flight["episodes"][:] = 0.0, 0

    def _setup_model(self) -> None:
        self._check_arguments()
        self._setup_lr_schedule()
        self._set_up_chance()
        self.policy = make_policy(
            self.policy_class, self.observation_space, self.action_space, self.lr_schedule, self.policy_kwargs
        )
        check_policy(self.policy)

    def _check_arguments(self) -> None:
        if self.env is not None:
            find_source(self.action_masks, self.env)
        check_arguments(CONSTRAINTS, vars(self), "RandomWeightSearch")
        check_spaces(self.observation_space, self.action_space)
        check_features(self.policy_class, self.policy_kwargs, self.observation_space)
