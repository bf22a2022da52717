"""What worker processes run in tests; they find it because `tests` is on their path."""

import os
import signal
import time


def own_process(seconds=0.0):
    time.sleep(seconds)
    return os.getpid()


def square(number, seconds=0.0):
    time.sleep(seconds)
    return number * number


def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def fail(number):
    raise ValueError(f"no {number}")


def tell_and_wait(file, seconds):
    with open(file, "a") as told:
        print(os.getpid(), file=told)
    time.sleep(seconds)
    return "done"


class OddError(Exception):
    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


def odd():
    raise OddError(1, 2)
