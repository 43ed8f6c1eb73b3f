"""
Which details of the implementation move the score, and by how much? About half an hour on one core.

    python examples/details.py --seeds 20 --output details.md

Changes one detail at a time and trains on CartPole-v1, 50,000 timesteps in 8 environments, which is less than the default
budget, so that there is room to become better as well as worse. Two scores tell the policies apart:

- while it learns: the mean return of the policy as it samples its actions, over 40 fresh episodes at each fifth of it;
- at the end: the mean return of the greedy policy over 100 fresh episodes. 475 is solved.

The difference to the defaults has a 95% bootstrap interval over seeds. Where the interval holds 0, nothing was shown.
"""

import argparse
import csv
import dataclasses
import pathlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch as th
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv, VecNormalize
from torch import nn

from sb3_reinforce import REINFORCE, EpsilonSchedule, LinearSoftmaxPolicy, make_fast_vec_env
from sb3_reinforce.common.known import known_exactly
from sb3_reinforce.gradient.steps import NaturalStep
from sb3_reinforce.rollouts.episode_buffer import EpisodeBuffer
from sb3_reinforce.rollouts.episode_order import EpisodeOrder
from sb3_reinforce.rollouts.rollout import Block, Rollout

ENV, N_ENVS, TIMESTEPS, SOLVED = "CartPole-v1", 8, 50_000, 475


# What other implementations do, and no argument of ours does ------------------------------------------------------------


class FinishOrder(EpisodeOrder):
    """Environments never stop to play, and a rollout is complete when enough episodes, whichever, have ended."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.finished: list[int] = []
        self.lengths_of: dict[int, int] = {}
        self.starts = np.zeros(100_000, dtype=np.int64)

    def end_episodes(self, dones: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Each environment that has ended an episode starts the next one."""
        envs = dones.nonzero()[0]
        for number in self.episodes[envs].tolist():
            self.finished.append(number)
            self.lengths_of[number] = self.n_steps - int(self.starts[number])
        self.n_ended = min(len(self.finished), self.n_episodes)
        self.episodes = self.episodes.copy()
        self.episodes[envs] = np.arange(self.n_started, self.n_started + len(envs))
        self.starts[self.episodes[envs]] = self.n_steps
        self.n_started += len(envs)
        return envs, self.episodes[envs]


class FinishBuffer(EpisodeBuffer):
    """The first episodes *finished*."""

    def reset(self, *args: Any, **kwargs: Any) -> None:
        """Forget everything."""
        super().reset(*args, **kwargs)
        self.order = FinishOrder(self.n_episodes, np.ones(self.n_envs, dtype=bool))

    def rollout(self) -> Rollout:
        """Without the episodes that had not ended."""
        order: Any = self.order
        if self._rollout is None:
            chosen = sorted(order.finished[: self.n_episodes])
            rollout = super().rollout()
            blocks = [_only(block, chosen) for block in rollout.blocks]
            lengths = np.array([order.lengths_of[number] for number in chosen])
            self._rollout = dataclasses.replace(rollout, blocks=blocks, lengths=lengths)
        return self._rollout


def _only(block: Block, chosen: list[int]) -> Block:
    rows = np.isin(block.episodes, chosen)
    observations: Any = block.observations
    kept = [part[rows] for part in (observations, block.actions, block.rewards, block.episodes, block.timesteps)]
    kept[3] = np.searchsorted(chosen, kept[3]).astype(block.episodes.dtype)
    return Block(*kept)


class ForgetsEpsilon(EpisodeBuffer):
    """The gradient of the policy, though the actions were those of the mixture with uniform chance."""

    def rollout(self) -> Rollout:
        """As if nothing had been explored."""
        return dataclasses.replace(super().rollout(), epsilons=np.zeros(self.n_episodes))


def with_buffer(buffer_class: type[EpisodeBuffer]) -> type[REINFORCE]:
    """REINFORCE with another buffer."""

    class WithBuffer(REINFORCE):
        def _setup_model(self) -> None:
            super()._setup_model()
            n_episodes, spaces = self.rollout_buffer.n_episodes, (self.observation_space, self.action_space)
            self.rollout_buffer = buffer_class(n_episodes, *spaces, self.device, self.n_envs)

    return WithBuffer


