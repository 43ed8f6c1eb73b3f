"""
The RL Zoo (rl_zoo3) with REINFORCE and RandomWeightSearch in it, by the side of its own algorithms:
``sb3-reinforce zoo train --algo reinforce --env CartPole-v1``. Needs the extra ``zoo``.
"""

import importlib
from types import ModuleType

from sb3_reinforce.common.extras import needs
from sb3_reinforce.common.names import check_known
from sb3_reinforce.random_weight_search import RandomWeightSearch
from sb3_reinforce.reinforce import REINFORCE

ALGORITHMS: dict[str, type[REINFORCE] | type[RandomWeightSearch]] = {
    "reinforce": REINFORCE,
    "random_weight_search": RandomWeightSearch,
}


def import_rl_zoo3(module: str) -> ModuleType:
    """
    :param module: Name of one of rl_zoo3's modules.
    :return: The module.
    :raises ImportError: If it, or something that it needs, is not installed.
    """
    with needs("zoo", module):
        return importlib.import_module(module)


def check_algorithm(name: str) -> None:
    """
    :param name: Of an algorithm, as after ``--algo``.
    :raises ValueError: If neither this package nor the RL Zoo has it.
    :raises ImportError: If it is none of ours, and rl_zoo3 is not installed.
    """
    if name not in ALGORITHMS:
        check_known("algorithm", name, {**ALGORITHMS, **import_rl_zoo3("rl_zoo3").ALGOS})


def register() -> None:
    """
    Make REINFORCE and RandomWeightSearch known to the RL Zoo of this process: to its algorithms, to its
    search for hyperparameters, and to ``train``, which then finds ours. To do so twice does no harm.

    ``sb3-reinforce zoo`` calls it; call it before you use ``rl_zoo3`` from a script of your own.

    :raises ImportError: If rl_zoo3 is not installed.
    """
    train = import_rl_zoo3("rl_zoo3.train")
    from rl_zoo3 import ALGOS
    from rl_zoo3.hyperparams_opt import HYPERPARAMS_CONVERTER, HYPERPARAMS_SAMPLER

    from sb3_reinforce.zoo.experiment_manager import CommandExperiment
    from sb3_reinforce.zoo.samplers import CONVERTERS, SAMPLERS

    ALGOS.update(ALGORITHMS)
    HYPERPARAMS_SAMPLER.update(SAMPLERS)
    HYPERPARAMS_CONVERTER.update(CONVERTERS)
    train.ExperimentManager = CommandExperiment  # type: ignore[attr-defined]
