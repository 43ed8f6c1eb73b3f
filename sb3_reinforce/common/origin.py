"""Which algorithm has saved a file, and what to do with one of another's."""

from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_reinforce.common.archives import Path, name_of

_SIGNS = {
    "reward_to_go": "sb3_reinforce.REINFORCE",
    "discount_weighting": "sb3_reinforce.REINFORCE",
    "n_confirmation_episodes": "sb3_reinforce.RandomWeightSearch",
    "weight_scale": "sb3_reinforce.RandomWeightSearch",
    "sb3_contrib.common.maskable.policies": "sb3_contrib.MaskablePPO",
    "sb3_contrib.common.recurrent.policies": "sb3_contrib.RecurrentPPO",
    "cg_max_steps": "sb3_contrib.TRPO",
    "n_delta": "sb3_contrib.ARS",
    "n_quantiles": "sb3_contrib.QRDQN",
    "top_quantiles_to_drop_per_net": "sb3_contrib.TQC",
    "sb3_contrib.crossq.policies": "sb3_contrib.CrossQ",
    "clip_range": "stable_baselines3.PPO",
    "exploration_fraction": "stable_baselines3.DQN",
    "target_policy_noise": "stable_baselines3.TD3",  # or DDPG, which is a TD3 with other numbers
    "target_entropy": "stable_baselines3.SAC",
    "gae_lambda": "stable_baselines3.A2C",
}
"""An attribute that an algorithm's files have, or the module of its policies: the first that is found tells the algorithm."""
_ACTOR_CRITICS = {"REINFORCE", "RandomWeightSearch", "PPO", "A2C", "TRPO", "MaskablePPO"}


def algorithm_of(attributes: dict[str, Any]) -> str | None:
    """
    :param attributes: SB3's attributes in a file, as JSON has them.
    :return: Which algorithm has saved them, with its package, as far as can be told.
    """
    policy_class = attributes.get("policy_class")
    signs = {*attributes, policy_class.get("__module__") if isinstance(policy_class, dict) else None}
    return next((algorithm for sign, algorithm in _SIGNS.items() if sign in signs), None)


def check_algorithm(cls: type[BaseAlgorithm], path: Path, attributes: dict[str, Any]) -> None:
    """
    :param cls: The algorithm that is to load the file.
    :param path: The file.
    :param attributes: SB3's attributes in it, as JSON has them.
    :raises ValueError: If another algorithm has saved it. The message says how to take its policy over.
    """
    algorithm = algorithm_of(attributes)
    if algorithm is None:
        return
    name = algorithm.rpartition(".")[2]
    if name in {base.__name__ for base in cls.__mro__}:
        return
    file = name_of(path)
    ours = f"model = {cls.__name__}(policy, env, policy_kwargs=...)"
    if name in _ACTOR_CRITICS:
        advice = (
            f"To take its policy over, make a model with the same kind of policy, {ours}, and then "
            f"model.policy.load_state_dict({algorithm}.load({file}).policy.state_dict())."
        )
    else:
        advice = (
            f"Its policy is of another kind. For one that does the same, make a model, {ours}, and show it what that does: "
            f"model.policy.fit(observations, {algorithm}.load({file}).predict(observations, deterministic=True)[0])."
        )
    raise ValueError(f"{cls.__name__} can't load {file}: it is a model of {name}. {advice}")
