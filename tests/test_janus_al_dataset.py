"""The samples' file: nothing is lost in it, nothing damaged comes out of it, nothing half-written stays."""

import json
import os
import subprocess
import sys
import tempfile
import zlib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays, from_dtype

from janus_al import dataset
from janus_al.errors import DatasetError, LockedError
from janus_al.material import Material, Physics, conduction
from janus_al.samples import META, Samples, concatenate, content_hash, unlabelled

ARRAYS = ("image", "properties", "properties_fv", "properties_lower", "properties_upper", "sensitivity")


def some_samples(count=5, shape=(6, 7), seed=0):
    """Samples of which all but the last are simulated."""
    rng = np.random.default_rng(seed)
    ny, nx = shape
    image = rng.integers(0, 2, (count, ny, nx)).astype(np.uint8)
    samples = unlabelled(
        image,
        conduction((0.1, 1.0)),
        sensitive=("kxx", "kyy"),
        origin=b"test",
        round=np.arange(count),
        seed=rng.integers(2**62, size=count),
    )
    known = np.arange(count) < count - 1
    arrays = {name: getattr(samples, name).copy() for name in ARRAYS[1:]}
    for array in arrays.values():
        array[known] = rng.uniform(0.1, 1, array[known].shape)
    bounds = np.sort([arrays[f"properties{end}"][known] for end in ("_lower", "", "_upper")], axis=0)
    for end, values in zip(("_lower", "", "_upper"), bounds, strict=True):
        arrays[f"properties{end}"][known] = values
    meta = samples.meta | {
        "status": np.where(known, b"simulated", b"unlabelled").astype("S16"),
        "solver": np.where(known, b"fipy", b"").astype("S64"),
        "seconds": np.where(known, rng.random(count), np.nan),
    }
    return replace(samples, **arrays, meta=meta)


def assert_identical(actual, expected):
    """Every array of the same type, shape and bits, NaN included, and every attribute the same."""
    columns = [{n: getattr(s, n) for n in (*ARRAYS, "hashes")} | s.meta for s in (actual, expected)]
    assert columns[0].keys() == columns[1].keys()
    for name, array in columns[0].items():
        other = columns[1][name]
        assert (name, array.dtype, array.shape) == (name, other.dtype, other.shape)
        assert array.tobytes() == other.tobytes(), name
    for name in ("material", "sensitive"):
        assert getattr(actual, name) == getattr(expected, name)


@pytest.fixture
def path(tmp_path):
    """A file of samples."""
    dataset.write(tmp_path / "samples.h5", some_samples(), created_by="test")
    return tmp_path / "samples.h5"


def test_round_trip(path):
    """What is read is what was written, bit for bit; the folder holds the file alone."""
    samples = dataset.read(path)
    assert_identical(samples, some_samples())
    np.testing.assert_array_equal(samples.simulated, [True, True, True, True, False])
    assert np.isnan(samples.properties[4]).all()
    assert np.isnan(samples.sensitivity[4]).all()
    assert os.listdir(path.parent) == ["samples.h5"]


@st.composite
def any_samples(draw):
    count, *grid = draw(st.lists(st.integers(1, 4), min_size=3, max_size=4))
    conductivity = draw(st.lists(st.floats(1e-300, 1e300), min_size=1, max_size=4))
    text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
    shapes = {name: (count, 3) for name in ARRAYS[1:-1]} | {"sensitivity": (count, 2, *grid)}
    meta = {n: draw(arrays(np.dtype(t), count, elements=from_dtype(np.dtype(t)))) for n, t in META.items()}
    return Samples(
        image=draw(arrays(np.uint8, (count, *grid), elements=st.integers(0, len(conductivity) - 1))),
        **{n: draw(arrays(np.float32 if n == "sensitivity" else np.float64, shape)) for n, shape in shapes.items()},
        sensitive=("kxx", "kyy"),
        meta=meta | {"status": np.full(count, b"unlabelled", dtype="S16")},
        material=Material(
            (Physics("conduction", {"conductivity": tuple(conductivity)}, ("kxx", "kyy"), draw(text)),),
            draw(st.sampled_from(["dirichlet", "periodic"])),
        ),
    )


