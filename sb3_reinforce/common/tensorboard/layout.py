"""Which curves stand side by side."""

from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_reinforce.common.log_keys import EPSILONS, EVALUATION_LENGTH, EVALUATION_RETURN, LENGTH, LOSSES, RETURN
from sb3_reinforce.common.tensorboard.writing import TensorBoardCallback


class ScalarLayoutCallback(TensorBoardCallback):
    """
    Lays out TensorBoard's tab Custom Scalars, for any SB3 algorithm: returns, durations, loss and, where the algorithm
    explores by it, epsilon side by side. Points of each episode need an
    :class:`~sb3_reinforce.EpisodeDurationCallback` beside it; otherwise there are SB3's means::

        REINFORCE("LinearPolicy", "CartPole-v1", tensorboard_log="logs").learn(
            callback=[EpisodeDurationCallback(), ScalarLayoutCallback()]
        )

    :raises ValueError: When training starts, if the algorithm has no TensorBoard.
    """

    def _on_training_start(self) -> None:
        super()._on_training_start()
        layout = layout_for(self.model)
        self._write(lambda writer: writer.add_custom_scalars(layout))


def layout_for(model: BaseAlgorithm) -> dict[str, dict[str, list[Any]]]:
    """
    :param model: Any SB3 algorithm.
    :return: Charts, and the tags in each, as ``SummaryWriter.add_custom_scalars`` takes them.
    """
    charts = {
        "Return": (RETURN, "rollout/ep_rew_mean", EVALUATION_RETURN),
        "Duration": (LENGTH, "rollout/ep_len_mean", EVALUATION_LENGTH),
        "Loss": tuple(LOSSES),
    }
    if hasattr(model, "exploration_rate") and getattr(model, "epsilon", None) != 0:
        charts["Epsilon"] = EPSILONS
    # TensorBoard takes a tag for a regular expression, which is to match the whole of it
    return {"Training": {title: ["Multiline", [f"^{tag}$" for tag in tags]] for title, tags in charts.items()}}
