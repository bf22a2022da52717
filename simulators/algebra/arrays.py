"""What the same code needs to run on NumPy's and on torch's arrays."""

import sys
from types import ModuleType
from typing import Any

import numpy as np

Array = Any
"""NumPy or torch array of float64"""


def part(array: Array, axis: int, which: slice) -> Array:
    """A slice along one of the last axes."""
    return array[(..., which, *[slice(None)] * (-axis - 1))]


def namespace(array: Array) -> ModuleType:
    """NumPy or torch, whichever made the array."""
    return np if isinstance(array, np.ndarray) else sys.modules["torch"]


def like(array: np.ndarray, example: Array) -> Array:
    """A NumPy array as what the example is, on its device."""
    if isinstance(example, np.ndarray):
        return array
    return namespace(example).as_tensor(np.ascontiguousarray(array), dtype=example.dtype, device=example.device)


def to_numpy(array: Array) -> np.ndarray:
    """As a NumPy array, wherever it was."""
    return array if isinstance(array, np.ndarray) else array.detach().cpu().numpy()


def on_gpu(array: Array) -> bool:
    """Whether it is elsewhere than in the processor's memory."""
    return not isinstance(array, np.ndarray) and array.device.type != "cpu"