class MeanOverTimesteps(REINFORCE):
    """The mean over timesteps in the place of the mean over episodes of the sum over timesteps."""

    def _weights(self, advantages: np.ndarray, rollout: Rollout) -> np.ndarray:
        # As large as usual for episodes of 100 timesteps
        return super()._weights(advantages, rollout) * rollout.n_episodes / rollout.n_timesteps * 100


class OneRollout(REINFORCE):
    """Of the natural gradient's two steps, the bold one alone: each rollout for itself, and never forgotten."""

    def _step_by(self, scores: Any) -> Any:
        return NaturalStep(self.policy, scores, self.target_kl, self.damping, self.line_search)


@known_exactly
class WholeBiasStep(LinearSoftmaxPolicy):
    """The bias takes as long a step as the weights."""

    def step_fractions(self) -> dict[nn.Parameter, float]:
        """None takes a fraction."""
        return {}


class Orthogonal(LinearSoftmaxPolicy):
    """Weights that start as SB3 starts those of an action net: orthogonal, with a gain of 0.01."""

    gain = 0.01

    def _build(self, lr_schedule: Any) -> None:
        super()._build(lr_schedule)
        nn.init.orthogonal_(self.action_net.weight, gain=self.gain)


class OrthogonalOne(Orthogonal):
    """The same with a gain of 1."""

    gain = 1.0


# One change at a time ----------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Change:
    """
    One detail that is another one.

    :param detail: What it is about.
    :param change: What is done instead.
    :param arguments: Of REINFORCE.
    :param policy: The policy.
    :param algorithm: REINFORCE, or what is one with a change.
    :param n_envs: Number of environments.
    :param wrap: Wraps the environments.
    :param reference: What it is compared with: the name of another change; "" for the defaults.
    """

    detail: str
    change: str
    arguments: dict[str, Any] = dataclasses.field(default_factory=dict)
    policy: str | type[LinearSoftmaxPolicy] = "LinearSoftmaxPolicy"
    algorithm: type[REINFORCE] = REINFORCE
    n_envs: int = N_ENVS
    wrap: Callable[[VecEnv], VecEnv] | None = None
    reference: str = ""

    @property
    def name(self) -> str:
        """Its name in the results."""
        return f"{self.detail}: {self.change}"


DEFAULTS = Change("defaults", "none")
NATURAL = Change("natural gradient", "in the place of Adam", {"natural_gradient": True})
MLP = Change("policy", "MlpPolicy", policy="MlpPolicy")
EPSILON = Change("epsilon", "0.2", {"epsilon": 0.2})
DISCOUNTED = Change("gamma", "0.99", {"gamma": 0.99})


def _normalized(**kwargs: Any) -> Callable[[VecEnv], VecEnv]:
    return lambda env: VecNormalize(env, **kwargs)


def _optimizer(optimizer: type[th.optim.Optimizer], **kwargs: Any) -> dict[str, Any]:
    return {"policy_kwargs": {"optimizer_class": optimizer, "optimizer_kwargs": kwargs}}


