"""
How much noise does a baseline take out of the policy gradient? About two minutes on one core.

    python examples/baseline_variance.py --output baseline_variance.md

Trains the linear policy on CartPole-v1 and stops at three stages. At each of them the policy stands still while one rollout
after another gives its gradient, with every baseline in turn; baselines that are fitted to earlier rollouts go on fitting.
The variance is the trace of the covariance of the gradient, over rollouts of 8 episodes; the table gives its ratio to that of
"none", with the standard error of a bootstrap over rollouts. All baselines but "value", which draws numbers of its own, see
the same episodes. "value" is a small tanh network.
"""

import argparse
import copy
import pathlib
from typing import Any

import numpy as np
import torch as th
from stable_baselines3.common.callbacks import BaseCallback

from sb3_reinforce import REINFORCE, make_fast_vec_env
from sb3_reinforce.gradient.baselines import BASELINES
from sb3_reinforce.gradient.steps import OptimizerStep

ENV, N_EPISODES = "CartPole-v1", 8
POLICY: dict[str, Any] = {"net_arch": {"pi": [], "vf": [64, 64]}, "activation_fn": th.nn.Tanh}
STAGES = {"half-way": 150, "nearly solved": 400}
"""The mean return of a rollout that a stage begins with."""


class FrozenREINFORCE(REINFORCE):
    """REINFORCE that takes down the gradient of each rollout instead of following it."""

    gradients: list[np.ndarray]

    def _step_by(self, scores: Any) -> "TakesDown":
        return TakesDown(self)


class TakesDown(OptimizerStep):
    """A way of stepping that goes nowhere."""

    def __init__(self, model: FrozenREINFORCE) -> None:
        super().__init__(model.policy)
        self.model = model

    def take(self, rollout: Any, learning_rate: float) -> None:
        """Keep the gradient."""
        gradients = [parameter.grad.flatten() for parameter in self.policy.parameters() if parameter.grad is not None]
        self.model.gradients.append(-th.cat(gradients).numpy())


class Rollouts(BaseCallback):
    """Ends training after so many rollouts, or after one with this mean return."""

    def __init__(self, n_rollouts: float = np.inf, mean_return: float = np.inf) -> None:
        super().__init__()
        self.n_rollouts, self.mean_return = n_rollouts, mean_return
        self.n_seen, self.last_return = 0, 0.0

    def _on_rollout_end(self) -> None:
        self.n_seen += 1
        self.last_return = self.locals["rollout_buffer"].rewards.sum() / N_EPISODES

    def _on_step(self) -> bool:
        return self.n_seen < self.n_rollouts and self.last_return < self.mean_return


def stages(n_stages: int, seed: int) -> dict[str, dict[str, th.Tensor]]:
    """The policy's parameters at each of the first stages of one training run."""
    model = REINFORCE("LinearSoftmaxPolicy", make_fast_vec_env(ENV, N_EPISODES, seed=seed), policy_kwargs=POLICY, seed=seed)
    found = {"untrained": copy.deepcopy(model.policy.state_dict())}
    for name, mean_return in list(STAGES.items())[: n_stages - 1]:
        stop = Rollouts(mean_return=mean_return)
        model.learn(callback=stop, log_interval=None, reset_num_timesteps=False)
        found[f"{name} (return {stop.last_return:.0f})"] = copy.deepcopy(model.policy.state_dict())
    return found


def gradients(baseline: str, parameters: dict[str, th.Tensor], n_rollouts: int, seed: int) -> np.ndarray:
    """The gradient of each of so many rollouts of one policy. Shape ``(n_rollouts, n_parameters)``."""
    env = make_fast_vec_env(ENV, N_EPISODES, seed=seed)
    model = FrozenREINFORCE(
        "LinearSoftmaxPolicy",
        env,
        learning_rate=0.01,  # of the value net
        baseline=baseline,
        normalize_advantage=False,
        policy_kwargs=POLICY,
        seed=seed,
    )
    model.policy.load_state_dict(parameters)
    model.gradients = []
    model.learn(10**9, callback=Rollouts(n_rollouts), log_interval=None)
    return np.stack(model.gradients)


def variance(estimates: np.ndarray) -> float:
    """Trace of the covariance. Shape ``(n_rollouts, n_parameters)``."""
    return float(estimates.var(axis=0, ddof=1).sum())


def ratio(estimates: np.ndarray, reference: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    """The ratio of two variances, and its standard error by the bootstrap over rollouts."""
    n = len(estimates)
    resampled = [variance(estimates[rows]) / variance(reference[rows]) for rows in rng.integers(n, size=(300, n))]
    return variance(estimates) / variance(reference), float(np.std(resampled))


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rollouts", type=int, default=100, help="rollouts to measure with (default: 100)")
    parser.add_argument("--warm-up", type=int, default=30, help="rollouts before, to fit baselines to (default: 30)")
    parser.add_argument("--stages", type=int, choices=(1, 2, 3), default=3, help="how many of them (default: 3)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=pathlib.Path, help="where to write the table too, as Markdown")
    options = parser.parse_args()
    if options.rollouts < 8:
        parser.error(f"--rollouts must be at least 8, for the bootstrap, but got {options.rollouts}")
    th.set_num_threads(1)
    rng = np.random.default_rng(options.seed)
    columns: dict[str, dict[str, str]] = {}
    for stage, parameters in stages(options.stages, options.seed).items():
        column = columns.setdefault(stage, {})
        reference = np.empty(0)
        for baseline in BASELINES:
            n_rollouts = options.warm_up + options.rollouts
            estimates = gradients(baseline, parameters, n_rollouts, seed=1000 + options.seed)[options.warm_up :]
            reference = estimates if baseline == "none" else reference
            value, error = ratio(estimates, reference, rng)
            column[baseline] = "1" if baseline == "none" else f"{value:.3f} ± {error:.3f}"
            print(f"{stage}: {baseline}: {column[baseline]}", flush=True)
    lines = [f"| baseline | {' | '.join(columns)} |", "|---" * (1 + len(columns)) + "|"]
    lines += [f"| {name} | {' | '.join(column[name] for column in columns.values())} |" for name in BASELINES]
    table = "\n".join(lines)
    print(f"\n{table}")
    if options.output is not None:
        options.output.write_text(table + "\n")


if __name__ == "__main__":
    main()
