"""
What ``train --optimize`` tries: samplers, which ask Optuna for values, and converters, which make the
hyperparameters of them, as a YAML file has them. ``train --trial-id`` uses a converter alone.
"""

from typing import Any

import numpy as np
import optuna
from rl_zoo3 import linear_schedule
from torch import nn

ACTIVATIONS: dict[str, type[nn.Module]] = {"tanh": nn.Tanh, "relu": nn.ReLU}


def convert_reinforce_params(sampled: dict[str, Any]) -> dict[str, Any]:
    """
    :param sampled: What :func:`sample_reinforce_params` has asked for, by name.
    :return: Hyperparameters of REINFORCE.
    """
    params = sampled.copy()
    params["gamma"] = 1.0 - params.pop("one_minus_gamma")
    params["learning_rate"] = f"lin_{params['learning_rate']}"
    if "net_arch" in params:
        params["policy_kwargs"] = {
            "net_arch": [int(size) for size in params.pop("net_arch").split("-")],
            "activation_fn": ACTIVATIONS[params.pop("activation_fn")],
        }
    return params


def sample_reinforce_params(trial: optuna.Trial, n_actions: int, n_envs: int, additional_args: dict) -> dict[str, Any]:
    """
    Propose hyperparameters of REINFORCE. The learning rate falls linearly to 0, as it does by default, and every
    environment has an episode to play. A linear policy keeps the ``policy_kwargs`` that it has.

    :param trial: Optuna's trial.
    :param n_actions: Not used.
    :param n_envs: Number of training environments.
    :param additional_args: Not used.
    :return: Arguments of REINFORCE.
    """
    # rl_zoo3 keeps the hyperparameters that it starts from with the study
    is_linear = "Linear" in trial.study.user_attrs["policy"]
    baselines = ["mean", "leave_one_out", "time", "linear", "value"]
    sampled: dict[str, Any] = {
        "n_episodes": trial.suggest_int("n_episodes", max(2, n_envs), max(64, n_envs), log=True),
        "learning_rate": trial.suggest_float("learning_rate", 1e-4, 0.5, log=True),
        "one_minus_gamma": trial.suggest_float("one_minus_gamma", 1e-4, 0.1, log=True),
        "baseline": trial.suggest_categorical("baseline", [*baselines, "optimal"] if is_linear else baselines),
        "normalize_advantage": trial.suggest_categorical("normalize_advantage", [True, False]),
        "ent_coef": trial.suggest_float("ent_coef", 1e-6, 0.5, log=True),
    }
    if not is_linear:
        sampled["net_arch"] = trial.suggest_categorical("net_arch", ["32", "64", "64-64", "256-256"])
        sampled["activation_fn"] = trial.suggest_categorical("activation_fn", list(ACTIVATIONS))
    params = convert_reinforce_params(sampled)
    return {**params, "learning_rate": linear_schedule(sampled["learning_rate"])}


def convert_random_weight_search_params(sampled: dict[str, Any]) -> dict[str, Any]:
    """
    :param sampled: What :func:`sample_random_weight_search_params` has asked for, by name.
    :return: Hyperparameters of RandomWeightSearch.
    """
    return sampled.copy()


def sample_random_weight_search_params(
    trial: optuna.Trial, n_actions: int, n_envs: int, additional_args: dict
) -> dict[str, Any]:
    """
    Propose hyperparameters of RandomWeightSearch. A trial is judged by what it has found after all of its timesteps,
    so no threshold ends it early.

    :param trial: Optuna's trial.
    :param n_actions: Not used.
    :param n_envs: Not used.
    :param additional_args: Not used.
    :return: Arguments of RandomWeightSearch.
    """
    sampled = {
        "weight_scale": trial.suggest_float("weight_scale", 0.1, 10.0, log=True),
        "n_eval_episodes": trial.suggest_int("n_eval_episodes", 1, 20, log=True),
    }
    return {**convert_random_weight_search_params(sampled), "reward_threshold": np.inf}


SAMPLERS = {"reinforce": sample_reinforce_params, "random_weight_search": sample_random_weight_search_params}
CONVERTERS = {"reinforce": convert_reinforce_params, "random_weight_search": convert_random_weight_search_params}
