"""Many runs at a time: on the cores of one machine, or on a cluster, by joblib."""

import contextlib
import importlib
import logging
import multiprocessing
import os
import pathlib
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import joblib
from joblib._parallel_backends import FallbackToBackend, LokyBackend
from joblib.executor import get_memmapping_executor

from sb3_reinforce.common.constraints import Interval, OneOf, Test, check_arguments
from sb3_reinforce.common.extras import needs
from sb3_reinforce.compare.plan import Run, RunName
from sb3_reinforce.compare.run import Outcome, execute
from sb3_reinforce.compare.workers import end_with_parent

# How often a run may be under way while a worker dies before it is suspected, and has to run alone
MAX_DEATHS = 2
# Seconds within which a Dask worker that has died has to be back: on a busy machine the default is too short
DASK_TIMEOUT = 300
# What loky, Ray and Dask raise for a worker process that has ended; anything else has a reason of its own
DEATHS = {"TerminatedWorkerError", "RayActorError", "WorkerCrashedError", "KilledWorker"}
ANY_NUMBER = 1_000_000


def execute_all(runs: Sequence[Run]) -> Iterator[Outcome]:
    """
    Execute runs on the workers of joblib's current backend; see :func:`backend`.

    When a worker dies (killed, out of memory, a crash in an environment's library), loky and Ray take down all others,
    and don't say which run it was. Those that were under way are tried again with the rest; whoever was there a second
    time is kept back and runs alone in the end, where it can only take down itself. Dask knows, and tries again itself.

    :param runs: The runs, in the order in which they are to be started.
    :return: What has come of each, as soon as it is there.
    """
    waiting = {run.name: run for run in runs}
    alone: list[Run] = []
    deaths: Counter[RunName] = Counter()
    while waiting:
        under_way: dict[RunName, Run] = {}
        try:
            for outcome in _stream(list(waiting.values()), under_way):
                del waiting[outcome.name]
                yield outcome
        except Exception:  # each backend has its own for a worker that has died
            if not under_way:
                raise
            suspects = list(under_way)
            deaths.update(suspects)
            alone += [waiting.pop(name) for name in suspects if deaths[name] == MAX_DEATHS]
    for run in alone:
        try:
            yield from _stream([run], {})
        except Exception as error:
            yield _lost(run, error)


def _lost(run: Run, error: BaseException) -> Outcome:
    """What there is to say of a run that its backend has not brought back."""
    text = "".join(traceback.format_exception(error))  # with its cause: the backend's own words may say little
    if DEATHS & {kind.__name__ for kind in type(error).__mro__}:
        text += "The worker process died: it was killed, ran out of memory, or crashed."
    return Outcome(run.name, error=text)


def _stream(runs: Sequence[Run], under_way: dict[RunName, Run]) -> Iterator[Outcome]:
    """Execute runs, and keep ``under_way`` up to date."""

    def tasks() -> Iterator[Any]:
        for run in runs:
            under_way[run.name] = run
            yield joblib.delayed(execute)(run)

    # No more tasks than workers are out at a time, so that few are suspected
    for outcome in joblib.Parallel(return_as="generator_unordered", batch_size=1, pre_dispatch="n_jobs")(tasks()):
        del under_way[outcome.name]
        yield outcome


def check_backend(name: str, n_jobs: int, address: str | None) -> None:
    """
    :param name: As :func:`backend` has it.
    :param n_jobs: Likewise.
    :param address: Likewise.
    :raises ValueError: If there is no such backend, ``n_jobs`` is neither positive nor -1, or loky is given an address.
    """
    check_arguments(
        {
            "backend": [OneOf(list(BACKENDS))],
            "n_jobs": [Interval(1, integer=True), Test("-1 for all cores", lambda n: n == -1)],
        },
        {"backend": name, "n_jobs": n_jobs},
    )
    if name == "loky" and address is not None:
        raise ValueError(f"The backend loky works on this machine, and has no address, but got '{address}'. Use ray or dask.")


@contextlib.contextmanager
def backend(name: str, n_jobs: int, address: str | None) -> Iterator[None]:
    """
    Make one of joblib's backends the current one.

    :param name: "loky" (processes on this machine), "ray" or "dask".
    :param n_jobs: Number of workers; -1 for one a core. A Dask cluster that is there already uses all that it has.
    :param address: Of a Ray or Dask cluster. None to start one on this machine, which ends with the context.
    :raises ValueError: If there is no such backend, ``n_jobs`` is neither positive nor -1, loky is given an address, or
        Dask's workers have several threads.
    :raises ImportError: If Ray or Dask is not installed.
    """
    check_backend(name, n_jobs, address)
    with BACKENDS[name](n_jobs, address):
        yield


@contextlib.contextmanager
def _loky(n_jobs: int, address: str | None) -> Iterator[None]:
    loky = _IsolatingLokyBackend(inner_max_num_threads=1, initializer=end_with_parent, initargs=(os.getpid(),))
    with joblib.parallel_config(loky, n_jobs=n_jobs):
        yield


