"""Conduction as a `Simulator`: a solver, the phases' conductivities, and the result by names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulators.conduction.homogenizer import Homogenized
from simulators.conduction.inputs import HomogenizationError
from simulators.conduction.limits import narrowed, wiener
from simulators.simulator import Boundary, Failure, FloatArray, Result
from simulators.solvers.batched import BatchedHomogenizer
from simulators.solvers.choice import SOLVERS


@dataclass(frozen=True)
class Conductivity:
    """Effective conductivity; `conductivity` has a number above 0 for each label."""

    boundary: Boundary
    conductivity: tuple[float, ...]
    solver: str = "fipy"

    @property
    def properties(self) -> Sequence[str]:
        """Names of the properties of planes; volumes have those of `names(3)`."""
        return self.names(2)

    def names(self, dim: int) -> tuple[str, ...]:
        """Names of the properties of planes (2) or volumes (3)."""
        axes = "xyz"[:dim]
        across = [f"k{a}{b}" for i, a in enumerate(axes) for b in axes[i + 1 :]] if self.boundary == "periodic" else []
        return (*(f"k{a}{a}" for a in axes), *across)

    def __call__(self, image: NDArray[np.integer]) -> Result:
        """Homogenize labels; see `Homogenizer`."""
        return result_of(SOLVERS[self.solver](self.boundary)(image, self.conductivity))

    def many(self, images: Sequence[NDArray[np.integer]]) -> list[Result | Failure]:
        """Homogenize several images of one shape, together where the solver can."""
        homogenizer = SOLVERS[self.solver](self.boundary)
        if isinstance(homogenizer, BatchedHomogenizer):
            found = homogenizer.many(images, self.conductivity)
            return [Failure(str(r)) if isinstance(r, HomogenizationError) else result_of(r) for r in found]
        results: list[Result | Failure] = []
        for image in images:
            try:
                results.append(self(image))
            except HomogenizationError as error:
                results.append(Failure(str(error)))
        return results

    def limits(self, fraction: FloatArray) -> dict[str, tuple[FloatArray, FloatArray]]:
        """Between what each entry must lie at volume fractions of label 1 (Wiener).

        A tensor between low and high times the identity has off-diagonal entries of at most (high - low) / 2.
        """
        if len(self.conductivity) != 2:
            return {}
        low, high = wiener(fraction, self.conductivity)
        half = np.maximum(high - low, 0) / 2
        return {name: (low, high) if name[1] == name[2] else (-half, half) for name in self.names(3)}

    def joint_limits(
        self, fraction: FloatArray, given: Mapping[str, tuple[FloatArray, FloatArray]]
    ) -> dict[str, tuple[FloatArray, FloatArray]]:
        """Between what the diagonal entries must lie where all lie in given intervals; see `conduction.limits`."""
        if len(self.conductivity) != 2:
            return {}
        names = [f"k{a}{a}" for a in ("xyz" if "kzz" in given else "xy")]
        ends = [given.get(name, (np.full(fraction.shape, -np.inf), np.full(fraction.shape, np.inf))) for name in names]
        low, high = (np.stack(e, axis=1) for e in zip(*ends, strict=True))
        low, high = narrowed(low, high, fraction, self.conductivity)
        return {name: (low[:, i], high[:, i]) for i, name in enumerate(names)}


def result_of(found: Homogenized) -> Result:
    """A homogenizer's result by the names of its properties."""
    k = dict(zip(found.names, found.k.tolist(), strict=True))

    def of(values: FloatArray) -> dict[str, float]:
        return dict(zip(found.names, values.tolist(), strict=True))

    sensitivity = dict(zip(found.names, found.sensitivity, strict=True))
    for name in found.names:
        if name[1] != name[2]:
            # The homogenizer's is that of kxy / sqrt(kxx kyy) at fixed denominator.
            sensitivity[name] = sensitivity[name] * np.sqrt(k[f"k{name[1]}{name[1]}"] * k[f"k{name[2]}{name[2]}"])
    return Result(
        values=k,
        lower=of(found.lower),
        upper=of(found.upper),
        plain=of(found.k_fv),
        sensitivity=sensitivity,
        solver=found.solver,
        solver_version=found.solver_version,
        imbalance=found.flux_imbalance,
        seconds=found.seconds,
        bracket=found.bracket,
    )
