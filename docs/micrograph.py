"""The picture that docs/micrographs.md begins with, made of a binary one: blurred as by an objective, and noisy.

python docs/micrograph.py alloy_256.npy examples/alloy.png
"""

import sys

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

DARK, BRIGHT, BLUR, NOISE = 70.0, 180.0, 0.8, 9.0
"""greys of label 0 and 1; widths of the blur, in pixels, and of the noise, in greys"""


def main(source: str, out: str) -> None:
    """Read 0 and 1, write 8-bit greys."""
    labels = np.load(source).astype(float)
    grey = gaussian_filter(DARK + (BRIGHT - DARK) * labels, BLUR)
    grey += np.random.default_rng(0).normal(0, NOISE, grey.shape)
    Image.fromarray(grey.clip(0, 255).astype(np.uint8)).save(out, optimize=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
