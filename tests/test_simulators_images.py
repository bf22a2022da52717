"""Pictures and arrays of the user: what is read, and what every refusal says."""

import io
import pickle
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from simulators import ImageError, read_image, write_png

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
    with pytest.raises(ImageError, match="no such file"):
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
