"""The figures of the page on concepts, made with the program itself.

python docs/figures.py docs/figures
"""

import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
import matplotlib.pyplot as plt

import simulators

PHASES = (0.1, 1.0)
SEED = 5
SOLVER = simulators.DirectHomogenizer()


def loop_of(path: Path) -> None:
    """A campaign's round, as boxes and arrows."""
    steps = {
        "propose": "network or samples",
        "select": "new, possible, distinct",
        "simulate": "bounds and sensitivities",
        "refine": "flips along sensitivities",
        "confirm": "FiPy, certified interval",
        "learn": "append, retrain, compare",
    }
    figure, axes = plt.subplots(figsize=(9.5, 2.0), layout="constrained")
    for i, (word, what) in enumerate(steps.items()):
        axes.text(i, 0.12, word, ha="center", va="center", fontsize=12, weight="bold")
        axes.text(i, -0.22, what, ha="center", va="center", fontsize=7)
        axes.add_patch(plt.Rectangle((i - 0.43, -0.45), 0.86, 0.9, fill=False, edgecolor="0.4", linewidth=1.2))
        if i:
            axes.annotate("", (i - 0.44, 0), (i - 0.56, 0), arrowprops={"arrowstyle": "-|>", "color": "0.3"})
    back = {"arrowstyle": "-|>", "color": "0.3", "connectionstyle": "bar,fraction=-0.06"}
    axes.annotate("", (0, -0.5), (len(steps) - 1, -0.5), arrowprops=back)
    axes.text(2.5, -1.12, "until every target has its designs, or the budget is spent", ha="center", fontsize=8)
    axes.set(xlim=(-0.5, len(steps) - 0.5), ylim=(-1.25, 0.55))
    axes.set_axis_off()
    figure.savefig(path, dpi=130)


def sensitivity_of(path: Path) -> None:
    """An image, what each pixel is worth, and the image with its best forty dark pixels turned over."""
    labels = simulators.generate(count=1, size=32, seed=SEED)[0]
    result = SOLVER(labels, PHASES)
    worth = np.where(labels == 0, result.sensitivity[0], -np.inf)
    after = labels.copy()
    after.flat[np.argsort(worth, axis=None)[-40:]] = 1
    random = labels.copy()
    dark = np.flatnonzero(labels == 0)
    random.flat[np.random.default_rng(0).choice(dark, 40, replace=False)] = 1
    figure, axes = plt.subplots(1, 4, figsize=(9.5, 2.75), layout="constrained")
    pictures = {
        f"kxx = {result.k[0]:.3f}": labels,
        "d log kxx / d log of each pixel": result.sensitivity[0],
        f"its 40 best flipped: {SOLVER(after, PHASES).k[0]:.3f}": after,
        f"40 at random: {SOLVER(random, PHASES).k[0]:.3f}": random,
    }
    for axis, (title, image) in zip(axes, pictures.items(), strict=True):
        axis.imshow(image, **({"cmap": "gray", "vmin": -0.15, "vmax": 1.05} if image.dtype == labels.dtype else {}))
        axis.set_title(title, fontsize=9)
        axis.set(xticks=[], yticks=[])
    figure.savefig(path, dpi=130)


def bounds_of(path: Path) -> None:
    """The certified interval of one image as its pixels are cut finer."""
    labels = simulators.generate(count=1, size=32, seed=SEED)[0]
    figure, axes = plt.subplots(figsize=(5.2, 2.8), layout="constrained")
    for i in range(4):
        image = np.kron(labels, np.ones((2**i, 2**i), dtype=labels.dtype))
        found = SOLVER(image, PHASES)
        low, best, high = found.lower[0], found.k[0], found.upper[0]
        axes.plot([i, i], [low, high], color="0.3", linewidth=5, solid_capstyle="butt")
        axes.plot(i, best, "o", color="tab:orange", markersize=5)
        axes.text(i + 0.09, high, f"± {(high - low) / 2 / best:.2%}", fontsize=8, va="top")
    axes.set(xticks=range(4), xlim=(-0.4, 3.7), ylabel="kxx")
    axes.set_xticklabels([f"{32 * 2**i}²" for i in range(4)])
    axes.set_xlabel("cells of the simulation")
    figure.savefig(path, dpi=130)


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent / "figures")
    folder.mkdir(exist_ok=True)
    for make, name in ((loop_of, "loop"), (sensitivity_of, "sensitivity"), (bounds_of, "bounds")):
        make(folder / f"{name}.png")
