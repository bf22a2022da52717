"""The executor seam: same results whatever stands behind it, and nothing lost when workers die."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from multiprocessing import forkserver
from pathlib import Path

import numpy as np
import pytest
from problems import checkerboard
from tasks import die, fail, odd, own_process, square, tell_and_wait

from janus_al.material import conduction
from loop.simulation.executors import ExecutorError, Limited, PoisonError, WorkerPool, cores, open_executor
from loop.simulation.simulate import Execution, simulate
from simulators import Conductivity, Failure, Result, generate

PHASES = (1.0, 10.0)
MATERIAL = conduction(PHASES)


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


def children_of_the_fork_server():
    server = forkserver._forkserver._forkserver_pid
    path = Path(f"/proc/{server}/task/{server}/children")
    return [int(pid) for pid in path.read_text().split()] if server and path.exists() else []


@pytest.fixture(scope="module")
def pool():
    with WorkerPool(2) as executor:
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
        with pytest.raises(PoisonError, match="killed its worker process"):
            future.result(timeout=60)
    assert pool.submit(square, 9).result(timeout=60) == 81


def test_an_image_is_not_to_blame_for_who_kills_from_outside(pool, tmp_path):
    """Whatever runs a task is killed four times, from outside: it is only hit. The others are never blamed."""
    pids = tmp_path / "pids"
    victim = pool.submit(tell_and_wait, str(pids), 0.4)
    others = [pool.submit(square, n, 0.01) for n in range(20)]
    for count in range(4):
        assert until(lambda count=count: pids.exists() and len(pids.read_text().split()) > count)
        os.kill(int(pids.read_text().split()[count]), signal.SIGKILL)
    assert victim.result(timeout=60) == "done"
    assert [f.result(timeout=60) for f in others] == [n * n for n in range(20)]


def test_a_witness_tells_who_kills(tmp_path):
    """Whoever kills all workers, however often, condemns no image."""
    pids = tmp_path / "pids"

    def kill_everything():
        for _ in range(12):
            before = len(pids.read_text().split()) if pids.exists() else 0
            if not until(lambda before=before: pids.exists() and len(pids.read_text().split()) > before, 10):
                return
            for child in children_of_the_fork_server():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)

    with WorkerPool(1) as executor:
        victim = executor.submit(tell_and_wait, str(pids), 0.4)
        killer = threading.Thread(target=kill_everything)
        killer.start()
        assert victim.result(timeout=60) == "done"
        killer.join()
    assert len(pids.read_text().split()) > 5


def test_thirty_kills_of_any_worker():
    """Busy, idle or starting: 30 workers killed at random, and 100 of 100 results."""
    random = np.random.default_rng(0)
    with WorkerPool(2) as executor:
        futures = [executor.submit(square, n, 0.02) for n in range(100)]
        killed = 0
        while killed < 30:
            time.sleep(random.uniform(0, 0.08))
            if children := children_of_the_fork_server():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(random.choice(children)), signal.SIGKILL)
                    killed += 1
            if all(f.done() for f in futures):
                futures += [executor.submit(square, n, 0.02) for n in range(len(futures), len(futures) + 50)]
        assert [f.result(timeout=60) for f in futures] == [n * n for n in range(len(futures))]


def test_a_fork_server_that_is_killed_is_started_again(monkeypatch):
    """Killed now and then it costs time; killed again and again it is one sentence."""
    with WorkerPool(1) as executor:
        assert executor.submit(square, 3).result(timeout=30) == 9
        os.kill(forkserver._forkserver._forkserver_pid, signal.SIGKILL)
        os.kill(executor.submit(own_process).result(timeout=30), signal.SIGKILL)
        assert executor.submit(square, 4).result(timeout=30) == 16
    monkeypatch.setattr("loop.simulation.pool.HOPELESS", 4)
    original = forkserver.ForkServer.ensure_running

    def and_kill(self):
        original(self)
        os.kill(self._forkserver_pid, signal.SIGKILL)
        os.waitid(os.P_PID, self._forkserver_pid, os.WEXITED | os.WNOWAIT)

    monkeypatch.setattr(forkserver.ForkServer, "ensure_running", and_kill)
    with WorkerPool(1) as executor:
        futures = [executor.submit(square, n) for n in range(3)]
        for future in futures:
            with pytest.raises(ExecutorError, match="4 worker processes died one after the other"):
                future.result(timeout=60)


def test_a_worker_is_deaf_to_ctrl_c_and_has_one_thread(monkeypatch, tmp_path):
    """From a folder of any kind, and whatever the driver's own threads are."""
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.chdir(tmp_path)
    with WorkerPool(1) as executor:
        os.kill(executor.submit(own_process).result(timeout=30), signal.SIGINT)
        assert executor.submit(os.getenv, "OMP_NUM_THREADS").result(timeout=30) == "1"
    assert os.environ["OMP_NUM_THREADS"] == "7"


