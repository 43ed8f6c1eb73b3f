"""Keys of SB3's log that more than one module knows."""

TIMESTEPS = "time/total_timesteps"
RETURN, LENGTH = "rollout/episode_return", "rollout/episode_length"
"""A point for each episode."""
EVALUATION_RETURN, EVALUATION_LENGTH = "eval/mean_reward", "eval/mean_ep_length"
"""As SB3's EvalCallback has them."""
BEST_CANDIDATE = "rollout/best_mean_reward"
LOSSES = {
    "train/policy_loss": "Policy loss",  # REINFORCE, A2C
    "train/policy_gradient_loss": "Policy loss",  # PPO
    "train/policy_objective": "Policy objective",  # TRPO
    "train/actor_loss": "Actor loss",  # SAC, TD3, DDPG
    "train/loss": "Loss",  # DQN
}
"""By its key, what an algorithm's loss is called. The first that a run has logged is the one to show."""
EPSILONS = ("rollout/epsilon", "rollout/exploration_rate")  # REINFORCE, DQN
DRAWN = (BEST_CANDIDATE, EVALUATION_RETURN, *LOSSES, *EPSILONS)
"""What a picture of a training shows beside its episodes, if it is logged."""


def running(key: str) -> str:
    """
    :param key: Of what is logged for each episode.
    :return: Where its running mean stands, in rows from which some episodes are left out.
    """
    return f"{key}_running"
