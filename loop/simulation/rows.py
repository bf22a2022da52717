"""Results as samples, and samples as results: where a simulation becomes a row, and comes back from one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from janus_al.material import Material
from janus_al.properties import FRACTION
from janus_al.samples import SIMULATED, Samples, unlabelled
from loop.design.measures import TABLES
from loop.simulation.simulate import Execution, Image, simulate_all
from simulators import Failure, HomogenizationError, Result


def to_samples(images: Sequence[Image], results: Sequence[Result], material: Material, **meta: Any) -> Samples:
    """Simulated samples; `meta` fills columns such as origin and round."""
    if not len(images):
        raise ValueError("no image was simulated")
    sensitive = [n for n in material.simulated if any(n in r.sensitivity for r in results)]
    rows = unlabelled(
        np.stack(images),
        material,
        sensitive,
        status=SIMULATED,
        solver=[_short(r.solver) for r in results],
        solver_version=[_short(r.solver_version) for r in results],
        flux_imbalance=[r.imbalance for r in results],
        seconds=[r.seconds for r in results],
        **meta,
    )
    fractions = [float(np.mean(np.asarray(image) == 1)) for image in images]

    def table(part: str) -> NDArray[np.float64]:
        return np.array(
            [
                [*(getattr(r, part).get(n, np.nan) for n in material.simulated), fraction]
                for r, fraction in zip(results, fractions, strict=True)
            ]
        )

    none = np.full(rows.image.shape[1:], np.nan)
    maps = [[(r.sensitivity.get(n, none) * none.size).astype(np.float32) for n in sensitive] for r in results]
    return replace(
        rows,
        properties=table("values"),
        properties_fv=table("plain"),
        properties_lower=table("lower"),
        properties_upper=table("upper"),
        sensitivity=np.array(maps, dtype=np.float32).reshape(rows.sensitivity.shape),
    )


def _short(words: str) -> bytes:
    """The first 64 bytes, and no half letter."""
    return words.encode()[:64].decode(errors="ignore").encode()


def result_at(samples: Samples, row: int) -> Result:
    """The result that a row was made of, its sensitivities to seven digits."""
    tables: dict[str, dict[str, float]] = {}
    for end, part in TABLES.items():
        values = dict(zip(samples.names, getattr(samples, f"properties{end}")[row].tolist(), strict=True))
        tables[part] = {n: v for n, v in values.items() if n != FRACTION.name and not np.isnan(v)}
    maps = {n: samples.maps(n)[row].astype(float) / samples.image[row].size for n in samples.sensitive}
    meta = {name: column[row] for name, column in samples.meta.items()}
    return Result(
        tables["values"],
        tables["lower"],
        tables["upper"],
        tables["plain"],
        sensitivity={n: m for n, m in maps.items() if not np.isnan(m).any()},
        solver=meta["solver"].decode(),
        solver_version=meta["solver_version"].decode(),
        imbalance=float(meta["flux_imbalance"]),
        seconds=float(meta["seconds"]),
    )


def simulate_samples(
    images: NDArray[np.uint8],
    material: Material,
    execution: Execution,
    progress: Callable[[str, int, int], None],
    failed: dict[int, str] | None = None,
    **meta: Any,
) -> list[Samples]:
    """Images as simulated samples, in one part, or none if there is no image.

    Args:
        failed: takes the numbers of the images that cannot be simulated, and why; all others become samples.

    Raises:
        HomogenizationError: for the first image that cannot be simulated, by number, if there is no `failed`; what
            was simulated is in the user's cache, if the execution is cached.
    """
    if not len(images):
        return []
    found = simulate_all(images, material, execution, progress)
    reasons = {number: result.reason for number, result in found.items() if isinstance(result, Failure)}
    if failed is None and reasons:
        number = min(reasons)
        raise HomogenizationError(f"image {number}: {reasons[number]}")
    if failed is not None:
        failed |= reasons
    good: Mapping[int, Result] = {number: result for number, result in found.items() if isinstance(result, Result)}
    return [to_samples([images[n] for n in good], list(good.values()), material, **meta)] if good else []
