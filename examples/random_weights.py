"""How far does guessing go? Random weights on CartPole, until some hold the threshold over 100 fresh episodes."""

from sb3_reinforce import RandomWeightSearch

for env_id in ("CartPole-v0", "CartPole-v1"):
    model = RandomWeightSearch("LinearSoftmaxPolicy", env_id, seed=0).learn()
    print(
        f"{env_id}: {'solved' if model.solved else 'not solved'} after {model.n_candidates} candidates and "
        f"{model.num_timesteps} timesteps; mean return {model.best_mean_reward:.1f} over the confirmation episodes"
    )
    left, right = model.best_weights[0]
    print(f"  weights of a push to the right, less those of one to the left: {(right - left).round(2)}")
