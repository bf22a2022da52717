"""What a page needs for turning volumes with the mouse: plotly.js from its installed package, and plots, all packed."""

import base64
import gzip
import hashlib
import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from loop.output.painter import AMBIENT, DIFFUSE, LIGHT, TOWARD
from loop.output.volumes import AMBER, Volume, surface

DIGITS = 1
"""of coordinates, in cells"""


def page(volumes: Mapping[str, Volume]) -> dict[str, Any]:
    """For a template: `plots`, one of each volume by its key, the `library` they need, the `script`, the `policy`.

    Plots and library are gzip in base64, unpacked when the first volume is turned. The policy lets this script and
    this library run, nothing else.
    """
    if not volumes:
        return {}
    library = files("plotly").joinpath("package_data", "plotly.min.js").read_text(encoding="utf-8")
    script = files("loop.output").joinpath("turntable.js").read_text(encoding="utf-8")
    return {
        "plots": {key: packed(json.dumps(plot(volume), separators=(",", ":"))) for key, volume in volumes.items()},
        "library": packed(library),
        "script": script,
        "policy": " ".join(f"'sha256-{_digest(text)}'" for text in (script, library)),
    }


def plot(volume: Volume) -> dict[str, Any]:
    """What plotly.js draws: the phase's surface as in the rendered picture, from the same side in the same light."""
    vertices, triangles = surface(volume)
    mesh = {
        "type": "mesh3d",
        **dict(zip("xyz", vertices.round(DIGITS).T.tolist(), strict=True)),
        **dict(zip("ijk", triangles.T.tolist(), strict=True)),
        "color": _css(AMBER),
        "hoverinfo": "skip",
        "lighting": {"ambient": AMBIENT, "diffuse": DIFFUSE, "specular": 0.05, "roughness": 0.9, "fresnel": 0},
        "lightposition": dict(zip("xyz", (1e5 * LIGHT).tolist(), strict=True)),
    }
    axes = {
        f"{axis}axis": {
            "title": {"text": words, "font": {"size": 12, "color": _css(colour)}},
            "range": [0, int(side)],
            "tickvals": [0, int(side)],
            "ticktext": [int(side), 0] if axis == "y" else [0, int(side)],
            "showbackground": False,
            "showgrid": False,
            "zeroline": False,
            "showspikes": False,
            "showline": True,
            "mirror": True,
            "linecolor": "#b0b8c2",
        }
        for (axis, (words, colour)), side in zip(volume.titles.items(), volume.sides, strict=True)
    }
    # In perspective: plotly.js 4 leaves a mesh unlit where a light has a place and the projection is orthographic.
    camera = {"eye": dict(zip("xyz", (2.7 * TOWARD).tolist(), strict=True))}
    scene = {**axes, "aspectmode": "data", "camera": camera}
    return {"data": [mesh], "layout": {"scene": scene, "margin": dict.fromkeys("lrtb", 0), "autosize": True}}


def packed(text: str) -> str:
    """Gzip in base64, the same of the same."""
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _css(colour: tuple[int, int, int]) -> str:
    return f"rgb{colour}"
