"""Where heat goes in a design: isotherms and lines of flux, a picture for each axis."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulators.solvers.flow import HeatFlow

ISOTHERMS, TUBES = 9, 12
"""isotherms, and tubes of flux in a plane, each of which carries the same heat"""
LINES, PAPER, WARMTH = "#4d4d4d", ("#c9d1da", "#ffffff"), ("#2166ac", "#7b3294", "#b2182b")
SIDE, BAR = 4.2, 0.95
"""inches of an axis' picture, and of the temperatures' scale beside them"""
STYLE: Any = {"font.size": 10, "axes.spines.top": True, "axes.spines.right": True}
"""whatever another figure left"""
GAP = 1e-6
"""relative difference from the value of a design above which a flow is not that of its confirming solve"""


def agree(flows: Sequence[HeatFlow], properties: Mapping[str, float]) -> bool:
    """Whether these are the flows of the solve that a design's properties are from."""
    plain = {f"k{f.axis}{f.axis}_fv": f.conductivity for f in flows}
    return all(abs(value / properties[name] - 1) <= GAP for name, value in plain.items() if name in properties)


def heat_picture(labels: NDArray[np.integer], flows: Sequence[HeatFlow]) -> bytes:
    """PNG. Of a plane, lines of equal stream function: between two neighbours flows the same heat.

    Of a volume the middle slice that holds the driven axis, and what flows within it.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    with mpl.rc_context(STYLE):
        return _figure(labels, flows)


def _figure(labels: NDArray[np.integer], flows: Sequence[HeatFlow]) -> bytes:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LinearSegmentedColormap, Normalize
    from matplotlib.figure import Figure

    wide = SIDE * len(flows) + BAR
    figure = Figure(figsize=(wide, SIDE))
    axes = figure.subplots(1, len(flows), squeeze=False)[0]
    figure.subplots_adjust(0.5 / wide, 0.45 / SIDE, 1 - BAR / wide, 1 - 0.3 / SIDE, wspace=0.16)
    paper, warmth = (LinearSegmentedColormap.from_list("", colours) for colours in (PAPER, WARMTH))
    for axis, flow in zip(axes, flows, strict=True):
        draw = _plane if labels.ndim == 2 else _slice
        plane, temperature, up = draw(axis, labels, flow)
        high, across = plane.shape
        ends = (high, 0) if up == "y" else (0, high)  # y runs down, z up
        axis.pcolormesh(plane > 0, cmap=paper, vmin=0, vmax=1, zorder=0)
        axis.set(xlim=(0, across), ylim=ends, xticks=[0, across], yticks=[0, high], aspect="equal", ylabel=up)
        axis.set_title(f"heat along {flow.axis}: k{flow.axis}{flow.axis}", fontsize=10)
        levels = np.linspace(0, 1, ISOTHERMS + 2)[1:-1]
        axis.contour(*_middles(plane), temperature, levels, cmap=warmth, vmin=0, vmax=1, linewidths=1.3)
    bar = figure.add_axes((1 - (BAR - 0.2) / wide, 0.45 / SIDE, 0.13 / wide, 1 - 0.75 / SIDE))
    figure.colorbar(ScalarMappable(Normalize(0, 1), warmth), cax=bar, label="temperature, in parts of its drop")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90, metadata={"Software": None})
    return buffer.getvalue()


Drawn = tuple[NDArray[np.integer], NDArray[np.floating], str]
"""labels and temperatures of what is shown, and the axis that runs down or up"""


def _plane(axis: Any, labels: NDArray[np.integer], flow: HeatFlow) -> Drawn:
    stream = flow.stream
    places = (np.arange(n) for n in stream.shape[::-1])
    levels = np.linspace(stream.min(), stream.max(), TUBES + 1)[1:-1]
    axis.contour(*places, stream, levels, colors=LINES, linewidths=0.8, linestyles="solid")
    axis.set(xlabel="x")
    return labels, flow.temperature, "y"


def _slice(axis: Any, labels: NDArray[np.integer], flow: HeatFlow) -> Drawn:
    """Across y of heat along x and z, across z of heat along y."""
    across, up = (0, "y") if flow.axis == "y" else (1, "z")
    middle = labels.shape[across] // 2
    plane, fluxes = labels.take(middle, across), flow.flux.take(middle, across + 1)
    axis.streamplot(
        *_middles(plane), fluxes[2], fluxes[1 - across], density=0.8, color=LINES, linewidth=0.7, arrowsize=0.7
    )
    axis.set(xlabel=f"x, at {'zy'[across]} = {middle}")
    return plane, flow.temperature.take(middle, across), up


def _middles(plane: NDArray[np.integer]) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    high, wide = plane.shape
    return np.arange(wide) + 0.5, np.arange(high) + 0.5
