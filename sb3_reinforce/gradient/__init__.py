"""From a rollout to a step: returns, baselines, scores, ways to step."""
