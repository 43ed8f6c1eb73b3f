import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

import joblib
import pytest

from sb3_reinforce.compare import execute as executing
from sb3_reinforce.compare.execute import MAX_DEATHS, backend, execute_all
from sb3_reinforce.compare.plan import Plan, Run
from sb3_reinforce.compare.results import keep, open_folder, read_results
from sb3_reinforce.compare.run import Outcome
from tests.compare.light import LightRun
from tests.compare.light import execute as execute_light
from tests.compare.tiny import HYPERPARAMS, plan

ENVS = ("CartPole-v1", "FrozenLake-v1")
DIED = "The worker process died: it was killed, ran out of memory, or crashed."


# Real runs


def csv_of(folder: pathlib.Path, comparison: Plan, outcomes: Sequence[Outcome]) -> str:
    open_folder(folder, comparison)
    for outcome in outcomes:
        keep(folder, outcome)
    return read_results(folder).to_csv()


def test_workers_give_the_numbers_of_this_process(tmp_path: pathlib.Path, odd_envs: None) -> None:
    comparison = plan(tuple(HYPERPARAMS), ENVS, timesteps=100, eval_freq=50)
    (raises,) = plan(envs=("odd_envs:Raises-v0",)).runs
    with joblib.parallel_config("sequential"):
        expected = csv_of(tmp_path / "one", comparison, list(execute_all(comparison.runs)))
    assert expected.count("\n") > 3 * 2 * 2
    with backend("loky", 2, None):
        outcomes = list(execute_all([raises, *comparison.runs]))
    errors = {str(outcome.name): outcome.error.splitlines()[-1] for outcome in outcomes if outcome.files is None}
    assert errors == {"reinforce on Raises-v0, seed 1": "RuntimeError: the cart has left the rails"}
    assert csv_of(tmp_path / "two", comparison, [outcome for outcome in outcomes if outcome.files]) == expected


# Runs that train nothing, on workers that do die


