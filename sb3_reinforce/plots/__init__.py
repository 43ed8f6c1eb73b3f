"""
Pictures for any SB3 algorithm: one training (:func:`plot_training`), the learning curves of many
(:func:`plot_learning_curves`), and what a policy does (:func:`plot_decision_surface`). Each draws into axes of yours, if you
give it ``ax``. Needs matplotlib and pandas (the extra ``extra``).
"""

from sb3_reinforce.common.extras import needs

with needs("extra", "sb3_reinforce.plots"):
    import matplotlib as _matplotlib  # noqa: F401

    from sb3_reinforce.common.plots import Evaluation, plot_training, read_progress, save_learning_curve
    from sb3_reinforce.plots.curves import plot_learning_curves
    from sb3_reinforce.plots.runs import Episodes, Run, read_run
from sb3_reinforce.plots.surface import plot_decision_surface

__all__ = [
    "Episodes",
    "Evaluation",
    "Run",
    "plot_decision_surface",
    "plot_learning_curves",
    "plot_training",
    "read_progress",
    "read_run",
    "save_learning_curve",
]
