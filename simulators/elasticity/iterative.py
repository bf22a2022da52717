"""Solves in volumes: conjugate gradients in two precisions, preconditioned by a Laplacian for each component.

By Korn's inequality the energy of a uniform body is that of three membranes but for a factor, and what the phases add
is a matter of their contrast, as in conduction; fast diagonalisation inverts the membranes at once.
"""

from functools import partial
from math import prod

import numpy as np
from numpy.typing import NDArray

from simulators.algebra.conjugate_gradients import element_modes
from simulators.algebra.two_precisions import TwoPrecisions, Uniform
from simulators.elasticity.spaces import Space
from simulators.elasticity.stiffness import FloatArray, corners

TOLERANCE = 1e-10
"""of the residual, relative to the loads; the energy's error is of its square"""
ROUNDING = 1e-13
BLOCK = 2**13
"""cells at a time, so that what they hold stays in the caches"""


class Iterative:
    """The operator and the preconditioner of a volume's problem."""

    def __init__(self, space: Space, constants: FloatArray, matrices: FloatArray) -> None:
        """Of both constants of each cell, (2, cells), and the element matrices for each of them, (2, k, k)."""
        held = space.held.reshape(space.shape)
        grid = tuple(n - (not space.periodic) for n in space.shape[1:])
        self.stencil = BodyStencil(constants.reshape(2, *grid), matrices, held, space.periodic)
        self.system = TwoPrecisions(self.stencil, partial(Membranes, grid, space.periodic, constants.mean(axis=1)))
        # What is less than this came of rounding.
        self.least = ROUNDING * float(abs(constants).max()) * prod(space.shape)

    def solve(self, loads: FloatArray) -> FloatArray:
        """Unknowns (m, unknowns) under loads."""
        found = np.zeros_like(loads)
        for load, x in zip(loads.reshape(-1, *self.stencil.shape) * self.stencil.moves, found, strict=True):
            size = float(np.abs(load).sum())
            x[:] = self.system.solve(load, max(TOLERANCE * size, self.least)).ravel()
        return found


class BodyStencil:
    """Elements of a box of cells, whose matrices are sums of two; see `algebra.stencils.Stencil`."""

    def __init__(self, constants: FloatArray, matrices: FloatArray, held: NDArray[np.bool_], periodic: bool) -> None:
        """From the constants (2, *grid) of the matrices (2, k, k), and which displacements (3, *nodes) are 0."""
        self.constants, self.matrices, self.held, self.periodic = constants, matrices, held, periodic
        self.shape: tuple[int, ...] = held.shape
        self.free: tuple[slice, ...] = (slice(None),) * 4
        dtype = constants.dtype
        self.moves = (~held).astype(dtype)
        self.inside = (slice(None), *(slice(0, n) for n in self.shape[1:]))
        # Cells are shifts of flattened nodes; those beyond the last ones weigh nothing.
        box = [n + 1 for n in constants.shape[1:]]
        first, second = (np.pad(c, [(0, 1)] * 3).ravel() for c in constants)
        ratio = constants[0].flat[0] / constants[1].flat[0]
        if np.allclose(constants[0], ratio * constants[1], rtol=4 * np.finfo(dtype).eps, atol=0):
            # One Poisson's ratio: both matrices are as one.
            self.terms = [second], (ratio * matrices[0] + matrices[1]).astype(dtype)
        else:
            self.terms = [first, second], matrices.reshape(-1, matrices.shape[-1]).astype(dtype)
        self.offsets = [int(np.ravel_multi_index(corner, box)) for corner in corners(3)]
        self.nodes, self.forces = (np.zeros((3, prod(box) + self.offsets[-1]), dtype) for _ in range(2))
        self.boxed = [a[:, : prod(box)].reshape(3, *box) for a in (self.nodes, self.forces)]
        self.fields = np.empty((24, BLOCK), dtype)

    def apply(self, x: NDArray[np.floating], out: NDArray[np.floating]) -> None:
        """See `Stencil`."""
        nodes, forces = self.boxed
        nodes[self.inside] = x
        if self.periodic:
            for axis in range(3):
                planes = np.moveaxis(nodes, axis + 1, 0)
                planes[-1] = planes[0]
        self.forces[:] = 0
        weights, stacked = self.terms
        for start in range(0, len(weights[0]), BLOCK):
            cells = slice(start, min(start + BLOCK, len(weights[0])))
            fields = self.fields[:, : cells.stop - start]
            for corner, offset in enumerate(self.offsets):
                fields[3 * corner : 3 * corner + 3] = self.nodes[:, start + offset : cells.stop + offset]
            loads = (stacked @ fields).reshape(len(weights), 24, -1)
            for load, weight in zip(loads, weights, strict=True):
                load *= weight[cells]
            load = loads[0] if len(loads) == 1 else loads[0] + loads[1]
            for corner, offset in enumerate(self.offsets):
                self.forces[:, start + offset : cells.stop + offset] += load[3 * corner : 3 * corner + 3]
        if self.periodic:
            for axis in range(3):
                planes = np.moveaxis(forces, axis + 1, 0)
                planes[0] += planes[-1]
        np.multiply(forces[self.inside], self.moves, out=out)

    def cast(self, dtype: type) -> "BodyStencil":
        """See `Stencil`."""
        return BodyStencil(self.constants.astype(dtype), self.matrices, self.held, self.periodic)


class Membranes:
    """Inverse of one Laplacian for each component, x first, stiffer along its own axis; see `Preconditioner`."""

    def __init__(self, grid: tuple[int, ...], periodic: bool, constants: FloatArray, dtype: type) -> None:
        """Of a body of uniform constants lambda and mu, which between grips is held along x, the last axis."""
        self.parts = []
        for own in (2, 1, 0):
            ends = ["periodic"] * 3 if periodic else ["free", "free", "fixed" if own == 2 else "free"]
            # A factor common to all changes nothing.
            weights = [1 + (axis == own) * (1 + constants[0] / constants[1]) for axis in range(3)]
            modes = [element_modes(n, end) for n, end in zip(grid, ends, strict=True)]
            modes = [(w * values, vectors) for w, (values, vectors) in zip(weights, modes, strict=True)]
            free = [slice(1, -1) if end == "fixed" else slice(None) for end in ends]
            self.parts.append(Uniform([n + (not periodic) for n in grid], free, modes, dtype))

    def __call__(self, r: NDArray[np.floating]) -> NDArray[np.floating]:
        """See `Preconditioner`."""
        return np.stack([part(component) for part, component in zip(self.parts, r, strict=True)])

    def centre(self, r: NDArray[np.floating]) -> None:
        """See `Preconditioner`."""
        for part, component in zip(self.parts, r, strict=True):
            part.centre(component)
