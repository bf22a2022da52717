"""Pictures and arrays of the user: what is read, and what every refusal says."""

import io
import pickle
import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from simulators import ImageError, read_image, write_png
from simulators.structures.images import read_labelled

LABELS = np.random.default_rng(5).integers(0, 2, (6, 9)).astype(np.uint8)


@pytest.mark.parametrize("phases", [2, 3])
def test_png_round_trip(tmp_path, phases):
    """The labels written are the labels read, each `scale` pixels large, row 0 on top."""
    labels = np.random.default_rng(phases).integers(0, phases, (5, 8)).astype(np.uint8)
    for scale in (1, 4):
        write_png(tmp_path / "image.png", labels, scale)
        read = read_image(tmp_path / "image.png", phases)
        assert read.dtype == np.uint8
        np.testing.assert_array_equal(read, labels.repeat(scale, axis=0).repeat(scale, axis=1))


def test_png_is_what_people_see(tmp_path):
    """Label 0 is black, the highest label white, row 0 on top."""
    write_png(tmp_path / "image.png", np.array([[0, 1], [2, 2]]), scale=1)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "image.png")), [[0, 127], [255, 255]])


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, ">i4"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_holds_the_labels(tmp_path, dtype, order):
    """Integers and booleans of any size and order come back as they are."""
    np.save(tmp_path / "image.npy", np.asarray(LABELS, dtype=dtype, order=order))
    read = read_image(tmp_path / "image.npy", 2)
    assert type(read) is np.ndarray
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, LABELS)


def big_endian_tiff(array):
    """A 16-bit TIFF in the byte order of old Macintoshes, which microscopes still write."""
    height, width = array.shape
    fields = {256: width, 257: height, 258: 16, 259: 1, 262: 1, 273: 8, 277: 1, 278: height, 279: array.size * 2}
    entries = b"".join(struct.pack(">HHII", tag, 4, 1, value) for tag, value in fields.items())
    pixels = array.astype(">u2").tobytes()
    return b"MM\0*" + struct.pack(">I", 8 + len(pixels)) + pixels + struct.pack(">H", 9) + entries + bytes(4)


def picture(array, kind):
    grey = np.asarray(array)
    if kind == "big-endian 16-bit tif":
        return big_endian_tiff(grey.astype(np.uint16) * 257)
    image = {
        "8-bit png": lambda: Image.fromarray(grey),
        "palette png": lambda: Image.fromarray(grey).convert("P"),
        "colour png": lambda: Image.fromarray(grey).convert("RGBA"),
        "16-bit png": lambda: Image.fromarray(grey.astype(np.uint16) * 257),
        "tif": lambda: Image.fromarray(grey),
        "bmp": lambda: Image.fromarray(grey),
        "float tif": lambda: Image.fromarray(grey.astype(np.float32) / 255),
    }[kind]()
    file = io.BytesIO()
    image.save(file, {"png": "PNG", "tif": "TIFF", "bmp": "BMP"}[kind[-3:]])
    return file.getvalue()


@pytest.mark.parametrize(
    "kind",
    ["8-bit png", "palette png", "colour png", "16-bit png", "tif", "float tif", "big-endian 16-bit tif"],
)
def test_grey_levels_become_labels(tmp_path, kind):
    """Three grey levels are labels 0, 1 and 2 from dark to bright, however the file stores them."""
    path = tmp_path / f"image.{kind[-3:]}"
    path.write_bytes(picture(np.array([[0, 200, 255], [200, 0, 0]], dtype=np.uint8), kind))
    np.testing.assert_array_equal(read_image(path, 3), [[0, 1, 2], [1, 0, 0]])


@pytest.mark.parametrize("levels", [(0, 0), (0, 2)], ids=str)
def test_fewer_levels_that_are_labels(tmp_path, levels):
    """A picture of label values may lack some labels."""
    labels = np.asarray(levels, dtype=np.uint8)[LABELS]
    Image.fromarray(labels).save(tmp_path / "image.png")
    np.testing.assert_array_equal(read_image(tmp_path / "image.png", 3), labels)


def npy(array, **options):
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def npz(array):
    file = io.BytesIO()
    np.savez(file, array)
    return file.getvalue()


def npy_header(shape):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return file.getvalue()