class _IsolatingLokyBackend(LokyBackend):  # type: ignore[misc]
    """
    A single worker has a process of its own, too: joblib would run everything in this one, which a crash in an
    environment's library would end. And workers end with their runs: later ones find modules as they then are.
    """

    def configure(self, n_jobs: int = 1, parallel: Any = None, **kwargs: Any) -> int:
        try:
            return int(super().configure(n_jobs, parallel, **kwargs))
        except FallbackToBackend:
            if multiprocessing.current_process().daemon:  # which can't have processes of its own
                raise
        env = self._prepare_worker_env(n_jobs=1)
        self._workers = get_memmapping_executor(1, env=env, context_id=parallel._id, **self.backend_kwargs)
        self.parallel = parallel
        return 2  # told of one, joblib would not use it; a second run waits for the first

    def terminate(self) -> None:
        workers = self._workers
        super().terminate()
        if workers is not None:
            workers.shutdown()


def _use_rays_token() -> None:
    """
    ``ray start`` makes a cluster that asks for a token as soon as there is one on its machine. But who connects to an address
    shows it only if ``RAY_AUTH_MODE`` says so; a cluster that asks for none does not mind.
    """
    path = os.environ.get("RAY_AUTH_TOKEN_PATH", pathlib.Path.home() / ".ray" / "auth_token")
    if "RAY_AUTH_MODE" not in os.environ and ("RAY_AUTH_TOKEN" in os.environ or os.path.exists(path)):
        os.environ["RAY_AUTH_MODE"] = "token"
        with contextlib.suppress(ImportError, AttributeError):  # Ray may have read its settings already
            importlib.import_module("ray._raylet").Config.initialize("")


def _connect_to_ray(ray: Any, address: str, n_jobs: int) -> None:
    local: dict[str, Any] = {"num_cpus": None if n_jobs == -1 else n_jobs, "include_dashboard": False}
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **(local if address == "local" else {}))
    except (ConnectionError, RuntimeError, ray.exceptions.RayError) as error:
        if address == "local":
            raise
        raise ConnectionError(
            f"There is no Ray cluster to be had at '{address}': {' '.join(str(error).split())}. If it runs, it may ask for a "
            "token: copy ~/.ray/auth_token from the machine of 'ray start --head' to this one and to those of its workers, or "
            "set RAY_AUTH_TOKEN on all of them. Or set RAY_AUTH_MODE=disabled on all of them, and start it anew."
        ) from error


@contextlib.contextmanager
def _ray(n_jobs: int, address: str | None) -> Iterator[None]:
    address = address or os.environ.get("RAY_ADDRESS", "local")
    if address not in ("local", "auto"):
        _use_rays_token()
    with needs("ray", "The backend ray"):
        import ray
        from ray.util.joblib.ray_backend import RayBackend

    class StreamingRayBackend(RayBackend):
        """Hands over results as they come, which Ray's pool can do; joblib takes it for one of multiprocessing."""

        supports_return_generator = True

    started = not ray.is_initialized()
    if started:
        _connect_to_ray(ray, address, n_jobs)
    try:
        with joblib.parallel_config(StreamingRayBackend(), n_jobs=n_jobs):
            yield
    finally:
        if started:
            ray.shutdown()


@contextlib.contextmanager
def _dask(n_jobs: int, address: str | None) -> Iterator[None]:
    with needs("dask", "The backend dask"):
        import dask
        from distributed import Client
        from joblib._dask import DaskDistributedBackend

    class WatchfulDaskBackend(DaskDistributedBackend):  # type: ignore[misc]
        """Also hands over what there is to say of a run that has killed its workers, for which joblib would wait forever."""

        def submit(self, func: Any, callback: Callable[[Any], None]) -> Any:
            ((_, (run,), _),) = func.items

            def report_death(done: Any) -> None:
                if done.exception() is not None:
                    callback([_lost(run, done.exception())])

            future = super().submit(func, callback)
            future.add_done_callback(report_death)
            return future

        def effective_n_jobs(self, n_jobs: int) -> int:
            """Dask queues what waits for a worker, and knows best how many there are."""
            super().effective_n_jobs(n_jobs)
            return ANY_NUMBER

    local = {"n_workers": None if n_jobs == -1 else n_jobs, "threads_per_worker": 1, "dashboard_address": None}
    settings = {
        "distributed.deploy.lost-worker-timeout": DASK_TIMEOUT,
        # Runs wait in the scheduler. One that waited at a worker would be suspected, too, when that worker dies
        "distributed.scheduler.worker-saturation": 1.0,
    }
    with dask.config.set(settings), Client(address) if address is not None else Client(**local) as client:
        threads = client.nthreads()
        if any(n_threads > 1 for n_threads in threads.values()):
            raise ValueError(
                f"A run needs a process of its own, but workers have several threads: {threads}. Start them with: "
                f"dask worker {address} --nworkers auto --nthreads 1"
            )
        with joblib.parallel_config(WatchfulDaskBackend(client=client, wait_for_workers_timeout=DASK_TIMEOUT)):
            yield


BACKENDS = {"loky": _loky, "ray": _ray, "dask": _dask}