@settings(max_examples=40, deadline=None)
@given(samples=any_samples())
def test_round_trip_of_any_samples(samples):
    """Any values where nothing is simulated, NaN and infinities of any bits among them, of planes and volumes."""
    with tempfile.TemporaryDirectory() as folder:
        dataset.write(Path(folder, "a.h5"), samples, created_by="test")
        assert_identical(dataset.read(Path(folder, "a.h5")), samples)


def test_plain_h5py_reads_the_file(path):
    """Names, types, axes and attributes are those of the documented format."""
    samples = some_samples()
    with h5py.File(path) as file:
        attributes = dict(file.attrs)
        assert attributes.pop("phase_conductivity").tolist() == [0.1, 1.0]
        assert "row 0 on top" in attributes.pop("image_convention")
        (physics,) = json.loads(attributes.pop("material"))["physics"]
        assert physics["constants"] == {"conductivity": [0.1, 1.0]}
        assert (physics["simulator"], physics["properties"]) == ("conduction", ["kxx", "kyy"])
        assert attributes == {
            "format": "janus-al samples",
            "version": 2,
            "boundary": "dirichlet",
            "unit": "W/(m K)",
            "created_by": "test",
        }
        assert file["image"].dtype == np.uint8
        assert (file["image"].compression, file["image"].fletcher32) == ("gzip", True)
        for name in ("properties", "properties_fv", "properties_lower", "properties_upper"):
            assert file[name].dtype == np.float64
            assert list(file[name].attrs["names"]) == ["kxx", "kyy", "volume_fraction"]
            np.testing.assert_array_equal(file[name], getattr(samples, name))
        assert file["sensitivity"].dtype == np.float32
        assert list(file["sensitivity"].attrs["names"]) == ["kxx", "kyy"]
        assert file["sensitivity"].shape == (5, 2, 6, 7)
        assert file["content_hash"].asstr()[0] == content_hash(samples.image[0])
        columns = {"status", "origin", "round", "seed", "solver", "solver_version", "flux_imbalance", "seconds"}
        assert set(file["meta"]) == columns
        assert file["meta/status"].asstr()[:].tolist() == ["simulated"] * 4 + ["unlabelled"]
        assert file["meta/round"][:].tolist() == [0, 1, 2, 3, 4]


def test_content_hash():
    """SHA-256 of a header with the shape, then the labels; neither type nor memory order matters."""
    exact = "869fed95cb7763377738dea0dfff8c264884966847f7b9bf73a87dc68c8d34de"
    image = np.array([[0, 1, 0], [1, 1, 0]])
    assert content_hash(image) == exact
    assert content_hash(np.asfortranarray(image.astype(np.uint8))) == exact
    assert content_hash(image.reshape(3, 2)) != exact
    assert content_hash(image.astype(bool)) == exact


def test_content_hash_of_labels_beyond_eight_bits():
    """Labels that differ by a multiple of 256, or in sign, are other labels; the type still does not matter."""
    images = [np.array([[0, last], [0, 255]]) for last in (1, 257, 65537, 2**32 + 1, -1, -255, 65535)]
    assert len({content_hash(image) for image in images}) == len(images)
    assert content_hash(images[1].astype(">u2")) == content_hash(images[1])
    assert content_hash(images[0] / 2) != content_hash(np.zeros((2, 2), int))


def test_more_labels_than_a_dataset_holds():
    with pytest.raises(DatasetError, match="label 256: a dataset holds labels 0 to 255; merge phases"):
        unlabelled(np.arange(324).reshape(1, 18, 18) % 257, conduction((1, 2)))


