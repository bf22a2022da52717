"""The physics: seeds -> microstructures -> effective properties with error bars and sensitivities.

images = simulators.generate(count=4, size=64, seed=0)                # volumes: size=(32, 32, 32)
found = simulators.FipyHomogenizer()(images[0], (0.1, 1.0))           # .k, .lower, .upper, .sensitivity
sure = simulators.certify(images[0], (0.1, 1.0), simulators.DirectHomogenizer(), 0.01)
stiff = simulators.Elasticity("periodic", modulus=(1.0, 10.0), poisson=0.3)(images[0])
"""

from simulators.catalogue import CatalogueError, foreign, make, run
from simulators.conduction.certification import Certificate, certify
from simulators.conduction.homogenizer import Boundary, Homogenized, Homogenizer
from simulators.conduction.inputs import HomogenizationError
from simulators.elasticity import Elasticity
from simulators.simulator import Failure, Result, SimulationError, Simulator
from simulators.solvers.batched import BatchedHomogenizer
from simulators.solvers.choice import SOLVERS, choose
from simulators.solvers.conductivity import Conductivity
from simulators.solvers.direct import DirectHomogenizer
from simulators.solvers.fipy import FipyHomogenizer
from simulators.structures.choice import generate
from simulators.structures.images import read_image, write_png
from simulators.structures.phasefield import PhaseField
from simulators.structures.rasters import ImageError
from simulators.structures.spinodoid import Spinodoid

__all__ = [
    "SOLVERS",
    "BatchedHomogenizer",
    "Boundary",
    "CatalogueError",
    "Certificate",
    "Conductivity",
    "DirectHomogenizer",
    "Elasticity",
    "Failure",
    "FipyHomogenizer",
    "HomogenizationError",
    "Homogenized",
    "Homogenizer",
    "ImageError",
    "PhaseField",
    "Result",
    "SimulationError",
    "Simulator",
    "Spinodoid",
    "certify",
    "choose",
    "foreign",
    "generate",
    "make",
    "read_image",
    "run",
    "write_png",
]


def __dir__() -> list[str]:
    return __all__
