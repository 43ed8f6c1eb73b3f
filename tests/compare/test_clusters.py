"""Clusters as the README has them: processes of their own, which somebody has started."""

import contextlib
import io
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import joblib
import numpy as np
import pytest

from sb3_reinforce.compare.execute import backend, execute_all
from sb3_reinforce.compare.run import Outcome
from tests.compare.tiny import plan

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the processes are ended by signals")


def _free_port() -> int:
    while True:  # Ray's own workers take those from 10002 to 19999
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = int(free.getsockname()[1])
        if port > 20_000:
            return port


@contextlib.contextmanager
def _processes(*commands: list[str], log: pathlib.Path) -> Iterator[None]:
    with log.open("w") as file:
        started = [
            subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True)
            for command in commands
        ]
        try:
            yield
        finally:
            for process in started[::-1]:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGTERM)
            for process in started:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(10)
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _wait_for(port: int, log: pathlib.Path) -> None:
    for _ in range(600):
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError(log.read_text()[-2000:])


def _execute(name: str, address: str) -> None:
    runs = plan(seeds=2, timesteps=50, eval_freq=50, n_eval_episodes=1).runs
    with backend(name, 2, address):
        there = list(execute_all(runs))
    with joblib.parallel_config("sequential"):
        here = list(execute_all(runs))
    scores = [sorted((outcome.name, _scores(outcome)) for outcome in outcomes) for outcomes in (there, here)]
    assert scores[0] == scores[1]


def _scores(outcome: Outcome) -> list[list[float]]:
    assert outcome.files is not None, outcome.error
    return np.load(io.BytesIO(outcome.files["evaluations.npz"]))["results"].tolist()


# Of its own process, since Ray reads its settings once
EXECUTE = """
import sys, ray
from tests.compare.test_clusters import _execute
_execute("ray", sys.argv[1])
assert not ray.is_initialized()
"""


def test_a_ray_cluster_that_asks_for_a_token(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    port, log = _free_port(), tmp_path / "log"
    (tmp_path / "token").write_text("0123456789abcdef" * 2)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    ray = str(pathlib.Path(sys.executable).with_name("ray"))
    start = [ray, "start", "--head", "--block", f"--port={port}", "--num-cpus=2", "--include-dashboard=false"]
    with _processes([*start, "--disable-usage-stats"], log=log):
        _wait_for(port, log)
        subprocess.run([sys.executable, "-c", EXECUTE, f"127.0.0.1:{port}"], check=True, timeout=200)


def test_a_dask_scheduler_with_a_worker(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("distributed")
    port, log = _free_port(), tmp_path / "log"
    dask, address = [sys.executable, "-m", "dask"], f"tcp://127.0.0.1:{port}"
    scheduler = [*dask, "scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"]
    worker = [*dask, "worker", address, "--nthreads", "1", "--no-dashboard", "--local-directory", str(tmp_path)]
    with _processes(scheduler, worker, log=log):
        _wait_for(port, log)
        _execute("dask", address)


@pytest.mark.parametrize(("n_jobs", "n_cpus"), [(2, 2), (-1, None)])
def test_without_an_address_ray_starts_on_this_machine(
    monkeypatch: pytest.MonkeyPatch, n_jobs: int, n_cpus: int | None
) -> None:
    ray = pytest.importorskip("ray")
    said: list[tuple[str, object]] = []
    monkeypatch.setattr(ray, "init", lambda address, **options: said.append((address, options["num_cpus"])))
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "shutdown", lambda: said.append(("shutdown", None)))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with backend("ray", n_jobs, None):
        assert said == [("local", n_cpus)]
    assert said[1:] == [("shutdown", None)]


def test_no_cluster_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray")

    def refuses(*_: object, **__: object) -> None:
        raise ConnectionError("Failed to connect")

    monkeypatch.setattr(ray, "init", refuses)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with (
        pytest.raises(ConnectionError, match=r"at '10.0.0.1:6379'.*auth_token.*RAY_AUTH_MODE"),
        backend("ray", 1, "10.0.0.1:6379"),
    ):
        pass
