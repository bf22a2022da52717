"""Sparse symmetric operators on one grid, applied without a matrix, in NumPy and in either precision.

Everything runs along flattened grids: what lies a step along an axis away is a shift of the whole array, and where a
shift leads from the end of one row to the start of the next its coefficient is 0. On grids that fit the caches this is
several times faster than a sparse matrix, and works in place.
"""

from collections.abc import Sequence
from math import prod
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
BLOCK = 2**15
"""entries at a time, so that what is made on the way stays in the caches"""


class Stencil(Protocol):
    """A symmetric operator on vectors (*shape), which are 0 outside of the part that is free."""

    shape: tuple[int, ...]
    free: tuple[slice, ...]

    def apply(self, x: Array, out: Array) -> None:
        """Write the operator's product with `x` into `out`; both are contiguous."""

    def cast(self, dtype: type) -> "Stencil":
        """The same in another precision."""


class FaceStencil:
    """Cells that exchange through their faces, and lose through the outer ones: finite volumes."""

    def __init__(self, faces: Sequence[Array], periodic: bool) -> None:
        """From the conductances of all faces, for each axis one entry more than cells; periodic ones stand twice."""
        self.shape = tuple(n - (a == 0) for a, n in enumerate(faces[0].shape))
        self.free = (slice(None),) * len(faces)
        self.periodic, self.faces = periodic, list(faces)
        dim, dtype = len(faces), faces[0].dtype
        self.lost, self.couplings, self.wraps = np.zeros(self.shape, dtype), [], []
        for axis, g in enumerate(faces):
            ends = [np.s_[(*[slice(None)] * axis, end)] for end in (0, -1)]
            # Through its lower face each cell meets the one a step before it.
            near = g[(*[slice(None)] * axis, slice(None, -1))].copy()
            if periodic:
                self.wraps.append((ends, near[ends[0]].copy()))
            else:
                for end in ends:
                    self.lost[end] += g[end]
            near[ends[0]] = 0
            self.couplings.append((prod(self.shape[axis + 1 : dim]), near.ravel()))
        self.scratch = np.empty(BLOCK, dtype)

    def apply(self, x: Array, out: Array) -> None:
        """See `Stencil`."""
        flat, total, lost = x.reshape(-1), out.reshape(-1), self.lost.reshape(-1)
        for start in range(0, len(flat), BLOCK):
            stop = min(start + BLOCK, len(flat))
            np.multiply(lost[start:stop], flat[start:stop], out=total[start:stop])
            for step, g in self.couplings:
                first = max(start, step)
                if first < stop:
                    flow = self.scratch[: stop - first]
                    np.subtract(flat[first:stop], flat[first - step : stop - step], out=flow)
                    flow *= g[first:stop]
                    total[first:stop] += flow
                    total[first - step : stop - step] -= flow
        for ends, g in self.wraps:
            back = g * (x[ends[0]] - x[ends[1]])
            out[ends[0]] += back
            out[ends[1]] -= back

    def cast(self, dtype: type) -> "FaceStencil":
        """See `Stencil`."""
        return FaceStencil([f.astype(dtype) for f in self.faces], self.periodic)


class ElementStencil:
    """Nodes of cells whose energy is a sum of squares of Haar coefficients: multilinear elements.

    Vectors have all nodes, one more along each axis than cells. Not free are both ends of a fixed axis, and the last
    node of a periodic one, which is the first.
    """

    def __init__(self, weights: dict[tuple[bool, ...], float], cells: Array, ends: Sequence[str]) -> None:
        """From the weight of each coefficient's square, by the axes along which it is a difference, and the cells'."""
        self.weights, self.cells, self.ends = weights, cells, list(ends)
        self.dim, self.shape = cells.ndim, tuple(n + 1 for n in cells.shape)
        kept = {"free": slice(None), "fixed": slice(1, -1), "periodic": slice(0, -1)}
        self.free = tuple(kept[end] for end in ends)
        self.steps = [prod(self.shape[axis + 1 :]) for axis in range(self.dim)]
        # Sums stand for averages, each of which is half of one.
        scaled = {s: w / 4 ** (self.dim - sum(s)) for s, w in weights.items()}
        padded = np.pad(cells, [(0, 1)] * self.dim).ravel()
        fields = {w: (w * padded).astype(cells.dtype) for w in set(scaled.values())}
        self.fields = {s: fields[w] for s, w in scaled.items()}
        # Those of a block's cells reach as far as their last corners.
        self.reach = sum(self.steps)
        self.block = max(BLOCK, 4 * self.reach)
        self.nodes, self.forces = (np.zeros(len(padded) + self.reach, cells.dtype) for _ in range(2))
        length = min(self.block, len(padded)) + self.reach
        self.work = [(np.zeros(length, cells.dtype), np.zeros(length, cells.dtype)) for _ in range(self.dim + 1)]

    def apply(self, x: Array, out: Array) -> None:
        """See `Stencil`."""
        count = x.size
        nodes, forces = (a[:count].reshape(self.shape) for a in (self.nodes, self.forces))
        np.copyto(nodes, x)
        for axis, end in enumerate(self.ends):
            if end == "periodic":
                planes = np.moveaxis(nodes, axis, 0)
                planes[-1] = planes[0]
        self.forces[:] = 0
        for start in range(0, count, self.block):
            cells = slice(start, min(start + self.block, count))
            reached = slice(start, cells.stop + self.reach)
            into = self.work[0][0][: reached.stop - start]
            self._forces(self.nodes[reached], (), cells, into)
            self.forces[reached] += into
        for axis, end in enumerate(self.ends):
            planes = np.moveaxis(forces, axis, 0)
            if end == "periodic":
                planes[0] += planes[-1]
            if end == "fixed":
                planes[0] = 0
            if end != "free":
                planes[-1] = 0
        np.copyto(out, forces)

    def _forces(self, x: Array, done: tuple[bool, ...], cells: slice, out: Array) -> None:
        """Derivative of half the energy of all coefficients that are differences along some of the axes done."""
        if len(done) == self.dim:
            inside = cells.stop - cells.start
            np.multiply(x[:inside], self.fields[done][cells], out=out[:inside])
            out[inside:] = 0
            return
        step, (value, force) = self.steps[len(done)], (w[: len(x)] for w in self.work[len(done) + 1])
        low, high, here = x[:-step], x[step:], value[:-step]
        np.subtract(high, low, out=here)
        self._forces(value, (*done, True), cells, force)
        np.negative(force, out=out)
        out[step:] += force[:-step]
        if any(done) or len(done) < self.dim - 1:
            np.add(high, low, out=here)
            self._forces(value, (*done, False), cells, force)
            out += force
            out[step:] += force[:-step]

    def cast(self, dtype: type) -> "ElementStencil":
        """See `Stencil`."""
        return ElementStencil(self.weights, self.cells.astype(dtype), self.ends)
