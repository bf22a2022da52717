"""What commands print: tables for people, one JSON object for programs."""

import json
import math
from collections.abc import Sequence
from typing import Any

SCHEMA_VERSION = 1


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
