"""A pool of worker processes that may die: one is replaced, and what it was doing is done again.

Each worker has a pipe and a thread of its own, so that a death is the affair of one task and no other. Those of
`concurrent.futures` and of pebble share one pipe under locks: there a kill is every task's, a lock that the dead
held or half a message in the pipe stops the rest for ever, and the death of an idle worker ends the pool.

Which task kills, and which was only hit? A death before a task has begun is nobody's. A task that has lost
`SUSPECT` workers waits until nothing else is left, and is then tried alone, each time in a new process beside
another new one that does nothing. If this witness dies as well, within `GRACE` seconds, something outside kills
workers and the death does not count. A task that has lost `ALONE` workers so kills: its future gets a
`PoisonError`. If `HOPELESS` workers die and no task comes back in between, none is condemned: all of them get an
`ExecutorError`.
"""

import pickle
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import Any

from loop.simulation.worker import Answer, DeathError, Limited, PoisonError, Worker, say

SUSPECT, ALONE = 2, 3
"""workers lost by a task before it runs alone, and alone before it is condemned"""
GRACE = 0.5
"""seconds that who kills from outside is given to hit the witness as well"""
HOPELESS = 50
"""workers that die in a row"""


class ExecutorError(ValueError):
    """An executor that does not exist, cannot be had, or is lost."""


@dataclass(eq=False)
class _Task:
    call: bytes
    limit: Limited | None
    future: Future[Any] = field(default_factory=Future)
    deaths: int = 0


class WorkerPool(Executor):
    """Worker processes, one thread each, that die with this one."""

    def __init__(self, workers: int) -> None:
        self._waiting, self._suspects = deque[_Task](), deque[_Task]()
        self._running, self._deaths = 0, 0
        self._alone = self._closed = self._abandoned = False
        self._change = threading.Condition()
        self._workers: set[Worker] = set()
        self._threads = [threading.Thread(target=self._serve, daemon=True) for _ in range(workers)]
        for thread in self._threads:
            thread.start()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """See `Executor.submit`; a `Limited` function's limit is kept."""
        limit = fn if isinstance(fn, Limited) else None
        task = _Task(pickle.dumps((fn if limit is None else limit.call, args, kwargs)), limit)
        with self._change:
            if self._closed:
                raise RuntimeError("the pool is shut down")
            self._waiting.append(task)
            self._change.notify()
        return task.future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """See `Executor.shutdown`."""
        with self._change:
            self._closed = True
            dropped = self._drop() if cancel_futures else []
            self._change.notify_all()
        for task in dropped:
            if task.future.cancel():
                task.future.set_running_or_notify_cancel()
            else:
                task.future.set_exception(RuntimeError("the pool was shut down"))
        if wait:
            for thread in self._threads:
                thread.join()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Wait for all tasks; if the block was left by an exception, end them."""
        if kind is not None:
            with self._change:
                self._abandoned = True
                for worker in self._workers:
                    worker.kill()
        self.shutdown(cancel_futures=kind is not None)

    def _drop(self) -> list[_Task]:
        dropped = [*self._waiting, *self._suspects]
        self._waiting.clear()
        self._suspects.clear()
        return dropped

    # --- what each worker's thread does ----------------------------------------------------------------------

    def _serve(self) -> None:
        worker: Worker | None = None
        while (task := self._take()) is not None:
            try:
                if task.deaths >= SUSPECT:
                    answer = self._judge(task)
                else:
                    if worker is None or not worker.lives():
                        self._end(worker)
                        worker = None
                        worker = self._new_worker()
                    answer = worker.run(task.call, task.limit)
            except DeathError as death:
                answer = self._count(task, death)
            self._give_back(task, answer)
        self._end(worker)

    def _take(self) -> _Task | None:
        """The next task, a suspect only when nothing else is left or runs; None when the pool is done."""
        with self._change:
            while True:
                if self._waiting and not self._alone:
                    task = self._waiting.popleft()
                elif self._suspects and not self._running:
                    task, self._alone = self._suspects.popleft(), True
                elif self._closed and not (self._running or self._waiting or self._suspects):
                    return None
                else:
                    self._change.wait()
                    continue
                if task.future.running() or task.future.set_running_or_notify_cancel():
                    self._running += 1
                    return task
                self._alone = False

    def _give_back(self, task: _Task, answer: Answer | None) -> None:
        """Hand a task's answer over, with no lock held, or keep the task to do it again."""
        if answer is not None:
            good, value = answer
            (task.future.set_result if good else task.future.set_exception)(value)
        with self._change:
            self._running -= 1
            self._alone = False
            if answer is not None:
                self._deaths = 0
            elif task.deaths >= SUSPECT:
                self._suspects.append(task)
            else:
                self._waiting.appendleft(task)
            self._change.notify_all()

    def _count(self, task: _Task, death: DeathError) -> Answer | None:
        """Write a death down; an answer only where nothing is to be done again."""
        with self._change:
            task.deaths += death.begun
            self._deaths += 1
            deaths, abandoned = self._deaths, self._abandoned
            dropped = self._drop() if deaths >= HOPELESS else []
        if abandoned:
            return False, RuntimeError("the pool was shut down")
        if deaths >= HOPELESS:
            error = ExecutorError(
                f"{deaths} worker processes died one after the other and no task came back: something kills them; "
                "see to memory, limits and the system's log, and run the same command again"
            )
            for other in dropped:
                if other.future.running() or other.future.set_running_or_notify_cancel():
                    other.future.set_exception(error)
            return False, error
        if deaths % 10 == 0:
            say(f"{deaths} worker processes died one after the other; trying again, up to {HOPELESS} times")
        if not death.begun:
            time.sleep(0.2)
        return None

    def _judge(self, task: _Task) -> Answer | None:
        """Run a suspect alone, beside a witness, until it comes back, is condemned, or there is no hope."""
        alone = 0
        while alone < ALONE:
            worker = witness = None
            try:
                witness, worker = self._new_worker(), self._new_worker()
                return worker.run(task.call, task.limit)
            except DeathError as death:
                if (answer := self._count(task, death)) is not None:
                    return answer
                alone += death.begun and witness is not None and witness.lives(GRACE)
            finally:
                self._end(worker)
                self._end(witness)
        words = f"it killed its worker process {ALONE} times when nothing else ran: a crash, or too little memory"
        return False, PoisonError(words)

    def _new_worker(self) -> Worker:
        worker = Worker()
        with self._change:
            self._workers.add(worker)
            if self._abandoned:
                worker.kill()
        return worker

    def _end(self, worker: Worker | None) -> None:
        if worker is not None:
            with self._change:
                self._workers.discard(worker)
            worker.end()
