"""The files of a repository on the Hub."""

from collections.abc import Iterable

_OTHER_ARCHIVES = {"train_eval_metrics.zip"}
"""What the RL Zoo uploads beside a model."""


def models_among(names: Iterable[str]) -> list[str]:
    """
    :param names: Of all files.
    :return: Those that may be models.
    """
    return [name for name in names if name.endswith(".zip") and "/" not in name and name not in _OTHER_ARCHIVES]