def test_digest_is_of_the_content(path, tmp_path):
    """Another file with the same samples has the same digest, however it is stored and whoever made it."""
    samples = some_samples()
    with h5py.File(path) as old, h5py.File(tmp_path / "other.h5", "w") as new:
        new.attrs.update(old.attrs)
        new.attrs["created_by"] = "somebody else"
        for name in (*ARRAYS, "content_hash", *(f"meta/{column}" for column in old["meta"])):
            new[name] = old[name][()]
    other = dataset.read(tmp_path / "other.h5")
    assert (tmp_path / "other.h5").read_bytes() != path.read_bytes()
    assert other.digest() == samples.digest()
    assert replace(samples, meta=samples.meta | {"seconds": np.zeros(5)}).digest() == samples.digest()


def test_digest_tells_samples_apart():
    """One pixel, one value, the order or the conductivities make another digest."""
    samples = some_samples()
    image, properties = samples.image.copy(), samples.properties.copy()
    image[2, 3, 3] ^= 1
    properties[1, 0] += 1e-6
    others = [
        replace(samples, image=image),
        replace(samples, properties=properties),
        replace(samples, material=conduction((0.1, 2.0))),
        replace(samples, material=replace(samples.material, boundary="periodic")),
        samples.take([1, 0, 2, 3, 4]),
        samples.take(slice(4)),
    ]
    assert len({s.digest() for s in [samples, *others]}) == 7


@pytest.mark.parametrize("unit", [1.0, 1e-5, 1e-12, 1e-200])
def test_digest_tells_small_values_apart(unit):
    """Whatever the unit: 2e-12 is not 4e-12, nor 0; digits that no solver warrants do not count."""
    samples = some_samples()
    values = [0.0, 2 * unit, 4 * unit, 2 * unit * (1 + 1e-6), 2 * unit * (1 + 1e-13)]
    digests = [replace(samples, properties=np.full((5, 3), value)).digest() for value in values]
    assert len(set(digests[:4])) == 4
    assert digests[4] == digests[1]


def test_digest_of_ordinary_values_is_what_it_was():
    """Studies, journals and models on disk name their data by it."""
    samples = some_samples()
    samples = replace(samples, properties=np.linspace(1e-3, 1.0, 15).reshape(5, 3))
    assert samples.digest() == "714c94c750a7839026bbcd82c617a261de6e77ebf883d247b3877f18f72b9d21"


def test_missing_file(tmp_path):
    """A file that is not there is not damaged: FileNotFoundError, also for a folder."""
    for path in (tmp_path / "a.h5", tmp_path):
        with pytest.raises(FileNotFoundError, match="no such file"):
            dataset.read(path)


@pytest.mark.parametrize("kept", [0.0, 0.001, 0.5, 0.9, 0.999])
def test_truncated_file(path, kept):
    """Whatever is cut off, the file is refused as damaged."""
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data))])
    with pytest.raises(DatasetError, match=r"samples\.h5: .*(restore|make one)"):
        dataset.read(path)


@pytest.mark.parametrize("name", ["image", "properties", "sensitivity", "content_hash", "meta/seed"])
def test_flipped_byte(path, name):
    """A byte changed anywhere in a column's data is noticed: every chunk has a checksum."""
    data = path.read_bytes()
    with h5py.File(path) as file:
        chunk = file[name].id.get_chunk_info(0)
    for offset in np.linspace(0, chunk.size - 1, 9).astype(int):
        damaged = bytearray(data)
        damaged[chunk.byte_offset + offset] ^= 0x10
        path.write_bytes(damaged)
        with pytest.raises(DatasetError, match=r"samples\.h5: damaged"):
            dataset.read(path)


def swap_for(name, make):
    """An edit that puts something else where a column, or a group of columns, was."""

    def edit(file):
        folder = Path(file.filename).parent
        content = file[name][()] if isinstance(file[name], h5py.Dataset) else None
        del file[name]
        make(file, name, content, folder)

    return edit


