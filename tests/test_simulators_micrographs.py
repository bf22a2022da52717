"""Greys of any file, the labels that thresholds make of them, and the pieces that are cut."""

from itertools import pairwise

import numpy as np
import pytest
import tifffile
from PIL import Image
from scipy.ndimage import gaussian_filter

from simulators import ImageError, PhaseField, generate
from simulators.structures.greys import read_grey
from simulators.structures.thresholds import Threshold
from simulators.structures.tiles import Cut, part

TRUTH = generate(1, 96, 4, PhaseField())[0]
RAMP = np.arange(0, 240, dtype=np.uint8).reshape(12, 20)


def micrograph(truth=TRUTH, noise=8.0, seed=0):
    """A phase field as a microscope shows it: grey, blurred, noisy."""
    grey = gaussian_filter(70.0 + 110.0 * truth, 0.7) + np.random.default_rng(seed).normal(0, noise, truth.shape)
    return grey.clip(0, 255).astype(np.uint8)


def grey_of(path, array, **options):
    """What is read of a picture that Pillow or tifffile wrote."""
    if path.suffix == ".npy":
        np.save(path, array)
    elif path.suffix == ".tif":
        tifffile.imwrite(path, array, **options)
    else:
        Image.fromarray(array).save(path, **options)
    return read_grey(path)


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.gif", "a.pgm", "a.tga", "a.tif", "a.npy", "a.jp2"])
def test_greys_of_any_format(tmp_path, name):
    options = {"irreversible": False} if name == "a.jp2" else {}
    found = grey_of(tmp_path / name, RAMP, **options)
    np.testing.assert_array_equal(found.values, RAMP)
    assert (found.highest, found.kind, found.lossy) == (255, "8 bit", "JPEG2000" if name == "a.jp2" else "")


@pytest.mark.parametrize(
    ("dtype", "highest", "kind"),
    [(np.uint16, 65535, "16 bit"), (np.int16, 0, "int16"), (np.float32, 0, "float32"), (bool, 1, "1 bit")],
)
def test_greys_of_any_depth(tmp_path, dtype, highest, kind):
    for name in ("a.tif", "a.npy"):
        found = grey_of(tmp_path / name, RAMP.astype(dtype), photometric="minisblack")
        np.testing.assert_array_equal(found.values, RAMP.astype(dtype))
        assert (found.highest, found.kind) == (highest, kind)
        if dtype is np.uint16:
            deep = grey_of(tmp_path / "a.pgm", RAMP.astype(dtype) * 257)
            np.testing.assert_array_equal(deep.values, RAMP.astype(dtype) * 257)
            assert (deep.highest, deep.kind) == (65535, "16 bit")
    assert grey_of(tmp_path / "b.npy", RAMP / np.float32(255)).highest == 1


def test_colours_count_by_luma(tmp_path):
    """As Pillow's own conversion does, at 16 bits as well; colours that are grey stay exactly what they are."""
    colours = np.random.default_rng(1).integers(0, 256, (9, 8, 3)).astype(np.uint8)
    wanted = np.asarray(Image.fromarray(colours).convert("L"), dtype=int)
    for name in ("a.png", "a.bmp", "a.tif"):
        found = grey_of(tmp_path / name, colours)
        assert abs(found.values.astype(int) - wanted).max() <= 1  # Pillow rounds in fixed point
        assert found.kind == "8 bit colour as grey"
    deep = grey_of(tmp_path / "b.tif", colours.astype(np.uint16) * 257, photometric="rgb")
    assert abs(deep.values / 257 - wanted).max() < 1
    same = grey_of(tmp_path / "c.png", np.dstack([RAMP] * 3 + [RAMP * 0 + 255]))
    np.testing.assert_array_equal(same.values, RAMP)
    assert same.kind == "8 bit"


