"""My own simulator: a campaign that asks your physics, too.

    python examples/my_own_simulator.py [FOLDER]

A simulator is a class made with the boundary and with its constants from the TOML. It says which properties it gives,
and turns an image of labels into their values. That is all: bounds and sensitivities are welcome and not needed. An
error that it raises is a failure with a reason, which costs its simulation and ends nothing.

The TOML names it as "module:Class". Each worker process imports that module, by the search path of the process that
started it: this script adds its own folder, elsewhere set PYTHONPATH; the current directory is looked into as well.
So this file's own class is "my_own_simulator:Edges", and what it runs stands under `if __name__ == "__main__":`, since
the workers import all of it again. Whoever resumes or reads the campaign needs the module, too. An installed package
offers one under the entry point group `janus_al.simulators`; a program in any language comes in by
`command = "program --in {input} --out {output}"`.
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np

import loop
from janus_al import Property


class Edges:
    """Length of the interface between the phases: what a coating of it would cost, or a catalyst on it earn."""

    # Not on a log scale, and neither rising nor falling with the number of white pixels; see janus_al.Property.
    properties = (Property("interface", log=False),)

    def __init__(self, boundary, pixel=1.0):
        self.pixel = pixel

    def __call__(self, image):
        """The length in units of the image's side, from labels (ny, nx)."""
        if image.min() == image.max():
            raise ValueError("only one phase, so that there is no interface")
        edges = (image[1:] != image[:-1]).sum() + (image[:, 1:] != image[:, :-1]).sum()
        return {"interface": self.pixel * edges / len(image)}


# Two physics, so that an image costs two simulations; a design must meet what is asked of both. `lookup` starts from
# the nearest known samples; without that key a network learns both properties, which takes longer.
CAMPAIGN = """
name = "little interface"
microstructure = { size = 16 }
dataset.generate = { count = 60, simulated = 60 }
loop = { generator = "lookup", candidates = 4 }
execution = { workers = 2, umap = false, solver = "direct" }

[[physics]]
simulator = "conduction"
conductivity = [0.1, 1.0]

[[physics]]
simulator = "my_own_simulator:Edges"
pixel = 1.0

[[target]]
designs = 2
kxx = { value = 0.35, tolerance = 0.05 }
interface = { max = 3.0 }
"""

if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    sys.path.insert(0, str(Path(__file__).parent))  # where it is already, but with python -P or PYTHONSAFEPATH
    done = loop.run(CAMPAIGN, folder / "campaign")
    print(done, *done.designs, sep="\n")

    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3), layout="constrained")
    for axes, design in zip(figure.subplots(1, len(done.designs)), done.designs, strict=True):
        axes.imshow(design.image, cmap="gray")
        found = design.properties
        axes.set(title=f"kxx {found['kxx']:.3f}, interface {found['interface']:.2f}", xticks=[], yticks=[])
    figure.savefig(folder / "designs.png", dpi=100)
    print(f"picture: {folder / 'designs.png'}")

    # What must be so: each design meets both, has what Edges says of its image, and conduction alone has bounds.
    assert done.state == "done", done
    for design in done.designs:
        assert design.properties["interface"] == Edges("dirichlet")(np.asarray(design.image))["interface"] <= 3.0
        assert abs(design.properties["kxx"] / 0.35 - 1) <= 0.05
        assert "kxx_lower" in design.properties
        assert "interface_lower" not in design.properties
    names = ("kxx", "interface")
    print(json.dumps({n: [d.properties[n] for d in done.designs] for n in names} | {"simulations": done.simulations}))
