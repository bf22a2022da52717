"""Which images are the same microstructure: an image and its symmetric copies have the same properties, but for axes.

Mirrored and turned, a square has eight copies, a cube 48; under a periodic boundary each may also be translated. The
canonical hash is that of one copy, chosen the same way whichever copy is given.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfftn, rfftn

from janus_al.material import Boundary
from janus_al.properties import turned, turns
from janus_al.samples import Samples, content_hash

Image = NDArray[np.integer]
HASH_DIGITS = 12
"""of a canonical hash, where only chance could make two alike"""


class LeakageError(ValueError):
    """A test set that shares images with the training set."""


def symmetric_copies(image: Image) -> list[Image]:
    """The image under every symmetry of the pixel grid; itself first."""
    return [turned(image, turn) for turn in turns(image.ndim)]


def canonical_hash(image: Image, boundary: Boundary) -> str:
    """Content hash of the canonical one among all symmetric copies of an image (*grid)."""
    copies = symmetric_copies(image)
    if boundary == "periodic":
        copies = _translated(copies)
    return content_hash(min(copies, key=lambda copy: (copy.shape, copy.tobytes())))


def canonical_hashes(samples: Samples) -> list[str]:
    """Canonical hash of every image, in order."""
    return [canonical_hash(image, samples.boundary) for image in samples.image]


def shared(samples: Samples, others: Sequence[str]) -> list[int]:
    """Rows whose image, or a symmetric copy of it, is among the `others`, given by their canonical hashes."""
    known = {key[:HASH_DIGITS] for key in others}
    return [row for row, key in enumerate(canonical_hashes(samples)) if key[:HASH_DIGITS] in known]


def check_test(test: Samples, training: Sequence[str], name: str) -> None:
    """Refuse test images that were trained on.

    Args:
        test: the samples to test on.
        training: canonical hashes of the training images.
        name: of the test set, for the sentence.

    Raises:
        LeakageError: test and training share an image or a symmetric copy of one.
    """
    if rows := shared(test, training):
        raise LeakageError(
            f"{name}: {len(rows)} of {len(test)} test images, the first in row {rows[0]}, are training images or "
            "mirror images of them; test on images that the model has not seen"
        )


def _translated(copies: list[Image]) -> list[Image]:
    """Of all translations of all copies, those whose sum with fixed random weights is largest: nearly always one.

    Translations that a copy cannot be told from count once.
    """
    sums = [_correlation(copy, _spectrum(copy.shape)) for copy in copies]
    largest = max(int(s.max()) for s in sums)
    found, axes = [], tuple(range(copies[0].ndim))
    for copy, total in zip(copies, sums, strict=True):
        ties = total == largest
        if ties.any():
            own = _correlation(copy, np.conj(rfftn(copy.astype(float))))
            unmoved = own == own.flat[0]
        while ties.any():
            shift = np.argwhere(ties)[0]
            found.append(np.roll(copy, tuple(-shift), axis=axes))
            ties &= ~np.roll(unmoved, tuple(shift), axis=axes)
    return found


def _correlation(image: Image, spectrum: NDArray[np.complex128]) -> NDArray[np.int64]:
    """Sums over all pixels of weights, whose conjugate spectrum is given, times the image moved by minus each shift."""
    return np.rint(irfftn(rfftn(image.astype(float)) * spectrum, s=image.shape)).astype(np.int64)


@lru_cache(maxsize=8)
def _spectrum(shape: tuple[int, ...]) -> NDArray[np.complex128]:
    weights = np.random.default_rng(0).integers(1, 2**15, size=shape)
    found: NDArray[np.complex128] = np.conj(rfftn(weights.astype(float)))
    return found
