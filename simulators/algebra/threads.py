"""What one thread may keep and no other may touch: objects that hold the problem being solved."""

import threading
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Made = TypeVar("Made")


def cached_by_thread(maxsize: int) -> Callable[[Callable[Arguments, Made]], Callable[Arguments, Made]]:
    """`lru_cache`, one for each thread, gone with it."""

    def decorate(make: Callable[Arguments, Made]) -> Callable[Arguments, Made]:
        own = threading.local()

        @wraps(make)
        def found(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Made:
            if not hasattr(own, "cached"):
                own.cached = lru_cache(maxsize)(make)
            return own.cached(*args, **kwargs)

        return found

    return decorate
