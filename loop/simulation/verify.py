"""The last word on a design: FiPy's own solve where a faster backend found it, and the certified interval.

A verification that fails, for whatever reason, leaves its design undecided; it never ends a campaign.
"""

from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from janus_al.material import Material
from janus_al.properties import FRACTION
from loop.design.candidates import properties_of
from loop.design.targets import Interval, Target
from loop.simulation.executors import Limited, outcome
from loop.simulation.simulate import TIMEOUT
from simulators import SOLVERS, HomogenizationError, certify
from simulators.solvers.conductivity import result_of

AGREEMENT = 1e-8
"""relative difference that two backends' values may have"""

Verdict = Literal["confirmed", "refuted", "undecided"]


@dataclass(frozen=True)
class Check:
    """What to ask of a design: a second solve by FiPy, a decision by interval, or both."""

    material: Material
    solver: str
    certify: bool
    timeout: float = TIMEOUT
    """seconds"""

    @property
    def needed(self) -> bool:
        """Whether there is anything to ask; only conduction has a reference and certified intervals."""
        return bool(self.material.phase_conductivity) and (self.certify or self.solver != "fipy")


def conducts(material: Material, name: str) -> bool:
    """Whether a property is found by our own conduction, or without simulation: what FiPy can say anything about."""
    return name == FRACTION.name or material.of(name).simulator == "conduction"


def verdict(intervals: Mapping[str, Interval], properties: Mapping[str, float]) -> Verdict:
    """Confirmed if every certified interval lies in the one wanted, refuted if one lies outside of it."""
    bounds = {
        n: (properties.get(n + "_lower", properties[n]), properties.get(n + "_upper", properties[n]))
        for n in intervals
        if n in properties
    }
    intervals = {n: intervals[n] for n in bounds}
    if any(bounds[n][1] < low or bounds[n][0] > high for n, (low, high) in intervals.items()):
        return "refuted"
    inside = all(low <= bounds[n][0] and bounds[n][1] <= high for n, (low, high) in intervals.items())
    return "confirmed" if inside else "undecided"


def verify(image: NDArray[np.uint8], target: Target, check: Check, executor: Executor) -> dict[str, Any]:
    """What was asked, as JSON: "reference" by FiPy, "certificate" with its verdict, and "failed" where it did."""
    try:
        return outcome(executor.submit(Limited(_verify, check.timeout), image, _own(target, check), check))
    except HomogenizationError as error:
        return {"failed": str(error)}


def _own(target: Target, check: Check) -> dict[str, Interval]:
    return {n: ends for n, ends in target.intervals.items() if conducts(check.material, n)}


def judge(found: Mapping[str, Any], target: Target, check: Check) -> tuple[Verdict, str]:
    """Whether a verification confirms a design, and why not."""
    if "failed" in found:
        return "undecided", found["failed"]
    if check.certify:
        decided = found["certificate"]["verdict"]
        missed = "the target lies outside the certified interval" if decided == "refuted" else ""
        return decided, missed or found["certificate"]["reason"]
    reference = found.get("reference", {"properties": {}})["properties"]
    met = all(low <= reference[n] <= high for n, (low, high) in _own(target, check).items() if n in reference)
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
    phases, boundary = check.material.phase_conductivity, check.material.boundary
    homogenizer = SOLVERS[check.solver](boundary)
    if check.solver != "fipy":
        reference = SOLVERS["fipy"](boundary)(image, phases)
        own = homogenizer(image, phases)
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
            "properties": properties_of(result_of(reference), image),
        }
    if check.certify:
        certificate = certify(
            image, phases, homogenizer, lambda r: verdict(intervals, properties_of(result_of(r), image)) != "undecided"
        )
        properties = properties_of(result_of(certificate.result), image)
        found["certificate"] = {
            "verdict": verdict(intervals, properties),
            "refinement": certificate.refinement,
            "half_width": certificate.half_width,
            "reason": certificate.reason,
            "properties": properties,
        }
    return found
