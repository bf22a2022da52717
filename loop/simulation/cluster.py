"""A Dask cluster as an executor, and one sentence where it is lost.

Dask itself does a task again whose worker died, `allowed-failures` (3) times; but all tasks of a worker with
many threads are blamed for its death. So a task that Dask gives up waits until no other of ours is left and is
handed in once more, alone. If Dask gives it up again, and then not a task that does nothing, its future gets a
`PoisonError`.

What does not come is waited for aloud: after `SAY_AFTER` seconds without a worker people are told, and after
`PATIENCE` seconds all futures get an `ExecutorError`, as they do at once when the scheduler goes away. Only the
queue of a batch system is waited for without end.
"""

import concurrent.futures
import contextlib
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from loop.simulation.pool import ExecutorError
from loop.simulation.worker import SAY_AFTER, PoisonError, say

PATIENCE = 120.0
"""seconds without any worker"""
CONNECT = "5s"


@contextlib.contextmanager
def open_cluster(kind: str, workers: int) -> Iterator[Executor]:
    """The executor of a cluster: "dask" made here, "slurm" by its jobs, or the one at dask://HOST:PORT.

    Raises:
        ExecutorError: what it needs is not installed, or no scheduler answers.
    """
    extra = "slurm" if kind == "slurm" else "dask"
    try:
        import dask
        from distributed import Client, LocalCluster

        if kind == "slurm":
            from dask_jobqueue import SLURMCluster
    except ImportError:
        raise ExecutorError(f"executor '{kind}': install it with pip install 'janus-al[{extra}]'") from None
    for name in ("distributed", "distributed.client"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    with contextlib.ExitStack() as stack:
        # A worker holds the one task it runs, or the next one in its queue would be blamed for its death as well.
        stack.enter_context(dask.config.set({"distributed.scheduler.worker-saturation": 1.0}))
        cluster: Any = "tcp://" + kind.removeprefix("dask://")
        if kind == "dask":
            cluster = LocalCluster(
                n_workers=workers, threads_per_worker=1, dashboard_address=":0", silence_logs=logging.CRITICAL
            )
        elif kind == "slurm":
            cluster = SLURMCluster()
            cluster.scale(workers)
        if not isinstance(cluster, str):
            stack.enter_context(cluster)
        try:
            client = Client(cluster, timeout=CONNECT)
        except (OSError, TimeoutError, ValueError) as error:
            raise ExecutorError(f"executor '{kind}': no scheduler answers ({error}); start `dask scheduler`") from None
        stack.callback(client.close, timeout=CONNECT)
        yield stack.enter_context(ClusterExecutor(client, kind, math.inf if kind == "slurm" else PATIENCE))


@dataclass(eq=False)
class _Task:
    call: tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]
    future: Future[Any] = field(default_factory=Future)
    alone: bool = False
    inner: Any = None


class ClusterExecutor(Executor):
    """Tasks on a Dask client; the rules are the module's."""

    def __init__(self, client: Any, kind: str, patience: float) -> None:
        self._client, self._kind, self._patience = client, kind, patience
        self._dask = client.get_executor(pure=False)
        self._lock = threading.RLock()
        self._running, self._suspects = set[_Task](), deque[_Task]()
        self._lost: ExecutorError | None = None
        self._closed = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """See `Executor.submit`."""
        task = _Task((fn, args, kwargs))
        task.future.set_running_or_notify_cancel()
        self._start(task)
        return task.future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """See `Executor.shutdown`."""
        if cancel_futures:
            self._lose("was shut down")
        if wait:
            with self._lock:
                left = [task.future for task in (*self._running, *self._suspects)]
            concurrent.futures.wait(left)
        self._closed.set()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Wait for all tasks; if the block was left by an exception, give them up."""
        self.shutdown(cancel_futures=kind is not None)

    def _start(self, task: _Task) -> None:
        fn, args, kwargs = task.call
        with self._lock:
            self._running.add(task)
        try:
            if self._lost is not None:
                raise self._lost
            task.inner = self._dask.submit(fn, *args, **kwargs)
            task.inner.add_done_callback(partial(self._done, task))
        except ExecutorError as error:
            self._finish(task, error)
        except Exception as error:
            self._lose(f"lost its scheduler ({error})")

    def _done(self, task: _Task, inner: Future[Any]) -> None:
        if inner.cancelled():
            self._lose("lost its scheduler")
            return
        error = inner.exception()
        if type(error).__name__ != "KilledWorker":
            self._finish(task, error, None if error else inner.result())
        elif task.alone:
            self._dask.submit(_nothing).add_done_callback(partial(self._condemn, task))
        else:
            with self._lock:
                self._running.discard(task)
                self._suspects.append(task)
        self._go_on()

    def _condemn(self, task: _Task, probe: Future[Any]) -> None:
        """A task that Dask gave up twice, once a probe has come back or not."""
        if probe.cancelled() or probe.exception() is not None:
            self._lose("has workers that die whatever they do; see that the same janus-al is installed there")
            return
        words = "it killed its worker processes when nothing else ran: a crash, or too little memory"
        self._finish(task, PoisonError(words))
        self._go_on()

    def _go_on(self) -> None:
        with self._lock:
            suspect = self._suspects.popleft() if self._suspects and not self._running else None
        if suspect is not None:
            suspect.alone = True
            self._start(suspect)

    def _finish(self, task: _Task, error: BaseException | None, value: Any = None) -> None:
        with self._lock:
            self._running.discard(task)
        if task.future.done():
            return
        if error is None:
            task.future.set_result(value)
        else:
            task.future.set_exception(error)

    def _lose(self, what: str) -> None:
        """All futures get the sentence, those to come as well."""
        with self._lock:
            if self._lost is None:
                words = "what was simulated is kept: run the same command again to go on"
                self._lost = ExecutorError(f"executor '{self._kind}' {what}; {words}")
            left = [*self._running, *self._suspects]
            self._suspects.clear()
        for task in left:
            self._finish(task, self._lost)
            if task.inner is not None:
                task.inner.cancel()

    def _watch(self) -> None:
        """See that there are workers as long as there are tasks."""
        since = said = time.monotonic()
        while not self._closed.wait(1):
            now = time.monotonic()
            try:
                here = not self._running or self._client.sync(self._client.scheduler.ncores, callback_timeout=SAY_AFTER)
            except TimeoutError:
                here = False
            except Exception as error:
                self._lose(f"lost its scheduler ({error})")
                return
            if here:
                since = said = now
            elif now - since > self._patience:
                mend = "start `dask worker ADDRESS` where the same janus-al is installed"
                self._lose(f"has had no worker for {self._patience:g} s; {mend}")
                return
            elif now - said > SAY_AFTER:
                said = math.inf if self._patience == math.inf else now
                say(f"executor '{self._kind}': no worker answers yet; waiting up to {self._patience:g} s for one")


def _nothing() -> None:
    """What no worker dies of."""