def changes() -> Iterator[Change]:
    """
    :return: All of them, the defaults first.
    """
    yield DEFAULTS
    yield Change("rollout", "the first 8 episodes finished", algorithm=with_buffer(FinishBuffer))
    for n_episodes in (2, 4, 16, 32):
        yield Change("episodes of a rollout", str(n_episodes), {"n_episodes": n_episodes})
    yield Change("environments", "1, where no step is idle", n_envs=1)
    yield Change("mean", "over timesteps, not over episodes", algorithm=MeanOverTimesteps)
    yield Change("credit", "the return of the whole episode", {"reward_to_go": False})
    for baseline in ("none", "mean", "leave_one_out", "linear", "value", "optimal"):
        yield Change("baseline", baseline, {"baseline": baseline})
    yield Change("advantages", "not normalised", {"normalize_advantage": False})
    yield Change("advantages", "not normalised, no baseline", {"normalize_advantage": False, "baseline": "none"})
    yield DISCOUNTED
    yield Change("gamma", "0.9", {"gamma": 0.9})
    yield Change("gamma", "0.99, discount_weighting", {"gamma": 0.99, "discount_weighting": True}, reference=DISCOUNTED.name)
    bootstrap = {"gamma": 0.99, "bootstrap_truncated": True}
    yield Change("time limit", "gamma 0.99, bootstrap_truncated", bootstrap, reference=DISCOUNTED.name)
    yield Change("optimizer", "SGD, step size 0.2", _optimizer(th.optim.SGD))
    yield Change("optimizer", "SGD, step size 0.002", {**_optimizer(th.optim.SGD), "learning_rate": 0.002})
    yield Change("optimizer", "RMSprop, as A2C's", _optimizer(th.optim.RMSprop, alpha=0.99, eps=1e-5))
    yield Change("optimizer", "Adam without momentum", _optimizer(th.optim.Adam, betas=(0.0, 0.999)))
    for rate in (0.01, 0.05, 0.8):
        yield Change("step size", f"{rate:g}", {"learning_rate": rate})
    yield Change("step size", "falls from 0.2 to 0", {"learning_rate": lambda remaining: 0.2 * remaining})
    yield Change("bias", "takes the whole step", policy=WholeBiasStep)
    for norm in (0.5, 40.0):
        yield Change("gradient's norm", f"at most {norm:g}", {"max_grad_norm": norm})
    for coefficient in (0.01, 0.1):
        yield Change("entropy bonus", f"{coefficient:g}", {"ent_coef": coefficient})
    yield EPSILON
    yield Change("epsilon", "from 1, 0.002 less an episode, to 0.05", {"epsilon": EpsilonSchedule(1.0, 0.05, 0.002)})
    forgetful = with_buffer(ForgetsEpsilon)
    yield Change("epsilon", "0.2, the gradient without it", {"epsilon": 0.2}, algorithm=forgetful, reference=EPSILON.name)
    yield Change("first weights", "orthogonal, gain 0.01", policy=Orthogonal)
    yield Change("first weights", "orthogonal, gain 1", policy=OrthogonalOne)
    yield Change("observations", "normalised (VecNormalize)", wrap=_normalized(norm_reward=False))
    yield Change("rewards", "normalised (VecNormalize)", wrap=_normalized(norm_obs=False))
    yield Change("policy", "hidden linear layers [2, 4]", {"policy_kwargs": {"net_arch": [2, 4]}})
    yield MLP
    variants: dict[str, dict[str, Any]] = {
        "ReLU": {"policy_kwargs": {"activation_fn": nn.ReLU}},
        "torch's first weights": {"policy_kwargs": {"ortho_init": False}},
        "step size 0.0003": {"learning_rate": 3e-4},
        "gradient's norm at most 0.5": {"max_grad_norm": 0.5},
    }
    for name, arguments in variants.items():
        yield Change("MlpPolicy", name, arguments, "MlpPolicy", reference=MLP.name)
    yield NATURAL
    natural = NATURAL.arguments
    variants = {"no line search": {"line_search": False}, "target_kl 0.02": {"target_kl": 0.02}, "damping 1": {"damping": 1.0}}
    for name, arguments in variants.items():
        yield Change("natural gradient", name, {**natural, **arguments}, reference=NATURAL.name)
    yield Change("natural gradient", "of each rollout alone", natural, algorithm=OneRollout, reference=NATURAL.name)


