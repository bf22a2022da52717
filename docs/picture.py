"""The README's picture: the designs of a campaign with their simulated conductivity.

python docs/picture.py campaigns/quickstart docs/designs.png
"""

import json
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
import matplotlib.pyplot as plt

from loop.output import volumes

MOST = 6
"""designs in a row"""

folder, out = map(Path, sys.argv[1:3])
designs = [json.loads(path.read_text()) for path in sorted(folder.glob("designs/*/design.json"))]
targets = list(dict.fromkeys(d["target"]["name"] for d in designs))
groups = [[d for d in designs if d["target"]["name"] == target] for target in targets]
rows = [group[i : i + MOST] for group in groups for i in range(0, len(group), MOST)]
columns, lines = max(map(len, rows)), max(sum(n in d["target"] for n in ("kxx", "kyy", "kzz")) for d in designs)
size = (1.5 * columns, (1.4 + 0.26 * lines) * len(rows))
figure, axes = plt.subplots(len(rows), columns, figsize=size, squeeze=False, layout="constrained")
for row, own in zip(axes, rows, strict=True):
    for axis in row:
        axis.set_axis_off()
    for axis, design in zip(row, own, strict=False):
        image = np.load(folder / "designs" / design["name"] / "image.npy")
        shown = image if image.ndim == 2 else volumes.render(volumes.Volume(image))
        axis.imshow(shown, cmap="gray", vmin=-0.15, vmax=1.05)
        words, values = [], design["properties"] | design.get("certificate", {}).get("properties", {})
        for name in ("kxx", "kyy", "kzz"):
            if name in design["target"]:
                k, low, high = design["properties"][name], values[name + "_lower"], values[name + "_upper"]
                words.append(f"{name} {k:.4f}\n[{low:.3f}, {high:.3f}]")
        axis.set_title("\n".join(words), fontsize=7, pad=3)
figure.savefig(out, dpi=110, bbox_inches="tight")
