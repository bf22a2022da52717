"""Pictures of images, planes or volumes, and of training, as PNG."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from janus_al.files import atomic_path
from janus_al.material import Material
from loop.output import volumes
from simulators import write_png

Grid = tuple[NDArray[np.number[Any]], Sequence[str], int]
"""images (n, ny, nx) or (n, nz, ny, nx), a title for each, and how many stand in a row"""


def small(image: NDArray[np.integer], material: Material) -> bytes:
    """A plane's pixels, label 0 dark and all others bright, or a volume's rendered surface, about 160 pixels wide."""
    from PIL import Image

    if image.ndim == 3:
        return volumes.png(volumes.render(volumes.Volume.of(image, material), 240))
    scale = max(1, 160 // image.shape[1])
    grey = np.kron(np.where(image > 0, 245, 40).astype(np.uint8), np.ones((scale, scale), np.uint8))
    return volumes.png(Image.fromarray(grey))


def write(path: Path, image: NDArray[np.integer], material: Material) -> None:
    """A picture of a plane as `write_png` makes it; of a volume its rendered surface and a block cut open."""
    with atomic_path(path) as temporary:
        if image.ndim == 3:
            volumes.sheet(volumes.Volume.of(image, material)).save(temporary, "PNG", optimize=True)
        else:
            write_png(temporary, image)


def embed(data: bytes) -> str:
    """PNG as an address that a page can use in place of a file's."""
    return "data:image/png;base64," + base64.b64encode(data).decode()


def chart(figure: Any) -> str:
    """A figure, embedded and closed."""
    import matplotlib.pyplot as plt

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", bbox_inches="tight", metadata={"Software": None})
    plt.close(figure)
    return embed(buffer.getvalue())


def grid(path: Path, images: NDArray[np.number[Any]], titles: Sequence[str], columns: int) -> None:
    """Images in rows, each under its title; a title that begins with "!" is printed red without it."""
    plt = _pyplot()
    rows = -(-len(images) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(1.1 * columns, 1.3 * rows), squeeze=False)
    for axis in axes.ravel():
        axis.axis("off")
    for axis, image, title in zip(axes.ravel(), images, titles, strict=False):
        shown = image if image.ndim == 2 else volumes.render(volumes.Volume((image > 0.5).astype(np.uint8)))
        axis.imshow(shown, cmap="gray", vmin=0, vmax=1)
        axis.set_title(title.removeprefix("!"), fontsize=7, pad=2, color="red" if title.startswith("!") else "black")
    _save(figure, path)


def curves(path: Path, history: Sequence[dict[str, float]]) -> None:
    """Every loss against the training step, on a logarithmic scale."""
    plt = _pyplot()
    figure, axis = plt.subplots(figsize=(6, 4))
    steps = [row["step"] for row in history]
    for name in [n for n in (history[0] if history else {}) if n not in {"step", "loss", "validation"}]:
        axis.semilogy(steps, [row[name] for row in history], label=name)
    axis.set(xlabel="step", ylabel="loss, unweighted")
    axis.grid(alpha=0.3)
    axis.legend(frameon=False)
    _save(figure, path)


def learning(path: Path, models: Sequence[dict[str, Any]]) -> None:
    """Error on test volumes and of first shots against the number of simulations, a line for each way of training."""
    plt = _pyplot()
    figure, axes = plt.subplots(1, 2, figsize=(8, 3.4), sharey=True)
    for axis, title in zip(axes, ("error on test volumes", "first shot by simulation, median"), strict=True):
        for way in dict.fromkeys(m["way"] for m in models):
            own = [m for m in models if m["way"] == way]
            errors = [m["test_error"] if axis is axes[0] else m["first_shot"]["median"] for m in own]
            axis.loglog([m["simulations"] for m in own], [100 * e for e in errors], "o-", markersize=4, label=way)
        numbers = sorted({m["simulations"] for m in models})
        axis.set_xticks(numbers, numbers)
        axis.set_yticks([1, 2, 5, 10, 20], ["1 %", "2 %", "5 %", "10 %", "20 %"])
        axis.minorticks_off()
        axis.set(xlabel="simulations", title=title)
        axis.grid(alpha=0.3)
    axes[0].legend(frameon=False)
    _save(figure, path)


def latent(path: Path, flat: NDArray[Any], k: NDArray[np.floating]) -> None:
    """The latent plane, coloured by conductivity."""
    plt = _pyplot()
    figure, axis = plt.subplots(figsize=(5.4, 4.2))
    dots = axis.scatter(*flat.T, c=k, s=10, cmap="viridis")
    figure.colorbar(dots, label="kxx")
    axis.set(xticks=[], yticks=[])
    _save(figure, path)


def _pyplot() -> Any:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt


def _save(figure: Any, path: Path) -> None:
    import matplotlib.pyplot as plt

    figure.tight_layout(pad=0.4)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
    plt.close(figure)
