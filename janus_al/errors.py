"""Errors that several modules raise, foreign errors told in one line, and what a misspelt name was meant for."""

from collections.abc import Iterable
from difflib import SequenceMatcher
from typing import Any


class DatasetError(ValueError):
    """A file that is damaged, or is none of ours."""


class LockedError(RuntimeError):
    """Something that another process holds."""


def one_line(error: BaseException) -> str:
    """What an error of a library says, on one line of at most 200 characters."""
    words = " ".join(str(error).split()) or type(error).__name__
    return words if len(words) <= 200 else words[:197] + "..."


def first_error(error: Any) -> str:
    """The first complaint of a pydantic `ValidationError`: where, what, and the value unless it is long."""
    first = error.errors(include_url=False)[0]
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"]).lstrip(".")
    given = repr(first["input"])
    shown = f" (given: {given})" if first["type"] != "missing" and len(given) <= 60 else ""
    return " ".join(f"{where or 'it'}: {first['msg'].removeprefix('Value error, ')}{shown}".split())


def nearest(name: str, known: Iterable[str], least: float = 0.6) -> str:
    """The known name most like another one, of equals the first; "" if all are less alike than `least`, of 0 to 1."""
    alike = {one: SequenceMatcher(None, one, name).ratio() for one in known}
    like = max(alike, key=lambda one: alike[one], default="")
    return like if alike.get(like, 0) >= least else ""
