"""Symmetric positive tensors with their derivatives to every cell, and what is made of them."""

from dataclasses import dataclass

import numpy as np

from simulators.elasticity.stiffness import LABELS, FloatArray


@dataclass(frozen=True)
class Tensor:
    """A symmetric positive tensor (v, v), and its derivative to the logarithm of each cell's modulus (v, v, cells)."""

    value: FloatArray
    slope: FloatArray

    def inverse_of_softness(self) -> "Tensor":
        """The stiffness, if this is a compliance with its derivative to the logarithm of each cell's compliance."""
        stiffness = np.asarray(np.linalg.inv(self.value), dtype=np.float64)
        return Tensor(stiffness, np.einsum("ia,abc,bj->ijc", stiffness, self.slope, stiffness))


def geometric_mean(a: Tensor, b: Tensor) -> Tensor:
    """A # B (Pusz and Woronowicz 1975): the one mean that commutes with inversion and with any change of basis.

    It rises with both of them in the Loewner order and lies between them if they are in it. In the basis that makes
    A the identity and B diagonal, G A^-1 G = B is solved entry by entry, and so is its derivative.
    """
    import scipy.linalg

    try:
        ratios, basis = scipy.linalg.eigh(b.value, a.value)
    except (ValueError, scipy.linalg.LinAlgError):
        # One of them is no number or not positive; no gate lets that pass.
        return Tensor(a.value * np.nan, a.slope * np.nan)
    roots, back = np.sqrt(ratios), np.linalg.inv(basis)
    da, db = (np.einsum("ai,abc,bj->ijc", basis, t.slope, basis) for t in (a, b))
    slope = (db + np.outer(roots, roots)[..., None] * da) / np.add.outer(roots, roots)[..., None]
    return Tensor(back.T @ (roots[:, None] * back), np.einsum("ia,ijc,jb->abc", back, slope, back))


def properties(stiffness: FloatArray, dim: int) -> dict[str, float]:
    """Entries of a stiffness tensor (v, v), and Young's moduli along the axes."""
    labels = LABELS[dim]
    found = {f"C{a}{b}": stiffness[i, j] for i, a in enumerate(labels) for j, b in enumerate(labels[i:], start=i)}
    found |= {f"E{i + 1}{i + 1}": 1 / np.linalg.inv(stiffness)[i, i] for i in range(dim)}
    return {name: float(value) for name, value in found.items()}


def derivatives(stiffness: Tensor, dim: int) -> dict[str, FloatArray]:
    """Of the same, (cells,): of log value for the diagonal and the moduli, else of the value."""
    labels, value, slope = LABELS[dim], stiffness.value, stiffness.slope
    found = {}
    for i, a in enumerate(labels):
        for j, b in enumerate(labels[i:], start=i):
            found[f"C{a}{b}"] = slope[i, j] / (value[i, j] if i == j else 1.0)
    for i, strain in enumerate(np.linalg.inv(value)[:dim]):
        # d(C^-1) = -C^-1 dC C^-1
        found[f"E{i + 1}{i + 1}"] = np.einsum("a,abc,b->c", strain, slope, strain) / strain[i]
    return found
