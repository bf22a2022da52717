"""The physics: seeds -> microstructures -> effective conductivity with error bars and sensitivities."""

from simulators.catalogue import CatalogueError, foreign, make, run
from simulators.conduction.certification import Certificate, certify
from simulators.conduction.homogenizer import Boundary, Homogenized, Homogenizer
from simulators.conduction.inputs import HomogenizationError, check_contrast, conductivity_field
from simulators.elasticity import Elasticity
from simulators.simulator import Failure, Result, SimulationError, Simulator
from simulators.solvers.batched import BatchedHomogenizer
from simulators.solvers.choice import SOLVERS, choose
from simulators.solvers.conductivity import Conductivity, wiener
from simulators.solvers.direct import DirectHomogenizer
from simulators.solvers.fipy import FipyHomogenizer
from simulators.structures.images import LabelledImage, read_image, read_labelled, write_png
from simulators.structures.phasefield import PhaseField, generate, stream_for_tests
from simulators.structures.rasters import ImageError

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
    "LabelledImage",
    "PhaseField",
    "Result",
    "SimulationError",
    "Simulator",
    "certify",
    "check_contrast",
    "choose",
    "conductivity_field",
    "foreign",
    "generate",
    "make",
    "read_image",
    "read_labelled",
    "run",
    "stream_for_tests",
    "wiener",
    "write_png",
]