def link_outside(file, name, content, folder):
    file[name] = h5py.ExternalLink("twin.h5", name)


def link_inside(file, name, content, folder):
    file["elsewhere"] = content
    file[name] = h5py.SoftLink("/elsewhere")


def store_outside(file, name, content, folder):
    content.tofile(folder / "raw.bin")
    file.create_dataset(name, content.shape, content.dtype, external=[(folder / "raw.bin", 0, content.nbytes)])


def compose_outside(file, name, content, folder):
    layout = h5py.VirtualLayout(content.shape, content.dtype)
    layout[:] = h5py.VirtualSource(folder / "twin.h5", name, content.shape)
    file.create_virtual_dataset(name, layout)


def store(change):
    """The column with a change to it."""
    return lambda file, name, content, folder: file.create_dataset(name, data=change(content))


def claim_vast(file, name, content, folder):
    file.create_dataset(name, (2**31, 6, 7), np.uint8, chunks=(1, 6, 7))


def nothing(file, name, content, folder):
    pass


def claim_rows(file, name, content, folder):
    """As many rows as the others have, but of maps so large that 80 kB would become 16 GB."""
    file.create_dataset(name, (5, 2, 20000, 20000), np.float16, chunks=(1, 1, 20000, 20000), compression="gzip")


def filtered(*filters):
    """A column stored with these filters, in this order."""

    def change(file, name, content, folder):
        settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        settings.set_chunk(content.shape)
        for number in filters:
            settings.set_filter(number, 0, (4,) if number == h5py.h5z.FILTER_DEFLATE else ())
        space = h5py.h5s.create_simple(content.shape)
        column = h5py.h5d.create(file.id, name.encode(), h5py.h5t.py_create(content.dtype), space, settings)
        column.write(space, space, np.ascontiguousarray(content))

    return change


def chunk_that_expands(file, name, content, folder):
    """A chunk of 420 kB that 330 kB in the file would expand to 335 MB."""
    images = file.create_dataset(name, (5, 6, 14000), "u1", chunks=(5, 6, 14000), compression="gzip")
    squeezer = zlib.compressobj(1)
    images.id.write_direct_chunk(
        (0, 0, 0), b"".join(squeezer.compress(bytes(2**24)) for _ in range(20)) + squeezer.flush()
    )


def small_chunks_that_expand(file, name, content, folder):
    """Five chunks of 42 bytes that 33 kB each in the file would expand to 34 MB each."""
    images = file.create_dataset(name, content.shape, "u1", chunks=(1, 6, 7), compression="gzip")
    for row in range(5):
        images.id.write_direct_chunk((row, 0, 0), zlib.compress(bytes(2**25), 9))


def huge_chunks(file, name, content, folder):
    file.create_dataset(name, data=content, chunks=(2**20, 6, 7), maxshape=(None, 6, 7), compression="gzip")


def references(file, name, content, folder):
    file.create_dataset(name, data=[file["image"].ref] * 5, dtype=h5py.ref_dtype)


def cell(row, column, value):
    """The columns of properties with one value changed."""

    def change(content):
        content[row][column] = value
        return content

    return store(change)


def attributes(**values):
    return lambda file: file.attrs.update(values)


def names(column, *values):
    return lambda file: file[column].attrs.update(names=list(values))


