"""The latent space on a plane, by UMAP or principal components."""

import os
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FEW = 500
"""vectors below which UMAP, whose library takes twenty seconds to load and compile, is not worth its time"""


def plane(z: NDArray[np.floating]) -> NDArray[Any]:
    """Two coordinates for each of n latent vectors, the same for the same vectors.

    By UMAP, which keeps neighbours together; of fewer than `FEW` vectors, the first two principal components.
    """
    if len(z) < FEW and z.shape[1] > 1:
        centred = z - z.mean(axis=0)
        _, _, axes = np.linalg.svd(centred, full_matrices=False)
        return centred @ axes[:2].T
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "janus-al" / "numba"
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError:
        cache = Path(tempfile.mkdtemp(prefix="janus-al-numba-"))
    os.environ.setdefault("NUMBA_CACHE_DIR", str(cache))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from umap import UMAP

        found: NDArray[Any] = UMAP(n_neighbors=min(15, len(z) - 1), random_state=0).fit_transform(z)
    return found
