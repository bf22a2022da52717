"""The last word on a design: FiPy's own solve where a faster backend found it, and the certified interval.

A design has one verdict, which says on what it rests: confirmed by interval, which was refined until all of it lay in
the one wanted, or by value, where physics certifies nothing or nobody asked. What is refuted, or left undecided because
refinement came to no end or because the verification failed, is no design, and never ends a campaign.

Volumes are refined, too, but what that leaves undecided is decided by value, and the interval told, unless certificates
are asked for: of phase fields at contrast 10 (100) an interval is 3.0 (5.4) % to either side at 16^3, 1.6 (3.0) % at
32^3, and 0.6 (1.2) % with these cells cut in two, while the best value moves by a tenth (a third) of a percent at most.
"""

from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from janus_al.material import Material
from janus_al.properties import FRACTION
from janus_al.quantities import quantity
from loop.design.measures import properties_of
from loop.design.targets import Interval, Target
from loop.simulation.executors import Limited, outcome
from loop.simulation.simulate import TIMEOUT
from simulators import SOLVERS, HomogenizationError, Homogenized, certify, choose
from simulators.solvers.conductivity import result_of

AGREEMENT = 1e-8
"""relative difference that two backends' values may have"""

Verdict = Literal["confirmed", "refuted", "undecided"]


@dataclass(frozen=True)
class Check:
    """What to ask of a design: a second solve by FiPy, a decision by interval where physics certifies one, or both."""

    material: Material
    solver: str
    certify: bool
    strict: bool = True
    """whether what intervals leave undecided is no design; else its value decides"""
    timeout: float = TIMEOUT
    """seconds"""

    @property
    def needed(self) -> bool:
        """Whether there is anything to ask; only conduction has a reference and certified intervals."""
        return bool(self.material.phase_conductivity) and (self.certify or self.solver != "fipy")


def conducts(material: Material, name: str) -> bool:
    """Whether a quantity is found by our own conduction, or without simulation: what FiPy can say anything about."""
    return all(n == FRACTION.name or material.of(n).simulator == "conduction" for n in quantity(name).properties)


def bounds_of(name: str, properties: Mapping[str, float]) -> Interval:
    """Between what a quantity lies: its properties' certified intervals, or their values where they have none."""
    own = quantity(name)
    ends = [dict[str, float](), dict[str, float]()]
    for part, weight in own.terms:
        for end, side in enumerate(("_lower", "_upper") if weight > 0 else ("_upper", "_lower")):
            ends[end][part] = properties.get(part + side, properties[part])
    return own.of(ends[0]), own.of(ends[1])


def verdict(intervals: Mapping[str, Interval], properties: Mapping[str, float]) -> Verdict:
    """Confirmed if every certified interval lies in the one wanted, refuted if one lies outside of it."""
    bounds = {n: bounds_of(n, properties) for n in intervals if set(quantity(n).properties) <= set(properties)}
    wanted = {n: intervals[n] for n in bounds}
    if any(bounds[n][1] < low or bounds[n][0] > high for n, (low, high) in wanted.items()):
        return "refuted"
    inside = all(low <= bounds[n][0] and bounds[n][1] <= high for n, (low, high) in wanted.items())
    return "confirmed" if inside else "undecided"


def confirmed(
    intervals: Mapping[str, Interval], properties: Mapping[str, float], certified: Mapping[str, float], dim: int = 2
) -> str:
    """The verdict on a design, in words: "confirmed by interval", "confirmed by value", or by what each quantity is.

    Args:
        intervals: wanted.
        properties: as simulated, with their bounds.
        certified: the same after refinement; empty if nothing was refined.
        dim: axes of the image; of a volume the certified intervals are told, too, where they did not decide.
    """
    finest, kinds = {**properties, **certified}, dict[str, list[str]]()
    for name in [n for n in intervals if n != FRACTION.name] or intervals:
        exact = all(n == FRACTION.name or n + "_lower" in finest for n in quantity(name).properties)
        sure = exact and verdict({name: intervals[name]}, finest) == "confirmed"
        kinds.setdefault("by interval" if sure else "by value", []).append(name)
    words = f"confirmed {next(iter(kinds), 'by value')}"
    if len(kinds) > 1:
        words = "confirmed: " + ", ".join(f"{' and '.join(names)} {kind}" for kind, names in sorted(kinds.items()))
    return words if dim == 2 or "by value" not in words else words + _intervals(intervals, finest)


def _intervals(intervals: Mapping[str, Interval], finest: Mapping[str, float]) -> str:
    """The certified intervals of what is wanted, as a clause; "" where there are none."""
    asked = [n for n in intervals if n != FRACTION.name]
    known = [n for n in asked if all(p + "_lower" in finest for p in quantity(n).properties)]
    told = ", ".join("{} {:.4g}..{:.4g}".format(n, *bounds_of(n, finest)) for n in known)
    return f"; certified interval{'s' * (len(known) > 1)} {told}" if told else ""


def verify(image: NDArray[np.uint8], target: Target, check: Check, executor: Executor) -> dict[str, Any]:
    """What was asked, as JSON: "reference" by FiPy, "certificate" with its verdict, and "failed" where it did."""
    try:
        return outcome(executor.submit(Limited(_verify, check.timeout), image, _own(target, check), check))
    except HomogenizationError as error:
        return {"failed": str(error)}


def judge(found: Mapping[str, Any], target: Target, check: Check) -> tuple[Verdict, str]:
    """Whether a verification confirms a design, and why not."""
    if "failed" in found:
        return "undecided", found["failed"]
    if "certificate" in found:
        decided: Verdict = found["certificate"]["verdict"]
        if decided == "refuted":
            return decided, "the certified interval lies outside the one wanted"
        if check.strict or decided == "confirmed":
            return decided, found["certificate"]["reason"]
    reference = found.get("reference", {"properties": {}})["properties"]
    known = {n: ends for n, ends in _own(target, check).items() if set(quantity(n).properties) <= set(reference)}
    met = Target(target.name, known).met(reference)
    return ("confirmed", "") if met else ("refuted", "FiPy's values miss the target")


def _own(target: Target, check: Check) -> dict[str, Interval]:
    return {n: ends for n, ends in target.intervals.items() if conducts(check.material, n)}


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
    # Refinement takes the fast backend, which has to agree with FiPy on the image as it is.
    solver = choose(image.shape, 1, boundary) if check.solver in ("fipy", "auto") else check.solver
    homogenizer, reference = SOLVERS[solver](boundary), SOLVERS["fipy"](boundary)(image, phases)
    _compare(homogenizer(image, phases), reference, solver)
    if check.solver != "fipy":
        found["reference"] = {
            "solver": reference.solver,
            "version": reference.solver_version,
            "flux_imbalance": reference.flux_imbalance,
            "properties": properties_of(result_of(reference), image),
        }
    if check.certify and intervals:
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


def _compare(own: Homogenized, reference: Homogenized, solver: str) -> None:
    diagonal = dict(zip("xyz", reference.k, strict=False))
    scale = np.sqrt([diagonal[name[1]] * diagonal[name[2]] for name in reference.names])
    if not float(np.max(np.abs(own.k - reference.k) / scale)) <= AGREEMENT:
        raise HomogenizationError(
            f"solver {solver} gives {own.k} where FiPy gives {reference.k}: they must agree "
            f"to {AGREEMENT:g}; use solver fipy, certify = false, and report this image"
        )
