"""Homogenize a picture: what does this microstructure conduct, how sure is that, and which pixels matter?

    python examples/homogenize_a_picture.py [FOLDER]

A picture is any .png, .tif or .npy with as many levels as there are phases; its values, from low to high, become labels
0, 1 .... A homogenizer holds two opposite faces at fixed temperatures, insulates the others, and tells the conductivity
of a uniform block that lets as much heat through. Every value comes between two certified bounds and with its exact
derivative to the logarithm of each pixel's conductivity.
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import simulators

folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp())
folder.mkdir(parents=True, exist_ok=True)
PHASES = (0.1, 1.0)  # W/(m K), of label 0 and of label 1

# A picture to begin with; yours will come from a microscope. Black conducts 0.1, white 1.0.
simulators.write_png(folder / "structure.png", simulators.generate(count=1, size=64, seed=0)[0], scale=1)
labels = simulators.read_image(folder / "structure.png", phases=2)

# FiPy is the reference; DirectHomogenizer solves the same equations in a fifth of the time.
found = simulators.FipyHomogenizer()(labels, PHASES)
kxx, kyy = found.k
print(f"kxx {kxx:.4f} in {found.lower[0]:.4f} .. {found.upper[0]:.4f}, kyy {kyy:.4f}, white {labels.mean():.3f}")

# Where the interval is too wide, refine the pixels until its half-width is what you ask, here half a per cent.
sure = simulators.certify(labels, PHASES, simulators.DirectHomogenizer(), 0.005)
print(f"kxx in {sure.result.lower[0]:.4f} .. {sure.result.upper[0]:.4f} at {sure.refinement} cells a pixel's side")

# Raise the conductivity of the hundred pixels that matter most by a hundredth: the map foretells what that brings.
most = np.argsort(found.sensitivity[0], axis=None)[-100:]
gain = 0.01 * found.sensitivity[0].flat[most].sum()
print(f"the hundred most telling of {labels.size} pixels, 1 % more conductive, raise kxx by {gain:.3%}")
better = labels.astype(int)
better.flat[most] += 2  # phases of their own
again = simulators.FipyHomogenizer()(better, (*PHASES, *(1.01 * k for k in PHASES)))

# The same picture, pulled: black is soft, white is ten times as stiff (GPa).
stiff = simulators.Elasticity("dirichlet", modulus=(1.0, 10.0), poisson=0.3)(labels)
print(f"E11 {stiff.values['E11']:.3f} in {stiff.lower['E11']:.3f} .. {stiff.upper['E11']:.3f} GPa")

figure = Figure(figsize=(8, 4), layout="constrained")
left, right = figure.subplots(1, 2)
left.imshow(labels, cmap="gray")
left.set(title=f"kxx {kxx:.3f}, kyy {kyy:.3f} W/(m K)", xticks=[], yticks=[])
shown = right.imshow(found.sensitivity[0] * labels.size, cmap="magma")
right.set(title="d log kxx / d log kappa, times pixels", xticks=[], yticks=[])
figure.colorbar(shown, ax=right)
figure.savefig(folder / "structure-kxx.png", dpi=100)
print(f"picture: {folder / 'structure-kxx.png'}")

# What must be so: certified intervals are nested, all shares add to one, stripes conduct as the textbook says.
assert found.lower[0] <= sure.result.lower[0] <= sure.result.upper[0] <= found.upper[0]
assert sure.reached
np.testing.assert_allclose(found.sensitivity.sum(axis=(1, 2)), 1, rtol=1e-6)
np.testing.assert_allclose(np.log(again.k[0] / kxx), gain, rtol=0.01)
stripes = np.tile([0, 1], (16, 8))
np.testing.assert_allclose(simulators.FipyHomogenizer()(stripes, PHASES).k, [2 / 11, 0.55], rtol=1e-9)
print(json.dumps({"kxx": kxx, "kyy": kyy, "E11": stiff.values["E11"], "gain": gain}))
