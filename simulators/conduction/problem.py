"""Steady heat conduction on a grid of pixels or voxels by finite volumes, for one field or a batch of them.

    div(kappa (e - grad T)) = 0      e: a unit gradient along one axis, T: deviation from the linear profile

Two boundary conditions. "dirichlet": heat is driven along the last axis between two faces of fixed
temperature, half a cell from the outer cell centres; the other sides are adiabatic. "periodic": the cell
problem, driven along each axis in turn, x (the last) first. Interior faces conduct by the harmonic mean.

Arrays are NumPy's or torch's, (..., m, *grid): batch axes, the m drives, the grid. What lives on faces is a
list, an array for each grid axis in turn, one entry longer than the grid along that axis; a periodic face
stands in it twice, first and last.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from simulators.algebra.arrays import Array, namespace, part, to_numpy
from simulators.algebra.conjugate_gradients import volume_modes
from simulators.algebra.stencils import FaceStencil

Faces = list[Array]
Solve = Callable[[Array, Array], Array]
"""right-hand sides (n, m, *grid) -> solutions of the problem's linear system, to residuals whose absolute sums need
not be smaller than the limits (n, m or 1)"""
Backend = Callable[["Conduction"], tuple[Array, Solve]]
"""problem -> its deviations (..., m, *grid), and what solves for further right-hand sides"""


@dataclass(frozen=True)
class Conduction:
    """One discrete problem: conductivity fields (..., 1, *grid) and their boundary condition."""

    kappa: Array
    dim: int
    periodic: bool

    @property
    def axes(self) -> range:
        """The grid axes, from the first to the last."""
        return range(-self.dim, 0)

    @property
    def grid(self) -> tuple[int, ...]:
        """Cells along each grid axis."""
        return tuple(self.kappa.shape[-self.dim :])

    @property
    def drives(self) -> list[int]:
        """Axes along which heat is driven."""
        return [-1 - i for i in range(self.dim)] if self.periodic else [-1]

    @cached_property
    def resistivity(self) -> Array:
        """1 / kappa."""
        return 1 / self.kappa

    @cached_property
    def conductances(self) -> Faces:
        """Of every face: heat flux for a unit drop of temperature across it, (..., 1, *faces)."""
        faces, r = [], self.resistivity
        for axis in self.axes:
            first, last = part(r, axis, slice(0, 1)), part(r, axis, slice(-1, None))
            inner = 2 / (part(r, axis, slice(None, -1)) + part(r, axis, slice(1, None)))
            if self.periodic:
                ends = [2 / (first + last)] * 2
            else:
                ends = [2 / first, 2 / last] if axis == -1 else [0 * first, 0 * last]
            faces.append(_join([ends[0], inner, ends[1]], axis))
        return faces

    @cached_property
    def least_flux(self) -> Array:
        """Below which no mean flux is: the harmonic mean of all cells, (..., 1)."""
        return 1 / self.resistivity.mean(axis=tuple(self.axes))

    @cached_property
    def diagonal(self) -> Array:
        """Of the linear system's matrix."""
        return sum(low + high for low, high in both_sides(self.conductances, self.axes))

    def drops(self, temperature: Array) -> Faces:
        """Differences of the deviation across the faces, the lower index minus the higher."""
        faces = []
        for axis in self.axes:
            first, last = part(temperature, axis, slice(0, 1)), part(temperature, axis, slice(-1, None))
            inner = part(temperature, axis, slice(None, -1)) - part(temperature, axis, slice(1, None))
            ends = [last - first] * 2 if self.periodic else [-first, last]
            faces.append(_join([ends[0], inner, ends[1]], axis))
        return faces

    def apply(self, temperature: Array) -> Array:
        """The linear system's matrix times these vectors."""
        return divergence([g * d for g, d in zip(self.conductances, self.drops(temperature), strict=True)], self.axes)

    def source(self) -> Array:
        """Right-hand sides whose solutions are the deviations under the drives."""
        sources = []
        for driven in self.drives:
            flux = self._profile_flux(driven)
            sources.append(part(flux, driven, slice(None, -1)) - part(flux, driven, slice(1, None)))
        return _join(sources, -self.dim - 1)

    def fluxes(self, deviation: Array) -> Faces:
        """Heat fluxes through the faces under the drives, (..., m, *faces)."""
        faces = [g * d for g, d in zip(self.conductances, self.drops(deviation), strict=True)]
        for row, driven in enumerate(self.drives):
            faces[driven][(..., row, *[slice(None)] * self.dim)] += self._profile_flux(driven)[
                (..., 0, *[slice(None)] * self.dim)
            ]
        return faces

    def _profile_flux(self, driven: int) -> Array:
        """Flux of the linear profile; between an outer face and a cell centre it drops by half as much."""
        g = self.conductances[driven]
        if self.periodic:
            return g
        ends = [part(g, driven, end) / 2 for end in (slice(0, 1), slice(-1, None))]
        return _join([ends[0], part(g, driven, slice(1, -1)), ends[1]], driven)

    def modes(self) -> list[tuple[Array, Array]]:
        """Of each axis, eigenvalues and -vectors of the operator at conductivity 1; see `conjugate_gradients`."""
        ends = ["periodic"] * self.dim if self.periodic else ["free"] * (self.dim - 1) + ["fixed"]
        return [volume_modes(n, end) for n, end in zip(self.grid, ends, strict=True)]

    def take(self, index: Array | slice) -> "Conduction":
        """The problems at an index along the first batch axis."""
        return replace(self, kappa=self.kappa[index])

    def stencil(self) -> FaceStencil:
        """See `System`."""
        return FaceStencil([to_numpy(g[0, 0]) for g in self.conductances], self.periodic)


def divergence(faces: Faces, axes: Sequence[int]) -> Array:
    """What flows out of each cell."""
    return sum(high - low for low, high in both_sides(faces, axes))


def both_sides(faces: Faces, axes: Sequence[int]) -> list[tuple[Array, Array]]:
    """Of each axis: the values at the lower and at the higher face of each cell."""
    return [
        (part(f, axis, slice(None, -1)), part(f, axis, slice(1, None))) for f, axis in zip(faces, axes, strict=True)
    ]


def _join(parts: Sequence[Array], axis: int) -> Array:
    return parts[0] if len(parts) == 1 else namespace(parts[0]).concatenate(parts, axis=axis)
