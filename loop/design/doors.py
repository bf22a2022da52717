"""Doors for what users bring: an object by a built-in name, or by its import path `package.module:name`."""

import importlib
import re
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from janus_al.errors import DatasetError
from loop import UsageError

PATH = r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*"


class DoorError(UsageError):
    """A name with nothing behind it that can be used, or a user's own code that fails or gives what it must not."""


def check_name(kind: str, built_in: Mapping[str, str], name: str) -> str:
    """A built-in name or an import path, which is not imported yet.

    Raises:
        DoorError: it is neither.
    """
    if name not in built_in and not re.fullmatch(PATH, name):
        raise DoorError(f"{kind} '{name}': must be {', '.join(built_in)}, or your own as package.module:name")
    return name


def load(kind: str, built_in: Mapping[str, str], name: str) -> Callable[..., Any]:
    """What a name stands for.

    Args:
        kind: generator or acquisition, for the sentence.
        built_in: import paths by name.
        name: a built-in one or an import path.

    Raises:
        DoorError: it is neither, cannot be imported, or cannot be called.
    """
    path = built_in.get(check_name(kind, built_in, name), name)
    module, _, attribute = path.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except ImportError as error:
        raise DoorError(f"{kind} '{name}': {error}; install it, or add its folder to PYTHONPATH") from None
    except AttributeError:
        raise DoorError(f"{kind} '{name}': module {module} has no {attribute}; name what it defines") from None
    except Exception as error:  # whatever a user's module does when it is imported
        raise DoorError(f"{kind} '{name}': importing {module} fails ({type(error).__name__}: {error})") from None
    if not callable(found):
        raise DoorError(f"{kind} '{name}': is no {kind} but a {type(found).__name__}; it must be callable")
    loaded: Callable[..., Any] = found
    return loaded


@contextmanager
def guarded(kind: str, found: Any) -> Iterator[None]:
    """Name whatever a user's own code raises, and where; what the program's own raises is left as it is.

    Raises:
        DoorError: the block failed, and `found`, which it calls, is no part of this program.
    """
    try:
        yield
    except (UsageError, DatasetError, OSError, MemoryError):
        raise
    except Exception as error:
        named = found if hasattr(found, "__qualname__") else type(found)
        if named.__module__.partition(".")[0] == __name__.partition(".")[0]:
            raise
        place = traceback.extract_tb(error.__traceback__)[-1]
        raise DoorError(
            f"{kind} '{named.__module__}:{named.__qualname__}': fails with {type(error).__name__}: {error} "
            f"({place.filename}, line {place.lineno}); mend it, and run the same command again"
        ) from error
