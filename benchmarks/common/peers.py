"""What others offer for the same problem, each with its own conventions, and a direct solve in each convention.

Every function takes a conductivity field (ny, nx) and returns the conductivity along x. A peer that is not
installed raises ImportError; `pip install -r benchmarks/requirements.txt` gets them.
"""

import io
import os
from contextlib import redirect_stdout

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import splu


def network(kappa, ends):
    """Resistor network solved directly, half a cell, a whole cell or no cell between the outer layers and the ends.

    ends: "half" (FiPy, ours), "ghost" (TauFactor 1.2.1: the fixed temperature sits in a cell of its own beyond
    each end, so the sample is one cell longer) or "layer" (OpenPNM, PuMA: the outer layers are at the fixed
    temperatures, so it is one shorter).
    """
    ny, nx = kappa.shape
    number = np.arange(ny * nx).reshape(ny, nx)
    pairs = [(number[:, :-1], number[:, 1:]), (number[:-1], number[1:])]
    i, j = (np.concatenate([p[side].ravel() for p in pairs]) for side in (0, 1))
    flat = kappa.ravel()
    g = 2 / (1 / flat[i] + 1 / flat[j])
    n = ny * nx
    laplacian = sp.coo_array((np.r_[g, g, -g, -g], (np.r_[i, j, i, j], np.r_[i, j, j, i])), (n, n)).tocsc()
    left, right = number[:, 0], number[:, -1]
    if ends == "layer":
        inside = number[:, 1:-1].ravel()
        t = np.zeros(n)
        t[left] = 1
        t[inside] = splu(laplacian[inside][:, inside].tocsc()).solve(-(laplacian[inside] @ t))
        return float((laplacian @ t)[left].sum() * (nx - 1) / ny)
    factor, length = (2.0, nx) if ends == "half" else (1.0, nx + 1)
    ground = np.zeros(n)
    ground[left] += factor * flat[left]
    ground[right] += factor * flat[right]
    source = np.zeros(n)
    source[left] = factor * flat[left]
    t = splu((laplacian + sp.diags_array(ground)).tocsc()).solve(source)
    return float((factor * flat[left] * (1 - t[left])).sum() * length / ny)


def naive_fipy(kappa):
    """The straightforward script: a new mesh, harmonic face values, constraints, the default solver, one direction."""
    os.environ["FIPY_SOLVERS"] = "scipy"
    import fipy

    ny, nx = kappa.shape
    mesh = fipy.Grid2D(nx=nx, ny=ny, dx=1.0, dy=1.0)
    conductivity = fipy.CellVariable(mesh=mesh, value=kappa.ravel())
    temperature = fipy.CellVariable(mesh=mesh, value=0.0)
    temperature.constrain(1.0, mesh.facesLeft)
    temperature.constrain(0.0, mesh.facesRight)
    faces = conductivity.harmonicFaceValue
    (fipy.DiffusionTerm(coeff=faces) == 0).solve(var=temperature)
    flux = -(faces * temperature.faceGrad).value[0]
    return float(flux[mesh.facesLeft.value].sum() * nx / ny)


def taufactor(kappa):
    """TauFactor's multi-phase solver at its default tolerance; flow runs along its first axis."""
    from taufactor import MultiPhaseSolver

    values, labels = np.unique(kappa, return_inverse=True)
    image = labels.reshape(kappa.shape).T[:, :, None] + 1
    with redirect_stdout(io.StringIO()):
        solver = MultiPhaseSolver(image, cond={i + 1: float(v) for i, v in enumerate(values)}, device="cpu")
        solver.solve(verbose=False)
    return float(np.squeeze(np.asarray(solver.D_eff)))


def openpnm(kappa):
    """OpenPNM's Fourier conduction on a cubic network, the outer layers at the fixed temperatures."""
    import openpnm as op

    op.Workspace().settings.loglevel = 50
    ny, nx = kappa.shape
    net = op.network.Cubic(shape=[nx, ny, 1], spacing=1.0)
    flat = kappa.T.ravel()
    phase = op.phase.Phase(network=net)
    a, b = net["throat.conns"].T
    phase["throat.thermal_conductance"] = 2 / (1 / flat[a] + 1 / flat[b])
    solver = op.algorithms.FourierConduction(network=net, phase=phase)
    x = net["pore.coords"][:, 0]
    left, right = np.flatnonzero(x == x.min()), np.flatnonzero(x == x.max())
    solver.set_value_BC(pores=left, values=1.0)
    solver.set_value_BC(pores=right, values=0.0)
    solver.run(verbose=False)
    return float(np.abs(solver.rate(pores=left)).sum() * (nx - 1) / ny)


def scikit_fem(kappa):
    """Bilinear elements, one a pixel: an upper bound."""
    import skfem
    from skfem.helpers import dot, grad

    ny, nx = kappa.shape
    mesh = skfem.MeshQuad.init_tensor(np.arange(nx + 1.0), np.arange(ny + 1.0))
    centres = mesh.p[:, mesh.t].mean(axis=1)
    values = kappa[centres[1].astype(int), centres[0].astype(int)]
    basis = skfem.Basis(mesh, skfem.ElementQuad1())

    @skfem.BilinearForm
    def stiffness(u, v, w):
        return w["kappa"] * dot(grad(u), grad(v))

    matrix = stiffness.assemble(basis, kappa=np.broadcast_to(values[:, None], (values.size, basis.X.shape[1])))
    left, right = mesh.nodes_satisfying(lambda x: x[0] == 0), mesh.nodes_satisfying(lambda x: x[0] == nx)
    t = np.zeros(basis.N)
    t[left] = 1.0
    t = skfem.solve(*skfem.condense(matrix, x=t, D=np.r_[left, right]))
    return float(t @ (matrix @ t) * nx / ny)
