"""The true stiffness of an image between two tensors, or of one pull between two numbers, and their best mean."""

from dataclasses import dataclass

import numpy as np

from simulators.elasticity.energies import Problem
from simulators.elasticity.spaces import displacements
from simulators.elasticity.stiffness import FloatArray, element_matrices, uniform
from simulators.elasticity.stresses import stress_energies
from simulators.elasticity.tensor import Tensor, geometric_mean


@dataclass(frozen=True)
class Bracket:
    """Stiffness tensors (v, v) of a periodic image, or the modulus (1, 1) of a pull along x between grips.

    Attributes:
        lower: from stresses in equilibrium; in a volume Reuss's, from uniform ones.
        upper: from displacements.
        best: their geometric mean; in a volume the upper one.
        grid: of the cells.
        imbalance: see `Energies`.
    """

    lower: FloatArray
    upper: FloatArray
    best: Tensor
    grid: tuple[int, ...]
    imbalance: float


def bracket(constants: FloatArray, uniform_stress: FloatArray, periodic: bool) -> Bracket:
    """Of Lamé's constants of each cell, (2, *grid), and the lower bound that uniform stresses give."""
    grid = constants.shape[1:]
    dim, flat = len(grid), constants.reshape(2, -1)
    problem = Problem(displacements(grid, periodic), flat, element_matrices(dim))
    strained = uniform(dim, range(dim * (dim + 1) // 2) if periodic else [0])[..., None]
    strain = problem.energies(problem.relaxed(np.broadcast_to(strained, (*strained.shape[:2], flat.shape[1]))))
    upper = Tensor(strain.total, strain.cells)
    if dim == 3:
        return Bracket(uniform_stress, upper.value, upper, grid, strain.imbalance)
    stress = stress_energies(flat, grid, periodic)
    lower = Tensor(stress.total, stress.cells).inverse_of_softness()
    best, imbalance = geometric_mean(lower, upper), max(strain.imbalance, stress.imbalance)
    return Bracket(lower.value, upper.value, best, grid, imbalance)