OUTSIDE = r"'(image|properties|meta/status)' is missing or reaches outside the file"
FOREIGN = {
    "external link": (swap_for("image", link_outside), OUTSIDE),
    "external group": (swap_for("meta", link_outside), OUTSIDE),
    "soft link": (swap_for("image", link_inside), OUTSIDE),
    "external storage": (swap_for("properties", store_outside), OUTSIDE),
    "virtual column": (swap_for("image", compose_outside), OUTSIDE),
    "missing column": (swap_for("properties", nothing), OUTSIDE),
    "missing group": (swap_for("meta", nothing), OUTSIDE),
    "vast column": (swap_for("image", claim_vast), r"'image' is uint8 \(2147483648, 6, 7\).*stores 0"),
    "objects": (swap_for("meta/origin", store(lambda c: [b"a", b"bc"])), "'meta/origin' is object"),
    "rows lost": (swap_for("properties", store(lambda c: c[:2])), r"'properties' is \(2, 3\) where \(5, 3\) belongs"),
    "meta rows lost": (swap_for("meta/round", store(lambda c: c[:2])), r"'meta/round|'round' is \(2,\)"),
    "maps of another size": (swap_for("sensitivity", store(lambda c: c[..., 1:])), r"'sensitivity' is \(5, 2, 6, 6\)"),
    "flat images": (swap_for("image", store(lambda c: c[:, 0])), "holds planes or volumes"),
    "another image": (swap_for("image", store(lambda c: 1 - c)), "do not match their content hashes"),
    "swapped images": (swap_for("image", store(lambda c: c[::-1])), "do not match their content hashes"),
    "another format": (lambda file: file.attrs.update(format="something"), "not a 'janus-al samples' file"),
    "another version": (lambda file: file.attrs.update(version=3), "of version 1 to 2"),
    "no conductivities": (lambda file: file.attrs.__delitem__("phase_conductivity"), "phase_conductivity None"),
    "conductivity NaN": (
        attributes(phase_conductivity=[0.1, np.nan]),
        r"\[0\.1, nan\]: each must be finite and above 0",
    ),
    "conductivity 0": (attributes(phase_conductivity=[0.0, 1.0]), "finite and above 0"),
    "one conductivity": (attributes(phase_conductivity=[0.1]), "differ from its material"),
    "conductivity of text": (attributes(phase_conductivity=["a", "b"]), "finite and above 0"),
    "conductivity of a line break": (attributes(phase_conductivity="a\n\x1b[2J"), r"conductivity 'a\\n\\x1b\[2J'"),
    "a single conductivity": (attributes(phase_conductivity=0.1), "finite and above 0"),
    "conductivity twice": (attributes(phase_conductivity=[[0.1], [1.0]]), r"'phase_conductivity' is float64 \(2, 1\)"),
    "many conductivities": (attributes(phase_conductivity=np.ones(3000)), r"'phase_conductivity' is float64 \(3000,\)"),
    "format of numbers": (attributes(format=1.5), "not a 'janus-al samples' file"),
    "empty format": (attributes(format=h5py.Empty("f8")), "'format' is float64 None"),
    "another boundary": (attributes(boundary="neumann"), "boundary 'neumann'"),
    "no unit": (lambda file: file.attrs.__delitem__("unit"), "unit None"),
    "other properties": (
        names("properties", "E11", "E22", "G12"),
        r"holds \['E11', 'E22', 'G12'\] where kxx, kyy, volume_fraction belong",
    ),
    "properties turned": (names("properties_lower", "kyy", "kxx", "volume_fraction"), "'properties_lower' holds"),
    "other maps": (names("sensitivity", "E11", "E22"), r"'sensitivity' holds \['E11', 'E22'\]"),
    "maps too large": (swap_for("sensitivity", claim_rows), r"\(5, 2, 20000, 20000\) where \(5, 2, 6, 7\) belongs"),
    "compressed twice": (swap_for("image", filtered(1, 1)), r"filters \[1, 1\]"),
    "a chunk that expands": (
        lambda file: [
            swap_for("image", chunk_that_expands)(file),
            swap_for("sensitivity", store(lambda c: np.ones((5, 2, 6, 14000), "f2")))(file),
        ],
        r"'image' has a chunk that expands beyond its 420004 bytes",
    ),
    "small chunks that expand": (
        swap_for("image", small_chunks_that_expand),
        r"'image' has a chunk that expands beyond its 46 bytes",
    ),
    "shuffled when compressed": (swap_for("image", filtered(1, 2)), r"filters \[1, 2\]"),
    "huge chunks": (swap_for("image", huge_chunks), r"chunks of \(1048576, 6, 7\)"),
    "references": (swap_for("meta/round", references), "'meta/round' is object where int64 belongs"),
    "images of bytes": (swap_for("image", store(lambda c: c.astype("S1"))), r"'image' is \|S1 where uint8 belongs"),
    "grey images": (swap_for("image", store(lambda c: c.astype(float))), "'image' is float64 where uint8 belongs"),
    "label 2": (swap_for("image", store(lambda c: c + 1)), r"labels 1\.\.2 but 2 phase conductivities"),
    "label 257": (swap_for("image", store(lambda c: c.astype(int) + 256)), r"labels 256\.\.257 but 2"),
    "negative label": (swap_for("image", store(lambda c: -c.astype(int))), r"labels -1\.\.0"),
    "rounds of half": (swap_for("meta/round", store(lambda c: c + 0.5)), "'meta/round' is float64 where int64 belongs"),
    "vast rounds": (swap_for("meta/round", store(lambda c: c.astype(np.uint64))), "is uint64 where int64 belongs"),
    "no sample": (
        lambda file: [swap_for(name, store(lambda c: c[:0]))(file) for name in (*ARRAYS, "content_hash")],
        r"'image' is \(0, 6, 7\); it holds planes or volumes, one a row, and at least one",
    ),
    "another status": (swap_for("meta/status", store(lambda c: np.full(5, b"done", "S16"))), "status 'done'"),
    "property NaN": (
        swap_for("properties", cell(2, 0, np.nan)),
        "row 2 is simulated but not known where its bounds are",
    ),
    "property inf": (swap_for("properties_upper", cell(2, 1, np.inf)), "row 2 is simulated but not finite"),
    "property below 0": (swap_for("properties", cell(3, 1, -0.2)), "row 3 .*conductivities above 0"),
    "property 0": (swap_for("properties_fv", cell(0, 0, 0.0)), "row 0 .*conductivities above 0"),
    "fraction above 1": (swap_for("properties", cell(1, 2, 1.1)), "row 1 .*fractions from 0 to 1"),
    "bounds crossed": (swap_for("properties_upper", cell(1, 0, 0.09)), "row 1 is simulated but not between its bounds"),
    "map NaN": (swap_for("sensitivity", cell(1, (0, 2, 3), np.nan)), "row 1 is simulated but not finite in its sens"),
}


