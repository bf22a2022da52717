"""Settings: frozen dataclasses of which every field is checked wherever one is made, and their mistakes in words.

Each field says its range in its type; pydantic checks it, in files and in calls alike.
"""

import dataclasses
import functools
import typing
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeVar, dataclass_transform

from pydantic import ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass

from janus_al.errors import nearest

Kind = TypeVar("Kind")

Count = Annotated[int, Field(strict=True, ge=1, le=1_000_000)]
"""a whole number above 0"""
Weight = Annotated[float, Field(strict=True, ge=0, le=1e6)]
"""of a loss"""
Part = Annotated[float, Field(strict=True, ge=0, le=1)]
"""from none to all"""
Rate = Annotated[float, Field(strict=True, gt=0, le=100)]
"""of an optimiser"""

RULES = {
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be at most {le}",
    "finite_number": "must be a finite number",
    "literal_error": "must be {expected}",
    "missing": "is missing; add it",
    "too_short": "needs at least {min_length} of them",
    "too_long": "takes at most {max_length} of them",
    "path_type": "must be a path, as text in quotes",
}
KINDS = {
    "int": "must be a whole number",
    "float": "must be a number",
    "bool": "must be true or false",
    "string": "must be text in quotes",
    "list": "must be a list in brackets",
    "tuple": "must be a list in brackets",
    "model": "must be a section with keys of its own",
    "dataclass": "must be a section with keys of its own",
}


@dataclass_transform(frozen_default=True)
def settings(kind: type[Kind]) -> type[Kind]:
    """A frozen dataclass that refuses, with a ValueError of one sentence, what its fields' types do not allow."""
    checked = dataclass(frozen=True, config=ConfigDict(extra="forbid", allow_inf_nan=False))(kind)
    unchecked = checked.__init__

    @functools.wraps(unchecked)
    def __init__(self: Any, *args: Any, **fields: Any) -> None:
        try:
            unchecked(self, *args, **fields)
        except ValidationError as error:
            first = error.errors()[0]
            where = "".join(f"{part} {first['input']!r}: it " for part in first["loc"][:1])
            raise ValueError(where + rule(first)) from None

    checked.__init__ = __init__  # type: ignore[method-assign]
    return typing.cast(type[Kind], checked)


def rule(error: Mapping[str, Any]) -> str:
    """What pydantic found wrong with a value, in our words."""
    kind, context = error["type"], error.get("ctx", {})
    if kind in RULES:
        return RULES[kind].format(**context).replace("'", "")
    if kind in {"extra_forbidden", "unexpected_keyword_argument"}:
        return "unknown key"
    return KINDS.get(kind.partition("_")[0]) or str(error["msg"]).removeprefix("Value error, ")


def given(error: Mapping[str, Any]) -> str:
    """The value in brackets, where it is one that a sentence can hold."""
    if isinstance(error["input"], dict | list | tuple) or error["type"] in {"missing", "value_error"}:
        return ""
    shown = repr(error["input"])
    return f" (given: {shown if len(shown) <= 60 else shown[:60] + '...'})"


def instead(kind: Any, where: Sequence[int | str]) -> str:
    """What may have been meant by an unknown key of `kind` at a path: the one most like it, or all of its section."""
    keys = _keys([kind, *_sections(kind, where[:-1])][-1])
    like = nearest(str(where[-1]), keys)
    return f"; did you mean {like}?" if like else f"; known here are {', '.join(keys)}"


def misspelt(kind: Any, where: Sequence[int | str]) -> str:
    """The key that a name may have been meant for, where its section takes whatever else it holds for a property."""
    for section, part in zip((kind, *_sections(kind, where)), where, strict=False):
        keys = _keys(section)
        if isinstance(part, str) and part not in keys and (like := nearest(part, keys, 0.8)):
            return f"; did you mean {like} instead of {part}?"
    return ""


def _sections(kind: Any, where: Sequence[int | str]) -> list[Any]:
    """The section behind each part of a path; places in a list, and what names no section, leave it as it was."""
    found = []
    for part in where:
        hints = typing.get_type_hints(kind)
        hint = hints.get(str(part), hints.get("__pydantic_extra__") if isinstance(part, str) else None)
        kind = next((h for h in (hint, *typing.get_args(hint)) if _keys(h)), kind)
        found.append(kind)
    return found


def _keys(kind: Any) -> list[str]:
    if dataclasses.is_dataclass(kind):
        return [f.name for f in dataclasses.fields(kind)]
    return list(getattr(kind, "model_fields", {}))