def png_header(side):
    """A PNG that claims to be larger than what it holds."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    size = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


class Trap:
    """Unpickling this writes on the screen that it has been unpickled."""

    def __reduce__(self):
        return (print, ("unpickled",))


BLACK_TO_WHITE = np.array([[0, 128], [255, 0]], dtype=np.uint8)
GOOD_PNG = picture(np.kron(LABELS, np.full((9, 9), 255, dtype=np.uint8)), "8-bit png")
BAD_FILES = {
    "missing": ("a.npy", None, ["no such file"]),
    "three grey levels": (
        "a.png",
        picture(BLACK_TO_WHITE, "8-bit png"),
        ["3 grey levels but 2 phase conductivities", "threshold the picture to 2 levels"],
    ),
    "three levels, big-endian": (
        "a.tif",
        big_endian_tiff(np.array([[0, 30000], [65535, 0]])),
        ["3 grey levels but 2 phase conductivities"],
    ),
    "one level, not a label": ("a.png", picture(np.full((4, 4), 255, np.uint8), "8-bit png"), ["1 grey levels but 2"]),
    "label without conductivity": (
        "a.npy",
        npy(np.array([[0, 1], [2, 0]])),
        ["labels 0..2 but 2 phase conductivities", "label i needs entry i"],
    ),
    "negative label": ("a.npy", npy(np.array([[0, -1], [1, 0]])), ["labels -1..1"]),
    "grey values": ("a.npy", npy(LABELS.astype(float)), ["values of float64", "integers", "threshold or round"]),
    "text": ("a.npy", npy(LABELS.astype(str)), ["values of <U"]),
    "pickled in npy": ("a.npy", npy(np.array([[Trap()] * 2] * 2), allow_pickle=True), ["not a readable .npy", "save"]),
    "pickle": ("a.npy", pickle.dumps(Trap()), ["not a readable .npy array"]),
    "archive of arrays": ("a.npy", npz(LABELS), ["not a readable .npy array"]),
    "truncated npy": ("a.npy", npy(LABELS)[:-5], ["not a readable .npy array"]),
    "damaged npy header": ("a.npy", npy(LABELS).replace(b"{'descr'", b"{('escr'"), ["not a readable .npy array"]),
    "empty npy": ("a.npy", b"", ["not a readable .npy array"]),
    "truncated png": ("a.png", GOOD_PNG[: len(GOOD_PNG) // 2], ["not a readable picture"]),
    "chunk length wrong": ("a.png", GOOD_PNG[:33] + b"\0\0\0\x0a" + GOOD_PNG[37:], ["not a readable picture"]),
    "no png": ("a.png", b"hello", ["not a readable picture"]),
    "bmp under another name": ("a.png", picture(LABELS * 255, "bmp"), ["not a readable picture"]),
    "unknown suffix": ("a.jpg", b"\xff\xd8", ["cannot read '.jpg' files", "give .npy, .png or .tif"]),
    "no suffix": ("a", b"", ["cannot read '' files"]),
    "a line": ("a.npy", npy(np.zeros(9, int)), ["shape (9,)", "axes of 2 to 4096"]),
    "four axes": ("a.npy", npy(np.zeros((2, 2, 9, 9), int)), ["shape (2, 2, 9, 9)"]),
    "vast stack": ("a.npy", npy(np.zeros((260, 260, 260), np.uint8)), ["16777216 cells at most"]),
    "one row": ("a.npy", npy(np.zeros((1, 9), int)), ["shape (1, 9)"]),
    "large npy": ("a.npy", npy(np.zeros((2, 4097), np.uint8)), ["shape (2, 4097)", "2 to 4096 cells"]),
    "vast npy header": ("a.npy", npy_header((10**7, 10**7)), ["not a readable .npy array"]),
    "large png": ("a.png", png_header(4097), ["4097 x 4097 pixels", "4096 a side at most"]),
    "vast png": ("a.png", png_header(10_000), ["100000000 pixels"]),
    "vaster png": ("a.png", png_header(20_000), ["400000000 pixels"]),
}


@pytest.mark.parametrize(("name", "content", "words"), BAD_FILES.values(), ids=BAD_FILES.keys())
def test_bad_file(tmp_path, capfd, name, content, words):
    """One sentence that begins with the file and says what is wrong; no pickle is ever opened."""
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ImageError) as error:
        read_image(path, 2)
    message = str(error.value)
    assert message.startswith(f"{path}: ")
    for word in words:
        assert word in message
    assert "unpickled" not in capfd.readouterr().out


def test_folder(tmp_path):
    """A folder is no file."""
    (tmp_path / "a.npy").mkdir()
    with pytest.raises(ImageError, match="a folder; name its files"):
        read_image(tmp_path / "a.npy", 2)


@pytest.mark.parametrize("suffix", [".npy", ".tif"])
def test_stacks(tmp_path, suffix):
    """A 3-D array and a TIFF of several layers are volumes, layer after layer."""
    from PIL import Image

    volume = np.random.default_rng(0).integers(0, 2, (3, 5, 4)).astype(np.uint8)
    path = tmp_path / f"stack{suffix}"
    if suffix == ".npy":
        np.save(path, volume)
    else:
        layers = [Image.fromarray(layer * 200) for layer in volume]
        layers[0].save(path, save_all=True, append_images=layers[1:])
    assert np.array_equal(read_image(path, 2), volume)


# --- a label is what the file stores


def png_of(depth, kind, rows, palette=b""):
    """A PNG by the book: bits a sample, colour type, rows of packed bytes."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    width = len(rows[0]) * 8 // depth // {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[kind]
    head = struct.pack(">IIBBBBB", width, len(rows), depth, kind, 0, 0, 0)
    table = chunk(b"PLTE", palette) if palette else b""
    data = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + bytes(row) for row in rows)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + table + data + chunk(b"IEND", b"")