def test_leaving_by_an_exception_ends_what_runs():
    began = time.monotonic()
    executor = WorkerPool(2)
    futures = [executor.submit(square, n, 60) for n in range(4)]
    assert until(lambda: futures[0].running())
    executor.__exit__(KeyboardInterrupt, None, None)
    assert time.monotonic() - began < 20
    assert all(f.done() for f in futures)


def test_errors_that_cannot_travel_come_as_words(pool):
    assert "OddError: 1 and 2" in str(pool.submit(odd).exception(timeout=30))
    with pytest.raises(RuntimeError, match="SystemExit: 3"):
        pool.submit(sys.exit, 3).result(timeout=30)


def test_workers_follow_the_affinity():
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert cores() == 1
    finally:
        os.sched_setaffinity(0, before)
    assert cores() == len(before)


def test_a_limit_in_a_thread_is_no_longer_waited_for():
    """Where no process can be ended: the error says the limit; other errors are the function's own."""
    with pytest.raises(PoisonError, match=r"took longer than 0.05 s"):
        Limited(square, 0.05)(2, 0.5)
    assert Limited(square, 5)(2) == 4
    with pytest.raises(ValueError, match="no 7"):
        Limited(fail, 5)(7)


def test_shutdown_waits_or_cancels():
    """Leaving the block waits for all tasks; cancelling gives up those that have not begun."""
    with WorkerPool(1) as executor:
        futures = [executor.submit(square, n, 0.05) for n in range(8)]
    assert [f.result(timeout=0) for f in futures] == [n * n for n in range(8)]
    executor = WorkerPool(1)
    futures = [executor.submit(square, n, 0.1) for n in range(40)]
    futures[0].result(timeout=20)
    executor.shutdown(cancel_futures=True)
    done, not_done = wait(futures, timeout=0)
    assert not not_done
    assert 0 < len([f for f in done if f.cancelled()]) < 40
    with pytest.raises(RuntimeError, match="shut down"):
        executor.submit(square, 1)


