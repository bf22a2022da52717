"""Folders of slices: in which order they are a volume, and what is refused."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from simulators import ImageError
from simulators.structures.slices import read_slices

VOLUME = np.random.default_rng(7).integers(0, 2, (12, 5, 6)).astype(np.uint8)
VOLUME[3] = 0  # a slice that knows one phase only


def write(folder, volume=VOLUME, name="slice_{}.png", first=0):
    folder.mkdir(exist_ok=True)
    for number, layer in enumerate(volume, first):
        path = folder / name.format(number)
        if path.suffix == ".tif":
            tifffile.imwrite(path, layer * 200, photometric="minisblack")
        else:
            Image.fromarray(layer * 200).save(path)
    return folder


@pytest.mark.parametrize(
    ("name", "first"),
    [("slice_{}.png", 0), ("slice_{:03}.tif", 95), ("scan2 z={}um.TIF", 8), ("{}.png", 1), ("3of9_{}_8bit.png", 9)],
)
def test_slices_are_stacked_by_number(tmp_path, name, first):
    """Slice 10 comes after 9, whatever the letters say; values are ranked over all slices; hidden files are none."""
    write(tmp_path / "v", name=name, first=first)
    (tmp_path / "v" / ".DS_Store").write_bytes(b"x")
    read = read_slices(tmp_path / "v", 2)
    np.testing.assert_array_equal(read.labels, VOLUME)
    assert read.labels.dtype == np.uint8
    assert read.stored == (0, 200)
    assert read.pixels == ((VOLUME == 0).sum(), (VOLUME == 1).sum())


def test_every_other_slice_is_a_volume(tmp_path):
    """Numbers may rise in any even steps."""
    write(tmp_path / "v")
    for path in (tmp_path / "v").glob("*[13579].png"):
        path.unlink()
    np.testing.assert_array_equal(read_slices(tmp_path / "v", 2).labels, VOLUME[::2])


def palette(layer, colours):
    picture = Image.fromarray(layer).convert("P")
    picture.putpalette(colours)
    return picture


BLACK, WHITE, RED = [0, 0, 0], [255, 255, 255], [255, 0, 0]


def test_palettes(tmp_path):
    """Indices are labels where all slices mean the same by them; one may lack the colours that it does not use."""
    folder = tmp_path / "v"
    folder.mkdir()
    for number, layer in enumerate(VOLUME):
        palette(layer, BLACK + WHITE if layer.any() else BLACK).save(folder / f"{number}.png")
    np.testing.assert_array_equal(read_slices(folder, 2).labels, VOLUME)
    palette(1 - VOLUME[4], WHITE + BLACK).save(folder / "4.png")
    with pytest.raises(ImageError, match=r"4\.png: another palette"):
        read_slices(folder, 2)
    palette(VOLUME[0] * 0, BLACK).save(folder / "0.png")
    palette(VOLUME[4], BLACK + RED).save(folder / "4.png")
    with pytest.raises(ImageError, match=r"4\.png: another palette"):
        read_slices(folder, 2)


def test_pages_of_several_palettes(tmp_path):
    """Nor has a .tif of several pages one index for two colours."""
    pages = [palette(layer, colours) for layer, colours in zip(VOLUME, (BLACK + WHITE, WHITE + BLACK), strict=False)]
    pages[0].save(tmp_path / "v.tif", save_all=True, append_images=pages[1:])
    from simulators import read_image

    with pytest.raises(ImageError, match=r"v\.tif: 2 palettes"):
        read_image(tmp_path / "v.tif", 2)


def grey(layer, folder, name="slice_4.png"):
    Image.fromarray(layer).save(folder / name)


HOSTILE = {
    "a text": (lambda f: (f / "notes.txt").write_text("x"), ["notes.txt: no slice", "leave in"]),
    "a folder": (lambda f: (f / "slice_99.png").mkdir(), ["slice_99.png: no slice"]),
    "a label array": (lambda f: np.save(f / "slice_12.npy", VOLUME[0]), ["slice_12.npy: no slice"]),
    "a smaller slice": (lambda f: grey(VOLUME[4, :4], f), ["slice_4.png: pixels (4, 6)", "slice_0.png has (5, 6)"]),
    "a colour slice": (lambda f: grey(np.dstack([VOLUME[4]] * 3), f), ["slice_4.png: channels 3", "has 1"]),
    "a deeper slice": (lambda f: grey(VOLUME[4].astype(np.uint16), f), ["slice_4.png: type", "uint16"]),
    "half a file": (lambda f: (f / "slice_4.png").write_bytes(b"\x89PNG\r\n\x1a\n"), ["slice_4.png: not a readable"]),
    "three levels": (lambda f: grey(VOLUME[4] * 77, f), ["3 grey levels but 2 phase conductivities"]),
    "a missing slice": (lambda f: (f / "slice_4.png").unlink(), ["slice_5.png follows slice_3.png, 2 on where others"]),
    "another series": (lambda f: grey(VOLUME[4], f, "mask_4.png"), ["mask_4.png and slice_0.png do not say"]),
    "two numbers": (lambda f: grey(VOLUME[4], f, "slice_4_2.png"), ["do not say which slice comes first"]),
    "two of a number": (lambda f: grey(VOLUME[4], f, "slice_04.png"), ["slice_4.png follows slice_04.png, 0 on"]),
    "other kind": (lambda f: tifffile.imwrite(f / "slice_12.tif", VOLUME[0]), ["slice_12.tif do not say"]),
}


@pytest.mark.parametrize(("change", "words"), HOSTILE.values(), ids=HOSTILE.keys())
def test_folders_that_are_refused(tmp_path, change, words):
    """In a sentence that names the folder or the file."""
    change(write(tmp_path / "v"))
    with pytest.raises(ImageError) as error:
        read_slices(tmp_path / "v", 2)
    for word in words:
        assert word in str(error.value)


def test_stacks_and_turned_looks_among_slices(tmp_path):
    """A slice that is a stack, and one whose 0 is white among such whose 0 is black."""
    folder = write(tmp_path / "v", name="{}.tif")
    tifffile.imwrite(folder / "4.tif", VOLUME * 200, photometric="minisblack")
    with pytest.raises(ImageError, match=r"4\.tif: a stack of its own, \(12, 5, 6\)"):
        read_slices(folder, 2)
    tifffile.imwrite(folder / "4.tif", VOLUME[4] * 200, photometric="miniswhite")
    with pytest.raises(ImageError, match=r"4\.tif: type .*MINISWHITE.*MINISBLACK"):
        read_slices(folder, 2)


@pytest.mark.parametrize("names", [("1_1", "1_2", "2_3"), ("top", "bottom"), ("s1", "s01")], ids=str)
def test_names_without_an_order(tmp_path, names):
    """Two numbers that vary, or none."""
    (tmp_path / "v").mkdir()
    for name, layer in zip(names, VOLUME, strict=False):
        grey(layer, tmp_path / "v", f"{name}.png")
    with pytest.raises(ImageError, match="do not say which slice comes first; let all be alike but for one number"):
        read_slices(tmp_path / "v", 2)


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_slices(tmp_path, count):
    """A volume has two."""
    with pytest.raises(ImageError, match=f"{count or 'no'} slice; a volume has two or more"):
        read_slices(write(tmp_path / "v", VOLUME[:count]), 2)


def test_more_cells_than_are_read(tmp_path, monkeypatch):
    """Refused by what the first slice and their number promise, before the others are read."""
    write(tmp_path / "v")
    (tmp_path / "v" / "slice_7.png").write_bytes(b"")
    monkeypatch.setattr("simulators.structures.rasters.MAX_CELLS", 12 * 5 * 6 - 1)
    with pytest.raises(ImageError, match=r"shape \(12, 5, 6\); need .* 359 cells at most"):
        read_slices(tmp_path / "v", 2)
