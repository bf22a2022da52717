"""How like a class of structures an image is, by two statistics of random media along every axis.

Two-point probability S2(r): that two pixels r apart both have label 1. Lineal-path function L(r): that all pixels from
one to another r apart have the same label, for labels 0 and 1 each (Torquato, Random Heterogeneous Materials, 2002,
chapter 2). Both are means over the image; periodic ones reach across its edges.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from janus_al.material import Boundary

Image = NDArray[np.integer]
PERCENTILE = 95.0
"""of the distances within a class: what lies farther from it is not realistic"""


def two_point(image: Image, boundary: Boundary) -> NDArray[np.float64]:
    """S2 of label 1 along each axis, the first first, for r = 0 ... half the side: (axes, side // 2 + 1).

    The image has equal sides and any number of them.
    """
    one = np.asarray(image) == 1
    return np.array([[_pairs(one, one, axis, r, boundary).mean() for r in _lags(one)] for axis in range(one.ndim)])


def lineal_path(image: Image, boundary: Boundary, label: int = 1) -> NDArray[np.float64]:
    """L of a label along each axis for r = 0 ... half the side: (axes, side // 2 + 1)."""
    one, found = np.asarray(image) == label, []
    for axis in range(one.ndim):
        whole, row = one, [one.mean()]
        for _ in list(_lags(one))[1:]:
            # A path of r + 1 pixels is one of r whose next pixel has the label, too.
            whole = _pairs(one, whole, axis, 1, boundary)
            row.append(whole.mean())
        found.append(row)
    return np.array(found)


def _lags(image: Image) -> range:
    return range(image.shape[0] // 2 + 1)


def _pairs(
    one: NDArray[np.bool_], others: NDArray[np.bool_], axis: int, r: int, boundary: Boundary
) -> NDArray[np.bool_]:
    """Whether a pixel and, r farther along an axis, that of the others are both true; where there are both."""
    a, b = np.moveaxis(one, axis, 0), np.moveaxis(others, axis, 0)
    if boundary == "periodic":
        return np.moveaxis(a & np.roll(b, -r, axis=0), 0, axis)
    return np.moveaxis(a[: len(b) - r] & b[r:], 0, axis)


@dataclass(frozen=True)
class Likeness:
    """A class of structures, and how far from the others each of its own is.

    The distance of an image from the class is that from its nearest image, turned or not, by each statistic: the root
    mean square difference of the curves. `most` is the 95th percentile of the distances of the class's own images from
    all others, so that about a twentieth of a class is not like it, by either.

    Attributes:
        curves: of the class's images, and then of these with their axes in every other order, (n of 2 or 6 orders,
            statistics, values).
        most: by statistic, two-point first.
        boundary: of the images.
    """

    curves: NDArray[np.float64]
    most: NDArray[np.float64]
    boundary: Boundary

    @classmethod
    def of(cls, images: Sequence[Image], boundary: Boundary) -> "Likeness":
        """The class that these images, at least two, are of."""
        orders = list(permutations(range(images[0].ndim)))
        curves = [np.stack([_curves(image.transpose(order), boundary) for image in images]) for order in orders]
        n, every = len(images), np.concatenate(curves)
        own = []
        for row in range(n):
            far = _far(every[row], every)
            far[row::n] = np.inf
            own.append(far.min(axis=0))
        return cls(every, np.percentile(own, PERCENTILE, axis=0), boundary)

    def distances(self, image: Image) -> NDArray[np.float64]:
        """From the class, by two-point and by lineal-path function, (2,)."""
        return _far(_curves(image, self.boundary), self.curves).min(axis=0)

    def realistic(self, image: Image) -> bool:
        """Whether neither distance is larger than `most`."""
        return bool((self.distances(image) <= self.most).all())


def _far(curves: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Root mean square differences by statistic, (n, 2); the lineal-path functions of both labels are one statistic."""
    square = ((others - curves) ** 2).mean(axis=2)
    return np.sqrt(np.stack([square[:, 0], square[:, 1:].mean(axis=1)], axis=1))


def _curves(image: Image, boundary: Boundary) -> NDArray[np.float64]:
    """S2, L of label 1 and L of label 0, (3, axes * lags)."""
    parts = [two_point(image, boundary), lineal_path(image, boundary, 1), lineal_path(image, boundary, 0)]
    return np.stack([part.ravel() for part in parts])
