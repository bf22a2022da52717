"""What commands print: tables for people, one JSON object for programs."""

import codecs
import io
import json
import math
from collections.abc import Sequence
from typing import Any

SCHEMA_VERSION = 1
SPELLED = {"±": "+-"}
"""characters of ours that an ASCII terminal lacks"""


def spell(stream: object) -> None:
    """Let a stream write any text, whatever its encoding; bytes of a file's name that are no text pass unchanged."""
    codecs.register_error("spell", _spelled)
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="spell")


def _spelled(error: UnicodeError) -> tuple[str | bytes, int]:
    assert isinstance(error, UnicodeEncodeError)
    character, after = error.object[error.start], error.start + 1
    if 0xDC80 <= ord(character) <= 0xDCFF:
        return bytes([ord(character) - 0xDC00]), after
    return SPELLED.get(character) or character.encode("ascii", "backslashreplace").decode(), after


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Columns of text, as wide as they must be."""
    cells = [list(columns), *[[_cell(value) for value in row] for row in rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    for row in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.5g}" if isinstance(value, float) else "-" if value is None else str(value)


def print_json(report: dict[str, Any]) -> None:
    """One object on one line, with the schema version; not-a-number and infinities become null."""
    print(json.dumps({"schema_version": SCHEMA_VERSION, **_finite(report)}, allow_nan=False))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
