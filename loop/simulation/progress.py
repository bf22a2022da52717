"""Progress for people: bars with counts and time left on a terminal, a plain line now and then elsewhere; a clock."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

QUIET_SECONDS = 10


def told(seconds: float) -> str:
    """A time in words: two digits, in the unit that suits it."""
    for unit, size in (("h", 3600.0), ("min", 60.0)):
        if seconds >= 1.5 * size:
            return f"{_rounded(seconds / size)} {unit}"
    return f"{_rounded(seconds)} s" if seconds >= 0.01 else f"{_rounded(1000 * seconds)} ms"


def _rounded(value: float) -> str:
    return f"{value:.0f}" if value >= 9.95 else f"{value:.2g}"


class Progress:
    """Called with a stage, what is done of it and the whole; writes to stderr alone."""

    def __init__(self) -> None:
        self.bars: Any = None
        self.tasks: dict[str, Any] = {}
        self.said: dict[str, float] = {}

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
            from rich.progress import Progress as Bars

            columns = (TextColumn("{task.description:>12}"), BarColumn(), MofNCompleteColumn())
            self.bars = Bars(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=Console(stderr=True))
            self.bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bars is not None:
            self.bars.stop()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Show that `done` of `total` steps of a stage are done."""
        if self.bars is None:
            self._plain(stage, done, total)
            return
        if stage not in self.tasks:
            self.tasks[stage] = self.bars.add_task(stage, total=total)
        elif self.bars.tasks[self.tasks[stage]].completed >= done:
            self.bars.reset(self.tasks[stage], total=total)
        self.bars.update(self.tasks[stage], completed=done, total=total)

    def say(self, words: str) -> None:
        """A line of words above the bars."""
        if self.bars is not None:
            self.bars.console.print(words, highlight=False, markup=False, soft_wrap=True)
        else:
            print(words, file=sys.stderr, flush=True)

    def _plain(self, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        if done == 1 or stage not in self.said:
            self.said[stage] = now
        if done == total or now - self.said[stage] >= QUIET_SECONDS:
            self.said[stage] = now
            print(f"{stage}: {done} of {total}", file=sys.stderr, flush=True)


class Clock:
    """Seconds by what they went to."""

    def __init__(self) -> None:
        self.seconds = dict[str, float]()

    def restart(self) -> dict[str, float]:
        """Forget what was; what is to come is added to the dictionary returned."""
        self.seconds = {}
        return self.seconds

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """The time that a block takes, without that of the blocks within it."""
        began, before = time.perf_counter(), sum(self.seconds.values())
        yield
        within = sum(self.seconds.values()) - before
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - began - within
