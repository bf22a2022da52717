"""The last word on a design: FiPy's own solve where a faster backend found it, and the certified interval.

A verification that fails, for whatever reason, leaves its design undecided; it never ends a campaign.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from loop.design.targets import Interval, Target
from loop.simulation.executors import Limited, outcome
from loop.simulation.simulate import TIMEOUT
from simulators import SOLVERS, Boundary, HomogenizationError, Homogenized, certify

AGREEMENT = 1e-8
"""relative difference that two backends' values may have"""

Verdict = Literal["confirmed", "refuted", "undecided"]


@dataclass(frozen=True)
class Check:
    """What to ask of a design: a second solve by FiPy, a decision by interval, or both."""

    phase_conductivity: tuple[float, ...]
    solver: str
    boundary: Boundary
    certify: bool
    timeout: float = TIMEOUT
    """seconds"""

    @property
    def needed(self) -> bool:
        """Whether there is anything to ask."""
        return self.certify or self.solver != "fipy"


def verdict(intervals: Mapping[str, Interval], properties: Mapping[str, float]) -> Verdict:
    """Confirmed if every certified interval lies in the one wanted, refuted if one lies outside of it."""
    bounds = {
        n: (properties.get(n + "_lower", properties[n]), properties.get(n + "_upper", properties[n])) for n in intervals
    }
    if any(bounds[n][1] < low or bounds[n][0] > high for n, (low, high) in intervals.items()):
        return "refuted"
    inside = all(low <= bounds[n][0] and bounds[n][1] <= high for n, (low, high) in intervals.items())
    return "confirmed" if inside else "undecided"


def verify(image: NDArray[np.uint8], target: Target, check: Check, executor: Executor) -> dict[str, Any]:
    """What was asked, as JSON: "reference" by FiPy, "certificate" with its verdict, and "failed" where it did."""
    try:
        return outcome(executor.submit(Limited(_verify, check.timeout), image, dict(target.intervals), check))
    except HomogenizationError as error:
        return {"failed": str(error)}


def judge(found: Mapping[str, Any], target: Target, check: Check) -> tuple[Verdict, str]:
    """Whether a verification confirms a design, and why not."""
    if "failed" in found:
        return "undecided", found["failed"]
    if check.certify:
        decided = found["certificate"]["verdict"]
        missed = "the target lies outside the certified interval" if decided == "refuted" else ""
        return decided, missed or found["certificate"]["reason"]
    met = "reference" not in found or target.met(found["reference"]["properties"])
    return ("confirmed", "") if met else ("refuted", "FiPy's values miss the target")


def _verify(image: NDArray[np.uint8], intervals: dict[str, Interval], check: Check) -> dict[str, Any]:
    try:
        return _ask(image, intervals, check)
    except HomogenizationError as error:
        return {"failed": str(error)}
    except Exception as error:
        return {"failed": f"{type(error).__name__}: {error}"}


def _ask(image: NDArray[np.uint8], intervals: dict[str, Interval], check: Check) -> dict[str, Any]:
    found: dict[str, Any] = {}
    homogenizer = SOLVERS[check.solver](check.boundary)
    if check.solver != "fipy":
        reference = SOLVERS["fipy"](check.boundary)(image, check.phase_conductivity)
        own = homogenizer(image, check.phase_conductivity)
        diagonal = dict(zip("xyz", reference.k, strict=False))
        scale = np.sqrt([diagonal[name[1]] * diagonal[name[2]] for name in reference.names])
        if not float(np.max(np.abs(own.k - reference.k) / scale)) <= AGREEMENT:
            raise HomogenizationError(
                f"solver {check.solver} gives {own.k} where FiPy gives {reference.k}: they must agree "
                f"to {AGREEMENT:g}; use solver fipy and report this image"
            )
        found["reference"] = {
            "solver": reference.solver,
            "version": reference.solver_version,
            "flux_imbalance": reference.flux_imbalance,
            "properties": properties_of(reference),
        }
    if check.certify:
        certificate = certify(
            image, check.phase_conductivity, homogenizer, lambda r: verdict(intervals, properties_of(r)) != "undecided"
        )
        properties = properties_of(certificate.result)
        found["certificate"] = {
            "verdict": verdict(intervals, properties),
            "refinement": certificate.refinement,
            "half_width": certificate.half_width,
            "reason": certificate.reason,
            "properties": properties,
        }
    return found


def properties_of(result: Homogenized) -> dict[str, float]:
    """Values and bounds by name, as they stand in JSON."""
    columns: Sequence[tuple[str, Any]] = [
        ("", result.k),
        ("_fv", result.k_fv),
        ("_lower", result.lower),
        ("_upper", result.upper),
    ]
    found = {name + end: float(values[i]) for i, name in enumerate(result.names) for end, values in columns}
    return {**found, "volume_fraction": result.volume_fraction}
