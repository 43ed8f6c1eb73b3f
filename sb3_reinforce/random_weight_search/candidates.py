"""Candidates: weights that are guessed, and how they act."""

from typing import Any, TypeAlias

import numpy as np
from stable_baselines3.common.policies import ActorCriticPolicy

from sb3_reinforce.common.masking import mask_logits
from sb3_reinforce.common.observations import Observations
from sb3_reinforce.random_weight_search.episodes import EndedEpisodes
from sb3_reinforce.random_weight_search.layers import searched_layers
from sb3_reinforce.rollouts.acting import DenseLayer, dense_forward, feature_function, greedy_choice
from sb3_reinforce.rollouts.environment_actions import for_environment

_NAMES = ("number", "returns", "episodes")
InFlight: TypeAlias = dict[str, np.ndarray]
"""
What there is to know of the candidates that are played, of each environment's: its ``number``, the sum of its ``returns`` so
far, and of how many ``episodes`` that is. Shapes ``(n_envs,)``.
"""


def is_in_flight(value: Any) -> bool:
    """
    :param value: What a file may have in its place.
    :return: Whether it is what there is to know of candidates.
    """
    if not isinstance(value, dict) or set(value) != set(_NAMES):
        return False
    arrays = [value[name] for name in _NAMES]
    if not all(
        isinstance(array, np.ndarray) and array.ndim == 1 and len(array) == len(value["number"]) > 0 for array in arrays
    ):
        return False
    kinds = "".join(array.dtype.kind for array in arrays)
    return kinds == "ifi" and min(value["number"].min(), value["episodes"].min()) >= 0


