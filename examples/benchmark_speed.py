"""
How close to the environment's own speed? Races on CartPole-v1, in one run, with one torch thread: each learner against
the bare loop that only steps the same environments with given random actions, and against its peers.

    python examples/benchmark_speed.py                   # a table, as medians over the repetitions
    python examples/benchmark_speed.py --output speed    # and speed.md and speed.png
    python examples/benchmark_speed.py --only native     # some of the races: those whose name has this in it

Peers that are not installed (sb3-contrib, tianshou) are left out, and said so.
"""

import argparse
import importlib.util
import pathlib
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch as th
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import VecEnv

from sb3_reinforce import REINFORCE, EpisodeDurationCallback, GymnasiumVecEnv, PythonVecEnv, RandomWeightSearch

ENV = "CartPole-v1"
N_NATIVE = 1024
N_SEARCH = 256


class Race(NamedTuple):
    """One line of the table: what runs, on how many environments, and the bare loop it is measured against."""

    name: str
    n_envs: int
    bare: str
    run: Callable[[], float]

    @property
    def is_ours(self) -> bool:
        """Whether it is of this package."""
        return any(word in self.name for word in ("REINFORCE", "Random", "Gymnasium", "PythonVecEnv alone", "with"))


def dummy(n_envs: int) -> VecEnv:
    """Monitored environments, one after the other: what SB3 uses."""
    return make_vec_env(ENV, n_envs=n_envs, seed=0)


def python(n_envs: int) -> VecEnv:
    """The same in a PythonVecEnv."""
    return make_vec_env(ENV, n_envs=n_envs, seed=0, vec_env_cls=PythonVecEnv)


def native(n_envs: int) -> GymnasiumVecEnv:
    """Gymnasium's own vectorised CartPole."""
    return GymnasiumVecEnv(gym.make_vec(ENV, num_envs=n_envs, vectorization_mode="vector_entry_point"))


def bare_loop(env: Any, n_steps: int) -> float:
    """Steps a second with actions given, of anything with ``step``."""
    rng = np.random.default_rng(0)
    actions = [rng.integers(2, size=env.num_envs) for _ in range(64)]
    env.reset()
    start = time.perf_counter()
    for step in range(n_steps):
        env.step(actions[step % 64])
    return n_steps * env.num_envs / (time.perf_counter() - start)


