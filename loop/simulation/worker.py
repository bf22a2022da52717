"""One worker process at the end of a pipe of its own, and a time limit for what it does."""

import contextlib
import multiprocessing
import os
import pickle
import select
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

START = 120.0
"""seconds that a worker may take to start"""
SAY_AFTER = 10
"""seconds of waiting that are not silent"""
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")

Answer = tuple[bool, Any]
"""whether a task returned, and its result or exception"""

PRELOAD = ["__main__", "loop.simulation.simulate", "loop.simulation.verify"]
"""what the fork server imports once, and not each worker by itself"""

_starting = threading.Lock()


class PoisonError(RuntimeError):
    """A task that kills the worker which runs it, or takes longer than it may."""


class DeathError(Exception):
    """A worker died; `begun` if a task was running in it."""

    def __init__(self, begun: bool) -> None:
        super().__init__(begun)
        self.begun = begun


@dataclass(frozen=True)
class Limited:
    """A function and the seconds it may take; beyond them its future gets a `PoisonError`.

    Our own pool ends the worker process. Elsewhere, in a Dask worker whose threads share it, the call is given
    up: it runs on in a thread that nobody waits for, until it returns or the Dask worker ends.
    """

    call: Callable[..., Any]
    seconds: float

    def __call__(self, *args: Any) -> Any:
        """The function's result, waited for so long."""
        future: Future[Any] = Future()

        def run() -> None:
            try:
                future.set_result(self.call(*args))
            except BaseException as error:
                future.set_exception(error)

        threading.Thread(target=run, daemon=True).start()
        try:
            return future.result(self.seconds)
        except TimeoutError:
            if future.done():
                raise
            raise self.exceeded from None

    @property
    def exceeded(self) -> PoisonError:
        """What the future gets."""
        return PoisonError(f"it took longer than {self.seconds:g} s")


class Worker:
    """A child of the fork server: deaf to Ctrl-C, one thread for BLAS, and dead as soon as the pipe's end here is.

    Raises:
        DeathError: it, or the fork server, died before it was ready.
    """

    def __init__(self) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOAD)
        self._pipe, there = context.Pipe()
        self._process = context.Process(target=_work, args=(there,), daemon=True)
        try:
            with _starting, _one_thread():
                self._process.start()
            there.close()
            if not self._pipe.poll(SAY_AFTER):
                say(f"waiting for a worker process to start, up to {START:g} s")
                if not self._pipe.poll(START - SAY_AFTER):
                    raise EOFError
            self._pipe.recv_bytes()
        except (OSError, EOFError):
            there.close()
            self.end()
            raise DeathError(False) from None

    def run(self, call: bytes, limit: Limited | None) -> Answer:
        """Do a pickled (function, args, kwargs); a worker that is too slow is killed.

        Raises:
            DeathError: the worker died.
        """
        begun = False
        try:
            self._pipe.send_bytes(call)
            self._pipe.recv_bytes()
            begun = True
            if limit is not None and not self._pipe.poll(limit.seconds):
                self.end()
                return False, limit.exceeded
            answer = self._pipe.recv_bytes()
        except (OSError, EOFError):
            raise DeathError(begun) from None
        try:
            good, value = pickle.loads(answer)
        except Exception as error:
            return False, error
        return good, value

    def lives(self, seconds: float = 0.0) -> bool:
        """Whether a worker without a task is alive, and stays so for some seconds."""
        return not self._pipe.closed and not self._pipe.poll(seconds)

    def kill(self) -> None:
        """End it at once, from any thread; it holds nothing."""
        with contextlib.suppress(OSError, AttributeError):
            self._process.kill()

    def end(self) -> None:
        """Kill it and wait until it is gone."""
        self.kill()
        self._pipe.close()
        if self._process.pid is not None:
            self._process.join(5)


def say(words: str) -> None:
    """What is waited for, to people."""
    print(words, file=sys.stderr, flush=True)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """An environment that the fork server, if it must start, and its children inherit."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _work(pipe: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.dup2(2, 1)  # what simulators print is no part of the driver's JSON
    os.environ.update(dict.fromkeys(THREADS, "1"))
    threading.Thread(target=_die_with_the_driver, args=(pipe.fileno(),), daemon=True).start()
    pipe.send_bytes(b"ready")
    while True:
        try:
            call = pipe.recv_bytes()
        except (EOFError, OSError):
            os._exit(1)  # the driver is gone
        try:
            fn, args, kwargs = pickle.loads(call)
            pipe.send_bytes(b"begun")
            answer = pickle.dumps((True, fn(*args, **kwargs)))
        except BaseException as error:
            answer = _failure(error)
        pipe.send_bytes(answer)


def _failure(error: BaseException) -> bytes:
    """An exception with its traceback as a note, or its words if it cannot travel."""
    if isinstance(error, Exception):
        error.add_note("".join(traceback.format_exception(error)))
        with contextlib.suppress(Exception):
            answer = pickle.dumps((False, error))
            pickle.loads(answer)
            return answer
    return pickle.dumps((False, RuntimeError(f"{type(error).__name__}: {error}")))


def _die_with_the_driver(pipe: int) -> None:
    """The system parent is the fork server, which outlives neither the driver nor its workers: watch the pipe."""
    poll = select.poll()
    poll.register(pipe, 0)
    poll.poll()
    os._exit(1)
