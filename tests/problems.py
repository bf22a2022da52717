"""Problems with known answers, and a direct solve of the same finite-volume problem written apart from the product."""

import decimal
from decimal import Decimal

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


def network_conductivity(kappa):
    """The same with 40 digits, by elimination of one pixel after the other."""
    with decimal.localcontext(prec=40):
        ny, nx = kappa.shape
        exact = [Decimal(float(k)) for k in kappa.ravel()]
        couplings = [{} for _ in range(ny * nx + 2)]

        def join(i, j, g):
            couplings[i][j] = couplings[i].get(j, 0) + g
            couplings[j][i] = couplings[j].get(i, 0) + g

        hot, cold = ny * nx, ny * nx + 1
        for i in range(ny * nx):
            if i % nx + 1 < nx:
                join(i, i + 1, 2 / (1 / exact[i] + 1 / exact[i + 1]))
            if i + nx < ny * nx:
                join(i, i + nx, 2 / (1 / exact[i] + 1 / exact[i + nx]))
            if i % nx == 0:
                join(i, hot, 2 * exact[i])
            if i % nx == nx - 1:
                join(i, cold, 2 * exact[i])
        # A star becomes a mesh; nothing is ever subtracted.
        for i in range(ny * nx):
            star = couplings[i]
            total, ends = sum(star.values()), list(star)
            for j in ends:
                del couplings[j][i]
            for first, j in enumerate(ends):
                for k in ends[first + 1 :]:
                    join(j, k, star[j] * star[k] / total)
        return float(couplings[hot][cold] * nx / ny)


def periodic_tensor(kappa):
    """Finite-volume tensor of the periodic cell problem, (2, 2), edge by edge as a network with a pinned node."""
    ny, nx = kappa.shape
    number = np.arange(ny * nx).reshape(ny, nx)
    edges = []
    for axis, step in ((1, [1.0, 0.0]), (0, [0.0, 1.0])):
        ahead = np.roll(number, -1, axis)
        g = 2 / (1 / kappa + 1 / np.roll(kappa, -1, axis))
        edges += [(i, j, c, step) for i, j, c in zip(number.ravel(), ahead.ravel(), g.ravel(), strict=True)]
    matrix, source = sp.lil_matrix((ny * nx, ny * nx)), np.zeros((ny * nx, 2))
    for i, j, c, step in edges:
        for a, b, sign in ((i, j, 1), (j, i, -1)):
            matrix[a, a] += c
            matrix[a, b] -= c
            source[a] -= sign * c * np.array(step)
    matrix[0, 0] += 1.0
    t = spsolve(matrix.tocsc(), source)
    tensor = np.zeros((2, 2))
    for i, j, c, step in edges:
        drop = np.array(step) + t[i] - t[j]
        tensor += c * np.outer(drop, drop)
    return tensor / (ny * nx)


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