@pytest.mark.parametrize("dtype", ["?", "u1", "i1", ">u2", "i2", "u4", "i4", "u8", "i8", "f2", ">f4", "f8"])
@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
@pytest.mark.parametrize("options", [{}, {"bigtiff": True, "compression": "zlib"}, {"tile": (16, 16)}], ids=str)
def test_tiff_means_what_it_stores(tmp_path, dtype, photometric, options):
    """The labels written are the labels read, whatever the depth, the sign, the layout and the photometry."""
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, LABELS.astype(dtype), photometric=photometric, **options)
    read = read_labelled(path, 2)
    assert read.labels.dtype == np.uint8
    np.testing.assert_array_equal(read.labels, LABELS)
    assert read.stored == (0, 1)
    assert read.pixels == ((LABELS == 0).sum(), (LABELS == 1).sum())


def test_stored_values_become_labels_from_low_to_high(tmp_path):
    """The mapping says which value became which label, the signed, the large and the fractional alike."""
    for values in ([-5, 7], [0, 2**63 - 1], [0.25, 0.5], [3, 4]):
        tifffile.imwrite(tmp_path / "image.tif", np.asarray(values)[LABELS])
        read = read_labelled(tmp_path / "image.tif", 2)
        assert read.stored == tuple(values)
        np.testing.assert_array_equal(read.labels, LABELS)


@pytest.mark.parametrize("suffix", [".npy", ".tif", ".png"])
def test_more_labels_than_a_byte_holds(tmp_path, suffix):
    labels = np.arange(324).reshape(18, 18)
    path = tmp_path / f"image{suffix}"
    if suffix == ".npy":
        np.save(path, labels)
    elif suffix == ".tif":
        tifffile.imwrite(path, labels)
    else:
        write_png(path, labels, scale=1)
    read = read_image(path, 324)
    assert read.dtype == np.uint16
    np.testing.assert_array_equal(read, labels)


VOLUMES = {n: np.random.default_rng(n).integers(0, 2, (n, 6, 9)).astype(np.uint8) for n in (2, 3, 4, 5)}
STACKS = {
    "pages": {"photometric": "minisblack"},
    "one page, many layers": {"photometric": "minisblack", "truncate": True},
    "ImageDepth": {"photometric": "minisblack", "volumetric": True},
    "tiles in three axes": {"photometric": "minisblack", "volumetric": True, "tile": (16, 16, 16)},
    "ImageJ": {"imagej": True, "metadata": {"axes": "ZYX"}},
    "OME": {"ome": True, "metadata": {"axes": "ZYX"}, "photometric": "minisblack"},
    "compressed": {"photometric": "miniswhite", "compression": "lzw"},
}


