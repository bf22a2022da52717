"""Bounds and best values of conductivity fields: which problems are solved, and how their answers combine."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from simulators.algebra.arrays import Array, namespace, to_numpy
from simulators.conduction.bounds import LogTensor, LowerBounds, lower_bounds, mean
from simulators.conduction.elements import upper_bound
from simulators.conduction.problem import Backend, Conduction


@dataclass(frozen=True)
class Effective:
    """Of a batch of fields (n, *grid): one tensor under a periodic boundary, else a number for each axis, x first.

    `best` is the log-Euclidean mean of the bounds: in the plane finite volumes, Raviart-Thomas and both of the
    dual problem, in a volume Raviart-Thomas and elements.
    """

    finite_volume: list[LogTensor]
    lower: list[LogTensor]
    upper: list[LogTensor]
    best: list[LogTensor]
    imbalance: Array
    periodic: bool

    def to_numpy(self) -> "Effective":
        """The same in NumPy arrays."""

        def moved(tensors: list[LogTensor]) -> list[LogTensor]:
            return [LogTensor(to_numpy(t.log), to_numpy(t.slope)) for t in tensors]

        return replace(
            self,
            finite_volume=moved(self.finite_volume),
            lower=moved(self.lower),
            upper=moved(self.upper),
            best=moved(self.best),
            imbalance=to_numpy(self.imbalance),
        )


def effective(kappa: Array, periodic: bool, backend: Backend) -> Effective:
    """Bounds, best values and derivatives of fields (n, *grid) by one backend."""
    dim = kappa.ndim - 1
    # Between fixed faces heat is driven along the last axis: for each of the others the grid is turned.
    turns = [None] if periodic else [-1 - i for i in range(dim)]
    primal = [_lower(kappa, axis, periodic, backend) for axis in turns]
    fv = [_turned_back(p.finite_volume, axis) for p, axis in zip(primal, turns, strict=True)]
    lower = [_turned_back(p.raviart_thomas, axis) for p, axis in zip(primal, turns, strict=True)]
    if dim == 2:
        across = turns[::-1]
        dual = [_lower(1 / kappa, axis, periodic, backend) for axis in across]
        upper_fv = [_turned_back(d.finite_volume, axis).dual() for d, axis in zip(dual, across, strict=True)]
        upper = [_turned_back(d.raviart_thomas, axis).dual() for d, axis in zip(dual, across, strict=True)]
        best = [mean(bounds) for bounds in zip(fv, lower, upper_fv, upper, strict=True)]
        return Effective(fv, lower, upper, best, _worst([*primal, *dual]), periodic)
    upper = [_turned_back(upper_bound(_turned(kappa, axis), periodic), axis) for axis in turns]
    return Effective(fv, lower, upper, [mean(b) for b in zip(lower, upper, strict=True)], _worst(primal), periodic)


def _lower(kappa: Array, axis: int | None, periodic: bool, backend: Backend) -> LowerBounds:
    problem = Conduction(_turned(kappa, axis)[:, None], kappa.ndim - 1, periodic)
    return lower_bounds(problem, *backend(problem))


def _turned(field: Array, axis: int | None) -> Array:
    return field if axis is None else field.swapaxes(axis, -1)


def _turned_back(tensor: LogTensor, axis: int | None) -> LogTensor:
    return tensor if axis is None else LogTensor(tensor.log, tensor.slope.swapaxes(axis, -1))


def _worst(bounds: Sequence[LowerBounds]) -> Array:
    xp = namespace(bounds[0].imbalance)
    return xp.amax(xp.stack([b.imbalance for b in bounds], 0), 0)
