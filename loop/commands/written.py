"""What the commands that make datasets write and print at their end."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import typer

from loop.commands.terminal import print_json, print_table


def write_dataset(
    out: Path, parts: list[Any], failed: dict[str, str], json_: bool, pixel: str = "", **more: Any
) -> None:
    """Write what there is; end with exit code 3 if some images failed, with 2 if nothing is left."""
    from janus_al import dataset
    from janus_al.samples import concatenate
    from loop import CREATED_BY
    from simulators import HomogenizationError

    if not parts:
        name, reason = next(iter(failed.items()))
        raise HomogenizationError(f"{name}: {reason}" + (f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""))
    samples = replace(concatenate(parts), pixel=pixel)
    dataset.write(out, samples, CREATED_BY)
    report: dict[str, Any] = {
        "dataset": str(out),
        "samples": len(samples),
        "size": list(samples.image.shape[1:]),
        "simulated": int(samples.simulated.sum()),
        "pixel": samples.pixel or None,
        "properties": _ranges(samples),
        "failed": [{"image": name, "reason": reason} for name, reason in failed.items()],
        "digest": samples.digest(),
        **more,
    }
    if json_:
        print_json(report)
    else:
        if report["properties"]:
            print_table(["property", "lowest", "median", "highest"], [[n, *r] for n, r in report["properties"].items()])
        size = " x ".join(map(str, report["size"])) + (f" pixels of {samples.pixel}" if samples.pixel else "")
        words = f"{report['samples']} samples of {size}, {report['simulated']} simulated"
        print(f"{out}: {words}, digest {report['digest'][:12]}")
    say_failed(failed)


def _ranges(samples: Any) -> dict[str, list[float]]:
    """Lowest, median and highest of each property of what is simulated."""
    import numpy as np

    rows = samples.properties[samples.simulated]
    return dict(zip(samples.names, np.quantile(rows, [0, 0.5, 1], axis=0).T.tolist(), strict=True)) if len(rows) else {}


def say_failed(failed: dict[str, str]) -> None:
    """Name what could not be simulated, and end with exit code 3."""
    for name, reason in failed.items():
        print(f"janus-al: {name} was left out: {reason}", file=sys.stderr)
    if failed:
        raise typer.Exit(3)
