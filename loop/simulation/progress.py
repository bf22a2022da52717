"""Progress for people: bars with counts and time left on a terminal, a plain line now and then elsewhere; a clock."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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
    """Called with a stage, what is done of it and the whole; writes to stderr alone.

    Args:
        quiet: show none of it, for programs; what is to be said is said all the same.
    """

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        self.bars: Any = None
        self.tasks: dict[str, Any] = {}
        self.paces: dict[str, Pace] = {}

    def __enter__(self) -> Self:
        if sys.stderr.isatty() and not self.quiet:
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
            if not self.quiet:
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
        now, pace = time.monotonic(), self.paces.get(stage)
        if pace is None or done <= pace.done:
            pace = self.paces[stage] = Pace(done, now, now)
        pace.done = done
        if done == total or now - pace.said >= QUIET_SECONDS:
            pace.said = now
            print(f"{stage}: {done} of {total}{pace.words(total, now)}", file=sys.stderr, flush=True)


@dataclass
class Pace:
    """How fast a stage goes: what was done of it when it was first heard of, and when; when it was last spoken of."""

    first: int
    began: float
    said: float
    done: int = 0

    def words(self, total: int, now: float) -> str:
        """Time so far and, as far as the past can say, time left."""
        elapsed, steps = now - self.began, self.done - self.first
        if not steps or elapsed < 1:
            return ""
        left = f", {told(elapsed / steps * (total - self.done))} left" if self.done < total else ""
        return f" in {told(elapsed)}{left}"


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
