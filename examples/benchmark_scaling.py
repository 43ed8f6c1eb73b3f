"""
Does the cost grow in step with the work? Seconds for each environment step, and memory, against the number of environments
and against the length of episodes, in one run, with one torch thread. Both axes of a plot grow alike: a flat line of seconds a
step, and memory that stays close to the arrays that a rollout has to hold, is what one wants to see.

    python examples/benchmark_scaling.py                     # two tables
    python examples/benchmark_scaling.py --output scaling    # and scaling.md and scaling.png
"""

import argparse
import pathlib
import time
import tracemalloc
from typing import Any, NamedTuple

import numpy as np
import torch as th
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from sb3_reinforce import REINFORCE, GymnasiumVecEnv
from sb3_reinforce.rollouts.episode_buffer import EpisodeBuffer

N_ENVS = (1, 4, 16, 64, 256, 1024, 4096)
LENGTHS = (10, 100, 1_000, 10_000)
TIMESTEPS = 4_000_000
LENGTH = 1_000


class FixedLength(VectorEnv[Any, Any, Any]):
    """As much work as CartPole's observations, and episodes of one length, so that only the one thing varies."""

    def __init__(self, num_envs: int, length: int) -> None:
        self.num_envs, self.length = num_envs, length
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}
        self.single_observation_space = spaces.Box(-1.0, 1.0, (4,))
        self.single_action_space = spaces.Discrete(2)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.rng, self.time = np.random.default_rng(0), 0

    def _observations(self) -> np.ndarray:
        return self.rng.random((self.num_envs, 4), dtype=np.float32)

    def reset(self, **kwargs: Any) -> Any:
        """All environments start together."""
        self.time = 0
        return self._observations(), {}

    def step(self, actions: Any) -> Any:
        """All environments end together."""
        self.time += 1
        ended = np.full(self.num_envs, self.time == self.length)
        obs, infos = self._observations(), {}
        if ended[0]:
            self.time = 0
            last = np.empty(self.num_envs, dtype=object)
            last[:] = list(obs)
            infos = {"final_obs": last, "_final_obs": ended, "final_info": {}, "_final_info": ended}
        return obs, actions.astype(np.float64), ended, np.zeros_like(ended), infos


class Cost(NamedTuple):
    """What a rollout and its update cost."""

    microseconds_per_step: float
    bare_microseconds_per_step: float
    held_mib: float
    peak_mib: float


def model_of(n_envs: int, length: int) -> REINFORCE:
    """The defaults: a rollout is 8 episodes, or one for each environment if there are more."""
    env = GymnasiumVecEnv(FixedLength(n_envs, length))
    return REINFORCE("LinearSoftmaxPolicy", env, max_episode_steps=10**9, seed=0)


def bytes_held(buffer: EpisodeBuffer) -> int:
    """Observations, actions and rewards, and two numbers that say which timestep of which episode it is."""
    return sum(np.asarray(array).nbytes for block in buffer.rollout().blocks for array in block)


def memory(n_envs: int, length: int) -> tuple[float, float]:
    """MiB that a rollout's arrays hold, and the peak while it is collected, as the allocator counts them."""
    model = model_of(n_envs, length)
    _, callback = model._setup_learn(1)
    assert model.env is not None
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    model.collect_rollouts(model.env, callback, model.rollout_buffer)
    peak = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    return bytes_held(model.rollout_buffer) / 2**20, peak / 2**20


def bare_seconds(n_envs: int, length: int, n_steps: int) -> float:
    """Seconds that the environment alone takes."""
    env, actions = FixedLength(n_envs, length), np.zeros(n_envs, dtype=np.int64)
    env.reset()
    start = time.perf_counter()
    for _ in range(n_steps):
        env.step(actions)
    return time.perf_counter() - start


