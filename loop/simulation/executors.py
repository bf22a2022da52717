"""Where simulations run: one seam, `concurrent.futures.Executor`, behind which stand processes or a cluster.

"process" is a pool that outlives its workers (`loop.simulation.pool`). "dask" is a Dask cluster on this machine,
"dask://host:8786" one that is running elsewhere, "slurm" one that dask-jobqueue starts with the user's own
jobqueue.yaml (`loop.simulation.cluster`).
"""

import contextlib
import os
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from typing import Any

from loop.simulation.pool import ExecutorError, WorkerPool
from loop.simulation.worker import Limited, PoisonError

__all__ = ["ExecutorError", "Limited", "PoisonError", "WorkerPool", "cores", "open_executor", "outcome"]


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextlib.contextmanager
def open_executor(kind: str = "process", workers: int = 0) -> Iterator[Executor]:
    """An executor for simulations; 0 workers means one for each core that this process may use.

    Raises:
        ExecutorError: there is no such kind, or what it needs is not installed or not reachable.
    """
    workers = workers or cores()
    if kind == "process":
        with WorkerPool(workers) as pool:
            yield pool
    elif kind == "dask" or kind.startswith("dask://") or kind == "slurm":
        from loop.simulation.cluster import open_cluster

        with open_cluster(kind, workers) as cluster:
            yield cluster
    else:
        raise ExecutorError(f"executor '{kind}': it must be process, dask, dask://HOST:PORT or slurm")


def outcome(future: Future[Any]) -> Any:
    """The result of a task that homogenizes one image.

    Raises:
        HomogenizationError: the image's own, or it kills its workers, or took longer than it may.
        ExecutorError: where it ran is lost.
    """
    from simulators import HomogenizationError

    try:
        return future.result()
    except PoisonError as error:
        raise HomogenizationError(f"simulation failed: {error}") from None
