"""The executor seam: same results whatever stands behind it, and nothing lost when workers die."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Future, wait
from pathlib import Path

import numpy as np
import pytest
from problems import checkerboard
from tasks import die, fail, own_process, square

from loop.executors import ExecutorError, PoisonError, SupervisedPool, open_executor, outcome
from loop.simulate import simulate
from simulators import DirectHomogenizer, generate

PHASES = (1.0, 10.0)


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return (
        not Path(f"/proc/{pid}/stat").exists() or Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] != "Z"
    )


def until(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


@pytest.fixture(scope="module")
def pool():
    with SupervisedPool(2) as executor:
        yield executor


def test_results_errors_and_order(pool):
    """Each future has its own task's result or error, more tasks than the window holds."""
    futures = [pool.submit(square, n) for n in range(40)]
    bad = pool.submit(fail, 7)
    assert [f.result() for f in futures] == [n * n for n in range(40)]
    with pytest.raises(ValueError, match="no 7"):
        bad.result()
    assert isinstance(bad, Future)


def test_a_killed_worker_costs_nothing(pool):
    """100 of 100 results, two workers killed on the way."""
    victims = {pool.submit(own_process, 0.2).result() for _ in range(2)}
    futures = [pool.submit(square, n, 0.02) for n in range(100)]
    futures[10].result()
    for pid in victims:
        if alive(pid):
            os.kill(pid, signal.SIGKILL)
    assert [f.result(timeout=60) for f in futures] == [n * n for n in range(100)]


def test_a_poison_task_is_quarantined(pool):
    """A task that always kills its worker gets an error of its own; the others, before and after, their results."""
    futures = [pool.submit(square, n, 0.01) for n in range(10)]
    poison = [pool.submit(die), pool.submit(die)]
    futures += [pool.submit(square, n, 0.01) for n in range(10, 20)]
    assert [f.result(timeout=60) for f in futures] == [n * n for n in range(20)]
    for future in poison:
        with pytest.raises(PoisonError, match="killed its worker process 3 times"):
            future.result(timeout=60)
    assert pool.submit(square, 9).result(timeout=60) == 81


def test_shutdown_waits_or_cancels():
    """Leaving the block waits for all tasks; cancelling gives up those that have not begun."""
    with SupervisedPool(1) as executor:
        futures = [executor.submit(square, n, 0.05) for n in range(8)]
    assert [f.result(timeout=0) for f in futures] == [n * n for n in range(8)]
    executor = SupervisedPool(1)
    futures = [executor.submit(square, n, 0.1) for n in range(40)]
    executor.shutdown(cancel_futures=True)
    done, not_done = wait(futures, timeout=0)
    assert not not_done
    assert 0 < len([f for f in done if f.cancelled()]) < 40
    with pytest.raises(RuntimeError, match="shut down"):
        executor.submit(square, 1)


def test_a_dead_driver_leaves_no_worker():
    """kill -9 of the driver while tasks run."""
    code = (
        "import time\nfrom loop.executors import SupervisedPool\nfrom tasks import own_process\n"
        "if __name__ == '__main__':\n"
        "    pool = SupervisedPool(2)\n"
        "    first = {f.result() for f in [pool.submit(own_process, 0.2) for _ in range(4)]}\n"
        "    busy = [pool.submit(own_process, 60) for _ in range(4)]\n"
        "    print(*first, flush=True)\n    time.sleep(60)\n"
    )
    root, here = str(Path(__file__).parent.parent), str(Path(__file__).parent)
    driver = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        text=True,
        cwd=root,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([root, here])},
    )
    pids = [int(word) for word in driver.stdout.readline().split()]
    assert len(pids) == 2
    assert all(alive(pid) for pid in pids)
    driver.kill()
    driver.wait()
    assert until(lambda: not any(alive(pid) for pid in pids))


@pytest.fixture(scope="module")
def images():
    return [*generate(6, 20, seed=4), checkerboard(3), np.full((5, 5), 7, dtype=np.uint8)]


def equal(one, other):
    return type(one) is type(other) and (
        one == other if isinstance(one, str) else np.array_equal(one.k, other.k) and one.names == other.names
    )


@pytest.mark.parametrize("kind", ["process", "dask"])
def test_same_results_in_the_same_order(kind, images):
    """Bit for bit what this process computes; a bad image's reason stands where its result would."""
    doubled = [*images, *images[::-1]]
    with open_executor(kind, 2) as executor:
        found = list(simulate(doubled, PHASES, "direct", executor))
    expected = [DirectHomogenizer()(image, PHASES) for image in images[:-1]]
    assert all(equal(a, b) for a, b in zip(found, expected, strict=False))
    assert "labels 7..7" in found[7]
    assert all(equal(a, b) for a, b in zip(found, found[::-1], strict=True))


def test_dask_quarantines_too():
    """The cluster's own retries end in the same error."""
    with open_executor("dask", 1) as executor:
        poison, good = executor.submit(die), executor.submit(square, 5)
        with pytest.raises(PoisonError, match="killed its worker process"):
            outcome(poison)
        assert outcome(good) == 25


class Counting(SupervisedPool):
    """Counts what is submitted."""

    submitted = 0

    def submit(self, fn, /, *args, **kwargs):
        self.submitted += len(args[0])
        return super().submit(fn, *args, **kwargs)


def test_no_image_is_simulated_twice(images):
    """Copies of an image share one simulation."""
    with Counting(1) as executor:
        found = list(simulate([images[0]] * 5 + [images[1], images[0]], PHASES, "direct", executor))
        assert executor.submitted == 2
    assert all(equal(found[0], found[n]) for n in (1, 4, 6))
    assert not equal(found[0], found[5])


def test_timeout_quarantines_and_spares_the_rest(images, monkeypatch):
    """An image that takes longer than it may is told apart from those that shared its task."""
    slow = np.random.default_rng(0).integers(0, 2, (300, 300)).astype(np.uint8)
    monkeypatch.setattr("loop.simulate.TASK_CELLS", 10**6)
    with open_executor("process", 1) as executor:
        list(simulate([images[0]], PHASES, "direct", executor))
        found = list(simulate([images[0], slow, images[1]], PHASES, "direct", executor, timeout=0.15))
    assert "killed its worker process 3 times" in found[1]
    expected = [DirectHomogenizer()(image, PHASES) for image in images[:2]]
    assert equal(found[0], expected[0])
    assert equal(found[2], expected[1])


@pytest.mark.parametrize(
    ("kind", "words"),
    [("threads", "must be process, dask"), ("dask://127.0.0.1:1", "no scheduler answers")],
)
def test_executors_that_do_not_exist(kind, words):
    with pytest.raises(ExecutorError, match=words), open_executor(kind):
        pass