def cost(n_envs: int, length: int, n_timesteps: int) -> Cost:
    """Of about ``n_timesteps`` steps, whole rollouts, updates and logs included; the best of three."""
    seconds, bare = [], []
    for _ in range(3):
        model = model_of(n_envs, length)
        start = time.perf_counter()
        model.learn(n_timesteps)
        seconds.append((time.perf_counter() - start) / model.num_timesteps)
        n_steps = model.num_timesteps // n_envs
        bare.append(bare_seconds(n_envs, length, n_steps) / model.num_timesteps)
    return Cost(1e6 * min(seconds), 1e6 * min(bare), *memory(n_envs, length))


def table(what: str, costs: dict[int, Cost]) -> str:
    """As Markdown."""
    rows = [
        f"| {what} | microseconds a step | of them the environment's | arrays held, MiB | peak, MiB | peak / held |",
        "|---:|---:|---:|---:|---:|---:|",
    ]
    for x, c in costs.items():
        rows.append(
            f"| {x:,} | {c.microseconds_per_step:.3g} | {c.bare_microseconds_per_step:.3g} | {c.held_mib:.3g} "
            f"| {c.peak_mib:.3g} | {c.peak_mib / c.held_mib:.2f} |"
        )
    return "\n".join(rows)


def plot(by_envs: dict[int, Cost], by_length: dict[int, Cost], length: int, path: pathlib.Path) -> None:
    """Time above, memory below."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6.4), layout="constrained", dpi=150)
    axes = figure.subplots(2, 2, sharex="col", sharey="row")
    for column, (costs, label) in enumerate(
        [
            (by_envs, f"Environments (episodes of {length:,} timesteps)"),
            (by_length, "Timesteps of an episode (16 environments)"),
        ]
    ):
        x = list(costs)
        time_axis, memory_axis = axes[0, column], axes[1, column]
        time_axis.loglog(x, [c.microseconds_per_step for c in costs.values()], "o-", color="#3465a4", label="learn()")
        time_axis.loglog(
            x, [c.bare_microseconds_per_step for c in costs.values()], "o-", color="#999999", label="the environment"
        )
        memory_axis.loglog(x, [c.peak_mib for c in costs.values()], "o-", color="#3465a4", label="peak")
        memory_axis.loglog(x, [c.held_mib for c in costs.values()], "o-", color="#999999", label="arrays held")
        memory_axis.set_xlabel(label)
        for axis in (time_axis, memory_axis):
            axis.spines[["top", "right"]].set_visible(False)
            axis.grid(alpha=0.2)
    axes[0, 0].set_ylabel("Microseconds a step")
    axes[1, 0].set_ylabel("MiB of a rollout")
    axes[0, 1].legend(frameon=False)
    axes[1, 1].legend(frameon=False)
    figure.suptitle("Cost of REINFORCE, linear policy, one torch thread", x=0.01, ha="left", fontweight="bold")
    figure.savefig(path)


def main() -> None:
    """Measure, and show what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--largest", type=int, default=10_000, help="of the numbers of environments and of timesteps")
    parser.add_argument("--length", type=int, default=LENGTH, help="of an episode, where the number of environments varies")
    parser.add_argument("--timesteps", type=int, default=TIMESTEPS, help="of a measurement, at most; more measure better")
    parser.add_argument("--output", type=pathlib.Path, help="where to write the .md and .png, without the suffix")
    options = parser.parse_args()
    th.set_num_threads(1)
    most = options.timesteps
    by_envs = {
        n_envs: cost(n_envs, options.length, min(20_000 * n_envs, most)) for n_envs in N_ENVS if n_envs <= options.largest
    }
    by_length = {
        length: cost(16, length, min(max(500_000, 16 * length), most)) for length in LENGTHS if length <= options.largest
    }
    text = f"{table('environments', by_envs)}\n\n{table('timesteps of an episode', by_length)}\n"
    print(text)
    if options.output is not None:
        options.output.with_suffix(".md").write_text(text)
        plot(by_envs, by_length, options.length, options.output.with_suffix(".png"))


if __name__ == "__main__":
    main()