@pytest.mark.parametrize("options", STACKS.values(), ids=STACKS.keys())
@pytest.mark.parametrize("layers", VOLUMES)
def test_tiff_stacks(tmp_path, layers, options):
    """Slice by slice, three and four of them included, however the file lays them out."""
    tifffile.imwrite(tmp_path / "stack.tif", VOLUMES[layers], **options)
    np.testing.assert_array_equal(read_image(tmp_path / "stack.tif", 2), VOLUMES[layers])


def test_tiff_written_slice_by_slice(tmp_path):
    with tifffile.TiffWriter(tmp_path / "stack.tif") as writer:
        for layer in VOLUMES[3]:
            writer.write(layer)
    np.testing.assert_array_equal(read_image(tmp_path / "stack.tif", 2), VOLUMES[3])


INDEXED = {
    "eight bits": png_of(8, 3, LABELS.tolist(), bytes([200, 200, 200, 10, 10, 10])),
    "one bit": png_of(1, 3, np.packbits(VOLUMES[2][0][:, :8], axis=1).tolist(), b"\xff\xff\xff\0\0\0"),
}


def test_indexed_pictures_give_their_indices(tmp_path):
    """A palette in which label 0 is the brighter changes nothing, in PNG and TIFF."""
    (tmp_path / "a.png").write_bytes(INDEXED["eight bits"])
    (tmp_path / "b.png").write_bytes(INDEXED["one bit"])
    colours = np.zeros((3, 256), np.uint16)
    colours[:, 0] = 65535
    tifffile.imwrite(tmp_path / "c.tif", LABELS, photometric="palette", colormap=colours)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png", 2), LABELS)
    np.testing.assert_array_equal(read_image(tmp_path / "b.png", 2), VOLUMES[2][0][:, :8])
    np.testing.assert_array_equal(read_image(tmp_path / "c.tif", 2), LABELS)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_pngs_of_few_bits(tmp_path, depth):
    """Labels 0 and 1 of three, which Pillow would spread over 0..255."""
    labels = LABELS[:, :8].astype(np.uint8)
    bits = np.unpackbits(labels[..., None], axis=-1)[..., -depth:].reshape(len(labels), -1)
    (tmp_path / "a.png").write_bytes(png_of(depth, 0, np.packbits(bits, axis=1).tolist()))
    read = read_labelled(tmp_path / "a.png", 3)
    np.testing.assert_array_equal(read.labels, labels)
    assert read.pixels[2] == 0


@pytest.mark.parametrize(("kind", "channels"), [(2, (1, 1, 1)), (4, (1, 0)), (6, (1, 1, 1, 0)), (6, (0, 0, 0, 1))])
def test_pngs_of_sixteen_bits_and_channels(tmp_path, kind, channels):
    """Grey as colour, and alpha alone, to the last bit of sixteen."""
    pixels = (LABELS[..., None] * np.array(channels)).astype(">u2")
    (tmp_path / "a.png").write_bytes(png_of(16, kind, [row.tobytes() for row in pixels]))
    read = read_labelled(tmp_path / "a.png", 2)
    np.testing.assert_array_equal(read.labels, LABELS)
    assert read.stored == (0, 1)


def rgba(colours, alpha):
    return np.dstack([np.asarray(colours, np.uint8)[LABELS], np.asarray(alpha, np.uint8)[LABELS]])


COLOURS = {
    "mask in alpha": (rgba([[0, 0, 0]] * 2, [0, 255]), (0, 255)),
    "opaque grey": (rgba([[9, 9, 9], [50, 50, 50]], [255, 255]), (9, 50)),
    "transparent grey": (rgba([[9, 9, 9], [50, 50, 50]], [0, 0]), (9, 50)),
    "red on black": (rgba([[0, 0, 0], [255, 0, 0]], [255, 255]), ((0, 0, 0), (255, 0, 0))),
}


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize(("pixels", "stored"), COLOURS.values(), ids=COLOURS.keys())
def test_colour_pictures(tmp_path, pixels, stored, suffix):
    """Colours that one order of brightness sorts, whatever the channel; alpha where it alone varies."""
    path = tmp_path / f"a{suffix}"
    if suffix == ".tif":
        tifffile.imwrite(path, pixels, photometric="rgb", extrasamples=["unassalpha"])
    else:
        Image.fromarray(pixels).save(path)
    read = read_labelled(path, 2)
    np.testing.assert_array_equal(read.labels, LABELS)
    assert read.stored == stored


