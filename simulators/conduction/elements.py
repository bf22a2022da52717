"""Upper bounds by multilinear finite elements, one element a cell (Dirichlet's principle).

Any continuous temperature with the right ends has at least the energy of the true one. On a unit cell the
energy is a sum of squares of Haar coefficients: with averages s and differences d of the corner values along
each axis, int |grad u|^2 = sum over the axes sets S with differences of w_S c_S^2, where each axis of S in turn
is the one differentiated and every other one of S contributes 1/12.
"""

from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from math import prod

import numpy as np

from simulators.algebra.arrays import Array, like, namespace, on_gpu, part, to_numpy
from simulators.algebra.conjugate_gradients import conjugate_gradients, element_modes
from simulators.algebra.stencils import ElementStencil
from simulators.algebra.two_precisions import solver
from simulators.conduction.bounds import LogTensor, log_tensor

TOLERANCE = 1e-9
"""of the residual, relative to the right-hand side; the energy's error is its square"""


@dataclass(frozen=True)
class Elements:
    """Element problems of fields (n, 1, *grid); nodal arrays hold the nodes that are free, (n, m, *nodes)."""

    kappa: Array
    dim: int
    periodic: bool

    @property
    def ends(self) -> list[str]:
        """How each axis ends, in turn: heat is driven along the last one unless periodic."""
        return ["periodic"] * self.dim if self.periodic else ["free"] * (self.dim - 1) + ["fixed"]

    @property
    def drives(self) -> list[int]:
        """Axes along which heat is driven."""
        return [-1 - i for i in range(self.dim)] if self.periodic else [-1]

    def coefficients(self, u: Array) -> dict[tuple[bool, ...], Array]:
        """Haar coefficients of each cell that carry energy, by the axes along which they are differences."""
        xp = namespace(u)
        found: dict[tuple[bool, ...], Array] = {(): u}
        for axis, ends in zip(range(-self.dim, 0), self.ends, strict=True):
            if ends == "periodic":
                found = {s: xp.concatenate([c, part(c, axis, slice(0, 1))], axis=axis) for s, c in found.items()}
            if ends == "fixed":
                zero = {s: 0 * part(c, axis, slice(0, 1)) for s, c in found.items()}
                found = {s: xp.concatenate([zero[s], c, zero[s]], axis=axis) for s, c in found.items()}
            split = {}
            for s, c in found.items():
                low, high = part(c, axis, slice(None, -1)), part(c, axis, slice(1, None))
                split[*s, False], split[*s, True] = (low + high) / 2, high - low
            found = split
        return {s: c for s, c in found.items() if any(s)}

    def forces(self, coefficients: dict[tuple[bool, ...], Array]) -> Array:
        """The transpose of `coefficients`."""
        found = coefficients
        for axis, ends in zip(range(-1, -self.dim - 1, -1), reversed(self.ends), strict=True):
            merged = {}
            for s in {s[:-1] for s in found}:
                average, difference = found.get((*s, False)), found.get((*s, True))
                low = _sum(None if average is None else average / 2, None if difference is None else -difference)
                high = _sum(None if average is None else average / 2, difference)
                inner = part(low, axis, slice(1, None)) + part(high, axis, slice(None, -1))
                first, last = part(low, axis, slice(0, 1)), part(high, axis, slice(-1, None))
                if ends == "periodic":
                    merged[s] = namespace(low).concatenate([first + last, inner], axis=axis)
                else:
                    merged[s] = (
                        inner if ends == "fixed" else namespace(low).concatenate([first, inner, last], axis=axis)
                    )
            found = merged
        return found[()]

    def apply(self, x: Array) -> Array:
        """The stiffness matrices times nodal vectors."""
        return self.forces({s: self.kappa * (weight(s) * c) for s, c in self.coefficients(x).items()})

    def source(self) -> Array:
        """Right-hand sides whose solutions are the deviations from the linear profiles."""
        sources = [self.forces({self._along(axis): self.kappa}) for axis in self.drives]
        return namespace(self.kappa).concatenate(sources, axis=1)

    def gradients(self, deviation: Array) -> dict[tuple[bool, ...], Array]:
        """Coefficients of the whole temperature, linear profile included."""
        found = self.coefficients(deviation)
        for row, axis in enumerate(self.drives):
            found[self._along(axis)][:, row] -= 1
        return found

    def modes(self) -> list[tuple[Array, Array]]:
        """See `System`."""
        grid = self.kappa.shape[-self.dim :]
        return [element_modes(n, ends) for n, ends in zip(grid, self.ends, strict=True)]

    def take(self, index: Array | slice) -> "Elements":
        """See `System`."""
        return replace(self, kappa=self.kappa[index])

    def stencil(self) -> ElementStencil:
        """See `System`."""
        weights = {s: weight(s) for s in product((False, True), repeat=self.dim) if any(s)}
        return ElementStencil(weights, to_numpy(self.kappa[0, 0]), self.ends)

    def _along(self, axis: int) -> tuple[bool, ...]:
        return tuple(a == axis for a in range(-self.dim, 0))


def weight(differences: tuple[bool, ...]) -> float:
    """Energy of a unit Haar coefficient."""
    count = sum(differences)
    return count / 12 ** (count - 1)


def upper_bound(kappa: Array, periodic: bool) -> LogTensor:
    """Element energies of fields (n, *grid): upper bounds of their conductivities, with exact derivatives."""
    dim = kappa.ndim - 1
    problem = Elements(kappa[:, None], dim, periodic)
    source = problem.source()
    grid = tuple(range(-dim, 0))
    limit = TOLERANCE * abs(source).sum(axis=grid)
    solve = partial(conjugate_gradients, problem) if on_gpu(kappa) else solver(problem, len(kappa))
    gradients = problem.gradients(solve(source, limit))
    tail = [slice(None)] * dim
    slope = sum(
        (weight(s) * problem.kappa * c)[(slice(None), slice(None), None, *tail)]
        * c[(slice(None), None, slice(None), *tail)]
        for s, c in gradients.items()
    ) / prod(kappa.shape[1:])
    total = slope.sum(axis=grid)
    # A solve that failed must not take the rest of its batch with it: its derivatives say so.
    sound = namespace(total).isfinite(total).all(-1).all(-1)[..., None, None]
    return log_tensor(namespace(total).where(sound, total, like(np.eye(total.shape[-1]), total)), slope)


def _sum(a: Array | None, b: Array | None) -> Array:
    return b if a is None else a if b is None else a + b
