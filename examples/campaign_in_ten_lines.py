"""A campaign in ten lines: targets in, confirmed designs out.

    python examples/campaign_in_ten_lines.py [FOLDER]

A campaign makes and simulates a first dataset, trains a network on it, and then in rounds proposes candidates,
simulates them, refines those that miss, and learns from all of it, until each target has its designs or the
budget is spent. Killed at any moment, the same call goes on where it was. All keys: docs/configuration.md.

Simulations run in worker processes, which import this script again: hence `if __name__ == "__main__":`.
"""

import json
import sys
import tempfile
from pathlib import Path

import loop

CAMPAIGN = """
name = "ten lines"
microstructure = { size = 16, phase_conductivity = [0.1, 1.0] }
dataset.generate = { count = 160, simulated = 24 }
target = [{ name = "conductive", designs = 2, kxx = { value = 0.35, tolerance = 0.05 }, kyy = { max = 0.35 } }]
training = { steps = 200, batch = 32, checks = 5 }
loop = { probes = 0, retrain_steps = 50, swarm = 16 }
execution = { workers = 2, umap = false }
"""

if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    done = loop.run(CAMPAIGN, folder / "campaign")
    print(done)
    for design in done.designs:
        p = design.properties
        print(f"{design}, certified kxx {p['kxx_lower']:.4f} .. {p['kxx_upper']:.4f}, round {design.lineage['round']}")

    # That was it. The folder has a report, all samples and the designs; here is a picture of one's own.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3), layout="constrained")
    for axes, design in zip(figure.subplots(1, len(done.designs)), done.designs, strict=True):
        axes.imshow(design.image, cmap="gray")
        axes.set(title=f"{design.name}: kxx {design.properties['kxx']:.3f}", xticks=[], yticks=[])
    figure.savefig(folder / "designs.png", dpi=100)
    print(f"picture: {folder / 'designs.png'}, report: {done.folder / 'report.html'}")

    # What must be so: every design meets its target, and the folder tells the same as the campaign did.
    assert done.state == "done", done
    assert all(design.target.met(design.properties) for design in done.designs)
    assert [d.name for d in loop.designs(done.folder)] == [d.name for d in done.designs]
    assert loop.status(done.folder)["simulations"]["spent"] == done.simulations
    print(json.dumps({"kxx": [d.properties["kxx"] for d in done.designs], "simulations": done.simulations}))