def tif(array, **options):
    file = io.BytesIO()
    tifffile.imwrite(file, array, **options)
    return file.getvalue()


def tifs(*arrays):
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        for array in arrays:
            writer.write(array)
    return file.getvalue()


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def animation():
    file = io.BytesIO()
    frames = [Image.fromarray(layer * 255) for layer in VOLUMES[3]]
    frames[0].save(file, "PNG", save_all=True, append_images=frames[1:])
    return file.getvalue()


def turned(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    Image.fromarray(LABELS).save(file, "PNG", exif=exif)
    return file.getvalue()


def without_a_strip():
    """A TIFF whose second strip is said to have no bytes, which tifffile fills with zeros."""
    data = tif(LABELS, rowsperstrip=3, compression="zlib", metadata=None)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        counts = file.pages[0].tags["StripByteCounts"]
        size = counts.valuebytecount // counts.count
    at = counts.valueoffset + size
    return data[:at] + bytes(size) + data[at + size :]


def cut_between_pages():
    """A stack whose second page leads nowhere."""
    data = tif(VOLUMES[3], photometric="minisblack", metadata=None)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        offset = file.pages[1].offset
    entries = struct.unpack("<H", data[offset : offset + 2])[0]
    at = offset + 2 + 12 * entries
    return data[:at] + struct.pack("<I", len(data) + 50) + data[at + 4 :]


def pages_in_a_ring(count=200):
    """A TIFF whose last page leads to its first."""
    fields = {256: 2, 257: 2, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: 2, 279: 4}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in fields.items())
    size = 2 + len(entries) + 4
    follow = [12 + size * (i + 1) for i in range(count - 1)] + [12 + size * 4]
    pages = [struct.pack("<H", len(fields)) + entries + struct.pack("<I", offset) for offset in follow]
    return b"II*\0" + struct.pack("<I", 12) + b"\0\1\1\0" + b"".join(pages)


NAN = np.where(LABELS == 1, np.nan, 0.5)
REFUSED = {
    "nan": ("a.tif", tif(NAN), [f"{(LABELS == 1).sum()} values are not finite"]),
    "infinity": ("a.tif", tif(np.where(LABELS == 1, np.inf, 0).astype("f4")), ["values are not finite"]),
    "complex": ("a.tif", tif(LABELS.astype("c8")), ["values of complex64"]),
    "planes": ("a.tif", tif(VOLUMES[3], photometric="rgb", planarconfig="separate"), ["3 planes", "minisblack"]),
    "four planes": ("a.tif", tif(VOLUMES[4], photometric="rgb", planarconfig="separate"), ["4 planes"]),
    "channels": ("a.tif", tif(VOLUMES[2], imagej=True, metadata={"axes": "CYX"}), ["axes CYX", "one channel"]),
    "time": ("a.tif", tif(VOLUMES[2], imagej=True, metadata={"axes": "TYX"}), ["axes TYX"]),
    "samples on the first axis": (
        "a.tif",
        tif(np.sort(VOLUMES[2], axis=1)[..., :1].repeat(9, 2), photometric="minisblack", metadata={"axes": "SYX"}),
        ["axes SYX (2, 6, 9)"],
    ),
    "hyperstack": ("a.tif", tif(np.stack([VOLUMES[3]] * 2), imagej=True), ["axes ZCYX (2, 3, 6, 9)"]),
    "several sizes": ("a.tif", tifs(LABELS, LABELS[:4]), ["2 pictures, of shapes (6, 9), (4, 9)"]),
    "several depths": ("a.tif", tifs(LABELS, LABELS.astype("u2")), ["2 pictures"]),
    "large tif": ("a.tif", tif(np.zeros((2, 4097), bool)), ["shape (2, 4097)", "2 to 4096 cells"]),
    "many layers": ("a.tif", tif(np.zeros((260, 260, 260), bool), compression="zlib"), ["16777216 cells at most"]),
    "jpeg": ("a.tif", tif(np.kron(LABELS * 255, np.ones((16, 16), "u1")), compression="jpeg"), ["JPEG", "LZW"]),
    "two samples": ("a.tif", tif(np.dstack([LABELS] * 3), photometric="minisblack", planarconfig="contig"), ["3 samp"]),
    "bottom up": ("a.tif", tif(LABELS, extratags=[(274, "H", 1, 4, True)]), ["orientation 4", "save it upright"]),
    "on its side": ("a.png", turned(6), ["orientation 6", "save it upright"]),
    "strip missing": ("a.tif", without_a_strip(), ["1 of 2 strips are there"]),
    "pages missing": ("a.tif", cut_between_pages(), ["not a readable picture", "export it anew"]),
    "truncated tif": ("a.tif", tif(LABELS)[:-9], ["not a readable picture"]),
    "pages in a ring": ("a.tif", pages_in_a_ring(), ["more than 4096 pages"]),
    "animation": ("a.png", animation(), ["an animation"]),
    "colours without order": ("a.png", png(rgba([[255, 0, 0], [0, 0, 255]], [255, 255])), ["2 colours", "indexed"]),
    "colour and alpha": ("a.png", png(rgba([[0, 0, 0], [255, 255, 255]], [0, 255])), ["colours and its transparency"]),
    "colour array": ("a.npy", npy(np.dstack([LABELS] * 3)), ["shape (6, 9, 3) may be a colour picture", ".tif with"]),
    "colour and alpha array": ("a.npy", npy(np.dstack([LABELS] * 4)), ["shape (6, 9, 4) may be a colour"]),
}


