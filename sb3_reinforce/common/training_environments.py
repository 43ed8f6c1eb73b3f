"""The training environments: where episodes begin, what they give, and whether somebody else has moved them."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from copy import copy
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.exceptions import ComplexWarning
from stable_baselines3.common.atari_wrappers import EpisodicLifeEnv
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, unwrap_vec_normalize
from stable_baselines3.common.vec_env.base_vec_env import VecEnvStepReturn

from sb3_reinforce.common.action_masks import ActionMasks, MaskFunction, MaskSource, find_source
from sb3_reinforce.common.casting import DiscreteRanges, UnfitError, observations_as_declared
from sb3_reinforce.common.checked_observations import check_observations
from sb3_reinforce.common.faults import check_open, raise_explained, watch_workers
from sb3_reinforce.common.moves import count_moves, keeps_actions, replacement_of
from sb3_reinforce.common.observations import Observations


class TrainingEnvironments:
    """
    What an algorithm that plays whole episodes has to know of its VecEnv.

    An episode begins where the environment says so. Each rollout seeds and resets the environments, so that what they do is a
    function of its seed and its actions. Where an early reset is no start of an episode
    (``Monitor(allow_early_resets=False)``, ``EpisodicLifeEnv``), they stay where they are, and play the episode that they are
    in the middle of to its end first.

    :param env: The training environment.
    """

    def __init__(self, env: VecEnv) -> None:
        self.env = env
        self.name = environment_name(env)
        self.reset_takes_a_step = bool(getattr(env.unwrapped, "has_reset_transitions", False))
        self._plays_out = _must_not_be_reset_early(env)
        self._takes_seeds = bool(getattr(env.unwrapped, "takes_seeds", True))
        self._moves = count_moves(env)
        innermost: Any = env.unwrapped
        self._actions_of: Any = innermost if keeps_actions(innermost) else SimpleNamespace()
        self._actions_of.actions = getattr(self._actions_of, "actions", None)
        self._note_moves()
        self._last: tuple[Any, np.ndarray] | None = None
        self._dtype, self._shape = env.observation_space.dtype, (env.num_envs, *(env.observation_space.shape or ()))
        self._ranges = DiscreteRanges(env.observation_space)
        self._has_ranges = bool(self._ranges)  # asked for at every step
        self._rewards_dtype, self._rewards_shape = np.dtype(np.float32), (env.num_envs,)
        self._n_steps = 0
        self.masks: ActionMasks | None = None
        """What is allowed; None for everything."""
        self._masked_by: bool | MaskFunction | None = False
        self._was_reset = False
        _refuse_complex_rewards()
        watch_workers(env)
        if isinstance(env.unwrapped, DummyVecEnv) and not getattr(env.unwrapped, "checks_observations", False):
            check_observations(env.unwrapped, self.name)

    @property
    def have_a_time_limit(self) -> bool:
        """Whether the environment was registered with one, or is wrapped in one."""
        if self.env.has_attr("_max_episode_steps"):  # of TimeLimit, which rl_zoo3 replaces by a class of its own
            return True
        spec = self.env.get_attr("spec", indices=0)[0] if self.env.has_attr("spec") else None
        return getattr(spec, "max_episode_steps", None) is not None

    @property
    def obstacle_to_resuming(self) -> str | None:
        """Why a training that is interrupted does not go on to the same weights; None if it does."""
        if self._plays_out:
            return (
                f"{self.name} must not be reset in the middle of an episode (EpisodicLifeEnv, or a Monitor with "
                "allow_early_resets=False), so the episodes that it was in the middle of are lost."
            )
        if not self._takes_seeds:
            return (
                f"{self.name} can't be seeded again, so it draws other episodes. (EnvPool takes its seed when it is made: "
                "give it another one than before.)"
            )
        return None

    def mask_by(self, action_masks: bool | MaskFunction | None) -> MaskSource | None:
        """
        :param action_masks: The argument of the algorithms: where masks of invalid actions come from.
        :return: Who says what is allowed from now on: see :func:`~sb3_reinforce.common.action_masks.find_source`.
        """
        if action_masks is not self._masked_by:
            source = find_source(action_masks, self.env)
            self.masks = None if source is None else ActionMasks(source, self.env, self.name)
            self._masked_by = action_masks
        return None if self.masks is None else self.masks.source

    def were_moved(self) -> bool:
        """:return: Whether somebody else has stepped or reset them since we did."""
        return self._moves.n_moves != self._n_moves or self._actions_of.actions is not self._actions

    def _note_moves(self) -> None:
        """Whatever has been moved until now is known of."""
        # An object that nobody else has, so that whoever takes the same step again has moved them again
        self._actions = self._actions_of.actions = copy(self._actions_of.actions)
        self._n_moves = self._moves.n_moves

    def step(self, actions: np.ndarray) -> VecEnvStepReturn:
        """
        One step of all of them.

        :param actions: As for ``VecEnv.step``.
        :return: What that gives.
        :raises RuntimeError: If somebody else has moved them in the middle of a rollout, or a worker process has ended.
        :raises ValueError: If they return something that can't be used.
        """
        if self._moves.n_moves != self._n_moves or self._actions_of.actions is not self._actions:
            raise RuntimeError(
                f"Somebody else has stepped or reset the training environment {self.name} in the middle of a rollout, so that "
                "its episodes are no longer those of the policy. Nothing was learned from this rollout. Evaluate on an "
                "environment of its own. A callback that has none may evaluate in on_rollout_end."
            )
        self._n_steps += 1
        try:
            obs, rewards, dones, infos = self.env.step(actions.view())  # an object that nobody else has: it is our move
            if type(obs) is not np.ndarray or obs.dtype is not self._dtype or obs.shape != self._shape:
                obs = self._declared(obs)
            if self._has_ranges:
                self._ranges.check(obs, self.name)
            if rewards.dtype is not self._rewards_dtype or rewards.shape != self._rewards_shape:
                self._check_rewards(rewards)
            if self.masks is not None and self.masks.must_note:
                self.masks.note(infos, dones)
        except Exception as error:
            raise_explained(error, self.env, self.name, self._n_steps)
        self._n_moves, self._actions, self._last = self._moves.n_moves, self._actions_of.actions, (obs, dones)
        return obs, rewards, dones, infos

    def action_masks(self, obs: Observations) -> np.ndarray | None:
        """
        :param obs: What the environments show. Shape ``(n_envs, *observation_shape)``, or a dict of such.
        :return: Booleans, an entry for each choice. Shape ``(n_envs, mask_size)``. None where everything is allowed.
        :raises ValueError: If a mask is missing or is none, or allows no action.
        """
        if self.masks is None:
            return None
        try:
            return self.masks(obs)
        except Exception as error:
            raise_explained(error, self.env, self.name, self._n_steps)

    def _fitting(self, obs: Any) -> Any:
        """Observations that fit their space, in its types."""
        obs = self._declared(obs)
        self._ranges.check(obs, self.name)
        return obs

    def _declared(self, obs: Any) -> Any:
        """Observations in the types of their spaces, with which the policy can act."""
        return observations_as_declared(obs, self.env.observation_space, self.env.num_envs, environment=self.name)

    def _check_rewards(self, rewards: np.ndarray) -> None:
        if rewards.dtype.kind not in "biuf" or rewards.shape != self._rewards_shape:
            raise UnfitError(
                f"The environment {self.name} returned rewards of type {rewards.dtype} and shape {rewards.shape}, but they "
                f"must be real numbers, of shape {self._rewards_shape}: {rewards}. Mend the environment."
            )
        self._rewards_dtype = rewards.dtype

    def start_rollout(self, last_obs: Observations | None, at_start: np.ndarray, seed: int) -> tuple[Observations, np.ndarray]:
        """
        :param last_obs: What the environments showed last; None if they have not been reset yet. Shape
            ``(n_envs, *observation_shape)``, or a dict of such.
        :param at_start: Which of them stand at the start of an episode, as far as the algorithm knows. Shape ``(n_envs,)``.
        :param seed: Of the first of them, if they are reset. The others' count up from it.
        :return: What they show now, and which of them stand at the start of an episode now.
        """
        if self._last is not None and last_obs is not self._last[0]:  # an error in a callback has kept it from the algorithm
            last_obs, at_start = self._last
        if not self._plays_out or self.were_moved() or self.reset_takes_a_step:
            at_start = self._starts_of_a_reset()
            self._seed(seed)
            last_obs = self._explained(self.env.reset)()
            self._was_reset = True
        last_obs = self._explained(self._fitting)(last_obs)
        if self.masks is not None:
            self.masks.start(self._was_reset)
        self._was_reset = False
        self._note_moves()
        self._last = None
        return last_obs, at_start

    def _explained(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function that does the same, for what goes wrong in a reset."""

        def call(*args: Any) -> Any:
            self._n_steps = 0
            try:
                return function(*args)
            except Exception as error:
                raise_explained(error, self.env, self.name, 0)

        return call

    def _seed(self, seed: int) -> None:
        """Of the next reset."""
        if self._takes_seeds:
            try:
                self.env.seed(seed)
            except NotImplementedError:  # of VecEnvs that are not SB3's
                self._takes_seeds = False

    def _starts_of_a_reset(self) -> np.ndarray:
        """Which environments will stand at the start of an episode if they are reset now. Shape ``(n_envs,)``."""
        if not self._plays_out:
            return np.ones(self.env.num_envs, dtype=bool)
        at_start = np.full(self.env.num_envs, not self.were_moved())
        with_lives = np.flatnonzero(self.env.env_is_wrapped(EpisodicLifeEnv))
        if len(with_lives):  # a reset goes on with a game that is not over
            at_start[with_lives] = self.env.get_attr("was_real_done", indices=with_lives.tolist())
        return at_start

    @contextmanager
    def beginning(self, last_obs: Observations | None, at_start: np.ndarray | None, seed: int) -> Iterator[np.ndarray]:
        """
        Around SB3's reset at the beginning of training. The first rollout resets them once more, with the same seed, so this
        reset enters into no statistics. Environments that must not be reset early stay where they are.

        :param last_obs: What they showed last; None if they have not been reset yet.
        :param at_start: Which of them stand at the start of an episode; None if nobody knows. Shape ``(n_envs,)``.
        :param seed: Of the first of them, if they are reset. The others' count up from it.
        :return: Which will stand there after a reset. Shape ``(n_envs,)``.
        :raises RuntimeError: If they are in processes that have ended.
        """
        check_open(self.env, self.name)
        if self._last is not None and last_obs is not self._last[0]:
            last_obs, at_start = self._last
        n_moves = self._moves.n_moves
        stays = self._plays_out and last_obs is not None and not self.were_moved()
        if not stays:
            self._seed(seed)
        self._was_reset = self._was_reset or not stays
        reset = (lambda: last_obs) if stays else self._explained(self.env.reset)
        with _reset_by(self.env, reset), nullcontext() if stays or self._plays_out else _unnoticed(self.env):
            yield at_start if stays and at_start is not None else self._starts_of_a_reset()
        if self._moves.n_moves != n_moves:
            self._note_moves()
            self._last = None


