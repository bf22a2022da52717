"""What a volume's pictures and its part of the report cost, by the side of the cube: seconds on one core, and kB.

    python benchmarks/pictures.py [--sides 16 32 64] [--out docs/results/pictures.md] [--smoke]

Surface, block and slices are PNG; the plot is what turns in the page, packed; beside them the same surface drawn by
matplotlib's Poly3DCollection. The best of three, of a phase field. `--smoke` writes nothing.
"""

import argparse
import io
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from common.header import header

ROOT = Path(__file__).resolve().parent.parent
TIMES = 3


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", type=int, nargs="+", default=[16, 32, 64])
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results" / "pictures.md")
    parser.add_argument("--smoke", action="store_true", help="seconds instead of a minute")
    arguments = parser.parse_args()
    sides = [8] if arguments.smoke else arguments.sides
    rows = "\n".join(row(side) for side in sides)
    page = PAGE.format(header=header("pillow", "matplotlib", "scikit-image", "plotly"), rows=rows, library=library())
    print(page)
    if not arguments.smoke:
        arguments.out.write_text(page)


def row(side):
    """A cube's costs."""
    import json

    from loop.output import turntable, volumes
    from simulators import generate

    volume = volumes.Volume(generate(1, (side,) * 3, 0)[0])
    _, triangles = volumes.surface(volume)
    ways = {
        "surface": lambda: volumes.png(volumes.render(volume)),
        "block": lambda: volumes.png(volumes.block(volume)),
        "slices": lambda: volumes.slices(volume),
        "plot": lambda: turntable.packed(json.dumps(turntable.plot(volume), separators=(",", ":"))),
        "matplotlib": lambda: by_matplotlib(volume),
    }
    cells = [cost(way) for way in ways.values()]
    return f"| {side} | {len(triangles)} | " + " | ".join(cells) + " |"


def cost(way):
    """Seconds of the processor and kB in the page; a picture is base64 there, a plot already."""
    seconds = []
    for _ in range(TIMES):
        began = time.process_time()
        made = way()
        seconds.append(time.process_time() - began)
    size = len(made) if isinstance(made, str) else 4 * len(made) / 3
    return f"{min(seconds):.2f} s, {size / 1000:.0f} kB"


def by_matplotlib(volume):
    """The surface as matplotlib draws it, as large."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt
    from mpl_toolkits.mplot3d.art3d import Poly3DCollection

    from loop.output.volumes import AMBER, surface

    vertices, triangles = surface(volume)
    figure = plt.figure(figsize=(4.2, 4.2), dpi=100)
    axis = figure.add_subplot(projection="3d", proj_type="ortho")
    axis.add_collection3d(Poly3DCollection(vertices[triangles], shade=True, facecolors=np.array(AMBER) / 255))
    axis.set(**{f"{a}lim": (0, side) for a, side in zip("xyz", volume.sides, strict=True)})
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    plt.close(figure)
    return buffer.getvalue()


def library():
    """MB of a page that does not depend on its volumes."""
    from loop.output import turntable
    from loop.output.volumes import Volume

    return f"{len(turntable.page({'one': Volume(np.eye(8, dtype=int)[None].repeat(8, 0))})['library']) / 1e6:.2f}"


PAGE = """# Pictures of volumes

{header}. Made by `python benchmarks/pictures.py`.

Seconds of the processor, the best of three, and kB that it adds to a report:

| side | triangles | surface | block | slices | plot | surface by matplotlib |
|---|---|---|---|---|---|---|
{rows}

Plotly.js is in the page once, packed, {library} MB. A plot is drawn when it is clicked.
"""


if __name__ == "__main__":
    main()
