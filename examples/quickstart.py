"""Train REINFORCE on CartPole, see what it reaches, keep it, and load it again. About 5 seconds."""

import gymnasium as gym
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor

from sb3_reinforce import REINFORCE, EpisodeDurationCallback

model = REINFORCE("LinearSoftmaxPolicy", "CartPole-v1", seed=0, tensorboard_log="runs")
model.learn(callback=EpisodeDurationCallback())

env = Monitor(gym.make("CartPole-v1"))
mean, std = evaluate_policy(model, env, n_eval_episodes=20)
print(f"After {model.num_timesteps} timesteps: mean return {mean:.1f} +- {std:.1f} over 20 fresh episodes")

# The whole policy is two rows of four weights and a bias: what pushes the cart left, what pushes it right
weights = model.policy.state_dict()["action_net.weight"].numpy()
for name, left, right in zip(("position", "velocity", "angle", "angular velocity"), *weights, strict=True):
    print(f"{name:>17}: {right - left:+.2f} for a push to the right")

model.save("runs/reinforce_cartpole")
model = REINFORCE.load("runs/reinforce_cartpole", env=env)
print("Curves: tensorboard --logdir runs")