def test_a_dead_driver_leaves_no_worker():
    """kill -9 of the driver while tasks run."""
    code = (
        "import time\nfrom loop.simulation.executors import WorkerPool\nfrom tasks import own_process\n"
        "if __name__ == '__main__':\n"
        "    pool = WorkerPool(2)\n"
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
    if isinstance(one, Failure) or isinstance(other, Failure):
        return one == other
    maps = one.sensitivity.keys() == other.sensitivity.keys()
    return (
        maps
        and one.values == other.values
        and all(np.array_equal(one.sensitivity[n], other.sensitivity[n]) for n in one.sensitivity)
    )


@pytest.mark.parametrize(
    ("solver", "boundary"),
    [("fipy", "dirichlet"), ("fipy", "periodic"), ("direct", "periodic"), ("batched", "periodic")],
)
def test_threads_share_nothing(solver, boundary, monkeypatch):
    """Four threads of one process, as a Dask worker has them, give what one gives."""
    monkeypatch.setattr("loop.simulation.simulate.TASK_CELLS", 1)
    monkeypatch.setattr("loop.simulation.simulate.BATCH", 1)
    images = list(generate(8, 16, seed=5))
    with ThreadPoolExecutor(4) as executor:
        found = list(simulate(images, conduction(PHASES, boundary), Execution(executor, solver)))
    expected = [Conductivity(boundary, PHASES, solver)(image) for image in images]
    assert all(equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("kind", ["process", "dask"])
def test_same_results_in_the_same_order(kind, images):
    """Bit for bit what this process computes; a bad image's reason stands where its result would."""
    doubled = [*images, *images[::-1]]
    with open_executor(kind, 2) as executor:
        found = list(simulate(doubled, MATERIAL, Execution(executor, "direct")))
    expected = [Conductivity("dirichlet", PHASES, "direct")(image) for image in images[:-1]]
    assert all(equal(a, b) for a, b in zip(found, expected, strict=False))
    assert all(isinstance(result, Result) for result in found[:7])
    assert "labels 7..7" in found[7].reason
    assert all(equal(a, b) for a, b in zip(found, found[::-1], strict=True))


def test_dask_quarantines_too():
    """What Dask gives up is tried once more, alone, and ends in the same error."""
    import distributed  # noqa: F401  (its defaults belong to the configuration that is set here)
    from dask import config

    with config.set({"distributed.scheduler.allowed-failures": 0}), open_executor("dask", 1) as executor:
        poison, good = executor.submit(die), executor.submit(square, 5)
        with pytest.raises(PoisonError, match="killed its worker process"):
            poison.result()
        assert good.result() == 25


class Counting(WorkerPool):
    """Counts what is submitted."""

    submitted = 0

    def submit(self, fn, /, *args, **kwargs):
        self.submitted += len(args[0])
        return super().submit(fn, *args, **kwargs)


def test_no_image_is_simulated_twice(images):
    """Copies of an image share one simulation."""
    with Counting(1) as executor:
        found = list(simulate([images[0]] * 5 + [images[1], images[0]], MATERIAL, Execution(executor, "direct")))
        assert executor.submitted == 2
    assert all(equal(found[0], found[n]) for n in (1, 4, 6))
    assert not equal(found[0], found[5])


def test_timeout_quarantines_and_spares_the_rest(images, monkeypatch):
    """An image that takes longer than it may is told apart from those that shared its task."""
    slow = np.random.default_rng(0).integers(0, 2, (380, 380)).astype(np.uint8)
    monkeypatch.setattr("loop.simulation.simulate.TASK_CELLS", 10**6)
    with open_executor("process", 1) as executor:
        list(simulate([images[0]], MATERIAL, Execution(executor, "direct")))
        found = list(simulate([images[0], slow, images[1]], MATERIAL, Execution(executor, "direct", timeout=0.3)))
    assert found[1] == Failure("simulation failed: it took longer than 0.3 s")
    expected = [Conductivity("dirichlet", PHASES, "direct")(image) for image in images[:2]]
    assert equal(found[0], expected[0])
    assert equal(found[2], expected[1])


class Late(ThreadPoolExecutor):
    """Answers what was submitted first only when it may."""

    def __init__(self):
        super().__init__(2)
        self.may, self.submitted = threading.Event(), 0

    def submit(self, fn, /, *args, **kwargs):
        self.submitted += 1
        if self.submitted > 1:
            return super().submit(fn, *args, **kwargs)
        return super().submit(lambda: self.may.wait(30) and fn(*args, **kwargs))


def test_what_came_is_committed_in_time_and_its_order_says_nothing(tmp_path, monkeypatch):
    """One image holds the others up: a kill now would lose that one alone, and the samples are the same again."""
    from loop.campaign.config import Budget
    from loop.campaign.journal import Journal
    from loop.campaign.ledger import Ledger

    monkeypatch.setattr("loop.simulation.simulate.TASK_CELLS", 1)
    monkeypatch.setattr("loop.campaign.ledger.COMMIT", 0.1)
    images, ledgers = list(generate(6, 16, seed=5)), []
    for folder in (tmp_path / "late", tmp_path / "early"):
        (folder / "samples").mkdir(parents=True)
        ledgers.append(Ledger(folder, Journal(folder / "journal.jsonl"), MATERIAL, Budget(simulations=100), True))

    def simulate_all(ledger, executor):
        ledger.simulate(images, 0, "candidate", 0, Execution(executor, "direct"), lambda *_: None)

    late, early = ledgers
    with Late() as executor:
        simulating = threading.Thread(target=simulate_all, args=(late, executor))
        simulating.start()
        assert until(lambda: sum(e["simulated"] for e in Journal(late.journal.path).of("shard")) == 5)
        executor.may.set()
        simulating.join(30)
    with ThreadPoolExecutor(1) as executor:
        simulate_all(early, executor)
    reopened = Ledger(late.folder, Journal(late.journal.path), MATERIAL, Budget(simulations=100), True)
    assert late.samples().digest() == early.samples().digest() == reopened.samples().digest()
    assert len(late.samples()) == 6


def test_what_came_before_an_end_is_committed(tmp_path):
    """Ctrl-C, or an executor that is lost: what has come back is kept."""
    from loop.campaign.config import Budget
    from loop.campaign.journal import Journal
    from loop.campaign.ledger import Ledger

    images = list(generate(4, 16, seed=5))
    (tmp_path / "samples").mkdir()
    ledger = Ledger(tmp_path, Journal(tmp_path / "journal.jsonl"), MATERIAL, Budget(simulations=100), True)

    def stop(stage, done, total):
        raise KeyboardInterrupt

    with ThreadPoolExecutor(1) as executor, pytest.raises(KeyboardInterrupt):
        ledger.simulate(images, 0, "candidate", 0, Execution(executor, "direct"), stop)
    assert sum(e["simulated"] for e in Journal(ledger.journal.path).of("shard")) == 4


@pytest.mark.parametrize(
    ("kind", "words"),
    [("threads", "must be process, dask"), ("dask://127.0.0.1:1", "no scheduler answers")],
)
def test_executors_that_do_not_exist(kind, words, monkeypatch):
    monkeypatch.setattr("loop.simulation.cluster.CONNECT", "1s")
    with pytest.raises(ExecutorError, match=words), open_executor(kind):
        pass


def dask_process(what, *words):
    """A scheduler or a worker as a user starts it."""
    root, here = str(Path(__file__).parent.parent), str(Path(__file__).parent)
    return subprocess.Popen(
        [sys.executable, "-m", f"distributed.cli.dask_{what}", *words, "--no-dashboard"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([root, here])},
    )


@pytest.mark.slow
def test_a_cluster_somewhere_else(monkeypatch, capfd):
    """No worker: told, given up. Four threads: the same results. A dead scheduler: one sentence, now and later."""
    monkeypatch.setattr("loop.simulation.cluster.PATIENCE", 3.0)
    monkeypatch.setattr("loop.simulation.cluster.SAY_AFTER", 1)
    monkeypatch.setattr("loop.simulation.cluster.CONNECT", "20s")
    monkeypatch.setattr("loop.simulation.simulate.TASK_CELLS", 1)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    images = list(generate(24, 16, seed=5))
    scheduler = dask_process("scheduler", "--host", address.split(":")[0], "--port", address.split(":")[1])
    processes = [scheduler]
    try:
        with open_executor(f"dask://{address}") as executor:
            with pytest.raises(
                ExecutorError,
                match=r"has had no worker for 3 s; start .* installed; what was .*run the same command again",
            ):
                executor.submit(square, 2).result(timeout=60)
            assert "no worker answers yet; waiting up to 3 s" in capfd.readouterr().err
        monkeypatch.setattr("loop.simulation.cluster.PATIENCE", 60.0)
        processes.append(dask_process("worker", f"tcp://{address}", "--nthreads", "4", "--no-nanny"))
        with open_executor(f"dask://{address}") as executor:
            found = list(simulate(images, MATERIAL, Execution(executor)))
            assert all(equal(a, Conductivity("dirichlet", PHASES)(i)) for a, i in zip(found, images, strict=True))
            with pytest.raises(PoisonError, match=r"took longer than 0.1 s"):
                executor.submit(Limited(square, 0.1), 2, 1.0).result(timeout=30)
            waiting = executor.submit(square, 2, 60)
            scheduler.kill()
            for future in (waiting, executor.submit(square, 3, 60)):
                with pytest.raises(ExecutorError, match=r"lost its scheduler.*run the same command again"):
                    future.result(timeout=60)
        assert "Traceback" not in capfd.readouterr().err
    finally:
        for process in processes:
            process.kill()
            process.wait()
