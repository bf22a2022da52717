"""Invert the shipped model: microstructures for a conductivity, in seconds and without training.

    python examples/invert_a_model.py [FOLDER]

The model has an encoder (image -> latent vector), a decoder (latent vector -> grey image) and a head (latent vector ->
properties). Inversion starts from random latent vectors and moves each until the head says what is wanted of its
decoded and binarised image. What the head says is a prediction; physics has the last word, so simulate what you find.
The command `janus-al invert` does both, and refines those that miss.
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import janus_al
import simulators

MODEL = "janus-64"  # shipped; or the folder of your own
folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp())
folder.mkdir(parents=True, exist_ok=True)

# The card says what the model was trained on, and in which range it knows its way.
model, card = janus_al.load(MODEL)
low, high = card.property_range["kxx"]
print(f"phases {card.phase_conductivity}, {card.simulated} simulated images, kxx mostly in {low:.2f} .. {high:.2f}")

# A goal is an interval for any of the properties; here four times the same, from four starting points.
goal = {"kxx": (0.39, 0.41), "volume_fraction": (0.0, 0.6)}
found = janus_al.invert(model, [goal] * 4, seed=0, config=janus_al.InversionConfig(steps=40))
images = (found.field > 0.5).astype(np.uint8)
predicted = found.predicted[:, found.names.index("kxx")]

# Physics: the first-shot error is how far the simulated value is from what was asked.
homogenizer = simulators.DirectHomogenizer(card.boundary)
simulated = np.array([homogenizer(image, card.phase_conductivity).k[0] for image in images])
for head, physics, image in zip(predicted, simulated, images, strict=True):
    print(f"kxx {head:.4f} by the head, {physics:.4f} by physics, {image.mean():.3f} white")
error = float(np.median(abs(simulated / 0.40 - 1)))
print(f"first-shot error, median: {error:.2%}")

np.save(folder / "images.npy", images)
figure = Figure(figsize=(10, 3), layout="constrained")
for axes, image, physics in zip(figure.subplots(1, 4), images, simulated, strict=True):
    axes.imshow(image, cmap="gray")
    axes.set(title=f"kxx {physics:.3f}", xticks=[], yticks=[])
figure.savefig(folder / "images.png", dpi=100)
print(f"picture: {folder / 'images.png'}")

assert error < 0.03
assert (images.mean(axis=(1, 2)) <= 0.62).all()
assert min(np.mean(a != b) for i, a in enumerate(images) for b in images[:i]) > 0.05  # four answers, not one
print(json.dumps({"kxx": simulated.tolist(), "predicted": predicted.tolist(), "error": error}))
