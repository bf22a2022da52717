"""The physics: seeds -> microstructures -> effective conductivity with error bars and sensitivities."""

from simulators.batched_homogenizer import BatchedHomogenizer
from simulators.choice import SOLVERS, choose
from simulators.conduction.certification import Certificate, certify
from simulators.conduction.homogenizer import (
    Boundary,
    HomogenizationError,
    Homogenized,
    Homogenizer,
    check_contrast,
    conductivity_field,
)
from simulators.direct_homogenizer import DirectHomogenizer
from simulators.fipy_homogenizer import FipyHomogenizer
from simulators.images import LabelledImage, read_image, read_labelled, write_png
from simulators.phasefield import PhaseField, generate, stream_for_tests
from simulators.rasters import ImageError

__all__ = [
    "SOLVERS",
    "BatchedHomogenizer",
    "Boundary",
    "Certificate",
    "DirectHomogenizer",
    "FipyHomogenizer",
    "HomogenizationError",
    "Homogenized",
    "Homogenizer",
    "ImageError",
    "LabelledImage",
    "PhaseField",
    "certify",
    "check_contrast",
    "choose",
    "conductivity_field",
    "generate",
    "read_image",
    "read_labelled",
    "stream_for_tests",
    "write_png",
]
