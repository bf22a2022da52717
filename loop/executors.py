"""Where simulations run: one seam, `concurrent.futures.Executor`, behind which stand processes or a cluster.

"process" is a pool that outlives its workers: one that is killed is replaced and what it was doing is done
again. "dask" is a Dask cluster on this machine, "dask://host:8786" one that is running elsewhere, "slurm" one
that dask-jobqueue starts with the user's own jobqueue.yaml.
"""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from typing import Any

WINDOW = 4
"""tasks in the pool at once, for each worker: enough to keep it busy, few enough to lose little"""
DEATHS = 3
"""of workers that one task may cause, the last of them when it runs alone"""


class ExecutorError(ValueError):
    """An executor that does not exist or cannot be had."""


class PoisonError(RuntimeError):
    """A task that kills the worker which runs it."""


@contextlib.contextmanager
def open_executor(kind: str = "process", workers: int = 0) -> Iterator[Executor]:
    """An executor for simulations; 0 workers means one a core.

    Raises:
        ExecutorError: there is no such kind, or what it needs is not installed or not reachable.
    """
    # Workers inherit these: one thread each, or they would fight for the cores.
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
    workers = workers or os.cpu_count() or 1
    if kind == "process":
        with SupervisedPool(workers) as pool:
            yield pool
    elif kind == "dask" or kind.startswith("dask://") or kind == "slurm":
        with _dask_client(kind, workers) as client:
            yield client.get_executor(pure=False)
    else:
        raise ExecutorError(f"executor '{kind}': it must be process, dask, dask://HOST:PORT or slurm")


def outcome(future: Future[Any]) -> Any:
    """A task's result, wherever it ran.

    Raises:
        PoisonError: it killed its workers.
    """
    try:
        return future.result()
    except Exception as error:
        if type(error).__name__ == "KilledWorker":
            raise PoisonError(_poison_words(str(error))) from None
        raise


@contextlib.contextmanager
def _dask_client(kind: str, workers: int) -> Iterator[Any]:
    extra = "slurm" if kind == "slurm" else "dask"
    try:
        import dask
        from distributed import Client, LocalCluster

        if kind == "slurm":
            from dask_jobqueue import SLURMCluster
    except ImportError:
        raise ExecutorError(f"executor '{kind}': install it with pip install 'janus-al[{extra}]'") from None
    with contextlib.ExitStack() as stack:
        # A worker holds the one task it runs, or the next one in its queue would be blamed for its death as well.
        stack.enter_context(dask.config.set({"distributed.scheduler.worker-saturation": 1.0}))
        cluster: Any = "tcp://" + kind.removeprefix("dask://")
        if kind == "dask":
            cluster = LocalCluster(n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None)
        elif kind == "slurm":
            cluster = SLURMCluster()
            cluster.scale(workers)
        if not isinstance(cluster, str):
            stack.enter_context(cluster)
        try:
            client = Client(cluster, timeout="3s")
        except (OSError, TimeoutError) as error:
            raise ExecutorError(f"executor '{kind}': no scheduler answers ({error}); start `dask scheduler`") from None
        yield stack.enter_context(client)


@dataclass(eq=False)
class _Task:
    call: tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]
    future: Future[Any] = field(default_factory=Future)
    deaths: int = 0


class SupervisedPool(Executor):
    """Worker processes, one thread each, that die with this one; a worker that is killed is replaced.

    Tasks that were in a pool when it broke are done again. One that has been there twice runs alone, when
    nothing else is left: if the pool breaks again it was the cause, and its future gets a `PoisonError`.
    """

    def __init__(self, workers: int) -> None:
        self._workers, self._lock = workers, threading.RLock()
        self._waiting, self._suspects = deque[_Task](), deque[_Task]()
        self._running: dict[Future[Any], _Task] = {}
        self._closed = self._broken = False
        self._idle = threading.Condition(self._lock)
        self._pool = self._new_pool()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """See `Executor.submit`."""
        task = _Task((fn, args, kwargs))
        with self._lock:
            if self._closed:
                raise RuntimeError("the pool is shut down")
            self._waiting.append(task)
            self._fill()
        return task.future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """See `Executor.shutdown`."""
        with self._lock:
            self._closed = True
            if cancel_futures:
                for task in [*self._waiting, *self._suspects]:
                    if task.future.cancel():
                        task.future.set_running_or_notify_cancel()
                    elif not task.future.done():
                        task.future.set_exception(RuntimeError("the pool was shut down"))
                self._waiting.clear()
                self._suspects.clear()
            while wait and (self._running or self._waiting or self._suspects):
                self._idle.wait()
        self._pool.shutdown(wait=wait)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Wait for what runs; what has not begun is given up if the block was left by an exception."""
        self.shutdown(cancel_futures=kind is not None)

    def _new_pool(self) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("forkserver")
        return ProcessPoolExecutor(self._workers, context, initializer=_begin_worker)

    def _fill(self) -> None:
        """Hand tasks to the pool while it has room; a suspect only when it is empty."""
        while not self._broken and len(self._running) < WINDOW * self._workers and (self._waiting or self._suspects):
            if not self._waiting and self._running:
                break
            self._start((self._waiting or self._suspects).popleft())
        if not self._running:
            self._idle.notify_all()

    def _start(self, task: _Task) -> None:
        if not task.future.running() and not task.future.set_running_or_notify_cancel():
            return
        fn, args, kwargs = task.call
        try:
            inner = self._pool.submit(fn, *args, **kwargs)
        except BrokenProcessPool:
            # A worker died since the last look; what it was doing will come back by `_done`.
            self._waiting.appendleft(task)
            if self._running:
                self._broken = True
            else:
                self._pool = self._new_pool()
            return
        self._running[inner] = task
        inner.add_done_callback(self._done)

    def _done(self, inner: Future[Any]) -> None:
        with self._lock:
            task = self._running.pop(inner)
            error = inner.exception()
            if isinstance(error, BrokenProcessPool):
                self._broken = True
                task.deaths += 1
                if task.deaths >= DEATHS:
                    task.future.set_exception(PoisonError(_poison_words()))
                else:
                    (self._suspects if task.deaths == DEATHS - 1 else self._waiting).append(task)
            elif error is not None:
                task.future.set_exception(error)
            else:
                task.future.set_result(inner.result())
            if self._broken and not self._running:
                # All that the broken pool held has come back.
                self._pool.shutdown(wait=False)
                self._pool, self._broken = self._new_pool(), False
            self._fill()


def _poison_words(more: str = "") -> str:
    return f"it killed its worker process {DEATHS} times: a crash, too little memory, or longer than the timeout" + (
        f" ({more})" if more else ""
    )


def _begin_worker() -> None:
    """Deaf to Ctrl-C, on which the driver decides, and dead as soon as the driver is."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_the_driver, daemon=True).start()


def _die_with_the_driver() -> None:
    """The system parent is the fork server, which lives as long as its workers: wait for the driver itself."""
    driver = multiprocessing.parent_process()
    if driver is not None:
        driver.join()
        os._exit(1)
