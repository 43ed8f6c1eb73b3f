"""SB3's actor-critic policies, which can be fitted to examples."""

from typing import Any

from stable_baselines3.common.policies import ActorCriticCnnPolicy, ActorCriticPolicy, MultiInputActorCriticPolicy

from sb3_reinforce.common.known import known_exactly
from sb3_reinforce.policies.fitting import FitHistory, fit_policy


@known_exactly
class FittablePolicy(ActorCriticPolicy):
    """An actor-critic policy of SB3 that can also learn from examples of what to do."""

    def fit(
        self,
        observations: Any,
        actions: Any,
        n_epochs: int = 50,
        learning_rate: float = 0.01,
        progress_bar: bool = False,
        action_masks: Any = None,
    ) -> FitHistory:
        """
        Learn from examples by maximum likelihood, for a warm start, or to see that the policy can tell
        states apart at all: Adam on minibatches of 64 examples in random order. The value net and the
        policy's own optimizer are left as they are (a features extractor that both nets share is not).

        :param observations: As the environment gives them. Shape ``(n, *observation_shape)``, or a dict of such.
        :param actions: What to do there. Shape ``(n, *action_shape)``.
        :param n_epochs: How often to go through all examples.
        :param learning_rate: Step size.
        :param progress_bar: Display a progress bar using tqdm.
        :param action_masks: Which choices are allowed there: booleans, or 0 and 1. Shape ``(n, mask_size)``. None for all.
        :return: ``loss`` and ``accuracy`` after each epoch, a list each. The loss is the cross-entropy (for Box
            actions, minus the mean log-density); the accuracy is the share of examples whose action is the
            policy's most probable one (for Box actions, empty).
        :raises ValueError: If an argument is out of its range, or no parameter that the actions depend on is learned. The
            parameters are then as they were.
        :raises FloatingPointError: If the loss does not stay finite; the same holds.
        :raises ImportError: If there is to be a progress bar, but no tqdm.
        """
        return fit_policy(self, observations, actions, n_epochs, learning_rate, progress_bar, action_masks)


@known_exactly
class MlpPolicy(FittablePolicy):
    """SB3's ``ActorCriticPolicy``, with :meth:`fit`."""


@known_exactly
class CnnPolicy(FittablePolicy, ActorCriticCnnPolicy):
    """SB3's ``ActorCriticCnnPolicy``, with :meth:`fit`."""


@known_exactly
class MultiInputPolicy(FittablePolicy, MultiInputActorCriticPolicy):
    """SB3's ``MultiInputActorCriticPolicy``, with :meth:`fit`."""
