"""Rows that a benchmark measures, kept in a JSON file, one by one, so that it goes on where it was."""

import json

from common.header import header


def resumed(path, wanted, measured, line):
    """All rows of a file, once those wanted (by key) that it lacks are measured, told and kept."""
    rows = json.loads(path.read_text()) if path.exists() else []
    for key in wanted:
        if any(all(row[name] == value for name, value in key.items()) for row in rows):
            continue
        rows.append({**key, "made": header("torch"), **measured(key)})
        print(line(rows[-1]), flush=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(rows, indent=1))
    return rows
