"""What a phase and a cell weigh: elastic constants, tensors in Voigt's notation, element matrices.

Voigt's indices: 1, 2, 3 are xx, yy, zz, and 4, 5, 6 the engineering shears yz, xz, xy. x runs along the last axis
of an image, y down its rows, z from layer to layer. A plane has 1, 2 and 6.

An image is a section of columns, and "strain" means that they do not change their length: the same problem as the
volume in which the image is repeated, so planes and volumes agree. Under "stress" the image is a sheet, thinner
than its cells, whose faces are free.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import product
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]
Plane = Literal["strain", "stress"]

PAIRS = {2: ((0, 0), (1, 1), (0, 1)), 3: ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))}
"""components of the strain in Voigt's order, x first"""
LABELS = {2: "126", 3: "123456"}


def lame(modulus: ArrayLike, poisson: ArrayLike, dim: int, plane: Plane) -> FloatArray:
    """Lamé's constants of each phase, (2, phases): lambda, in a plane its own, and the shear modulus."""
    e, nu = np.asarray(modulus, dtype=float), np.asarray(poisson, dtype=float)
    free = dim == 2 and plane == "stress"
    return np.stack([e * nu / ((1 + nu) * (1 - nu if free else 1 - 2 * nu)), e / (2 * (1 + nu))])


def tensors(constants: FloatArray, dim: int) -> FloatArray:
    """Stiffness tensors (phases, v, v) of Lamé's constants (2, phases)."""
    pairs = PAIRS[dim]
    shear = np.diag([2.0 if a == b else 1.0 for a, b in pairs])
    trace = np.array([float(a == b) for a, b in pairs])
    return constants[0][:, None, None] * np.outer(trace, trace) + constants[1][:, None, None] * shear


@lru_cache(maxsize=2)
def element_matrices(dim: int) -> FloatArray:
    """Stiffness of the multilinear unit cell for lambda = 1 and for mu = 1, (2, c, c), assembled by scikit-fem.

    c counts corner by corner, the last axis fastest, and at each corner the displacements along x, y (and z).
    """
    from skfem import Basis, ElementHex1, ElementQuad1, ElementVector, MeshHex, MeshQuad
    from skfem.models.elasticity import linear_elasticity

    mesh, element = (MeshQuad(), ElementQuad1()) if dim == 2 else (MeshHex(), ElementHex1())
    basis = Basis(mesh, ElementVector(element), intorder=4)
    vertices = [int(np.flatnonzero(np.equal(mesh.p.T, corner[::-1]).all(axis=1))[0]) for corner in corners(dim)]
    dofs = basis.nodal_dofs[:, vertices].T.ravel()
    forms = (linear_elasticity(1.0, 0.0), linear_elasticity(0.0, 1.0))
    return np.stack([form.assemble(basis).toarray()[np.ix_(dofs, dofs)] for form in forms])


def corners(dim: int) -> list[tuple[int, ...]]:
    """Of a unit cell, as indices along the grid axes, the last fastest."""
    return list(product((0, 1), repeat=dim))


def uniform(dim: int, strains: Sequence[int]) -> FloatArray:
    """Displacements (m, c) of a cell's corners under unit strains, by their place in Voigt's order."""
    places = np.array(corners(dim), dtype=float)[:, ::-1]
    found = np.zeros((len(strains), len(places), dim))
    for row, strain in enumerate(strains):
        a, b = PAIRS[dim][strain]
        found[row, :, a] += places[:, b] / 2
        found[row, :, b] += places[:, a] / 2
    return found.reshape(len(strains), -1)