@contextmanager
def _unnoticed(env: VecEnv) -> Iterator[None]:
    """Within, a VecNormalize takes no notice of what it sees."""
    normalize = unwrap_vec_normalize(env)
    if normalize is None or not normalize.training:
        yield
        return
    normalize.training = False
    try:
        yield
    finally:
        normalize.training = True


@contextmanager
def _reset_by(env: VecEnv, function: Callable[[], Any]) -> Iterator[None]:
    """Within, to reset the environments is to call a function."""
    before = replacement_of(env, "reset")
    env.reset = function  # type: ignore[method-assign]
    try:
        yield
    finally:
        del env.reset
        if before is not None:
            env.reset = before  # type: ignore[method-assign]


def _refuse_complex_rewards() -> None:
    """NumPy makes a real number of a complex one, and only warns. Where environments are stepped, that is an error."""
    if not any(action == "error" and category is ComplexWarning for action, _, category, *_ in warnings.filters):
        warnings.filterwarnings("error", category=ComplexWarning, module=r"(stable_baselines3|sb3_reinforce)\.")


def environment_name(env: VecEnv) -> str:
    """
    :param env: Any VecEnv.
    :return: What the environments in it are registered as, else what the VecEnv is.
    """
    spec = env.get_attr("spec", indices=0)[0] if env.has_attr("spec") else None
    registered = getattr(spec, "id", None)
    if registered is not None:
        return str(registered)
    envs = getattr(env.unwrapped, "envs", None)
    return type(envs[0].unwrapped if envs else env.unwrapped).__name__


def _must_not_be_reset_early(env: VecEnv) -> bool:
    if any(env.env_is_wrapped(EpisodicLifeEnv)):
        return True
    return not all(_may_be_reset_early(env, i) for i, monitored in enumerate(env.env_is_wrapped(Monitor)) if monitored)


def _may_be_reset_early(env: VecEnv, index: int) -> bool:
    try:
        return bool(env.get_attr("allow_early_resets", indices=index)[0])
    except AttributeError:  # the statistics are those of Monitor, but there is none
        return True
