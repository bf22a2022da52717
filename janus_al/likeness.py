"""How like a class of structures an image is, by statistics of random media along every axis.

Of each image, for r = 1 ... half the shortest side (Torquato, Random Heterogeneous Materials, 2002, chapter 2):

    two_point  (S2(r) - p^2) / (p - p^2), S2(r) the probability that two pixels r apart both have label 1
    path_1     L(r) / p, L(r) the probability that all pixels from one to another r apart have label 1
    path_0     the same of label 0
    surface    neighbouring pixels that differ, by what they were if pixels were strewn at random, 2 (p - p^2)

with p the volume fraction, which so does not count itself: these are conditional probabilities and a correlation, of
pixels that have the label. Means are over the image; periodic ones reach across its edges. Axes of equal length are
ordered, that with the smaller surface first, so that mirrored, turned and (periodic) translated copies are alike, and
an image with a grain is not like one without. What the score is and why: docs/likeness.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from janus_al.material import Boundary, Finite

Image = NDArray[np.integer]
Floats = NDArray[np.float64]
Curves = Mapping[str, Floats]
"""by statistic, (n, axes, lags); one lag of the surface"""
STATISTICS = ("two_point", "path_1", "path_0", "surface")
LIKE = 0.95
"""score of what is as far from the middle of a class as its own image in twenty that is farther than all others"""
BAND = (5.0, 95.0)
"""percentiles between which most of a class lie"""
NARROW = 0.01
"""half the width of a band, at least: no statistic of a few thousand pixels is known better"""
FOLDS = 5
"""parts of a class, each judged by the others: neighbouring tiles of one picture, which share pixels, in one part"""
FEW, MOST, PIXELS = 64, 1000, 2**24
"""images by which a class is known, spread evenly over it where it has more: up to 1000, or fewer where these have more
pixels, but 64"""
TOGETHER = 2**20
"""pixels looked at at once"""


def two_point(images: Image, boundary: Boundary, lags: int | None = None) -> Floats:
    """S2 of label 1 along each axis, the first first, for r = 0 ... half the shortest side: (n, axes, lags + 1).

    Args:
        images: labels, (n, *grid).
        boundary: periodic images reach across their edges.
        lags: the longest, if another.
    """
    one = np.asarray(images) == 1
    each = range(_lags(one, lags) + 1)
    return np.stack(
        [np.stack([_mean(_pairs(one, one, axis, r, boundary)) for r in each], axis=1) for axis in range(1, one.ndim)], 1
    )


def lineal_path(images: Image, boundary: Boundary, label: int = 1, lags: int | None = None) -> Floats:
    """L of a label along each axis for r = 0 ... half the shortest side: (n, axes, lags + 1); see `two_point`."""
    one, found = np.asarray(images) == label, []
    for axis in range(1, one.ndim):
        whole, row = one, [_mean(one)]
        for _ in range(_lags(one, lags)):
            # A path of r + 1 pixels is one of r whose next pixel has the label, too.
            whole = _pairs(one, whole, axis, 1, boundary)
            row.append(_mean(whole))
        found.append(np.stack(row, axis=1))
    return np.stack(found, axis=1)


def specific_surface(images: Image, boundary: Boundary) -> Floats:
    """Part of the pairs of neighbours along each axis of which one has label 1 and the other has not, (n, axes).

    Their sum is the length, or area, of the interface per area, or volume, in pixels.
    """
    one = np.asarray(images) == 1
    rims = [_pairs(one, ~one, axis, 1, boundary) for axis in range(1, one.ndim)]
    others = [_pairs(~one, one, axis, 1, boundary) for axis in range(1, one.ndim)]
    return np.stack([_mean(a) + _mean(b) for a, b in zip(rims, others, strict=True)], axis=1)


def curves(images: Image, boundary: Boundary, lags: int | None = None) -> dict[str, Floats]:
    """All statistics of images (n, *grid), as the module says; a phase that is not there has no paths."""
    images = np.asarray(images)
    p = _mean(images == 1)[:, None, None]
    strewn = p - p**2
    surface = specific_surface(images, boundary)
    found = {
        "two_point": _over(two_point(images, boundary, lags) - p**2, strewn, 1.0),
        "path_1": _over(lineal_path(images, boundary, 1, lags), p, 0.0),
        "path_0": _over(lineal_path(images, boundary, 0, lags), _mean(images == 0)[:, None, None], 0.0),
    }
    found = {name: values[..., 1:] for name, values in found.items()}
    found["surface"] = _over(surface[..., None], 2 * strewn, 0.0)
    # Where surfaces are equal, by what follows; rounded, so that sums taken in another order are the same.
    keys = (
        found["two_point"].sum(axis=2).round(9),
        surface.round(12),
        np.broadcast_to(images.shape[1:], surface.shape),
    )
    order = np.lexsort(keys, axis=1)
    return {name: np.take_along_axis(values, order[..., None], axis=1) for name, values in found.items()}


def _over(values: Floats, by: Floats, otherwise: float) -> Floats:
    return np.divide(values, by, out=np.full(values.shape, otherwise), where=by > 0)


def _lags(images: Image, lags: int | None) -> int:
    return min(images.shape[1:]) // 2 if lags is None else lags


def _mean(images: NDArray[np.bool_]) -> Floats:
    flat = images.reshape(len(images), -1)
    return np.count_nonzero(flat, axis=1) / flat.shape[1]


def _pairs(
    one: NDArray[np.bool_], others: NDArray[np.bool_], axis: int, r: int, boundary: Boundary
) -> NDArray[np.bool_]:
    """Whether a pixel and, r farther along an axis, that of the others are both true; where there are both."""
    a, b = np.moveaxis(one, axis, 1), np.moveaxis(others, axis, 1)
    if boundary == "periodic":
        return np.moveaxis(a & np.roll(b, -r, axis=1), 1, axis)
    return np.moveaxis(a[:, : b.shape[1] - r] & b[:, r:], 1, axis)


@dataclass(frozen=True)
class Likeness:
    """A class of structures: the band in which its statistics lie, and how far from its middle its images are.

    The distance of an image is how far its curves are from the middle of the bands, in halves of their widths, as the
    root mean square: of a curve over its values, then over the four statistics, which so weigh the same. Its score is

        1 - 0.05 distance / far

    Attributes:
        boundary: of the images.
        images: by how many the class is known.
        low: 5th percentile of the images' statistics, by name and axis.
        high: 95th percentile.
        far: distance within which 95 of 100 images of the class are, each by the bands of others.
    """

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012

    boundary: Boundary
    images: int
    low: dict[str, list[list[Finite]]]
    high: dict[str, list[list[Finite]]]
    far: Finite

    @classmethod
    def of(cls, images: Sequence[Image] | Image, boundary: Boundary) -> "Likeness":
        """The class that images (n, *grid) are of.

        Raises:
            ValueError: fewer than two of them.
        """
        if len(images) < 2:
            raise ValueError(f"a class of {len(images)} images: two at least say how they differ; give more")
        most = min(len(images), MOST, max(FEW, PIXELS // images[0].size))
        rows = np.linspace(0, len(images) - 1, most).round().astype(int)
        found = _together(np.stack([images[row] for row in rows]), boundary)
        part = np.arange(len(rows)) * min(FOLDS, len(rows)) // len(rows)
        distances = list[Floats]()
        for number in range(part.max() + 1):
            others = _bands({name: values[part != number] for name, values in found.items()})
            distances.append(_distances({name: values[part == number] for name, values in found.items()}, *others))
        far = float(np.percentile(np.concatenate(distances), BAND[1]))
        low, high = ({name: values.round(5).tolist() for name, values in end.items()} for end in _bands(found))
        return cls(boundary, len(rows), low, high, max(far, NARROW))

    @property
    def lags(self) -> int:
        """The longest lag that is looked at: half the shortest side of the class's images."""
        return len(self.low["two_point"][0])

    def scores(self, images: Image) -> Floats:
        """1 at most, the larger the nearer to the class, of images (n, *grid) no smaller than those of the class."""
        found = _together(np.asarray(images), self.boundary, self.lags)
        low, high = ({name: np.array(values) for name, values in end.items()} for end in (self.low, self.high))
        scores: Floats = 1 - (1 - LIKE) * _distances(found, low, high) / self.far
        return scores

    def score(self, image: Image) -> float:
        """That of one image."""
        return float(self.scores(np.asarray(image)[None])[0])

    def realistic(self, image: Image) -> bool:
        """Whether an image is as near to the class as 95 of 100 of its own."""
        return self.score(image) >= LIKE

    def whole(self, grid: Sequence[int]) -> bool:
        """Whether it has all that the score of images of a grid is made of; one read from a file may not."""
        sizes = {name: (len(grid), 1 if name == "surface" else min(grid) // 2) for name in STATISTICS}
        try:
            low, high = ({name: np.shape(values) for name, values in end.items()} for end in (self.low, self.high))
        except ValueError:
            return False
        return low == high == sizes and self.far > 0 and self.images > 1


def _together(images: Image, boundary: Boundary, lags: int | None = None) -> dict[str, Floats]:
    """`curves`, of so many images at once that they fit."""
    step = max(1, TOGETHER // images[0].size)
    parts = [curves(images[row : row + step], boundary, lags) for row in range(0, len(images), step)]
    return {name: np.concatenate([part[name] for part in parts]) for name in STATISTICS}


def _bands(found: Curves) -> tuple[dict[str, Floats], dict[str, Floats]]:
    ends = {name: np.percentile(values, BAND, axis=0) for name, values in found.items()}
    return {name: low for name, (low, _) in ends.items()}, {name: high for name, (_, high) in ends.items()}


def _distances(found: Curves, low: Curves, high: Curves) -> Floats:
    """From the middle of the bands, (n,)."""
    squares = []
    for name, values in found.items():
        middle, half = (low[name] + high[name]) / 2, np.maximum((high[name] - low[name]) / 2, NARROW)
        squares.append((((values - middle) / half) ** 2).mean(axis=(1, 2)))
    root: Floats = np.sqrt(np.mean(squares, axis=0))
    return root
