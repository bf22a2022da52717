"""Which backend: by name, or the fastest for the work at hand."""

from collections.abc import Callable, Sequence

from simulators.algebra.red_black import BANDED_UP_TO
from simulators.conduction.homogenizer import Boundary, Homogenizer
from simulators.solvers.batched import BatchedHomogenizer
from simulators.solvers.direct import DirectHomogenizer
from simulators.solvers.fipy import FipyHomogenizer

SOLVERS: dict[str, Callable[[Boundary], Homogenizer]] = {
    "fipy": FipyHomogenizer,
    "direct": DirectHomogenizer,
    "batched": BatchedHomogenizer,
}


def choose(shape: Sequence[int], count: int, boundary: Boundary, gpu: bool = False) -> str:
    """The name of the fastest backend for `count` images of one shape (measured: benchmarks/homogenizers.py).

    Direct solvers in the plane, whatever the contrast; the batched one for volumes, for planes beyond the
    banded solver's reach, for many small images at once, and for batches where there is a GPU.
    """
    small = max(shape) <= 48 and count >= 16 and boundary == "dirichlet"
    if len(shape) == 3 or min(shape) > BANDED_UP_TO or small or (gpu and count >= 16):
        return "batched"
    return "direct"