@pytest.mark.parametrize(("edit", "words"), FOREIGN.values(), ids=FOREIGN.keys())
def test_foreign_file(path, edit, words):
    """A file that h5py can read but that is none of ours, or points at other files, is refused."""
    (path.parent / "twin.h5").write_bytes(path.read_bytes())
    with h5py.File(path, "a") as file:
        edit(file)
    with pytest.raises(DatasetError, match=words):
        dataset.read(path)


@pytest.mark.parametrize("order", ["<", ">"])
def test_other_types_of_the_same_values(path, order):
    """Files that others wrote, in either byte order: wider integers, floats and maps are read as ours."""
    with h5py.File(path, "a") as file:
        for name, kind in {"image": "i8", "properties": "f8", "sensitivity": "f4", "meta/round": "i4"}.items():
            swap_for(name, store(lambda c, kind=kind: c.astype(order + kind)))(file)
    assert_identical(dataset.read(path), some_samples())


def test_many_references_to_one_text(path):
    """An attribute of many texts that are stored once does not grow into gigabytes."""
    with h5py.File(path, "a") as file:
        file["properties"].attrs["names"] = ["kxx"] * 4000
    with pytest.raises(DatasetError, match=r"'names' is object \(4000,\)"):
        dataset.read(path)


def test_open_elsewhere(path, janus):
    """A file that another program is writing is not damaged: it is in use, exit code 5."""
    code = f"import h5py, sys; file = h5py.File({str(path)!r}, 'a'); print('open', flush=True); sys.stdin.read()"
    other = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout.readline() == "open\n"
    exit_code, out, err = janus("train", path, "--out", path.parent / "model")
    other.communicate()
    assert (exit_code, out) == (5, "")
    assert err == f"janus-al: {path}: another program has it open for writing; close it there\n"
    assert os.listdir(path.parent) == ["samples.h5"]


