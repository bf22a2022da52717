"""Problems with known answers, and a direct solve of the same finite-volume problem written apart from the product."""

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import spsolve


def direct_conductivity(kappa):
    """k_fv along x by assembling the resistor network of the pixel grid edge by edge."""
    ny, nx = kappa.shape
    number = np.arange(ny * nx).reshape(ny, nx)
    resistance = 0.5 / kappa
    edges = [
        (number[:, :-1], number[:, 1:], 1 / (resistance[:, :-1] + resistance[:, 1:])),
        (number[:-1], number[1:], 1 / (resistance[:-1] + resistance[1:])),
    ]
    i = np.concatenate([a.ravel() for a, _, _ in edges])
    j = np.concatenate([b.ravel() for _, b, _ in edges])
    g = np.concatenate([c.ravel() for _, _, c in edges])
    n = ny * nx
    laplacian = sp.coo_matrix((g, (i, j)), (n, n))
    laplacian = laplacian + laplacian.T
    matrix = sp.diags(np.asarray(laplacian.sum(axis=1)).ravel()) - laplacian
    left, right = number[:, 0], number[:, -1]
    ground = np.zeros(n)
    ground[left] += 2 * kappa[:, 0]
    ground[right] += 2 * kappa[:, -1]
    source = np.zeros(n)
    source[left] = 2 * kappa[:, 0]
    temperature = spsolve((matrix + sp.diags(ground)).tocsc(), source)
    heat = (2 * kappa[:, 0] * (1 - temperature[left])).sum()
    return heat * nx / ny


def laminate(fraction_layers, conductivity, along, shape=(12, 18)):
    """A laminate of layers one pixel wide and its exact conductivity along x ('parallel' or 'series')."""
    ny, nx = shape
    if along == "parallel":
        image = np.repeat((np.arange(ny) % fraction_layers == 0)[:, None], nx, axis=1)
        exact = np.mean(np.asarray(conductivity)[image.astype(int)])
    else:
        image = np.repeat((np.arange(nx) % fraction_layers == 0)[None], ny, axis=0)
        exact = 1 / np.mean(1 / np.asarray(conductivity)[image.astype(int)])
    return image.astype(np.uint8), exact


def checkerboard(n_pixels, squares=2):
    """Squares of n_pixels a side in a squares x squares board; conducts sqrt(k1 k2) exactly."""
    return np.kron(np.indices((squares, squares)).sum(axis=0) % 2, np.ones((n_pixels, n_pixels), int)).astype(np.uint8)