@pytest.mark.parametrize(("name", "content", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_ambiguous_or_damaged(tmp_path, capfd, name, content, words):
    """Refused in one line, with not a word by a library."""
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ImageError) as error:
        read_image(path, 2)
    message = str(error.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    for word in words:
        assert word in message
    assert capfd.readouterr() == ("", "")


def test_a_volume_narrow_along_x_is_read_from_pages(tmp_path):
    """The way that the refusal of (ny, nx, 3) names."""
    volume = np.moveaxis(VOLUMES[3], 0, -1)
    tifffile.imwrite(tmp_path / "a.tif", volume, photometric="minisblack")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif", 2), volume)
    np.save(tmp_path / "cube.npy", VOLUMES[3][:, :3, :3])
    np.testing.assert_array_equal(read_image(tmp_path / "cube.npy", 2), VOLUMES[3][:, :3, :3])


SOUND = {
    "npy": npy(LABELS),
    "png": png(rgba([[0, 0, 0], [255, 0, 0]], [255, 255])),
    "indexed.png": INDEXED["eight bits"],
    "tif": tif(LABELS, rowsperstrip=2, compression="lzw"),
    "stack.tif": tif(VOLUMES[3], photometric="minisblack"),
    "imagej.tif": tif(VOLUMES[3], imagej=True, metadata={"axes": "ZYX"}),
    "ome.tif": tif(VOLUMES[3], ome=True, metadata={"axes": "ZYX"}, photometric="minisblack"),
}


def damaged(data, random):
    """Some bits flipped, some words overwritten, some ends cut off."""
    data = bytearray(data)
    for _ in range(random.integers(1, 5)):
        at = int(random.integers(len(data) if random.random() < 0.5 else min(len(data), 200)))
        data[at] ^= 1 << int(random.integers(8))
        if random.random() < 0.3:
            data[at : at + 4] = random.bytes(len(data[at : at + 4]))
    return data[: int(random.integers(len(data)))] if random.random() < 0.2 else data


@pytest.mark.parametrize("kind", SOUND)
def test_damaged_at_random(tmp_path, kind):
    """Read, or refused in one line."""
    random = np.random.default_rng(len(kind))
    path = tmp_path / f"a.{kind}"
    refusals = []
    for _ in range(100):
        path.write_bytes(damaged(SOUND[kind], random))
        try:
            assert read_image(path, 2).max() < 2
        except ImageError as error:
            refusals.append(str(error))
    assert len(refusals) > 60
    assert not [r for r in refusals if "\n" in r or not r.startswith(f"{path}: ")]