def test_left_open(path):
    """The mark of a writer that died is told apart from damage."""
    with h5py.File(path.with_name("new.h5"), "w", libver="latest") as file:
        file.swmr_mode = True
        file.flush()
        path.write_bytes(path.with_name("new.h5").read_bytes())
    with pytest.raises(LockedError, match="h5clear -s"):
        dataset.read(path)


def test_more_than_the_memory_is_refused_before_it_is_taken(path, monkeypatch):
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=1000))
    with pytest.raises(DatasetError, match=r"takes 0\.0 GB of memory of which 0\.0 GB are free"):
        dataset.read(path)


def test_no_hdf5_file(tmp_path):
    """Text, an empty file, an HDF5 file of somebody else."""
    (tmp_path / "text.h5").write_text("kxx,kyy\n0.3,0.2\n")
    (tmp_path / "empty.h5").touch()
    h5py.File(tmp_path / "other.h5", "w").close()
    for name, words in [("text", "damaged"), ("empty", "damaged"), ("other", "not a 'janus-al samples' file")]:
        with pytest.raises(DatasetError, match=words):
            dataset.read(tmp_path / f"{name}.h5")


class Stop(BaseException):
    """Not an Exception, like the interrupt of a user."""


def third_column(monkeypatch):
    create = h5py.Group.create_dataset
    calls = iter(range(3))

    def create_two(*args, **kwargs):
        if next(calls) == 2:
            raise Stop
        return create(*args, **kwargs)

    monkeypatch.setattr(h5py.Group, "create_dataset", create_two)


def refuse(*args):
    raise Stop


@pytest.mark.parametrize(
    "stop",
    [
        third_column,
        lambda monkeypatch: monkeypatch.setattr(Path, "write_bytes", refuse),
        lambda monkeypatch: monkeypatch.setattr(os, "fsync", refuse),
        lambda monkeypatch: monkeypatch.setattr(Path, "replace", refuse),
    ],
    ids=["third column", "writing", "fsync", "rename"],
)
def test_write_that_stops_half_way(path, monkeypatch, stop):
    """The old file stays as it was, and nothing else stays."""
    old = path.read_bytes()
    stop(monkeypatch)
    with pytest.raises(Stop):
        dataset.write(path, some_samples(9, seed=1), created_by="test")
    monkeypatch.undo()
    assert path.read_bytes() == old
    assert os.listdir(path.parent) == ["samples.h5"]


FULL_DISK = """
import os, resource, signal, sys
from pathlib import Path
import numpy as np
from janus_al import dataset
from janus_al.material import conduction
from janus_al.samples import unlabelled

images = (np.random.default_rng(0).integers(0, 2, (n, 32, 32)) for n in (2, 400))
small, large = (unlabelled(i, conduction((1.0, 2.0))) for i in images)
path = Path(sys.argv[1], "samples.h5")
dataset.write(path, small, "test")
old = path.read_bytes()
limit = int(sys.argv[2])
if limit:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    dataset.write(path, large, "test")
except OSError as error:
    print("refused,", os.strerror(error.errno).lower())
print("old file intact:", path.read_bytes() == old and len(dataset.read(path)) == 2)
print("folder:", os.listdir(path.parent))
dataset.write(path, small, "test")
print("ended well")
"""
MOUNTED = ["unshare", "--map-root-user", "--mount", "sh", "-c", 'mount -t tmpfs -o size=160k none "$0" && exec "$@"']


