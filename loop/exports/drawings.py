"""Outlines of plane designs: DXF for CAD, SVG for everything else."""

from pathlib import Path

from loop.exports.part import Part, Written
from loop.exports.surface import Floats, area, outlines
from loop.exports.voxels import within

MILLIMETRES = {"nm": 1e-6, "um": 1e-3, "mm": 1.0, "cm": 10.0, "m": 1000.0}
UNITS = {"": 0, "nm": 12, "um": 13, "mm": 4, "cm": 5, "m": 6}
"""$INSUNITS of a DXF; 0 says that there is none"""


def write_dxf(path: Path, part: Part) -> Written:
    """Closed LWPOLYLINEs, y upwards, on a layer LABEL0, LABEL1... for each label; holes run with the clock."""
    import ezdxf

    # The same of the same: no time of day, no random identity.
    ezdxf.options.write_fixed_meta_data_for_testing = True
    document = ezdxf.new("R2010", units=UNITS[part.unit])
    drawn = _outlines(part)
    for label, polygons in drawn.items():
        layer = document.layers.add(f"LABEL{label}", color=label % 7 + 1)
        for polygon in polygons:
            document.modelspace().add_lwpolyline(polygon * part.edge, close=True, dxfattribs={"layer": layer.dxf.name})
    for name in sorted(document.entitydb.dxf_types_in_use()):
        document.classes.add_class(name)  # else in the order of a set, another in each process
    document.saveas(path)
    return _written(part, drawn)


def write_svg(path: Path, part: Part) -> Written:
    """A path for each label, filled in grey from black for label 0 to white for the highest; holes stay open."""
    drawn = _outlines(part)
    ny, nx = part.image.shape
    shapes = []
    for label, polygons in drawn.items():
        grey = round(255 * label / max(int(part.image.max()), 1))
        path_data = "".join(
            "M" + "L".join(f"{x * part.edge:.9g} {(ny - y) * part.edge:.9g}" for x, y in polygon) + "Z"
            for polygon in polygons
        )
        shapes.append(f'<path id="label{label}" fill="rgb({grey},{grey},{grey})" fill-rule="evenodd" d="{path_data}"/>')
    wide, high = nx * part.edge, ny * part.edge
    scale = MILLIMETRES[part.unit]
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{wide * scale:.9g}mm" height="{high * scale:.9g}mm" '
        f'viewBox="0 0 {wide:.9g} {high:.9g}">\n' + "\n".join(shapes) + "\n</svg>\n"
    )
    return _written(part, drawn)


def _outlines(part: Part) -> dict[int, list[Floats]]:
    """Of each label that the plane has, in pixels."""
    periodic = part.boundary == "periodic"
    return {label: outlines(part.image == label, part.smooth, periodic) for label in part.present}


def _written(part: Part, drawn: dict[int, list[Floats]]) -> Written:
    mine = drawn[part.label]
    phase = within(mine, part.image.shape)
    return Written(sum(map(area, mine)) / part.image.size, part.rebuilt(phase), f"{len(mine)} outlines")
