"""
Train for long, and look whether memory or speed creep: every baseline and every step in turn, on native environments.

    python examples/soak.py --rollouts 1000 --output soak

prints a table and leaves ``soak.md``, ``soak.csv`` and ``soak.png``. Memory after the first tenth of the rollouts should not
grow: each row says by how much it did. Needs the extra ``extra``.
"""

import argparse
import csv
import gc
import pathlib
import time
from typing import Any

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv

from sb3_reinforce import (
    REINFORCE,
    EpisodeDurationCallback,
    EpsilonCallback,
    LiveChartCallback,
    RandomWeightSearch,
    make_fast_vec_env,
)

BASELINES = ("none", "mean", "leave_one_out", "time", "optimal", "linear", "value")
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    **{f"baseline {baseline}": {"baseline": baseline} for baseline in BASELINES},
    "natural gradient": {"natural_gradient": True},
    "optimizer on a network": {"policy": "MlpPolicy"},
    "time limits bootstrapped": {"bootstrap_truncated": True, "gamma": 0.99},
    "gradient's signal-to-noise ratio": {"log_gradient_snr": True},
    "epsilon": {"epsilon": 0.1},
    "callbacks": {"callbacks": (EpisodeDurationCallback, EpsilonCallback)},
    "live chart": {"callbacks": (LiveChartCallback,)},
    "random weight search": {"algorithm": RandomWeightSearch},
}
N_ENVS = 4


def resident_bytes() -> int:
    """
    :return: Memory of this process, as the operating system counts it.
    """
    gc.collect()
    statm = pathlib.Path("/proc/self/statm")
    if not statm.exists():
        raise SystemExit("soak.py reads the memory from /proc, which only Linux has.")
    return int(statm.read_text().split()[1]) * 4096


class Watch(BaseCallback):
    """
    Notes memory and time at about 40 rollouts, and ends training after the last.

    :param n_rollouts: How many.
    """

    def __init__(self, n_rollouts: int) -> None:
        super().__init__()
        self.n_rollouts, self.n_ended = n_rollouts, 0
        self.rows: list[tuple[int, int, float, int]] = []
        """Rollouts, timesteps, seconds, bytes."""

    def _on_training_start(self) -> None:
        self._start = time.perf_counter()

    def _on_step(self) -> bool:
        return self.n_ended < self.n_rollouts

    def _on_rollout_end(self) -> None:
        self.n_ended += 1
        if self.n_ended % max(1, self.n_rollouts // 40) == 0:
            seconds = time.perf_counter() - self._start
            self.rows.append((self.n_ended, self.num_timesteps, seconds, resident_bytes()))
            self._start = time.perf_counter() - seconds  # to look takes no time


def soak(name: str, n_rollouts: int, env: VecEnv, chart: pathlib.Path) -> list[tuple[int, int, float, int]]:
    """
    :param name: Of a configuration.
    :param n_rollouts: How many.
    :param env: What to train on.
    :param chart: Where a live chart goes.
    :return: As :class:`Watch` notes them.
    """
    arguments = dict(CONFIGURATIONS[name])
    algorithm = arguments.pop("algorithm", REINFORCE)
    kinds = arguments.pop("callbacks", ())
    callbacks = [kind(chart) if kind is LiveChartCallback else kind() for kind in kinds]
    if algorithm is REINFORCE:  # rollouts stay small: nothing is learned at such a rate
        arguments = {"n_episodes": 4, "learning_rate": 1e-6, "n_value_updates": 4, **arguments}
    else:
        arguments["reward_threshold"] = np.inf
    watch = Watch(n_rollouts)
    model = algorithm(arguments.pop("policy", "LinearPolicy"), env, seed=0, **arguments)
    model.learn(10**9, callback=[watch, *callbacks], log_interval=10)
    return watch.rows


def summary(rows: list[tuple[int, int, float, int]]) -> dict[str, float]:
    """
    :param rows: As :class:`Watch` notes them.
    :return: Memory in MiB after the first tenth and in the end, growth in per cent, and timesteps a second in the first and in
        the last third.
    """
    table = np.array(rows, dtype=np.float64)
    first = table[max(0, len(table) // 10 - 1)]
    third = max(1, len(table) // 3)
    speeds = [(b[1] - a[1]) / max(b[2] - a[2], 1e-9) for a, b in ((table[0], table[third]), (table[-third - 1], table[-1]))]
    return {
        "first": first[3] / 2**20,
        "last": table[-1][3] / 2**20,
        "growth": 100 * (table[-1][3] / first[3] - 1),
        "speed_first": speeds[0],
        "speed_last": speeds[1],
    }


def table_of(results: dict[str, list[tuple[int, int, float, int]]]) -> str:
    """
    :param results: By the name of each configuration, its rows.
    :return: The table, as Markdown.
    """
    lines = [
        "| | rollouts | MiB after a tenth | MiB in the end | growth | steps/s, first third | last third |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, rows in results.items():
        row = summary(rows)
        lines.append(
            f"| {name} | {rows[-1][0]:,} | {row['first']:.1f} | {row['last']:.1f} | {row['growth']:+.2f} % | "
            f"{row['speed_first']:,.0f} | {row['speed_last']:,.0f} |"
        )
    return "\n".join(lines)


def draw(results: dict[str, list[tuple[int, int, float, int]]], path: pathlib.Path) -> None:
    """
    Memory and speed over the rollouts.

    :param results: By the name of each configuration, its rows.
    :param path: The picture.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 7), layout="constrained", dpi=150)
    memory, speed = figure.subplots(2, 1, sharex=True)
    for name, rows in results.items():
        table = np.array(rows, dtype=np.float64)
        memory.plot(table[:, 0], table[:, 3] / table[max(0, len(table) // 10 - 1), 3] * 100 - 100, label=name, linewidth=1)
        if len(table) > 1:
            speed.plot(table[1:, 0], np.diff(table[:, 1]) / np.maximum(np.diff(table[:, 2]), 1e-9), linewidth=1)
    memory.set_ylabel("Memory since the first\ntenth (per cent)")
    speed.set_ylabel("Timesteps a second")
    speed.set_xlabel("Rollouts")
    memory.legend(fontsize=7, ncols=3, frameon=False)
    figure.savefig(path)


def main() -> None:
    """Soak all configurations, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rollouts", type=int, default=1000, help="of each configuration (default: 1000)")
    parser.add_argument("--only", nargs="+", choices=CONFIGURATIONS, help="default: all")
    parser.add_argument("--output", default="soak", help="path of the files without their suffix (default: soak)")
    options = parser.parse_args()
    output = pathlib.Path(options.output)
    gc.collect()
    gc.freeze()  # what the packages have made is not looked through each time
    results = {}
    for name in options.only or CONFIGURATIONS:
        env = make_fast_vec_env("CartPole-v1", N_ENVS, seed=0, backend="gymnasium")
        results[name] = soak(name, options.rollouts, env, output.with_name(f"{output.name}_chart.png"))
        env.close()
        print(f"{name}: {summary(results[name])['growth']:+.2f} %", flush=True)
    output.with_suffix(".md").write_text(table_of(results) + "\n")
    with output.with_suffix(".csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["configuration", "rollouts", "timesteps", "seconds", "bytes"])
        writer.writerows([name, *row] for name, rows in results.items() for row in rows)
    draw(results, output.with_suffix(".png"))
    print(table_of(results))


if __name__ == "__main__":
    main()