@pytest.fixture
def light(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    monkeypatch.setattr(executing, "execute", execute_light)
    return [
        LightRun("first"),
        LightRun("killer", kills=True),
        *(LightRun(str(i)) for i in range(4)),
        LightRun("last", kills=True),
    ]


def check_light(outcomes: list[Any], runs: list[Any]) -> None:
    assert sorted(outcome.name for outcome in outcomes) == sorted(run.name for run in runs)
    lost = {outcome.name: outcome.error for outcome in outcomes if outcome.files is None}
    assert lost.keys() == {run.name for run in runs if run.kills}
    assert all(error.endswith(DIED) for error in lost.values())
    assert str(os.getpid()).encode() not in {outcome.files["pid"] for outcome in outcomes if outcome.files}


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_workers_of_loky_may_die_also_the_only_one(light: list[Any], n_jobs: int) -> None:
    with backend("loky", n_jobs, None):
        check_light(list(execute_all(light)), light)


def test_a_worker_of_dask_may_die(light: list[Any]) -> None:
    dask = pytest.importorskip("dask")
    pytest.importorskip("distributed")
    with dask.config.set({"distributed.scheduler.allowed-failures": 2}), backend("dask", 2, None):
        check_light(list(execute_all(light)), light)


def test_workers_are_new_for_each_comparison() -> None:
    workers = []
    for n_jobs in (1, 1, 2):
        with backend("loky", n_jobs, None):
            workers.append(set(joblib.Parallel()(joblib.delayed(os.getpid)() for _ in range(4))))
    assert [len(pids) for pids in workers[:2]] == [1, 1]
    assert len(set.union({os.getpid()}, *workers)) == 1 + sum(map(len, workers))


def test_a_dask_cluster_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    distributed = pytest.importorskip("distributed")
    quick = {"processes": False, "dashboard_address": None, "n_workers": 1}
    monkeypatch.setattr(executing, "execute", lambda run: Outcome(run.name, files={}))
    (run,) = plan().runs
    with distributed.LocalCluster(threads_per_worker=1, **quick) as cluster:
        with backend("dask", -1, cluster.scheduler_address):
            (outcome,) = execute_all([run])
        assert outcome.name == run.name
    with distributed.LocalCluster(threads_per_worker=2, **quick) as cluster:
        refused = pytest.raises(ValueError, match=r"several threads.*dask worker inproc.* --nthreads 1")
        with refused, backend("dask", -1, cluster.scheduler_address):
            pass


ORPHANS = """
import os, sys, time
import joblib
from sb3_reinforce.compare.execute import backend

def work():
    print(os.getpid(), flush=True)
    time.sleep(1000)

with backend("loky", 2, None):
    joblib.Parallel()(joblib.delayed(work)() for _ in range(2))
"""


def test_workers_end_with_a_client_that_is_killed(tmp_path: pathlib.Path) -> None:
    with open(tmp_path / "pids", "w") as pids:
        client = subprocess.Popen([sys.executable, "-c", ORPHANS], stdout=pids)
    workers = until(lambda: [int(line) for line in (tmp_path / "pids").read_text().splitlines()], lambda pids: len(pids) == 2)
    client.kill()
    client.wait()
    try:
        assert until(lambda: [worker for worker in workers if is_running(worker)], lambda running: running == []) == []
    finally:
        for worker in filter(is_running, workers):
            os.kill(worker, signal.SIGKILL)


def is_running(pid: int) -> bool:
    try:
        return " (python) Z " not in pathlib.Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


def until(value: Callable[[], Any], is_reached: Callable[[Any], bool]) -> Any:
    """Wait, but not for ever."""
    for _ in range(3_000):
        if is_reached(value()):
            return value()
        time.sleep(0.1)
    raise AssertionError(f"after 300 seconds it is still {value()}")


# Which runs are tried again, with workers that die in this process


class TerminatedWorkerError(Exception):
    """Named as loky's."""


class FakeParallel:
    """Two workers at a time; with one that dies, both do."""

    killers: set[int] = set()
    log: list[list[int]] = []

    def __init__(self, **_: Any) -> None: ...

    def __call__(self, tasks: Iterator[Any]) -> Iterator[Outcome]:
        log: list[int] = []
        self.log.append(log)
        out: list[Run] = []
        for _, (run,), _ in tasks:
            out.append(run)
            log.append(run.name.seed)
            if len(out) == 2:
                yield self.result(out)
        while out:
            yield self.result(out)

    def result(self, out: list[Run]) -> Outcome:
        if any(run.name.seed in self.killers for run in out):
            raise TerminatedWorkerError("signal 9")
        return Outcome(out.pop(0).name, files={})


@pytest.mark.parametrize(
    ("killers", "suspects"), [(set(), set()), ({1}, {1, 2}), ({4}, {4, 3}), ({1, 2}, {1, 2}), ({1, 2, 3, 4}, {1, 2, 3, 4})]
)
def test_only_those_that_kill_their_workers_are_lost(
    monkeypatch: pytest.MonkeyPatch, killers: set[int], suspects: set[int]
) -> None:
    monkeypatch.setattr(joblib, "Parallel", FakeParallel)
    monkeypatch.setattr(FakeParallel, "killers", killers)
    monkeypatch.setattr(FakeParallel, "log", [])
    outcomes = list(execute_all(plan(seeds=4).runs))
    assert sorted(outcome.name.seed for outcome in outcomes) == [1, 2, 3, 4]
    lost = [outcome for outcome in outcomes if outcome.files is None]
    assert {outcome.name.seed for outcome in lost} == killers
    assert all(outcome.error.endswith(f"TerminatedWorkerError: signal 9\n{DIED}") for outcome in lost)
    assert {log[0] for log in FakeParallel.log if len(log) == 1} == suspects  # which have run alone
    assert all(sum(seed in log for log in FakeParallel.log) == MAX_DEATHS + 1 for seed in suspects)


class OnlyTheClientHasIt:
    def __reduce__(self) -> Any:
        return __import__, ("a_package_that_only_the_client_has",)


def test_a_run_that_its_worker_can_not_read_has_not_killed_it(light: list[Any]) -> None:
    run: Any = LightRun("unreadable", kills=OnlyTheClientHasIt())
    with backend("loky", 1, None):
        (outcome,) = execute_all([run])
    assert "BrokenProcessPool: A task has failed to un-serialize" in outcome.error.splitlines()[-1]
    assert "No module named 'a_package_that_only_the_client_has'" in outcome.error


def test_workers_that_can_not_be_had_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_workers(**_: Any) -> NoReturn:
        raise TimeoutError("no worker after 300 seconds")

    monkeypatch.setattr(joblib, "Parallel", no_workers)
    with pytest.raises(TimeoutError, match="no worker"):
        list(execute_all(plan().runs))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("mpi", -1, None), "backend must be one of 'loky', 'ray', 'dask', but got 'mpi'"),
        (("loky", 0, None), "n_jobs must be an integer of at least 1 or -1 for all cores, but got 0"),
        (("loky", -2, None), "n_jobs must be"),
        (("loky", "2", None), "n_jobs must be .*, but got '2'. It is a text: leave out the quotation marks"),
        (("loky", 2, "tcp://host:1"), "loky works on this machine.*'tcp://host:1'. Use ray or dask"),
    ],
)
def test_backends_that_there_are_not(arguments: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says), backend(*arguments):
        pass


@pytest.mark.parametrize(("name", "module"), [("ray", "ray"), ("dask", "distributed")])
def test_a_cluster_that_is_not_installed(monkeypatch: pytest.MonkeyPatch, name: str, module: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf'pip install "\.\[{name}\]"'), backend(name, 2, None):
        pass
