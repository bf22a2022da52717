"""My own acquisition: which of the proposals are worth a simulation?

    python examples/my_own_acquisition.py [FOLDER]

A generator proposes more than can be simulated; an acquisition says in which order proposals are taken. It is a
function (pool, count, known, rng) -> rows, the best first: `pool` has a row for each proposal (`field`, `predicted`,
`names`, `miss`), `known` what was simulated and accepted so far, `count` says how many are still wanted, and what is
random comes from `rng` alone, so that a campaign that was killed goes on as it was. Rules that hold for all (new,
possible, unlike each other) are not its own to change.

`[loop] acquisition` names a built-in one or "module:function", a module on Python's search path, to which this script
adds its own folder; elsewhere set PYTHONPATH. `[loop] generator` takes a class of yours in the same way.
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np

import loop


def thrifty(pool, count, known, rng):
    """Of proposals predicted to be about right, first those with the least of the costly, conducting phase."""
    nearest = np.argsort(pool.miss, kind="stable")
    likely = nearest[: max(count, len(nearest) // 2)]
    costly = pool.images().mean(axis=(1, 2))
    return [*likely[np.argsort(costly[likely], kind="stable")], *nearest[len(likely) :]]


# `lookup` starts from the nearest known samples and needs no network, so that all of this takes seconds.
CAMPAIGN = """
name = "thrifty"
microstructure = { size = 16, phase_conductivity = [0.1, 1.0] }
dataset.generate = { count = 240, simulated = 240 }
target = [{ name = "conductive", designs = 4, kxx = { value = 0.40, tolerance = 0.02 } }]
loop = { generator = "lookup", acquisition = "nearest", candidates = 4 }
execution = { workers = 2, umap = false, solver = "direct" }
"""

if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    sys.path.insert(0, str(Path(__file__).parent))  # where it is already, but with python -P or PYTHONSAFEPATH

    # The same campaign twice; `settings` are laid over the TOML, as --set is on the command line.
    ways = {"nearest": "nearest", "thrifty": "my_own_acquisition:thrifty"}
    done = {way: loop.run(CAMPAIGN, folder / way, [f"loop.acquisition={name}"]) for way, name in ways.items()}
    white = {way: [float(design.image.mean()) for design in done[way].designs] for way in ways}
    for way in ways:
        print(f"{way}: {done[way]}, conducting phase {np.mean(white[way]):.3f} in the mean")

    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5), layout="constrained")
    for row, way in zip(figure.subplots(2, 4), ways, strict=True):
        for axes, design in zip(row, done[way].designs, strict=False):
            axes.imshow(design.image, cmap="gray")
            axes.set(title=f"{way}: {design.image.mean():.2f} white", xticks=[], yticks=[])
    figure.savefig(folder / "designs.png", dpi=100)
    print(f"picture: {folder / 'designs.png'}")

    # What must be so: both meet the same target, and the thrifty one with less of the costly phase.
    assert all(d.target.met(d.properties) for way in ways for d in done[way].designs)
    assert [done[way].state for way in ways] == ["done", "done"]
    assert np.mean(white["thrifty"]) < np.mean(white["nearest"])
    print(json.dumps({"white": white, "simulations": {way: done[way].simulations for way in ways}}))
