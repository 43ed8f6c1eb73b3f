"""
How much faster is a comparison with more workers? The same comparison with each number of workers, from the call of
``compare`` to its report, the start of the workers included; and whether all have given the same results.

    python examples/benchmark_compare.py                       # 1 and 2 workers, a few minutes on an idle machine
    python examples/benchmark_compare.py --n-jobs 1 2 4 8 --backend ray
"""

import argparse
import pathlib
import tempfile
import time

from sb3_reinforce.compare import compare

ALGOS = ["reinforce", "a2c", "ppo", "trpo"]


def main() -> None:
    """Compare, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--algos", nargs="+", default=ALGOS)
    parser.add_argument("--n-jobs", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--backend", default="loky")
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--timesteps", type=int, default=20_000)
    options = parser.parse_args()
    rows, results = [], []
    with tempfile.TemporaryDirectory() as folder:
        plan = {"algos": options.algos, "envs": ["CartPole-v1"], "seeds": options.seeds, "timesteps": options.timesteps}
        # What this process itself needs is loaded before the clock runs
        compare(options.algos, ["CartPole-v1"], seeds=1, timesteps=20, eval_freq=20, folder=f"{folder}/warm", n_jobs=1)
        for i, n_jobs in enumerate(options.n_jobs):
            start = time.perf_counter()
            comparison = compare(**plan, folder=f"{folder}/{i}", backend=options.backend, n_jobs=n_jobs)
            rows.append((n_jobs, time.perf_counter() - start))
            if comparison.failures:  # fewer runs are faster
                raise SystemExit(f"Runs have failed with {n_jobs} workers: {comparison.failures}")
            results.append(pathlib.Path(comparison.folder, "results.csv").read_bytes())
    n_runs = len(options.algos) * options.seeds
    print(f"\n{n_runs} runs of {options.timesteps} timesteps on CartPole-v1, backend {options.backend}\n")
    print("| workers | seconds | times as fast |\n|---:|---:|---:|")
    for n_jobs, seconds in rows:
        print(f"| {n_jobs} | {seconds:.1f} | {rows[0][1] / seconds:.2f} |")
    print(f"\nThe results are {'the same' if len(set(results)) == 1 else 'NOT the same'} to the last bit.")


if __name__ == "__main__":
    main()