def test_palettes_count_by_their_colours(tmp_path):
    """Index 0 may be the brightest; its number says nothing of what is seen."""
    image = Image.fromarray(RAMP // 120)
    image.putpalette([200, 200, 200, 30, 30, 30])
    for name in ("a.png", "a.gif"):
        image.save(tmp_path / name)
        np.testing.assert_array_equal(read_grey(tmp_path / name).values, np.where(RAMP < 120, 200, 30))
    table = np.zeros((3, 256), np.uint16)
    table[:, 0], table[:, 1] = 51200, 7680
    found = grey_of(tmp_path / "a.tif", RAMP // 120, photometric="palette", colormap=table)
    np.testing.assert_array_equal(found.values, np.where(RAMP < 120, 51200, 7680))
    assert found.highest == 65535


def test_white_that_is_zero_is_told(tmp_path):
    found = grey_of(tmp_path / "a.tif", RAMP, photometric="miniswhite")
    np.testing.assert_array_equal(found.values, RAMP)
    assert found.kind == "8 bit, white is zero"


def test_jpeg_is_read_and_told(tmp_path):
    found = grey_of(tmp_path / "a.jpg", micrograph(), quality=90)
    assert found.lossy == "JPEG"
    assert abs(found.values.astype(int) - micrograph()).mean() < 3
    labels = Threshold(2).of(tmp_path, found).labels
    assert (labels != TRUTH).mean() < 0.03


@pytest.mark.parametrize(
    ("name", "array", "words"),
    [
        ("a.npy", np.where(RAMP == 7, np.nan, RAMP), "1 values are not finite"),
        ("a.npy", RAMP * 1j, "1 channels of complex128"),
        ("a.npy", np.zeros((3, 40, 50), np.uint8), r"shape \(3, 40, 50\) may be a colour picture"),
        ("a.npy", np.zeros((40, 50, 3), np.uint8), r"shape \(40, 50, 3\) may be a colour picture"),
        ("a.tif", np.zeros((3, 40, 50), np.uint8), "3 planes that are the channels of one colour picture"),
        ("a.png", np.dstack([RAMP] * 3 + [RAMP]), "both its colours and its transparency vary"),
        ("a.jpg", "CMYK", "colours as CMYK; save it as a grey or RGB picture"),
        ("a.gif", "frames", "several pictures in one file"),
        ("a.jpg", b"\xff\xd8\xff", "not a readable picture"),
        ("a.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a readable picture"),
        ("a.png", None, "no such file"),
    ],
)
def test_what_is_no_grey_picture_is_refused(tmp_path, name, array, words):
    path = tmp_path / name
    if isinstance(array, bytes):
        path.write_bytes(array)
    elif array == "CMYK" if isinstance(array, str) else False:
        Image.new("CMYK", (20, 20)).save(path)
    elif isinstance(array, str):
        Image.fromarray(RAMP).save(path, save_all=True, append_images=[Image.fromarray(RAMP[::-1])])
    elif name.endswith(".tif"):
        tifffile.imwrite(path, array, photometric="rgb", planarconfig="separate")
    elif name.endswith(".npy"):
        np.save(path, array)
    elif array is not None:
        Image.fromarray(array).save(path)
    with pytest.raises(ImageError, match=words):
        read_grey(path)


def test_otsu_finds_the_phases_of_a_noisy_picture(tmp_path):
    """2 % of wrong pixels beside none in the truth, fewer filtered; --invert gives the complement."""
    grey = grey_of(tmp_path / "a.png", micrograph())
    found = Threshold.parse("otsu", 2).of(tmp_path, grey)
    assert 115 < found.thresholds[0] < 135
    assert (found.labels != TRUTH).mean() < 0.03
    noisy = grey_of(tmp_path / "b.png", micrograph(noise=40.0))
    wrong = [(Threshold.parse("otsu", 2, width).of(tmp_path, noisy).labels != TRUTH).mean() for width in (0.0, 1.0)]
    assert wrong[1] < wrong[0] / 2
    np.testing.assert_array_equal(found.inverted().labels, 1 - found.labels)
    assert found.inverted().labelled.stored == found.labelled.stored[::-1]
    assert found.inverted().fractions == found.fractions[::-1]


@pytest.mark.parametrize(
    ("words", "level"),
    [("128", 128), ("0.43", 0.43 * 255), (".5", 127.5), ("otsu", None)],
)
def test_label_1_is_brighter_than_the_threshold(tmp_path, words, level):
    found = Threshold.parse(words, 2).of(tmp_path, grey_of(tmp_path / "a.png", RAMP))
    level = found.thresholds[0] if level is None else level
    assert found.thresholds == (level,)
    np.testing.assert_array_equal(found.labels, level < RAMP)
    assert found.labelled.pixels == ((level >= RAMP).sum(), (level < RAMP).sum())


def test_several_thresholds(tmp_path):
    found = Threshold.parse("80,160", 3).of(tmp_path, grey_of(tmp_path / "a.png", RAMP))
    np.testing.assert_array_equal(found.labels, (RAMP > 80).astype(int) + (RAMP > 160))
    assert found.labelled.stored == ("<= 80", "80 to 160", "> 160")
    three = np.array([20, 120, 220], np.uint8)[np.arange(300).reshape(15, 20) % 3]
    labels = Threshold.parse("otsu", 3).of(tmp_path, grey_of(tmp_path / "b.png", three)).labels
    np.testing.assert_array_equal(labels, three // 100)


def test_a_footer_is_left_out_before(tmp_path):
    """An information bar of pure black and white would draw Otsu's threshold to its side, and be microstructure."""
    barred = np.vstack([micrograph(), np.tile([0, 255], (24, 48)).astype(np.uint8)])
    grey = grey_of(tmp_path / "a.png", barred)
    found = Threshold.parse("otsu", 2, footer=24).of(tmp_path, grey)
    np.testing.assert_array_equal(
        found.labels, Threshold(2).of(tmp_path, grey_of(tmp_path / "b.png", micrograph())).labels
    )
    with pytest.raises(ImageError, match=r"a footer of 119 leaves 1 rows"):
        Threshold(2, footer=119).of(tmp_path, grey)


@pytest.mark.parametrize(
    ("words", "phases", "refusal"),
    [
        ("250", 2, "threshold 250 leaves nothing of label 1, as its greys go from 0 to 239"),
        ("-1", 2, "threshold -1 leaves nothing of label 0"),
        ("1.5", 2, "give otsu, a stored value such as 128, or a part of the range such as 0.43"),
        ("128.0", 2, "give otsu"),
        ("0.0", 2, "give otsu"),
        ("high", 2, "threshold 'high'"),
        ("nan", 2, "threshold 'nan'"),
        ("80,160", 2, "2 of them makes 3 phases, but there are 2 conductivities"),
        ("80", 3, "1 of them makes 2 phases, but there are 3"),
        ("160,80", 3, "thresholds 160, 80; give them from low to high"),
        ("otsu", 5, "threshold otsu: for 2 to 4 phases, but there are 5 conductivities"),
        ("otsu", 1, "threshold otsu: for 2 to 4 phases, but there are 1 conductivities"),
    ],
)
def test_thresholds_that_are_refused(tmp_path, words, phases, refusal):
    with pytest.raises(ImageError, match=refusal):
        Threshold.parse(words, phases).of(tmp_path, grey_of(tmp_path / "a.png", RAMP))


def test_a_part_of_no_range_and_one_grey_are_refused(tmp_path):
    for name, array in (("a.npy", RAMP.astype(np.int32)), ("b.npy", RAMP * 1.0)):
        with pytest.raises(ImageError, match=r"threshold 0.5 is a part of a range, which (int32|float64) has none of"):
            Threshold.parse("0.5", 2).of(tmp_path, grey_of(tmp_path / name, array))
    with pytest.raises(ImageError, match=r"every pixel is 9; there is nothing"):
        Threshold.parse("otsu", 2).of(tmp_path, grey_of(tmp_path / "c.png", RAMP * 0 + np.uint8(9)))
    with pytest.raises(ImageError, match=r"threshold otsu"):
        Threshold.parse("otsu", 3).of(tmp_path, grey_of(tmp_path / "d.png", RAMP // 200))


def labelled(*shapes):
    """Checkerboards of two pixels a square, so that every tile has both phases."""
    return [(f"{n}.png", sum(np.indices(shape) // 2) % 2) for n, shape in enumerate(shapes)]


@pytest.mark.parametrize(
    ("shape", "side", "stride"), [((40, 57), (16, 16), 8), ((16, 16), (16, 16), 8), ((9, 9, 13), (8,) * 3, 4)]
)
def test_windows(shape, side, stride):
    """Every window in reach, in order, each what the picture has there; what is left over is less than a stride."""
    images = labelled(shape)
    found, lost = Cut(side, stride).pieces(images)
    wanted = [(n - s) // stride + 1 for n, s in zip(shape, side, strict=True)]
    assert (len(found), lost) == (np.prod(wanted), 0)
    assert [p.corner for p in found] == [tuple(stride * np.array(i)) for i in np.ndindex(*wanted)]
    for piece in found:
        np.testing.assert_array_equal(piece.labels, part(images[0][1], piece.corner, side))
    ends = np.max([p.corner for p in found], axis=0) + side
    assert all(0 <= n - end < stride for n, end in zip(shape, ends, strict=True))


def test_a_million_tiles_are_the_most():
    with pytest.raises(ImageError, match=r"1002001 tiles of 8 x 8: 1000000 at most; take a longer stride"):
        Cut((8, 8), 1).pieces([("a.png", np.zeros((1008, 1008), np.uint8))])


def test_random_crops():
    """As many as asked, no two alike, inside, over all pictures by their room, the same by the same seed."""
    images = labelled((40, 57), (16, 17))
    found, _ = Cut((16, 16), crops=300, seed=5).pieces(images)
    places = [(p.picture, *p.corner) for p in found]
    assert len(set(places)) == 300
    assert [p.labels.shape for p in found] == [(16, 16)] * 300
    assert places == [(p.picture, *p.corner) for p in Cut((16, 16), crops=300, seed=5).pieces(images)[0]]
    assert places != [(p.picture, *p.corner) for p in Cut((16, 16), crops=300, seed=6).pieces(images)[0]]
    every, _ = Cut((16, 16), crops=25 * 42 + 2).pieces(images)
    assert sorted({(p.picture, *p.corner) for p in every}) == [
        *((0, y, x) for y, x in np.ndindex(25, 42)),
        (1, 0, 0),
        (1, 0, 1),
    ]
    with pytest.raises(ImageError, match=r"1053 crops of 16 x 16: only 1052 lie inside"):
        Cut((16, 16), crops=1053).pieces(images)


def test_whole_pictures_of_one_size_or_cropped_around_their_middles():
    images = labelled((20, 30), (25, 24))
    with pytest.raises(ImageError, match=r"1.png: \(25, 24\) pixels but 0.png has \(20, 30\); one size .* \(--crop\)"):
        Cut().pieces(images)
    found, _ = Cut(middle=True).pieces(images)
    np.testing.assert_array_equal(found[0].labels, images[0][1][:, 3:27])
    np.testing.assert_array_equal(found[1].labels, images[1][1][2:22])
    assert [p.name for p in found] == ["0.png", "1.png"]


def test_tiles_of_one_phase_are_left_out_and_small_pictures_refused():
    image = np.zeros((32, 32), np.uint8)
    image[:9] = 1
    image[3] = 0
    found, lost = Cut((16, 16), 16).pieces([("a.png", image)])
    assert ([p.corner for p in found], lost) == ([(0, 0), (0, 16)], 2)
    assert found[1].name == "a.png from row 0, column 16"
    with pytest.raises(ImageError, match=r"a.png: no tile of 8 x 8 has two phases"):
        Cut((8, 8), 8).pieces([("a.png", image * 0)])
    with pytest.raises(ImageError, match=r"b.png: 32 x 15 pixels, smaller than a tile of 16 x 16"):
        Cut((16, 16), 8).pieces([("a.png", image), ("b.png", image[:, :15])])
    with pytest.raises(ImageError, match=r"1.png: 4 x 32 x 32 pixels, smaller than a tile of 16 x 16"):
        Cut((16, 16), 8).pieces([("a.png", image), ("1.png", np.stack([image] * 4))])


def test_smoothing_keeps_a_phase_of_its_width(tmp_path):
    """Of stripes of 8 pixels a filter of 1 leaves each edge where it is."""
    stripes = np.repeat(np.arange(64) // 8 % 2, 64).reshape(64, 64).astype(np.uint8) * 200
    found = Threshold.parse("100", 2, 1.0).of(tmp_path, grey_of(tmp_path / "a.png", stripes))
    np.testing.assert_array_equal(found.labels, stripes > 0)
    assert all(a <= b for a, b in pairwise(found.thresholds))