class Evaluations(BaseCallback):
    """Evaluates the policy, as it samples its actions, at each fifth of the training."""

    def __init__(self, change: Change, seed: int, timesteps: int) -> None:
        super().__init__()
        self.change, self.seed = change, seed
        self.times = [timesteps * fifth // 5 for fifth in range(1, 6)]
        self.returns: list[float] = []

    def _on_rollout_start(self) -> None:
        while len(self.returns) < len(self.times) and self.num_timesteps >= self.times[len(self.returns)]:
            self.returns.append(mean_return(self.change, self.model, 40, self.seed + len(self.returns)))

    def _on_training_end(self) -> None:
        self._on_rollout_start()

    def _on_step(self) -> bool:
        return True


def mean_return(change: Change, model: Any, n_episodes: int, seed: int, sharpness: float = 1.0) -> float:
    """
    The mean return over fresh episodes: a rollout with a copy of the policy, which is many times as fast as SB3's
    ``evaluate_policy``, and a step of size 0.

    :param change: What the policy was trained with.
    :param model: Has the policy.
    :param n_episodes: How many episodes, in as many environments.
    :param seed: Of the environments.
    :param sharpness: What to multiply the logits with. With a large number, the policy is greedy.
    :return: The mean return.
    """
    env: VecEnv = make_fast_vec_env(ENV, n_episodes, seed=seed)
    normalize = model.get_vec_normalize_env()
    if normalize is not None:
        env = VecNormalize(env, training=False, norm_reward=False, norm_obs=normalize.norm_obs)
        if normalize.norm_obs:
            env.obs_rms = normalize.obs_rms
    policy_kwargs = change.arguments.get("policy_kwargs")
    judge = REINFORCE(change.policy, env, learning_rate=0.0, n_episodes=n_episodes, policy_kwargs=policy_kwargs, seed=seed)
    judge.policy.load_state_dict(model.policy.state_dict())
    with th.no_grad():
        for parameter in judge.policy.action_net.parameters():
            parameter.mul_(sharpness)
    judge.learn(1, log_interval=None)
    return float(judge.rollout_buffer.lengths.mean())  # a reward of 1 for each timestep


def run(change: Change, seed: int, timesteps: int) -> tuple[float, float]:
    """
    :return: The score while it learns, and the score at the end.
    """
    env: VecEnv = make_fast_vec_env(ENV, change.n_envs, seed=seed)
    if change.wrap is not None:
        env = change.wrap(env)
    model = change.algorithm(change.policy, env, seed=seed, **change.arguments)
    evaluations = Evaluations(change, 1_000 * (seed + 1), timesteps)
    model.learn(timesteps, evaluations, log_interval=None)
    return float(np.mean(evaluations.returns)), mean_return(change, model, 100, 1_000_000 + seed, sharpness=1e6)


def difference(scores: np.ndarray, reference: np.ndarray, rng: np.random.Generator) -> str:
    """Of two means, with its bootstrap interval over seeds."""
    means = [values[rng.integers(len(values), size=(10_000, len(values)))].mean(axis=1) for values in (scores, reference)]
    low, high = np.quantile(means[0] - means[1], [0.025, 0.975])
    return f"{scores.mean() - reference.mean():+.0f} ({low:+.0f} to {high:+.0f})"


def table(results: dict[str, np.ndarray]) -> str:
    """
    :param results: Of each change both scores of each seed. Shape ``(n_seeds, 2)``.
    :return: As Markdown.
    """
    rng = np.random.default_rng(0)
    lines = [
        "| detail | instead of the default | while it learns | difference | at the end | solved |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for change in changes():
        if change.name not in results:
            continue
        learning, end = results[change.name].T
        reference = change.reference or DEFAULTS.name
        of = f", compared with {change.reference.replace(':', '')}" if change.reference else ""
        how = "" if change is DEFAULTS else difference(learning, results[reference][:, 0], rng)
        solved = f"{np.count_nonzero(end >= SOLVED)} of {len(end)}"
        lines.append(
            f"| {change.detail} | {change.change}{of} | {learning.mean():.0f} | {how} | {end.mean():.0f} | {solved} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20, help="how many seeds, at least one (default: 20)")
    parser.add_argument("--timesteps", type=int, default=TIMESTEPS, help=f"of each training (default: {TIMESTEPS})")
    parser.add_argument("--only", help="only the changes with this text in their name, and the defaults")
    parser.add_argument(
        "--output", type=pathlib.Path, help="where to write the table, as Markdown; scores of all runs beside it"
    )
    options = parser.parse_args()
    if options.seeds < 1:
        parser.error(f"--seeds must be at least 1, but got {options.seeds}")
    th.set_num_threads(1)
    references = {DEFAULTS.name} | {change.reference for change in changes() if options.only and options.only in change.name}
    chosen = [change for change in changes() if not options.only or options.only in change.name or change.name in references]
    pairs: dict[str, list[tuple[float, float]]] = {change.name: [] for change in chosen}
    for seed in range(options.seeds):
        for change in chosen:
            pairs[change.name].append(run(change, seed, options.timesteps))
        results = {name: np.array(rows) for name, rows in pairs.items()}
        print(f"{seed + 1} of {options.seeds} seeds", file=sys.stderr, flush=True)
        if options.output is not None:
            write(results, options.output)
    print(table(results))


def write(results: dict[str, np.ndarray], output: pathlib.Path) -> None:
    """The table so far, and the scores of each run."""
    output.write_text(table(results))
    with output.with_suffix(".csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["change", "seed", "while_it_learns", "at_the_end"])
        writer.writerows([name, seed, *pair] for name, pairs in results.items() for seed, pair in enumerate(pairs.tolist()))


if __name__ == "__main__":
    main()