class Candidates:
    """
    A candidate for each environment, and how well it has done so far.

    All are played by one product a layer: a candidate's weights are a row of the layer's array. They are a function of the
    seed and of its number, so that the number is all that needs to be saved of them.

    :param policy: Whose layers they have. What is frozen there is the same in all of them.
    :param n_envs: Number of environments.
    :param n_eval_episodes: Over how many episodes a candidate's score is the mean.
    :param weight_scale: Weights are drawn between minus this and this.
    :param seed: Source of randomness.
    :param in_flight: Those to go on with, if there are as many as environments. Others have higher numbers.
    :raises ValueError: If the policy can't be searched.
    """

    def __init__(
        self,
        policy: ActorCriticPolicy,
        n_envs: int,
        n_eval_episodes: int,
        weight_scale: float,
        seed: int,
        in_flight: InFlight | None = None,
    ) -> None:
        self._searched = searched_layers(policy)
        self._n_eval_episodes, self._weight_scale, self._seed = n_eval_episodes, weight_scale, seed
        self.layers = [layer.of_candidates(n_envs) for layer in self._searched]
        """Weights have the shape ``(n_envs, n_in, n_out)``; frozen ones, ``(n_in, n_out)``."""
        self._sizes = [
            int(np.prod(layer.weight.shape[1:])) if searched.is_drawn else 0
            for searched, layer in zip(self._searched, self.layers, strict=True)
        ]
        self._plays_whole_episode = np.ones(n_envs, dtype=bool)
        n_drawn = 0 if in_flight is None else int(in_flight["number"].max()) + 1  # the last that was drawn is still played
        self._rng = self._generator(n_drawn)
        if in_flight is None or len(in_flight["number"]) != n_envs:
            self._number = n_drawn + np.arange(n_envs)
            self._returns, self._n_episodes = np.zeros(n_envs), np.zeros(n_envs, dtype=np.int64)
            self._set(np.arange(n_envs), self._rng)
        else:
            self._number, self._returns, self._n_episodes = (in_flight[name].copy() for name in _NAMES)
            for env, number in enumerate(self._number.tolist()):
                self._set(np.array([env]), self._generator(number))
            self.draw(np.flatnonzero(self._n_episodes >= n_eval_episodes))  # an interruption came when these had a score

    @property
    def in_flight(self) -> InFlight:
        """The arrays themselves, which change with what is played."""
        return dict(zip(_NAMES, (self._number, self._returns, self._n_episodes), strict=True))

    def _generator(self, number: int) -> np.random.Generator:
        """What the candidate of that number is drawn from, and then those that follow it."""
        # Of another key than the chance of rollouts, which is that of SeedSequence((seed, number))
        stream = np.random.PCG64(np.random.SeedSequence(self._seed, spawn_key=(0,)))
        return np.random.Generator(stream.advance(number * sum(self._sizes)))  # a weight takes one step of it

    def _set(self, envs: np.ndarray, rng: np.random.Generator) -> None:
        """Draw the weights of some environments' candidates, whose numbers follow each other."""
        weights = rng.uniform(-self._weight_scale, self._weight_scale, (len(envs), sum(self._sizes)))
        parts = np.split(weights, np.cumsum(self._sizes)[:-1], axis=1)
        for searched, layer, part in zip(self._searched, self.layers, parts, strict=True):
            if searched.is_drawn:
                layer.weight[envs] = part.reshape(len(envs), *layer.weight.shape[1:])

    def draw(self, envs: np.ndarray) -> None:
        """
        Put new candidates in the place of some.

        :param envs: Their environments. Shape ``(n,)``.
        """
        self._number[envs] = self._number.max() + 1 + np.arange(len(envs))
        self._returns[envs], self._n_episodes[envs] = 0.0, 0
        self._set(envs, self._rng)

    def begin(self, at_start: np.ndarray) -> None:
        """
        Begin new episodes. What was begun before does not count.

        :param at_start: Which environments stand at the start of an episode; the others play theirs to its end first, and
            that one does not count either. Shape ``(n_envs,)``.
        """
        self._plays_whole_episode = at_start.copy()

    def enter(self, ended: EndedEpisodes) -> np.ndarray:
        """
        :param ended: Episodes that have ended.
        :return: The environments whose candidate has a score with this.
        """
        is_whole = self._plays_whole_episode[ended.envs]
        self._plays_whole_episode[ended.envs] = True
        envs, returns = ended.envs[is_whole], ended.returns[is_whole]
        self._returns[envs] += returns
        self._n_episodes[envs] += 1
        return envs[self._n_episodes[envs] == self._n_eval_episodes]

    def scores(self, envs: np.ndarray) -> np.ndarray:
        """
        :param envs: Environments whose candidate has a score.
        :return: Mean returns. Shape ``(n,)``.
        """
        return self._returns[envs] / self._n_eval_episodes

    def layers_of(self, env: int) -> list[DenseLayer]:
        """
        :param env: An environment.
        :return: Its candidate's layers: views, good until the next is drawn.
        """
        return [
            layer._replace(weight=layer.weight[env]) if searched.is_drawn else layer
            for searched, layer in zip(self._searched, self.layers, strict=True)
        ]

    def put_into_policy(self, env: int) -> None:
        """
        Make a candidate's weights the policy's. Biases that are not frozen are 0 then.

        :param env: Its environment.
        """
        for searched, layer in zip(self._searched, self.layers_of(env), strict=True):
            searched.take(layer)


class GreedyActor:
    """
    The most probable action (for Box actions, the mean) of layers that are played in the place of a policy's own.

    :param policy: What else there is: features and spaces.
    """

    def __init__(self, policy: ActorCriticPolicy) -> None:
        self._features, self._space = feature_function(policy), policy.action_space
        self._choose = for_environment(policy) or greedy_choice(policy.action_space)

    def act(self, layers: list[DenseLayer], observations: Observations, masks: np.ndarray | None = None) -> np.ndarray:
        """
        :param layers: Of one candidate for all environments, or of one for each.
        :param observations: In the types of their spaces. Shape ``(n_envs, *observation_shape)``, or a dict of such.
        :param masks: Which choices are allowed; None for all. Booleans. Shape ``(n_envs, mask_size)``.
        :return: Actions as the environments take them. Shape ``(n_envs, *action_shape)``.
        :raises ValueError: If an observation is not finite.
        """
        features = self._features(observations)
        outputs = dense_forward(layers, features)
        # An activation may hide an infinite observation (tanh(inf) is 1), a linear layer does not
        hidden = any(layer.activation is not None for layer in layers)
        if not np.isfinite(outputs).all() or (hidden and not np.isfinite(features).all()):
            raise ValueError(
                "An observation is not finite, or so large that its product with the weights is not. Mend the environment "
                "(stable_baselines3.common.vec_env.VecCheckNan finds the step), or scale its observations (VecNormalize)."
            )
        return self._choose(outputs if masks is None else mask_logits(outputs, masks, self._space))