def learning(make: Callable[[], Any], n_steps: int, **kwargs: Any) -> float:
    """Steps a second of a whole ``learn()``, updates and logs included, after one to warm up."""
    make().learn(max(n_steps // 20, 1))
    model = make()
    start = time.perf_counter()
    model.learn(n_steps, **kwargs)
    return model.num_timesteps / (time.perf_counter() - start)


def linear(env: VecEnv) -> REINFORCE:
    """The defaults."""
    return REINFORCE("LinearSoftmaxPolicy", env)


def mlp(env: VecEnv) -> REINFORCE:
    """The defaults."""
    return REINFORCE("MlpPolicy", env)


def a2c(env: VecEnv) -> A2C:
    """The RL Zoo's settings for CartPole-v1: the defaults."""
    return A2C("MlpPolicy", env, device="cpu")


def ppo(env: VecEnv) -> PPO:
    """The RL Zoo's settings for CartPole-v1."""
    settings: dict[str, Any] = {"n_steps": 32, "batch_size": 256, "gae_lambda": 0.8, "gamma": 0.98, "n_epochs": 20}
    return PPO("MlpPolicy", env, learning_rate=LinearSchedule(1e-3, 0.0, 1.0), device="cpu", **settings)


def learners() -> Iterator[Race]:
    """Each on DummyVecEnv and on PythonVecEnv, against the bare loop over DummyVecEnv."""
    entries: list[tuple[str, Callable[[VecEnv], Any], int, int]] = [
        ("REINFORCE linear", linear, 1, 60_000),
        ("REINFORCE linear", linear, 8, 100_000),
        ("REINFORCE MLP (64, 64)", mlp, 8, 100_000),
        ("SB3 A2C, RL Zoo settings", a2c, 8, 20_000),
        ("SB3 PPO, RL Zoo settings", ppo, 8, 15_000),
    ]
    for name, make, n_envs, n_steps in entries:
        for where, envs in (("DummyVecEnv", dummy), ("PythonVecEnv", python)):
            yield Race(
                f"{name}, {where}",
                n_envs,
                bare_loop_of(n_envs),
                partial(learning, partial(model_on, make, envs, n_envs), n_steps),
            )


def model_on(make: Callable[[VecEnv], Any], envs: Callable[[int], VecEnv], n_envs: int) -> Any:
    """A new model on new environments."""
    return make(envs(n_envs))


def bare_loop_of(n_envs: int) -> str:
    """The name of the bare loop over DummyVecEnv."""
    return f"bare loop, DummyVecEnv x {n_envs}"


def races() -> list[Race]:
    """All lines of the table, bare loops first."""
    one, eight, many = bare_loop_of(1), bare_loop_of(8), f"bare loop, native x {N_NATIVE}"
    search = f"bare loop, native x {N_SEARCH}"
    lines = [
        Race(one, 1, one, lambda: bare_loop(dummy(1), 30_000)),
        Race(eight, 8, eight, lambda: bare_loop(dummy(8), 6_000)),
        Race(many, N_NATIVE, many, lambda: bare_loop(native(N_NATIVE).vector_env, 2_000)),
        Race(search, N_SEARCH, search, lambda: bare_loop(native(N_SEARCH).vector_env, 4_000)),
        Race("PythonVecEnv alone", 1, one, lambda: bare_loop(python(1), 30_000)),
        Race("PythonVecEnv alone", 8, eight, lambda: bare_loop(python(8), 6_000)),
        *learners(),
        Race(
            "  with EpisodeDurationCallback",
            8,
            eight,
            lambda: learning(lambda: linear(dummy(8)), 100_000, callback=EpisodeDurationCallback()),
        ),
        Race("GymnasiumVecEnv alone, native", N_NATIVE, many, lambda: bare_loop(native(N_NATIVE), 2_000)),
        Race(
            "REINFORCE linear, native",
            N_NATIVE,
            many,
            lambda: learning(lambda: linear(native(N_NATIVE)), 5_000 * N_NATIVE),
        ),
        Race(
            "RandomWeightSearch, native",
            N_SEARCH,
            search,
            # Without a threshold it never stops to confirm, and goes on guessing
            lambda: learning(
                lambda: RandomWeightSearch("LinearSoftmaxPolicy", native(N_SEARCH), reward_threshold=np.inf), 4_000 * N_SEARCH
            ),
        ),
    ]
    if importlib.util.find_spec("sb3_contrib"):
        from sb3_contrib import ARS

        settings: dict[str, Any] = {"n_delta": 8, "learning_rate": 0.02, "delta_std": 0.05}
        run = lambda: learning(lambda: ARS("LinearPolicy", dummy(8), **settings), 30_000)  # noqa: E731
        lines.append(Race("sb3-contrib ARS linear, DummyVecEnv", 8, eight, run))
    else:
        print("sb3-contrib is not installed: no ARS")
    if importlib.util.find_spec("tianshou"):
        lines.append(Race("tianshou Reinforce, DummyVectorEnv", 8, eight, lambda: tianshou_reinforce(20_000)))
    else:
        print("tianshou is not installed: no Reinforce of theirs")
    return lines


def tianshou_reinforce(n_steps: int) -> float:
    """tianshou's Reinforce with its own test's settings for CartPole."""
    from tianshou.algorithm.modelfree.reinforce import DiscreteActorPolicy, Reinforce
    from tianshou.algorithm.optim import AdamOptimizerFactory
    from tianshou.data import Collector, VectorReplayBuffer
    from tianshou.env import DummyVectorEnv
    from tianshou.trainer import OnPolicyTrainerParams
    from tianshou.utils.net.common import Net
    from tianshou.utils.net.discrete import DiscreteActor

    envs = DummyVectorEnv([lambda: gym.make(ENV) for _ in range(8)])
    actor = DiscreteActor(preprocess_net=Net(state_shape=(4,), hidden_sizes=[64, 64]), action_shape=2)
    policy = DiscreteActorPolicy(actor=actor, dist_fn=th.distributions.Categorical, action_space=gym.make(ENV).action_space)
    algorithm = Reinforce(policy=policy, optim=AdamOptimizerFactory(lr=1e-3), gamma=0.95)
    collector: Any = Collector(algorithm, envs, VectorReplayBuffer(20_000, 8))
    collector.reset()
    parameters = OnPolicyTrainerParams(
        training_collector=collector,
        max_epochs=1,
        epoch_num_steps=n_steps,
        collection_step_num_env_steps=None,
        collection_step_num_episodes=8,
        update_step_num_repetitions=2,
        verbose=False,
        show_progress=False,
    )
    start = time.perf_counter()
    algorithm.run_training(parameters)
    return collector.collect_step / (time.perf_counter() - start)


class Measured(NamedTuple):
    """Of one line, once a repetition: steps a second, and the share of the bare loop's just before and just after."""

    speeds: list[float]
    shares: list[float]


Results = dict[tuple[str, int], Measured]


def measure(lines: list[Race], n_repetitions: int) -> Results:
    """Every learner between two bare loops: what slows the machine for a while slows them all."""
    results: Results = {(line.name, line.n_envs): Measured([], []) for line in lines}
    bare_loops = {line.name: line for line in lines if line.name == line.bare}
    for repetition in range(n_repetitions):
        for line in lines:
            if line.name in bare_loops:
                continue
            print(f"\rrepetition {repetition + 1} of {n_repetitions}: {line.name[:60]:<60}", end="", flush=True)
            bare = bare_loops[line.bare]
            before, speed, after = bare.run(), line.run(), bare.run()
            results[line.name, line.n_envs].speeds.append(speed)
            results[line.name, line.n_envs].shares.append(2 * speed / (before + after))
            results[bare.name, bare.n_envs].speeds.extend((before, after))
            results[bare.name, bare.n_envs].shares.append(1.0)
    print("\r" + " " * 90 + "\r", end="")
    return results


def table(lines: list[Race], results: Results) -> str:
    """The table as Markdown, of medians."""
    rows = ["| what | envs | steps a second | share of the bare loop |", "|---|---:|---:|---:|"]
    for line in lines:
        speeds, shares = results[line.name, line.n_envs]
        rows.append(f"| {line.name.strip()} | {line.n_envs} | {np.median(speeds):,.0f} | {np.median(shares):.2f} |")
    return "\n".join(rows)


def verdicts(results: Results) -> str:
    """The ratios between lines that are worth a sentence."""
    said = []

    def compare(a: tuple[str, int], b: tuple[str, int], words: str) -> None:
        if a in results and b in results:
            ratio = np.median(np.array(results[a].speeds) / np.array(results[b].speeds))
            said.append(f"- {words}: {ratio:.{1 if ratio >= 10 else 3}f}")

    linear, a2c = "REINFORCE linear, DummyVecEnv", ("SB3 A2C, RL Zoo settings, DummyVecEnv", 8)
    for name, n_envs in (("REINFORCE linear", 1), ("REINFORCE linear", 8), ("REINFORCE MLP (64, 64)", 8)):
        on_python, on_dummy = (f"{name}, {where}" for where in ("PythonVecEnv", "DummyVecEnv"))
        compare((on_python, n_envs), (on_dummy, n_envs), f"{name} x {n_envs}, on PythonVecEnv to on DummyVecEnv")
    for name in ("SB3 A2C, RL Zoo settings", "SB3 PPO, RL Zoo settings"):
        compare((f"{name}, PythonVecEnv", 8), (f"{name}, DummyVecEnv", 8), f"{name} x 8, on PythonVecEnv to on DummyVecEnv")
    compare(("  with EpisodeDurationCallback", 8), (linear, 8), "EpisodeDurationCallback leaves of the speed")
    compare(("REINFORCE linear, native", N_NATIVE), a2c, f"REINFORCE, native x {N_NATIVE}, to SB3's A2C on DummyVecEnv x 8")
    ars = ("sb3-contrib ARS linear, DummyVecEnv", 8)
    compare(
        ("RandomWeightSearch, native", N_SEARCH), ars, f"RandomWeightSearch, native x {N_SEARCH}, to ARS on DummyVecEnv x 8"
    )
    return "\n".join(said)


def plot(lines: list[Race], results: Results, path: pathlib.Path) -> None:
    """
    Bars as long as the logarithm of the steps a second, so that whoever is faster has the longer one; a mark for the bare loop
    over the same environments, and beside it the share of it.
    """
    from matplotlib.figure import Figure

    bare_loops = [line for line in lines if line.name == line.bare]
    groups = [[bare, *(line for line in lines if line.bare == bare.name and line is not bare)] for bare in bare_loops]
    rows = [line for group in groups for line in group]
    speeds = [float(np.median(results[line.name, line.n_envs].speeds)) for line in rows]
    figure = Figure(figsize=(9, 0.3 * len(rows) + 1.1), layout="constrained", dpi=150)
    ax = figure.subplots()
    for y, (line, speed) in enumerate(zip(rows, speeds, strict=True)):
        text = f"{speed:>11,.0f}"
        if line.name == line.bare:
            n_learners = sum(other.bare == line.name for other in rows) - 1
            ax.vlines(speed, y - 0.35, y + n_learners + 0.35, color="black", linewidth=1.5)
        else:
            ax.barh(y, speed, color="#3465a4" if line.is_ours else "#b0b0b0", height=0.7)
            text += f" {np.median(results[line.name, line.n_envs].shares):>5.0%}"
        ax.text(1.01, y, text, transform=ax.get_yaxis_transform(), va="center", fontsize=8, family="monospace")
    ax.set_xscale("log")
    ax.set_xlim(min(speeds) / 3, max(speeds) * 1.3)
    ax.set_yticks(range(len(rows)), [line.name.strip() for line in rows], fontsize=8)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.set_xlabel("Steps a second, logarithmic. Black: the bare loop over the same environments, and in percent of it")
    ax.xaxis.label.set_fontsize(9)
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_title(f"{ENV}, one torch thread", loc="left", fontweight="bold")
    figure.savefig(path)


def main() -> None:
    """Run the races and show what came of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--only", default="", help="only races with this in their name, and their bare loops")
    parser.add_argument("--output", type=pathlib.Path, help="where to write the .md and .png, without the suffix")
    options = parser.parse_args()
    th.set_num_threads(1)
    lines = races()
    chosen = [line for line in lines if options.only in line.name]
    bare_loops = {(line.bare, line.n_envs) for line in chosen}
    lines = [line for line in lines if line in chosen or (line.name, line.n_envs) in bare_loops]
    results = measure(lines, options.repetitions)
    text = f"{table(lines, results)}\n\n{verdicts(results)}\n"
    print(text)
    if options.output is not None:
        options.output.with_suffix(".md").write_text(text)
        plot(lines, results, options.output.with_suffix(".png"))


if __name__ == "__main__":
    main()