def can_mount(folder):
    try:
        return subprocess.run([*MOUNTED, folder, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("how", ["size limit", "small disk"])
def test_full_disk(tmp_path, how):
    """An OSError, not a crash; the old file stays, nothing else does, and a smaller file can still be written."""
    command = [sys.executable, "-c", FULL_DISK, tmp_path, "70000" if how == "size limit" else "0"]
    if how == "small disk":
        if not can_mount(tmp_path):
            pytest.skip("cannot mount a small disk here")
        command = [*MOUNTED, tmp_path, *command]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    reason = "file too large" if how == "size limit" else "no space left on device"
    expected = [f"refused, {reason}", "old file intact: True", "folder: ['samples.h5']", "ended well"]
    assert (run.stdout.splitlines(), run.returncode, run.stderr) == (expected, 0, "")


@pytest.mark.parametrize(
    "index",
    [slice(1, 4), [4, 0, 0], np.array([True, False, True, False, True]), np.array([], dtype=int)],
    ids=["slice", "indices", "mask", "none"],
)
def test_take(index):
    """The rows asked for, in that order, in every column."""
    samples = some_samples()
    part = samples.take(index)
    rows = np.arange(5)[index]
    assert len(part) == len(rows)
    for name in (*ARRAYS, "hashes"):
        np.testing.assert_array_equal(getattr(part, name), getattr(samples, name)[rows])
    for name, column in part.meta.items():
        np.testing.assert_array_equal(column, samples.meta[name][rows])
    assert part.material == conduction((0.1, 1.0))


def test_concatenate():
    """The parts of a whole make the whole."""
    samples = some_samples()
    parts = [samples.take(slice(0, 2)), samples.take(slice(2, 2)), samples.take(slice(2, 5))]
    assert_identical(concatenate(parts), samples)
    assert concatenate(parts).digest() == samples.digest()


@pytest.mark.parametrize(
    "other",
    [
        replace(some_samples(), material=conduction((0.1, 2.0))),
        replace(some_samples(), material=replace(conduction((0.1, 1.0)), boundary="periodic")),
        replace(some_samples(), material=conduction((0.1, 1.0), unit="mW/(m K)")),
        some_samples(shape=(7, 6)),
    ],
    ids=["conductivity", "boundary", "unit", "size"],
)
def test_kinds_do_not_mix(other):
    """Samples that differ in conductivity, boundary, unit or size are no one dataset."""
    with pytest.raises(DatasetError, match="two kinds"):
        concatenate([some_samples(), some_samples(), other])


def test_unlabelled():
    """Images alone: every property NaN, the columns given, the others at their defaults."""
    samples = unlabelled(np.ones((3, 2, 4), dtype=np.uint8), conduction((1, 2)), origin=b"drawn", round=[0, 1, 1])
    for name in ARRAYS[1:]:
        assert np.isnan(getattr(samples, name)).all()
    assert not samples.simulated.any()
    assert samples.phase_conductivity == (1.0, 2.0)
    assert samples.meta["origin"].tolist() == [b"drawn"] * 3
    assert samples.meta["round"].tolist() == [0, 1, 1]
    assert samples.meta["seed"].tolist() == [-1] * 3
    assert samples.meta["solver"].tolist() == [b""] * 3


@pytest.mark.parametrize(("name", "value"), [("unit", "bananas"), ("boundary", "periodic")])
def test_attributes_that_contradict_the_material_are_refused(tmp_path, name, value):
    dataset.write(tmp_path / "a.h5", unlabelled(np.zeros((2, 4, 4), np.uint8), conduction((0.1, 1.0))), "test")
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        file.attrs[name] = value
    with pytest.raises(DatasetError, match="boundary, unit or phase_conductivity differ from its material"):
        dataset.read(tmp_path / "a.h5")
