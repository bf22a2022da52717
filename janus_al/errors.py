"""Errors that several modules raise, and foreign errors told in one line."""

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
